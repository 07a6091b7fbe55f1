//! Mixes drawn in proportion to what they can carry.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::limits::CAPACITY_MEDIANS_MAX;
use crate::membership::Record;
use crate::rng::Rng;

/// One of these mixes, in proportion to what they say that they can carry, up to [`CAPACITY_MEDIANS_MAX`] times the
/// median.
pub(super) fn pick_by_capacity<'r>(mixes: &[&'r Arc<Record>], rng: &mut Rng) -> Option<&'r Arc<Record>> {
    let mut capacities: Vec<u32> = mixes.iter().map(|record| record.description().capacity).collect();
    let middle = capacities.len() / 2;
    let (_, median, _) = (!capacities.is_empty()).then(|| capacities.select_nth_unstable(middle))?;
    let most = median.saturating_mul(CAPACITY_MEDIANS_MAX);
    rng.pick_by_weight(mixes, |record| record.description().capacity.min(most)).copied()
}
