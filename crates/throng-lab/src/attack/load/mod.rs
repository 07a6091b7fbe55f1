//! Does the wire know the load? A classifier that was shown one recording of an idle and one of a busy network.
//!
//! It knows which is which. Each recording is cut into windows of one second; of each, every second window is for
//! training and the others are judged, so no window is judged by what was learnt from itself or, as with leaving one out,
//! from all others but itself (which makes chance look worse than it is). Each directed link is learnt by itself. For
//! every window of a link there are three scores; the higher, the more it looks busy:
//!
//! * **intervals**: with the share `w_b` of the window's intervals between datagrams in bin b, and `p_b`, `q_b` what share
//!   the trained idle and busy windows had in it, `Σ w_b · ln(q_b / p_b)`: how much farther from the idle than from the
//!   busy histogram the window's own is, by Kullback and Leibler. Bins end at quantiles of what was
//!   trained, eight of equal weight and finer ones in both tails: they are as fine as the intervals need, be it
//!   microseconds. Each histogram is mixed with `PRIOR` intervals of both together, so that a bin which one of them
//!   did not have in training is no certainty;
//! * **distribution**: `D_idle − D_busy`, with D the statistic of Kolmogorov and Smirnov, the largest distance between the
//!   distribution of the window's intervals and that of the trained ones;
//! * **counts**: `(c − (m + k)/2) · d / (s² + 1/12)` of the window's c datagrams, where trained idle windows had m on
//!   average, busy ones k, with a variance of s² within each, and d is k − m, less one: how much likelier c is in busy
//!   windows, if counts are normal. 1/12 is what whole numbers have.
//!
//! What was learnt and what is judged must not depend on each other, or a classifier of nothing is worse than chance and
//! hides a leak. Slots at even distances do depend: of 6.25 in a second, windows have 6 or 7 by turns, and where those
//! for training have more, the others have less; and a datagram that is late makes one interval longer and the next as
//! much shorter. So counts that differ by less than one datagram on average are taken for equal, the scores of intervals
//! do not grow with their number, and an interval from one window into the next belongs to neither.
//!
//! What the scores say is an [`Auc`], in two ways: of each link by
//! itself, all links' windows pooled, so that chance is narrow; and of all links together, where the scores of one
//! second are added up, so that many small leaks make a large one. The standard error beside each is that of windows that
//! do not depend on each other. What happens to a whole machine at once happens on all its links, and then chance is
//! wider than it says for each link by itself.

mod distribution;
mod histogram;

use std::collections::BTreeMap;
use std::fmt;

use throng_sim::Row;

use super::auc::Auc;
use distribution::distance;
use histogram::Histograms;

const WINDOW_NS: u64 = 1_000_000_000;
/// Windows of each recording that are needed at least, half of them for training.
const WINDOWS_MIN: usize = 4;

/// What the wire knows of the load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Knowledge {
    /// Directed links that were seen.
    pub links: usize,
    /// Those of them that were seen in one of the two only: who compares two networks instead of two loads has some.
    pub in_one_only: usize,
    /// Of each link by itself, pooled.
    pub each: Scores,
    /// Of all links together.
    pub together: Scores,
}

/// How well the scores tell idle windows from busy ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// By the histogram of intervals.
    pub intervals: Auc,
    /// By the distribution of intervals.
    pub distribution: Auc,
    /// By the number of datagrams.
    pub counts: Auc,
}

impl Scores {
    fn of(windows: [Vec<WindowScores>; 2]) -> Self {
        let auc = |by: usize| {
            let [idle, busy] = [IDLE, BUSY].map(|kind| windows[kind].iter().map(|scores| scores[by]));
            Auc::of(&idle.collect::<Vec<_>>(), &busy.collect::<Vec<_>>()).expect("there are windows of both")
        };
        Self { intervals: auc(0), distribution: auc(1), counts: auc(2) }
    }

    /// All of them, with their names.
    pub fn named(&self) -> [(&'static str, Auc); 3] {
        [("intervals", self.intervals), ("distribution", self.distribution), ("counts", self.counts)]
    }
}

/// A recording has too few whole windows to learn and to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooShort;

impl fmt::Display for TooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "each recording needs {WINDOWS_MIN} s at least")
    }
}

