//! `deploy/slurm/submit` on a cluster of one machine: all shards run, the merge waits for them, and the result is the one
//! of a run without a cluster. Needs Debian's `slurm-wlm` and root: `cargo xtask test --long` runs it.
#![allow(clippy::unwrap_used)] // panics are how a test says no

mod common;

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use common::{Running, namespace, run, throng, wait_until};
use serde_json::Value;
use tempfile::TempDir;

const NAME: &str = "all_shards_run_and_the_merge_waits_for_them";
const SCENARIO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios/first-steps.toml");
const SUBMIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/slurm/submit");
const SHARDS: usize = 4;

/// A cluster of one machine, that ends with the test.
struct Cluster {
    dir: TempDir,
    /// What they write is shown when the test fails.
    daemons: [(&'static str, Running); 3],
}

impl Cluster {
    fn start() -> Self {
        // Slurm asks the resolver with AI_ADDRCONFIG, which finds no address at all, not even 127.0.0.1 for 127.0.0.1,
        // where a system has no other one.
        namespace::add_address(Ipv4Addr::new(10, 255, 0, 1).into());
        let dir = TempDir::new().unwrap();
        let place = |name: &str| dir.path().join(name).display().to_string();
        let (_, host, _) = run(&mut Command::new("hostname"));
        let host = host.trim();
        for folder in ["state", "spool"] {
            fs::create_dir(place(folder)).unwrap();
        }
        fs::write(place("key"), common::noise::Noise::new(1).bytes(128)).unwrap();
        fs::set_permissions(place("key"), fs::Permissions::from_mode(0o400)).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let socket = place("munge");
        fs::write(
            place("slurm.conf"),
            format!(
                "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nAuthType=auth/munge\nAuthInfo=socket={socket}\n\
                 CryptoType=crypto/munge\nSlurmUser=root\nStateSaveLocation={}\nSlurmdSpoolDir={}\n\
                 SlurmctldPidFile={}\nSlurmdPidFile={}\nProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\n\
                 SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\nReturnToService=2\n\
                 NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN\n\
                 PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n",
                place("state"),
                place("spool"),
                place("ctld.pid"),
                place("d.pid"),
            ),
        )
        .unwrap();
        let files = [
            format!("--socket={socket}"),
            format!("--key-file={}", place("key")),
            format!("--pid-file={}", place("munged.pid")),
            format!("--seed-file={}", place("munged.seed")),
        ];
        let conf = place("slurm.conf");
        let with_conf = |program: &str, arguments: &[&str]| {
            Running::start(Command::new(program).args(arguments).env("SLURM_CONF", &conf))
        };
        let daemons = [
            ("munged", Running::start(Command::new("munged").args(["--foreground", "--force"]).args(files))),
            ("slurmctld", with_conf("slurmctld", &["-D"])),
            ("slurmd", with_conf("slurmd", &["-D", "-N", host])),
        ];
        let mut cluster = Self { dir, daemons };
        cluster.wait("munged listens", |_| Path::new(&socket).exists());
        cluster.wait("the controller answers", |cluster| cluster.ask("scontrol", &["ping"]).0.success());
        cluster.wait("its node is idle", |cluster| {
            cluster.ask("sinfo", &["--noheader", "--format=%T"]).1.trim() == "idle"
        });
        cluster
    }

    /// Waits for something that none of the daemons may die before.
    fn wait(&mut self, what: &str, mut is: impl FnMut(&Self) -> bool) {
        wait_until(what, common::LIMIT, || {
            for (name, daemon) in &mut self.daemons {
                assert!(daemon.lives(), "{name} ended before {what}");
            }
            is(self)
        });
    }

    /// What one of Slurm's programs says.
    fn ask(&self, program: &str, arguments: &[&str]) -> (ExitStatus, String, String) {
        run(self.command(program).args(arguments))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SLURM_CONF", self.dir.path().join("slurm.conf"));
        command
    }

    /// Runs `deploy/slurm/submit` and waits until the cluster has nothing left to do. What jobs wrote, if a result is
    /// missing.
    fn submit(&mut self, scenario: &Path, out: &Path) -> Result<(), String> {
        let mut submit = self.command(SUBMIT);
        submit.arg(scenario).arg(out).arg(SHARDS.to_string()).env("THRONG", env!("CARGO_BIN_EXE_throng"));
        let (status, said, err) = run(&mut submit);
        assert!(status.success(), "{said}{err}");
        self.wait("no job is left", |cluster| {
            let (status, left, _) = cluster.ask("squeue", &["--noheader"]);
            status.success() && left.trim().is_empty()
        });
        if out.join("all.json").exists() {
            return Ok(());
        }
        let logs = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path());
        let logs = logs.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
        let logs: String =
            logs.map(|path| format!("{}:\n{}", path.display(), fs::read_to_string(&path).unwrap())).collect();
        Err(logs + &self.ask("scontrol", &["show", "jobs"]).1)
    }
}

fn results(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
#[ignore = "needs Slurm's daemons"]
fn all_shards_run_and_the_merge_waits_for_them() {
    if !namespace::inside(NAME, &["munged", "slurmctld", "slurmd", "sbatch", "hostname"]) {
        return;
    }
    let mut cluster = Cluster::start();
    let out = cluster.dir.path().join("results");
    // A shard that fails takes the merge with it, instead of letting it wait for ever …
    let scenario = cluster.dir.path().join("first-steps.toml");
    fs::write(&scenario, "duration_s = none\n").unwrap();
    let logs = cluster.submit(&scenario, &out).expect_err("there is nothing to merge");
    assert!(logs.contains("first-steps.toml:1"), "{logs}");
    // … and the same command goes on from there.
    fs::copy(SCENARIO, &scenario).unwrap();
    cluster.submit(&scenario, &out).unwrap_or_else(|logs| panic!("nothing was merged:\n{logs}"));
    for shard in 0..SHARDS {
        assert!(out.join(format!("shard-{shard}.json")).exists());
    }
    let alone = cluster.dir.path().join("alone.json");
    let (status, _, err) = run(throng(&["sim", SCENARIO, "--out"]).arg(&alone));
    assert!(status.success(), "{err}");
    assert_eq!(
        results(&out.join("all.json")),
        results(&alone),
        "the cluster's results are those of one machine"
    );
}
