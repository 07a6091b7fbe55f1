//! A network's design, from a file and flags.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use throng_core::cover::{Cover, DEFAULT_RATE, Rate};
use throng_core::route::Route;
use throng_core::{ClientConfig, Design};

use crate::cli::DesignOptions;
use crate::network::files;

/// What a design file may say; everything has a default.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DesignFile {
    hops: Option<u8>,
    mixing: Option<String>,
    lonely: Option<String>,
    cover: Option<String>,
    rate: Option<String>,
}

/// The design that the options ask for: flags go before the file, the file before what is usual.
pub(crate) fn read(options: &DesignOptions) -> Result<Design> {
    let path = options.design.as_deref();
    let file: DesignFile = path.map(files::read_toml).transpose()?.unwrap_or_default();
    let said = |name: &str| format!("`{name}` in {}", path.unwrap_or(Path::new("")).display());

    let rate = match (options.rate, &file.rate) {
        (Some(rate), _) => rate,
        (None, Some(text)) => text.parse::<Rate>().with_context(|| said("rate"))?,
        (None, None) => DEFAULT_RATE,
    };
    let cover = match (&options.cover, &file.cover) {
        (Some(text), _) => Cover::parse(text, rate).context("--cover")?,
        (None, Some(text)) => Cover::parse(text, rate).with_context(|| said("cover"))?,
        (None, None) => Cover::NONE,
    };
    if let Some(why) = throng_machine::problem(&cover) {
        bail!("--cover: {why}");
    }
    if let Some(note) = note_of_room(&cover, ClientConfig::default().spare + 1) {
        eprintln!("{note}");
    }
    let from_file = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".into());
    let mixing = options.mixing.map_or_else(|| from_file(&file.mixing).parse(), Ok);
    let lonely = options.lonely.map_or_else(|| from_file(&file.lonely).parse(), Ok);
    let hops = options.hops.or(file.hops).unwrap_or(Route::DEFAULT.hops() as u8);
    Ok(Design {
        route: Route::free(hops.into()).with_context(|| said("hops"))?,
        mixing: mixing.with_context(|| said("mixing"))?,
        lonely: lonely.with_context(|| said("lonely"))?,
        cover,
        ..Design::default()
    })
}

/// What to say if links do not carry all circuits that a client has.
fn note_of_room(cover: &Cover, circuits: usize) -> Option<String> {
    let room = cover.circuits_per_link().filter(|room| *room < circuits as u64)?;
    Some(format!(
        "note: with `{cover}` a link carries {room} covered circuit{} at once, and a client has up to {circuits}, used or in \
         store: pages will wait. Give links a higher rate, or circuits a lower one.",
        if room == 1 { "" } else { "s" }
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn options(file: Option<&Path>) -> DesignOptions {
        let design = file.map(Path::to_path_buf);
        DesignOptions { design, hops: None, mixing: None, lonely: None, cover: None, rate: None }
    }

    #[test]
    fn flags_go_before_the_file_and_the_file_before_what_is_usual() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("design.toml");
        std::fs::write(
            &file,
            "hops = 2\nmixing = \"pool=1:10\"\ncover = \"user-link,links\"\nrate = \"1mbps\"\n",
        )
        .unwrap();
        let design = read(&options(Some(&file))).unwrap();
        assert_eq!((design.route.hops(), design.mixing.to_string()), (2, "pool=1:10:200ms".into()));
        assert_eq!(design.cover.to_string(), "user-link=1mbps,links=1mbps");
        let flags = DesignOptions {
            hops: Some(4),
            cover: Some("end-to-end".into()),
            rate: Some("8kbps".parse().unwrap()),
            ..options(Some(&file))
        };
        let design = read(&flags).unwrap();
        assert_eq!((design.route.hops(), design.cover.to_string()), (4, "end-to-end=8kbps".into()));
        assert_eq!(read(&options(None)).unwrap(), Design::default());
    }

    #[test]
    fn links_too_slow_for_the_circuits_on_them_are_told() {
        let note = |text: &str| note_of_room(&text.parse().unwrap(), 4);
        assert!(note("user-link,end-to-end").unwrap().contains("1 covered circuit at once"));
        assert!(note("links=128kbps,end-to-end").unwrap().contains("2 covered circuits at once"));
        for fine in ["none", "user-link,links", "end-to-end", "user-link=256kbps,end-to-end=64kbps"] {
            assert_eq!(note(fine), None, "{fine}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("design.toml");
        for (text, named) in [
            ("hops = 9", "hops"),
            ("mixing = \"poole\"", "mixing"),
            ("cover = \"links,links\"", "cover"),
            ("rate = \"64\"", "rate"),
            ("colour = 1", "colour"),
        ] {
            std::fs::write(&file, text).unwrap();
            let why = format!("{:#}", read(&options(Some(&file))).unwrap_err());
            assert!(why.contains(named) && why.contains("design.toml"), "{text}: {why}");
        }
        let machine = DesignOptions { cover: Some("machine=02x".into()), ..options(None) };
        let why = format!("{:#}", read(&machine).unwrap_err());
        assert!(why.contains("maybenot"), "{why}");
    }
}
