//! Cover costs a mix as much as its user, so what strangers can ask of it has a bound, and who asks for most goes first.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "common/net.rs"]
mod net;

use std::net::SocketAddr;
use std::time::Duration;

use net::Net;

/// Half of what a mix says that it carries, bytes per second.
const HALF: u64 = 500_000 / 8;

/// What a mix spends on slots, bytes per second.
fn spends(net: &mut Net, mix: usize) -> u64 {
    let datagrams = |net: &Net| {
        let spent = net.nodes[mix].1.spent().unwrap();
        spent.real + spent.filler + spent.payloads + spent.dummies
    };
    let before = datagrams(net);
    net.run(Duration::from_secs(20));
    (datagrams(net) - before) * (1280 + 28) / 20
}

/// Somebody at home, in a /16 of their own.
fn home(number: usize) -> SocketAddr {
    SocketAddr::from(([100, number as u8, 7, 7], 5000))
}

/// One of many sockets in one /24.
fn in_one_block(number: usize) -> SocketAddr {
    SocketAddr::from(([66, 6, 6, number as u8 + 1], 5000))
}

#[test]
fn whoever_asks_for_most_slots_makes_room_and_honest_users_keep_theirs() {
    let mut net = Net::new(3);
    net.design.cover = "user-link=64kbps".parse().unwrap();
    let (mix, record) = net.mix("9.0.0.1:9000", Vec::new());
    let through = [record];
    let before: Vec<usize> = (0..3).map(|number| net.client(home(number), 1, &through)).collect();
    net.run(Duration::from_secs(5));
    let greedy: Vec<usize> = (0..60).map(|number| net.client(in_one_block(number), 1, &through)).collect();
    net.run(Duration::from_secs(20));
    let after: Vec<usize> = (3..6).map(|number| net.client(home(number), 1, &through)).collect();
    net.run(Duration::from_secs(20));
    let rate = spends(&mut net, mix);
    let have = |clients: &[usize]| clients.iter().filter(|client| net.ready[**client] > 0).count();
    println!(
        "{rate} of {HALF} bytes/s; {} before, {} greedy, {} after",
        have(&before),
        have(&greedy),
        have(&after)
    );
    assert!(
        rate < HALF * 11 / 10,
        "{rate} bytes/s: beside slots there are handshakes with those who come again"
    );
    assert!(rate > HALF / 2, "and what may be spent is");
    assert_eq!((have(&before), have(&after)), (3, 3), "who asks for little has it");
    assert_eq!(net.nodes[mix].1.audit(), Vec::<String>::new());
}

#[test]
fn an_exit_covers_no_more_circuits_than_it_can_pay_and_whoever_has_most_makes_room() {
    let mut net = Net::new(4);
    net.design.cover = "end-to-end=64kbps".parse().unwrap();
    let (mix, record) = net.mix("9.0.0.1:9000", Vec::new());
    let through = [record];
    let greedy: Vec<usize> = (0..12).map(|number| net.client(in_one_block(number), 1, &through)).collect();
    net.run(Duration::from_secs(30));
    let have = |net: &Net| greedy.iter().map(|client| net.ready[*client]).sum::<usize>();
    assert!(have(&net) >= 6, "they have what there is: {}", have(&net));
    let modest: Vec<usize> = (0..5).map(|number| net.client(home(number), 1, &through)).collect();
    net.run(Duration::from_secs(30));
    let rate = spends(&mut net, mix);
    println!(
        "{rate} of {HALF} bytes/s, {} circuits, {} of the greedy",
        net.nodes[mix].1.sizes().relayed,
        have(&net)
    );
    assert!((HALF / 2..=HALF).contains(&rate), "{rate} bytes/s, of seventeen circuits that want 139 000");
    assert!(modest.iter().all(|client| net.ready[*client] > 0), "who wants one has it");
    assert_eq!(net.nodes[mix].1.audit(), Vec::<String>::new());
}
