//! When a link or a circuit speaks without need.
//!
//! A scheme is data first ([`Cover`]). At work it is a [`Schedule`], which gets no argument that carries load, so that its
//! slots cannot follow the load; what goes into a slot is decided a guard time before it and stamped.

mod budget;
mod circuit;
mod clock;
mod defence;
mod mutant;
mod pace;
mod queue;
mod schedule;

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

pub use budget::Budget;
pub(crate) use circuit::{CircuitPace, CircuitTurn};
pub use clock::Spent;
pub(crate) use clock::{SlotClock, Speaker, Timing};
pub use defence::{Act, Defence, Defences, Machines, Passed};
pub(crate) use defence::{Guard, Pass};
pub use mutant::Mutant;
#[cfg(mutants)]
pub use mutant::plant;
pub(crate) use pace::{Content, LinkTurn, Pace};
pub(crate) use schedule::Schedule;

use crate::limits::{RATE_BPS_MAX, RATE_BPS_MIN, SLOT_GRID, SLOT_GUARD};
use crate::text::{InvalidValue, words};
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

/// A scheme of the links between clients and their first mixes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum UserLinkCover {
    /// They speak when there is something to say.
    #[default]
    None,
    /// One datagram in every slot, at a constant rate each way (the paper's Fig. 2a and 2b).
    Constant(Rate),
    /// Defences that react to what passes.
    Machines(Machines),
}

/// A scheme of the links between mixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MixLinkCover {
    /// They speak when there is something to say.
    #[default]
    None,
    /// They have slots.
    Slots(LinkSlots),
}

/// A law of the slots of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkSlots {
    /// One datagram in every slot, at a constant rate each way (the paper's Fig. 2b).
    Constant(Rate),
    /// All links of a mix speak at one rate, which follows the busiest of them: up at once, down slowly (the Anonymity
    /// Network).
    DemandDriven {
        /// The rate while any circuit is open.
        least: Rate,
        /// The rate that is never exceeded.
        most: Rate,
    },
    /// Both ways at one rate that changes slowly; real cells take a third of it at most (Tarzan's mimics: Freedman and
    /// Morris 2002).
    Mimics(Rate),
}

/// A scheme of circuits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CircuitCover {
    /// They speak when there is something to say.
    #[default]
    None,
    /// One payload or dummy in every slot, both ways, from origin to last mix (the paper's Fig. 2c).
    Constant(Rate),
    /// Payloads or dummies at exponential intervals both ways, and loops through the last mix and back (Loopix).
    Poisson {
        /// Payloads and drops.
        rate: Rate,
        /// Loops.
        loops: Rate,
    },
}

/// Bits per second on the wire, IPv4 and UDP headers included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

/// IPv4 and UDP headers around a datagram, bytes.
const IP_UDP_BYTES: u64 = 28;

impl Rate {
    /// So many bits per second, or nothing if that is not within [`RATE_BPS_MIN`] and [`RATE_BPS_MAX`].
    pub const fn bps(bps: u64) -> Option<Self> {
        if RATE_BPS_MIN <= bps && bps <= RATE_BPS_MAX { Some(Self(bps)) } else { None }
    }

    /// The rate at which datagrams `gap` apart leave, within the bounds.
    pub fn of_gap(gap: Duration, geometry: Geometry) -> Self {
        let bps = bits(geometry) * 1_000_000_000 / (gap.as_nanos() as u64).max(1);
        Self(bps.clamp(RATE_BPS_MIN, RATE_BPS_MAX))
    }

    /// Bits per second.
    pub const fn as_bps(self) -> u64 {
        self.0
    }

    /// From one datagram to the next.
    pub const fn gap(self, geometry: Geometry) -> Duration {
        Duration::from_nanos(bits(geometry) * 1_000_000_000 / self.0)
    }
}

