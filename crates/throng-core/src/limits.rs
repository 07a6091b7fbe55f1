//! Every bound in one place: unit last in the name, relations asserted at compile time.

/// Most port ranges that an exit may list in its record.
pub const PORT_RANGES_MAX: usize = 16;
