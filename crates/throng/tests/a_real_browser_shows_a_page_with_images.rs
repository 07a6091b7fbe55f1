//! A browser is told of nothing but the proxy, and shows a page with twenty images.

#![allow(clippy::unwrap_used)]

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use throng_core::Time;
use throng_net::clock::Clock;

use common::{Answer, Server, Up, needs, run};

const IMAGES: u32 = 20;
/// The script of the page has seen all images when this stands in the page.
const SHOWN: &str = "all images are here: ";

/// A host that the exit takes for its loopback; with a port it is a page of ours, but only by way of the exit.
fn url(site: &Server) -> String {
    format!("http://page.localhost:{}/", site.address.port())
}

fn page() -> String {
    let images: String = (0..IMAGES).map(|number| format!("<img src=\"/image/{number}.png\">")).collect();
    format!(
        "<!DOCTYPE html><html><head><title>Twenty images</title></head>\
         <body style=\"background: #fe8\"><p id=\"result\">not yet</p>{images}<script>\
         addEventListener('load', () => {{\
           const sizes = [...document.images].map(i => i.complete ? i.naturalWidth + 'x' + i.naturalHeight : '?');\
           document.getElementById('result').textContent = ['all images', 'are here: '].join(' ') + sizes.join(' ');\
         }});</script></body></html>"
    )
}

fn size(number: u32) -> (u32, u32) {
    (16 + number, 64 - 2 * number)
}

/// A PNG of one colour, its own for every number (PNG specification, §5; deflate without compression).
fn image(number: u32) -> Vec<u8> {
    let (width, height) = size(number);
    let colour = [(number * 12) as u8, (255 - number * 12) as u8, (number * 77) as u8];
    let row: Vec<u8> = std::iter::once(0).chain(colour.repeat(width as usize)).collect();
    let pixels = row.repeat(height as usize);
    let length = pixels.len() as u16;
    let adler = pixels.iter().fold((1u32, 0u32), |(a, b), &byte| {
        ((a + u32::from(byte)) % 65521, (a + u32::from(byte) + b) % 65521)
    });
    let packed = [
        &[0x78, 0x01, 0x01][..],
        &length.to_le_bytes(),
        &(!length).to_le_bytes(),
        &pixels,
        &(adler.1 << 16 | adler.0).to_be_bytes(),
    ];
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    [SIGNATURE, &chunk(b"IHDR", &header), &chunk(b"IDAT", &packed.concat()), &chunk(b"IEND", &[])].concat()
}

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let inside = [kind, data].concat();
    let crc = !inside.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    });
    [&(data.len() as u32).to_be_bytes()[..], &inside, &crc.to_be_bytes()].concat()
}

/// Everything that the browser may know is the proxy; it has a fresh home, and does nothing of its own accord.
fn chromium(up: &Up, home: &Path, arguments: &[&str]) -> (String, String) {
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-extensions",
        "--disable-default-apps",
        "--proxy-bypass-list=<-loopback>",
    ]);
    command.arg(format!("--user-data-dir={}", home.display()));
    command.arg(format!("--proxy-server=socks5://{}", up.proxy));
    // Whatever the browser looks up by itself does not exist; 127.0.0.1 is the proxy.
    command.arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1");
    command.args(arguments).env("HOME", home);
    let (_, out, err) = run(&mut command);
    (out, err)
}

#[test]
fn all_twenty_images_are_shown() {
    if !needs("chromium", "all_twenty_images_are_shown") {
        return;
    }
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let site = {
        let asked = Arc::clone(&asked);
        Server::web(move |request| {
            let path = request.path().to_owned();
            asked.lock().unwrap().push(path.clone());
            let number =
                path.strip_prefix("/image/").and_then(|rest| rest.strip_suffix(".png")?.parse().ok());
            match (path.as_str(), number) {
                ("/", _) => Answer { status: 200, kind: "text/html", body: page().into_bytes() },
                (_, Some(number)) => Answer { status: 200, kind: "image/png", body: image(number) },
                _ => Answer { status: 404, kind: "text/plain", body: Vec::new() },
            }
        })
    };
    let mut up = Up::start();
    let home = tempfile::tempdir().unwrap();

    let (dom, err) = chromium(&up, home.path(), &["--dump-dom", &url(&site)]);
    let sizes: Vec<String> =
        (0..IMAGES).map(size).map(|(width, height)| format!("{width}x{height}")).collect();
    assert!(dom.contains(&format!("{SHOWN}{}", sizes.join(" "))), "{dom}\n{err}");
    for number in 0..IMAGES {
        let path = format!("/image/{number}.png");
        assert!(asked.lock().unwrap().contains(&path), "{path} was never asked for");
    }

    let shot = home.path().join("shot.png");
    let option = format!("--screenshot={}", shot.display());
    let (_, err) = chromium(&up, home.path(), &[&option, "--window-size=800,600", &url(&site)]);
    let png = std::fs::read(&shot).unwrap_or_else(|error| panic!("{error}\n{err}"));
    assert!(png.starts_with(SIGNATURE));
    assert_eq!(png[16..24], [0, 0, 3, 32, 0, 0, 2, 88], "800 by 600");
    let empty = home.path().join("empty.png");
    let option = format!("--screenshot={}", empty.display());
    chromium(&up, home.path(), &[&option, "--window-size=800,600", "about:blank"]);
    let empty = std::fs::read(&empty).unwrap();
    assert!(png.len() > empty.len() + 500, "{} bytes; an empty page has {}", png.len(), empty.len());
    // For people who want to see it.
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("twenty-images.png"), &png).unwrap();

    // And without the proxy there is no other way to the page.
    up.program.kill();
    let before = site.accepted();
    let (dom, _) = chromium(&up, home.path(), &["--dump-dom", &url(&site)]);
    assert!(!dom.contains(SHOWN), "{dom}");
    assert_eq!(site.accepted(), before);
}

