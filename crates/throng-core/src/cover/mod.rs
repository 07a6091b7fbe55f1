//! Cover traffic: when a link or a circuit sends whether there is something to say or not.
//!
//! A scheme is data first ([`Cover`]); each of its three kinds has a file with its data, its law and itself at work. At work it
//! is a [`Schedule`], which gets no argument that carries load, so that its slots cannot follow the load; what goes into a
//! slot is decided a guard time before it and stamped.

mod budget;
mod circuit;
mod clock;
mod defence;
mod link_slots;
mod mix_link;
mod mutant;
mod queue;
mod rate;
mod schedule;
mod scheme;
mod user_link;

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

pub use budget::Budget;
pub use circuit::CircuitCover;
pub(crate) use circuit::{CircuitPace, CircuitTurn};
pub use clock::Spent;
pub(crate) use clock::{SlotClock, Speaker, Timing};
pub use defence::{Act, Defence, Defences, Machines, Passed};
pub(crate) use defence::{Guard, Pass};
pub use link_slots::LinkSlots;
pub(crate) use link_slots::{Content, LinkTurn, Pace};
pub use mix_link::MixLinkCover;
pub use mutant::Mutant;
#[cfg(mutants)]
pub use mutant::plant;
pub(crate) use rate::DEFENCE_PADDING;
pub use rate::{DEFAULT_RATE, Rate};
pub(crate) use schedule::Schedule;
use scheme::Scheme;
pub use user_link::UserLinkCover;

use crate::text::InvalidValue;
use crate::wire::Geometry;

/// When the links and circuits of a network speak without need.
///
/// As text, schemes and rates joined by commas: `none`, `user-link=64kbps,links=1mbps`, `end-to-end=64kbps`,
/// `demand-driven=8kbps:2mbps`, `mimics=128kbps`, `poisson=64kbps:8kbps`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Cover {
    /// Links between clients and their first mixes.
    pub user_links: UserLinkCover,
    /// Links between mixes.
    pub mix_links: MixLinkCover,
    /// Circuits, from their origin to their last mix and back.
    pub circuits: CircuitCover,
}

impl Cover {
    /// No cover.
    pub const NONE: Self =
        Self { user_links: UserLinkCover::None, mix_links: MixLinkCover::None, circuits: CircuitCover::None };

    /// Whether there is none at all.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Whether users' links or circuits speak without need: which of them there are must not follow the load then.
    pub(crate) fn covers_users(&self) -> bool {
        self.user_links != UserLinkCover::None || self.circuits != CircuitCover::None
    }

    /// How many covered circuits links in slots carry at once: a user's, and one between mixes; nothing where circuits are
    /// not covered, or links are not. A circuit that is covered speaks whether it is used or not.
    pub fn circuits_per_link(&self) -> [Option<u64>; 2] {
        let Some(circuit) = self.circuits.takes_bps() else { return [None; 2] };
        let carried = [self.user_links.slots(), self.mix_links.slots()];
        carried.map(|slots| slots.map(|slots| slots.carries_bps() / circuit))
    }

    /// Why no network should be started with it, if its schemes contradict each other or its machines are invalid.
    pub(crate) fn contradiction(&self, defences: &dyn Defences) -> Option<String> {
        if self.circuits_per_link().contains(&Some(0)) {
            return Some(format!(
                "cover `{self}`: a covered circuit takes {}, and each covered link must carry one at least, as in \
                 user-link=256kbps,links=1mbps,end-to-end=64kbps (of poisson both rates count, of mimics a third)",
                self.circuits
                    .takes_bps()
                    .and_then(Rate::bps)
                    .map_or_else(|| "more than there is".into(), |rate| rate.to_string())
            ));
        }
        let UserLinkCover::Machines(Machines { client, mix }) = &self.user_links else { return None };
        [("client", client), ("mix", mix)].into_iter().find_map(|(end, text)| {
            let why = defences.name(text).err()?;
            Some(format!("cover: the machine at the {end}'s end of a user link is none: {why}"))
        })
    }

    /// The same schemes with machines under their names, for people to read.
    pub fn named(&self, defences: &dyn Defences) -> Self {
        let UserLinkCover::Machines(Machines { client, mix }) = &self.user_links else { return self.clone() };
        let named = |text: &String| defences.name(text).unwrap_or_else(|_| text.clone());
        let machines = Machines { client: named(client), mix: named(mix) };
        Self { user_links: UserLinkCover::Machines(machines), ..self.clone() }
    }

    /// From one slot to the next, where they are furthest apart; nothing where no real rate is fixed.
    pub fn widest_gap(&self, geometry: Geometry) -> Option<Duration> {
        let circuits = self.circuits.widest_gap(geometry);
        let links = [self.user_links.slots(), self.mix_links.slots()].into_iter().flatten();
        links.filter_map(|slots| slots.widest_gap(geometry)).chain(circuits).max()
    }

    /// Nearly the longest that a cell waits for its slot between a client and its first mix, its circuit's included.
    pub(crate) fn wait_at_user_link(&self, geometry: Geometry) -> Duration {
        // What machines hold back, they do not say.
        self.user_links.slots().map_or(Duration::ZERO, |slots| slots.wait(geometry))
            + self.circuits.wait(geometry)
    }

