//! Free routes: the first hop, then the exit, then the middle, each drawn from what the rules leave, in proportion to
//! its capacity.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::capacity::pick_by_capacity;
use super::{ExitWish, FirstHops, NoRoute, PathRules, Resting};
use crate::id::NodeId;
use crate::membership::View;
use crate::membership::{Description, Record};
use crate::rng::Rng;
use crate::time::Time;

/// What a path must be like.
pub(crate) struct Wanted<'r> {
    pub(crate) hops: usize,
    pub(crate) rules: PathRules,
    /// What its exit shall be like.
    pub(crate) exit: &'r ExitWish,
    /// Mixes that are taken only where there are no others.
    pub(crate) resting: &'r Resting,
    /// First hops among which is drawn.
    pub(crate) first_hops: usize,
    /// Where a first hop answered us, if it did. Of those that stand in a record, none is proved: a first hop that could
    /// make up its networks would keep honest exits in them out of our paths.
    pub(crate) proved: &'r dyn Fn(NodeId) -> Option<IpAddr>,
    /// How many circuits there are behind a first hop: one with fewest is drawn, since with links to all of its first hops a client
    /// knows a silent one from a silent line.
    pub(crate) behind_first: &'r dyn Fn(NodeId) -> usize,
    /// Whether nobody answers on our line: then none of our first hops is to blame.
    pub(crate) is_line_silent: bool,
    /// How it shall go on behind the first hop, where the rules permit it.
    pub(crate) behind: Option<Vec<Arc<Record>>>,
}

/// Draws a path, first hop first.
///
/// The first hop is drawn before the exit: otherwise a hostile exit, by claiming the families and networks of a
/// client's sticky first hops, could drive it to others.
pub(crate) fn choose(
    view: &View,
    wanted: &Wanted<'_>,
    first_hops: &mut FirstHops,
    rng: &mut Rng,
    now: Time,
) -> Result<Vec<Arc<Record>>, NoRoute> {
    let exit_after = |path: &[PlacedMix], rng: &mut Rng| {
        pick(view, wanted.resting, rng, now, |mix| {
            wanted.exit.is_met_by(mix) && fits(mix, path, wanted.rules)
        })
    };
    if wanted.hops == 1 {
        return exit_after(&[], rng).map(|exit| alloc::vec![exit]).ok_or(NoRoute::NoExit(wanted.exit.port));
    }
    let mut path: Vec<PlacedMix> = Vec::with_capacity(wanted.hops);
    let mut no_exit = false;
    // Where none answers, or the only exit that is left may be one of those that do, or of their operator. (Where it stands does
    // not count: an exit could say that it stands beside all of them.)
    let may_help = |answering: &[Arc<Record>]| {
        let mut exits = view.records().map(|record| record.description());
        let is_shut =
            |exit: &Description| answering.iter().all(|first| is_of_one_hand(exit, first.description()));
        exits.any(|exit| exit.until > now && wanted.exit.is_met_by(exit) && is_shut(exit))
    };
    if !wanted.is_line_silent {
        first_hops.join_if_lost(view, may_help, rng, now);
    }
    let mut firsts = first_hops.in_order(view, wanted.first_hops, rng, now);
    // Silent ones last. That adds no others: whoever can make them silent for a moment must not choose our first hops.
    firsts.sort_by_key(|first| {
        let id = first.description().identity;
        (first_hops.is_mistrusted(id, now), wanted.resting.has(id, now), (wanted.behind_first)(id))
    });
    for first in firsts {
        let first = PlacedMix::first(first, wanted.proved);
        let fits_first =
            |mix: &Arc<Record>| fits(mix.description(), core::slice::from_ref(&first), wanted.rules);
        if let Some(behind) = wanted.behind.as_ref().filter(|behind| behind.iter().all(fits_first)) {
            return Ok([core::slice::from_ref(&first.record), behind].concat());
        }
        if let Some(exit) = exit_after(core::slice::from_ref(&first), rng) {
            path.extend([first, PlacedMix::later(exit)]);
            break;
        }
        no_exit = true; // with this one; another first hop may leave one
    }
    if path.is_empty() {
        return Err(if no_exit { NoRoute::NoExit(wanted.exit.port) } else { NoRoute::NoFirstHop });
    }
    while path.len() < wanted.hops {
        let middle = pick(view, wanted.resting, rng, now, |mix| fits(mix, &path, wanted.rules));
        let middle = middle.ok_or(NoRoute::TooFewMixes { known: view.len(), hops: wanted.hops })?;
        path.insert(path.len() - 1, PlacedMix::later(middle));
    }
    Ok(path.into_iter().map(|hop| hop.record).collect())
}

