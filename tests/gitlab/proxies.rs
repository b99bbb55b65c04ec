//! Proxies, as the environment names them: a tiny one on loopback.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::support::gitlab::{GitLab, State};
use super::support::{CANARY, Run, run_limited};
use super::{ALL, Desk};

/// A proxy that lets all through, or answers with this.
struct Proxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(refusal: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let weak = Arc::downgrade(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Some(asked), Ok(stream)) = (weak.upgrade(), stream) else { return };
                std::thread::spawn(move || serve(stream, refusal, &asked));
            }
        });
        Self { port, asked }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn serve(mut client: TcpStream, refusal: Option<&str>, asked: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let (mut head, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
        head += &std::mem::take(&mut line);
    }
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    asked.lock().unwrap().push(head);
    if let Some(refusal) = refusal {
        let _ = client.write_all(refusal.as_bytes());
        return;
    }
    let Ok(mut server) = TcpStream::connect(target) else { return };
    let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
}

/// A GitLab on HTTPS.
fn desk() -> Option<Desk> {
    let directory = tempfile::tempdir().unwrap();
    let gitlab = GitLab::start_tls(State::default(), directory.path())?;
    let desk = Desk::at(gitlab, ALL);
    std::fs::copy(directory.path().join("ca.pem"), desk.path("ca.pem")).unwrap();
    Some(desk)
}

fn plan(desk: &Desk, variables: &[(&str, String)]) -> Run {
    let words = ["plan", "--public-key", "keys", "--token-file", "token", "--ca-file", "ca.pem"];
    let mut command = desk.command(&words);
    let run = run_limited(command.envs(variables.iter().map(|(name, value)| (*name, value.as_str()))));
    run.says_not(CANARY);
    run
}

#[test]
fn the_proxy_of_the_environment_is_asked_and_never_sees_the_token() {
    let Some(desk) = desk() else { return };
    let proxy = Proxy::start(None);
    let address = format!("http://127.0.0.1:{}", proxy.port);
    let server = desk.gitlab.url().replace("https://", "");
    for variable in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        for address in [address.clone(), address.replace("http://", ""), format!("{address}/")] {
            plan(&desk, &[(variable, address)]).ok().says("3 changes to make");
            let asked = proxy.asked();
            assert!(!asked.is_empty(), "{variable}");
            for head in asked {
                assert!(head.starts_with(&format!("CONNECT {server} ")) && !head.contains(CANARY), "{head}");
            }
        }
    }
    // The one for https counts before the one for all, and the one for http not at all.
    let gone = "http://127.0.0.1:1".to_owned();
    plan(
        &desk,
        &[("https_proxy", address.clone()), ("all_proxy", gone.clone()), ("http_proxy", gone.clone())],
    )
    .ok();
    assert!(!proxy.asked().is_empty());
    plan(&desk, &[("http_proxy", address.clone()), ("https_proxy", String::new())]).ok();
    assert_eq!(proxy.asked(), Vec::<String>::new());
    // A name and a password for the proxy.
    plan(&desk, &[("https_proxy", address.replace("http://", "http://me:pass@"))]).ok();
    assert!(
        proxy.asked()[0].to_lowercase().contains("proxy-authorization: basic bwu6cgfzcw=="),
        "{:?}",
        proxy.asked()
    );
}

#[test]
fn no_proxy_names_hosts_and_domains() {
    let Some(desk) = desk() else { return };
    let proxy = Proxy::start(None);
    let address = ("https_proxy", format!("http://127.0.0.1:{}", proxy.port));
    let server = desk.gitlab.url().replace("https://", "");
    for (list, is_direct) in [
        ("127.0.0.1", true),
        ("localhost, 127.0.0.1", true),
        (server.as_str(), true),
        ("*", true),
        ("127.0.0.2,example.com", false),
        ("127.0.0.1:1", false),
    ] {
        for variable in ["no_proxy", "NO_PROXY"] {
            plan(&desk, &[address.clone(), (variable, list.to_owned())]).ok();
            assert_eq!(proxy.asked().is_empty(), is_direct, "{variable}={list}");
        }
    }
    // On this machine itself none is needed.
    let local = Desk::new(State::default(), ALL);
    std::fs::copy(desk.path("ca.pem"), local.path("ca.pem")).unwrap();
    plan(&local, &[address.clone(), ("http_proxy", address.1.clone())]).ok();
    assert_eq!(proxy.asked(), Vec::<String>::new());
}

#[test]
fn a_proxy_that_does_not_help_is_named_by_its_variable() {
    let Some(desk) = desk() else { return };
    for refusal in [
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200",
        "no proxy\r\n\r\n",
        "",
    ] {
        let proxy = Proxy::start(Some(refusal));
        let address = format!("http://me:{CANARY}@127.0.0.1:{}", proxy.port);
        let run = plan(&desk, &[("https_proxy", address)]);
        run.exit(2).says("the one that https_proxy names").says("export no_proxy=127.0.0.1");
    }
    plan(&desk, &[("HTTPS_PROXY", "http://127.0.0.1:1".to_owned())])
        .exit(2)
        .says("the one that HTTPS_PROXY names");
    plan(&desk, &[("HTTPS_PROXY", "http://proxy.invalid:1".to_owned())])
        .exit(2)
        .says("the one that HTTPS_PROXY names");
    for wrong in
        ["::", "http://", &format!("socks5://me:{CANARY}@127.0.0.1:1"), &format!("http://{CANARY} x")]
    {
        plan(&desk, &[("https_proxy", (*wrong).to_owned())])
            .exit(2)
            .says("does not hold the address of a proxy");
    }
    assert_eq!(desk.gitlab.asked(), Vec::<String>::new());
}
