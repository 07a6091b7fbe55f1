//! A network's design, from a file and flags.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use throng_core::Design;
use throng_core::cover::{Cover, Rate};
use throng_core::design::choices;
use throng_core::limits::HOPS_MAX;
use throng_core::mixing::{MinCompany, Mixing};
use throng_core::text::InvalidValue;
use throng_machine::Maybenot;

use crate::disk;

/// How the network works: from a file, from flags, or from a file with some of it changed by flags.
#[derive(Args)]
pub(crate) struct DesignOptions {
    /// A design file: lines of `axis = value` with the axes `hops`, `mixing`, `company`, `cover` and `rate`, each written like the
    /// flag of that name, `datagram` (bytes), `route` (`free`), and the versions `format` and `wire`
    #[arg(long, value_name = "FILE")]
    design: Option<PathBuf>,
    /// Mixes in a circuit [default: 3]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=HOPS_MAX as i64))]
    hops: Option<u8>,
    #[arg(long, help = format!("How mixes hold cells: {} [default: none]", Mixing::examples()))]
    mixing: Option<Mixing>,
    /// What mixes do with a cell among too few others: `none`, `fill=3`, `hold=3:20ms` [default: none]
    #[arg(long)]
    company: Option<MinCompany>,
    /// Cover traffic: `none`, or at most one of each kind: `user-link`; `links`, `demand-driven` or `mimics`; `end-to-end`
    /// or `poisson`; joined by commas, each optionally with its own rate: `user-link=64kbps,links=1mbps` [default: none]
    #[arg(long, value_parser = cover_text)]
    cover: Option<String>,
    /// Rate on the wire of covered links and circuits without a rate of their own: `64kbps` [default: 64kbps]
    #[arg(long)]
    rate: Option<Rate>,
}

/// It is read with its rate, which another flag may say.
fn cover_text(text: &str) -> Result<String, InvalidValue> {
    text.parse::<Cover>().map(|_| text.to_owned())
}

/// A detour about which people want to know beforehand.
pub(crate) const SLOW: Duration = Duration::from_secs(1);

/// The design that the options ask for: flags override the file, and the file overrides the defaults.
///
/// What people want to know of it beforehand is printed; it will run on so many mixes.
pub(crate) fn read(options: &DesignOptions, mixes: usize) -> Result<Design> {
    let path = options.design.as_deref();
    let text = path.map(disk::read_text).transpose()?.unwrap_or_default();
    let in_file = || format!("in {}", path.unwrap_or(Path::new("")).display());
    let said = choices(&text).with_context(in_file)?;
    Design::default().with(said.iter().copied()).with_context(in_file)?; // what is wrong there is not a flag's fault

    let flags = options.choices();
    let flag = |axis: &str| flags.iter().any(|(name, _)| *name == axis);
    let from_file = said.into_iter().filter(|(axis, _)| !flag(axis));
    let from_flags = flags.iter().map(|(axis, value)| (*axis, value.as_str()));
    let design = Design::default().with(from_file.chain(from_flags)).context("in the flags")?;
    design.check(&Maybenot)?;
    if let Some(note) = needed_company(&design, mixes) {
        tell!("note: {note}");
    } else if design.detour() > SLOW {
        tell!(
            "note: with this mixing and cover, a question and its answer may take {:.0} s longer where few others are",
            design.detour().as_secs_f64()
        );
    }
    note_of_room(&design.cover).iter().for_each(|note| tell!("{note}"));
    Ok(design)
}

impl DesignOptions {
    /// What flags choose.
    fn choices(&self) -> Vec<(&'static str, String)> {
        let said = [
            ("hops", self.hops.map(|hops| hops.to_string())),
            ("mixing", self.mixing.map(|mixing| mixing.to_string())),
            ("company", self.company.map(|company| company.to_string())),
            ("cover", self.cover.clone()),
            ("rate", self.rate.map(|rate| rate.to_string())),
        ];
        said.into_iter().filter_map(|(axis, value)| Some((axis, value?))).collect()
    }
}

/// What a user sends and receives, cells a second: 110 MB a day, as in the paper (§3.1).
const CELLS_PER_USER: f64 = 1.1;

/// How long mixing waits for company on so many mixes, for designs where the number of users decides that.
pub(crate) fn needed_company(design: &Design, mixes: usize) -> Option<String> {
    let wait = |users: u32| wait_with(design, users.into(), mixes).as_secs_f64();
    let (alone, many) = (wait(1), wait(1_000_000));
    if alone - many < SLOW.as_secs_f64() {
        return None;
    }
    let with = |users: u32| {
        let seconds = wait(users);
        format!("{seconds:.*} s with {users}", if seconds < 9.95 { 1 } else { 0 })
    };
    Some(format!(
        "mixing {} waits for company: on {mixes} mixes a question and its answer take about {} user, {}, {} and {} longer than \
         without mixing, if each sends and receives {CELLS_PER_USER} cells a second",
        design.mixing,
        with(1),
        with(10),
        with(100),
        with(1000)
    ))
}