/// A mix of a path, and where it is as far as the rules go.
struct PlacedMix {
    record: Arc<Record>,
    networks: Vec<WideBlock>,
}

impl PlacedMix {
    /// It is where we reach it; before we have, where it says first.
    fn first(record: Arc<Record>, proved: &dyn Fn(NodeId) -> Option<IpAddr>) -> Self {
        let mix = record.description();
        let at = proved(mix.identity).or_else(|| mix.addresses.first().map(|address| address.0.ip()));
        let networks = at.map(WideBlock::of).into_iter().collect();
        Self { record, networks }
    }

    /// Nobody is left to be kept out by what the others say but the middle.
    fn later(record: Arc<Record>) -> Self {
        let networks = networks(record.description()).collect();
        Self { record, networks }
    }
}

fn pick(
    view: &View,
    resting: &Resting,
    rng: &mut Rng,
    now: Time,
    allowed: impl Fn(&Description) -> bool,
) -> Option<Arc<Record>> {
    let valid = view.records().filter(|record| record.description().until > now);
    let allowed: Vec<_> = valid.filter(|record| allowed(record.description())).collect();
    let awake: Vec<_> =
        allowed.iter().filter(|record| !resting.has(record.description().identity, now)).copied().collect();
    pick_by_capacity(if awake.is_empty() { &allowed } else { &awake }, rng).map(Arc::clone)
}

/// Whether `mix` may join `path`.
fn fits(mix: &Description, path: &[PlacedMix], rules: PathRules) -> bool {
    path.iter().all(|hop| {
        let is_beside = networks(mix).any(|network| hop.networks.contains(&network));
        !is_of_one_hand(mix, hop.record.description())
            && (rules == PathRules::SamePrefixAllowed || !is_beside)
    })
}

/// Whether two mixes are one, or of one family.
fn is_of_one_hand(mix: &Description, other: &Description) -> bool {
    let family = |mix: &Description| mix.family.map(|member| member.family);
    mix.identity == other.identity || (family(mix).is_some() && family(mix) == family(other))
}

fn networks(mix: &Description) -> impl Iterator<Item = WideBlock> {
    mix.addresses.iter().map(|address| WideBlock::of(address.0.ip()))
}

/// What counts as one network: a /16 (IPv4) or a /32 (IPv6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WideBlock {
    V4(u16),
    V6(u32),
}

impl WideBlock {
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::V4((ip.to_bits() >> 16) as u16),
            IpAddr::V6(ip) => Self::V6((ip.to_bits() >> 96) as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Portable, Suite};
    use crate::id::NodeId;
    use crate::membership::join_family;
    use crate::ports::Ports;
    use crate::rng::{Purpose, Seed};
    use crate::scrubbed::Scrubbed;
    use alloc::string::String;
    use std::collections::{BTreeMap, BTreeSet};

    fn mix(number: u8, address: &str, family: Option<u8>, exit: bool) -> Arc<Record> {
        let secret = [number; 32];
        let description = Description {
            identity: NodeId(Portable::sign_public(&secret)),
            family: family
                .map(|family| join_family::<Portable>(&[family; 32], NodeId(Portable::sign_public(&secret)))),
            capacity: 1000,
            addresses: vec![Scrubbed(address.parse().unwrap())],
            exit_ports: if exit { Ports::reduced() } else { Ports::none() },
            from: Time::ZERO,
            until: Time::from_secs(1000),
        };
        Arc::new(Record::sign::<Portable>(description, &secret))
    }

