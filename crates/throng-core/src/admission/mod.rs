//! Who gets how much of what is bounded, when more is asked for than there is.
//!
//! A node cannot tell an honest stranger from a hostile one, but it sees where each comes from, and addresses cost their owner
//! something. So everything that strangers can fill is shared by that: first between mixes that are known and all others, then
//! by the wide block of addresses, the narrow one, the address, and the link. [`Shares`] is for what is held, where whoever
//! has most makes room; [`Permits`] for what is done, of which each may have a fixed part, and in a shortage a part of what is
//! left; [`FairQueue`] for who is served first.

mod party;
mod permits;
mod queue;
mod shares;

pub(crate) use self::party::Party;
pub(crate) use self::permits::Permits;
pub(crate) use self::queue::FairQueue;
pub(crate) use self::shares::{Among, Shares};
