//! Without circuits nothing goes out: there is no other way.
#![allow(clippy::unwrap_used)] // all of it is test

mod common;

use std::net::TcpListener;
use std::sync::Arc;

use common::{LIMIT, Network, Plan, target};
use throng_net::proxy::{self, Dial, Isolation, ProxySettings};
use throng_net::request::{Host, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

/// A server that would gladly be spoken to, and can say whether it was.
fn server() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn assert_untouched(server: &TcpListener) {
    let accepted = server.accept();
    assert!(
        accepted.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
        "{accepted:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_mixes_there_is_no_connection() {
    let (server, port) = server();
    let network = Network::start(Plan { mixes_run: false, ..Plan::default() });
    let (connected, resolved) = timeout(LIMIT, async {
        let by_name = network.client.connect(Isolation::none(), target("localhost", port));
        let by_address = network.client.connect(Isolation::none(), target("127.0.0.1", port));
        let resolved = network.client.resolve(Isolation::none(), Host::from_text("localhost").unwrap());
        let (by_name, by_address, resolved) = tokio::join!(by_name, by_address, resolved);
        ([by_name.err(), by_address.err()], resolved.err())
    })
    .await
    .expect("a refusal, not a hang");
    assert_eq!(connected, [Some(Refusal::NoCircuit); 2]);
    assert_eq!(resolved, Some(Refusal::NoCircuit));
    assert_untouched(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_mixes_the_proxy_says_so_in_every_language() {
    let (server, port) = server();
    let network = Network::start(Plan { mixes_run: false, ..Plan::default() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(proxy::serve(listener, Arc::clone(&network.client), ProxySettings::default(), stopped));

    let socks5 = [&[5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1][..], &port.to_be_bytes()].concat();
    let resolve = [&[5, 1, 0, 5, 0xf0, 0, 3, 9][..], b"localhost", &[0, 0]].concat();
    let socks4 = [&[4, 1][..], &port.to_be_bytes(), &[127, 0, 0, 1, 0]].concat();
    let http =
        format!("GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").into_bytes();
    let tunnel = format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
    let no_circuit5 = &[5, 0, 5, 1, 0, 1][..];
    let conversations = [
        (socks5, no_circuit5),
        (resolve, no_circuit5),
        (socks4, &[0, 0x5b]),
        (http, b"HTTP/1.1 503 "),
        (tunnel, b"HTTP/1.1 503 "),
    ]
    .map(|(said, expected)| {
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(proxy).await.unwrap();
            stream.write_all(&said).await.unwrap();
            let mut heard = vec![0; expected.len()];
            timeout(LIMIT, stream.read_exact(&mut heard)).await.expect("an answer, not a hang").unwrap();
            assert_eq!(heard, expected, "to {:?}", String::from_utf8_lossy(&said));
        })
    });
    for conversation in conversations {
        conversation.await.unwrap();
    }
    assert_untouched(&server);
}
