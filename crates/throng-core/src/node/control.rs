//! What a neighbour says about links, circuits and documents, and whose it is.

use super::context::Cx;
use super::rooms::Rooms;
use crate::crypto::Suite;
use crate::id::{End, NeighbourKey};
use crate::refused::Refused;
use crate::wire::control::Control;

impl<S: Suite> Rooms<S> {
    /// A neighbour says something.
    pub(super) fn heed(
        &mut self,
        link: NeighbourKey,
        message: Control<'_>,
        cx: &mut Cx<'_>,
    ) -> Result<(), Refused> {
        match message {
            Control::Ping { token } => cx.say_at_once(link, &Control::Pong { token }),
            Control::Pong { token } => self.neighbours.receive_pong(link, token, cx.now),
            Control::Filler { gap: None } => {}
            Control::Filler { gap: Some(gap) } => self.neighbours.receive_filler(link, gap, cx),
            Control::Uncover => self.neighbours.receive_uncover(link, cx),
            Control::Introduce(who) => self.introduced(link, &who, cx)?,
            Control::Introduced => self.neighbours.believed(link, cx)?,
            Control::Renew { session, offer } => self.neighbours.receive_renew(link, session, offer, cx)?,
            Control::Renewed { initiator, responder, answer } => {
                self.neighbours.receive_renewed(link, (initiator, responder), answer, cx)?;
            }
            Control::Create { circuit, offer } => self.create(link, circuit, offer, cx)?,
            Control::Created { circuit, answer } => {
                self.joined(link, circuit, answer, cx)?;
            }
            Control::Destroy { circuit, why } => match self.neighbours.destroyed(link, circuit)? {
                Some(End::Origin(origin)) => self.origins.let_down(origin, why, cx),
                Some(end) => self.end(end, why, cx),
                None => {}
            },
            Control::Holding(what) => {
                let peer = self.neighbours.peer(link);
                let at = peer.and_then(|peer| self.neighbours.proved_at(peer));
                self.members.hear(link, peer.zip(at), what, cx)?;
            }
            Control::Want { digest, part } => self.give_part(link, digest, part, cx)?,
            Control::Part { digest, part, bytes } => {
                let turned = self.members.receive_part::<S>(link, digest, part, bytes, cx)?;
                turned.into_iter().for_each(|turned| self.follow(turned, cx));
            }
            Control::Piece(_) => return Err(Refused::Malformed), // a part of a part
        }
        Ok(())
    }
}
