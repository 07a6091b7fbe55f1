use std::net::Ipv4Addr;

use super::*;
use crate::socket::Socket;

const LENGTH: usize = 8;

fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn at(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

fn outlet() -> Arc<Outlet> {
    Arc::clone(Socket::bind(address(0), LENGTH).unwrap().outlet())
}

fn hold(held: &mut StampedLanes, millis: u64, port: u16, what: &[u8; LENGTH]) {
    assert!(held.push(Lane { to: address(port), at: at(millis), datagrams: what }));
}

#[test]
fn what_is_held_leaves_by_slot_then_by_destination_whatever_came_first() {
    let mut held = StampedLanes::default();
    assert_eq!(held.next(), Time::NEVER);
    hold(&mut held, 7, 2, b"seven--2");
    hold(&mut held, 5, 2, b"five---2");
    hold(&mut held, 7, 1, b"seven--1");
    hold(&mut held, 7, 2, b"another2");
    assert_eq!(held.next(), at(5));
    assert_eq!(held.pop(at(4)), None, "never early");
    assert_eq!(held.pop(at(6)), Some((at(5), address(2), b"five---2".to_vec())));
    assert_eq!(held.pop(at(6)), None);
    assert_eq!(held.pop(at(9)), Some((at(7), address(1), b"seven--1".to_vec())));
    assert_eq!(held.pop(at(9)), Some((at(7), address(2), b"seven--2another2".to_vec())));
    assert_eq!((held.pop(at(9)), held.bytes), (None, 0));
}

#[test]
fn there_is_an_end_to_what_is_held() {
    let mut held = StampedLanes::default();
    let datagrams = vec![0; HELD_BYTES_MAX / 4];
    let lane = |to| Lane { to: address(to), at: at(1), datagrams: &datagrams };
    assert!((1..=4).all(|to| held.push(lane(to))));
    assert!(!held.push(lane(5)));
    assert!(held.pop(at(1)).is_some() && held.push(lane(5)));
}

#[tokio::test]
async fn a_slot_that_has_passed_is_missed_and_what_had_it_is_dropped() {
    let clock = Clock::start();
    let receiver = std::net::UdpSocket::bind(address(0)).unwrap();
    let to = receiver.local_addr().unwrap();
    let mut pacer = Pacer::new(clock, outlet());
    pacer.hold(Lane { to, at: at(1), datagrams: &[0; 3 * LENGTH] });
    let soon = clock.now() + Duration::from_millis(5);
    pacer.hold(Lane { to, at: soon, datagrams: &[1; LENGTH] });
    while pacer.pacing().slots + pacer.pacing().missed < 4 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let pacing = pacer.pacing();
    assert!(pacing.missed >= 3, "{pacing:?}");
    receiver.set_nonblocking(true).unwrap();
    let mut buffer = [0; 64];
    let first = receiver.recv(&mut buffer).is_ok().then_some(buffer[..LENGTH].to_vec());
    assert_eq!(first, (pacing.slots > 0).then_some(vec![1; LENGTH]), "{pacing:?}");
}

#[tokio::test]
async fn who_ends_keeps_the_last_slots() {
    let clock = Clock::start();
    let receiver = tokio::net::UdpSocket::bind(address(0)).await.unwrap();
    let mut pacer = Pacer::new(clock, outlet());
    let slot = clock.now() + Duration::from_millis(40);
    pacer.hold(Lane { to: receiver.local_addr().unwrap(), at: slot, datagrams: b"farewell" });
    let keeping = Arc::clone(&pacer.keeping);
    pacer.end().await;
    assert!(clock.now() >= slot);
    let pacing = keeping.held().pacing.clone();
    assert_eq!(pacing.slots + pacing.missed, 1);
    if pacing.slots == 1 {
        receiver.recv(&mut [0; LENGTH]).await.unwrap();
    }
}

#[tokio::test]
async fn who_holds_nothing_has_no_task_and_ends_at_once() {
    let pacer = Pacer::new(Clock::start(), outlet());
    assert!(pacer.task.is_none());
    assert_eq!(pacer.pacing(), Pacing::default());
    pacer.end().await;
}

/// Not how late they are, which depends on the machine: that is measured (`measure`) and printed here.
#[tokio::test]
async fn a_thousand_slots_a_second_are_never_early_never_doubled_and_in_order() {
    let measured = measure::measure(1000, Duration::from_secs(2)).await.unwrap();
    let pacing = &measured.pacing;
    eprintln!(
        "{:.2} % within {LATE:?}; lateness: half {:.0?}, 99 % {:.0?}, worst {:.0?}; {} missed",
        pacing.kept() * 100.0,
        pacing.quantile(0.5),
        pacing.quantile(0.99),
        pacing.worst,
        pacing.missed
    );
    assert_eq!((measured.given, measured.early, measured.overtaken), (2000, 0, 0));
    assert_eq!(pacing.slots + pacing.missed, measured.given);
    assert_eq!(measured.arrived, pacing.slots, "what was sent arrives, once");
}
