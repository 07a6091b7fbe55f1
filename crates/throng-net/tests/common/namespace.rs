//! A room without doors: tests that must not reach anything run themselves again in a network namespace that has
//! only loopback.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, Command, Stdio};

/// Whether we stand in such a namespace. If not, `test` (of this test program) is run in one, with everything
/// that it starts, and must pass; or it is skipped, loudly, where the system does not allow it.
///
/// ```ignore
/// if !namespace::inside("the_name_of_this_test", &["tcpdump"]) { return }
/// ```
pub fn inside(test: &str, programs: &[&str]) -> bool {
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let missing: Vec<&&str> = ["setpriv", "unshare", "timeout", "ip"]
        .iter()
        .chain(programs)
        .filter(|program| !exists(program))
        .collect();
    if !missing.is_empty() {
        eprintln!("SKIPPED: {test} needs {missing:?} to be installed");
        return false;
    }
    let Some(options) = KINDS.iter().find(|options| may(options)) else {
        eprintln!("SKIPPED: {test} needs a network namespace, which this system does not let us make");
        return false;
    };
    let program = std::env::current_exe().expect("a test program has a path");
    let mut command = unshare(options);
    command.args(["sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""]).arg(program);
    command.args([test, "--exact", "--nocapture", "--include-ignored"]).env(MARK, "1").stdout(Stdio::piped());
    let mut child = Ended(command.spawn().expect("unshare runs, it did a moment ago"));
    let mut said = String::new();
    // It ends by itself: whatever waits in there has a limit.
    child
        .0
        .stdout
        .take()
        .expect("it is piped")
        .read_to_string(&mut said)
        .expect("a test program writes text");
    let status = child.0.wait().expect("it was not waited for before");
    assert!(status.success(), "{test}, inside a namespace: {status}\n{said}");
    assert!(said.contains(" 1 passed"), "no test is called {test}:\n{said}");
    eprint!("{said}"); // what it measured
    false
}

/// A host of its own inside the namespace, with one cable to us: it reaches us and nobody else.
pub struct Host {
    /// Holds its namespace open.
    holder: Ended,
    /// Its address on the cable; ours there ends in 1.
    pub ip: Ipv4Addr,
}

impl Host {
    /// The host with this number, from 1.
    pub fn new(number: u8) -> Self {
        let mut unshare = Command::new("unshare");
        // It says that it is there when it has left our namespace.
        unshare.args(["--net", "--", "sh", "-c", "ip link set lo up && echo here && exec sleep 1000"]);
        let mut holder = Ended(unshare.stdout(Stdio::piped()).spawn().expect("unshare runs"));
        let mut here = [0; 5];
        holder.0.stdout.as_mut().expect("it is piped").read_exact(&mut here).expect("a new host");
        let pid = holder.0.id();
        let cable = format!("cable{number}");
        ip(&format!("link add {cable} type veth peer name eth0 netns {pid}"));
        for (address, name, end) in [("172.16", "1/24", "2/24"), ("fd16", ":1/64", ":2/64")] {
            let dot = if address == "fd16" { ":" } else { "." };
            let nodad = if address == "fd16" { "nodad" } else { "" };
            ip(&format!("address add {address}{dot}{number}{dot}{name} dev {cable} {nodad}"));
            inside_of(pid, &format!("ip address add {address}{dot}{number}{dot}{end} dev eth0 {nodad}"));
        }
        ip(&format!("link set {cable} up"));
        inside_of(pid, "ip link set eth0 up");
        inside_of(pid, &format!("ip route add default via 172.16.{number}.1"));
        inside_of(pid, &format!("ip -6 route add default via fd16:{number}::1"));
        Self { holder, ip: Ipv4Addr::new(172, 16, number, 2) }
    }

    /// A command that runs there.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holder.0.id())).arg(program);
        command
    }
}

/// Gives us one more address, on loopback.
pub fn add_address(address: IpAddr) {
    let nodad = if address.is_ipv6() { "nodad" } else { "" };
    ip(&format!("address add {address} dev lo {nodad}"));
}

fn ip(words: &str) {
    succeed(Command::new("ip").args(words.split_whitespace()));
}

fn inside_of(pid: u32, words: &str) {
    succeed(Command::new("nsenter").arg(format!("--net=/proc/{pid}/ns/net")).args(words.split_whitespace()));
}

fn succeed(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

/// Whether a program can be started.
pub fn exists(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(program).is_file())
}

fn may(options: &[&str]) -> bool {
    let tried = unshare(options).args(["ip", "link", "set", "lo", "up"]).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

fn unshare(options: &[&str]) -> Command {
    // Nothing in there outlives us, however we end: when we are gone the kernel kills unshare, then its child,
    // and with the first process of a process namespace all others. And it has a limit of its own.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "unshare", "--net", "--pid", "--mount-proc", "--fork", "--kill-child"])
        .args(options);
    command.args(["--", "timeout", "--signal=KILL", LIMIT_S]);
    command
}

/// A process that does not outlive us, also if we panic.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whatever runs in a namespace has ended after this.
const LIMIT_S: &str = "240";
const MARK: &str = "THRONG_TEST_IN_NAMESPACE";
/// As root, or as somebody who is root only in there.
const KINDS: [&[&str]; 2] = [&[], &["--user", "--map-root-user"]];
