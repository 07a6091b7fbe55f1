//! One path through us: who comes before and after, our layer, what was seen.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::cover::CircuitPace;
use crate::crypto::{ANSWER_BYTES, OFFER_BYTES, Suite};
use crate::id::{Fingerprint, NeighbourKey};
use crate::layers::Layers;
use crate::limits::{
    ANSWERS_MAX, BUILD_TIME_MAX, CIRCUIT_AGE_MAX, CIRCUIT_WINDOW_CELLS, RELAY_IDLE_MAX, REPLY_WINDOW_CELLS,
};
use crate::membership::Record;
use crate::refused::Refused;
use crate::time::Time;
use crate::timers::Due;
use crate::window::{Rationed, Window};
use crate::wire::Geometry;
use crate::wire::cell::{CellHeader, Space};
use crate::wire::message::{self as wire, Message, is_recognised};

/// A circuit through us.
pub(crate) struct Relay<S: Suite> {
    pub(crate) previous: (NeighbourKey, u32),
    pub(crate) next: NextHop,
    pub(crate) due: Due,
    /// Whether payloads went to our own pipe, so that it has to hear of the end.
    pub(crate) delivers: bool,
    /// Our answer to the set-up, until the origin shows that it has it.
    pub(crate) answer: Option<Box<GivenAnswer>>,
    /// None where the circuit speaks when there is something to say, or does not end here.
    pub(crate) pace: Option<Box<CircuitPace>>,
    layers: Layers<S>,
    next_number: u32,
    seen_forward: Rationed<CIRCUIT_WINDOW_CELLS>,
    seen_stream: Rationed<CIRCUIT_WINDOW_CELLS>,
    seen_reply: Window<REPLY_WINDOW_CELLS>,
    /// Cells of answers that went back: a circuit that grows without end has more than it may.
    replies: u16,
    made: Time,
    heard: Time,
}

/// A set-up message and what we said to it; said again if the message comes again.
pub(crate) struct GivenAnswer {
    pub(crate) offer_head: [u8; 32],
    pub(crate) answer: [u8; ANSWER_BYTES],
    /// Its record, if we chose it.
    pub(crate) chosen: Option<Arc<Record>>,
}

/// What comes after us.
pub(crate) enum NextHop {
    /// Nothing: we are the last hop.
    End,
    /// A hop that was asked and has not answered.
    Extending(Box<Extending>),
    /// A hop.
    Hop {
        link: NeighbourKey,
        name: u32,
        /// Its answer, until the origin shows that it has it.
        answer: Option<Box<GivenAnswer>>,
    },
}

pub(crate) struct Extending {
    pub(crate) link: NeighbourKey,
    pub(crate) name: u32,
    pub(crate) offer: Box<[u8; OFFER_BYTES]>,
    /// The numbers of the latest request's cells, under which the answer goes back.
    pub(crate) numbers: Vec<u32>,
    /// Its record, if we chose it.
    pub(crate) chosen: Option<Arc<Record>>,
}

/// An origin wants one hop more.
pub(crate) struct ExtendRequest {
    /// The numbers of the request's cells. Each is good for one cell of an answer.
    pub(crate) numbers: Vec<u32>,
    /// The handshake's first message, for the next hop.
    pub(crate) offer: Box<[u8; OFFER_BYTES]>,
    /// Which one that is.
    pub(crate) to: To,
}

/// Which node an origin wants as the next hop.
pub(crate) enum To {
    /// One that we know by this name.
    Named(Fingerprint),
    /// One that says this of itself.
    Described(Vec<u8>),
    /// Whichever we choose.
    OurChoice,
}

impl ExtendRequest {
    pub(crate) fn new(numbers: &[u32], offer: &[u8; OFFER_BYTES], next: wire::Next<'_>) -> Self {
        let to = match next {
            wire::Next::Named(name) => To::Named(name),
            wire::Next::Described(record) => To::Described(record.to_vec()),
            wire::Next::YouChoose => To::OurChoice,
        };
        Self { numbers: numbers.to_vec(), offer: Box::new(*offer), to }
    }
}

impl NextHop {
    /// The link and name behind us, also of a hop that has not answered yet.
    pub(crate) fn end(&self) -> Option<(NeighbourKey, u32)> {
        match self {
            Self::End => None,
            Self::Extending(extending) => Some((extending.link, extending.name)),
            Self::Hop { link, name, .. } => Some((*link, *name)),
        }
    }
}

