//! What the operators of a static network say together: who is in it, and how it works.
//!
//! ```text
//! version u8 · name u8 + text · serial u64 · from u64 · until u64 · before u8 × digest 32
//! · design u16 + text
//! · records u16 × (length u16, record) · signatures u8 × (operator 32, signature 64)
//! ```
//!
//! The signatures are over everything before their count. A document names those before it: operators' keys that sign one
//! history for some and another one for others are found out by whoever gets from one to the other.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::crypto::Suite;
use crate::design::{Design, DesignError};
use crate::limits::{
    DOCUMENT_RECORDS_MAX, DOCUMENTS_BEFORE_MAX, NETWORK_NAME_BYTES_MAX, OPERATORS_MAX, RECORD_BYTES_MAX,
};
use crate::membership::Record;
use crate::refused::Refused;
use crate::time::Time;
use crate::wire::datagram::VERSION as WIRE;
use crate::wire::{Malformed, Reader};

const VERSION: u8 = 5;
const SIGNATURE_CONTEXT: &[u8] = b"throng network 1\0";

/// Whose signatures count: the operators' Ed25519 keys, and how many of them must have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    network: String,
    operators: Vec<[u8; 32]>,
    threshold: usize,
}

/// What a document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The network's name.
    pub network: String,
    /// Which of its documents this is; a higher one replaces a lower one.
    pub serial: u64,
    /// Begin of validity.
    pub from: Time,
    /// End of validity.
    pub until: Time,
    /// Digests of the documents before it, the newest first: of all, or of the last [`DOCUMENTS_BEFORE_MAX`].
    pub before: Vec<[u8; 32]>,
    /// How it works.
    pub design: Design,
    /// Its mixes.
    pub records: Vec<Arc<Record>>,
}

/// A statement that enough operators signed. There is no other way to have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    statement: Statement,
    bytes: Vec<u8>,
    signed: usize,
    digest: [u8; 32],
}

/// Why a document is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentError {
    /// Bytes that are no document.
    Malformed,
    /// A format that this program does not know.
    UnknownVersion(u8),
    /// Of another network.
    OtherNetwork,
    /// Fewer operators signed than must.
    UnderSigned {
        /// Valid signatures of different operators.
        valid: usize,
        /// How many there must be.
        needed: usize,
    },
    /// A design that this program does not know.
    UnknownDesign,
    /// A network that speaks another version of the wire.
    OtherWire(u32),
    /// No mix in it that this program could use.
    NoMixes,
    /// A statement, yet to be signed, with a record that is not good: forged, of another version, twice there, or not valid as
    /// long as the document.
    BadRecord(Refused),
    /// Not valid any more.
    Expired,
    /// Not valid yet.
    NotYet,
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("it is damaged, or no network document"),
            Self::UnknownVersion(version) => {
                write!(
                    f,
                    "it has format version {version}, and this program knows {VERSION}: whichever is older, the program or \
                     the document, must be replaced"
                )
            }
            Self::OtherNetwork => f.write_str("it is of another network"),
            Self::UnderSigned { valid, needed } => {
                write!(
                    f,
                    "it has {valid} valid signatures of operators and needs {needed}: it was changed, or not all have signed"
                )
            }
            Self::UnknownDesign => f.write_str(
                "its design says something that this program does not know: a newer program is needed",
            ),
            Self::OtherWire(wire) => write!(
                f,
                "its network speaks version {wire} of the wire, and this program version {WIRE}: whichever is older, the \
                 program here or those of the network and its operators, must be replaced by a newer one"
            ),
            Self::BadRecord(why) => write!(
                f,
                "a record in it is {}",
                match why {
                    Refused::OutOfDate => "not valid from the document's begin to its end",
                    Refused::OtherVersion => "of another version of Throng",
                    Refused::OutOfPlace => "of a mix that is there already",
                    _ => "forged or damaged",
                }
            ),
            Self::NoMixes => {
                f.write_str("it names no mix that this program could use: a newer program is needed")
            }
            Self::Expired => f.write_str("it has expired: the operators must sign a new one"),
            Self::NotYet => f.write_str("it is not valid yet: is the clock right?"),
        }
    }
}

impl core::error::Error for DocumentError {}

