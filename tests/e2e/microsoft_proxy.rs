//! A proxy in the way: dead, asking for a password, answering with a page of its own; and one that works.
//!
//! What is wrong must be told at the first try, with the proxy's address and the variable that names it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use downspout_simulator::TlsConfig;
use serde_json::Value;

use crate::microsoft::{Cloud, TENANT, small};
use crate::support::{Scratch, stderr};

/// What a proxy does with requests.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    /// It passes them on.
    Good,
    /// It wants a password.
    Password,
    /// It answers with a web page.
    Page,
}

/// A proxy on loopback, until the test's process ends.
struct Proxy {
    address: String,
    /// The first line of each request.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(manner: Manner) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                // Whoever hangs up ends it.
                thread::spawn(move || drop(serve(client, manner, &seen)));
            }
        });
        Proxy { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// An address where nobody listens.
fn dead() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn serve(mut client: TcpStream, manner: Manner, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let line = text.lines().next().unwrap_or_default().to_owned();
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let is_tunnel = line.starts_with("CONNECT ");
    seen.lock().unwrap().push(line);
    const PAGE: &str = "<!doctype html><html><body>Welcome to the guest network</body></html>";
    let (status, body) = match manner {
        Manner::Good => {
            let host = target.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned();
            let mut server = TcpStream::connect(host)?;
            if is_tunnel {
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            } else {
                // Servers understand requests with whole URLs, and so the further ones on this connection.
                server.write_all(&head)?;
            }
            let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
            thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
            std::io::copy(&mut server, &mut client)?;
            return client.shutdown(Shutdown::Write);
        }
        Manner::Password => {
            ("407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"x\"", "who are you?")
        }
        Manner::Page if is_tunnel => ("403 Forbidden", PAGE),
        Manner::Page => ("200 OK", PAGE),
    };
    let length = body.len();
    write!(client, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// `downspout collect`, as one behind a proxy types it.
fn collect(scratch: &Scratch, proxy: &str, cloud: &str, out: &str) -> Command {
    let sign_in = ["collect", "--tenant-id", TENANT, "--client-id", "app", "--client-secret-env", "SECRET"];
    let what = ["--cloud", cloud, "--profile", "full,entra", "--since", "1d", "--out", out];
    let mut command = scratch.downspout(&[&sign_in[..], &what[..]].concat());
    behind(&mut command, proxy);
    command.env("SECRET", "hunter2-hunter2");
    command
}

fn behind(command: &mut Command, proxy: &str) {
    for variable in ["NO_PROXY", "no_proxy", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy", "REQUEST_METHOD"] {
        command.env_remove(variable);
    }
    for variable in ["HTTP_PROXY", "HTTPS_PROXY"] {
        command.env(variable, format!("http://somebody:hunter2@{proxy}"));
    }
}

/// The first line of a command's log with `words`; the command need not come to an end.
fn first_line(mut command: Command, words: &str) -> String {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut told = Vec::new();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let found = lines.map(Result::unwrap).inspect(|line| told.push(line.clone())).find(|line| line.contains(words));
    // It may have ended by itself.
    let _ = child.kill();
    child.wait().unwrap();
    found.unwrap_or_else(|| panic!("{words}: {told:#?}"))
}

fn holds(told: &str, words: &[&str]) {
    for words in words {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn a_dead_proxy_is_told_at_the_first_try() {
    let scratch = Scratch::new();
    let proxy = dead();
    let expected = [&*format!("the proxy http://{proxy} (HTTPS_PROXY)"), "login.microsoftonline.com", "NO_PROXY"];
    let line = first_line(collect(&scratch, &proxy, "worldwide", "out"), "cannot be reached");
    holds(&line, &expected);
    holds(&line, &["signing in failed", "trying again"]);

    scratch.write(
        "pipeline.yaml",
        format!(
            "data_dir: ./data\nsources:\n  m365: {{ type: office365_management, tenant_id: {TENANT}, auth: {{ client_id: a, client_secret: s }} }}\n\
             sinks:\n  out: {{ type: blackhole, inputs: [m365] }}\n"
        ),
    );
    let mut command = scratch.downspout(&["run", "pipeline.yaml"]);
    behind(&mut command, &proxy);
    holds(&first_line(command, "cannot be reached"), &expected);
}

#[test]
fn a_dead_proxy_before_a_simulator_is_told_at_once() {
    let (scratch, proxy) = (Scratch::new(), dead());
    let output = collect(&scratch, &proxy, "http://127.0.0.1:1", "new").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    holds(&stderr(&output), &[&format!("the proxy http://{proxy} (HTTP_PROXY)"), "NO_PROXY"]);
    assert!(!scratch.path("new").exists());
}

#[test]
fn a_proxy_that_wants_a_password_is_told() {
    let (scratch, proxy) = (Scratch::new(), Proxy::start(Manner::Password));
    let output = collect(&scratch, &proxy.address, "worldwide", "out").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    holds(&stderr(&output), &["user and a password", "HTTPS_PROXY"]);
    let output = collect(&scratch, &proxy.address, "http://127.0.0.1:1", "new").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    holds(&stderr(&output), &["HTTP 407", "(HTTP_PROXY)"]);
}

#[test]
fn a_page_of_the_proxys_own_is_told_as_such() {
    let (scratch, proxy) = (Scratch::new(), Proxy::start(Manner::Page));
    let named = format!("the proxy http://{} (HTTP", proxy.address);
    let line = first_line(collect(&scratch, &proxy.address, "worldwide", "out"), "trying again");
    holds(&line, &[&named, "does not let them through"]);
    let output = collect(&scratch, &proxy.address, "http://127.0.0.1:1", "new").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    holds(&stderr(&output), &[&named, "a web page", "NO_PROXY"]);
}

/// What a collection that worked left behind.
fn records(output: &Output, out: &Path) -> u64 {
    assert!(output.status.success(), "{}", stderr(output));
    let manifest: Value = serde_json::from_slice(&std::fs::read(out.join("manifest.json")).unwrap()).unwrap();
    let files = manifest["files"].as_array().unwrap();
    let evidence = files.iter().filter(|file| file["path"].as_str().unwrap().starts_with("source="));
    evidence.map(|file| file["records"].as_u64().unwrap()).sum()
}

#[test]
fn through_a_good_proxy_everything_is_collected() {
    let proxy = Proxy::start(Manner::Good);
    let mut config = small();
    config.tls = Some(TlsConfig { listen: "127.0.0.1:0".to_owned(), ca_file: None });
    let cloud = Cloud::start(config);
    let scratch = Scratch::new();
    let output = collect(&scratch, &proxy.address, &cloud.base, "out").output().unwrap();
    assert!(records(&output, &scratch.path("out")) > 100);
    let asked = proxy.asked();
    assert!(!asked.is_empty() && asked.iter().all(|line| line.contains(" http://127.0.0.1")), "{asked:?}");

    // Over TLS it sees tunnels alone; the simulator's CA is nobody's but this command's.
    scratch.write("ca.pem", cloud.running.ca_pem.as_ref().unwrap());
    let secure = cloud.running.tls_url.clone().unwrap();
    let before = asked.len();
    let through = || collect(&scratch, &proxy.address, &secure, "secure");
    let refused = through().output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    holds(&stderr(&refused), &["is not trusted", "--ca-file"]);
    let output = through().args(["--ca-file", "ca.pem"]).output().unwrap();
    assert!(records(&output, &scratch.path("secure")) > 100);
    let asked = proxy.asked().split_off(before);
    assert!(asked.iter().all(|line| line.starts_with("CONNECT 127.0.0.1")), "{asked:?}");
}
