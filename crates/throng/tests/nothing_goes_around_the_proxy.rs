//! What the README tells people to do keeps their programs off the wire: a capture on the client's line sees datagrams to mixes
//! and nothing else, whatever a page tries, and with a dead proxy nothing at all.
#![allow(clippy::unwrap_used)] // panics are how a test says no

mod common;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};

use common::namespace::{self, Host};
use common::static_network::{mixes_of, network_at, proxy_of};
use common::{Answer, LIMIT, Running, Server, needs, run};
use tempfile::TempDir;

const MIXES: u8 = 4;
const MIX_PORT: u16 = 9001;
/// Our end of the cable: what stands there is reached by exits, and by whoever goes around them.
const HERE: &str = "172.16.1.1";
/// A datagram by which the capture is known to be up to date.
const MARK: &str = "> 172.16.1.1.7: UDP";
const README: &str = include_str!("../../../README.md");

/// A user's machine on a cable of its own, whose packets are watched, and a network beyond it.
struct Scene {
    host: Host,
    proxy: SocketAddr,
    wire: Running,
    _nodes: Vec<Running>,
    dir: TempDir,
}

impl Scene {
    fn new() -> Self {
        (1..=MIXES).for_each(|i| namespace::add_address(IpAddr::from([10, i, 0, 1])));
        let addresses: Vec<_> = (1..=MIXES).map(|i| format!("10.{i}.0.1:{MIX_PORT}")).collect();
        let dir = network_at(&addresses);
        // A name server that a program would ask by itself is on the cable, too.
        let resolv = dir.path().join("resolv.conf");
        fs::write(&resolv, format!("nameserver {HERE}\n")).unwrap();
        let bound =
            Command::new("mount").arg("--bind").arg(&resolv).arg("/etc/resolv.conf").status().unwrap();
        assert!(bound.success());
        let host = Host::new(1);
        let mut nodes = mixes_of(&dir, MIXES);
        let mut client = host.command(env!("CARGO_BIN_EXE_throng"));
        let client = Running::start(client.arg("client").arg(dir.path().join("client.toml")));
        let proxy = proxy_of(&client);
        nodes.push(client);
        let mut tcpdump = host.command("tcpdump");
        // Machines on one cable find each other by ARP and ICMPv6.
        let others = format!(
            "(ip or ip6) and not icmp and not icmp6 and not (ip6 and ip6[6] = 0) and not (udp and port {MIX_PORT})"
        );
        let wire = Running::start(tcpdump.args(["-n", "-l", "--immediate-mode", "-i", "eth0", &others]));
        wire.err.wait("the capture runs", |bytes, _| {
            String::from_utf8_lossy(bytes).contains("listening on").then_some(())
        });
        Self { host, proxy, wire, _nodes: nodes, dir }
    }

    /// What went over the cable and is not for mixes: a line for each packet.
    fn leaked(&self) -> String {
        let all = self.wire.out.text();
        all.lines().filter(|line| !line.contains(MARK)).map(|line| format!("{line}\n")).collect()
    }

    /// The same, once all has been seen that was sent until now.
    fn leaked_by_now(&self) -> String {
        let marks = |text: &str| text.matches(MARK).count();
        let before = marks(&self.wire.out.text());
        run(self.host.command("bash").args(["-c", &format!("echo mark > /dev/udp/{HERE}/7")]));
        self.wire.out.wait("the mark is seen", |bytes, _| {
            (marks(&String::from_utf8_lossy(bytes)) > before).then_some(())
        });
        self.leaked()
    }
}

/// What pages do by which browsers have gone around proxies.
fn page(own: &str) -> String {
    format!(
        "<!DOCTYPE html><html><head><title>around</title>\
         <link rel=dns-prefetch href=//prefetched.example><link rel=preconnect href=http://preconnected.example>\
         <link rel=prefetch href=\"http://{own}/prefetched\"></head><body>\
         <p>{}</p><img src=\"http://named.example/1.png\"><img src=\"http://[fd16:1::1]:8006/2.png\">\
         <a href=\"http://linked.example/\">x</a><img src=\"/wait.png\"><script>\
         for (const at of ['{own}', 'socket.example', '[fd16:1::1]:8006']) try {{ new WebSocket(`ws://${{at}}/ws`) }} catch {{}}\
         const done = () => fetch('/gathered');\
         try {{ const call = new RTCPeerConnection({{iceServers: [{{urls: 'stun:{HERE}:3478'}}, {{urls: 'stun:stun.example'}}]}});\
           call.createDataChannel('x');\
           call.onicegatheringstatechange = () => {{ if (call.iceGatheringState === 'complete') done() }};\
           call.createOffer().then(offer => call.setLocalDescription(offer));\
         }} catch {{ done() }}</script></body></html>",
        "Nothing of this page goes around the proxy."
    )
}

