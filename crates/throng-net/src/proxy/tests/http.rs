//! What is said in HTTP.

use super::*;

#[tokio::test]
async fn http_connect_opens_a_tunnel_and_early_data_is_not_lost() {
    let mut world = World::new().await;
    let mut app = world.say(&[http_connect("a.test", ""), b"early".to_vec()].concat()).await;
    let mut dialled = world.far().await;
    assert_eq!(dialled.target, "a.test:443");
    let head = read_head(&mut app).await;
    assert_eq!(head, "HTTP/1.1 200 OK\r\n\r\n");
    assert_eq!(read(&mut dialled.far.pipe, 5).await, b"early");
    dialled.far.pipe.write_all(b"hello").await.unwrap();
    assert_eq!(read(&mut app, 5).await, b"hello");
    app.shutdown().await.unwrap();
    assert_eq!(rest_of(&mut dialled.far.pipe).await.unwrap(), b"");
    dialled.far.pipe.write_all(b"bye").await.unwrap();
    dialled.far.pipe.shutdown().await.unwrap();
    assert_eq!(rest_of(app).await.unwrap(), b"bye");
}

#[tokio::test]
async fn http_connect_takes_ipv6_and_needs_a_port() {
    let mut world = World::new().await;
    let _app = world.say(b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\n\r\n").await;
    assert_eq!(world.far().await.target, "[2001:db8::1]:443");
    for target in ["a.test", "a.test:", "a.test:0", "a.test:99999", "u@a.test:443", "[::1", "/"] {
        let request = format!("CONNECT {target} HTTP/1.1\r\nConnection: close\r\n\r\n");
        assert_eq!(status_of(&world.answer(request.as_bytes()).await), 400, "{target}");
    }
}

#[tokio::test]
async fn a_plain_request_reaches_the_origin_without_a_trace_of_the_proxy() {
    let mut world = World::new().await;
    let mut app = world
        .say(
            b"GET http://a.test:8080/p/a?q=1 HTTP/1.1\r\nHost: other.test\r\nUser-Agent: x\r\n\
              Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic YTpi\r\nX-CaSe: kept\r\n\
              Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 9\r\nTE: trailers\r\nUpgrade: h2c\r\n\r\n",
        )
        .await;
    let mut dialled = world.far().await;
    assert_eq!(dialled.target, "a.test:8080");
    let head = read_head(&mut dialled.far.pipe).await;
    let expected = "GET /p/a?q=1 HTTP/1.1\r\nHost: a.test:8080\r\nUser-Agent: x\r\nX-CaSe: kept\r\n\r\n";
    assert_eq!(head, expected);

    let answer =
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nKeep-Alive: 1\r\nX-One: 2\r\nContent-Length: 2\r\n\r\nok";
    dialled.far.pipe.write_all(answer).await.unwrap();
    let head = read_head(&mut app).await;
    assert_eq!(head, "HTTP/1.1 200 OK\r\nX-One: 2\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(read(&mut app, 2).await, b"ok");

    // The application's connection is still good, also for another origin.
    app.write_all(&http_get("b.test")).await.unwrap();
    let mut second = world.far().await;
    assert_eq!(second.target, "b.test:80");
    read_head(&mut second.far.pipe).await;
    second.far.pipe.write_all(b"HTTP/1.0 204 No Content\r\n\r\n").await.unwrap();
    assert_eq!(status_of(&rest_of(app).await.unwrap()), 204);
    // What has come to its end is not cut.
    assert_eq!(rest_of(&mut dialled.far.pipe).await.unwrap(), b"");
}

#[tokio::test]
async fn bodies_are_streamed_both_ways() {
    let mut world = World::new().await;
    let head = b"POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut app = world.say(head).await;
    let mut far = world.far().await.far.pipe;
    assert!(read_head(&mut far).await.to_lowercase().contains("transfer-encoding: chunked"));
    far.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
    read_head(&mut app).await;
    // Each piece crosses before the next is sent: nobody waits for a whole body.
    for _ in 0..3 {
        app.write_all(b"4\r\nping\r\n").await.unwrap();
        assert_eq!(read(&mut far, 9).await, b"4\r\nping\r\n");
        far.write_all(b"4\r\npong\r\n").await.unwrap();
        assert_eq!(read(&mut app, 9).await, b"4\r\npong\r\n");
    }
    app.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut far, 5).await, b"0\r\n\r\n");
    far.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut app, 5).await, b"0\r\n\r\n");
}