    /// The same between two mixes.
    pub(crate) fn wait_at_mix_link(&self, geometry: Geometry) -> Duration {
        self.mix_links.slots().map_or(Duration::ZERO, |slots| slots.wait(geometry))
    }
}

impl Cover {
    /// Reads schemes; those without a rate of their own have `default`.
    ///
    /// # Errors
    /// [`InvalidValue`] says what was expected.
    pub fn parse(text: &str, default: Rate) -> Result<Self, InvalidValue> {
        let wrong = || InvalidValue::new(text, Self::examples());
        let mut cover = Self::NONE;
        if text == "none" {
            return Ok(cover);
        }
        for scheme in text.split(',') {
            cover.choose(&Scheme::new(scheme, default)).ok_or_else(wrong)?;
        }
        Ok(cover)
    }

    /// Takes a scheme in; nothing if it is none, or one of its kind is chosen already.
    fn choose(&mut self, scheme: &Scheme<'_>) -> Option<()> {
        if let (UserLinkCover::None, Some(chosen)) = (&self.user_links, UserLinkCover::read(scheme)) {
            self.user_links = chosen;
        } else if let (MixLinkCover::None, Some(chosen)) = (&self.mix_links, MixLinkCover::read(scheme)) {
            self.mix_links = chosen;
        } else if let (CircuitCover::None, Some(chosen)) = (&self.circuits, CircuitCover::read(scheme)) {
            self.circuits = chosen;
        } else {
            return None;
        }
        Some(())
    }

    fn examples() -> String {
        let kinds = [UserLinkCover::EXAMPLES, MixLinkCover::EXAMPLES, CircuitCover::EXAMPLES].join("; ");
        format!("none, or of each kind one, joined by commas: {kinds}; rates are 1kbps to 100mbps")
    }
}

impl FromStr for Cover {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::parse(text, DEFAULT_RATE)
    }
}

impl fmt::Display for Cover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: [(bool, &dyn fmt::Display); 3] = [
            (self.user_links != UserLinkCover::None, &self.user_links),
            (self.mix_links != MixLinkCover::None, &self.mix_links),
            (self.circuits != CircuitCover::None, &self.circuits),
        ];
        let chosen = kinds.into_iter().filter_map(|(is_chosen, kind)| is_chosen.then_some(kind));
        for (place, kind) in chosen.clone().enumerate() {
            write!(f, "{}{kind}", if place == 0 { "" } else { "," })?;
        }
        if chosen.count() == 0 { f.write_str("none") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;
    use crate::time::Time;

    /// A library that has none.
    struct NoMachines;

    impl Defences for NoMachines {
        fn build(&self, _: &str, _: &Seed, _: Time) -> Option<alloc::boxed::Box<dyn Defence>> {
            None
        }

        fn name(&self, _: &str) -> Result<String, String> {
            Err("there are none".into())
        }
    }

    #[test]
    fn schemes_are_read_written_and_explained() {
        for text in [
            "none",
            "user-link=64kbps",
            "user-link=64kbps,links=1mbps",
            "user-link=8kbps,demand-driven=8kbps:2mbps,end-to-end=64001bps", // contradicts itself, and is read
            "mimics=128kbps,poisson=64kbps:8kbps",                           // as does this
            "machine=02eNpjYEA=:02eNpj+/A==,links=8kbps",
            "machine=02eNpjYEA=",
        ] {
            assert_eq!(text.parse::<Cover>().unwrap().to_string(), text);
        }
        let short = Cover::parse("user-link,links,poisson", Rate(20_000)).unwrap();
        assert_eq!(short.to_string(), "user-link=20kbps,links=20kbps,poisson=20kbps:2kbps");
        for wrong in [
            "",
            "links,links",
            "links=1mbps,mimics",
            "user-link=",
            "user-link=0kbps",
            "links=1:2",
            "none,links",
        ] {
            assert!(
                wrong.parse::<Cover>().is_err_and(|why| why.to_string().contains("user-link=64kbps")),
                "{wrong}"
            );
        }
    }

    #[test]
    fn links_that_do_not_carry_one_circuit_are_a_contradiction() {
        for (text, circuits) in [
            ("user-link=64kbps,links=64kbps", [None, None]),
            ("end-to-end=64kbps", [None, None]),
            ("user-link=64kbps,end-to-end=64kbps", [Some(1), None]),
            ("user-link=256kbps,links=1mbps,end-to-end=64kbps", [Some(4), Some(15)]),
            ("user-link=1mbps,mimics=768kbps,end-to-end=64kbps", [Some(15), Some(4)]),
            ("demand-driven=8kbps:2mbps,poisson=64kbps:8kbps", [None, Some(27)]),
        ] {
            let cover: Cover = text.parse().unwrap();
            assert_eq!(
                (cover.circuits_per_link(), cover.contradiction(&NoMachines)),
                (circuits, None),
                "{text}"
            );
        }
        for text in ["user-link=63kbps,end-to-end=64kbps", "links,poisson=64kbps:8kbps", "mimics,end-to-end"]
        {
            assert!(text.parse::<Cover>().unwrap().contradiction(&NoMachines).is_some(), "{text}");
        }
    }
}
