//! A static network of processes, and its files.

use std::fs;
use std::net::SocketAddr;

use tempfile::TempDir;
use throng_core::{Time, documents};
use throng_net::suite::Fast;

use super::{Running, closed_port, mix_address, run, throng};

/// The port of the status feed in the files that `throng network init` writes.
const DEFAULT_STATUS: u16 = 9451;

/// The words of a command that names files of a folder.
pub fn in_dir(dir: &TempDir, words: &[&str]) -> Vec<String> {
    let place = |word: &&str| match word.strip_prefix('@') {
        Some(file) => dir.path().join(file).display().to_string(),
        None => (*word).to_owned(),
    };
    words.iter().map(place).collect()
}

pub fn call(dir: &TempDir, words: &[&str]) -> (bool, String) {
    let words = in_dir(dir, words);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (status, _, err) = run(&mut throng(&words));
    (status.success(), err)
}

pub fn start(dir: &TempDir, words: &[&str]) -> Running {
    let words = in_dir(dir, words);
    Running::start(&mut throng(&words.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// A new network whose mixes listen on ports that were free just now.
pub fn network(mixes: u8) -> TempDir {
    network_at(&(1..=mixes).map(mix_address).collect::<Vec<_>>())
}

/// A new network whose mixes have these addresses.
pub fn network_at(addresses: &[String]) -> TempDir {
    let dir = TempDir::new().unwrap();
    let (mixes, addresses) = (addresses.len().to_string(), addresses.join(","));
    let words = ["network", "init", "--dir", "@", "--exits", "2", "--exit-to-private", "--exit-ports", "all"];
    let where_ = ["--mixes", &mixes, "--address", &addresses];
    let (ok, err) = call(&dir, &[&words[..], &where_].concat());
    assert!(ok, "{err}");
    let client = dir.path().join("client.toml");
    let (status, free) = (DEFAULT_STATUS.to_string(), closed_port().to_string());
    let text = fs::read_to_string(&client).unwrap().replace("9450", "0").replace(&status, &free);
    fs::write(client, text).unwrap();
    dir
}

pub fn runs(node: &Running) {
    node.err
        .wait("a mix runs", |bytes, _| String::from_utf8_lossy(bytes).contains("is running").then_some(()));
}

/// Its first mixes, all running.
pub fn mixes_of(dir: &TempDir, count: u8) -> Vec<Running> {
    let mixes: Vec<_> = (1..=count).map(|i| start(dir, &["node", &format!("@mix-{i}.toml")])).collect();
    mixes.iter().for_each(runs);
    mixes
}

pub fn proxy_of(client: &Running) -> SocketAddr {
    client.err.wait("the proxy is open", |bytes, _| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("proxy on "))?;
        line.trim().parse().ok()
    })
}

pub fn sign(dir: &TempDir, key: &str, more: &[&str]) -> (bool, String) {
    let words = ["network", "sign", "--document", "@network.throng", "--roots", "@roots.toml", "--key", key];
    call(dir, &[&words[..], more].concat())
}

/// The same document with another span of validity, signed by two of its operators.
pub fn sign_anew(dir: &TempDir, document: &[u8], from: Time, until: Time) -> Vec<u8> {
    let (unsigned, _) = documents::take_apart(document).unwrap();
    // Validity lies behind version, name and serial.
    let mut unsigned = unsigned.to_vec();
    let end = 2 + "throng".len() + 8 + 8;
    unsigned[end - 8..end].copy_from_slice(&from.as_nanos().to_le_bytes());
    unsigned[end..end + 8].copy_from_slice(&until.as_nanos().to_le_bytes());
    let mut signatures = Vec::new();
    for operator in 1..=2 {
        let keys = fs::read_to_string(dir.path().join(format!("operator-{operator}.keys"))).unwrap();
        let line = keys.lines().find(|line| line.starts_with("identity")).unwrap();
        let digits = line.split('"').nth(1).unwrap();
        let secret: Vec<u8> =
            (0..64).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap()).collect();
        documents::sign::<Fast>(&unsigned, &mut signatures, secret.first_chunk().unwrap());
    }
    documents::assemble(&unsigned, &signatures)
}

/// What `throng status` says of a client.
pub fn status_of_client(dir: &TempDir) -> String {
    let text = fs::read_to_string(dir.path().join("client.toml")).unwrap();
    let line = text.lines().find(|line| line.starts_with("status")).unwrap();
    let (status, out, err) = run(&mut throng(&["status", "--at", line.split('"').nth(1).unwrap()]));
    assert!(status.success(), "{err}");
    out
}