#[tokio::test]
async fn a_response_that_broke_off_does_not_look_complete() {
    let mut world = World::new().await;
    for version in ["1.0", "1.1"] {
        let get = format!("GET http://a.test/ HTTP/{version}\r\nHost: a.test\r\n\r\n");
        let mut app = world.say(get.as_bytes()).await;
        let mut far = world.far().await.far;
        read_head(&mut far.pipe).await;
        far.pipe.write_all(b"HTTP/1.1 200 OK\r\n\r\nhalf").await.unwrap();
        read_head(&mut app).await;
        far.cut();
        assert_eq!(rest_of(app).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset, "{version}");
    }
}

#[tokio::test]
async fn an_origin_that_says_nothing_is_a_bad_gateway() {
    let mut world = World::new().await;
    let app = world.say(&http_get("a.test")).await;
    drop(world.far().await);
    assert_eq!(status_of(&rest_of(app).await.unwrap()), 502);
    let app = world.say(&http_get("a.test")).await;
    let mut far = world.far().await.far.pipe;
    far.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(status_of(&rest_of(app).await.unwrap()), 502);
}

#[tokio::test]
async fn who_has_said_everything_gets_the_answer_to_a_plain_request() {
    let mut world = World::new().await;
    for version in ["1.0", "1.1"] {
        let get = format!("GET http://a.test/ HTTP/{version}\r\nHost: a.test\r\n\r\n");
        let mut app = world.say(get.as_bytes()).await;
        app.shutdown().await.unwrap();
        let mut far = world.far().await.far.pipe;
        read_head(&mut far).await;
        sleep(Duration::from_millis(100)).await; // the answer is not there at once
        far.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await.unwrap();
        assert!(rest_of(app).await.unwrap().ends_with(b"\r\n\r\nhello"), "{version}");
    }
}

#[tokio::test]
async fn who_has_said_everything_and_takes_nothing_is_let_go() {
    let http_half_closed_time = Duration::from_millis(50);
    let mut world = World::with(ProxySettings { http_half_closed_time, ..Default::default() }).await;
    let mut app = world.say(&http_get("a.test")).await;
    let mut far = world.far().await.far;
    read_head(&mut far.pipe).await;
    app.shutdown().await.unwrap();
    drop(app);
    // Nothing comes from the server either: without a bound, this would last for ever.
    assert_eq!(rest_of(far.pipe).await.unwrap_or_default(), b"");
}

#[tokio::test]
async fn whether_an_upload_goes_on_is_for_the_server_to_say() {
    let mut world = World::new().await;
    let put = |more: &str| {
        format!(
            "PUT http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n{more}"
        )
    };
    // It takes it: then the application hears so, and not before.
    let mut app = world.say(put("").as_bytes()).await;
    let mut far = world.far().await.far.pipe;
    assert!(read_head(&mut far).await.contains("100-continue"));
    far.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
    assert_eq!(read_head(&mut app).await, "HTTP/1.1 100 Continue\r\n\r\n");
    app.write_all(b"body").await.unwrap();
    assert_eq!(read(&mut far, 4).await, b"body");
    far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert!(read_head(&mut app).await.starts_with("HTTP/1.1 204"));
    // It does not: then the application hears only that, and what it says afterwards goes nowhere, a body or another request.
    let app = world.say(put("GET http://b.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n").as_bytes()).await;
    let mut far = world.far().await.far.pipe;
    read_head(&mut far).await;
    far.write_all(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
    let answer = rest_of(app).await.unwrap_or_default();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("onnection: close"), "{answer}");
    assert_eq!(rest_of(far).await.unwrap_or_default(), b"", "nothing of it goes to the first server");
    assert!(world.dialled.try_recv().is_err(), "nor to another one");
}

