//! Child processes, which end with the benchmark: all those that it started, and no others.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The running children, for [`end_all`]; `None` once that has been called.
static STARTED: Mutex<Option<Vec<Arc<Mutex<Child>>>>> = Mutex::new(Some(Vec::new()));

/// A running program; it is killed, by its id, on drop.
pub(crate) struct Running {
    name: String,
    child: Arc<Mutex<Child>>,
    pid: u32,
}

impl Running {
    /// Starts it; stdout and stderr go to the file.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let log = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let copy = log.try_clone().context("duplicating the handle of a log")?;
        command.stdin(Stdio::null()).stdout(log).stderr(copy);
        Self::spawn(name, command)
    }

    fn spawn(name: &str, command: &mut Command) -> Result<Self> {
        let mut started = lock(&STARTED);
        let started = started.as_mut().context("the benchmark is ending")?;
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        let pid = child.id();
        let child = Arc::new(Mutex::new(child));
        started.push(Arc::clone(&child));
        Ok(Self { name: name.to_owned(), child, pid })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// An error if it has ended.
    pub(crate) fn must_live(&self) -> Result<()> {
        if let Some(status) = lock(&self.child).try_wait().context("polling a child")? {
            bail!("{} ended early: {status}", self.name);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&self.child);
        if let Some(started) = &mut *lock(&STARTED) {
            started.retain(|child| !Arc::ptr_eq(child, &self.child));
        }
    }
}

/// A worker that we talk to line by line; it ends when its stdin does.
pub(crate) struct Worker {
    running: Running,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts this very program with these words.
    pub(crate) fn start(words: &[String]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe().context("finding our own executable")?);
        command.arg("bench").args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let running = Running::spawn(&words.join(" "), &mut command)?;
        let mut child = lock(&running.child);
        let pipes = (child.stdin.take(), child.stdout.take());
        drop(child);
        let (Some(to), Some(from)) = pipes else { bail!("a child has no pipes") };
        Ok(Self { running, to, from: BufReader::new(from) })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid
    }

    pub(crate) fn say(&mut self, line: &str) -> Result<()> {
        self.to.write_all(format!("{line}\n").as_bytes()).with_context(|| self.trouble())?;
        self.to.flush().with_context(|| self.trouble())
    }

    /// The next line. Workers bound their own time, so this ends.
    pub(crate) fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        self.from.read_line(&mut line).with_context(|| self.trouble())?;
        if line.is_empty() {
            bail!("{}: it ended without an answer", self.trouble());
        }
        Ok(line.trim_end().to_owned())
    }

    fn trouble(&self) -> String {
        format!("talking to `{}`", self.running.name)
    }
}

/// Ends every running child; from now on none can be started.
pub(crate) fn end_all() {
    for child in lock(&STARTED).take().unwrap_or_default() {
        end(&child);
    }
}

/// If [`end_all`] has been called, waits for its caller to end this process.
pub(crate) fn wait_if_ending() {
    while lock(&STARTED).is_none() {
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn end(child: &Mutex<Child>) {
    let mut child = lock(child);
    let _ = child.kill();
    let _ = child.wait();
}

/// Runs a program to its end, and returns its output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("running {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Polls for a condition.
pub(crate) fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut is: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begin = now();
    loop {
        if let Some(found) = is()? {
            return Ok(found);
        }
        if begin.elapsed() > limit {
            bail!("waited {} s in vain until {what}", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The clock.
#[expect(clippy::disallowed_methods, reason = "measuring needs the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Finds a program, also in directories that only root has in its path.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let also = ["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from);
    std::env::split_paths(&paths).chain(also).map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
