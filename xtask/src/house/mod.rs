//! `cargo xtask house`: rules about the source that neither the compiler nor clippy knows.

mod circles;
mod citations;
mod functions;
mod modules;
mod names;
mod rooms;
mod source;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::tools::root;
use citations::Citation;
use functions::{Function, functions};
use modules::Crate;
use names::Names;
use rooms::Rooms;

/// Documents that are not here, or might be one day, and how they are cited.
const CITATIONS: &[Citation] = &[
    Citation { pattern: "DESIGN @#", document: "docs/design.md" },
    Citation { pattern: "DESIGN #", document: "docs/design.md" },
    Citation { pattern: "DESIGN", document: "docs/design.md" },
    Citation { pattern: "D#", document: "docs/design.md" },
    Citation { pattern: "reference @", document: "docs/reference.md" },
    Citation { pattern: "reference #", document: "docs/reference.md" },
    Citation { pattern: "Reference @", document: "docs/reference.md" },
    Citation { pattern: "Reference #", document: "docs/reference.md" },
    Citation { pattern: "check #", document: "docs/reference.md" },
    Citation { pattern: "checks #", document: "docs/reference.md" },
];

/// Rooms of the node: the door routes what one leaves behind for others.
const ROOMS: &[Rooms] = &[Rooms {
    package: "throng-core",
    rooms: &["node::neighbours", "node::relays", "node::origins", "node::mixing", "node::documents"],
    ground: &[],
}];

/// A function that does not fit a screen is read worse than two that do.
const FUNCTION_LINES_MAX: usize = 70;

/// Functions that are longer, and how long each may be: they may become shorter, and then leave this list.
const LONGER: &[Longer] = &[];

struct Longer {
    file: &'static str,
    name: &'static str,
    lines_max: usize,
}

/// A rule that is broken somewhere.
struct Finding {
    file: PathBuf,
    /// From 1; 0 stands for the whole file.
    line: usize,
    text: String,
}

/// Checks all rules, and reports whatever breaks one.
pub(crate) fn check() -> Result<()> {
    let mut troubles = Vec::new();
    let mut names = Names::default();
    for package in packages()? {
        troubles.extend(check_package(&package, &mut names)?);
    }
    troubles.extend(check_citations()?);
    if troubles.is_empty() {
        eprintln!(
            "house: no circles, citations that lead nowhere, rooms that reach into others, long functions or names of two types"
        );
        return Ok(());
    }
    troubles.iter().for_each(|trouble| eprintln!("  {trouble}\n"));
    bail!("{} violations of the rules of the house (`cargo xtask house` checks these alone)", troubles.len());
}

/// The folders of the workspace's packages, from its root.
fn packages() -> Result<Vec<PathBuf>> {
    let crates = fs::read_dir(root().join("crates")).context("reading crates/")?;
    let names: Result<Vec<_>, _> = crates.map(|entry| entry.map(|entry| entry.file_name())).collect();
    let mut packages: Vec<PathBuf> =
        names.context("reading crates/")?.into_iter().map(|name| Path::new("crates").join(name)).collect();
    packages.push("xtask".into());
    packages.retain(|package| root().join(package).join("src").is_dir());
    packages.sort();
    Ok(packages)
}

/// Circles, rooms, long functions, and names of two types; what builds and measures may call its own types as it likes.
fn check_package(package: &Path, names: &mut Names) -> Result<Vec<String>> {
    let sources = package.join("src");
    let mut read = Crate::default();
    let mut findings = Vec::new();
    for file in files(&sources, &["rs"])? {
        if file.file_stem() == Some(OsStr::new("tests")) {
            continue;
        }
        let text =
            fs::read_to_string(root().join(&file)).with_context(|| format!("reading {}", file.display()))?;
        let tokens = source::tokens(&text);
        read.add(file.strip_prefix(&sources)?, &tokens);
        findings.extend(too_long(&file, &functions(&tokens), LONGER));
        if package != Path::new("xtask") {
            findings.extend(names.add(&file, &tokens));
        }
    }
    let imports = read.imports();
    let name = package.file_name().unwrap_or_default().to_string_lossy();
    let rooms = ROOMS.iter().filter(|rooms| rooms.package == name);
    let trespasses = rooms.flat_map(|rooms| rooms::trespasses(rooms, &read, &imports));
    findings.extend(trespasses.map(|finding| Finding { file: sources.join(finding.file), ..finding }));
    let circles = circles::circles(&name, &imports);
    Ok(circles.into_iter().chain(findings.iter().map(Finding::to_line)).collect())
}

