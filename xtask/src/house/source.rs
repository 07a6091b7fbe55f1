//! Rust source as tokens: enough to see which names a file uses and how long its functions are.
//!
//! A parser proper would not see more: paths inside of macro calls are tokens to it, too.

/// A word or one character of punctuation, and the line it stands on.
///
/// Comments, literals, and whatever is built for tests only have been left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) line: usize,
}

/// The tokens of a file, without its tests.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    without_tests(&lex(text))
}

fn lex(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let length = length_of(rest);
        let (text, after) = rest.split_at(length);
        let is_literal = first == '"' || (length > 1 && text.ends_with(['"', '#', '\'']));
        if is_literal {
            // It keeps its place: whoever looks for a path must not read across it.
            found.push(Token { text: "\"", line });
        } else if !first.is_whitespace() && !text.starts_with("//") && !text.starts_with("/*") {
            found.push(Token { text, line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    found
}

/// The length in bytes of what `text` begins with: a comment, a literal, a word, or one character.
fn length_of(text: &str) -> usize {
    let first = text.chars().next().map_or(0, char::len_utf8);
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    if let Some(length) = raw_string(text) {
        return length;
    }
    if text.starts_with('"') || text.starts_with("b\"") || text.starts_with("c\"") {
        let start = text.find('"').unwrap_or(0);
        return start + quoted(&text[start..], '"');
    }
    if text.starts_with('\'') || text.starts_with("b'") {
        return character_or_lifetime(text);
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word = text.strip_prefix("r#").unwrap_or(text);
    match word.find(|c| !is_word(c)).unwrap_or(word.len()) {
        0 => first,
        length => length + (text.len() - word.len()),
    }
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn raw_string(text: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        text.strip_prefix(prefix).is_some_and(|rest| rest.trim_start_matches('#').starts_with('"'))
    })?;
    let hashes = text[prefix.len()..].bytes().take_while(|byte| *byte == b'#').count();
    let start = prefix.len() + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()))
}

/// The length of a literal between two `mark`s, the first of which `text` begins with.
fn quoted(text: &str, mark: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == mark => return at + mark.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

fn character_or_lifetime(text: &str) -> usize {
    let start = text.find('\'').unwrap_or(0);
    let mut inside = text[start..].chars().skip(1);
    match (inside.next(), inside.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => start + quoted(&text[start..], '\''),
        // A lifetime: its mark alone, the name is a word.
        _ => start + 1,
    }
}

/// Leaves out every item that `#[cfg(test)]` stands before.
fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_for_tests(&tokens[at..]) {
            at = end_of_item(tokens, at);
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

fn is_for_tests(tokens: &[Token<'_>]) -> bool {
    let begins =
        |with: &[&str]| tokens.iter().map(|token| token.text).take(with.len()).eq(with.iter().copied());
    begins(&["#", "[", "cfg", "(", "test"])
        || begins(&["#", "[", "cfg", "(", "all", "(", "test"])
        || begins(&["#", "[", "test", "]"])
}

/// The index behind the item whose attributes begin at `at`: behind its braces, its semicolon, or its comma.
fn end_of_item(tokens: &[Token<'_>], mut at: usize) -> usize {
    while tokens.get(at).is_some_and(|token| token.text == "#") {
        at = end_of_group(tokens, at + 1);
    }
    while let Some(token) = tokens.get(at) {
        match token.text {
            "{" => {
                let end = end_of_group(tokens, at);
                // `use a::{b, c};`
                return end + usize::from(tokens.get(end).is_some_and(|token| token.text == ";"));
            }
            ";" | "," => return at + 1,
            // What is around the item ends before it does: it was the last field or variant.
            "}" | ")" | "]" => return at,
            "(" | "[" => at = end_of_group(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// The index behind the bracket that closes the one at `at`.
pub(super) fn end_of_group(tokens: &[Token<'_>], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        let tokens = tokens(text);
        tokens.iter().map(|token| token.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_are_not_read() {
        assert_eq!(words("a /* x /* y */ z */ b // c\n/// d\ne"), "a b e");
        assert_eq!(
            words(r##"f("crate::x \" y", r#"a " b"#, b'x', '\'', '"', b"z") 'a g"##),
            "f ( \" , \" , \" , \" , \" , \" ) ' a g"
        );
        assert_eq!(words("r#type r#\"x\"# é_1"), "r#type \" é_1");
    }

    #[test]
    fn what_is_built_for_tests_only_is_left_out() {
        assert_eq!(
            words("fn a() {} #[cfg(test)] #[allow(x)] mod tests { fn b() { {} } } fn c() {}"),
            "fn a ( ) { } fn c ( ) { }"
        );
        assert_eq!(
            words("#[cfg(test)] mod tests; use b; #[cfg(all(test, unix))] use c::{d, e}; f"),
            "use b ; f"
        );
        assert_eq!(words("enum E { A, #[cfg(test)] B(u8, u8), #[cfg(test)] C }"), "enum E { A , }");
        assert_eq!(words("#[cfg(not(test))] fn a() {}"), "# [ cfg ( not ( test ) ) ] fn a ( ) { }");
    }

    #[test]
    fn lines_are_counted_through_comments_and_literals() {
        let tokens = tokens("a\n/* \n */ b \"\n\n\" c");
        let places: Vec<_> = tokens.iter().map(|token| (token.text, token.line)).collect();
        assert_eq!(places, [("a", 1), ("b", 3), ("\"", 3), ("c", 5)]);
    }
}
