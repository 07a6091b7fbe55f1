//! Whether a handshake is looked at: codes that a stranger cannot make, and cookies under load.
//!
//! As in WireGuard (Donenfeld 2017, section 5.3): the first code shows that the sender knows whom it speaks
//! to, so scanners get silence; the second shows that it can read what is sent to its address, so that a
//! flood from forged addresses costs us one hash each.

use alloc::boxed::Box;
use core::net::{IpAddr, SocketAddr};

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::admission::{Party, Permits};
use crate::crypto::{LinkCipher as _, OFFER_BYTES, Suite};
use crate::limits::{COOKIE_SECRET_LIFE, GATHERED_OFFERS_MAX, HANDSHAKES_PER_SECOND_CALM};
use crate::membership::Record;
use crate::rate::Bucket;
use crate::refused::Refused;
use crate::rng::Rng;
use crate::time::Time;
use crate::wire::datagram::{Datagram, Offer, offer_parts};
use crate::wire::parts::{Gathering, Part};

/// What keys the codes of offers to one responder. Everybody who knows its name has it.
pub(crate) struct CodeKey([u8; 32]);

impl CodeKey {
    pub(crate) fn new<S: Suite>(identity: &[u8; 32]) -> Self {
        Self(S::hash(&[b"throng offer code 2", identity]))
    }

    /// Of offers to this node.
    pub(crate) fn of<S: Suite>(record: &Record) -> Self {
        Self::new::<S>(&record.description().identity.0)
    }

    fn mac1<S: Suite>(&self, covered: &[u8]) -> [u8; 16] {
        truncate(&S::hash(&[b"mac1", &self.0, covered]))
    }

    fn cookie_key<S: Suite>(&self) -> S::LinkCipher {
        S::LinkCipher::new(&truncate(&S::hash(&[b"cookie", &self.0])))
    }
}

/// Writes a part of an offer with its codes into a datagram.
pub(crate) fn write_offer<S: Suite>(
    code: &CodeKey,
    initiator: u32,
    (part, bytes): (Part, &[u8]),
    cookie: Option<&[u8; 16]>,
    out: &mut [u8],
) {
    let offer = |mac1, mac2| Offer { initiator, part, bytes, mac1, mac2 };
    let zeros = offer(&[0; 16], &[0; 16]);
    let covered = zeros.covered();
    Datagram::Offer(zeros).write(out);
    let mac1 = code.mac1::<S>(&out[..covered]);
    let mac2 = cookie.map_or([0; 16], |cookie| mac2::<S>(cookie, &out[..covered]));
    Datagram::Offer(offer(&mac1, &mac2)).write(out);
}

fn mac2<S: Suite>(cookie: &[u8; 16], covered: &[u8]) -> [u8; 16] {
    truncate(&S::hash(&[b"mac2", cookie, covered]))
}

/// Opens a cookie that answers our offer.
pub(crate) fn open_cookie<S: Suite>(
    code: &CodeKey,
    offer_mac1: &[u8; 16],
    nonce: &[u8; 12],
    sealed: &[u8; 16],
    tag: &[u8; 16],
) -> Result<[u8; 16], Refused> {
    let mut cookie = *sealed;
    code.cookie_key::<S>().open(nonce, offer_mac1, &mut cookie, tag)?;
    Ok(cookie)
}

/// What the first code of this part of an offer is, where datagrams are so long.
pub(crate) fn offer_mac1<S: Suite>(
    code: &CodeKey,
    initiator: u32,
    (part, bytes): (Part, &[u8]),
    length: usize,
) -> [u8; 16] {
    let mut datagram = alloc::vec![0; length];
    let offer = Offer { initiator, part, bytes, mac1: &[0; 16], mac2: &[0; 16] };
    let covered = offer.covered();
    Datagram::Offer(offer).write(&mut datagram);
    code.mac1::<S>(&datagram[..covered])
}

/// A responder's judgement of offers.
pub(crate) struct Greeter {
    code: CodeKey,
    secret: [u8; 32],
    former_secret: [u8; 32],
    changed: Time,
    /// For offers from addresses that are not proved; only they take from it.
    calm: Bucket,
    /// Offers of which some parts are there, by where they come from.
    parts: Gathering<SocketAddr, GATHERED_OFFERS_MAX>,
}

