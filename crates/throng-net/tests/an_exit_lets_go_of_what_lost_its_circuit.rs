//! What an exit holds for a circuit is free again when the circuit is gone, whatever the target does meanwhile.
#![allow(clippy::unwrap_used)] // all of it is test

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{LIMIT, Network, Plan, deaf, target};
use throng_net::client::{CircuitStream, Client};
use throng_net::proxy::{Dial, Isolation};
use throng_net::request::Refusal;
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

/// While one circuit has its place nobody else gets one.
const CONNECTIONS_MAX: usize = 1;
/// Who could not write for so long waits for a reader. (If not, the test is easier than it should be, and fails nobody.)
const STUCK: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

async fn connect(client: &Client, port: u16) -> Result<CircuitStream, Refusal> {
    let connected = client.connect(Isolation::none(), target("127.0.0.1", port));
    timeout(LIMIT, connected).await.expect("an answer, not a hang")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_neither_reads_nor_writes_does_not_outlive_its_circuit() {
    let (_deaf, port) = deaf();
    let network = Network::start(Plan { exits: 1, connections_max: CONNECTIONS_MAX, ..Plan::default() });
    let memory = Arc::clone(&network.memories[0]);
    let (client, driver) = network.another_client();
    let mut stream = connect(&client, port).await.unwrap();
    let piece = vec![1; 16 * 1024];
    while let Ok(written) = timeout(STUCK, stream.write(&piece)).await {
        written.unwrap();
    }
    assert!(matches!(connect(&network.client, port).await, Err(Refusal::Busy)), "it has its place");

    driver.leave().await; // ends its circuits; the stream's owner did not even let go of it
    let freed = async {
        while connect(&network.client, port).await.is_err() {
            sleep(PAUSE).await;
        }
    };
    timeout(LIMIT, freed).await.expect("its place is somebody else's");
    network.client_driver.leave().await;
    let freed = async {
        while memory.promised() > 0 {
            sleep(PAUSE).await;
        }
    };
    timeout(LIMIT, freed).await.expect("nobody is there, and nothing is held");
}