const fn bits(geometry: Geometry) -> u64 {
    (geometry.datagram() as u64 + IP_UDP_BYTES) * 8
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
        let circuit = match self.circuits {
            CircuitCover::None => return [None; 2],
            CircuitCover::Constant(rate) => rate.0,
            CircuitCover::Poisson { rate, loops } => rate.0 + loops.0,
        };
        let carried = [self.user_links.slots(), self.mix_links.slots()];
        carried.map(|slots| slots.map(|slots| slots.carries_bps() / circuit))
    }

    /// Why nobody should begin with it, if its schemes contradict each other or its machines are none.
    pub(crate) fn contradiction(&self, defences: &dyn Defences) -> Option<String> {
        if self.circuits_per_link().contains(&Some(0)) {
            return Some(format!(
                "cover `{self}`: links must carry the circuits on them, as user-link=256kbps,links=1mbps,end-to-end=64kbps; \
                 of poisson both rates count, of mimics a third"
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
        let circuits = match self.circuits {
            CircuitCover::None => None,
            CircuitCover::Constant(rate) | CircuitCover::Poisson { rate, .. } => Some(rate.gap(geometry)),
        };
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

/// What a slot costs beside waiting for it.
const SLOT_OVERHEAD: Duration =
    Duration::from_nanos((SLOT_GUARD.as_nanos() + 2 * SLOT_GRID.as_nanos()) as u64);

impl UserLinkCover {
    /// Its slots, if it has any.
    pub(crate) fn slots(&self) -> Option<LinkSlots> {
        match self {
            Self::Constant(rate) => Some(LinkSlots::Constant(*rate)),
            Self::None | Self::Machines(_) => None,
        }
    }
}

impl MixLinkCover {
    /// Its slots, if it has any.
    pub(crate) fn slots(self) -> Option<LinkSlots> {
        match self {
            Self::None => None,
            Self::Slots(slots) => Some(slots),
        }
    }
}

impl LinkSlots {
    /// From one slot for a real cell to the next, where that is fixed.
    fn widest_gap(self, geometry: Geometry) -> Option<Duration> {
        match self {
            Self::DemandDriven { .. } => None,
            Self::Constant(rate) => Some(rate.gap(geometry)),
            Self::Mimics(rate) => Some(rate.gap(geometry) * pace::MIMICS_REAL_SHARE),
        }
    }

    /// What real cells can take, bits per second.
    fn carries_bps(self) -> u64 {
        match self {
            Self::Constant(rate) | Self::DemandDriven { most: rate, .. } => rate.0,
            Self::Mimics(rate) => rate.0 / u64::from(pace::MIMICS_REAL_SHARE),
        }
    }

    /// Nearly the longest that a cell waits for its slot.
    fn wait(self, geometry: Geometry) -> Duration {
        let gap = match self {
            Self::Constant(rate) => rate.gap(geometry),
            Self::DemandDriven { least, .. } => least.gap(geometry),
            Self::Mimics(rate) => rate.gap(geometry) * pace::MIMICS_REAL_SHARE,
        };
        gap + SLOT_OVERHEAD
    }
}

impl CircuitCover {
    pub(crate) fn wait(self, geometry: Geometry) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Constant(rate) => rate.gap(geometry) + SLOT_OVERHEAD,
            // Longer in one of 150 cases.
            Self::Poisson { rate, .. } => rate.gap(geometry) * 5 + SLOT_OVERHEAD,
        }
    }
}

const SCHEMES: &str = "none, or of each kind one, joined by commas: user-link=64kbps or machine=CLIENT:MIX (texts of maybenot); links=64kbps, \
    demand-driven=8kbps:2mbps or mimics=64kbps; end-to-end=64kbps or poisson=64kbps:8kbps (payloads : loops); rates are \
    1kbps to 100mbps";

impl Cover {
    /// Reads schemes; those without a rate of their own have `default`.
    ///
    /// # Errors
    /// [`InvalidValue`] says what was expected.
    pub fn parse(text: &str, default: Rate) -> Result<Self, InvalidValue> {
        let wrong = || InvalidValue::new(text, SCHEMES);
        let mut cover = Self::NONE;
        if text == "none" {
            return Ok(cover);
        }
        for scheme in text.split(',') {
            let (name, values) = words(scheme);
            if let ("machine", UserLinkCover::None) = (name, &cover.user_links) {
                cover.user_links = UserLinkCover::Machines(machines(values).ok_or_else(wrong)?);
                continue;
            }
            let rates: Option<alloc::vec::Vec<Rate>> =
                values.into_iter().flatten().map(|rate| rate.parse().ok()).collect();
            let rates = rates.filter(|rates| rates.len() <= 2).ok_or_else(wrong)?;
            let rate = rates.first().copied().unwrap_or(default);
            let second = rates.get(1).copied();
            match (name, second) {
                ("user-link", None) if cover.user_links == UserLinkCover::None => {
                    cover.user_links = UserLinkCover::Constant(rate);
                }
                ("links", None) if cover.mix_links == MixLinkCover::None => {
                    cover.mix_links = MixLinkCover::Slots(LinkSlots::Constant(rate));
                }
                ("mimics", None) if cover.mix_links == MixLinkCover::None => {
                    cover.mix_links = MixLinkCover::Slots(LinkSlots::Mimics(rate));
                }
                ("demand-driven", _) if cover.mix_links == MixLinkCover::None => {
                    let most = second.unwrap_or(Rate((rate.0 * 32).min(RATE_BPS_MAX)));
                    let least = rate.min(most);
                    cover.mix_links = MixLinkCover::Slots(LinkSlots::DemandDriven { least, most });
                }
                ("end-to-end", None) if cover.circuits == CircuitCover::None => {
                    cover.circuits = CircuitCover::Constant(rate);
                }
                ("poisson", _) if cover.circuits == CircuitCover::None => {
                    let loops = second.unwrap_or(Rate((rate.0 / 10).max(RATE_BPS_MIN)));
                    cover.circuits = CircuitCover::Poisson { rate, loops };
                }
                _ => return Err(wrong()),
            }
        }
        Ok(cover)
    }
}

/// `machine=CLIENT:MIX`: texts of defences for the two ends of a user link; one of them may be missing.
fn machines<'t>(values: Option<impl Iterator<Item = &'t str>>) -> Option<Machines> {
    let mut texts = values?;
    let (client, mix) = (texts.next()?, texts.next().unwrap_or_default());
    let found = Machines { client: client.into(), mix: mix.into() };
    (texts.next().is_none() && !(client.is_empty() && mix.is_empty())).then_some(found)
}

/// The paper's rate for users' links.
pub const DEFAULT_RATE: Rate = Rate(64_000);

impl FromStr for Cover {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::parse(text, DEFAULT_RATE)
    }
}

