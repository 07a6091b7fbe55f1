//! Text as a scenario. Its first lines are the fuzzer's, behind them stand some that are right: most scenarios need them.

use throng_sim::{SEEDS_MAX, Scenario, USERS_MAX};

/// Fields that most scenarios must have.
const NEEDED: [&str; 4] = [
    "",
    "\nduration_s = 5\nmixes.count = 4\nusers.count = 3\ntraffic.model = \"idle\"\n",
    "\nduration_s = 5\nseeds = 2\n[mixes]\ncount = 4\n[users]\ncount = 3\n[traffic]\nmodel = \"web\"\n",
    "\n[sweep]\n\"design.hops\" = [2, 3]\n",
];

/// A scenario, for a folder that is not there.
pub fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(bytes);
    let text = format!("{text}{}", NEEDED[usize::from(kind % 4)]);
    match Scenario::parse("nowhere/fuzzed.toml", &text) {
        Ok(scenario) => {
            assert!(
                !scenario.variants.is_empty() && (1..=SEEDS_MAX as usize).contains(&scenario.seeds.len())
            );
            for variant in &scenario.variants {
                assert!((variant.plan.users as u64) <= USERS_MAX, "more users than there may be");
                let _ = variant.label();
            }
            let again = Scenario::parse("nowhere/fuzzed.toml", &text).expect("it was right before");
            assert_eq!(again.digest, scenario.digest, "one scenario, one digest");
        }
        Err(wrong) => {
            let shown = wrong.to_string();
            assert!(shown.contains("nowhere/fuzzed.toml"), "what is wrong is named with its file: {shown}");
            assert!(wrong.line.is_none_or(|line| (1..=text.lines().count() + 1).contains(&line)), "{shown}");
        }
    }
}
