//! Bytes as a network's document: as they stand, or signed, or put together from parts of which some are good.

use throng_core::Time;
use throng_core::crypto::Suite;
use throng_core::documents::{Document, Roots, Statement, assemble, sign, take_apart, validity};
use throng_core::fuzzing::Choices;
use throng_sim::Toy;

use super::records;

const OPERATORS: [[u8; 32]; 2] = [[55; 32], [56; 32]];
const NOW: Time = Time::from_secs(1_000_000);

/// A document.
pub fn run(bytes: &[u8]) {
    is_in_force(bytes);
}

/// Whether it is good.
fn is_in_force(bytes: &[u8]) -> bool {
    let mut choices = Choices::new(bytes);
    let roots = roots(1 + choices.below(2));
    match choices.below(4) {
        0 => check(choices.rest(), &roots),
        1 => {
            let signers = 1 + choices.below(2);
            check(&signed(choices.rest(), signers), &roots)
        }
        _ => {
            let signers = choices.below(3);
            let statement = statement(&mut choices);
            if let Ok(proposed) = Statement::proposed::<Toy>(&statement) {
                let again = throng_core::documents::unsigned(&proposed);
                assert_eq!(
                    Statement::proposed::<Toy>(&again).as_ref(),
                    Ok(&proposed),
                    "what is signed is what is read"
                );
            }
            check(&signed(&statement, signers), &roots)
        }
    }
}

fn roots(threshold: usize) -> Roots {
    let operators = OPERATORS.iter().map(Toy::sign_public).collect();
    Roots::new("net".into(), operators, threshold).expect("one or two of two")
}

fn signed(statement: &[u8], signers: usize) -> Vec<u8> {
    let mut signatures = Vec::new();
    OPERATORS.iter().take(signers).for_each(|secret| sign::<Toy>(statement, &mut signatures, secret));
    assemble(statement, &signatures)
}

/// A statement with records, of which most are signed by their mix.
fn statement(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut out = vec![5];
    let name: &[u8] = if choices.rarely(16) { b"other" } else { b"net" };
    out.push(name.len() as u8);
    out.extend_from_slice(name);
    let begin = if choices.rarely(8) { choices.u64() } else { 0 };
    let end = if choices.rarely(8) { choices.u64() } else { 1 << 62 };
    let serial = choices.u8();
    [serial.into(), begin, end].iter().for_each(|word: &u64| out.extend_from_slice(&word.to_le_bytes()));
    let before = if choices.rarely(16) { choices.u8() } else { serial.saturating_sub(1).min(32) };
    out.push(before);
    (0..before).for_each(|number| out.extend_from_slice(&[number; 32]));
    let design = choices.below(96);
    let design = choices.take(design);
    out.extend_from_slice(&(design.len() as u16).to_le_bytes());
    out.extend_from_slice(design);
    let count = choices.below(4);
    let said = if choices.rarely(16) { choices.u16() } else { count as u16 };
    out.extend_from_slice(&said.to_le_bytes());
    for _ in 0..count {
        let (is_signed, length) = (!choices.rarely(4), choices.below(200));
        let content = choices.take(length);
        let record = if is_signed { records::signed(content) } else { content.to_vec() };
        out.extend_from_slice(&(record.len() as u16).to_le_bytes());
        out.extend_from_slice(&record);
    }
    out
}

fn check(bytes: &[u8], roots: &Roots) -> bool {
    let apart = take_apart(bytes);
    let _ = validity(bytes);
    let Ok(document) = Document::verify::<Toy>(bytes, roots, NOW) else { return false };
    let (signed, signatures) = apart.expect("a document that is in force can be taken apart");
    assert!(document.signed_bytes() == signed && signatures.len() >= roots.threshold());
    let statement = document.statement();
    assert!(statement.network == roots.network() && !statement.records.is_empty());
    assert!((statement.from..statement.until).contains(&NOW));
    let again = Document::verify::<Toy>(document.as_bytes(), roots, NOW);
    assert_eq!(again.as_ref(), Ok(&document), "what is kept of a document is one, and the same");
    assert_eq!(document.replaces(&document), Ok(false));
    assert!(document.names(statement.serial, document.digest()));
    true
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_fuzzer_begins_with_a_document_that_is_in_force() {
        assert!(super::is_in_force(include_bytes!("../corpus/documents/one")));
    }
}
