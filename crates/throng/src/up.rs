//! `throng up`: a network on this machine, and a proxy into it.

use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use throng_core::Design;
use throng_net::client::SupplyState;
use throng_net::proxy::{self, ProxyLimits};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::cli::UpOptions;
use crate::design;
use crate::local::{LocalNetwork, Mix, Plan};
use crate::status;
use crate::tap::Recording;

/// All farewells together take at most this.
pub(crate) const LEAVE_TIME_MAX: Duration = Duration::from_millis(1500);
/// Without a circuit after this something is said even where nobody watches a progress line.
const SLOW_START: Duration = Duration::from_secs(10);

/// Runs the network until Ctrl-C.
pub(crate) fn run(options: &UpOptions) -> Result<()> {
    let design = design::read(&options.design)?;
    if design.route.hops() > options.mixes.into() {
        bail!("--hops {} needs as many mixes, but --mixes is {}", design.route.hops(), options.mixes);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let outcome = runtime.block_on(up(options, design));
    runtime.shutdown_timeout(Duration::from_millis(200));
    outcome
}

async fn up(options: &UpOptions, design: Design) -> Result<()> {
    let mut interrupted = std::pin::pin!(interrupted());
    let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, options.port)), "--port").await?;
    let proxy = listener.local_addr().context("asking for the proxy's address")?;

    let progress = progress(options.json);
    progress.set_message(format!("starting {} mixes", options.mixes));
    let tap =
        options.tap.as_deref().map(|file| Recording::start(file, options.mixes, &design)).transpose()?;
    let plan =
        Plan { mixes: options.mixes, design: Arc::new(design), budget: options.spending.budget(), tap };
    let network = LocalNetwork::start(&plan)?;
    let feed = status::listen(options.status_port).await?;
    let feed_at = feed.local_addr().context("asking for the status feed's address")?;
    let feeding = tokio::spawn(status::serve(feed, Arc::new(network.observer())));
    let metering = options.spending.watch(network.client_orders());
    let (stop, stopped) = watch::channel(false);
    let serving =
        tokio::spawn(proxy::serve(listener, Arc::clone(&network.client), ProxyLimits::default(), stopped));

    let supply = tokio::select! {
        supply = first_circuit(network.client.supply(), &progress) => Some(supply?),
        () = &mut interrupted => None,
    };
    progress.finish_and_clear();
    if let Some(supply) = supply {
        tell(options, &network, (proxy, feed_at), &supply)?;
        interrupted.await;
    }

    feeding.abort();
    metering.inspect(JoinHandle::abort);
    stop.send_replace(true);
    let farewell = async {
        let _ = serving.await;
        network.leave().await;
    };
    let _ = timeout(LEAVE_TIME_MAX, farewell).await; // whoever needs longer is left to silence
    plan.tap.map_or(Ok(()), Recording::write)
}

/// Ctrl-C, or the system's wish that we end.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// Listens for applications; `setting` is what says where.
pub(crate) async fn listen(address: SocketAddr, setting: &str) -> Result<TcpListener> {
    let port = address.port();
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!(
                "port {port} is taken by another program; choose another one with {setting} (0: any that is free)"
            )
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            bail!("port {port} needs rights that we do not have; choose one above 1023 with {setting}")
        }
        Err(error) => Err(error).with_context(|| format!("listening on {address} ({setting})")),
    }
}