    fn view(mixes: &[Arc<Record>]) -> View {
        let mut view = View::new();
        assert!(mixes.iter().all(|mix| view.learn(Arc::clone(mix))));
        view
    }

    fn wish(port: u16) -> ExitWish {
        ExitWish { port: Some(port), avoid: Vec::new() }
    }

    /// A path of so many mixes with such an exit, otherwise of the usual kind.
    fn path_of<'r>(hops: usize, exit: &'r ExitWish, resting: &'r Resting) -> Wanted<'r> {
        Wanted {
            hops,
            rules: PathRules::Diverse,
            exit,
            resting,
            first_hops: 3,
            proved: &|_| None,
            behind_first: &|_| 0,
            is_line_silent: false,
            behind: None,
        }
    }

    fn draw(view: &View, hops: usize, seed: u8) -> Result<Vec<Arc<Record>>, NoRoute> {
        let mut rng = Seed::from_bytes([seed; 32]).rng(Purpose::Route, 0);
        let (exit, resting) = (wish(443), Resting::default());
        let wanted = path_of(hops, &exit, &resting);
        choose(view, &wanted, &mut FirstHops::new([]), &mut rng, Time::ZERO)
    }

    #[test]
    fn no_path_holds_two_mixes_of_a_network_or_an_operator() {
        let mixes = [
            mix(1, "10.1.0.1:1", None, true),
            mix(2, "10.1.255.2:1", None, false),
            mix(3, "10.2.0.1:1", Some(1), false),
            mix(4, "10.3.0.1:1", Some(1), false),
            mix(5, "[2001:db8:1::1]:1", None, false),
            mix(6, "[2001:db8:2::1]:1", None, false),
            mix(7, "[2001:db9::1]:1", None, false),
        ];
        let view = view(&mixes);
        for seed in 0..200 {
            let path = draw(&view, 4, seed).unwrap();
            let hops: Vec<_> = path.iter().map(|r| r.description()).collect();
            assert_eq!(hops.len(), 4);
            assert!(hops[3].exit_ports.allows(443), "the last hop is an exit");
            for (i, a) in hops.iter().enumerate() {
                for b in &hops[i + 1..] {
                    assert_ne!(WideBlock::of(a.addresses[0].0.ip()), WideBlock::of(b.addresses[0].0.ip()));
                    let family = |mix: &Description| mix.family.map(|member| member.family);
                    assert!(family(a).is_none() || family(a) != family(b));
                }
            }
        }
        assert!(matches!(
            draw(&view, 5, 0),
            Err(NoRoute::TooFewMixes { hops: 5, .. }) | Err(NoRoute::NoFirstHop)
        ));
    }

    #[test]
    fn a_mix_is_chosen_by_what_it_carries_but_boasting_has_an_end() {
        let mut mixes: Vec<_> =
            (1..=9).map(|i| mix(i, &alloc::format!("10.{i}.0.1:1"), None, true)).collect();
        let boast = Description { capacity: u32::MAX, ..mixes[8].description().clone() };
        mixes[8] = Arc::new(Record::sign::<Portable>(boast, &[9; 32]));
        let mut rng = Seed::from_bytes([9; 32]).rng(Purpose::Route, 0);
        let candidates: Vec<_> = mixes.iter().collect();
        let boasted = (0..16_000)
            .filter(|_| pick_by_capacity(&candidates, &mut rng).unwrap().description().capacity == u32::MAX)
            .count();
        // 8 of 16 parts; the standard deviation is 63.
        assert!(boasted.abs_diff(8_000) < 320, "{boasted}");
    }