/// A site at our end of the cable; its page has loaded when its call knows where it is. What was asked of it.
fn site() -> (Server, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let gathered: Arc<(Mutex<bool>, Condvar)> = Arc::default();
    let own: Arc<Mutex<String>> = Arc::default();
    let site = {
        let (asked, own) = (Arc::clone(&asked), Arc::clone(&own));
        Server::web_at(HERE.parse().unwrap(), move |request| {
            asked.lock().unwrap().push(request.path().to_owned());
            let page = || page(&own.lock().unwrap()).into_bytes();
            match request.path() {
                "/" => Answer { status: 200, kind: "text/html", body: page() },
                "/wait.png" => {
                    let (gathered, changed) = &*gathered;
                    let waited =
                        changed
                            .wait_timeout_while(gathered.lock().unwrap(), LIMIT / 3, |gathered| !*gathered);
                    drop(waited);
                    Answer { status: 404, kind: "text/plain", body: Vec::new() }
                }
                path => {
                    if path == "/gathered" {
                        *gathered.0.lock().unwrap() = true;
                        gathered.1.notify_all();
                    }
                    Answer { status: 200, kind: "text/plain", body: Vec::new() }
                }
            }
        })
    };
    *own.lock().unwrap() = site.address.to_string();
    (site, asked)
}

/// Opens the page and looks at what the wire shows; then without the proxy, so that it is known to be seen.
fn browse(name: &str, browser: impl Fn(&Scene, Option<SocketAddr>, &Path, &str)) {
    let scene = Scene::new();
    let (site, asked) = site();
    let url = format!("http://{}/", site.address);
    let home = tempfile::tempdir().unwrap();
    browser(&scene, Some(scene.proxy), home.path(), &url);
    let paths = asked.lock().unwrap().clone();
    assert!(paths.iter().any(|path| path == "/gathered"), "{name} ran the whole page: {paths:?}");
    let leaked = scene.leaked_by_now();
    assert_eq!(leaked, "", "{name} went around the proxy");
    let home = tempfile::tempdir().unwrap();
    browser(&scene, None, home.path(), &url);
    let seen = scene.leaked_by_now();
    for what in
        [format!("> {HERE}.{}:", site.address.port()), format!("> {HERE}.53:"), format!("> {HERE}.3478: UDP")]
    {
        assert!(seen.contains(&what), "{what} would be seen: {seen}");
    }
}

#[test]
fn chromium_with_the_readmes_switches_sends_nothing_around_the_proxy() {
    const NAME: &str = "chromium_with_the_readmes_switches_sends_nothing_around_the_proxy";
    if !namespace::inside(NAME, &["tcpdump", "chromium", "bash"]) {
        return;
    }
    let line = README.lines().find(|line| line.contains("`chromium --proxy-server=")).unwrap();
    let line = line.split('`').find(|part| part.starts_with("chromium ")).unwrap();
    browse("Chromium", |scene, proxy, home, url| {
        let mut command = scene.host.command("chromium");
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ]);
        command.arg(format!("--user-data-dir={}", home.display()));
        if let Some(proxy) = proxy {
            command.args(line.replace("127.0.0.1:9450", &proxy.to_string()).split(' ').skip(1));
        }
        let shot = Path::new(env!("CARGO_TARGET_TMPDIR")).join("around-chromium.png");
        run(command.arg(format!("--screenshot={}", shot.display())).arg(url).env("HOME", home));
    });
}

