//! `throng up`: a network on this machine, and a proxy into it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use throng_core::Design;
use throng_net::client::SupplyState;
use throng_net::notices::About;
use throng_net::proxy::{self, ProxySettings};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::design::{self, DesignOptions};
use crate::local::{LocalMix, LocalNetwork, LocalSetup, MIXES_MAX};
use crate::metered::SpendingOptions;
use crate::names;
use crate::startup::{first_circuit, listen};
use crate::status::feed;
use crate::tap::Recording;
use crate::terminal::{LEAVE_TIME_MAX, interrupted, print, progress};

#[derive(Args)]
pub(crate) struct UpOptions {
    /// Mixes in the network; a third of them are exits
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u8).range(1..=MIXES_MAX))]
    mixes: u8,
    /// Port of the proxy on 127.0.0.1 (0: any free port)
    #[arg(long, default_value_t = 9450)]
    port: u16,
    #[command(flatten)]
    design: DesignOptions,
    #[command(flatten)]
    spending: SpendingOptions,
    /// Ask programs that give the HTTP proxy no user name for one (407): some give theirs only then. Any name will do, and each
    /// has circuits of its own
    #[arg(long)]
    ask_for_user: bool,
    /// Port of the status feed on 127.0.0.1 [default: 9451, or any free port]
    #[arg(long)]
    status_port: Option<u16>,
    /// Record what an adversary on every wire of this network sees, and write it here at the end
    ///
    /// For every datagram: when it was handed to the system, its source, destination and length. Hosts are numbers: the
    /// mixes from 0, then the client. `throng sim export FILE --csv` reads this file as it reads traces of simulations.
    #[arg(long, value_name = "FILE")]
    tap: Option<PathBuf>,
    /// Print one JSON object instead of text when the network is ready
    #[arg(long)]
    json: bool,
}

/// Runs the network until Ctrl-C.
pub(crate) fn run(options: &UpOptions) -> Result<()> {
    let design = design::read(&options.design, options.mixes.into())?;
    if design.route.hops() > options.mixes.into() {
        bail!(
            "--hops {} needs at least that many mixes, but --mixes is {}",
            design.route.hops(),
            options.mixes
        );
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
    let proxy = listener.local_addr().context("reading the proxy's address")?;

    let progress = progress(options.json);
    progress.set_message(format!("starting {} mixes", options.mixes));
    let tap =
        options.tap.as_deref().map(|file| Recording::start(file, options.mixes, &design)).transpose()?;
    let setup =
        LocalSetup { mixes: options.mixes, design: Arc::new(design), budget: options.spending.budget(), tap };
    let network = LocalNetwork::start(&setup)?;
    let feed_listener = feed::listen(options.status_port).await?;
    let feed_at = feed_listener.local_addr().context("reading the status feed's address")?;
    let feeding = tokio::spawn(feed::serve(feed_listener, Arc::new(network.observer())));
    let metering = options.spending.watch(network.client_driver(), network.notices.clone());
    let naming = names::watch(network.notices.clone());
    let (stop, stopped) = watch::channel(false);
    let settings = ProxySettings { ask_for_user: options.ask_for_user, ..ProxySettings::default() };
    let serving = tokio::spawn(proxy::serve(listener, Arc::clone(&network.client), settings, stopped));

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
    metering.iter().chain([&naming]).for_each(JoinHandle::abort);
    stop.send_replace(true);
    let farewell = async {
        let _ = serving.await;
        network.leave().await;
    };
    let _ = timeout(LEAVE_TIME_MAX, farewell).await; // whoever needs longer is left to time out
    setup.tap.map_or(Ok(()), Recording::write)
}

#[derive(Serialize)]
struct Ready<'a> {
    proxy: String,
    status: String,
    mixes: Vec<ReadyMix<'a>>,
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
struct ReadyMix<'a> {
    name: &'a str,
    identity: String,
    address: String,
    exit_ports: String,
}

/// Prints what is running.
fn tell(
    options: &UpOptions,
    network: &LocalNetwork,
    (proxy, status): (SocketAddr, SocketAddr),
    supply: &SupplyState,
) -> Result<()> {
    let (path, took) = supply.last.clone().unwrap_or_default();
    let circuit: Vec<&LocalMix> = path.iter().filter_map(|id| network.mix(*id)).collect();
    let ready = Ready {
        proxy: proxy.to_string(),
        status: status.to_string(),
        mixes: network.mixes.iter().map(ready_mix).collect(),
        hops: network.design.route.hops() as u8,
        mixing: network.design.mixing.to_string(),
        company: network.design.company.to_string(),
        cover: network.design.cover.named(&throng_machine::Maybenot).to_string(),
        own_prefixes: network.own_prefixes,
        names: network.notices.of(About::Names).is_none(),
        circuit: circuit.iter().map(|mix| mix.name.as_str()).collect(),
        circuit_built_ms: took.as_secs_f64() * 1000.0,
        r#try: format!("curl --proxy socks5h://{proxy} https://example.org/"),
    };
    let text = if options.json {
        serde_json::to_string(&ready).context("writing JSON")? + "\n"
    } else {
        readable(&ready, network)
    };
    print(&text)
}

fn ready_mix(mix: &LocalMix) -> ReadyMix<'_> {
    ReadyMix {
        name: &mix.name,
        identity: mix.id.to_string(),
        address: mix.address.to_string(),
        exit_ports: mix.exit_ports.to_string(),
    }
}

fn readable(ready: &Ready<'_>, network: &LocalNetwork) -> String {
    use std::fmt::Write;
    let mut text = String::from("A mix-network on this machine:\n\n");
    for mix in &network.mixes {
        let role = if mix.exit_ports.is_none() { "mix" } else { "mix and exit" };
        let _ = writeln!(text, "  {:<8} {:<22} {} {role}", mix.name, mix.address, mix.id.fingerprint());
    }
    let _ = writeln!(text, "\nA circuit, built in {:.1} ms:\n", ready.circuit_built_ms);
    let _ = writeln!(text, "  you ─ {} ─ the Internet\n", ready.circuit.join(" ─ "));
    let _ = writeln!(text, "Proxy (SOCKS5, SOCKS4a, HTTP) on {}. Try:\n\n  {}\n", ready.proxy, ready.r#try);
    if [&ready.mixing, &ready.company, &ready.cover].into_iter().any(|axis| axis != "none") {
        let _ = writeln!(text, "Mixing {}, company {}, cover {}.", ready.mixing, ready.company, ready.cover);
    }
    let _ = writeln!(text, "To see how anonymous you are: `throng status --at {}`.\n", ready.status);
    if !network.own_prefixes {
        text.push_str(
            "This system has no loopback address other than 127.0.0.1, so the rule of one mix per /16 is off.\n",
        );
    }
    text.push_str(
        "Everything runs on this machine, and exits may connect to any of its ports: this shows how Throng works,\n\
         and hides nothing from anyone outside. Ctrl-C ends it.\n",
    );
    text
}
