//! Strangers may fill a mix's tables. Then whoever took most makes room, by where they come from; honest users keep what they
//! have and get what they need.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "common/net.rs"]
mod net;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use net::Net;
use throng_core::limits::{
    CIRCUITS_PER_BLOCK_MAX, HANDSHAKES_PER_SECOND_MAX, LINKS_MAX, RELAYED_CIRCUITS_MAX,
};

/// Somebody at home, in a /16 of their own.
fn home(number: usize) -> SocketAddr {
    SocketAddr::from(([100, number as u8, (number >> 8) as u8, 7], 5000))
}

/// One of many sockets in one /24.
fn in_one_block(number: usize) -> SocketAddr {
    SocketAddr::from(([66, 6, 6, (number % 250) as u8], 1000 + (number / 250) as u16))
}

/// One of many in ten /24 of one /16.
fn in_one_wide_block(number: usize) -> SocketAddr {
    SocketAddr::from(([66, 6, (number % 10) as u8, (number / 10 % 250) as u8], 1000 + number as u16))
}

#[test]
fn one_block_of_addresses_takes_no_links_from_others() {
    let mut net = Net::new(1);
    let (mix, record) = net.mix("9.0.0.1:9000", Vec::new());
    let through = [record];
    let before: Vec<usize> = (0..20).map(|number| net.client(home(number), 1, &through)).collect();
    net.run(Duration::from_secs(2));
    let greedy: Vec<usize> = (0..LINKS_MAX + 500)
        .map(|number| {
            if number % 20 == 0 {
                net.run(Duration::from_millis(150));
            }
            net.client(in_one_block(number), 1, &through)
        })
        .collect();
    net.run(Duration::from_secs(5));
    let have = |net: &Net, clients: &[usize]| clients.iter().filter(|client| net.ready[**client] > 0).count();
    assert_eq!(net.nodes[mix].1.sizes().links, LINKS_MAX, "the table is full");
    assert!(have(&net, &greedy) > LINKS_MAX / 3);
    let after: Vec<usize> = (20..60).map(|number| net.client(home(number), 1, &through)).collect();
    net.run(Duration::from_secs(3));
    println!("{} greedy, {} before, {} after", have(&net, &greedy), have(&net, &before), have(&net, &after));
    assert_eq!(have(&net, &before), before.len(), "who was there stays");
    assert_eq!(have(&net, &after), after.len(), "who comes gets in");
    assert_eq!(net.nodes[mix].1.audit(), Vec::<String>::new());
}

#[test]
fn a_block_of_addresses_that_has_all_it_may_have_shares_it() {
    let mut net = Net::new(1);
    let (mix, record) = net.mix("9.0.0.1:9000", Vec::new());
    let through = [record];
    let greedy: Vec<usize> = (0..9)
        .map(|port| net.client(SocketAddr::from(([66, 6, 6, 6], 1000 + port)), 1000, &through))
        .collect();
    net.run(Duration::from_secs(60));
    let all = |net: &Net, clients: &[usize]| clients.iter().map(|client| net.ready[*client]).sum::<usize>();
    assert!(all(&net, &greedy) > CIRCUITS_PER_BLOCK_MAX * 9 / 10, "{}", all(&net, &greedy));
    let neighbour = net.client(SocketAddr::from(([66, 6, 6, 7], 5000)), 4, &through);
    net.run(Duration::from_secs(10));
    assert_eq!(net.ready[neighbour], 4, "a neighbour has what he needs");
    assert!(net.nodes[mix].1.sizes().relayed <= CIRCUITS_PER_BLOCK_MAX);
    assert_eq!(net.nodes[mix].1.audit(), Vec::<String>::new());
}

#[test]
fn a_full_mix_takes_circuits_from_the_greediest_and_none_from_an_honest_mix() {
    let mut net = Net::new(1);
    let (mix, record) = net.mix("9.0.0.1:9000", Vec::new());
    let (_, honest_mix) = net.mix("9.1.0.1:9000", vec![Arc::clone(&record)]);
    // The full mix knows the honest one.
    net.learn(mix, &honest_mix);
    let both = [honest_mix, Arc::clone(&record)];
    let behind: Vec<usize> = (0..50).map(|number| net.client(home(number), 4, &both)).collect();
    net.run(Duration::from_secs(5));
    let all = |net: &Net, clients: &[usize]| clients.iter().map(|client| net.ready[*client]).sum::<usize>();
    let had = all(&net, &behind);
    assert_eq!(had, 200);
    let greedy: Vec<usize> =
        (0..250).map(|number| net.client(in_one_wide_block(number), 300, &[Arc::clone(&record)])).collect();
    let mut seconds = 0;
    while net.nodes[mix].1.sizes().relayed < RELAYED_CIRCUITS_MAX && seconds < 400 {
        net.run(Duration::from_secs(1));
        seconds += 1;
    }
    println!("full after {seconds} s: {} circuits of one /16", all(&net, &greedy));
    assert!(net.nodes[mix].1.sizes().relayed >= RELAYED_CIRCUITS_MAX);
    let after: Vec<usize> = (50..70).map(|number| net.client(home(number), 4, &both)).collect();
    net.run(Duration::from_secs(20));
    println!("{} of {had} before, {} of 80 after", all(&net, &behind), all(&net, &after));
    assert_eq!(all(&net, &behind), had, "the honest mix gives up none");
    assert_eq!(all(&net, &after), 80, "and gets what it wants for others");
    assert_eq!(net.nodes[mix].1.audit(), Vec::<String>::new());
}