    /// A hostile first hop names addresses in the networks of all honest exits.
    #[test]
    fn a_first_hop_keeps_no_exit_out_by_addresses_that_it_does_not_have() {
        let mixes: Vec<_> = (1..=6).map(|i| mix(i, &alloc::format!("10.{i}.0.1:1"), None, i >= 3)).collect();
        let addresses = ["10.99.0.1:1", "10.3.0.9:1", "10.4.0.9:1", "10.5.0.9:1"];
        let boast = Description {
            addresses: addresses.map(|address| Scrubbed(address.parse().unwrap())).to_vec(),
            ..mixes[0].description().clone()
        };
        let liar = Arc::new(Record::sign::<Portable>(boast, &[1; 32]));
        let id = liar.description().identity;
        let view = view(&[&[Arc::clone(&liar)], &mixes[1..]].concat());
        let mut rng = Seed::from_bytes([5; 32]).rng(Purpose::Route, 0);
        let mut first_hops = FirstHops::new([id]);
        let mut kept_out = |proved: Option<&str>| {
            let proved = |of| proved.filter(|_| of == id).map(|address| address.parse().unwrap());
            let resting = &Resting::default();
            let exit = wish(443);
            let wanted = Wanted { first_hops: 1, proved: &proved, ..path_of(2, &exit, resting) };
            let exits: BTreeSet<_> = (0..200)
                .map(|_| choose(&view, &wanted, &mut first_hops, &mut rng, Time::ZERO).unwrap()[1].clone())
                .map(|exit| exit.description().identity)
                .collect();
            4 - exits.len()
        };
        assert_eq!(kept_out(None), 0, "what it says first is where it was never reached");
        assert_eq!(kept_out(Some("10.99.0.1")), 0);
        assert_eq!(kept_out(Some("10.4.7.7")), 1, "where it is");
    }

    #[test]
    fn an_exit_that_is_to_be_avoided_is_avoided() {
        let mixes: Vec<_> = (1..=5).map(|i| mix(i, &format!("10.{i}.0.1:1"), None, i <= 3)).collect();
        let avoided = mixes[1].description().identity;
        let view = view(&mixes);
        for seed in 0..100 {
            let exit = ExitWish { port: Some(443), avoid: vec![avoided, mixes[0].description().identity] };
            let mut rng = Seed::from_bytes([seed; 32]).rng(Purpose::Route, 0);
            let resting = Resting::default();
            let wanted = path_of(2, &exit, &resting);
            let path = choose(&view, &wanted, &mut FirstHops::new([]), &mut rng, Time::ZERO).unwrap();
            assert_eq!(path[1].description().identity, mixes[2].description().identity, "seed {seed}");
        }
    }

    #[test]
    fn without_an_exit_for_the_port_there_is_no_route() {
        let view = view(&[mix(1, "10.1.0.1:1", None, false), mix(2, "10.2.0.1:1", None, false)]);
        assert_eq!(draw(&view, 2, 0).unwrap_err(), NoRoute::NoExit(Some(443)));
    }

    #[test]
    fn a_resting_mix_is_taken_only_where_there_is_no_other() {
        let mixes: Vec<_> = (1..=5).map(|i| mix(i, &alloc::format!("10.{i}.0.1:1"), None, i <= 3)).collect();
        let (view, now) = (view(&mixes), Time::from_secs(1));
        let id = |number: usize| mixes[number - 1].description().identity;
        let mut resting = Resting::default();
        let mut rng = Seed::from_bytes([4; 32]).rng(Purpose::Route, 0);
        resting.rest(id(1), now);
        let mut first_hops = FirstHops::new([id(3)]);
        let mut exits = |resting: &Resting, now| {
            let exit = wish(443);
            let wanted = path_of(2, &exit, resting);
            let draw = |_| choose(&view, &wanted, &mut first_hops, &mut rng, now).unwrap()[1].clone();
            (0..100).map(draw).filter(|exit| exit.description().identity == id(1)).count()
        };
        assert_eq!(exits(&resting, now), 0);
        resting.rest(id(2), now);
        resting.rest(id(3), now);
        assert!(exits(&resting, now) > 0, "all rest, so all are drawn");
        assert!(exits(&Resting::default(), now) > 0);
    }

