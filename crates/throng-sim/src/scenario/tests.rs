use super::*;

fn wrong(text: &str) -> String {
    Scenario::parse("x.toml", text).expect_err("it is wrong").to_string()
}

const GOOD: &str = "# Two lines\n# of header.\n\nduration_s = 10\nmixes.count = 5\nusers.count = 3\n";

#[test]
fn a_wrong_scenario_is_refused_with_line_field_and_range() {
    let cases = [
        (
            "duration_s = 10\nusers.count = 3\n",
            "x.toml:1: mixes.count: is missing: expected whole numbers from 3 to 50000",
        ),
        (
            &format!("{GOOD}design.hops = 12\n"),
            "x.toml:7: design.hops: invalid value `12`: expected mixes in a circuit, 1 to 8",
        ),
        (
            &format!("{GOOD}\n[wire]\nloss = 1.5\n"),
            "x.toml:9: wire.loss: invalid value `1.5`: expected 0 to 1",
        ),
        (
            &format!("{GOOD}[traffic]\nmodel = \"wep\"\n"),
            "x.toml:8: traffic.model: invalid value `wep`: expected idle, web, constant, on-off, trace",
        ),
        (
            &format!("{GOOD}[wire]\nlos = 0.1\n"),
            "x.toml:8: wire.los: is unknown here: expected latency_ms, distance_ms, jitter_ms, loss, doubled, lateness_ms, busy_lateness_ms",
        ),
        (
            &format!("{GOOD}[[faults]]\nat_s = 1\nmixes = [5]\n"),
            "x.toml:9: faults[0].mixes: invalid value `5`: expected a list of numbers from 0 to 4",
        ),
        (
            &format!("{GOOD}[sweep]\n\"design.hops\" = [2, 9]\n"),
            "x.toml:8: design.hops: invalid value `9`: expected mixes in a circuit, 1 to 8",
        ),
        ("duration_s = = 1", "x.toml:1: "),
        (
            "duration_s = \"60\"",
            "x.toml:1: duration_s: invalid value `60`: expected 0.001 to 31536000, without quotes",
        ),
        ("duration_s = 1e300", "x.toml:1: duration_s: invalid value `1e300`: expected"),
        ("duration_s = 60\n[user]\ncount = 3", "x.toml:2: user: is unknown here: expected level, suite,"),
        ("duration_s = 60\nusers.count = nan", "x.toml:2: users.count: nan is not a number"),
        ("duration_s = 60\n\nduration_s = 61", "x.toml:3: duration_s: stands here twice"),
        (
            &format!("{GOOD}[[faults]]\nat_s = 1\nkind = \"crash\"\n"),
            "x.toml:7: faults[0].mixes: is missing: whom does it hit?",
        ),
    ];
    for (text, expected) in cases {
        let said = wrong(text);
        assert!(said.starts_with(expected), "{said}\ninstead of\n{expected}");
    }
}

#[test]
fn what_a_level_cannot_do_is_refused_with_the_reason() {
    let said = wrong(&format!("level = \"population\"\n{GOOD}[design]\ncover = \"mimics\"\n"));
    assert!(said.contains("design.cover") && said.contains("level = \"nodes\""), "{said}");
    let said = wrong(&format!("{GOOD}[design]\ncover = \"linkz\"\n"));
    assert!(said.contains("design.cover") && said.contains("user-link=64kbps"), "{said}");
    for level in ["level = \"population\"\n", ""] {
        let scenario = format!("{level}{GOOD}[design]\ncover = \"end-to-end\"\n");
        assert!(Scenario::parse("x.toml", &scenario).is_ok());
    }
    let said = wrong(&format!("level = \"population\"\n{GOOD}[[faults]]\nat_s = 1\nmixes = [0]\n"));
    assert!(said.contains("faults") && said.contains("level = \"nodes\""), "{said}");
}

#[test]
fn a_sweep_is_a_product_and_its_values_stand_in_the_labels() {
    let text = format!("{GOOD}[sweep]\n\"design.hops\" = [2, 3]\n\"users.count\" = [1, 2, 4]\n");
    let scenario = Scenario::parse("dir/x.toml", &text).unwrap();
    assert_eq!((scenario.name.as_str(), scenario.headline()), ("x", "Two lines"));
    let labels: Vec<_> = scenario.variants.iter().map(Variant::label).collect();
    assert_eq!(labels.len(), 6);
    assert_eq!(labels[1], "design.hops=2 users.count=2");
    let plan = &scenario.variants[5].plan;
    assert_eq!((plan.design.route.hops(), plan.users), (3, 4));
}

#[test]
fn the_digest_knows_what_matters_and_nothing_else() {
    let digest = |text: &str| Scenario::parse("x.toml", text).unwrap().digest;
    let commented = GOOD.replace("# of header", "# another");
    assert_eq!(digest(GOOD), digest(&commented));
    assert_eq!(digest(GOOD), digest(&format!("{GOOD}design.hops = 3\n")), "a default may be said");
    assert_ne!(digest(GOOD), digest(&format!("{GOOD}design.hops = 2\n")));
    assert_ne!(digest(GOOD), digest(&format!("seeds = 3\n{GOOD}")));
}
