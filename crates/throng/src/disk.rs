//! Files on disk: none is ever half-written, and secrets are never readable by others.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The only version of the file formats so far.
pub(crate) const FILE_VERSION: u32 = 1;

/// A file whose version is checked before anything else in it is used.
pub(crate) trait Versioned: DeserializeOwned {
    fn version(&self) -> u32;
}

/// Reads a text that a person wrote.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

/// Reads a TOML file; an error names it, the line and the field.
pub(crate) fn read<T: Versioned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let file: T = toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
    if file.version() != FILE_VERSION {
        bail!(
            "{} has format version {}, but this program reads version {FILE_VERSION}",
            path.display(),
            file.version()
        );
    }
    Ok(file)
}

/// Writes a file as a whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, bytes, 0o644)
}

/// The same, for secrets: nobody else can read it, not even for a moment.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, bytes, 0o600)
}

fn write_with(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    // A name of its own: other processes may be writing the same file.
    let beside = path.with_extension(format!("part-{}", std::process::id()));
    let _ = fs::remove_file(&beside); // left by an earlier process with this id, with whatever permissions
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let done = options
        .open(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    done.with_context(|| format!("writing {}", path.display()))
}

/// Resolves a path in a file relative to where the file is.
pub(crate) fn beside(file: &Path, path: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new(".")).join(path)
}

/// Writes a TOML file with a comment in front.
pub(crate) fn write_toml<T: Serialize>(path: &Path, comment: &str, value: &T) -> Result<()> {
    let text = toml::to_string(value).context("writing TOML")?;
    write(path, format!("# {comment}\n\n{text}").as_bytes())
}