pub(crate) fn progress(json: bool) -> ProgressBar {
    if json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Waits until a circuit is ready; says what blocks meanwhile.
pub(crate) async fn first_circuit(
    mut supply: watch::Receiver<SupplyState>,
    progress: &ProgressBar,
) -> Result<SupplyState> {
    progress.set_message("building circuits");
    let mut slow = tokio::time::interval(SLOW_START);
    slow.tick().await; // the first comes at once
    loop {
        let state = supply.borrow_and_update().clone();
        if state.ready > 0 {
            return Ok(state);
        }
        let problem = state.problem.as_deref().unwrap_or("no mix has answered yet");
        progress.set_message(format!("building circuits; so far: {problem}"));
        tokio::select! {
            changed = supply.changed() => changed.context("the client ended")?,
            _ = slow.tick() => if progress.is_hidden() {
                eprintln!("throng: still no circuit: {problem}");
            },
        }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    proxy: String,
    status: String,
    mixes: Vec<MixReport<'a>>,
    hops: u8,
    mixing: String,
    company: String,
    cover: String,
    own_prefixes: bool,
    names: bool,
    circuit: Vec<&'a str>,
    circuit_built_ms: f64,
    r#try: String,
}

#[derive(Serialize)]
struct MixReport<'a> {
    name: &'a str,
    identity: String,
    address: String,
    exit_ports: String,
}

/// Says what runs, on stdout.
fn tell(
    options: &UpOptions,
    network: &LocalNetwork,
    (proxy, status): (SocketAddr, SocketAddr),
    supply: &SupplyState,
) -> Result<()> {
    let (path, took) = supply.last.clone().unwrap_or_default();
    let circuit: Vec<&Mix> = path.iter().filter_map(|id| network.mix(*id)).collect();
    let report = Report {
        proxy: proxy.to_string(),
        status: status.to_string(),
        mixes: network.mixes.iter().map(report_mix).collect(),
        hops: network.design.route.hops() as u8,
        mixing: network.design.mixing.to_string(),
        company: network.design.company.to_string(),
        cover: network.design.cover.named(&throng_machine::Maybenot).to_string(),
        own_prefixes: network.own_prefixes,
        names: network.no_names.is_none(),
        circuit: circuit.iter().map(|mix| mix.name.as_str()).collect(),
        circuit_built_ms: took.as_secs_f64() * 1000.0,
        r#try: format!("curl --proxy socks5h://{proxy} https://example.org/"),
    };
    let text = if options.json {
        serde_json::to_string(&report).context("writing the report")? + "\n"
    } else {
        readable(&report, network)
    };
    use std::io::Write;
    std::io::stdout().write_all(text.as_bytes()).context("writing to stdout")?;
    std::io::stdout().flush().context("writing to stdout")
}

fn report_mix(mix: &Mix) -> MixReport<'_> {
    MixReport {
        name: &mix.name,
        identity: mix.id.to_string(),
        address: mix.address.to_string(),
        exit_ports: mix.exit_ports.to_string(),
    }
}

fn readable(report: &Report<'_>, network: &LocalNetwork) -> String {
    use std::fmt::Write;
    let mut text = String::from("A mix-network on this machine:\n\n");
    for mix in &network.mixes {
        let role = if mix.exit_ports.is_none() { "mix" } else { "mix and exit" };
        let _ = writeln!(text, "  {:<8} {:<22} {} {role}", mix.name, mix.address, mix.id.fingerprint());
    }
    let _ = writeln!(text, "\nA circuit, built in {:.1} ms:\n", report.circuit_built_ms);
    let _ = writeln!(text, "  you ─ {} ─ the Internet\n", report.circuit.join(" ─ "));
    let _ = writeln!(text, "Proxy (SOCKS5, SOCKS4a, HTTP) on {}. Try:\n\n  {}\n", report.proxy, report.r#try);
    if report.mixing != "none" || report.cover != "none" {
        let _ = writeln!(text, "Mixing {}, cover {}.", report.mixing, report.cover);
    }
    let _ = writeln!(text, "How anonymous that is: `throng status --at {}`.\n", report.status);
    if !network.own_prefixes {
        text.push_str(
            "This system has no loopback address but 127.0.0.1: the rule of one mix per /16 is off here.\n",
        );
    }
    if let Some(why) = &network.no_names {
        let _ = writeln!(text, "Exits cannot look names up, only addresses and localhost work: {why}");
    }
    text.push_str(
        "Everything runs on this machine and exits may reach it too, on every port: this shows how Throng works,\n\
         and hides nothing from anybody outside. Ctrl-C ends it.\n",
    );
    text
}
