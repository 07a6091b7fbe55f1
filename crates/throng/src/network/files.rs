//! The files of a static network, and what they contain.

#[cfg(unix)]
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use throng_core::documents::Roots;
use throng_net::exit::{DENIED_NETWORKS_MAX, Network};

use crate::disk::{self, FILE_VERSION};
use crate::metered::SpendingOptions;

/// `roots.toml`: the operators whose signatures count.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RootsFile {
    version: u32,
    network: String,
    threshold: usize,
    operators: Vec<String>,
}

/// `mix-1.toml`: a mix.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MixFile {
    pub(crate) version: u32,
    /// Its secrets.
    pub(crate) keys: PathBuf,
    /// Whose signatures count.
    pub(crate) roots: PathBuf,
    /// The network document.
    pub(crate) document: PathBuf,
    /// Where it listens; `[::]` stands for all addresses of the machine.
    pub(crate) listen: SocketAddr,
    /// Where others reach it; if empty, where it listens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) addresses: Vec<SocketAddr>,
    /// What it can carry in each direction, in kbit/s.
    pub(crate) capacity_kbps: u32,
    /// Ports that it opens connections to: `none`, `all`, or like `80,443,8000-8100`.
    pub(crate) exit_ports: String,
    /// The family it belongs to, as `throng network family` printed it: no circuit has two mixes of one family.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) family: String,
    /// Whether its exit opens connections to private addresses and to this machine: for test networks only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) exit_to_private: bool,
    /// Networks that its exit never opens connections to: addresses, and prefixes like `203.0.113.0/24`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) exit_deny: Vec<String>,
    /// Where on this machine the status feed listens; without it there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<SocketAddr>,
}

impl MixFile {
    /// The networks that its exit never opens connections to.
    pub(crate) fn denied(&self) -> Result<Vec<Network>> {
        if self.exit_deny.len() > DENIED_NETWORKS_MAX {
            bail!("{} networks are more than {DENIED_NETWORKS_MAX}", self.exit_deny.len());
        }
        self.exit_deny.iter().map(|text| Ok(text.parse()?)).collect()
    }
}

/// `client.toml`: a client.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientFile {
    pub(crate) version: u32,
    /// Whose signatures count.
    pub(crate) roots: PathBuf,
    /// The network document.
    pub(crate) document: PathBuf,
    /// Where the proxy listens.
    pub(crate) proxy: SocketAddr,
    /// Where the first hops are kept.
    pub(crate) state: PathBuf,
    /// Where on this machine the status feed listens; without it there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<SocketAddr>,
    /// Whether the HTTP proxy asks programs that give no user name for one, as some give theirs only then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) ask_for_user: bool,
    /// Megabytes a day that slots of cover may send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cover_mb_per_day: Option<u32>,
    /// Cover only while the system says that the connection is not metered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) cover_unmetered_only: bool,
}

impl ClientFile {
    /// What cover may cost.
    pub(crate) fn spending(&self) -> SpendingOptions {
        SpendingOptions {
            cover_mb_per_day: self.cover_mb_per_day,
            cover_unmetered_only: self.cover_unmetered_only,
        }
    }
}

/// The secret of a node's, an operator's or a family's identity.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysFile {
    version: u32,
    kind: KeyKind,
    identity: String,
}

/// Whose secret it is. They are not interchangeable: an operator's or a family's belongs on no mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KeyKind {
    Mix,
    Operator,
    Family,
}

impl KeyKind {
    fn owner(self) -> &'static str {
        match self {
            Self::Mix => "a mix",
            Self::Operator => "an operator",
            Self::Family => "a family",
        }
    }
}

impl RootsFile {
    pub(crate) fn new(roots: &Roots) -> Self {
        Self {
            version: FILE_VERSION,
            network: roots.network().to_owned(),
            threshold: roots.threshold(),
            operators: roots.operators().iter().map(|key| to_hex(key)).collect(),
        }
    }

    /// Reads the roots.
    pub(crate) fn read(path: &Path) -> Result<Roots> {
        let file: Self = disk::read(path)?;
        let keys: Result<Vec<[u8; 32]>> = file.operators.iter().map(|text| from_hex(text)).collect();
        let keys = keys.with_context(|| format!("`operators` in {}", path.display()))?;
        Roots::new(file.network, keys, file.threshold).with_context(|| {
            format!(
                "{}: `threshold` must be from 1 to the number of `operators`, and none may be listed twice",
                path.display()
            )
        })
    }
}

/// Writes a secret.
pub(crate) fn write_keys(path: &Path, kind: KeyKind, identity: &[u8; 32]) -> Result<()> {
    let file = KeysFile { version: FILE_VERSION, kind, identity: to_hex(identity) };
    let text = toml::to_string(&file).context("writing TOML")?;
    disk::write_secret(
        path,
        format!("# Secret: whoever has this file can act as its owner.\n\n{text}").as_bytes(),
    )
}

/// Reads a secret of this kind.
pub(crate) fn read_keys(path: &Path, kind: KeyKind) -> Result<[u8; 32]> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode =
            fs::metadata(path).with_context(|| format!("reading {}", path.display()))?.permissions().mode();
        if mode & 0o077 != 0 {
            bail!("{0} is readable by others: run `chmod 600 {0}`", path.display());
        }
    }
    let file: KeysFile = disk::read_secret(path)?;
    if file.kind != kind {
        bail!(
            "{} is the key of {}, and that of {} is needed here",
            path.display(),
            file.kind.owner(),
            kind.owner()
        );
    }
    from_hex(&file.identity).with_context(|| format!("`identity` in {}", path.display()))
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex(text: &str) -> Result<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !text.is_ascii() {
        bail!("a key must be 64 hexadecimal digits");
    }
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).unwrap_or_default();
        *byte = u8::from_str_radix(pair, 16).context("a key must be 64 hexadecimal digits")?;
    }
    Ok(out)
}
