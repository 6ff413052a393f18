//! Any text: the reader does not panic, and takes what serde_json takes.
#![no_main]

use downspout_core::json::{Home, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut nodes = Vec::new();
    let ours = parse(text, 0, text.len(), Home::Raw, &mut nodes);
    if serde_json::from_str::<serde_json::Value>(text).is_ok() {
        assert!(ours.is_ok(), "{ours:?}");
    }
});
