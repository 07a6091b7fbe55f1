//! The machine that a benchmark ran on.

use std::collections::HashMap;
use std::process::Command;

use serde_json::json;

use super::process::output;

/// The machine, the date, the versions.
pub(crate) struct Machine {
    pub(crate) date: String,
    lines: Vec<(&'static str, String)>,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let file = |path: &str, start: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(start)).unwrap_or_default();
            line.rsplit(':').next().unwrap_or_default().trim().to_owned()
        };
        let call = |program: &str, words: &[&str]| {
            let mut command = Command::new(program);
            command.args(words).current_dir(env!("CARGO_MANIFEST_DIR"));
            output(&mut command).unwrap_or_else(|_| "unknown".to_owned())
        };
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let changed = !call("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty();
        let commit = call("git", &["rev-parse", "--short", "HEAD"]);
        let lines = vec![
            (
                "machine",
                format!(
                    "{cores} × {}, {}",
                    file("/proc/cpuinfo", "model name"),
                    file("/proc/meminfo", "MemTotal")
                ),
            ),
            ("kernel", format!("Linux {}", file("/proc/sys/kernel/osrelease", ""))),
            ("commit", if changed { format!("{commit}, changed") } else { commit }),
            ("compiler", call("rustc", &["--version"])),
        ];
        Self { date: call("date", &["-u", "+%Y-%m-%d %H:%M UTC"]), lines }
    }

    pub(crate) fn markdown(&self) -> String {
        self.lines.iter().map(|(name, value)| format!("- {name}: {value}\n")).collect()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let lines: HashMap<&str, &String> = self.lines.iter().map(|(name, value)| (*name, value)).collect();
        json!({"date": self.date, "is": lines})
    }
}