/// A page that asks a STUN server where it is, as calls do, and has loaded when it knows all that it will.
fn calling_page(stun: SocketAddr) -> String {
    format!(
        "<!DOCTYPE html><img src=\"/wait.png\"><script>\
         const call = new RTCPeerConnection({{iceServers: [{{urls: 'stun:{stun}'}}]}});\
         call.createDataChannel('x');\
         call.onicegatheringstatechange = () => {{\
           if (call.iceGatheringState === 'complete') fetch('/gathered');\
         }};\
         call.createOffer().then(offer => call.setLocalDescription(offer));</script>"
    )
}

/// Whether a page reaches a server beside the proxy by WebRTC if Chromium gets these switches.
fn calls_go_around(up: &Up, switches: &[&str]) -> bool {
    // An address of this machine that is not loopback, which calls leave out; nothing is sent to find it.
    let own = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    let stun = UdpSocket::bind((own.expect("an address of this machine").ip(), 0)).unwrap();
    stun.set_nonblocking(true).unwrap();
    let (at, asked) = (stun.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
    let has_gathered = Arc::new(AtomicBool::new(false));
    let site = {
        let (asked, has_gathered) = (Arc::clone(&asked), Arc::clone(&has_gathered));
        Server::web(move |request| match request.path() {
            "/" => Answer { status: 200, kind: "text/html", body: calling_page(at).into_bytes() },
            "/wait.png" => {
                let clock = Clock::start();
                let end = clock.now() + Duration::from_secs(30);
                while clock.now() < end && !has_gathered.load(Relaxed) && !asked.load(Relaxed) {
                    asked.fetch_or(stun.recv(&mut [0; 1500]).is_ok(), Relaxed);
                    std::thread::sleep(Duration::from_millis(20));
                }
                asked.fetch_or(stun.recv(&mut [0; 1500]).is_ok(), Relaxed);
                Answer { status: 200, kind: "image/png", body: image(1) }
            }
            path => {
                has_gathered.fetch_or(path == "/gathered", Relaxed);
                Answer { status: 200, kind: "text/plain", body: Vec::new() }
            }
        })
    };
    let home = tempfile::tempdir().unwrap();
    let page = url(&site);
    let arguments = [switches, &["--dump-dom", &page]].concat();
    let (dom, err) = chromium(up, home.path(), &arguments);
    assert!(dom.contains("wait.png"), "{dom}\n{err}");
    let asked = asked.load(Relaxed);
    assert!(asked || has_gathered.load(Relaxed), "the page came to an end: {err}");
    asked
}

#[test]
fn calls_do_not_go_around_the_network_with_the_switches_that_the_readme_names() {
    if !needs("chromium", "calls_do_not_go_around_the_network_with_the_switches_that_the_readme_names") {
        return;
    }
    let readme = include_str!("../../../README.md");
    let line =
        readme.lines().find(|line| line.contains("`chromium --proxy-server=")).expect("it names Chromium");
    let switches: Vec<&str> = line.split([' ', '`']).filter(|word| word.contains("webrtc")).collect();
    let up = Up::start();
    assert!(!calls_go_around(&up, &switches), "{switches:?}");
    assert!(calls_go_around(&up, &[]), "without them they do, so this test would see it");
}

/// Bytes of a page for slow links.
const LARGE: usize = 300_000;

#[test]
fn a_page_of_300_kilobytes_is_shown_through_covered_links() {
    if !needs("chromium", "a_page_of_300_kilobytes_is_shown_through_covered_links") {
        return;
    }
    let clock = Clock::start();
    let times: Arc<Mutex<Vec<Time>>> = Arc::default();
    let site = {
        let times = Arc::clone(&times);
        Server::web(move |request| {
            times.lock().unwrap().push(clock.now());
            match request.path() {
                "/" => {
                    let filler = "x".repeat(LARGE - 200);
                    let page = format!("<p id=all>{filler}</p><img src=/end.png>");
                    Answer { status: 200, kind: "text/html", body: page.into_bytes() }
                }
                _ => Answer { status: 200, kind: "image/png", body: image(1) },
            }
        })
    };
    let cover = ["up", "--port", "0", "--json", "--cover", "user-link=2mbps,links=2mbps"];
    let up = Up::start_with(&mut common::throng(&cover));
    let home = tempfile::tempdir().unwrap();
    let (dom, err) = chromium(&up, home.path(), &["--dump-dom", &url(&site)]);
    assert!(dom.len() > LARGE - 300 && dom.contains("/end.png"), "{} bytes; {err}", dom.len());
    // The image is asked for when the page's last bytes have come.
    let times = times.lock().unwrap();
    let took = (*times.last().unwrap() - times[0]).as_secs_f64();
    let limit = LARGE as f64 * 8.0 / (2e6 * 1192.0 / 1308.0);
    eprintln!("300 kB in {took:.2} s; a link of 2 Mb/s needs {limit:.2} s");
}
