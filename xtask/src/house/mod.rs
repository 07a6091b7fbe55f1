//! `cargo xtask house`: rules about the source that neither the compiler nor clippy knows.

mod circles;
mod citations;
mod functions;
mod modules;
mod rooms;
mod source;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::tools::root;
use citations::Citation;
use functions::functions;
use modules::Crate;
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

/// Rooms, once there are some.
const ROOMS: &[Rooms] = &[Rooms { package: "throng-core", rooms: &[], ground: &[] }];

/// A function that does not fit a screen is read worse than two that do.
const FUNCTION_LINES_MAX: usize = 70;

/// Longer ones that there are, and how long each may be: they may become shorter, and then leave this list.
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
    for package in packages()? {
        troubles.extend(check_package(&package)?);
    }
    troubles.extend(check_citations()?);
    if troubles.is_empty() {
        return Ok(());
    }
    troubles.iter().for_each(|trouble| eprintln!("  {trouble}\n"));
    bail!("{} of the house's rules broken (`cargo xtask house` checks them alone)", places(troubles.len()));
}

fn places(count: usize) -> String {
    if count == 1 { "1 place".into() } else { format!("{count} places") }
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

/// Circles, rooms, and long functions.
fn check_package(package: &Path) -> Result<Vec<String>> {
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
        findings.extend(functions(&tokens).iter().filter_map(|function| too_long(&file, function, LONGER)));
    }
    let imports = read.imports();
    let name = package.file_name().unwrap_or_default().to_string_lossy();
    let rooms = ROOMS.iter().filter(|rooms| rooms.package == name);
    let trespasses = rooms.flat_map(|rooms| rooms::trespasses(rooms, &read, &imports));
    findings.extend(trespasses.map(|finding| Finding { file: sources.join(finding.file), ..finding }));
    let circles = circles::circles(&name, &imports);
    Ok(circles.into_iter().chain(findings.iter().map(Finding::to_line)).collect())
}

fn too_long(file: &Path, function: &functions::Function<'_>, longer: &[Longer]) -> Option<Finding> {
    let known = longer.iter().find(|known| Path::new(known.file) == file && known.name == function.name);
    let lines_max = known.map_or(FUNCTION_LINES_MAX, |known| known.lines_max);
    let text = if function.lines > lines_max {
        format!("`{}` has {} lines, and may have {lines_max}: divide it", function.name, function.lines)
    } else if known.is_some() && function.lines < lines_max {
        format!(
            "`{}` has only {} lines now: correct the list of longer ones in xtask/src/house",
            function.name, function.lines
        )
    } else {
        return None;
    };
    Some(Finding { file: file.to_owned(), line: function.line, text })
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
                path != Path::new("target") && !entry.file_name().to_string_lossy().starts_with('.');
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
        let report = |file: &str, name, lines| {
            let function = functions::Function { name, line: 7, lines };
            too_long(Path::new(file), &function, &longer).map(|finding| finding.to_line())
        };
        assert_eq!(report("b.rs", "f", 70), None);
        assert_eq!(
            report("b.rs", "f", 71).as_deref(),
            Some("b.rs:7: `f` has 71 lines, and may have 70: divide it")
        );
        assert_eq!(report("a.rs", "f", 90), None);
        assert!(report("a.rs", "f", 91).is_some());
        assert!(report("a.rs", "f", 60).is_some_and(|line| line.contains("has only 60 lines now")));
    }
}
