//! A few nodes in a world that the fuzzer rules: it says what arrives, when, changed in which way, and what owners and hostile
//! neighbours want. After every step the tables of the node that made it must agree with each other.

mod forge;
mod setting;
mod suite;
mod world;

use std::time::Duration;

use throng_core::fuzzing::Choices;
use throng_sim::toy;

use setting::SETTINGS;
use world::World;

/// Steps of one world at most: more would say little that shorter ones do not.
const STEPS_MAX: usize = 250;

/// A world, and what happens in it.
pub fn run(bytes: &[u8]) {
    // A key must never be used twice with one nonce, whatever neighbours try.
    let ((), reuse) = toy::watch(|| live(Choices::new(bytes)));
    assert_eq!(reuse, [], "a key was used twice with one nonce");
}

fn live(mut choices: Choices<'_>) {
    let setting = &SETTINGS[choices.below(SETTINGS.len())];
    let mut world = World::new(setting, choices.u8());
    // How far it comes before anybody interferes.
    for _ in 0..choices.below(4) {
        world.settle();
    }
    for _ in 0..STEPS_MAX {
        if choices.is_empty() {
            break;
        }
        happen(&mut world, &mut choices);
    }
}

fn happen(world: &mut World, choices: &mut Choices<'_>) {
    match choices.below(16) {
        0 | 1 => world.deliver(0),
        2 => world.deliver(choices.below(256)),
        3 => world.lose(choices.below(256)),
        4 => world.double(choices.below(256)),
        5 => world.alter(choices),
        6 | 7 => world.rewrite(choices),
        8 => world.inject(choices),
        9 | 10 => world.speak_for_a_neighbour(choices),
        11 | 12 => world.command(choices),
        13 => world.pass(span(choices)),
        14 => world.settle(),
        _ => world.disturb(choices),
    }
}

/// From a moment to a night.
fn span(choices: &mut Choices<'_>) -> Duration {
    let unit = match choices.below(8) {
        0 => Duration::from_nanos(1),
        1 => Duration::from_micros(300),
        2 => Duration::from_millis(3),
        3 => Duration::from_millis(50),
        4 => Duration::from_millis(500),
        5 => Duration::from_secs(10),
        6 => Duration::from_secs(200),
        _ => Duration::from_secs(3600),
    };
    unit * (1 + choices.below(8) as u32)
}
