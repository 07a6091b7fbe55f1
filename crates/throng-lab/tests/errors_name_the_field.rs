//! A question that has no answer is refused with the field's name and what it may hold, and only such a one.

use throng_lab::plan::{Axis, BandwidthClass, Choice, CoverScheme, Invalid, MixKind, Mode, Question};

type Wrong = (&'static str, fn(&mut Question));

/// A question that is all right, and uses everything.
fn right() -> Question {
    let mut question =
        Question { users: Some(1000), mixes: Some(50), cover: CoverScheme::Link, ..Question::default() };
    question.adversary.hostile_share = Some(0.1);
    question.require.budget_per_year = Some(1e6);
    question
}

#[test]
fn every_field_has_a_range_and_says_so() {
    let wrongs: &[Wrong] = &[
        ("users", |q| q.users = Some(0)),
        ("mixes", |q| q.mixes = Some(0)),
        ("hops", |q| q.hops = 0),
        ("hops", |q| q.hops = 9),
        ("sent_mb_per_day", |q| q.sent_mb_per_day = -1.0),
        ("received_mb_per_day", |q| q.received_mb_per_day = f64::NAN),
        ("cover_rate_kbps", |q| q.cover_rate_kbps = 0.0),
        ("online_hours_per_day", |q| q.online_hours_per_day = 25.0),
        ("exit_share", |q| q.exit_share = 0.0),
        ("mix_classes", |q| q.mix_classes.clear()),
        ("mix_classes[0].up_mbps", |q| q.mix_classes[0].up_mbps = 0.0),
        ("mix_classes[0].down_mbps", |q| q.mix_classes[0].down_mbps = f64::INFINITY),
        ("mix_classes[0].online_share", |q| q.mix_classes[0].online_share = 0.0),
        ("mix_classes[0].lent_share", |q| q.mix_classes[0].lent_share = 1.1),
        ("member_classes[1].acceptance", |q| q.member_classes[1].acceptance = 0.0),
        ("member_classes[].share", |q| q.member_classes[0].share = 0.9),
        ("prices.per_mix_per_year", |q| q.prices.per_mix_per_year = -1.0),
        ("prices.per_mbps_per_year", |q| q.prices.per_mbps_per_year = -1.0),
        ("overhead.peak_factor", |q| q.overhead.peak_factor = 0.5),
        ("overhead.datagram_bytes", |q| q.overhead.datagram_bytes = 100),
        ("overhead.ip_udp_bytes", |q| q.overhead.ip_udp_bytes = -1.0),
        ("overhead.quic_bytes", |q| q.overhead.quic_bytes = 501.0),
        ("overhead.packets_per_ack", |q| q.overhead.packets_per_ack = 0.0),
        ("overhead.ack_delay_ms", |q| q.overhead.ack_delay_ms = 0.0),
        ("overhead.burst_mbps", |q| q.overhead.burst_mbps = 0.0),
        ("overhead.reply_bytes", |q| q.overhead.reply_bytes = 0.0),
        ("overhead.circuits_per_online_hour", |q| q.overhead.circuits_per_online_hour = -1.0),
        ("overhead.spare_circuits", |q| q.overhead.spare_circuits = -1.0),
        ("overhead.probe_seconds", |q| q.overhead.probe_seconds = 0.0),
        ("overhead.link_handshakes_per_online_hour", |q| q.overhead.link_handshakes_per_online_hour = -1.0),
        ("overhead.filler_kbps", |q| q.overhead.filler_kbps = -1.0),
        ("overhead.filler_links", |q| q.overhead.filler_links = -1.0),
        ("adversary.hostile_share", |q| q.adversary.hostile_share = Some(1.1)),
        ("adversary.observed_link_share", |q| q.adversary.observed_link_share = -0.1),
        ("adversary.circuits_per_day", |q| q.adversary.circuits_per_day = Some(-1.0)),
        ("adversary.first_hops", |q| q.adversary.first_hops = 0),
        ("adversary.first_hop_days", |q| q.adversary.first_hop_days = 0.0),
        ("delays.link_ms", |q| q.delays.link_ms = -1.0),
        ("delays.mixing_ms", |q| q.delays.mixing_ms = -1.0),
        ("delays.processing_ms", |q| q.delays.processing_ms = -1.0),
        ("delays.handshake_ms", |q| q.delays.handshake_ms = -1.0),
        ("delays.page_kb", |q| q.delays.page_kb = -1.0),
        ("delays.page_round_trips", |q| q.delays.page_round_trips = 0.0),
        ("require.budget_per_year", |q| q.require.budget_per_year = Some(-1.0)),
        ("require.load_share_max", |q| q.require.load_share_max = Some(2.0)),
        ("require.added_delay_ms_max", |q| q.require.added_delay_ms_max = Some(-1.0)),
        ("require.compromised_share_max", |q| q.require.compromised_share_max = Some(2.0)),
        ("require.compromised_in_year_max", |q| q.require.compromised_in_year_max = Some(2.0)),
    ];
    assert!(right().validate().is_ok());
    for (field, spoil) in wrongs {
        refused(field, *spoil);
    }
}

#[test]
fn contradictions_name_the_field_that_should_go() {
    let wrongs: &[Wrong] = &[
        // Nothing to start from.
        ("users", |q| (q.users, q.mixes) = (None, None)),
        // Every user is a mix, and yet there are fifty.
        ("mixes", |q| q.kind = MixKind::Dynamic),
        // Chains longer than there are mixes.
        ("hops", |q| q.mixes = Some(3)),
        ("hops", |q| (q.kind, q.mixes, q.users) = (MixKind::Dynamic, None, Some(3))),
        // A day's data does not fit under the cover.
        ("cover_rate_kbps", |q| q.cover_rate_kbps = 1.0),
        ("cover_rate_kbps", |q| (q.mode, q.received_mb_per_day) = (Mode::Bare, 500.0)),
        // Nobody wants anything.
        ("received_mb_per_day", |q| (q.sent_mb_per_day, q.received_mb_per_day) = (0.0, 0.0)),
        // Two numbers for one thing, and a number of nothing.
        ("adversary.hostile_mixes", |q| q.adversary.hostile_mixes = Some(1)),
        ("adversary.hostile_mixes", |q| {
            (q.mixes, q.adversary.hostile_share, q.adversary.hostile_mixes) = (None, None, Some(1));
        }),
        ("adversary.hostile_mixes", |q| {
            (q.adversary.hostile_share, q.adversary.hostile_mixes) = (None, Some(51));
        }),
        // Limits on what nobody does, and on what costs nothing.
        ("require.compromised_share_max", |q| {
            (q.adversary.hostile_share, q.require.compromised_share_max) = (None, Some(0.1));
        }),
        ("prices.per_mix_per_year", |q| q.prices.per_mix_per_year = 0.0),
        // Filler alone is more than the lines.
        ("overhead.filler_kbps", |q| q.overhead.filler_kbps = 60.0),
    ];
    for (field, spoil) in wrongs {
        refused(field, *spoil);
    }
}

fn refused(field: &str, spoil: fn(&mut Question)) {
    let mut question = right();
    spoil(&mut question);
    let error = question.answer().expect_err(field);
    assert_eq!(error.field, field, "{error}");
    assert!(!error.allowed.is_empty() && error.to_string().contains(field), "{error}");
}

/// The bound in the message is the bound.
#[test]
fn the_least_cover_rate_that_is_named_is_enough() {
    for mode in [Mode::Bare, Mode::Realistic] {
        for cover in [CoverScheme::Link, CoverScheme::EndToEnd] {
            let slow = Question { cover_rate_kbps: 0.5, cover, mode, ..right() };
            let allowed = slow.answer().expect_err("too slow").allowed;
            let least: f64 = allowed["at least ".len()..]
                .split(':')
                .next()
                .and_then(|n| n.parse().ok())
                .expect("a number");
            let at = |rate| Question { cover_rate_kbps: rate, ..slow.clone() }.validate().is_ok();
            assert!(at(least + 0.001) && !at(least - 0.001), "{allowed}");
        }
    }
}

#[test]
fn a_question_survives_json_and_a_misspelt_field_does_not() {
    let question = right();
    let json = serde_json::to_string(&question).unwrap();
    assert_eq!(serde_json::from_str::<Question>(&json).unwrap(), question);
    let brief: Question =
        serde_json::from_str(r#"{"users": 1000, "cover": "end-to-end", "kind": "static"}"#).unwrap();
    assert_eq!(brief, Question { users: Some(1000), cover: CoverScheme::EndToEnd, ..Question::default() });
    assert!(serde_json::from_str::<Question>(r#"{"user": 1000}"#).is_err());
    let classes = r#"{"mix_classes": [{"name": "a", "up_mbps": 1, "down_mbps": 1, "share": 1}]}"#;
    let classes: Question = serde_json::from_str(classes).unwrap();
    assert_eq!(classes.mix_classes, [BandwidthClass::symmetric("a", 1.0)]);
}

#[test]
fn words_are_the_same_on_a_command_line_and_in_json() {
    fn check<T>(words: &[&str], field: &str)
    where
        T: std::str::FromStr<Err = Invalid> + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        for word in words {
            let parsed: T = word.parse().unwrap();
            assert_eq!(serde_json::from_str::<T>(&format!("\"{word}\"")).unwrap(), parsed);
        }
        let error = "neither".parse::<T>().unwrap_err();
        assert_eq!((error.field.as_str(), error.allowed), (field, words.join(", ")));
    }
    check::<CoverScheme>(&["none", "link", "end-to-end"], "cover");
    check::<MixKind>(&["static", "dynamic"], "kind");
    check::<Mode>(&["bare", "realistic"], "mode");
    check::<Choice>(&["by-bandwidth", "uniform", "by-acceptance"], "choice");
    let axes = ["users", "mixes", "hops", "received-mb-per-day", "cover-rate-kbps", "online-hours-per-day"];
    check::<Axis>(&axes, "axis");
}
