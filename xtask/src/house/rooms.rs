//! Rooms: modules of one crate that must not know each other, but for the ground that they all stand on.

use super::Finding;
use super::modules::{Crate, Import, ModulePath};

/// The rooms of one crate. Modules are written as in Rust, from the crate's root: `node::relays`.
pub(super) struct Rooms {
    pub(super) package: &'static str,
    pub(super) rooms: &'static [&'static str],
    /// What a room may name even though it, or what it re-exports, belongs to another room.
    pub(super) ground: &'static [&'static str],
}

/// Reports every import of one room by another, and every room that is not there.
pub(super) fn trespasses(rooms: &Rooms, of: &Crate, imports: &[Import]) -> Vec<Finding> {
    let listed = rooms.rooms.iter().chain(rooms.ground);
    let missing = listed.filter(|name| !of.has(&path(name))).map(|name| Finding {
        file: "lib.rs".into(),
        line: 0,
        text: format!("{} has no module {name}: correct the table of rooms", rooms.package),
    });
    let crossings = imports.iter().filter_map(|import| {
        let (from, to) = (room_of(rooms.rooms, &import.from)?, room_of(rooms.rooms, &import.to)?);
        let by_ground = import.through.iter().chain([&import.to]).any(|on| room_of(rooms.ground, on).is_some());
        (from != to && !by_ground).then(|| Finding {
            file: import.file.clone(),
            line: import.line,
            text: format!(
                "the room {from} uses {}::{} of the room {to}: let the ground hold it, or the caller of both pass it",
                import.to.join("::"),
                import.name
            ),
        })
    });
    missing.chain(crossings).collect()
}

fn path(name: &str) -> ModulePath {
    name.split("::").map(str::to_owned).collect()
}

fn room_of(rooms: &[&'static str], module: &[String]) -> Option<&'static str> {
    rooms.iter().copied().find(|room| module.starts_with(&path(room)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::modules::tests::made_up;

    const FILES: [(&str, &str); 6] = [
        ("lib.rs", "mod node; mod id; pub use node::relays::Relay;"),
        ("id.rs", "pub struct Id;"),
        ("node/mod.rs", "mod ground; mod origins; mod relays;"),
        ("node/ground.rs", "pub use super::relays::Shared;"),
        ("node/relays/mod.rs", "mod table; pub struct Relay; pub struct Shared; use crate::id::Id;"),
        ("node/relays/table.rs", "use super::Relay;"),
    ];

    fn found(rooms: &[&'static str], origins: &'static str) -> Vec<String> {
        let made = made_up(&[&FILES[..], &[("node/origins.rs", origins)]].concat());
        let rooms = Rooms { package: "made-up", rooms: rooms.to_vec().leak(), ground: &["node::ground"] };
        trespasses(&rooms, &made, &made.imports()).into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn a_room_that_uses_another_is_reported_even_by_a_name_elsewhere() {
        let rooms = ["node::origins", "node::relays"];
        for origins in
            ["use super::relays::Relay;", "use crate::Relay;", "fn f(_: &crate::node::relays::Relay) {}"]
        {
            let found = found(&rooms, origins);
            assert_eq!(found.len(), 1, "{origins}");
            assert!(
                found[0]
                    .starts_with("the room node::origins uses node::relays::Relay of the room node::relays")
            );
        }
    }

    #[test]
    fn the_ground_and_what_is_no_room_may_be_used() {
        let rooms = ["node::origins", "node::relays"];
        assert!(found(&rooms, "use crate::id::Id; use super::ground::Shared;").is_empty());
        assert!(found(&["node::relays"], "use super::relays::Relay;").is_empty());
    }

    #[test]
    fn a_room_that_is_not_there_is_reported() {
        assert_eq!(
            found(&["node::mixing"], ""),
            ["made-up has no module node::mixing: correct the table of rooms"]
        );
    }
}