#[tokio::test]
async fn a_server_that_takes_no_upload_is_heard_although_it_was_begun() {
    let mut world = World::new().await;
    let put = "PUT http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3000000\r\nExpect: 100-continue\r\n\r\n";
    let mut app = world.say(put.as_bytes()).await;
    let mut far = world.far().await.far.pipe;
    read_head(&mut far).await;
    // An application that waits a second and no longer sends its body all the same.
    let _ = timeout(Duration::from_millis(200), app.write_all(&vec![7; 3_000_000])).await;
    let answer = [&b"HTTP/1.1 401 No\r\nContent-Length: 300000\r\n\r\n"[..], &vec![b'n'; 300_000]].concat();
    let writing = tokio::spawn(async move { far.write_all(&answer).await });
    assert!(read_head(&mut app).await.starts_with("HTTP/1.1 401"));
    assert_eq!(read(&mut app, 300_000).await, vec![b'n'; 300_000]);
    writing.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_application_that_broke_off_is_noticed_although_something_of_it_is_unread() {
    let http_half_closed_time = Duration::from_millis(100);
    let mut world = World::with(ProxySettings { http_half_closed_time, ..Default::default() }).await;
    for breaks_off in [false, true] {
        let mut app = world.say(&[http_get("a.test"), http_get("b.test")].concat()).await;
        let mut far = world.far().await.far;
        read_head(&mut far.pipe).await;
        if breaks_off {
            app.set_zero_linger().unwrap();
        } else {
            app.shutdown().await.unwrap();
        }
        drop(app);
        assert_eq!(rest_of(far.pipe).await.unwrap_or_default(), b"", "{breaks_off}");
    }
}

#[tokio::test]
async fn a_web_socket_in_absolute_form_is_joined() {
    let mut world = World::new().await;
    let ask = "GET http://a.test/chat HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\n";
    let ask = [ask, "Upgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n"].concat();
    let mut app = world.say(ask.as_bytes()).await;
    let mut far = world.far().await.far;
    let asked = read_head(&mut far.pipe).await;
    assert!(asked.contains("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k"), "{asked}");
    let answer =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nat once";
    far.pipe.write_all(answer).await.unwrap();
    assert!(read_head(&mut app).await.starts_with("HTTP/1.1 101"));
    assert_eq!(read(&mut app, 7).await, b"at once");
    app.write_all(b"said").await.unwrap();
    assert_eq!(read(&mut far.pipe, 4).await, b"said");
    far.cut();
    assert_eq!(
        rest_of(app).await.unwrap_err().kind(),
        io::ErrorKind::ConnectionReset,
        "a cut does not look complete"
    );
}

#[tokio::test]
async fn header_sections_pass_that_browsers_take() {
    let mut world = World::new().await;
    let (many, long) = ("X-A: 1\r\n".repeat(2000), format!("X-A: {}\r\n", "a".repeat(200_000)));
    for lines in ["X: a\r\n b\r\n", "X : a\r\n", "X(): a\r\n", "no colon\r\n", ": no name\r\n", &many, &long]
    {
        let app = world.say(&http_get("a.test")).await;
        let mut far = world.far().await.far.pipe;
        read_head(&mut far).await;
        let answer = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 5\r\nConnection: close\r\n\r\nhello");
        far.write_all(answer.as_bytes()).await.unwrap();
        let got = rest_of(app).await.unwrap();
        assert!(status_of(&got) == 200 && got.ends_with(b"hello"), "{}", lines.get(..30).unwrap_or(lines));
    }
    let app = world.say(format!("GET http://a.test/ HTTP/1.0\r\n{many}\r\n").as_bytes()).await;
    let mut far = world.far().await.far.pipe;
    assert_eq!(read_head(&mut far).await.matches("X-A").count(), 2000);
    drop((far, app));
}

#[tokio::test]
async fn whose_fault_it_is_that_there_is_no_answer_is_said() {
    let mut world = World::new().await;
    for (said, refusal) in [
        (&b"ICY 200 OK\r\n\r\n"[..], Refusal::AnswerMalformed),
        (b"SSH-2.0-OpenSSH\r\n", Refusal::AnswerMalformed),
        (b"", Refusal::NoAnswer),
        (b"HTTP/1.1 200 OK\r\nX: ", Refusal::NoAnswer),
    ] {
        let app = world.say(&http_get("a.test")).await;
        let mut far = world.far().await.far.pipe;
        read_head(&mut far).await;
        far.write_all(said).await.unwrap();
        drop(far);
        let text = String::from_utf8(rest_of(app).await.unwrap()).unwrap();
        assert!(text.ends_with(&format!("{refusal}\n")), "{text}");
    }
    let app = world.say(&http_get("a.test")).await;
    let mut far = world.far().await.far;
    read_head(&mut far.pipe).await;
    far.cut();
    let text = String::from_utf8(rest_of(app).await.unwrap()).unwrap();
    assert!(text.ends_with(&format!("{}\n", Refusal::CircuitLost)), "{text}");
}

#[tokio::test]
async fn who_takes_it_for_a_web_page_is_told_what_it_is() {
    let world = World::new().await;
    let page = world.answer(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status_of(&page), 400);
    assert!(String::from_utf8(page).unwrap().contains("SOCKS5"));
    let https = world.answer(b"GET https://a.test/ HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status_of(&https), 501);
}

#[tokio::test]
async fn targets_pass_that_are_no_uris() {
    let mut world = World::new().await;
    let mut app = world.app().await;
    for byte in (0x21..=0xff).filter(|byte| ![b'#', 0x7f].contains(byte)) {
        let get = [&b"GET http://a.test/"[..], &[byte], b" HTTP/1.1\r\nHost: a.test\r\n\r\n"].concat();
        app.write_all(&get).await.unwrap();
        let mut far = world.far().await.far.pipe;
        let head = read_head(&mut far).await;
        let target = head.split(' ').nth(1).unwrap();
        let is_escaped = target == format!("/%{byte:02X}");
        assert!(is_escaped || target.as_bytes() == [b'/', byte], "{byte:#x}: {target}");
        far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        assert!(read_head(&mut app).await.starts_with("HTTP/1.1 204"));
    }
}

#[tokio::test]
async fn who_waits_to_be_asked_for_a_user_name_is_asked_where_the_owner_wants_it() {
    let settings = ProxySettings { ask_for_user: true, ..ProxySettings::default() };
    let mut world = World::with(settings).await;
    for request in [http_get("a.test"), http_connect("a.test", "")] {
        let mut app = world.say(&request).await;
        let head = read_head(&mut app).await.to_lowercase();
        assert!(
            head.starts_with("http/1.1 407") && head.contains("\r\nproxy-authenticate: basic realm="),
            "{head}"
        );
    }
    // What is no request to a proxy, or none that it serves, is told that first.
    let page = world.answer(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status_of(&page), 400);
    let https = world.answer(b"GET https://a.test/ HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status_of(&https), 501);
    let _app = world.say(&http_connect("a.test", "Proxy-Authorization: Basic YTpi\r\n")).await;
    assert_ne!(world.far().await.isolation, Isolation::none());
    let _app = world.say(&socks5("a.test", b"")).await;
    assert_eq!(world.far().await.isolation, Isolation::none(), "SOCKS has no such question");
}

#[tokio::test]
async fn an_oversize_header_is_refused() {
    let world = World::new().await;
    let mut request = b"GET http://a.test/ HTTP/1.1\r\nX: ".to_vec();
    request.resize(HTTP_HEADER_MAX_BYTES + 1, b'a');
    let mut app = world.say(&request).await;
    assert_eq!(status_of(&read(&mut app, 12).await), 431);
}

#[tokio::test]
async fn what_is_no_http_is_told_what_this_is() {
    let world = World::new().await;
    let tls = [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &[7; 200]].concat();
    for said in
        [&tls[..], b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"GET http://a b/ HTTP/1.1\r\n\r\n", b"EHLO x\r\n\r\n"]
    {
        let answer = String::from_utf8(world.answer(said).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(answer.contains("could not be understood") && answer.contains("socks5h://"), "{answer}");
    }
}
