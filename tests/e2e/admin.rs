//! The admin endpoint, over a real socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;

use crate::signals::signal;
use crate::support::{Scratch, records, stderr};

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn config(port: u16) -> String {
    format!(
        "
data_dir: ./data
admin: {{ listen: '127.0.0.1:{port}' }}
sources:
  files: {{ type: file, include: ['in/*'], mode: follow, poll_interval: 10ms }}
transforms:
  flat: {{ type: flatten, inputs: [files] }}
sinks:
  out: {{ type: console, inputs: [flat] }}
"
    )
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn metrics_health_and_readiness() {
    let scratch = Scratch::new();
    let port = free_port();
    scratch.write("in/a.ndjson", records(0..3) + "no json\n");
    scratch.write("pipeline.yaml", config(port));
    let mut child =
        scratch.downspout(&["run", "pipeline.yaml"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        lines.next().unwrap().unwrap();
    }
    assert!(get(port, "/health").starts_with("HTTP/1.1 200"));
    assert!(get(port, "/ready").starts_with("HTTP/1.1 200"));
    assert!(get(port, "/secrets").starts_with("HTTP/1.1 404"));
    let metrics = get(port, "/metrics");
    for line in [
        r#"downspout_component_received_events_total{component_id="files",component_kind="source",component_type="file"} 4"#,
        r#"downspout_component_sent_events_total{component_id="files",component_kind="source",component_type="file"} 3"#,
        r#"downspout_component_rejected_events_total{component_id="files",component_kind="source",component_type="file"} 1"#,
        r#"downspout_component_received_events_total{component_id="flat",component_kind="transform",component_type="flatten"} 3"#,
        r#"downspout_component_received_events_total{component_id="out",component_kind="sink",component_type="console"} 3"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_pipeline_that_drains_is_not_ready() {
    let scratch = Scratch::new();
    let port = free_port();
    // More than a pipe holds: the sink waits for whoever reads its output.
    scratch.write("in/a.ndjson", records(0..2_000));
    scratch.write("pipeline.yaml", config(port));
    let mut child =
        scratch.downspout(&["run", "pipeline.yaml"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    assert!(get(port, "/ready").starts_with("HTTP/1.1 200"));
    signal(&child, "INT");
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("stopping: ")));
    assert!((0..1_000).any(|_| get(port, "/ready").starts_with("HTTP/1.1 503")));
    lines.for_each(drop);
    log.for_each(drop);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_port_in_use_is_told_with_a_remedy() {
    let scratch = Scratch::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    scratch.write("in/a.ndjson", records(0..1));
    let output = scratch.run(&config(taken.local_addr().unwrap().port()));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("choose another port, or stop what uses it"), "{}", stderr(&output));
}