impl From<Malformed> for DocumentError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl Roots {
    /// The roots of the network called `network`: `threshold` of `operators` must sign. Nothing if the name is empty or
    /// longer than [`NETWORK_NAME_BYTES_MAX`], the threshold not within 1 and the number of operators, an operator
    /// named twice, or more than [`OPERATORS_MAX`].
    pub fn new(network: String, operators: Vec<[u8; 32]>, threshold: usize) -> Option<Self> {
        let named = (1..=NETWORK_NAME_BYTES_MAX).contains(&network.len());
        let twice = operators.iter().enumerate().any(|(i, operator)| operators[..i].contains(operator));
        let counted = operators.len() <= OPERATORS_MAX && (1..=operators.len()).contains(&threshold);
        (named && counted && !twice).then_some(Self { network, operators, threshold })
    }

    /// The operators' keys.
    pub fn operators(&self) -> &[[u8; 32]] {
        &self.operators
    }

    /// How many must sign.
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// The network's name.
    pub fn network(&self) -> &str {
        &self.network
    }
}

/// One operator's signature under a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The operator's Ed25519 key.
    pub operator: [u8; 32],
    /// The signature.
    pub signature: [u8; 64],
}

/// Signs a statement with one operator's secret: appends to earlier signatures, which must be over the same bytes.
pub fn sign<S: Suite>(unsigned: &[u8], signatures: &mut Vec<Signature>, secret: &[u8; 32]) {
    let operator = S::sign_public(secret);
    let signature = S::sign(secret, &[SIGNATURE_CONTEXT, unsigned].concat());
    signatures.retain(|other| other.operator != operator);
    signatures.push(Signature { operator, signature });
}

/// A statement's bytes, to be signed.
pub fn unsigned(statement: &Statement) -> Vec<u8> {
    let mut out = alloc::vec![VERSION, statement.network.len() as u8];
    out.extend_from_slice(statement.network.as_bytes());
    out.extend_from_slice(&statement.serial.to_le_bytes());
    out.extend_from_slice(&statement.from.as_nanos().to_le_bytes());
    out.extend_from_slice(&statement.until.as_nanos().to_le_bytes());
    out.push(statement.before.len() as u8);
    statement.before.iter().for_each(|digest| out.extend_from_slice(digest));
    let design = statement.design.to_string();
    out.extend_from_slice(&(design.len() as u16).to_le_bytes());
    out.extend_from_slice(design.as_bytes());
    out.extend_from_slice(&(statement.records.len() as u16).to_le_bytes());
    for record in &statement.records {
        out.extend_from_slice(&(record.as_bytes().len() as u16).to_le_bytes());
        out.extend_from_slice(record.as_bytes());
    }
    out
}

/// A document's bytes: what was signed, and the signatures.
pub fn assemble(unsigned: &[u8], signatures: &[Signature]) -> Vec<u8> {
    let mut out = unsigned.to_vec();
    out.push(signatures.len() as u8);
    for Signature { operator, signature } in signatures {
        out.extend_from_slice(operator);
        out.extend_from_slice(signature);
    }
    out
}

/// Takes a document's bytes apart without believing any of it: what was signed, and the signatures.
///
/// # Errors
/// [`DocumentError::Malformed`] or [`DocumentError::UnknownVersion`].
pub fn take_apart(bytes: &[u8]) -> Result<(&[u8], Vec<Signature>), DocumentError> {
    let mut fields = Reader::new(bytes);
    skim(&mut fields)?;
    let signed = bytes.len() - fields.len();
    let count = usize::from(fields.u8()?);
    let signatures: Result<Vec<_>, Malformed> = (0..count)
        .map(|_| Ok(Signature { operator: *fields.array()?, signature: *fields.array()? }))
        .collect();
    let signatures = signatures?;
    if fields.len() != 0 || count > OPERATORS_MAX {
        return Err(DocumentError::Malformed);
    }
    Ok((&bytes[..signed], signatures))
}

/// Which document it claims to be, without believing any of it: its serial, and the hash of what was signed.
///
/// # Errors
/// [`DocumentError::Malformed`] or [`DocumentError::UnknownVersion`].
pub(crate) fn claim<S: Suite>(bytes: &[u8]) -> Result<(u64, [u8; 32]), DocumentError> {
    let (signed, _) = take_apart(bytes)?;
    Ok((skim(&mut Reader::new(signed))?.serial, S::hash(&[signed])))
}

