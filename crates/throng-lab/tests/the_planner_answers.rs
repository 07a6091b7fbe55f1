//! What the planner says, end to end.

use throng_lab::plan::{Axis, Choice, CoverScheme, MixKind, Mode, Question, Sweep, presets};
use throng_lab::report::{csv, text, tidy_csv};

/// Row 14 of the table of checks: a dynamic network carries itself, whatever its size.
#[test]
fn members_carry_themselves_at_any_size() {
    let mut loads = Vec::new();
    for users in [100, 10_000, 1_000_000] {
        let question =
            Question { kind: MixKind::Dynamic, mode: Mode::Bare, users: Some(users), ..Question::default() };
        let answer = question.answer().unwrap();
        assert!(answer.meets_requirements());
        let scheme = answer.stated_scheme();
        assert!((scheme.per_user_mbps.unwrap() * 1e6 - 1852.0).abs() < 0.5);
        assert_eq!(scheme.users_supported, None, "any number");
        loads.push(scheme.load_share.unwrap());
    }
    assert!(loads.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(loads[0] < 0.01, "below one percent: {}", loads[0]);
}

/// MorphMix' simulation used 3 % of all capacity, all overheads included (FC 2004, section 8): ours must be of that
/// size. It has other overheads (a tunnel every two minutes, cells of another size), so no more can be asked.
#[test]
fn realistic_members_of_2004_are_loaded_by_a_few_percent_at_most() {
    let mut question = presets::fc04().question();
    question.overhead.peak_factor = 1.0;
    let load = question.answer().unwrap().stated_scheme().load_share.unwrap();
    assert!((0.003..0.06).contains(&load), "{load}");
}

#[test]
fn what_is_required_is_judged() {
    let mut question = Question { users: Some(1_000_000), mixes: Some(200), ..Question::default() };
    let too_many = question.answer().unwrap();
    assert!(!too_many.meets_requirements());
    assert_eq!(too_many.requirements[0].field, "require.load_share_max");
    assert!(too_many.requirements[0].found > 1.0);

    question.users = Some(1000);
    assert!(question.answer().unwrap().meets_requirements());

    question.require.budget_per_year = Some(1e6);
    question.require.added_delay_ms_max = Some(100.0);
    question.adversary.hostile_share = Some(0.2);
    question.require.compromised_share_max = Some(0.05);
    question.require.compromised_in_year_max = Some(0.05);
    let answer = question.answer().unwrap();
    let met: Vec<_> =
        answer.requirements.iter().map(|requirement| (requirement.field, requirement.met)).collect();
    let expected = [
        ("require.load_share_max", true),
        ("require.budget_per_year", false),
        ("require.added_delay_ms_max", false),
        ("require.compromised_share_max", true),
        ("require.compromised_in_year_max", false),
    ];
    assert_eq!(met, expected);
}

#[test]
fn a_budget_buys_the_cover_that_it_buys() {
    let best = |budget| {
        let mut question = Question { users: Some(100_000), mode: Mode::Bare, ..Question::default() };
        question.require.budget_per_year = Some(budget);
        question.answer().unwrap().best_affordable
    };
    // 186, 448 and 1909 mixes of 1 Mb/s, 10 000 each.
    let cases = [
        (1.85e6, None),
        (1.86e6, Some(CoverScheme::None)),
        (4.48e6, Some(CoverScheme::Link)),
        (19.08e6, Some(CoverScheme::Link)),
        (19.09e6, Some(CoverScheme::EndToEnd)),
    ];
    for (budget, cover) in cases {
        assert_eq!(best(budget), cover, "{budget}");
    }
}

#[test]
fn choosing_slow_mixes_like_fast_ones_costs_capacity() {
    let load = |choice| {
        let question = Question { kind: MixKind::Dynamic, choice, ..Question::default() };
        question.answer().unwrap().stated_scheme().load_share.unwrap()
    };
    assert!(load(Choice::ByBandwidth) < load(Choice::ByAcceptance));
    assert!(load(Choice::ByAcceptance) < load(Choice::Uniform));
}

#[test]
fn filler_takes_capacity_only_beyond_what_data_fills() {
    let users = |filler_kbps| {
        let mut question = Question { mixes: Some(200), ..Question::default() };
        question.overhead.filler_kbps = filler_kbps;
        question.answer().unwrap().stated_scheme().users_supported.unwrap()
    };
    assert_eq!(users(0.0), users(1.0), "data rides in it");
    assert!(users(44.0) < users(1.0) / 2);
}

#[test]
fn everything_can_be_shown() {
    let mut question =
        Question { users: Some(1000), mixes: Some(50), cover: CoverScheme::EndToEnd, ..Question::default() };
    question.adversary.hostile_mixes = Some(5);
    let answer = question.answer().unwrap();
    let tables = answer.tables();
    let shown = text(&tables);
    for part in ["end-to-end cover *", "sticky", "added to a round trip", "Requirements"] {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
    let lines = tidy_csv(&tables);
    assert!(lines.lines().skip(1).all(|line| !line.starts_with(',')) && lines.lines().count() > 50);
    let json: serde_json::Value = serde_json::to_value(&answer).unwrap();
    assert_eq!(json["schemes"][2]["cover"], "end-to-end");
    assert_eq!(json["question"]["adversary"]["hostile_mixes"], 5);
}

#[test]
fn a_sweep_draws_six_lines() {
    let question = Question { mixes: Some(200), ..Question::default() };
    let swept = Sweep { question, axis: Axis::Users, from: 1e2, to: 1e7, points: 51 }.run().unwrap();
    let svg = swept.chart().svg();
    let document = roxmltree::Document::parse(&svg).unwrap();
    let drawn = |class: &str| {
        let paths = document.descendants().filter(|node| node.has_tag_name("path"));
        paths.filter(|path| path.attribute("class").is_some_and(|given| given.starts_with(class))).count()
    };
    assert_eq!(drawn("line"), 12, "six lines, and six in the legend");
    assert_eq!(drawn("mark"), 1);
    assert_eq!(csv(&swept.table()).lines().count(), 1 + 51 * 6);
}
