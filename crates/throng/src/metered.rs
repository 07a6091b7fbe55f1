//! Whether the connection is metered: the system knows, where NetworkManager runs.

use std::process::Stdio;
use std::time::Duration;

use clap::Args;
use throng_core::cover::Budget;
use throng_net::driver::{Asking, Driver, Order};
use throng_net::notices::{About, Notices};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How often the system is asked.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// How often what is left of a budget is looked at.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// What cover may cost its user.
#[derive(Args, Clone, Copy, Default)]
pub(crate) struct SpendingOptions {
    /// Megabytes a day that cover may send, including the real data it carries; then cover stops until midnight UTC
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) cover_mb_per_day: Option<u32>,
    /// Cover only while the system says that the connection is not metered (asks NetworkManager)
    #[arg(long)]
    pub(crate) cover_unmetered_only: bool,
}

impl SpendingOptions {
    /// What may be spent a day.
    pub(crate) fn budget(&self) -> Budget {
        Budget { bytes_per_day: self.cover_mb_per_day.map(|mb| u64::from(mb) * 1_000_000) }
    }

    /// Says when cover rests; if asked to, allows it only while the connection is known to be unmetered.
    pub(crate) fn watch(&self, driver: &Driver, notices: Notices) -> Vec<JoinHandle<()>> {
        let metered =
            self.cover_unmetered_only.then(|| tokio::spawn(follow(driver.orders(), notices.clone())));
        let budget = self.cover_mb_per_day.map(|mb| tokio::spawn(count(driver.meter(), notices, mb)));
        metered.into_iter().chain(budget).collect()
    }
}

/// Says when a day's budget is spent.
async fn count(meter: Asking, notices: Notices, mb_per_day: u32) {
    while let Some(meter) = meter.ask().await {
        if meter.is_budget_spent {
            notices.hold(
                About::Budget,
                format!(
                    "cover has ended for today: {mb_per_day} MB are spent (`cover_mb_per_day`); it begins again at 00:00 UTC"
                ),
            );
        } else {
            notices.end(About::Budget);
        }
        tokio::time::sleep(COUNT_EVERY).await;
    }
}

async fn follow(orders: mpsc::Sender<Order>, notices: Notices) {
    let mut before = None;
    // Nothing is spent before the first answer.
    if orders.send(Order::Spend(false)).await.is_err() {
        return;
    }
    loop {
        let metered = ask().await;
        let may_spend = metered == Metered::No;
        if before != Some(metered) {
            match metered {
                Metered::No => {
                    notices.end(About::Cover);
                    tell!("throng: the connection is not metered: cover is on");
                }
                Metered::Yes => notices.hold(About::Cover, "the connection is metered: cover is off"),
                Metered::Unknown => notices.hold(
                    About::Cover,
                    "cannot tell whether the connection is metered (NetworkManager is not running or does not know): cover is \
                     off; without `--cover-unmetered-only` it would be on",
                ),
            }
        }
        before = Some(metered);
        if orders.send(Order::Spend(may_spend)).await.is_err() {
            return;
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metered {
    Yes,
    No,
    Unknown,
}

async fn ask() -> Metered {
    let asked = Command::new("nmcli")
        .args(["--get-values", "GENERAL.METERED", "device", "show"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match timeout(ANSWER_TIME_MAX, asked).await {
        Ok(Ok(output)) if output.status.success() => read(&String::from_utf8_lossy(&output.stdout)),
        _ => Metered::Unknown,
    }
}

/// Parses one line per device; for devices that are not connected it is `unknown` or empty.
fn read(said: &str) -> Metered {
    let mut lines = said.lines().map(str::trim);
    if lines.clone().any(|line| line.starts_with("yes")) {
        Metered::Yes
    } else if lines.any(|line| line.starts_with("no")) {
        Metered::No
    } else {
        Metered::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_understood_and_doubt_is_no_permission() {
        assert_eq!(read("no (guessed)\n\nunknown\n"), Metered::No);
        assert_eq!(read("no\nyes (guessed)\n"), Metered::Yes);
        assert_eq!(read("unknown\n"), Metered::Unknown);
        assert_eq!(read(""), Metered::Unknown);
    }
}
