//! What types are called: a name means one thing in all crates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Finding;
use super::source::{Token, end_of_group};

/// Where each name of a type was seen first.
#[derive(Default)]
pub(super) struct Names(BTreeMap<String, (PathBuf, usize)>);

impl Names {
    /// The types that a file's modules declare, and which of their names are taken.
    pub(super) fn add(&mut self, file: &Path, tokens: &[Token<'_>]) -> Vec<Finding> {
        let mut found = Vec::new();
        for (name, line) in declared(tokens) {
            match self.0.get(name) {
                Some((other, at)) => {
                    let text = format!(
                        "`{name}` is something else in {}:{at}: one meaning per name",
                        other.display()
                    );
                    found.push(Finding { file: file.to_owned(), line, text });
                }
                None => {
                    self.0.insert(name.to_owned(), (file.to_owned(), line));
                }
            }
        }
        found
    }
}

/// The types of a file with their lines; not those inside of braces, as tests and functions have them.
fn declared<'a>(tokens: &[Token<'a>]) -> Vec<(&'a str, usize)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(token) = tokens.get(at) {
        match (token.text, tokens.get(at + 1)) {
            ("{" | "(" | "[", _) => at = end_of_group(tokens, at),
            ("struct" | "enum" | "trait" | "union" | "type", Some(name)) => {
                found.push((name.text, name.line));
                at += 2;
            }
            _ => at += 1,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::source::tokens;

    #[test]
    fn a_name_of_two_types_is_found_but_not_what_tests_and_traits_have_inside() {
        let mut names = Names::default();
        let mut add = |file: &str, text: &str| {
            let found = names.add(Path::new(file), &tokens(text));
            found.iter().map(Finding::to_line).collect::<Vec<_>>()
        };
        let none: Vec<String> = Vec::new();
        assert_eq!(add("a.rs", "pub(crate) struct Held(u8);\nmod tests { struct Kind; }"), none);
        assert_eq!(add("b.rs", "enum Kind { Held }\ntrait T { type Held; }\nfn f() { struct Held; }"), none);
        assert_eq!(
            add("c.rs", "\ntype Held = u8;"),
            ["c.rs:2: `Held` is something else in a.rs:1: one meaning per name"]
        );
    }
}