/// What to do with an offer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reception {
    /// Do the handshake, for somebody who proved his address with a cookie or did not have to.
    Welcome { offer: Box<[u8; OFFER_BYTES]>, is_proved: bool },
    /// Wait for the rest of it.
    Wait,
    /// Send this cookie first.
    Cookie { nonce: [u8; 12], sealed: [u8; 16], tag: [u8; 16] },
}

impl Greeter {
    pub(crate) fn new<S: Suite>(identity: &[u8; 32], rng: &mut Rng, now: Time) -> Self {
        Self {
            code: CodeKey::new::<S>(identity),
            secret: rng.bytes(),
            former_secret: rng.bytes(),
            changed: now,
            calm: Bucket::new(HANDSHAKES_PER_SECOND_CALM, now),
            parts: Gathering::new(),
        }
    }

    /// Judges an offer, or a part of one, that came in `datagram` from `from`. The first part that comes is judged for all.
    pub(crate) fn judge<S: Suite>(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        offer: &Offer<'_>,
        (handshakes, rng): (&mut Permits, &mut Rng),
        now: Time,
    ) -> Result<Reception, Refused> {
        // An offer has as many parts as it needs, or a part that never comes would let others pass uncounted.
        if offer.part.of() != offer_parts(datagram.len()) {
            return Err(Refused::Malformed);
        }
        let covered = datagram.get(..offer.covered()).ok_or(Refused::Malformed)?;
        if !bool::from(self.code.mac1::<S>(covered).ct_eq(offer.mac1)) {
            return Err(Refused::Forged);
        }
        let is_begun = self.parts.has(from, offer.initiator);
        if is_begun || self.calm.take(now) {
            return self.take_in(from, offer, false);
        }
        self.refresh(rng, now);
        let right = |secret| mac2::<S>(&cookie::<S>(secret, from), covered).ct_eq(offer.mac2);
        if bool::from(right(&self.secret) | right(&self.former_secret)) {
            let is_granted = handshakes.take(Party::at(from.ip()), rng, now);
            return if is_granted { self.take_in(from, offer, true) } else { Err(Refused::TooMany) };
        }
        let nonce = rng.bytes();
        let mut sealed = cookie::<S>(&self.secret, from);
        let tag = self.code.cookie_key::<S>().seal(&nonce, offer.mac1, &mut sealed);
        Ok(Reception::Cookie { nonce, sealed, tag })
    }

    fn take_in(
        &mut self,
        from: SocketAddr,
        offer: &Offer<'_>,
        is_proved: bool,
    ) -> Result<Reception, Refused> {
        let whole = self.parts.add((from, offer.initiator), offer.part, 0, offer.bytes);
        let Some(whole) = whole else { return Ok(Reception::Wait) };
        let offer = whole.bytes.into_boxed_slice().try_into().map_err(|_| Refused::Malformed)?;
        Ok(Reception::Welcome { offer, is_proved })
    }

    fn refresh(&mut self, rng: &mut Rng, now: Time) {
        if now - self.changed >= COOKIE_SECRET_LIFE {
            self.former_secret = self.secret;
            self.secret = rng.bytes();
            self.changed = now;
        }
    }
}

impl Drop for Greeter {
    fn drop(&mut self) {
        self.secret.zeroize();
        self.former_secret.zeroize();
    }
}

fn cookie<S: Suite>(secret: &[u8; 32], from: SocketAddr) -> [u8; 16] {
    truncate(&S::hash(&[b"cookie of", secret, &address_bytes(from)]))
}

/// An address and a port, one of IPv4 as the one of IPv6 that stands for it.
pub(super) fn address_bytes(address: SocketAddr) -> [u8; 18] {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut bytes = [0; 18];
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&address.port().to_be_bytes());
    bytes
}