/// What mixing adds to a question and its answer with so many users on so many mixes.
pub(crate) fn wait_with(design: &Design, users: f64, mixes: usize) -> Duration {
    design.mean_wait(users * CELLS_PER_USER * design.route.hops() as f64 / mixes.max(1) as f64)
}

/// Notes for designs whose covered links carry covered circuits: nothing else reports that they are full.
fn note_of_room(cover: &Cover) -> Vec<String> {
    let [of_user, of_mixes] = cover.circuits_per_link();
    let note = |link: &str, room: u64, whose: &str| {
        let circuits = if room == 1 { "circuit" } else { "circuits" };
        format!("note: {link} carries {room} covered {circuits} at once, {whose}; beyond that, pages wait")
    };
    let of_user = of_user.map(|room| note("a user's link", room, "one for each user name in use"));
    let of_mixes = of_mixes.map(|room| note("a link between mixes", room, "of all clients together"));
    of_user.into_iter().chain(of_mixes).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn options(file: Option<&Path>) -> DesignOptions {
        let design = file.map(Path::to_path_buf);
        DesignOptions { design, hops: None, mixing: None, company: None, cover: None, rate: None }
    }

    #[test]
    fn flags_override_the_file_and_the_file_overrides_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("design.toml");
        std::fs::write(
            &file,
            "hops = 2\nmixing = \"pool=1:10\"\ncover = \"user-link,links\"\nrate = \"1mbps\"\n",
        )
        .unwrap();
        let design = read(&options(Some(&file)), 5).unwrap();
        assert_eq!((design.route.hops(), design.mixing.to_string()), (2, "pool=1:10:200ms".into()));
        assert_eq!(design.cover.to_string(), "user-link=1mbps,links=1mbps");
        let flags = DesignOptions {
            hops: Some(4),
            cover: Some("end-to-end".into()),
            rate: Some("8kbps".parse().unwrap()),
            ..options(Some(&file))
        };
        let design = read(&flags, 5).unwrap();
        assert_eq!((design.route.hops(), design.cover.to_string()), (4, "end-to-end=8kbps".into()));
        assert_eq!(read(&options(None), 5).unwrap(), Design::default());
    }

    #[test]
    fn what_links_carry_is_told_and_too_little_refused() {
        let notes = |text: &str| note_of_room(&text.parse().unwrap());
        let both = notes("user-link,links=128kbps,end-to-end");
        assert!(both[0].contains("user's link carries 1 covered circuit at once"), "{both:?}");
        assert!(both[1].contains("between mixes carries 2 covered circuits at once"), "{both:?}");
        for nothing_to_say in ["none", "user-link,links", "end-to-end"] {
            assert!(notes(nothing_to_say).is_empty(), "{nothing_to_say}");
        }
        let narrow = DesignOptions { cover: Some("links=8kbps,end-to-end=64kbps".into()), ..options(None) };
        let why = read(&narrow, 5).unwrap_err().to_string();
        assert!(
            why.contains("links=8kbps,end-to-end=64kbps") && why.contains("a covered circuit takes 64kbps"),
            "{why}"
        );
    }

    #[test]
    fn designs_that_need_company_say_how_long_they_wait_for_it() {
        let note = |mixing: &str, mixes| {
            needed_company(&Design { mixing: mixing.parse().unwrap(), ..Design::default() }, mixes)
        };
        // 5 holdings of 20 ms (1/2 + 10/n), where n cells come within 20 ms: of 6 users on 5 mixes 0.08, and no fewer than
        // dummies do, one in 200 ms.
        let pool = note("pool=20ms:10", 5).unwrap();
        assert!(pool.starts_with("mixing pool=20ms:10:200ms waits for company: on 5 mixes"), "{pool}");
        assert!(
            pool.contains("10 s with 1 user, 7.6 s with 10, 0.8 s with 100 and 0.1 s with 1000"),
            "{pool}"
        );
        for steady in ["none", "batch=100ms", "exponential=10s", "uniform=1s", "slices=100ms"] {
            assert_eq!(note(steady, 5), None, "{steady}: users do not change it");
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
            let why = format!("{:#}", read(&options(Some(&file)), 5).unwrap_err());
            assert!(why.contains(named) && why.contains("design.toml"), "{text}: {why}");
        }
        let machine = DesignOptions { cover: Some("machine=02x".into()), ..options(None) };
        let why = format!("{:#}", read(&machine, 5).unwrap_err());
        assert!(why.contains("maybenot"), "{why}");
    }
}
