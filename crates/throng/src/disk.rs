//! Files on disk: none is ever half-written, and secrets are never readable by others.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The only version of the file formats so far.
pub(crate) const FILE_VERSION: u32 = 2;

/// What every file says; the rest is read only if the version is ours.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Reads a text that a person wrote.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| {
        let hint =
            if error.kind() == io::ErrorKind::PermissionDenied { " (run this as its owner)" } else { "" };
        anyhow::Error::new(error).context(format!("reading {}{hint}", path.display()))
    })
}

/// Reads a TOML file; an error names it, the line and the field.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let place = || format!("in {}", path.display());
    read_with(path, |_, error| anyhow::Error::new(error).context(place()))
}

/// Reads a TOML file of secrets; an error names it and the line, and shows nothing of what stands there.
pub(crate) fn read_secret<T: DeserializeOwned>(path: &Path) -> Result<T> {
    read_with(path, |text, error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        anyhow!("{} cannot be read: something is wrong at line {line} or behind it", path.display())
    })
}

fn read_with<T: DeserializeOwned>(
    path: &Path,
    wrong: impl Fn(&str, toml::de::Error) -> anyhow::Error,
) -> Result<T> {
    let text = read_text(path)?;
    let Versioned { version } = toml::from_str(&text).map_err(|error| wrong(&text, error))?;
    if version != FILE_VERSION {
        bail!(
            "{} has format version {version}, but this program reads version {FILE_VERSION}: use the version of Throng \
             that wrote it, or have it written anew (`throng network init` writes all files of a network)",
            path.display()
        );
    }
    toml::from_str(&text).map_err(|error| wrong(&text, error))
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
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| sync_folder(path));
    done.with_context(|| format!("writing {}", path.display()))
}

/// A file's new name outlives a power cut, too.
#[cfg(unix)]
fn sync_folder(of: &Path) -> io::Result<()> {
    let folder = of.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_in_a_file_of_secrets_is_said_without_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mix-1.keys");
        let secret = "1b54".repeat(16);
        for (text, line) in [
            (format!("version = 2\nkind = \"mix\"\nidentity = \"{secret}\n"), 3),
            (format!("version = 2\n{secret} = 1\n"), 2),
            (format!("version = 2\nkind = \"{secret}\"\nidentity = \"\"\n"), 2),
            (secret.clone(), 1),
        ] {
            write_secret(&path, text.as_bytes()).unwrap();
            let why = crate::network::files::read_keys(&path, crate::network::files::KeyKind::Mix);
            let why = format!("{:?}", why.unwrap_err());
            assert!(
                !why.contains(&secret[..8])
                    && why.contains("mix-1.keys")
                    && why.contains(&format!("line {line}")),
                "{why}"
            );
        }
    }

    #[test]
    fn a_file_of_another_version_is_refused_with_the_way_out_whatever_else_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roots.toml");
        let other = FILE_VERSION + 1;
        fs::write(&path, format!("version = {other}\nsomething = \"new\"\n")).unwrap();
        let why = read::<toml::Table>(&path).unwrap_err().to_string();
        assert!(
            why.contains(&format!("roots.toml has format version {other}"))
                && why.contains("use the version of Throng"),
            "{why}"
        );
    }
}
