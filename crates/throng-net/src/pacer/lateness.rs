//! How slots were kept: counts, and lateness in classes that grow with it.

use std::time::Duration;

use super::{LATE, MISSED};

/// How slots were kept. Each datagram has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pacing {
    /// Slots in which a datagram left.
    pub slots: u64,
    /// Those of them that left more than [`LATE`] after their moment.
    pub late: u64,
    /// Slots in which nothing left: more than [`MISSED`] had passed, or too much waited.
    pub missed: u64,
    /// The greatest lateness of those that left.
    pub worst: Duration,
    classes: Classes,
}

/// Four classes to each doubling: a class ends at most a quarter above its beginning.
const CLASSES: usize = 4 * 13;
const _: () = assert!(class(MISSED) < CLASSES);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Classes([u64; CLASSES]);

impl Default for Classes {
    fn default() -> Self {
        Self([0; CLASSES])
    }
}

impl Pacing {
    /// Counts so many datagrams that left so late.
    pub(crate) fn count(&mut self, late: Duration, datagrams: u64) {
        self.slots += datagrams;
        if late > LATE {
            self.late += datagrams;
        }
        self.worst = self.worst.max(late);
        self.classes.0[class(late).min(CLASSES - 1)] += datagrams;
    }

    /// The share of slots that were kept: that left no more than [`LATE`] after their moment. All, if there were none.
    pub fn kept(&self) -> f64 {
        let all = self.slots + self.missed;
        if all == 0 { 1.0 } else { (self.slots - self.late) as f64 / all as f64 }
    }

    /// A lateness that this share of the slots that left did not exceed; overstated by a quarter at most, or by 1 µs.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (share * self.slots as f64).ceil() as u64;
        let mut seen = 0;
        let class = self.classes.0.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        class.map_or(self.worst, |class| end(class).min(self.worst))
    }
}

/// The class of a lateness: by its microseconds, of which four more make the first classes 1 µs wide.
const fn class(late: Duration) -> usize {
    let micros = late.as_micros() as usize + 4;
    let octave = micros.ilog2() as usize - 2;
    4 * octave + ((micros >> octave) & 3)
}

/// Where a class ends.
fn end(class: usize) -> Duration {
    let (octave, quarter) = (class / 4, class % 4);
    Duration::from_micros((((4 + quarter + 1) << octave) - 4) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lateness_is_below_the_end_of_its_class_by_a_quarter_or_a_microsecond() {
        for micros in 0..=MISSED.as_micros() as u64 {
            let late = Duration::from_micros(micros);
            let end = end(class(late));
            assert!(late < end, "{late:?} {end:?}");
            let most = Duration::from_micros(micros + 1).max(late * 5 / 4 + Duration::from_micros(1));
            assert!(end <= most, "{late:?} {end:?}");
        }
    }

    #[test]
    fn what_was_kept_late_and_missed_is_told_apart() {
        let mut pacing = Pacing::default();
        assert_eq!(pacing.kept(), 1.0);
        assert_eq!(pacing.quantile(0.5), Duration::ZERO);
        pacing.count(Duration::from_micros(50), 97);
        pacing.count(LATE, 1);
        pacing.count(LATE + Duration::from_nanos(1), 1);
        pacing.missed += 1;
        assert_eq!((pacing.slots, pacing.late, pacing.missed), (99, 1, 1));
        assert_eq!(pacing.kept(), 0.98);
        assert!((50..=63).contains(&pacing.quantile(0.5).as_micros()), "{:?}", pacing.quantile(0.5));
        assert_eq!(pacing.quantile(1.0), pacing.worst);
    }
}
