//! How long functions are.

use super::source::{Token, end_of_group};

/// A function and how many lines it has, from its first word to its last brace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function<'a> {
    pub(super) name: &'a str,
    pub(super) line: usize,
    pub(super) lines: usize,
}

/// The functions of a file, also those inside of others.
pub(super) fn functions<'a>(tokens: &[Token<'a>]) -> Vec<Function<'a>> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        // A pointer's type has no name: `fn(u8)`.
        let Some(name) = tokens.get(at + 1).filter(|name| token.text == "fn" && name.text != "(") else {
            continue;
        };
        let Some(end) = end_of_function(tokens, at) else { continue };
        found.push(Function {
            name: name.text,
            line: token.line,
            lines: tokens[end - 1].line - token.line + 1,
        });
    }
    found
}

/// The index behind its body; none if it has no body.
fn end_of_function(tokens: &[Token<'_>], mut at: usize) -> Option<usize> {
    loop {
        match tokens.get(at)?.text {
            "{" => return Some(end_of_group(tokens, at)),
            ";" => return None,
            "(" | "[" => at = end_of_group(tokens, at),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::source::tokens;

    #[test]
    fn lines_are_counted_from_the_head_to_the_last_brace() {
        let text = "trait T { fn none(&self, x: [u8; 3]); }\nfn one() {}\npub fn outer(f: fn(u8)) -> [u8; 2]\n{\n  fn inner() {\n  }\n}";
        let tokens = tokens(text);
        let found: Vec<_> =
            functions(&tokens).iter().map(|function| (function.name, function.lines)).collect();
        assert_eq!(found, [("one", 1), ("outer", 5), ("inner", 2)]);
    }
}
