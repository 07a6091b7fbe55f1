use maybenot::action::Action as Wanted;
use maybenot::dist::{Dist, DistType};
use maybenot::event::Event;
use maybenot::state::{State, Trans};

use super::*;

fn always(value: f64) -> Dist {
    Dist { dist: DistType::Uniform { low: value, high: value }, start: 0.0, max: 0.0 }
}

/// Whatever passes (or is padded), a padding `gap` microseconds later.
fn padding(gap: f64) -> Machine {
    let on = |events: &[Event]| {
        let mut transitions = enum_map::EnumMap::default();
        events.iter().for_each(|event| transitions[*event] = vec![Trans(1, 1.0)]);
        transitions
    };
    let idle = State::new(on(&[Event::NormalSent]));
    let mut busy = State::new(on(&[Event::PaddingSent]));
    busy.action =
        Some(Wanted::SendPadding { bypass: false, replace: false, timeout: always(gap), limit: None });
    Machine::new(1_000, 1.0, 0, 0.0, vec![idle, busy]).expect("a valid machine")
}

/// Holds what leaves for a while, once something wants to.
fn blocking(length: f64) -> Machine {
    let mut transitions = enum_map::EnumMap::default();
    transitions[Event::NormalSent] = vec![Trans(1, 1.0)];
    let idle = State::new(transitions);
    let mut busy = State::new(enum_map::EnumMap::default());
    busy.action = Some(Wanted::BlockOutgoing {
        bypass: false,
        replace: false,
        timeout: always(0.0),
        duration: always(length),
        limit: None,
    });
    Machine::new(0, 0.0, 10_000_000, 1.0, vec![idle, busy]).expect("a valid machine")
}

fn raise(machine: &Machine) -> Box<dyn Defence> {
    Maybenot.build(&machine.serialize(), &Seed::from_bytes([1; 32]), Time::from_secs(1)).expect("a defence")
}

fn micros(count: u64) -> Time {
    Time::from_secs(1) + Duration::from_micros(count)
}

#[test]
fn a_machine_pads_when_its_time_has_come_and_again() {
    let mut defence = raise(&padding(500.0));
    assert_eq!(defence.wake(), Time::NEVER, "nothing has passed");
    defence.observe(Passed::Queued, micros(0));
    for round in 1..4 {
        assert_eq!(defence.wake(), micros(500 * round));
        assert_eq!(defence.act(micros(500 * round - 1)), None);
        assert_eq!(defence.act(micros(500 * round)), Some(Act::Pad { bypass: false, replace: false }));
        assert_eq!(defence.act(micros(500 * round)), None);
    }
}

#[test]
fn a_machine_holds_what_leaves_and_lets_it_go() {
    let mut defence = raise(&blocking(2_000.0));
    defence.observe(Passed::Queued, micros(0));
    assert_eq!(defence.act(micros(0)), None);
    assert!(defence.holds());
    assert_eq!(defence.wake(), micros(2_000));
    assert_eq!(defence.act(micros(2_000)), Some(Act::Release));
    assert!(!defence.holds());
}

#[test]
fn texts_are_read_named_or_refused() {
    let text = format!("{};{}", padding(500.0).serialize(), blocking(10.0).serialize());
    assert_eq!(read(&text).expect("two machines").len(), 2);
    let names = Maybenot.name(&text).expect("two names");
    assert_eq!(names, format!("{};{}", padding(500.0).name(), blocking(10.0).name()));
    for wrong in ["x", "02", "02eNpjYEA=", &"02eNpjYEA=;".repeat(40)] {
        assert!(read(wrong).is_err(), "{wrong}");
        assert!(Maybenot.build(wrong, &Seed::from_bytes([1; 32]), Time::ZERO).is_none());
    }
    assert!(Maybenot.build("", &Seed::from_bytes([1; 32]), Time::ZERO).is_none(), "no machine is no defence");
}
