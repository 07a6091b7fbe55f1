//! What processes cost, from the operating system's own accounting.

use std::fs;

/// Scheduler ticks per second in `/proc/PID/stat`: fixed on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds, user and system, of all threads of these processes.
pub(crate) fn cpu(pids: &[u32]) -> f64 {
    // The scheduler's sum is exact, but knows only the threads that live; the other one is cut to whole ticks.
    pids.iter().map(|&pid| cpu_in_ticks(pid).max(cpu_of_threads(pid))).sum()
}

fn cpu_in_ticks(pid: u32) -> f64 {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return 0.0 };
    // The program's name, in parentheses, may hold anything.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let fields: Vec<f64> = after.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect();
    let ticks: f64 = [11, 12].iter().filter_map(|&i| fields.get(i)).sum();
    ticks / TICKS_PER_SECOND
}

fn cpu_of_threads(pid: u32) -> f64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0.0 };
    let nanos = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    threads.flatten().filter_map(nanos).sum::<f64>() / 1e9
}

/// Resident memory of a process in MiB.
pub(crate) fn resident(pid: u32) -> f64 {
    status(pid, "VmRSS:")
}

/// Its peak resident memory in MiB.
pub(crate) fn resident_most(pid: u32) -> f64 {
    status(pid, "VmHWM:")
}

fn status(pid: u32, field: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = text.lines().find_map(|line| line.strip_prefix(field)?.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// CPU seconds that the whole machine has spent so far, on anything.
pub(crate) fn machine() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let fields: Vec<f64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // All but idling and waiting for disks; guests are counted among the others already.
    let ticks: f64 =
        fields.iter().take(8).enumerate().filter(|(i, _)| !matches!(i, 3 | 4)).map(|(_, t)| t).sum();
    ticks / TICKS_PER_SECOND
}
