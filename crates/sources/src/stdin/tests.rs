//! Tests of the source `stdin` over inputs made for them.

use std::io::{Cursor, Write};
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::suite::{Bench, Stop, sent, texts};

const SMALL: Limits = Limits { max_record_bytes: 2000, batch_records: 3, batch_bytes: 300, read_bytes: 50 };

fn source(bench: &Bench, input: impl Read + Send + 'static) -> Box<dyn Source> {
    Box::new(StdinSource { input: Box::new(input), limits: SMALL, context: bench.context.clone() })
}

fn lines(count: usize) -> String {
    (0..count).map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

/// An input that gives what it is sent, and waits.
struct Pipe(Receiver<&'static str>, Cursor<&'static str>);

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.1.position() == self.1.get_ref().len() as u64
            && let Ok(text) = self.0.recv()
        {
            self.1 = Cursor::new(text);
        }
        self.1.read(buffer)
    }
}

#[test]
fn all_records_come_plain_and_packed() {
    let text = lines(1000) + "{\"n\":1000}";
    let packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
    for input in [text.clone().into_bytes(), packed] {
        let bench = Bench::new();
        let length = input.len() as u64;
        let run = bench.run(source(&bench, Cursor::new(input)), Stop::AtEnd);
        run.result.unwrap();
        assert_eq!(texts(&run.batches).join("\n"), text);
        assert_eq!(bench.context.progress.read.load(Ordering::Relaxed), length);
    }
}

#[test]
fn every_run_is_a_shard_of_its_own_even_if_nothing_of_it_was_acknowledged() {
    let bench = Bench::new();
    let shards: Vec<String> = [Stop::Killed(0), Stop::Killed(1), Stop::AtEnd, Stop::AtEnd]
        .into_iter()
        .flat_map(|stop| {
            bench.run(source(&bench, Cursor::new(lines(9))), stop).batches.first().map(|batch| batch.shard.clone())
        })
        .collect();
    assert_eq!(shards, ["stdin#2", "stdin#3", "stdin#4"]);
    let kept = bench.context.store.list(&key(&[b"checkpoint"])).unwrap();
    assert_eq!(kept.iter().map(|(key, _)| last_part(key)).collect::<Vec<_>>(), [b"stdin#4"]);
}

#[test]
fn what_has_come_goes_on_at_once_and_stopping_does_not_wait_for_more() {
    let (sender, receiver) = channel();
    sender.send("{\"n\":0}\n{\"n\":1}\n{\"n\":").unwrap();
    let bench = Bench::new();
    let run = bench.run(source(&bench, Pipe(receiver, Cursor::new(""))), Stop::Asked(1));
    run.result.unwrap();
    assert_eq!(texts(&run.batches), ["{\"n\":0}", "{\"n\":1}", "{\"n\":"]);
    drop(sender);
}

#[test]
fn bad_input_is_named() {
    let bench = Bench::new();
    let run = bench.run(source(&bench, Cursor::new("no records\n")), Stop::AtEnd);
    assert!(run.result.unwrap_err().to_string().starts_with("standard input: neither JSON nor a CSV"));

    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(lines(500).as_bytes()).unwrap();
    let whole = encoder.finish().unwrap();
    let run = bench.run(source(&bench, Cursor::new(whole[..whole.len() - 100].to_vec())), Stop::AtEnd);
    let error = run.result.unwrap_err();
    assert_eq!(error.error_type(), "damaged_input");
    let told = error.to_string();
    assert!(
        told.starts_with("standard input, behind byte ") && told.ends_with("get the data again, and feed it whole")
    );
    let found = sent(&run.batches);
    assert!(found.len() > 100 && found.last().unwrap().2.contains("standard input, byte "));
}
