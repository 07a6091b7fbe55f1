//! The keys that a circuit's origin shares with one hop, and how its numbers run.
//!
//! Every cell has a number, which makes it unique (it is the layer's tweak) and lets replays be recognised.
//! On each link of a circuit the numbers run from another place: hop and origin share two secret offsets. So
//! two mixes cannot tell by its number that they see the same cell. (They can still count cells and gaps; against
//! that helps cover traffic only.)

use zeroize::Zeroize;

use crate::crypto::{LayerCipher as _, SessionSecret, Suite};
use crate::wire::cell::Space;

/// One hop's layer.
pub(crate) struct Layers<S: Suite> {
    forward: S::LayerCipher,
    backward: S::LayerCipher,
    forward_offset: u32,
    backward_offset: u32,
    /// The number of the first cell that this hop sends backward as the last one.
    pub(crate) first_number: u32,
}

impl<S: Suite> Layers<S> {
    pub(crate) fn new(session: &SessionSecret) -> Self {
        let mut bytes = [0u8; 44];
        session.expand::<S>(b"circuit layer", &mut bytes);
        let key = |at: usize| S::LayerCipher::new(bytes[at..at + 16].try_into().expect("16 bytes"));
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let layers = Self {
            forward: key(0),
            backward: key(16),
            forward_offset: number(32),
            backward_offset: number(36),
            first_number: number(40),
        };
        bytes.zeroize();
        layers
    }

    /// A mix's work on a cell that travels forward; `number` is the one it came with.
    pub(crate) fn forward(&self, number: u32, body: &mut [u8]) {
        self.forward.encipher(&tweak(0, number), body);
    }

    /// A mix's work on a cell that travels backward; `number` is the one it leaves with.
    pub(crate) fn backward(&self, space: Space, number: u32, body: &mut [u8]) {
        self.backward.encipher(&tweak(backward_kind(space), number), body);
    }

    /// What the origin does so that [`forward`](Self::forward) undoes it.
    pub(crate) fn prepare_forward(&self, number: u32, body: &mut [u8]) {
        self.forward.decipher(&tweak(0, number), body);
    }

    /// What the origin does to undo [`backward`](Self::backward).
    pub(crate) fn undo_backward(&self, space: Space, number: u32, body: &mut [u8]) {
        self.backward.decipher(&tweak(backward_kind(space), number), body);
    }

    /// A forward number on the link behind this hop, from the one before it.
    pub(crate) fn number_behind(&self, number: u32) -> u32 {
        number.wrapping_add(self.forward_offset)
    }

    /// A forward number on the link before this hop, from the one behind it.
    pub(crate) fn number_ahead(&self, number: u32) -> u32 {
        number.wrapping_sub(self.forward_offset)
    }

    /// A backward number on the link before this hop, from the one behind it.
    pub(crate) fn number_before(&self, space: Space, number: u32) -> u32 {
        match space {
            Space::Stream => number.wrapping_add(self.backward_offset),
            Space::Reply => number.wrapping_sub(self.forward_offset),
        }
    }

    /// A backward number on the link behind this hop, from the one before it.
    pub(crate) fn backward_number_behind(&self, space: Space, number: u32) -> u32 {
        match space {
            Space::Stream => number.wrapping_sub(self.backward_offset),
            Space::Reply => number.wrapping_add(self.forward_offset),
        }
    }
}

fn backward_kind(space: Space) -> u8 {
    match space {
        Space::Stream => 1,
        Space::Reply => 2,
    }
}

/// What makes a layer's permutation another one for every cell.
fn tweak(kind: u8, number: u32) -> [u8; 16] {
    let mut tweak = [0; 16];
    tweak[0] = kind;
    tweak[4..8].copy_from_slice(&number.to_le_bytes());
    tweak
}
