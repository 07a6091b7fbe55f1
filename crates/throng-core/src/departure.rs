//! Where a cell will go, and when.

use crate::id::LinkKey;
use crate::time::Time;
use crate::wire::cell::CellHeader;

/// Where a cell will go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Departure {
    pub(crate) link: LinkKey,
    pub(crate) header: CellHeader,
    /// The slot of its circuit; [`Time::ZERO`]: at once.
    pub(crate) at: Time,
}

impl Departure {
    /// As soon as the strategy lets it go.
    pub(crate) const fn soon(link: LinkKey, header: CellHeader) -> Self {
        Self { link, header, at: Time::ZERO }
    }
}