#[test]
fn firefox_with_the_readmes_settings_sends_nothing_around_the_proxy() {
    const NAME: &str = "firefox_with_the_readmes_settings_sends_nothing_around_the_proxy";
    if !namespace::inside(NAME, &["tcpdump", "firefox-esr", "bash"]) {
        return;
    }
    let line = README.lines().find(|line| line.starts_with("| Firefox |")).unwrap();
    assert!(
        line.contains("SOCKS v5 host `127.0.0.1`, port `9450`, and tick \"Proxy DNS when using SOCKS v5\"")
    );
    let off: Vec<&str> = line.split('`').filter(|part| part.starts_with("network.proxy.")).collect();
    assert!(!off.is_empty() && line.contains("to `false`"), "{line}");
    browse("Firefox", |scene, proxy, home, url| {
        // What these settings write (and no first steps).
        let mut settings = String::from("user_pref(\"browser.shell.checkDefaultBrowser\", false);\n");
        if let Some(proxy) = proxy {
            settings += &format!(
                "user_pref(\"network.proxy.type\", 1);\nuser_pref(\"network.proxy.socks\", \"127.0.0.1\");\n\
                 user_pref(\"network.proxy.socks_port\", {});\nuser_pref(\"network.proxy.socks_version\", 5);\n\
                 user_pref(\"network.proxy.socks_remote_dns\", true);\n",
                proxy.port()
            );
            for name in &off {
                settings += &format!("user_pref(\"{name}\", false);\n");
            }
        }
        fs::write(home.join("user.js"), settings).unwrap();
        let mut command = scene.host.command("firefox-esr");
        let shot = Path::new(env!("CARGO_TARGET_TMPDIR")).join("around-firefox.png");
        command.args(["--headless", "--no-remote", "--profile"]).arg(home).arg("--screenshot").arg(shot);
        run(command.arg(url).env("HOME", home));
    });
}

#[test]
fn with_a_dead_proxy_no_program_of_the_readme_gets_anywhere() {
    const NAME: &str = "with_a_dead_proxy_no_program_of_the_readme_gets_anywhere";
    if !namespace::inside(NAME, &["tcpdump", "curl", "bash"]) {
        return;
    }
    let scene = Scene::new();
    let site = Server::web_at(HERE.parse().unwrap(), |_| Answer {
        status: 200,
        kind: "text/plain",
        body: Vec::new(),
    });
    let (at, dead) = (format!("http://{}", site.address), "127.0.0.1:1");
    let export = README.lines().find(|line| line.contains("`export http_proxy=")).unwrap();
    let export = export.split('`').find(|part| part.starts_with("export ")).unwrap();
    let export = export.replace("127.0.0.1:9450", dead);
    let chains = scene.dir.path().join("proxychains.conf");
    fs::write(&chains, "proxy_dns\n[ProxyList]\nsocks5 127.0.0.1 1\n").unwrap();
    // By its address, and by a name that nobody here may look up.
    for at in [at.clone(), format!("http://site.example:{}", site.address.port())] {
        let by_variables = [
            format!("curl -s -m 5 {at}"),
            format!("curl -s -m 5 {}", at.replace("http:", "https:")),
            format!("wget -q -O - -T 5 -t 1 {at}"),
            format!("git -c http.lowSpeedTime=5 ls-remote {at}/x"),
            format!(
                "pip download --disable-pip-version-check --retries 0 --timeout 5 --index-url {at}/simple x"
            ),
            format!("npm view x --registry {at} --fetch-retries 0"),
            format!("python3 -c 'import urllib.request as u; u.urlopen(\"{at}\", timeout=5)'"),
        ];
        let by_variables = by_variables.map(|words| (words.clone(), format!("{export}; {words}")));
        let by_themselves = [
            format!("curl -s -m 5 --proxy socks5h://{dead} {at}"),
            format!("torsocks -P 1 curl -s -m 5 {at}"),
            format!("proxychains4 -q -f {} curl -s -m 5 {at}", chains.display()),
        ];
        let by_themselves = by_themselves.map(|words| (words.clone(), words));
        for (words, script) in by_variables.into_iter().chain(by_themselves) {
            if !needs(words.split(' ').next().unwrap(), NAME) {
                continue;
            }
            let mut shell = scene.host.command("bash");
            let (status, out, err) = run(shell.args(["-c", &script]).env("HOME", scene.dir.path()));
            assert!(!status.success(), "{words} got somewhere: {out}{err}");
            assert_eq!(scene.leaked_by_now(), "", "{words} went around the proxy");
        }
    }
    assert_eq!(site.accepted(), 0);
    // Without a proxy they would get there.
    assert!(run(scene.host.command("curl").args(["-s", "-m", "5", &at])).0.success());
    assert_eq!(site.accepted(), 1);
    run(scene.host.command("curl").args(["-s", "-m", "2", "http://site.example"]));
    assert!(scene.leaked_by_now().contains(&format!("> {HERE}.53:")), "a lookup would be seen");
}
