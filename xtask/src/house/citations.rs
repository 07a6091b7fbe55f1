//! Citations of documents: whoever reads one must be able to look it up here.

use std::path::Path;

use super::Finding;

/// A way to cite, and the file that would have to hold what is cited.
pub(super) struct Citation {
    /// `#` stands for a number, `@` for a capital letter.
    pub(super) pattern: &'static str,
    pub(super) document: &'static str,
}

/// Reports every citation in `text` whose document does not have it.
pub(super) fn dangling(
    file: &Path,
    text: &str,
    known: &[Citation],
    read: impl Fn(&str) -> String,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for citation in known {
            let Some(cited) = first_match(line, citation.pattern) else { continue };
            if !read(citation.document).contains(cited) {
                found.push(Finding {
                    file: file.to_owned(),
                    line: number,
                    text: format!(
                        "cites `{cited}`, which {} does not have: cite the published source, or explain it here",
                        citation.document
                    ),
                });
                break;
            }
        }
    }
    found
}

/// The first place of a line that has this form, beginning and ending with a whole word.
fn first_match<'a>(line: &'a str, pattern: &str) -> Option<&'a str> {
    let is_inside = |c: char| c.is_alphanumeric() || c == '_';
    let starts = line.char_indices().map(|(at, _)| at);
    let mut matches = starts.filter_map(|start| {
        let length = match_here(&line[start..], pattern)?;
        let (before, after) = (&line[..start], &line[start + length..]);
        let is_whole = !before.ends_with(is_inside) && !after.starts_with(is_inside);
        (length > 0 && is_whole).then(|| &line[start..start + length])
    });
    matches.next()
}

/// How much of the beginning of `text` has this form.
fn match_here(text: &str, pattern: &str) -> Option<usize> {
    let mut rest = text;
    for wanted in pattern.chars() {
        rest = match wanted {
            '#' => rest
                .strip_prefix(|c: char| c.is_ascii_digit())?
                .trim_start_matches(|c: char| c.is_ascii_digit()),
            '@' => rest.strip_prefix(|c: char| c.is_ascii_uppercase())?,
            _ => rest.strip_prefix(wanted)?,
        };
    }
    Some(text.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::CITATIONS;

    /// Bars are left out: with them, what stands here cites nothing itself.
    fn found(text: &str) -> usize {
        dangling(Path::new("x.rs"), &text.replace('|', ""), CITATIONS, |_| String::new()).len()
    }

    #[test]
    fn what_is_not_here_is_reported_once_a_line() {
        for cites in [
            "// (DES|IGN D|4)",
            "# DES|IGN: five rooms",
            "refer|ence A.7.8",
            "Refer|ence E, checks| 6 and 14",
            "refer|ence 0.5",
            "checks| 23 to 25",
            "are late (D|7).",
            "What D|1 gives every datagram",
        ] {
            assert_eq!(found(cites), 1, "{cites}");
        }
    }

    #[test]
    fn other_words_and_published_sources_are_not() {
        let fine =
            ["FC04, section 8", "`Design` and reference", "check that 3 of 4", "ED25519, 3D7", "RFC 9000"];
        for text in fine {
            assert_eq!(found(text), 0, "{text}");
        }
    }

    #[test]
    fn a_document_that_has_it_makes_it_right() {
        let known = [Citation { pattern: "LAW #", document: "law.md" }];
        let cited = |text: &'static str| {
            dangling(Path::new("x"), "// LAW 12", &known, move |_| text.to_owned()).len()
        };
        assert_eq!((cited("## LAW 12"), cited("## LAW 1")), (0, 1));
    }
}