/// A cell with our layer off. Only [`Relay::peel`] makes one.
pub(crate) enum Peeled<'b> {
    /// It goes on, on this link, under this header.
    Onward(NeighbourKey, CellHeader),
    /// It is for us.
    Mine(Message<'b>),
}

impl<S: Suite> Relay<S> {
    pub(crate) fn new(
        previous: (NeighbourKey, u32),
        layers: Layers<S>,
        answer: GivenAnswer,
        now: Time,
    ) -> Self {
        Self {
            previous,
            next: NextHop::End,
            due: Due::NONE,
            delivers: false,
            answer: Some(Box::new(answer)),
            pace: None,
            next_number: layers.first_number,
            layers,
            seen_forward: Rationed::new(),
            seen_stream: Rationed::new(),
            seen_reply: Window::new(),
            replies: 0,
            made: now,
            heard: now,
        }
    }

    /// Takes our layer off a cell that travels forward.
    pub(crate) fn peel<'b>(
        &mut self,
        number: u32,
        body: &'b mut [u8],
        now: Time,
    ) -> Result<Peeled<'b>, Refused> {
        self.seen_forward.admit(number)?;
        self.layers.forward(number, body);
        self.heard = now;
        if is_recognised(body) {
            self.answer = None;
            return Ok(Peeled::Mine(Message::parse(body)?));
        }
        match &mut self.next {
            NextHop::Hop { link, name, answer } => {
                *answer = None;
                let number = self.layers.number_behind(number);
                Ok(Peeled::Onward(*link, CellHeader { circuit: *name, space: Space::Stream, number }))
            }
            NextHop::End | NextHop::Extending(_) => Err(Refused::Noise),
        }
    }

    /// Puts our layer onto a cell that travels backward; under which header it goes on, on the previous link.
    ///
    /// The last hop chooses the numbers, and a first hop in the same hands can read them: so gaps are rationed, as they
    /// are forward, and replies are for the set-up only, under the numbers of cells that went forward here: of those there are a
    /// handful then, each answered once.
    pub(crate) fn wrap(
        &mut self,
        space: Space,
        number: u32,
        body: &mut [u8],
        geometry: Geometry,
        now: Time,
    ) -> Result<CellHeader, Refused> {
        let before = self.layers.number_before(space, number);
        match space {
            Space::Stream => self.seen_stream.admit(number)?,
            Space::Reply if now - self.made > BUILD_TIME_MAX => return Err(Refused::OutOfPlace),
            Space::Reply if !self.seen_forward.has_seen(before) => return Err(Refused::OutOfPlace),
            Space::Reply if !self.seen_reply.admit(number) => return Err(Refused::ReplayedCell),
            Space::Reply if usize::from(self.replies) >= ANSWERS_MAX * geometry.answer_cells() => {
                return Err(Refused::TooMany);
            }
            Space::Reply => self.replies += 1,
        }
        self.heard = now;
        self.layers.backward(space, before, body);
        Ok(CellHeader { circuit: self.previous.1, space, number: before })
    }

    /// The number that our next cell, as the last hop, will have.
    pub(crate) fn next_number(&self) -> u32 {
        self.next_number
    }

    /// Wraps a message of ours, as the last hop.
    pub(crate) fn wrap_own(&mut self, message: &Message<'_>, body: &mut [u8]) -> CellHeader {
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        self.wrap_as(Space::Stream, number, message, body)
    }

    /// Wraps our answer to the origin's request of this number.
    pub(crate) fn wrap_reply(&self, request: u32, message: &Message<'_>, body: &mut [u8]) -> CellHeader {
        self.wrap_as(Space::Reply, request, message, body)
    }

    fn wrap_as(&self, space: Space, number: u32, message: &Message<'_>, body: &mut [u8]) -> CellHeader {
        message.write(body);
        self.layers.backward(space, number, body);
        CellHeader { circuit: self.previous.1, space, number }
    }

    /// When something passed last.
    pub(crate) fn heard(&self) -> Time {
        self.heard
    }

    /// When the circuit is to be forgotten if nothing more comes.
    pub(crate) fn end(&self) -> Time {
        (self.heard + RELAY_IDLE_MAX).min(self.made + CIRCUIT_AGE_MAX)
    }
}