impl std::error::Error for TooShort {}

impl fmt::Display for Knowledge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { links, in_one_only, .. } = self;
        writeln!(
            f,
            "{links} directed links, {in_one_only} of them seen in one recording only; each by itself:"
        )?;
        for (name, auc) in self.each.named() {
            writeln!(f, "  {name:<12} {auc}")?;
        }
        writeln!(f, "all together:")?;
        for (name, auc) in self.together.named() {
            writeln!(f, "  {name:<12} {auc}")?;
        }
        Ok(())
    }
}

/// A part of a recording. Its ends are given because silence before the first and after the last row counts as well.
#[derive(Clone, Copy, Debug)]
pub struct Stretch<'r> {
    /// All rows, in the order of time.
    pub rows: &'r [Row],
    /// Where the part begins, in the rows' own nanoseconds.
    pub from: u64,
    /// Where it ends.
    pub until: u64,
}

impl<'r> Stretch<'r> {
    /// From the first row to the last.
    pub fn all(rows: &'r [Row]) -> Self {
        let at = |row: Option<&Row>| row.map_or(0, |row| row.at);
        Self { rows, from: at(rows.first()), until: at(rows.last()) }
    }
}

/// What the wire knows of the load, given when a network was idle and when it was busy.
///
/// Best of one recording, with turns between idle and busy in it: of two networks, each link has slots and keys of its
/// own, and the client other first mixes.
///
/// # Errors
/// [`TooShort`]: four windows of each are needed at least.
pub fn knows_the_load(idle: Stretch<'_>, busy: Stretch<'_>) -> Result<Knowledge, TooShort> {
    let (idle, busy) = (LinkSeconds::new(idle), LinkSeconds::new(busy));
    if idle.windows.min(busy.windows) < WINDOWS_MIN {
        return Err(TooShort);
    }
    let mut links: Vec<_> = idle.links.keys().chain(busy.links.keys()).copied().collect();
    links.sort_unstable();
    links.dedup();
    let in_both = links.iter().filter(|link| idle.links.contains_key(link) && busy.links.contains_key(link));
    let in_one_only = links.len() - in_both.count();
    let judged: Vec<Judged> =
        links.iter().map(|link| Judged::new(idle.link(*link), busy.link(*link))).collect();
    let pooled = |kind: usize| judged.iter().flat_map(|link| link.0[kind].iter().copied()).collect();
    let added = |kind: usize| -> Vec<WindowScores> {
        let windows = judged.first().map_or(0, |link| link.0[kind].len());
        (0..windows).map(|window| sum(judged.iter().map(|link| link.0[kind][window]))).collect()
    };
    Ok(Knowledge {
        links: links.len(),
        in_one_only,
        each: Scores::of([IDLE, BUSY].map(pooled)),
        together: Scores::of([IDLE, BUSY].map(added)),
    })
}

const IDLE: usize = 0;
const BUSY: usize = 1;

/// Of one window: by intervals, by their distribution, by counts.
type WindowScores = [f64; 3];

fn sum(scores: impl Iterator<Item = WindowScores>) -> WindowScores {
    scores.fold([0.0; 3], |sum, scores| std::array::from_fn(|by| sum[by] + scores[by]))
}

/// What was seen of a link in a second.
#[derive(Clone, Debug, Default)]
struct LinkSecond {
    datagrams: u32,
    /// Nanoseconds; in order of their length, when all are there.
    intervals: Vec<u64>,
    last: Option<u64>,
}

impl LinkSecond {
    fn add(&mut self, at: u64) {
        self.datagrams += 1;
        self.intervals.extend(self.last.map(|last| at.saturating_sub(last)));
        self.last = Some(at);
    }
}

/// The windows of each link.
struct LinkSeconds {
    windows: usize,
    links: BTreeMap<(u32, u32), Vec<LinkSecond>>,
    silent: Vec<LinkSecond>,
}

