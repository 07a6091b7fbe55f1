//! What a design can choose.

/// The format of a design's text.
pub(super) const FORMAT: &str = "1";

/// All that a design can choose, in the order in which it is written. `rate` is no choice of its own: it is the rate of cover
/// schemes that name none.
pub const AXES: [&str; 9] =
    ["format", "wire", "datagram", "route", "hops", "mixing", "company", "rate", "cover"];
