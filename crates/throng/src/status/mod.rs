//! `throng status`: how anonymous a running Throng is, by its own measurements.

pub(crate) mod feed;
pub(crate) mod report;

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use throng_core::refused::Refused;

use crate::terminal::print;
use report::{CoverReport, NodeReport, Report};

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 4 << 20;

#[derive(Args)]
pub(crate) struct StatusOptions {
    /// Address of the running Throng's status feed
    #[arg(long, default_value_t = SocketAddr::from(([127, 0, 0, 1], feed::DEFAULT_PORT)))]
    at: SocketAddr,
    /// Print the JSON unchanged
    #[arg(long)]
    json: bool,
}

/// Prints the status of a running Throng.
pub(crate) fn run(options: &StatusOptions) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    let bytes = runtime
        .block_on(async { timeout(feed::TIME_MAX, ask(options.at)).await.context("no answer in time")? })?;
    let text = if options.json {
        String::from_utf8(bytes.to_vec()).context("the answer is not text")? + "\n"
    } else {
        readable(&serde_json::from_slice(&bytes).context("the answer is not that of this version of Throng")?)
    };
    print(&text)
}

async fn ask(at: SocketAddr) -> Result<Bytes> {
    let stream = TcpStream::connect(at).await.with_context(|| {
        format!(
            "no Throng is listening for status on {at}: is one running? `--at` takes the address that it printed at startup"
        )
    })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.context("speaking HTTP")?;
    tokio::spawn(connection);
    let request = Request::get(feed::PATH).header(HOST, at.to_string()).body(Full::<Bytes>::default());
    let response =
        sender.send_request(request.context("building the request")?).await.context("sending the request")?;
    if response.status() != StatusCode::OK {
        bail!("{at} answered {}", response.status());
    }
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    Ok(body.map_err(|error| anyhow::anyhow!("reading the answer: {error}"))?.to_bytes())
}

fn readable(report: &Report) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for notice in &report.notices {
        let _ = writeln!(text, "ATTENTION: {notice}.");
    }
    let _ =
        writeln!(text, "up {} s, mixing {}, company {}", report.up_seconds, report.mixing, report.company);
    if let Some(note) = &report.needs_company {
        let _ = writeln!(text, "{note}");
    }
    let _ = writeln!(text, "{}", cover_line(&report.cover));
    let _ = writeln!(text, "{}", node_lines(&report.node));
    if let Some(client) = &report.client {
        let _ = writeln!(
            text,
            "\nYour circuits (how many others use their mixes, these tell nobody: whoever asked often could follow you):\n"
        );
        for circuit in &client.circuits {
            let kind = if circuit.is_used { "in use" } else { "in store" };
            let _ = writeln!(text, "  {} ({kind}, {} s old)", circuit.hops.join(" → "), circuit.age_seconds);
        }
        let _ = writeln!(text, "\nShare of your circuits whose two ends an adversary sees who has\n");
        for adversary in &client.adversaries {
            let percent = adversary.share * 100.0;
            let with_mixes = match adversary.mixes {
                _ if adversary.with_mixes > 0.0 => format!("{:>10.4} %", adversary.with_mixes * 100.0),
                0 => "    less than one".into(),
                _ => "  one, it takes two".into(),
            };
            let _ = writeln!(
                text,
                "  {percent:>4.0} % of the links {:>8.4} %      {percent:>4.0} % of the mixes {with_mixes}",
                adversary.with_links * 100.0
            );
        }
    }
    if !report.mixes.is_empty() {
        let _ = writeln!(text, "\nMixes here, in the last minute:\n");
        for mix in &report.mixes {
            let _ = writeln!(
                text,
                "  {:<18} {:>4} {} {:>6} {} {:>8} cells held; a cell among {:>6.1} circuits, {:>5.2} bits; {} lonely",
                mix.name,
                mix.users,
                if mix.users == 1 { "user, " } else { "users," },
                mix.circuits,
                if mix.circuits == 1 { "circuit, " } else { "circuits," },
                mix.cells,
                mix.set,
                mix.bits,
                mix.lonely_cells
            );
        }
    }
    let _ = writeln!(text, "\nWhy it is low: {}.", report.why_low);
    text
}

fn node_lines(node: &NodeReport) -> String {
    let mut text = format!(
        "{} links, {} circuits of its own, {} of others; {} datagrams in and {} out, {} cells relayed, {} dropped",
        node.links,
        node.own_circuits,
        node.relayed_circuits,
        node.datagrams_in,
        node.datagrams_out,
        node.cells_relayed,
        node.cells_dropped
    );
    if node.slots + node.slots_missed > 0 {
        text += &format!(
            "\nslots: {} left, {} of them late (worst {:.1} ms), {} too late to be sent",
            node.slots, node.slots_late, node.slots_worst_ms, node.slots_missed
        );
    }
    if !node.refused.is_empty() {
        let refused: Vec<String> = node.refused.iter().map(|(why, count)| format!("{why} {count}")).collect();
        text += &format!("\nrefused: {}", refused.join(", "));
    }
    if node.refused.contains_key(&format!("{:?}", Refused::OtherVersion)) {
        text += "\nsomebody speaks another version of Throng: all nodes of a network must have the same one";
    }
    text
}

fn cover_line(cover: &CoverReport) -> String {
    if cover.scheme == "none" {
        return "cover is off, and costs nothing".into();
    }
    let rests = if cover.rests { " (it rests now)" } else { "" };
    format!(
        "cover {}{rests}: {} datagrams and {} payloads real, {} filler and {} dummies; {:.1} MB of cover so far, {:.1} MB a day; {} slots decided too late",
        cover.scheme,
        cover.real,
        cover.payloads,
        cover.filler,
        cover.dummies,
        cover.bytes as f64 / 1e6,
        cover.bytes_a_day as f64 / 1e6,
        cover.missed
    )
}