/// When a document says that it is valid, without believing any of it.
///
/// # Errors
/// [`DocumentError::Malformed`] or [`DocumentError::UnknownVersion`].
pub fn validity(bytes: &[u8]) -> Result<(Time, Time), DocumentError> {
    let skimmed = skim(&mut Reader::new(bytes))?;
    Ok((Time::from_nanos(skimmed.from), Time::from_nanos(skimmed.until)))
}

/// How many documents before it one of this serial names: none can hide its history by naming fewer.
fn documents_before(serial: u64) -> usize {
    usize::try_from(serial.saturating_sub(1))
        .map_or(DOCUMENTS_BEFORE_MAX, |all| all.min(DOCUMENTS_BEFORE_MAX))
}

/// Reads over the statement; its fields, without the records' contents.
fn skim<'a>(fields: &mut Reader<'a>) -> Result<Skimmed<'a>, DocumentError> {
    let version = fields.u8()?;
    if version >= b' ' {
        return Err(DocumentError::Malformed); // a text
    }
    if version != VERSION {
        return Err(DocumentError::UnknownVersion(version));
    }
    let length = usize::from(fields.u8()?);
    let network = core::str::from_utf8(fields.take(length)?).map_err(|_| DocumentError::Malformed)?;
    let (serial, from, until) = (fields.u64()?, fields.u64()?, fields.u64()?);
    let before: Result<Vec<[u8; 32]>, Malformed> = (0..fields.u8()?).map(|_| Ok(*fields.array()?)).collect();
    let before = before?;
    if before.len() != documents_before(serial) {
        return Err(DocumentError::Malformed);
    }
    let design = text(fields)?;
    let count = usize::from(fields.u16()?);
    if count > DOCUMENT_RECORDS_MAX || network.len() > NETWORK_NAME_BYTES_MAX {
        return Err(DocumentError::Malformed);
    }
    let mut records = Vec::with_capacity(count);
    for _ in 0..count {
        let length = usize::from(fields.u16()?);
        if length > RECORD_BYTES_MAX {
            return Err(DocumentError::Malformed);
        }
        records.push(fields.take(length)?);
    }
    Ok(Skimmed { network, serial, from, until, before, design, records })
}

fn unknown_design(why: DesignError) -> DocumentError {
    match why {
        DesignError::OtherWire(wire) => DocumentError::OtherWire(wire),
        _ => DocumentError::UnknownDesign,
    }
}

/// A short text behind its length.
fn text<'a>(fields: &mut Reader<'a>) -> Result<&'a str, Malformed> {
    let length = usize::from(fields.u16()?);
    core::str::from_utf8(fields.take(length)?).map_err(|_| Malformed)
}

struct Skimmed<'a> {
    network: &'a str,
    serial: u64,
    from: u64,
    until: u64,
    before: Vec<[u8; 32]>,
    design: &'a str,
    records: Vec<&'a [u8]>,
}

impl Skimmed<'_> {
    /// Its records, each with what is wrong with it if anything is. Whether one is good does not depend on the moment at which
    /// somebody reads the document, or two who have the same one would know different mixes.
    fn judge<S: Suite>(&self) -> Vec<Result<Arc<Record>, Refused>> {
        let mut known = BTreeSet::new();
        let judged = self.records.iter().map(|bytes| {
            let record = Record::read::<S>(bytes)?;
            let mix = record.description();
            if self.from < mix.from.as_nanos() || mix.until.as_nanos() < self.until {
                return Err(Refused::OutOfDate);
            }
            if known.insert(mix.identity) { Ok(Arc::new(record)) } else { Err(Refused::OutOfPlace) }
        });
        judged.collect()
    }

    /// What it says, with these records.
    fn into_statement(self, records: Vec<Arc<Record>>) -> Result<Statement, DocumentError> {
        Ok(Statement {
            network: self.network.into(),
            serial: self.serial,
            from: Time::from_nanos(self.from),
            until: Time::from_nanos(self.until),
            before: self.before,
            design: self.design.parse().map_err(unknown_design)?,
            records,
        })
    }
}

