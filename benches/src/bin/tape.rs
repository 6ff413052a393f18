//! The reference: a bare simd-json tape over the lines of a file, and nothing else.
//!
//! Prints the seconds that the parsing took; reading the file into memory is not counted. simd-json parses in place,
//! so each line is copied into a buffer that it may change, which is part of using it.

use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let Some(text) = std::env::args().nth(1).and_then(|path| std::fs::read(path).ok()) else {
        eprintln!("usage: tape FILE.ndjson");
        return ExitCode::from(2);
    };
    let mut buffers = simd_json::Buffers::new(1 << 16);
    let mut tape = simd_json::Tape::null().reset();
    let mut line_copy = Vec::new();
    let (mut records, mut nodes) = (0_u64, 0_usize);
    let start = Instant::now();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        line_copy.clear();
        line_copy.extend_from_slice(line);
        let mut filled = tape;
        if simd_json::fill_tape(&mut line_copy, &mut buffers, &mut filled).is_ok() {
            records += 1;
            nodes += filled.0.len();
        }
        tape = filled.reset();
    }
    println!("{:.6} {records} {nodes}", start.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}
