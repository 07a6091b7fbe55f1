//! `throng network family`: which mixes belong to one operator.
//!
//! The family's key says who is of it, so nobody can pass himself off as an operator's mix to keep the others out of the
//! paths that he is in. The key is needed for nothing else: mixes have what it signed.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use throng_core::id::{Family, Member, NodeId};
use throng_core::membership::{is_of_family, join_family};
use throng_net::entropy;
use throng_net::suite::Fast;

use super::files::{self, KeyKind, MixFile};
use super::node_keys;
use crate::{disk, terminal};

#[derive(Args)]
pub(crate) struct FamilyOptions {
    /// The family's key file; made if there is none yet
    #[arg(long)]
    key: PathBuf,
    /// Files of the mixes that are of the family, like `mix-1.toml`
    #[arg(required = true)]
    mixes: Vec<PathBuf>,
}

/// Prints the line of each mix's file that says that it is of the family.
pub(crate) fn join(options: &FamilyOptions) -> Result<()> {
    if !options.key.try_exists().with_context(|| format!("reading {}", options.key.display()))? {
        files::write_keys(&options.key, KeyKind::Family, &entropy::secret())?;
        tell!("{}: the key of a new family. Keep it; mixes do not need it", options.key.display());
    }
    let secret = files::read_keys(&options.key, KeyKind::Family)?;
    for path in &options.mixes {
        let file: MixFile = disk::read(path)?;
        let member = join_family::<Fast>(&secret, node_keys(path, &file)?.id::<Fast>());
        tell!("{}: put this line there, and write its record anew (`--record`):", path.display());
        let Member { family, signature } = member;
        let line = format!("family = \"{}{}\"\n", files::to_hex(&family.0), files::to_hex(&signature));
        terminal::print(&line)?;
    }
    Ok(())
}

/// What a mix's file says of its family; nothing if it is empty.
pub(super) fn read(text: &str, mix: NodeId) -> Result<Option<Member>> {
    const HELP: &str = "`throng network family --key FILE MIX.toml` prints what stands there";
    if text.is_empty() {
        return Ok(None);
    }
    let parts = [text.get(..64), text.get(64..128), text.get(128..)];
    let [Some(key), Some(first), Some(second)] = parts else { bail!("it is none: {HELP}") };
    let digits = [key, first, second].map(files::from_hex);
    let [Ok(key), Ok(first), Ok(second)] = digits else { bail!("it is none: {HELP}") };
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&first);
    signature[32..].copy_from_slice(&second);
    let member = Member { family: Family(key), signature };
    if !is_of_family::<Fast>(&member, mix) {
        bail!("its key did not say that this mix is of it: {HELP}");
    }
    Ok(Some(member))
}
