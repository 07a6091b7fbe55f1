//! Covered links between mixes. Their slots are at work in `link_slots.rs`.

use core::fmt;

use super::LinkSlots;
use super::scheme::Scheme;

/// A scheme of the links between mixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MixLinkCover {
    /// They speak when there is something to say.
    #[default]
    None,
    /// They have slots.
    Slots(LinkSlots),
}

impl MixLinkCover {
    /// What may be written.
    pub(super) const EXAMPLES: &'static str = LinkSlots::EXAMPLES;

    /// What a scheme chooses here; nothing if it is none of these.
    pub(super) fn read(scheme: &Scheme<'_>) -> Option<Self> {
        LinkSlots::read(scheme).map(Self::Slots)
    }

    /// Its slots, if it has any.
    pub(crate) fn slots(self) -> Option<LinkSlots> {
        match self {
            Self::None => None,
            Self::Slots(slots) => Some(slots),
        }
    }
}

impl fmt::Display for MixLinkCover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Slots(slots) => slots.fmt(f),
        }
    }
}