impl fmt::Display for Cover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("none");
        }
        let mut between = "";
        let mut comma = |f: &mut fmt::Formatter<'_>| f.write_str(core::mem::replace(&mut between, ","));
        match &self.user_links {
            UserLinkCover::None => {}
            UserLinkCover::Constant(rate) => {
                comma(f)?;
                write!(f, "user-link={rate}")?;
            }
            UserLinkCover::Machines(Machines { client, mix }) => {
                comma(f)?;
                write!(f, "machine={client}")?;
                if !mix.is_empty() {
                    write!(f, ":{mix}")?;
                }
            }
        }
        if let MixLinkCover::Slots(slots) = &self.mix_links {
            comma(f)?;
            match slots {
                LinkSlots::Constant(rate) => write!(f, "links={rate}")?,
                LinkSlots::Mimics(rate) => write!(f, "mimics={rate}")?,
                LinkSlots::DemandDriven { least, most } => write!(f, "demand-driven={least}:{most}")?,
            }
        }
        match self.circuits {
            CircuitCover::None => Ok(()),
            CircuitCover::Constant(rate) => comma(f).and_then(|()| write!(f, "end-to-end={rate}")),
            CircuitCover::Poisson { rate, loops } => {
                comma(f).and_then(|()| write!(f, "poisson={rate}:{loops}"))
            }
        }
    }
}

impl FromStr for Rate {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &text[digits.len()..] {
            "bps" => Some(1.0),
            "kbps" => Some(1e3),
            "mbps" | "Mbps" => Some(1e6),
            _ => None,
        };
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let number = digits.parse::<f64>().ok().filter(|_| plain);
        let bps = unit.zip(number).map(|(unit, number)| (unit * number + 0.5) as u64);
        bps.and_then(Self::bps)
            .ok_or_else(|| InvalidValue::new(text, "1kbps to 100mbps, as 64kbps or 1.5mbps"))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bps if bps.is_multiple_of(1_000_000) => write!(f, "{}mbps", bps / 1_000_000),
            bps if bps.is_multiple_of(1000) => write!(f, "{}kbps", bps / 1000),
            bps => write!(f, "{bps}bps"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;
    use crate::time::Time;
    use std::string::ToString;

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

    #[test]
    fn a_rate_and_its_gap_belong_together() {
        let geometry = Geometry::DEFAULT;
        assert_eq!("64kbps".parse::<Rate>().unwrap().gap(geometry), Duration::from_micros(163_500));
        for bps in [1000, 8_000, 64_000, 1_500_000, 100_000_000] {
            let rate = Rate::bps(bps).unwrap();
            let back = Rate::of_gap(rate.gap(geometry), geometry).as_bps();
            assert!(back.abs_diff(bps) * 1000 <= bps, "{bps}: {back}");
        }
        for wrong in ["", "64", "64kb", "999bps", "101mbps", "-1kbps", "1e3kbps"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }
}
