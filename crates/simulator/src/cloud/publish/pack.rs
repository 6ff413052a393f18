//! Compressing many small things: one compressor for all of them, and results without slack.
//!
//! A new compressor for each blob allocates a quarter of a megabyte each time, and what stays between those blocks
//! keeps the memory from ever being given back.

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// The header of a gzip file without name and time (RFC 1952): magic, deflate, no flags, no time, fastest, unknown.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];

/// A compressor that is used again and again.
#[derive(Debug)]
pub(crate) struct Packer {
    compress: Compress,
    out: Vec<u8>,
}

impl Default for Packer {
    fn default() -> Packer {
        Packer { compress: Compress::new(Compression::fast(), false), out: Vec::new() }
    }
}

impl Packer {
    /// The bytes as a gzip file.
    pub(crate) fn gzip(&mut self, bytes: &[u8]) -> Bytes {
        self.compress.reset();
        self.out.clear();
        self.out.extend_from_slice(&HEADER);
        loop {
            self.out.reserve(bytes.len() / 4 + 1_024);
            let rest = bytes.get(self.compress.total_in() as usize..).unwrap_or_default();
            match self.compress.compress_vec(rest, &mut self.out, FlushCompress::Finish) {
                Ok(Status::Ok | Status::BufError) => {}
                // An error means a stream in the wrong state, which a reset one never is.
                Ok(Status::StreamEnd) | Err(_) => break,
            }
        }
        let mut sum = Crc::new();
        sum.update(bytes);
        self.out.extend_from_slice(&sum.sum().to_le_bytes());
        self.out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        Bytes::copy_from_slice(&self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::http::gunzip;

    #[test]
    fn what_goes_in_comes_out() {
        let mut packer = Packer::default();
        for text in [String::new(), "a".into(), "abc".repeat(100_000), (0..50_000).map(|n| n.to_string()).collect()] {
            assert_eq!(gunzip(&packer.gzip(text.as_bytes())).unwrap(), text.as_bytes());
        }
    }
}
