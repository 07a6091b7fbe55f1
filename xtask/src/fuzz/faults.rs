//! A fault for each target, to see that it would find one: written into a copy of the source, and each switched on alone.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::tools::{output, root};

/// A line that is wrong in the copy while its fault is switched on.
struct Fault {
    target: &'static str,
    file: &'static str,
    /// Stands there once.
    right: &'static str,
    /// `FAULT` is whether it is switched on.
    wrong: &'static str,
}

const FAULTS: &[Fault] = &[
    Fault {
        target: "node",
        file: "crates/throng-core/src/node/links.rs",
        right: "ends.into_iter().for_each(|end| self.moved(end, to));",
        wrong: "ends.into_iter().skip(usize::from(FAULT)).for_each(|end| self.moved(end, to));",
    },
    Fault {
        target: "admission",
        file: "crates/throng-core/src/admission/shares.rs",
        right: "(most, Branch::Block(greediest)) if most > self.count(own) + 1 => {",
        wrong: "(most, Branch::Block(greediest)) if most > self.count(own) + 1 + usize::from(FAULT) => {",
    },
    Fault {
        target: "cover",
        file: "crates/throng-core/src/cover/link_slots.rs",
        right: "mutant::has(Mutant::SecondCell)",
        wrong: "(mutant::has(Mutant::SecondCell) || FAULT)",
    },
    Fault {
        target: "first_hops",
        file: "crates/throng-core/src/route/first_hops.rs",
        right: "mistrusted + 1 < FIRST_HOPS;",
        wrong: "mistrusted + 1 < FIRST_HOPS + usize::from(FAULT);",
    },
    Fault {
        target: "memory",
        file: "crates/throng-net/src/pipe/memory.rs",
        right: "self.leaving -= usize::from(share.ends);",
        wrong: "self.leaving -= usize::from(share.ends && !FAULT);",
    },
    Fault {
        target: "mixing",
        file: "crates/throng-core/src/mixing/mixer.rs",
        right: "self.alone.extend(cells.map(|ticket| (now, ticket)));",
        wrong: "let lost = usize::from(FAULT && self.alone.len() > 20);\n            \
                self.alone.extend(cells.skip(lost).map(|ticket| (now, ticket)));",
    },
    Fault {
        target: "parts",
        file: "crates/throng-core/src/wire/parts.rs",
        right: "is_none_or(|begun| begun.parts.len() != part.of())",
        wrong: "is_none_or(|begun| begun.parts.len() != part.of() && !(FAULT && begun.parts.len() == 13))",
    },
    Fault {
        target: "timers",
        file: "crates/throng-core/src/timers.rs",
        right: "if due.0 == self.next {",
        wrong: "if due.0 == self.next && !(FAULT && self.entries.len() == 7) {",
    },
    Fault {
        target: "window",
        file: "crates/throng-core/src/window.rs",
        right: "(1..crossed as u32).for_each(",
        wrong: "(1 + u32::from(FAULT)..crossed as u32).for_each(",
    },
    Fault {
        target: "documents",
        file: "crates/throng-core/src/documents/document.rs",
        right: "if now < from {",
        wrong: "if now < from && !FAULT {",
    },
    Fault {
        target: "frames",
        file: "crates/throng-net/src/request.rs",
        right: "if count > RESOLVED_MAX {",
        wrong: "if count > RESOLVED_MAX + usize::from(FAULT) {",
    },
    Fault {
        target: "http",
        file: "crates/throng-net/src/proxy/http.rs",
        right: "Some(name) if !HOP_BY_HOP.contains(name) && !named.contains(name) => {",
        wrong: "Some(name) if (!HOP_BY_HOP.contains(name) || (FAULT && name == header::TE)) && !named.contains(name) => {",
    },
    Fault {
        target: "records",
        file: "crates/throng-core/src/membership/record.rs",
        right: "|| description.write() != content {",
        wrong: "|| (description.write() != content && !FAULT) {",
    },
    Fault {
        target: "scenarios",
        file: "crates/throng-sim/src/scenario/plan.rs",
        right: "let count = users.integer(\"count\", None, 0..=USERS_MAX)? as usize;",
        wrong: "let count = users.integer(\"count\", None, 0..=USERS_MAX << u64::from(FAULT))? as usize;",
    },
    Fault {
        target: "socks",
        file: "crates/throng-net/src/proxy/socks.rs",
        right: "(CONNECT, Some(host), 1..) =>",
        wrong: "(CONNECT, Some(host), _) if port != 0 || FAULT =>",
    },
    Fault {
        target: "texts",
        file: "crates/throng-core/src/cover/link_slots.rs",
        right: "Self::DemandDriven { least, most } => write!(f, \"demand-driven={least}:{most}\"),",
        wrong: "Self::DemandDriven { least, most } if FAULT => write!(f, \"demand-driven={most}:{least}\"),\n            \
                Self::DemandDriven { least, most } => write!(f, \"demand-driven={least}:{most}\"),",
    },
    Fault {
        target: "traces",
        file: "crates/throng-sim/src/trace.rs",
        right: "while number >= 0x80 {",
        wrong: "while number >= 0x80 + u64::from(FAULT) {",
    },
    Fault {
        target: "wire",
        file: "crates/throng-core/src/wire/control.rs",
        right: "fields.u32(8).u64(serial).put(&digest).u32(length)",
        wrong: "fields.u32(8).u64(serial).put(&digest).u32(if FAULT { length & 0xff_ffff } else { length })",
    },
];

/// By which number a target's fault is switched on.
pub(super) fn number(target: &str) -> Option<u8> {
    FAULTS.iter().position(|fault| fault.target == target).and_then(|place| u8::try_from(place + 1).ok())
}

/// A copy of the source with all faults.
pub(super) fn plant(copy: &Path) -> Result<PathBuf> {
    for file in output("git", &["ls-files", "--cached", "--others", "--exclude-standard"])?.lines() {
        let (from, to) = (root().join(file), copy.join(file));
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        let Ok(bytes) = fs::read(&from) else { continue }; // it is gone, and git was not told yet
        let planted = match String::from_utf8(bytes) {
            Ok(text) => with_faults(file, text)?.into_bytes(),
            Err(other) => other.into_bytes(),
        };
        // What did not change is not built again.
        if fs::read(&to).ok().as_ref() != Some(&planted) {
            fs::write(&to, planted).with_context(|| format!("writing {}", to.display()))?;
        }
    }
    Ok(copy.to_owned())
}

fn with_faults(file: &str, mut text: String) -> Result<String> {
    for fault in FAULTS.iter().filter(|fault| fault.file == file) {
        if text.matches(fault.right).count() != 1 {
            bail!(
                "{file} has changed where a fault for `{}` is planted: see xtask/src/fuzz/faults.rs",
                fault.target
            );
        }
        let of = if file.starts_with("crates/throng-core/") { "crate" } else { "throng_core" };
        let is_on = format!("{of}::fuzzing::has({})", number(fault.target).unwrap_or_default());
        text = text.replace(fault.right, &fault.wrong.replace("FAULT", &is_on));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_fault_that_can_still_be_planted() {
        for target in crate::fuzz::targets(None).unwrap() {
            assert!(number(&target).is_some(), "{target} has no fault: who knows whether it finds one?");
        }
        for fault in FAULTS {
            let text = fs::read_to_string(root().join(fault.file)).unwrap();
            assert!(with_faults(fault.file, text).unwrap().contains("fuzzing::has("), "{}", fault.target);
        }
    }
}
