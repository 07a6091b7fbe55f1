//! Covered links between clients and their first mixes. Constant slots are at work in `link_slots.rs`, machines in
//! `defence.rs`.

use core::fmt;

use super::scheme::Scheme;
use super::{LinkSlots, Machines, Rate};

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

impl UserLinkCover {
    /// What may be written.
    pub(super) const EXAMPLES: &'static str = "user-link=64kbps or machine=CLIENT:MIX (texts of maybenot)";

    /// What a scheme chooses here; nothing if it is none of these.
    pub(super) fn read(scheme: &Scheme<'_>) -> Option<Self> {
        match scheme.name {
            "user-link" => scheme.rate().map(Self::Constant),
            "machine" => machines(scheme.values()?).map(Self::Machines),
            _ => None,
        }
    }

    /// Its slots, if it has any.
    pub(crate) fn slots(&self) -> Option<LinkSlots> {
        match self {
            Self::Constant(rate) => Some(LinkSlots::Constant(*rate)),
            Self::None | Self::Machines(_) => None,
        }
    }
}

/// Texts of defences for the two ends of a user link; one of them may be missing.
fn machines(texts: &[&str]) -> Option<Machines> {
    let (client, mix) = match *texts {
        [client] => (client, ""),
        [client, mix] => (client, mix),
        _ => return None,
    };
    let is_any = !(client.is_empty() && mix.is_empty());
    is_any.then(|| Machines { client: client.into(), mix: mix.into() })
}

impl fmt::Display for UserLinkCover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Constant(rate) => write!(f, "user-link={rate}"),
            Self::Machines(Machines { client, mix }) if mix.is_empty() => write!(f, "machine={client}"),
            Self::Machines(Machines { client, mix }) => write!(f, "machine={client}:{mix}"),
        }
    }
}
