//! Events as lines of JSON: what the console and the file sink have in common.

use downspout_core::Batch;
use downspout_core::print::LineWriter;
use schemars::JsonSchema;
use serde::Deserialize;

/// How an event is written as a line of JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The record as received, with what transforms added as further members.
    #[default]
    Raw,
    /// One flat object: each field under its dotted name.
    Flat,
}

/// Renders batches; its buffers are kept from batch to batch.
#[derive(Debug)]
pub(crate) struct Lines {
    format: Format,
    writer: LineWriter,
    buffer: Vec<u8>,
}

/// What of a buffer is kept for the next batch.
const KEPT_BYTES: usize = 4 << 20;

impl Lines {
    pub(crate) fn new(format: Format) -> Lines {
        Lines { format, writer: LineWriter::default(), buffer: Vec::new() }
    }

    /// The events of a batch, each on a line of its own.
    pub(crate) fn render(&mut self, batch: &Batch) -> &[u8] {
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BYTES);
        let names = batch.names();
        for event in batch.events() {
            match self.format {
                Format::Raw => self.writer.write_raw(event, &names, &mut self.buffer),
                Format::Flat => self.writer.write_flat(event, &names, &mut self.buffer),
            }
        }
        &self.buffer
    }
}
