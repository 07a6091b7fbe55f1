//! `throng network`, `throng node` and `throng client`: a network of separate processes, and what is refused.

#![allow(clippy::unwrap_used)] // panics are how a test says no

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::static_network::{call, in_dir, mixes_of, network, proxy_of, runs, sign, sign_anew, start};
use common::{Server, mix_address, noise, run, throng};
use tempfile::TempDir;
use throng_core::{Time, documents};

#[test]
fn pages_load_through_processes_also_after_every_mix_was_killed_and_restarted() {
    let dir = network(5);
    let server = Server::of_noise();
    let mut mixes = mixes_of(&dir, 5);
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
fn what_is_no_network_cannot_be_denied_and_is_named() {
    let dir = TempDir::new().unwrap();
    let init = |deny| call(&dir, &["network", "init", "--dir", "@net", "--exit-deny", deny]);
    let (ok, err) = init("203.0.113.0/24,2001:db8::/129");
    assert!(!ok && err.contains("`2001:db8::/129`") && err.contains("--exit-deny"), "{err}");
    let (ok, err) = init("203.0.113.7,2001:db8::/32");
    assert!(ok, "{err}");
    let mix = dir.path().join("net/mix-1.toml");
    let text = fs::read_to_string(&mix).unwrap();
    assert!(text.contains("203.0.113.7/32") && text.contains("2001:db8::/32"), "{text}");
    fs::write(&mix, text.replace("203.0.113.7/32", "example.org")).unwrap();
    let (ok, err) = call(&dir, &["node", "@net/mix-1.toml"]);
    assert!(!ok && err.contains("`example.org`") && err.contains("exit_deny"), "{err}");
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
fn a_network_that_nobody_could_reach_is_refused_before_a_file_is_written() {
    let dir = TempDir::new().unwrap();
    for (addresses, named) in [
        ("192.0.2.1:9001", "names 1 mixes, and --mixes is 3"),
        ("0.0.0.0:9001,192.0.2.2:9001,192.0.2.3:9001", "0.0.0.0:9001"),
        ("192.0.2.1:9001,192.0.2.2:0,192.0.2.3:9001", "192.0.2.2:0"),
        ("192.0.2.1:9001,192.0.2.1:9001,192.0.2.3:9001", "named twice"),
    ] {
        let (ok, err) =
            call(&dir, &["network", "init", "--dir", "@net", "--mixes", "3", "--address", addresses]);
        assert!(!ok && err.contains("--address") && err.contains(named), "{addresses}: {err}");
        assert!(!dir.path().join("net").exists());
    }
}

#[test]
fn a_document_is_renewed_when_enough_operators_have_signed() {
    let dir = network(3);
    let (ok, err) = sign(&dir, "@operator-1.keys", &["--days", "60"]);
    assert!(ok && err.contains("1 of 2 signatures") && err.contains("another operator"), "{err}");
    assert!(dir.path().join("network.pending").exists());
    let (ok, err) = sign(&dir, "@operator-1.keys", &[]);
    assert!(ok && err.contains("1 of 2 signatures"), "one operator signs once: {err}");
    let (ok, err) = sign(&dir, "@operator-3.keys", &["--days", "1"]);
    assert!(!ok && err.contains("--record and --days are for whoever begins"), "{err}");
    let (ok, err) = sign(&dir, "@operator-3.keys", &[]);
    assert!(ok && err.contains("valid for 60 days") && err.contains("serial 2 is in force"), "{err}");
    assert!(!dir.path().join("network.pending").exists());
    let (ok, err) = sign(&dir, "@mix-1.keys", &[]);
    assert!(!ok && err.contains("is the key of a mix, and that of an operator is needed"), "{err}");
}

/// Two documents of one serial stop everybody, so no operator's key makes two, and no old one comes back.
#[test]
fn an_operator_signs_one_document_of_a_serial_and_none_of_before() {
    let dir = network(3);
    let pending = dir.path().join("network.pending");
    let (ok, err) = sign(&dir, "@operator-1.keys", &["--days", "10"]);
    assert!(ok, "{err}");
    let stale = fs::read(&pending).unwrap();
    // The first operator forgets, and would begin another one of the same serial.
    fs::remove_file(&pending).unwrap();
    let (ok, err) = sign(&dir, "@operator-1.keys", &["--days", "20"]);
    assert!(!ok && err.contains("has signed serial 2 already") && err.contains("operator-1.signed"), "{err}");
    fs::write(&pending, &stale).unwrap();
    let (ok, err) = sign(&dir, "@operator-2.keys", &[]);
    assert!(ok && err.contains("serial 2 is in force"), "{err}");
    // The old one comes back, by a copy or a slow mail.
    fs::write(&pending, &stale).unwrap();
    let (ok, err) = sign(&dir, "@operator-3.keys", &[]);
    assert!(!ok && err.contains("would be serial 2") && err.contains("has serial 2"), "{err}");
    assert!(err.contains("delete"), "{err}");
}

/// Who starts later must not know fewer mixes than others.
#[test]
fn no_document_outlives_its_records() {
    let dir = network(3);
    let (ok, err) = sign(&dir, "@operator-1.keys", &["--days", "3000"]);
    assert!(!ok && err.contains("ends") && err.contains("h before the document"), "{err}");
}

#[test]
fn mixes_of_one_operator_say_so_and_nobody_else_can() {
    let dir = network(3);
    let words = in_dir(&dir, &["network", "family", "--key", "@family.keys", "@mix-1.toml", "@mix-2.toml"]);
    let (status, out, err) = run(&mut throng(&words.iter().map(String::as_str).collect::<Vec<_>>()));
    assert!(status.success(), "{err}");
    let lines: Vec<&str> = out.lines().collect();
    let [first, second] = lines[..] else { panic!("a line for each: {out}") };
    assert_eq!(first[..70], second[..70], "one family");
    let add = |mix: &str, line: &str| {
        let path = dir.path().join(mix);
        fs::write(&path, format!("{}{line}\n", fs::read_to_string(&path).unwrap())).unwrap();
    };
    add("mix-1.toml", first);
    let (ok, err) = call(&dir, &["node", "@mix-1.toml", "--record", "@mix-1.record"]);
    assert!(ok, "{err}");
    let (ok, err) = sign(&dir, "@operator-1.keys", &["--record", "@mix-1.record"]);
    let family = &first["family = \"".len()..][..16];
    assert!(ok && err.contains(&format!("family {family}")), "operators see it: {err}");
    add("mix-3.toml", first);
    let (ok, err) = call(&dir, &["node", "@mix-3.toml", "--record", "@mix-3.record"]);
    assert!(!ok && err.contains("its key did not say that this mix is of it"), "{err}");
}

/// Gives every node a folder of its own, as if it stood on a machine of its own.
fn apart(dir: &TempDir, mixes: u8) {
    let nodes: Vec<String> = (1..=mixes).map(|i| format!("mix-{i}")).chain(["client".to_owned()]).collect();
    for node in nodes {
        let home = dir.path().join(&node);
        fs::create_dir(&home).unwrap();
        for shared in ["roots.toml", "network.throng"] {
            fs::copy(dir.path().join(shared), home.join(shared)).unwrap();
        }
        for own in ["toml", "keys"] {
            let file = dir.path().join(format!("{node}.{own}"));
            if file.exists() {
                fs::rename(file, home.join(format!("{node}.{own}"))).unwrap();
            }
        }
    }
}

fn document_of(dir: &TempDir, node: &str) -> Vec<u8> {
    fs::read(dir.path().join(node).join("network.throng")).unwrap()
}

/// Puts the operators' newest document on the machine of one mix only, which is running.
fn give(dir: &TempDir, mix: &str) {
    let home = dir.path().join(mix);
    fs::copy(dir.path().join("network.throng"), home.join("network.new")).unwrap();
    fs::rename(home.join("network.new"), home.join("network.throng")).unwrap();
}

#[test]
fn a_mix_moves_and_the_document_that_says_so_reaches_everybody_from_one_mix() {
    let dir = network(4);
    apart(&dir, 4);
    let server = Server::of_noise();
    let mix = |i: u8| start(&dir, &["node", &format!("@mix-{i}/mix-{i}.toml")]);
    let mut mixes: Vec<_> = (1..=4).map(mix).collect();
    mixes.iter().for_each(runs);
    let client = start(&dir, &["client", "@client/client.toml"]);
    let proxy = proxy_of(&client);

    // The last mix moves; the operators sign its new address in.
    let file = dir.path().join("mix-4/mix-4.toml");
    let text = fs::read_to_string(&file).unwrap();
    let line = text.lines().find(|line| line.starts_with("listen")).unwrap();
    let there = mix_address(44);
    fs::write(&file, text.replace(line, &format!("listen = \"{there}\""))).unwrap();
    let (ok, err) = call(&dir, &["node", "@mix-4/mix-4.toml", "--record", "@mix-4.record"]);
    assert!(ok, "{err}");
    let record = dir.path().join("mix-4.record").display().to_string();
    assert!(sign(&dir, "@operator-1.keys", &["--record", &record]).0);
    assert!(sign(&dir, "@operator-2.keys", &[]).0);
    mixes[3].kill();
    mixes[3] = mix(4);
    runs(&mixes[3]);

    give(&dir, "mix-1");
    let newest = fs::read(dir.path().join("network.throng")).unwrap();
    for node in ["mix-1", "mix-2", "mix-3", "mix-4", "client"] {
        common::wait_until(&format!("{node} has the newest document"), 2 * common::LIMIT, || {
            document_of(&dir, node) == newest
        });
    }
    // Of four mixes with three in a circuit, some circuit goes over the one that moved.
    for seed in 0..6 {
        let expected = noise::pour(seed, 50_000, &mut std::io::sink()).unwrap();
        let user = format!("user {seed}");
        assert_eq!(common::fetch(proxy, &user, server.address, seed, 50_000), expected);
    }
}

#[test]
fn two_truths_of_one_serial_are_told_loudly_and_nobody_browses_on() {
    let dir = network(4);
    let first = fs::read(dir.path().join("network.throng")).unwrap();
    apart(&dir, 4);
    let mixes: Vec<_> = (1..=4).map(|i| start(&dir, &["node", &format!("@mix-{i}/mix-{i}.toml")])).collect();
    mixes.iter().for_each(runs);
    let client = start(&dir, &["client", "@client/client.toml"]);
    proxy_of(&client);
    for (mix, days) in [("mix-1", "60"), ("mix-2", "61")] {
        fs::write(dir.path().join("network.throng"), &first).unwrap();
        assert!(sign(&dir, "@operator-1.keys", &["--days", days]).0);
        assert!(sign(&dir, "@operator-2.keys", &[]).0);
        for operator in 1..=2 {
            // Somebody else has copies of their keys.
            fs::remove_file(dir.path().join(format!("operator-{operator}.signed"))).unwrap();
        }
        give(&dir, mix);
    }
    client.err.wait("the client says it", |bytes, _| {
        String::from_utf8_lossy(bytes).contains("two valid network documents with serial 2").then_some(())
    });
    client.interrupt();
    common::wait_until("the evidence is kept", common::LIMIT, || {
        dir.path().join("client/network.conflict").exists()
    });
    let (ok, err) = call(&dir, &["client", "@client/client.toml"]);
    assert!(!ok && err.contains("two valid network documents"), "and not forgotten: {err}");
}

#[test]
fn a_document_that_has_expired_or_that_too_few_signed_is_refused_with_the_reason() {
    let dir = network(3);
    let path = dir.path().join("network.throng");
    let good = fs::read(&path).unwrap();
    let (unsigned, signatures) = documents::take_apart(&good).unwrap();
    let refused = |bytes: &[u8], reason: &str| {
        fs::write(&path, bytes).unwrap();
        for words in [["node", "@mix-1.toml"], ["client", "@client.toml"]] {
            let (ok, err) = call(&dir, &words);
            assert!(!ok && err.contains(reason) && err.contains("network.throng"), "{err}");
        }
    };
    refused(&documents::assemble(unsigned, &signatures[..1]), "1 valid signatures of operators and needs 2");

    // What the same operators signed long ago.
    refused(&sign_anew(&dir, &good, Time::from_nanos(1), Time::from_nanos(2)), "expired");
}