impl Statement {
    /// Reads a statement that is yet to be signed, for operators who look at it first: all of it, since whatever stands there
    /// is signed. Who reads a document that was signed passes over records that are not good.
    ///
    /// # Errors
    /// [`DocumentError`] says why nobody should sign it.
    pub fn proposed<S: Suite>(unsigned: &[u8]) -> Result<Self, DocumentError> {
        let mut fields = Reader::new(unsigned);
        let skimmed = skim(&mut fields)?;
        if fields.len() != 0 {
            return Err(DocumentError::Malformed);
        }
        let records: Result<Vec<_>, Refused> = skimmed.judge::<S>().into_iter().collect();
        let records = records.map_err(DocumentError::BadRecord)?;
        skimmed.into_statement(records)
    }
}

impl Document {
    /// Reads a document, checks that enough of the roots' operators signed it and that it is valid `now`.
    ///
    /// # Errors
    /// A [`DocumentError`] that says why not.
    pub fn verify<S: Suite>(bytes: &[u8], roots: &Roots, now: Time) -> Result<Self, DocumentError> {
        let (signed, signatures) = take_apart(bytes)?;
        let skimmed = skim(&mut Reader::new(signed))?;
        if skimmed.network != roots.network {
            return Err(DocumentError::OtherNetwork);
        }
        let message = [SIGNATURE_CONTEXT, signed].concat();
        let mut valid: Vec<Signature> = Vec::new();
        for operator in &roots.operators {
            let of_operator = signatures.iter().find(|signature| signature.operator == *operator);
            valid.extend(of_operator.filter(|of| S::verify(operator, &message, &of.signature).is_ok()));
        }
        if valid.len() < roots.threshold {
            return Err(DocumentError::UnderSigned { valid: valid.len(), needed: roots.threshold });
        }
        // Only what is needed is kept, in one order: whatever else stands behind a document would be a mark by which
        // whoever passed it on recognises who has it.
        valid.truncate(roots.threshold);
        let bytes = assemble(signed, &valid);
        let (from, until) = (Time::from_nanos(skimmed.from), Time::from_nanos(skimmed.until));
        if now >= until {
            return Err(DocumentError::Expired);
        }
        if now < from {
            return Err(DocumentError::NotYet);
        }
        let records: Vec<_> = skimmed.judge::<S>().into_iter().flatten().collect();
        let statement = skimmed.into_statement(records)?;
        if statement.records.is_empty() {
            return Err(DocumentError::NoMixes);
        }
        Ok(Self { statement, bytes, signed: signed.len(), digest: S::hash(&[signed]) })
    }

    /// What it says.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// What was signed.
    pub fn signed_bytes(&self) -> &[u8] {
        &self.bytes[..self.signed]
    }

    /// The hash of what was signed.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// What the one after it has to name: it, and those that it names.
    pub fn history(&self) -> Vec<[u8; 32]> {
        let all = core::iter::once(&self.digest).chain(&self.statement.before);
        all.take(DOCUMENTS_BEFORE_MAX).copied().collect()
    }

    /// Whether `other`, the digest of a document of this serial, can be of one history with it. What is longer ago than it
    /// tells, or yet to come, can.
    pub fn agrees(&self, serial: u64, other: &[u8; 32]) -> bool {
        self.named(serial).is_none_or(|ours| ours == other)
    }

    /// Whether it says that `other` is the digest of the document of this serial.
    pub fn names(&self, serial: u64, other: &[u8; 32]) -> bool {
        self.named(serial) == Some(other)
    }

    fn named(&self, serial: u64) -> Option<&[u8; 32]> {
        let ago = usize::try_from(self.statement.serial.checked_sub(serial)?).ok()?;
        core::iter::once(&self.digest).chain(&self.statement.before).nth(ago)
    }

    /// All of it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether this one replaces `other`.
    ///
    /// # Errors
    /// [`Conflict`] if both have one serial and say different things: the operators equivocated.
    pub fn replaces(&self, other: &Self) -> Result<bool, Conflict> {
        if self.statement.serial == other.statement.serial && self.digest != other.digest {
            return Err(Conflict { serial: self.statement.serial });
        }
        Ok(self.statement.serial > other.statement.serial)
    }
}

/// Two valid documents of one serial that say different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The serial of both.
    pub serial: u64,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "there are two valid network documents with serial {} that say different things: operators' keys are \
             misused or stolen; neither is used before the operators have said which one is right",
            self.serial
        )
    }
}