#[test]
fn many_links_do_no_more_handshakes_than_a_mix_does_in_all() {
    let mut net = Net::new(1);
    let (mix, record) = net.mix("9.0.0.1:9000", Vec::new());
    let through = [record];
    (0..64).for_each(|number| _ = net.client(in_one_block(number), 400, &through));
    let mut most = 0;
    for _ in 0..5 {
        let before = net.nodes[mix].1.counts().circuits_relayed;
        net.run(Duration::from_secs(1));
        most = most.max(net.nodes[mix].1.counts().circuits_relayed - before);
    }
    let honest = net.client(home(1), 4, &through);
    net.run(Duration::from_secs(2));
    println!("at most {most} circuits a second from one /24");
    assert!(most <= u64::from(HANDSHAKES_PER_SECOND_MAX) / 2, "{most}");
    assert_eq!(net.ready[honest], 4, "whoever asks for little waits for nobody");
}

#[test]
fn a_link_counts_only_where_its_answer_went() {
    let mut net = Net::new(1);
    let (mix, record) = net.mix("9.0.0.1:9000", Vec::new());
    let client = net.client(home(1), 1, &[record]);
    let mut offers = VecDeque::new();
    net.step(client, None, &mut offers);
    let (own, _, offer) = offers.pop_front().expect("an offer");
    let mut answer_to = |from: SocketAddr| {
        let mut answers = VecDeque::new();
        net.step(mix, Some((from, offer.clone())), &mut answers);
        net.step(mix, None, &mut answers); // it answers when there is nothing else to do
        answers.pop_front().expect("an answer")
    };
    let (forged, ours) = (answer_to(in_one_block(1)), answer_to(own));
    assert_eq!((forged.1, ours.1), (in_one_block(1), own), "each answer goes where its offer came from");
    assert_ne!(forged.2, ours.2, "and is of another handshake: who confirms one has not confirmed the other");
    assert_eq!(answer_to(own).2, ours.2, "an offer that comes again is answered again");
}

#[test]
fn a_mix_does_one_handshake_each_time_that_it_is_woken_and_first_takes_what_arrives() {
    let mut net = Net::new(1);
    let (mix, record) = net.mix("9.0.0.1:9000", Vec::new());
    let clients: Vec<usize> =
        (0..40).map(|number| net.client(home(number), 1, &[Arc::clone(&record)])).collect();
    let mut said = VecDeque::new();
    for client in clients {
        let mut offers = VecDeque::new();
        net.step(client, None, &mut offers);
        let (from, _, offer) = offers.pop_front().expect("an offer");
        for _ in 0..2 {
            net.step(mix, Some((from, offer.clone())), &mut said);
        }
    }
    assert_eq!(said.len(), 0);
    for _ in 0..40 {
        net.step(mix, None, &mut said);
        assert_eq!(said.len(), 1);
        said.clear();
    }
    net.step(mix, None, &mut said);
    assert_eq!(said.len(), 0, "an offer that came twice is answered once");
}

#[test]
fn keys_are_renewed_at_a_mix_that_comes_to_it_only_after_the_question_was_repeated() {
    let mut net = Net::new(1);
    let (mix, record) = net.mix("9.0.0.1:9000", Vec::new());
    let client = net.client(home(1), 4, &[record]);
    net.run(Duration::from_secs(2));
    net.late = Some((mix, Duration::from_millis(400)));
    for second in 2..4200 {
        net.run(Duration::from_secs(1));
        assert!(net.ready[client] > 0, "a link that ends takes all four with it: {second} s");
    }
}

#[test]
fn one_narrow_block_has_an_eighth_of_the_circuits_at_most() {
    let mut net = Net::new(1);
    let (mix, record) = net.mix("9.0.0.1:9000", Vec::new());
    (0..40).for_each(|number| _ = net.client(in_one_block(number), 300, &[Arc::clone(&record)]));
    net.run(Duration::from_secs(60));
    assert_eq!(net.nodes[mix].1.sizes().relayed, CIRCUITS_PER_BLOCK_MAX);
}

/// What a mix says to a stranger who sends it an offer that he recorded, a thousand times a second for four seconds, while somebody
/// else builds so many circuits a second: 2 is an answer, 3 a cookie.
fn said_to_a_prober(circuits: usize) -> Vec<Option<u8>> {
    let mut net = Net::new(1);
    let (mix, record) = net.mix("9.0.0.1:9000", Vec::new());
    let user = net.client(home(1), circuits, &[Arc::clone(&record)]);
    let mut recorded = VecDeque::new();
    let stranger = net.client(home(2), 1, &[record]);
    net.step(stranger, None, &mut recorded);
    let (_, _, offer) = recorded.pop_front().expect("an offer");
    net.run(Duration::from_secs(2));
    let mut said = Vec::new();
    for milli in 0..4000 {
        if milli % 1000 == 500 {
            net.close_all(user);
        }
        net.run(Duration::from_millis(1));
        let mut answers = VecDeque::new();
        net.step(mix, Some((in_one_block(1), offer.clone())), &mut answers);
        said.extend(
            answers
                .into_iter()
                .filter(|(_, to, _)| *to == in_one_block(1))
                .map(|(.., bytes)| bytes.get(4).copied()),
        );
    }
    said
}

#[test]
fn an_offer_is_answered_alike_whatever_circuits_others_build() {
    let quiet = said_to_a_prober(0);
    assert!(
        quiet.contains(&Some(2)) && quiet.contains(&Some(3)),
        "the prober is where answers turn into cookies"
    );
    assert!(quiet == said_to_a_prober(5), "whether others build circuits");
}
