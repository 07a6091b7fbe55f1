//! `deploy/slurm/submit` on a cluster of one machine: all shards run, the merge waits for them, and the result is the one
//! of a run without a cluster. Needs Debian's `slurm-wlm` and root: `cargo xtask test --long` runs it.
#![allow(clippy::unwrap_used)] // panics are how a test says no

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

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
    _daemons: Vec<Running>,
}

impl Cluster {
    fn start() -> Self {
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
            format!("--log-file={}", place("munged.log")),
            format!("--seed-file={}", place("munged.seed")),
        ];
        let conf = place("slurm.conf");
        let daemons = vec![
            Running::start(Command::new("munged").args(["--foreground", "--force"]).args(files)),
            Running::start(Command::new("slurmctld").arg("-D").env("SLURM_CONF", &conf)),
            Running::start(Command::new("slurmd").args(["-D", "-N", host]).env("SLURM_CONF", &conf)),
        ];
        let cluster = Self { dir, _daemons: daemons };
        wait_until("the cluster is up", common::LIMIT, || {
            let (status, said, _) = run(cluster.command("sinfo").arg("--noheader"));
            status.success() && said.contains("idle")
        });
        cluster
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SLURM_CONF", self.dir.path().join("slurm.conf"));
        command
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
    let cluster = Cluster::start();
    let out = cluster.dir.path().join("results");
    let mut submit = cluster.command(SUBMIT);
    submit.arg(SCENARIO).arg(&out).arg(SHARDS.to_string()).env("THRONG", env!("CARGO_BIN_EXE_throng"));
    let (status, said, err) = run(&mut submit);
    assert!(status.success(), "{said}{err}");
    wait_until("the merged results are there", common::LIMIT, || out.join("all.json").exists());
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
