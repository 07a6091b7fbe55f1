//! Reading and writing fields in order. All integers are little-endian.

use super::Malformed;

/// Takes fields off the front of a slice.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (front, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(front)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Malformed> {
        let (front, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(front)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| *byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(|bytes| u16::from_le_bytes(*bytes))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(|bytes| u32::from_le_bytes(*bytes))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// Bytes left.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Puts fields into a slice of fixed length; what is left over stays as it was.
///
/// Running over the end is a bug of ours and panics.
pub(crate) struct Writer<'a>(&'a mut [u8]);

impl<'a> Writer<'a> {
    pub(crate) const fn new(bytes: &'a mut [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn put(&mut self, field: &[u8]) -> &mut Self {
        let (front, rest) = core::mem::take(&mut self.0).split_at_mut(field.len());
        front.copy_from_slice(field);
        self.0 = rest;
        self
    }

    pub(crate) fn u8(&mut self, field: u8) -> &mut Self {
        self.put(&[field])
    }

    pub(crate) fn u16(&mut self, field: u16) -> &mut Self {
        self.put(&field.to_le_bytes())
    }

    pub(crate) fn u32(&mut self, field: u32) -> &mut Self {
        self.put(&field.to_le_bytes())
    }

    pub(crate) fn u64(&mut self, field: u64) -> &mut Self {
        self.put(&field.to_le_bytes())
    }

    /// Zeros to the end.
    pub(crate) fn finish(self) {
        self.0.fill(0);
    }
}
