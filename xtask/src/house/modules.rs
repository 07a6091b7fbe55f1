//! The modules of a crate, and which of them uses what of which other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::source::{Token, end_of_group};

/// A module's path below the crate's root, which is the empty one.
pub(super) type ModulePath = Vec<String>;

/// A crate, read.
#[derive(Default)]
pub(super) struct Crate {
    modules: BTreeMap<ModulePath, Module>,
}

#[derive(Default)]
struct Module {
    file: PathBuf,
    /// Types, functions and the like that are defined here.
    defined: BTreeSet<String>,
    /// Names that a `use` brings in, and what for.
    bound: BTreeMap<String, Vec<String>>,
    /// Modules whose names are all brought in.
    globs: Vec<Vec<String>>,
    /// Every path that is written here, whose first part may be anything.
    named: Vec<Named>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    path: Vec<String>,
    line: usize,
}

/// One module uses something that another one defines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Import {
    pub(super) from: ModulePath,
    pub(super) to: ModulePath,
    /// What of it; nothing if it is the module itself.
    pub(super) name: String,
    /// Other modules that the name is re-exported by, on the way as it is written.
    pub(super) through: Vec<ModulePath>,
    pub(super) file: PathBuf,
    pub(super) line: usize,
}

impl Crate {
    /// Takes a file in; `path` is from the crate's `src`.
    pub(super) fn add(&mut self, path: &Path, tokens: &[Token<'_>]) {
        let mut module: ModulePath = path
            .with_extension("")
            .components()
            .map(|part| part.as_os_str().to_string_lossy().into())
            .collect();
        let is_root = module.len() == 1 && ["lib", "main"].contains(&module[0].as_str());
        if is_root || module.last().is_some_and(|last| last == "mod") {
            module.pop();
        }
        self.read(path, module, tokens);
    }

    /// Whether the crate has this module.
    pub(super) fn has(&self, module: &[String]) -> bool {
        self.modules.contains_key(module)
    }

    /// Reads the items of a module, and those of modules that stand inside of it.
    fn read(&mut self, file: &Path, path: ModulePath, tokens: &[Token<'_>]) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
        let (mut at, mut depth) = (0, 0_usize);
        while at < tokens.len() {
            let word = text(at);
            if word == "mod" && text(at + 2) == "{" {
                let end = end_of_group(tokens, at + 2);
                let inside = [&path[..], &[text(at + 1).to_owned()]].concat();
                self.read(file, inside, &tokens[at + 3..end.saturating_sub(1)]);
                at = end;
                continue;
            }
            if word == "use" && !matches!(text(at + 1), "<") {
                let end = (at..tokens.len()).find(|at| text(*at) == ";").unwrap_or(tokens.len());
                module.add_use(&tokens[at + 1..end]);
                at = end;
                continue;
            }
            match word {
                "{" => depth += 1,
                "}" => depth = depth.saturating_sub(1),
                "struct" | "enum" | "union" | "trait" | "type" | "fn" | "const" | "static" if depth == 0 => {
                    module.defined.insert(text(at + 1).to_owned());
                }
                "macro_rules" => {
                    module.defined.insert(text(at + 2).to_owned());
                }
                _ => {}
            }
            at += module.add_path(&tokens[at..]).max(1);
        }
        self.modules.insert(path, module);
    }

    /// All that modules use of others, in order; what a module uses of itself is left out.
    pub(super) fn imports(&self) -> Vec<Import> {
        let mut found = BTreeSet::new();
        for (from, module) in &self.modules {
            for named in &module.named {
                let mut seen = BTreeSet::new();
                let Some(target) = self.resolve(from, &named.path, &mut seen) else { continue };
                if target.module != *from {
                    found.insert(Import {
                        from: from.clone(),
                        to: target.module,
                        name: target.name,
                        through: target.through,
                        file: module.file.clone(),
                        line: named.line,
                    });
                }
            }
        }
        found.into_iter().collect()
    }

    /// What a path that is written in a module of this crate means; none if it leads out of the crate.
    fn resolve(&self, from: &[String], path: &[String], seen: &mut Seen) -> Option<Target> {
        let mut target = Target { module: from.to_vec(), ..Target::default() };
        let mut rest = path;
        loop {
            match rest.first().map(String::as_str) {
                Some("crate") => target.module.clear(),
                Some("super") => _ = target.module.pop(),
                Some("self") => {}
                _ => break,
            }
            rest = &rest[1..];
        }
        let is_anchored = rest.len() < path.len();
        let known = rest.first().is_some_and(|first| self.knows(&target.module, first));
        if !is_anchored && !known {
            return None;
        }
        self.walk(&mut target, rest, seen);
        Some(target)
    }

    fn knows(&self, module: &[String], name: &str) -> bool {
        let inside = [module, &[name.to_owned()]].concat();
        self.has(&inside) || self.modules.get(module).is_some_and(|module| module.bound.contains_key(name))
    }

    /// Follows a path from `target.module` to the module that defines what it names.
    fn walk(&self, target: &mut Target, path: &[String], seen: &mut Seen) {
        let Some((name, rest)) = path.split_first() else { return };
        let Some(module) = self.modules.get(&target.module) else { return };
        target.name.clear();
        let inside = [&target.module[..], std::slice::from_ref(name)].concat();
        if self.has(&inside) {
            target.module = inside;
            return self.walk(target, rest, seen);
        }
        target.name.clone_from(name);
        if module.defined.contains(name) || !seen.insert((target.module.clone(), name.clone())) {
            return;
        }
        let bound = module.bound.get(name).cloned();
        let globs = module.globs.iter().map(|glob| [&glob[..], std::slice::from_ref(name)].concat());
        for other in bound.into_iter().chain(globs) {
            if let Some(found) = self.resolve_on(&target.module, &other, rest, seen) {
                target.through.push(std::mem::replace(&mut target.module, found.module));
                target.through.extend(found.through);
                target.name = found.name;
                return;
            }
        }
    }

    /// What a re-export leads to, if it leads to anything in this crate.
    fn resolve_on(
        &self,
        from: &[String],
        path: &[String],
        rest: &[String],
        seen: &mut Seen,
    ) -> Option<Target> {
        let mut target = self.resolve(from, path, seen)?;
        let is_found = target.name.is_empty() || self.defines(&target.module, &target.name);
        if is_found && target.name.is_empty() {
            self.walk(&mut target, rest, seen);
        }
        is_found.then_some(target)
    }

    fn defines(&self, module: &[String], name: &str) -> bool {
        self.modules.get(module).is_some_and(|module| module.defined.contains(name))
    }
}

/// Names that were looked up on the way: re-exports may lead in a ring.
type Seen = BTreeSet<(ModulePath, String)>;

/// Where a path has led so far.
#[derive(Default)]
struct Target {
    module: ModulePath,
    name: String,
    through: Vec<ModulePath>,
}

impl Module {
    /// Takes in what stands between `use` and its semicolon.
    fn add_use(&mut self, tokens: &[Token<'_>]) {
        let line = tokens.first().map_or(0, |token| token.line);
        self.add_use_tree(&[], tokens, line);
    }

    fn add_use_tree(&mut self, before: &[String], tokens: &[Token<'_>], line: usize) {
        let mut path = before.to_vec();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token.text {
                ":" => at += 1,
                "*" => {
                    self.named.push(Named { path: path.clone(), line });
                    return self.globs.push(path);
                }
                "{" => {
                    let end = end_of_group(tokens, at);
                    let inside = &tokens[at + 1..end.saturating_sub(1)];
                    branches(inside).for_each(|branch| self.add_use_tree(&path, branch, line));
                    return;
                }
                "as" => {
                    let name = tokens.get(at + 1).map_or("_", |token| token.text);
                    return self.bind(name.to_owned(), path, token.line);
                }
                // `use a::{self}` is `use a`.
                "self" if !path.is_empty() => at += 1,
                word => {
                    path.push(word.to_owned());
                    at += 1;
                }
            }
        }
        if let Some(name) = path.last().cloned() {
            let line = tokens.first().map_or(line, |token| token.line);
            self.bind(name, path, line);
        }
    }

    fn bind(&mut self, name: String, path: Vec<String>, line: usize) {
        self.named.push(Named { path: path.clone(), line });
        if name != "_" && path != [name.as_str()] {
            self.bound.insert(name, path);
        }
    }

    /// Takes in the path that `tokens` begin with, if it is one. How many of them it has.
    fn add_path(&mut self, tokens: &[Token<'_>]) -> usize {
        let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
        let is_word = |word: &str| word.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let mut path = Vec::new();
        let mut at = 0;
        while is_word(text(at)) {
            path.push(text(at).to_owned());
            if (text(at + 1), text(at + 2)) != (":", ":") {
                at += 1;
                break;
            }
            at += 3;
        }
        if path.len() > 1 {
            self.named.push(Named { path, line: tokens[0].line });
        }
        at
    }
}

/// The parts of a group that commas divide.
fn branches<'t, 'a>(tokens: &'t [Token<'a>]) -> impl Iterator<Item = &'t [Token<'a>]> {
    let mut depth = 0_usize;
    tokens
        .split(move |token| {
            match token.text {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            depth == 0 && token.text == ","
        })
        .filter(|branch| !branch.is_empty())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::house::source::tokens;

    /// A crate of made-up files.
    pub(in crate::house) fn made_up(files: &[(&str, &str)]) -> Crate {
        let mut made = Crate::default();
        files.iter().for_each(|(path, text)| made.add(Path::new(path), &tokens(text)));
        made
    }

    fn imports(files: &[(&str, &str)]) -> Vec<String> {
        let line = |import: Import| {
            format!("{} -> {} {}", import.from.join("::"), import.to.join("::"), import.name)
                .trim_end()
                .to_owned()
        };
        let mut found: Vec<String> = made_up(files).imports().into_iter().map(line).collect();
        found.dedup();
        found
    }

    #[test]
    fn paths_lead_to_the_module_that_defines_the_name() {
        let files = [
            ("lib.rs", "mod a; mod b; pub use b::{B, deep::Deep as Renamed};"),
            ("a.rs", "use crate::{B, Renamed}; fn f() { crate::b::g(); }"),
            ("b/mod.rs", "pub mod deep; pub struct B; pub fn g() {}"),
            ("b/deep.rs", "pub struct Deep;"),
        ];
        let found = imports(&files);
        let of_root = [" -> b B", " -> b::deep Deep"];
        assert_eq!(found, [&of_root[..], &["a -> b B", "a -> b g", "a -> b::deep Deep"]].concat());
    }

    #[test]
    fn a_glob_and_a_name_of_a_module_are_followed() {
        let files = [
            ("main.rs", "mod a; mod b; mod c; use b::*;"),
            ("a.rs", "use crate::{self as root, B, c}; fn f() { c::g(root::c::H) }"),
            ("b.rs", "pub struct B;"),
            ("c.rs", "pub fn g() {} pub const H: u8 = 1;"),
        ];
        let found = imports(&files);
        assert_eq!(found[1..5], ["a ->", "a -> b B", "a -> c", "a -> c H"][..]);
        assert!(found.contains(&"a -> c g".to_owned()), "{found:?}");
    }

    #[test]
    fn super_and_modules_in_a_file_are_understood_and_other_crates_left_out() {
        let files = [
            (
                "lib.rs",
                "pub mod a { pub mod b { use super::c::C; use std::fmt; use serde::a::X; } pub mod c { pub struct C; } }",
            ),
            (
                "d.rs",
                "impl fmt::Display for D { fn f() { let s = \"crate::a\"; /* crate::a */ vec![crate::a::c::C] } }",
            ),
        ];
        assert_eq!(imports(&files), ["a::b -> a::c C", "d -> a::c C"]);
    }

    #[test]
    fn a_ring_of_re_exports_ends() {
        let files =
            [("lib.rs", "mod a; mod b;"), ("a.rs", "pub use crate::b::X;"), ("b.rs", "pub use crate::a::X;")];
        assert_eq!(imports(&files).len(), 2);
    }
}