impl core::error::Error for Conflict {}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::crypto::Portable;
    use crate::id::NodeId;
    use crate::membership::Description;
    use crate::ports::Ports;
    use crate::scrubbed::Scrubbed;
    use proptest::prelude::*;

    const NOW: Time = Time::from_secs(150);
    const OPERATORS: [[u8; 32]; 3] = [[11; 32], [12; 32], [13; 32]];

    pub(crate) fn roots() -> Roots {
        let keys = OPERATORS.iter().map(Portable::sign_public).collect();
        Roots::new("example".into(), keys, 2).unwrap()
    }

    fn statement(serial: u64) -> Statement {
        let secret = [3; 32];
        let description = Description {
            identity: NodeId(Portable::sign_public(&secret)),
            family: None,
            capacity: 1000,
            addresses: vec![Scrubbed("10.1.0.1:9000".parse().unwrap())],
            exit_ports: Ports::reduced(),
            from: Time::from_secs(100),
            until: Time::from_secs(300),
        };
        Statement {
            network: "example".into(),
            serial,
            from: Time::from_secs(100),
            until: Time::from_secs(200),
            before: (1..serial).rev().map(|before| digest(&statement(before))).collect(),
            design: Design {
                mixing: "pool=1:10".parse().unwrap(),
                company: "fill=2".parse().unwrap(),
                cover: "user-link=64kbps,links=1mbps".parse().unwrap(),
                ..Design::default()
            },
            records: vec![Arc::new(Record::sign::<Portable>(description, &secret))],
        }
    }

    fn digest(statement: &Statement) -> [u8; 32] {
        Portable::hash(&[&unsigned(statement)])
    }

    fn document(statement: &Statement, signers: &[usize]) -> Vec<u8> {
        let unsigned = unsigned(statement);
        let mut signatures = Vec::new();
        for signer in signers {
            sign::<Portable>(&unsigned, &mut signatures, &OPERATORS[*signer]);
        }
        assemble(&unsigned, &signatures)
    }

    /// A valid document, as of second 150.
    pub(crate) fn example(serial: u64) -> Document {
        signed(&statement(serial))
    }

    pub(crate) fn signed(statement: &Statement) -> Document {
        verify(&document(statement, &[0, 1])).unwrap()
    }

    fn verify(bytes: &[u8]) -> Result<Document, DocumentError> {
        Document::verify::<Portable>(bytes, &roots(), NOW)
    }

    #[test]
    fn two_of_three_operators_suffice() {
        let statement = statement(1);
        for signers in [&[0, 1][..], &[2, 0], &[0, 1, 2]] {
            assert_eq!(verify(&document(&statement, signers)).unwrap().statement(), &statement);
        }
    }

    #[test]
    fn one_operator_does_not_suffice_however_often_it_signs() {
        let bytes = document(&statement(1), &[1, 1, 1]);
        assert_eq!(verify(&bytes), Err(DocumentError::UnderSigned { valid: 1, needed: 2 }));
        let unsigned = unsigned(&statement(1));
        let mut signatures = Vec::new();
        sign::<Portable>(&unsigned, &mut signatures, &OPERATORS[0]);
        signatures.push(signatures[0]);
        assert_eq!(
            verify(&assemble(&unsigned, &signatures)),
            Err(DocumentError::UnderSigned { valid: 1, needed: 2 })
        );
    }

    #[test]
    fn nothing_can_be_hidden_behind_a_document() {
        let good = document(&statement(1), &[0, 1]);
        let (unsigned, mut signatures) = take_apart(&good).unwrap();
        for i in 0..20 {
            signatures.insert(0, Signature { operator: [i; 32], signature: [i ^ 0x77; 64] });
        }
        let marked = verify(&assemble(unsigned, &signatures)).unwrap();
        assert_eq!(marked.as_bytes(), good);
        let by_all = verify(&document(&statement(1), &[2, 1, 0])).unwrap();
        assert_eq!(by_all.as_bytes(), good, "the first two in the roots' order");
    }

    #[test]
    fn a_changed_document_is_refused_whichever_bit_was_changed() {
        let good = document(&statement(1), &[0, 1]);
        for byte in 0..good.len() {
            let mut bad = good.clone();
            bad[byte] ^= 1 << (byte % 8);
            assert!(verify(&bad).is_err(), "byte {byte}");
        }
    }

    #[test]
    fn an_unknown_version_another_network_and_the_wrong_time_are_told_apart() {
        let mut bytes = document(&statement(1), &[0, 1]);
        bytes[0] = VERSION + 1;
        assert_eq!(verify(&bytes), Err(DocumentError::UnknownVersion(VERSION + 1)));
        let other = Statement { network: "another".into(), ..statement(1) };
        assert_eq!(verify(&document(&other, &[0, 1])), Err(DocumentError::OtherNetwork));
        let bytes = document(&statement(1), &[0, 1]);
        let at =
            |seconds| Document::verify::<Portable>(&bytes, &roots(), Time::from_secs(seconds)).unwrap_err();
        assert_eq!(at(50), DocumentError::NotYet);
        assert_eq!(at(250), DocumentError::Expired);
    }

    #[test]
    fn one_bad_record_does_not_cost_the_document_and_is_not_signed() {
        let mut said = statement(1);
        let secret = [5; 32];
        let short = Description {
            identity: NodeId(Portable::sign_public(&secret)),
            until: Time::from_secs(199), // the document ends at 200
            ..said.records[0].description().clone()
        };
        let good = Arc::clone(&said.records[0]);
        said.records.push(Arc::new(Record::sign::<Portable>(short, &secret)));
        let document = verify(&document(&said, &[0, 1])).unwrap();
        assert_eq!(document.statement().records, [good], "whenever it is read");
        let proposed = |said: &Statement| Statement::proposed::<Portable>(&unsigned(said));
        assert_eq!(proposed(&said), Err(DocumentError::BadRecord(Refused::OutOfDate)), "an operator is told");
        said.records[1] = Arc::clone(&said.records[0]);
        assert_eq!(proposed(&said), Err(DocumentError::BadRecord(Refused::OutOfPlace)), "twice the same mix");
        said.records.truncate(1);
        assert_eq!(proposed(&said), Ok(said.clone()));
        said.records.clear();
        let nobody = unsigned(&said);
        let mut signatures = Vec::new();
        OPERATORS.iter().for_each(|secret| sign::<Portable>(&nobody, &mut signatures, secret));
        assert_eq!(verify(&assemble(&nobody, &signatures)), Err(DocumentError::NoMixes));
    }

    #[test]
    fn two_truths_of_one_serial_are_a_conflict() {
        let first = verify(&document(&statement(1), &[0, 1])).unwrap();
        let same = verify(&document(&statement(1), &[1, 2])).unwrap();
        assert_eq!(same.replaces(&first), Ok(false), "other signers, same truth");
        let newer = verify(&document(&statement(2), &[0, 1])).unwrap();
        assert_eq!(newer.replaces(&first), Ok(true));
        assert_eq!(first.replaces(&newer), Ok(false));
        let other = Statement { until: Time::from_secs(201), ..statement(1) };
        let other = verify(&document(&other, &[0, 1])).unwrap();
        assert_eq!(other.replaces(&first), Err(Conflict { serial: 1 }));
    }

    #[test]
    fn a_document_of_another_history_is_seen_to_be_one() {
        let (first, third) = (signed(&statement(1)), signed(&statement(3)));
        assert!(third.agrees(1, first.digest()));
        assert_eq!(signed(&statement(2)).history(), third.statement().before);
        let elsewhere = signed(&Statement { until: Time::from_secs(199), ..statement(1) });
        assert!(!third.agrees(1, elsewhere.digest()));
        assert!(!third.agrees(3, first.digest()), "of its own serial there is one only");
        assert!(first.agrees(3, third.digest()), "the older one cannot know");
        assert!(third.names(1, first.digest()) && !third.names(4, first.digest()));
        let silent = Statement { before: Vec::new(), ..statement(3) };
        assert_eq!(
            verify(&document(&silent, &[0, 1])),
            Err(DocumentError::Malformed),
            "none hides its history"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let mut bytes = bytes;
            prop_assert!(verify(&bytes).is_err());
            if let Some(version) = bytes.first_mut() {
                *version = VERSION;
            }
            prop_assert!(verify(&bytes).is_err());
        }
    }
}
