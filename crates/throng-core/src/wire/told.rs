//! What a mix says of its company while it joins a circuit. Nobody can check it: it is shown as what the mix says.

use super::{Malformed, Reader, Writer};

/// A mix's own words about the last minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Users.
    pub users: u32,
    /// Circuits on which something passed.
    pub circuits: u32,
    /// Circuits among which a cell was, in hundredths.
    pub set: u32,
    /// Entropy of a cell, in hundredths of a bit.
    pub bits: u32,
}

impl Told {
    /// Its length, bytes.
    pub(crate) const BYTES: usize = 16;

    pub(crate) fn read(fields: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { users: fields.u32()?, circuits: fields.u32()?, set: fields.u32()?, bits: fields.u32()? })
    }

    pub(crate) fn write<'w, 'b>(self, fields: &'w mut Writer<'b>) -> &'w mut Writer<'b> {
        fields.u32(self.users).u32(self.circuits).u32(self.set).u32(self.bits)
    }
}
