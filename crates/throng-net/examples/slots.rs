//! How well this machine keeps slots: `cargo run --release -p throng-net --example slots -- [SLOTS_PER_SECOND [SECONDS]]`.
#![expect(clippy::print_stdout, reason = "it is what this is for")]

use std::error::Error;
use std::time::Duration;

use throng_net::pacer::LATE;
use throng_net::pacer::measure::measure;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |or: u32| arguments.next().map_or(Ok(or), |text| text.parse());
    let (slots_per_second, seconds) = (number(1000)?, number(10)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let measured = runtime.block_on(measure(slots_per_second, Duration::from_secs(seconds.into())))?;
    let pacing = &measured.pacing;
    let percent = pacing.kept() * 100.0;
    println!("{slots_per_second} slots/s for {seconds} s: {percent:.3} % within {LATE:?} of their slot");
    println!(
        "lateness: 50 % {:.0?}, 99 % {:.0?}, worst {:.0?}; {} missed, {} early, {} of {} arrived",
        pacing.quantile(0.5),
        pacing.quantile(0.99),
        pacing.worst,
        pacing.missed,
        measured.early,
        measured.arrived,
        measured.given
    );
    Ok(())
}