/// Functions over their limit, and limits that no function needs any more.
fn too_long(file: &Path, functions: &[Function<'_>], longer: &[Longer]) -> Vec<Finding> {
    let of_file = || longer.iter().filter(|known| Path::new(known.file) == file);
    let lines_max = |name: &str| {
        of_file().find(|known| known.name == name).map_or(FUNCTION_LINES_MAX, |known| known.lines_max)
    };
    let over =
        functions.iter().filter(|function| function.lines > lines_max(function.name)).map(|function| {
            let text = format!(
                "`{}` has {} lines, over the limit of {}: split it",
                function.name,
                function.lines,
                lines_max(function.name)
            );
            Finding { file: file.to_owned(), line: function.line, text }
        });
    let unneeded = of_file().filter(|known| {
        !functions.iter().any(|function| function.name == known.name && function.lines >= known.lines_max)
    });
    let unneeded = unneeded.map(|known| {
        let text = format!(
            "`{}` no longer has {} lines: correct `LONGER` in xtask/src/house",
            known.name, known.lines_max
        );
        Finding { file: file.to_owned(), line: 0, text }
    });
    over.chain(unneeded).collect()
}

fn check_citations() -> Result<Vec<String>> {
    let document = |name: &str| fs::read_to_string(root().join(name)).unwrap_or_default();
    let mut found = Vec::new();
    for file in files(Path::new(""), &["rs", "toml", "md"])? {
        let text =
            fs::read_to_string(root().join(&file)).with_context(|| format!("reading {}", file.display()))?;
        // The table of patterns is no citation.
        if file != Path::new("xtask/src/house/mod.rs") {
            found.extend(citations::dangling(&file, &text, CITATIONS, document));
        }
    }
    Ok(found.iter().map(Finding::to_line).collect())
}

/// The files below a folder that end in one of these ways, in order; what is built or hidden is passed over.
fn files(folder: &Path, endings: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let entries =
            fs::read_dir(root().join(&folder)).with_context(|| format!("reading {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
            let path = folder.join(entry.file_name());
            let is_ours =
                entry.file_name() != "target" && !entry.file_name().to_string_lossy().starts_with('.');
            if entry.path().is_dir() && is_ours {
                open.push(path);
            } else if path.extension().and_then(OsStr::to_str).is_some_and(|ending| endings.contains(&ending))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

impl Finding {
    fn to_line(&self) -> String {
        match self.line {
            0 => format!("{}: {}", self.file.display(), self.text),
            line => format!("{}:{line}: {}", self.file.display(), self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_function_may_only_become_shorter_and_must_leave_the_list_then() {
        let longer = [Longer { file: "a.rs", name: "f", lines_max: 90 }];
        let report = |file: &str, lines: &[usize]| {
            let functions: Vec<_> =
                lines.iter().map(|lines| Function { name: "f", line: 7, lines: *lines }).collect();
            let found = too_long(Path::new(file), &functions, &longer);
            found.iter().map(Finding::to_line).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(report("b.rs", &[70]), "");
        assert_eq!(report("b.rs", &[71]), "b.rs:7: `f` has 71 lines, over the limit of 70: split it");
        assert_eq!(report("a.rs", &[90, 5]), "", "another one may have the same name");
        assert!(report("a.rs", &[91]).contains("limit of 90"));
        assert!(report("a.rs", &[60]).starts_with("a.rs: `f` no longer has 90 lines"));
    }
}
