//! `throng network`, `throng node` and `throng client`: a network of separate processes, and what is refused.

#![allow(clippy::unwrap_used)] // panics are how a test says no

mod common;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{Running, Server, closed_port, noise, run, throng};
use tempfile::TempDir;

/// The words of a command that names files of a folder.
fn in_dir(dir: &TempDir, words: &[&str]) -> Vec<String> {
    let place = |word: &&str| match word.strip_prefix('@') {
        Some(file) => dir.path().join(file).display().to_string(),
        None => (*word).to_owned(),
    };
    words.iter().map(place).collect()
}

fn call(dir: &TempDir, words: &[&str]) -> (bool, String) {
    let words = in_dir(dir, words);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (status, _, err) = run(&mut throng(&words));
    (status.success(), err)
}

fn start(dir: &TempDir, words: &[&str]) -> Running {
    let words = in_dir(dir, words);
    Running::start(&mut throng(&words.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// A new network whose mixes listen on ports that were free just now.
fn network(mixes: u8) -> TempDir {
    let dir = TempDir::new().unwrap();
    let socket = |i| std::net::UdpSocket::bind((std::net::Ipv4Addr::new(127, i, 0, 1), 0)).unwrap();
    let sockets: Vec<_> = (1..=mixes).map(socket).collect();
    let addresses: Vec<_> = sockets.iter().map(|s| s.local_addr().unwrap().to_string()).collect();
    drop(sockets);
    let (ok, err) = call(
        &dir,
        &[
            "network",
            "init",
            "--dir",
            "@",
            "--mixes",
            &mixes.to_string(),
            "--exits",
            "2",
            "--exit-to-private",
            "--exit-ports",
            "all",
            "--address",
            &addresses.join(","),
        ],
    );
    assert!(ok, "{err}");
    let client = dir.path().join("client.toml");
    let text = fs::read_to_string(&client).unwrap().replace("9450", &closed_port().to_string());
    fs::write(client, text).unwrap();
    dir
}

fn runs(node: &Running) {
    node.err.wait("a mix runs", |bytes, _| String::from_utf8_lossy(bytes).contains("runs").then_some(()));
}

fn proxy_of(client: &Running) -> SocketAddr {
    client.err.wait("the proxy is open", |bytes, _| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("proxy on "))?;
        line.trim().parse().ok()
    })
}

fn sign(dir: &TempDir, key: &str, more: &[&str]) -> (bool, String) {
    let words = ["network", "sign", "--document", "@network.throng", "--roots", "@roots.toml", "--key", key];
    call(dir, &[&words[..], more].concat())
}

#[test]
fn pages_load_through_processes_also_after_every_mix_was_killed_and_restarted() {
    let dir = network(5);
    let server = Server::of_noise();
    let mut mixes: Vec<_> = (1..=5).map(|i| start(&dir, &["node", &format!("@mix-{i}.toml")])).collect();
    mixes.iter().for_each(runs);
    let client = start(&dir, &["client", "@client.toml"]);
    let proxy = proxy_of(&client);
    let load = |seed: u64| {
        let expected = noise::pour(seed, 100_000, &mut std::io::sink()).unwrap();
        assert_eq!(
            common::fetch(proxy, "somebody", server.address, seed, 100_000),
            expected,
            "after mix {seed}"
        );
    };
    load(0);
    for i in 1..=5usize {
        mixes[i - 1].kill();
        mixes[i - 1] = start(&dir, &["node", &format!("@mix-{i}.toml")]);
        runs(&mixes[i - 1]);
        load(i as u64);
    }
    client.interrupt();
    common::wait_until("the first hops are kept", common::LIMIT, || dir.path().join("client.state").exists());
}

#[test]
fn secrets_are_written_for_their_owner_only_and_refused_when_others_can_read_them() {
    let dir = network(3);
    let keys = |path: &Path| path.extension().is_some_and(|extension| extension == "keys");
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode == 0o600, keys(&path), "{}: {mode:o}", path.display());
    }
    fs::set_permissions(dir.path().join("mix-1.keys"), fs::Permissions::from_mode(0o644)).unwrap();
    let (ok, err) = call(&dir, &["node", "@mix-1.toml"]);
    assert!(!ok && err.contains("mix-1.keys") && err.contains("chmod 600"), "{err}");
}

#[test]
fn a_document_that_was_changed_or_is_of_another_format_is_refused_with_the_reason() {
    let dir = network(3);
    let path = dir.path().join("network.throng");
    let good = fs::read(&path).unwrap();
    let refused = |bytes: &[u8], reason: &str| {
        fs::write(&path, bytes).unwrap();
        for words in [["node", "@mix-1.toml"], ["client", "@client.toml"]] {
            let (ok, err) = call(&dir, &words);
            assert!(!ok && err.contains(reason) && err.contains("network.throng"), "{err}");
        }
    };
    let mut tampered = good.clone();
    tampered[60] ^= 1;
    refused(&tampered, "valid signatures");
    let mut unknown = good.clone();
    unknown[0] = 9;
    refused(&unknown, "version 9");
    refused(&good[..good.len() - 10], "damaged");
}

#[test]
fn a_document_is_renewed_when_enough_operators_have_signed() {
    let dir = network(3);
    let (ok, err) = sign(&dir, "@operator-1.keys", &["--days", "60"]);
    assert!(ok && err.contains("1 valid signatures"), "{err}");
    assert!(dir.path().join("network.pending").exists());
    let (ok, err) = sign(&dir, "@operator-1.keys", &[]);
    assert!(ok && err.contains("1 valid signatures"), "one operator signs once: {err}");
    let (ok, err) = sign(&dir, "@operator-3.keys", &[]);
    assert!(ok && err.contains("serial 2 is in force"), "{err}");
    assert!(!dir.path().join("network.pending").exists());
    let (ok, err) = sign(&dir, "@mix-1.keys", &[]);
    assert!(!ok && err.contains("not the key of an operator"), "{err}");
}

#[test]
fn a_mix_that_moves_is_signed_in_at_its_new_address() {
    let dir = network(3);
    let file = dir.path().join("mix-1.toml");
    let before = fs::read(dir.path().join("network.throng")).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let line = text.lines().find(|line| line.starts_with("listen")).unwrap();
    fs::write(&file, text.replace(line, "listen = \"127.9.9.9:9999\"")).unwrap();
    let (ok, err) = call(&dir, &["node", "@mix-1.toml", "--record", "@mix-1.record"]);
    assert!(ok, "{err}");
    let record = dir.path().join("mix-1.record").display().to_string();
    assert!(sign(&dir, "@operator-1.keys", &["--record", &record]).0);
    assert!(sign(&dir, "@operator-2.keys", &[]).0);
    let after = fs::read(dir.path().join("network.throng")).unwrap();
    let address = [127, 9, 9, 9, 0x0f, 0x27];
    assert!(!before.windows(6).any(|window| window == address));
    assert!(after.windows(6).any(|window| window == address));
}
