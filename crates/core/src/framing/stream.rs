//! From the bytes of a file to the bytes of a text: gzip, zstd and UTF-16, told by the first bytes and never by the
//! name.
//!
//! gzip (RFC 1952) may consist of several members and zstd (RFC 8878) of several frames: tools that append to archives
//! write them so. UTF-16 is told by its byte order mark; Windows PowerShell writes it with `Out-File` and `>`.

use std::io::{self, BufReader, Cursor, Read};

/// How much compressed data is read at once.
const COMPRESSED_BYTES: usize = 128 << 10;

/// The largest window of zstd, as a power of two: 64 MiB. `zstd -19` takes 8; what asks for more (`--long=27`) would
/// take the memory of the whole pipeline, and is refused.
const ZSTD_WINDOW_LOG: u32 = 26;

/// How much UTF-16 is read at once.
const UTF16_BYTES: usize = 64 << 10;

/// A text to read.
pub struct Opened {
    /// UTF-8, or whatever else the file holds; a byte order mark still stands in front.
    pub stream: Box<dyn Read + Send>,
    /// What it was packed in.
    pub packing: Packing,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("packing", &self.packing).finish_non_exhaustive()
    }
}

/// What lies between a file's bytes and its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Nothing: an offset in one is an offset in the other.
    Plain,
    /// UTF-16.
    Utf16,
    /// gzip or zstd.
    Compressed,
}

/// Finds out how `reader`'s bytes are packed, and unpacks them.
///
/// # Errors
/// If the first bytes cannot be read, or are damaged ([`is_damage`]).
pub fn open(reader: impl Read + Send + 'static) -> io::Result<Opened> {
    let (head, reader) = peek(reader, 4)?;
    let compressed = |stream| -> io::Result<Opened> { Ok(Opened { packing: Packing::Compressed, ..text(stream)? }) };
    match head[..] {
        [0x1f, 0x8b, ..] => compressed(Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(
            COMPRESSED_BYTES,
            reader,
        )))),
        // A frame, or one of the sixteen kinds of skippable frames.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(COMPRESSED_BYTES, reader))?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            compressed(Box::new(decoder))
        }
        _ => text(Box::new(reader)),
    }
}

/// Whether an error is about what the bytes say, and not about reading them.
pub fn is_damage(error: &io::Error) -> bool {
    error.raw_os_error().is_none()
}

fn text(reader: Box<dyn Read + Send>) -> io::Result<Opened> {
    let (head, reader) = peek(reader, 2)?;
    Ok(match head[..] {
        [0xff, 0xfe] => Opened { stream: Box::new(Utf16::new(reader, u16::from_le_bytes)), packing: Packing::Utf16 },
        [0xfe, 0xff] => Opened { stream: Box::new(Utf16::new(reader, u16::from_be_bytes)), packing: Packing::Utf16 },
        _ => Opened { stream: Box::new(reader), packing: Packing::Plain },
    })
}

/// The first bytes, and a reader that gives them again.
fn peek<R: Read + Send>(mut reader: R, count: u64) -> io::Result<(Vec<u8>, impl Read + Send + use<R>)> {
    let mut head = Vec::new();
    reader.by_ref().take(count).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(reader)))
}

/// Turns UTF-16 into UTF-8. What is no character becomes U+FFFD; the byte order mark becomes that of UTF-8.
struct Utf16<R> {
    reader: R,
    unit: fn([u8; 2]) -> u16,
    input: Box<[u8]>,
    /// The first byte of a unit that is not complete.
    half: Option<u8>,
    /// The first unit of a pair that is not complete.
    high: Option<u16>,
    output: String,
    given: usize,
}

impl<R: Read> Utf16<R> {
    fn new(reader: R, unit: fn([u8; 2]) -> u16) -> Self {
        let input = vec![0; UTF16_BYTES].into_boxed_slice();
        Utf16 { reader, unit, input, half: None, high: None, output: String::new(), given: 0 }
    }

    /// Reads and turns the next bytes.
    fn advance(&mut self) -> io::Result<()> {
        self.output.clear();
        self.given = 0;
        let count = self.reader.read(&mut self.input)?;
        if count == 0 {
            let cut = self.half.take().is_some() | self.high.take().is_some();
            self.output.extend(cut.then_some(char::REPLACEMENT_CHARACTER));
        }
        for at in 0..count {
            let byte = self.input[at];
            match self.half.take() {
                None => self.half = Some(byte),
                Some(first) => self.push((self.unit)([first, byte])),
            }
        }
        Ok(())
    }

    fn push(&mut self, unit: u16) {
        let is_high = (0xd800..0xdc00).contains(&unit);
        let waiting = self.high.take();
        let units = waiting.into_iter().chain((!is_high).then_some(unit));
        self.output.extend(char::decode_utf16(units).map(|found| found.unwrap_or(char::REPLACEMENT_CHARACTER)));
        if is_high {
            self.high = Some(unit);
        }
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.given == self.output.len() {
            self.advance()?;
            if self.output.is_empty() && self.half.is_none() && self.high.is_none() {
                return Ok(0);
            }
        }
        let rest = &self.output.as_bytes()[self.given..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        Ok(count)
    }
}