    /// Seven mixes, the first three of them exits, some of them dead; what a client with these first hops, `in_use` of them, draws
    /// once a second, until a circuit comes up. When, and how many first hops it has then.
    fn until_one_comes_up(kept: [usize; 3], dead: &[usize], in_use: usize) -> (Option<u64>, usize) {
        let mixes: Vec<_> = (1..=7).map(|i| mix(i, &alloc::format!("10.{i}.0.1:1"), None, i <= 3)).collect();
        let view = view(&mixes);
        let id = |number: usize| mixes[number - 1].description().identity;
        let mut first_hops = FirstHops::new(kept.map(id));
        let mut rng = Seed::from_bytes([6; 32]).rng(Purpose::Route, 0);
        for second in 1..600 {
            let now = Time::from_secs(second);
            let (exit, resting) = (wish(443), Resting::default());
            let wanted = Wanted { first_hops: in_use, ..path_of(3, &exit, &resting) };
            let path = choose(&view, &wanted, &mut first_hops, &mut rng, now).unwrap();
            let is_dead = |mix: &Arc<Record>| dead.iter().any(|dead| id(*dead) == mix.description().identity);
            let first = path[0].description().identity;
            if is_dead(&path[0]) {
                first_hops.failed(first, now);
                continue;
            }
            first_hops.answered(first, now);
            if !path.iter().any(is_dead) {
                return (Some(second), first_hops.ids().count());
            }
        }
        (None, first_hops.ids().count())
    }

    /// Of three first hops two are dead; the third one is the only exit that is left, and cannot be both.
    #[test]
    fn the_only_exit_that_is_left_gets_another_first_hop() {
        let (second, count) = until_one_comes_up([1, 2, 3], &[1, 3], 3);
        assert!(
            second.is_some_and(|second| (61..=120).contains(&second)) && count == 4,
            "{second:?} {count}"
        );
    }

    #[test]
    fn where_all_first_hops_are_dead_another_one_joins_after_a_minute() {
        let (second, count) = until_one_comes_up([5, 6, 7], &[5, 6, 7], 3);
        assert!(
            second.is_some_and(|second| (61..=120).contains(&second)) && count == 4,
            "{second:?} {count}"
        );
    }

    /// All exits are down, whichever first hop leads to them.
    #[test]
    fn an_outage_of_the_exits_draws_no_first_hops() {
        assert_eq!(until_one_comes_up([4, 5, 6], &[1, 2, 3], 3), (None, 3));
        assert_eq!(until_one_comes_up([4, 5, 6], &[1, 2, 3], 1), (None, 3), "with cover");
    }

    #[test]
    fn middles_and_exits_are_drawn_uniformly() {
        let mixes: Vec<_> = (1..=9).map(|i| mix(i, &alloc::format!("10.{i}.0.1:1"), None, i <= 3)).collect();
        let view = view(&mixes);
        let mut rng = Seed::from_bytes([9; 32]).rng(Purpose::Route, 0);
        let (exit, resting) = (ExitWish::default(), Resting::default());
        let wanted = path_of(3, &exit, &resting);
        let mut exits: BTreeMap<String, u32> = BTreeMap::new();
        let mut middles: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..40_000 {
            let path = choose(&view, &wanted, &mut FirstHops::new([]), &mut rng, Time::ZERO).unwrap();
            *exits.entry(alloc::format!("{:?}", path[2].description().identity)).or_default() += 1;
            *middles.entry(alloc::format!("{:?}", path[1].description().identity)).or_default() += 1;
        }
        // First hop: 1/9 each. Exit: 1/3 each, by symmetry. A middle is one of the seven that are neither: an exit
        // mix with (1 - 1/9 - 1/3)/7, another one with (1 - 1/9)/7.
        assert!(exits.values().all(|n| n.abs_diff(13_333) < 500), "{exits:?}");
        for mix in &mixes {
            let name = alloc::format!("{:?}", mix.description().identity);
            let expected = if mix.description().exit_ports.is_none() { 5079u32 } else { 3175 };
            assert!(middles[&name].abs_diff(expected) < 350, "{name}: {} of {expected}", middles[&name]);
        }
    }
}