fn truncate(hash: &[u8; 32]) -> [u8; 16] {
    *hash.first_chunk().expect("32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Portable;
    use crate::limits::HANDSHAKES_PER_SECOND_MAX;
    use crate::rng::{Purpose, Seed};

    const FROM: &str = "127.1.0.1:9000";

    fn judged(
        (greeter, handshakes): (&mut Greeter, &mut Permits),
        from: &str,
        cookie: Option<&[u8; 16]>,
        rng: &mut Rng,
    ) -> Result<Reception, Refused> {
        let code = CodeKey::new::<Portable>(&[1; 32]);
        let mut datagram = [0; 1280];
        write_offer::<Portable>(&code, 7, (Part::WHOLE, &[9; OFFER_BYTES]), cookie, &mut datagram);
        let Ok(Datagram::Offer(offer)) = Datagram::parse(&datagram) else { panic!("an offer was written") };
        greeter.judge::<Portable>(from.parse().unwrap(), &datagram, &offer, (handshakes, rng), Time::ZERO)
    }

    #[test]
    fn under_load_only_those_come_in_who_can_read_at_their_address() {
        let mut rng = Seed::from_bytes([0; 32]).rng(Purpose::Keys, 0);
        let mut handshakes = Permits::new(HANDSHAKES_PER_SECOND_MAX, Time::ZERO);
        let mut greeter = Greeter::new::<Portable>(&[1; 32], &mut rng, Time::ZERO);
        for _ in 0..HANDSHAKES_PER_SECOND_CALM {
            assert!(matches!(
                judged((&mut greeter, &mut handshakes), FROM, None, &mut rng),
                Ok(Reception::Welcome { .. })
            ));
        }
        let Ok(Reception::Cookie { nonce, sealed, tag }) =
            judged((&mut greeter, &mut handshakes), FROM, None, &mut rng)
        else {
            panic!("one more is asked for a cookie");
        };
        let code = CodeKey::new::<Portable>(&[1; 32]);
        let mac1 = offer_mac1::<Portable>(&code, 7, (Part::WHOLE, &[9; OFFER_BYTES]), 1280);
        let cookie = open_cookie::<Portable>(&code, &mac1, &nonce, &sealed, &tag).unwrap();
        assert!(matches!(
            judged((&mut greeter, &mut handshakes), FROM, Some(&cookie), &mut rng),
            Ok(Reception::Welcome { .. })
        ));
        let elsewhere = judged((&mut greeter, &mut handshakes), "127.2.0.1:9000", Some(&cookie), &mut rng);
        assert!(matches!(elsewhere, Ok(Reception::Cookie { .. })), "a cookie is for one address");
    }

    #[test]
    fn who_does_not_know_our_keys_gets_silence() {
        let mut rng = Seed::from_bytes([0; 32]).rng(Purpose::Keys, 0);
        let mut handshakes = Permits::new(HANDSHAKES_PER_SECOND_MAX, Time::ZERO);
        let mut greeter = Greeter::new::<Portable>(&[3; 32], &mut rng, Time::ZERO);
        assert_eq!(judged((&mut greeter, &mut handshakes), FROM, None, &mut rng), Err(Refused::Forged));
    }

    #[test]
    fn a_part_of_an_offer_lets_no_others_pass_uncounted() {
        let mut rng = Seed::from_bytes([0; 32]).rng(Purpose::Keys, 0);
        let mut handshakes = Permits::new(HANDSHAKES_PER_SECOND_MAX, Time::ZERO);
        let mut greeter = Greeter::new::<Portable>(&[1; 32], &mut rng, Time::ZERO);
        let code = CodeKey::new::<Portable>(&[1; 32]);
        let mut judge = |(part, bytes): (Part, &[u8]), length: usize| {
            let mut datagram = alloc::vec![0; length];
            write_offer::<Portable>(&code, 7, (part, bytes), None, &mut datagram);
            let Ok(Datagram::Offer(offer)) = Datagram::parse(&datagram) else {
                panic!("an offer was written")
            };
            greeter.judge::<Portable>(
                FROM.parse().unwrap(),
                &datagram,
                &offer,
                (&mut handshakes, &mut rng),
                Time::ZERO,
            )
        };
        let half = Part::new(0, 2).unwrap();
        assert_eq!(judge((half, &[9; OFFER_BYTES / 2]), 1280), Err(Refused::Malformed), "it needs no parts");
        let welcome = (0..1000).filter(|_| {
            matches!(judge((Part::WHOLE, &[9; OFFER_BYTES]), 1280), Ok(Reception::Welcome { .. }))
        });
        assert_eq!(welcome.count(), HANDSHAKES_PER_SECOND_CALM as usize);
    }
}
