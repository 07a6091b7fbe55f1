//! Modules that import each other in a circle.
//!
//! A circle can only be read, tested and changed as a whole. What counts is siblings: at every level of the tree, one
//! module depends on another if anything in it uses anything in the other. A parent and its children are one thing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::modules::{Import, ModulePath};

/// Names that are shown of one module by another.
const SHOWN_MAX: usize = 4;

/// The imports that tie one module to a sibling.
type Edges<'a> = BTreeMap<(&'a str, &'a str), Vec<&'a Import>>;

/// A description of every circle, with what ties it and how to mend it.
pub(super) fn circles(package: &str, imports: &[Import]) -> Vec<String> {
    let mut levels: BTreeMap<&[String], Edges<'_>> = BTreeMap::new();
    for import in imports {
        if let Some((parent, from, to)) = siblings(import) {
            levels.entry(parent).or_default().entry((from, to)).or_default().push(import);
        }
    }
    let described = levels.iter().flat_map(|(parent, edges)| {
        components(edges).into_iter().map(move |members| describe(package, parent, edges, &members))
    });
    described.collect()
}

/// The module at which the two ends of an import part, and its children towards either; none if one is in the other.
fn siblings(import: &Import) -> Option<(&[String], &str, &str)> {
    let common = import.from.iter().zip(&import.to).take_while(|(from, to)| from == to).count();
    Some((&import.from[..common], import.from.get(common)?, import.to.get(common)?))
}

/// Strongly connected components of more than one module.
fn components<'a>(edges: &Edges<'a>) -> Vec<BTreeSet<&'a str>> {
    let modules: BTreeSet<&str> = edges.keys().flat_map(|(from, to)| [*from, *to]).collect();
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        modules.iter().map(|module| (*module, reachable(edges, module))).collect();
    let circle = |module: &&'a str| -> BTreeSet<&'a str> {
        reached[module].iter().filter(|other| reached[*other].contains(module)).copied().collect()
    };
    let mut found: Vec<BTreeSet<&str>> =
        modules.iter().map(circle).filter(|circle| circle.len() > 1).collect();
    found.sort();
    found.dedup();
    found
}

fn reachable<'a>(edges: &Edges<'a>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        for (_, to) in edges.keys().filter(|(from, _)| *from == module) {
            if reached.insert(*to) {
                open.push(to);
            }
        }
    }
    reached
}

fn describe(package: &str, parent: &[String], edges: &Edges<'_>, members: &BTreeSet<&str>) -> String {
    let place = if parent.is_empty() { String::new() } else { format!(", in {}", parent.join("::")) };
    let names = members.iter().copied().collect::<Vec<_>>().join(", ");
    let mut text = format!("{package}{place}: these modules import each other in a circle: {names}\n");
    for ((from, to), imports) in edges {
        if members.contains(from) && members.contains(to) {
            let uses = uses(imports);
            let _ = writeln!(text, "    {from} -> {to}:");
            uses.iter().take(SHOWN_MAX).for_each(|line| _ = writeln!(text, "      {line}"));
            if uses.len() > SHOWN_MAX {
                let _ = writeln!(text, "      and {} more", uses.len() - SHOWN_MAX);
            }
        }
    }
    text + "    To mend it, move what two of them share into a module below both, or move the code that uses a name to where the name is."
}

/// Each name once, with the first place that uses it.
fn uses(imports: &[&Import]) -> Vec<String> {
    let mut first: BTreeMap<String, &Import> = BTreeMap::new();
    for import in imports {
        let place = first.entry(what(&import.to, &import.name)).or_insert(import);
        if (&import.file, import.line) < (&place.file, place.line) {
            *place = import;
        }
    }
    first.iter().map(|(what, import)| format!("{what} ({}:{})", import.file.display(), import.line)).collect()
}

fn what(module: &ModulePath, name: &str) -> String {
    let parts: Vec<&str> =
        module.iter().map(String::as_str).chain([name]).filter(|part| !part.is_empty()).collect();
    parts.join("::")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::modules::tests::made_up;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        circles("made-up", &made_up(files).imports())
    }

    #[test]
    fn a_circle_is_named_with_what_ties_it() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "pub struct B;\nfn f(c: crate::c::C) {}"),
            ("c.rs", "use crate::{a::A, d::D}; pub struct C;"),
            ("d.rs", "pub struct D;"),
        ];
        let found = found(&files);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("made-up: these modules import each other in a circle: a, b, c\n"),
            "{found:?}"
        );
        for tie in ["a -> b:\n      b::B (a.rs:1)\n", "c::C (b.rs:2)", "a::A (c.rs:1)"] {
            assert!(found[0].contains(tie), "{tie} in {found:?}");
        }
        assert!(!found[0].contains("d::D"));
    }

    #[test]
    fn what_is_in_a_module_counts_as_the_module_but_its_parent_does_not() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a/mod.rs", "mod deep; pub use deep::X; pub struct A;"),
            ("a/deep.rs", "use super::A; use crate::b::B; pub struct X;"),
            ("b.rs", "use crate::a::X; pub struct B;"),
        ];
        assert_eq!(found(&files).len(), 1);
        let [files @ .., _] = files;
        assert!(found(&files).is_empty(), "a parent and its child are no circle");
    }

    #[test]
    fn circles_deep_in_the_tree_are_seen_and_tests_are_not() {
        let files = [
            ("lib.rs", "mod a;"),
            ("a/mod.rs", "mod x; mod y;"),
            ("a/x.rs", "use super::y::Y; pub struct X;"),
            ("a/y.rs", "pub struct Y; #[cfg(test)] mod tests { use crate::a::x::X; }"),
        ];
        assert!(found(&files).is_empty());
        let files = [files[0], files[1], files[2], ("a/y.rs", "pub struct Y; use super::x::X;")];
        assert!(found(&files)[0].starts_with("made-up, in a: "));
    }
}