impl LinkSeconds {
    fn new(Stretch { rows, from, until }: Stretch<'_>) -> Self {
        let windows = (until.saturating_sub(from) / WINDOW_NS) as usize; // what is left is no whole one
        let silent = vec![LinkSecond::default(); windows];
        let mut links: BTreeMap<(u32, u32), Vec<LinkSecond>> = BTreeMap::new();
        for row in rows.iter().filter(|row| (from..until).contains(&row.at)) {
            let seen = links.entry((row.from, row.to)).or_insert_with(|| silent.clone());
            let number = ((row.at - from) / WINDOW_NS) as usize;
            seen.get_mut(number).into_iter().for_each(|window| window.add(row.at));
        }
        let windows_of_all = links.values_mut().flatten();
        windows_of_all.for_each(|window| window.intervals.sort_unstable());
        Self { windows, links, silent }
    }

    /// Nothing may have been sent on it.
    fn link(&self, link: (u32, u32)) -> &[LinkSecond] {
        self.links.get(&link).unwrap_or(&self.silent)
    }
}

/// The scores of a link's idle and busy windows, without those that it was learnt from.
struct Judged([Vec<WindowScores>; 2]);

impl Judged {
    fn new(idle: &[LinkSecond], busy: &[LinkSecond]) -> Self {
        let learnt = Learnt::new(idle, busy);
        Self([idle, busy].map(|windows| judged(windows).map(|window| learnt.scores(window)).collect()))
    }
}

/// What was learnt of a link.
struct Learnt {
    histograms: Histograms,
    /// Intervals of idle and busy windows, in order of their length.
    intervals: [Vec<u64>; 2],
    counts: CountLaw,
}

impl Learnt {
    fn new(idle: &[LinkSecond], busy: &[LinkSecond]) -> Self {
        let intervals = [idle, busy].map(|windows| {
            let mut all: Vec<u64> = training(windows).flat_map(|window| &window.intervals).copied().collect();
            all.sort_unstable();
            all
        });
        let histograms = Histograms::new(&intervals[IDLE], &intervals[BUSY]);
        Self { histograms, intervals, counts: CountLaw::new(idle, busy) }
    }

    fn scores(&self, window: &LinkSecond) -> WindowScores {
        let [idle, busy] = self.intervals.each_ref().map(|trained| distance(&window.intervals, trained));
        [self.histograms.score(&window.intervals), idle - busy, self.counts.score(window.datagrams)]
    }
}

fn training(windows: &[LinkSecond]) -> impl Iterator<Item = &LinkSecond> {
    windows.iter().step_by(2)
}

fn judged(windows: &[LinkSecond]) -> impl Iterator<Item = &LinkSecond> {
    windows.iter().skip(1).step_by(2)
}

/// How many datagrams the windows had in training.
struct CountLaw {
    idle_mean: f64,
    busy_mean: f64,
    variance: f64,
}

impl CountLaw {
    fn new(idle: &[LinkSecond], busy: &[LinkSecond]) -> Self {
        let (idle_mean, idle_squares, idle_windows) = moments(idle);
        let (busy_mean, busy_squares, busy_windows) = moments(busy);
        let variance = (idle_squares + busy_squares) / (idle_windows + busy_windows);
        Self { idle_mean, busy_mean, variance: variance + 1.0 / 12.0 }
    }

    fn score(&self, datagrams: u32) -> f64 {
        let middle = (self.idle_mean + self.busy_mean) / 2.0;
        let difference = self.busy_mean - self.idle_mean;
        let more = difference.signum() * (difference.abs() - 1.0).max(0.0);
        (f64::from(datagrams) - middle) * more / self.variance
    }
}

/// Mean, sum of squares of the differences from it, and how many.
fn moments(windows: &[LinkSecond]) -> (f64, f64, f64) {
    let counts = || training(windows).map(|window| f64::from(window.datagrams));
    let number = counts().count() as f64;
    let mean = counts().sum::<f64>() / number;
    (mean, counts().map(|count| (count - mean).powi(2)).sum(), number)
}

#[cfg(test)]
mod tests;
