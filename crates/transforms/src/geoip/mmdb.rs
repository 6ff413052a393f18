//! The MaxMind DB format, version 2.0 (<https://maxmind.github.io/MaxMind-DB/>).
//!
//! A file is a search tree, 16 zero bytes, the records, and behind a marker the metadata. A node of the tree is two
//! numbers, one for each value of the next bit of an address: below the count of nodes it is the next node, the count
//! itself means that nothing is known, and above it is where the record lies.

use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::decode::{decode, invalid};
use super::pages::Pages;

const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// The metadata and its marker lie within this many bytes of the end.
const MAX_METADATA: u64 = 128 << 10;
/// Between the tree and the records.
const SEPARATOR: u64 = 16;
/// How many nodes a walk through the tree visits: enough for a thousand records, each at the end of 128 nodes of its own.
/// In a broken tree there may be no end of them.
const MAX_VISITS: usize = 1 << 18;

/// An open database.
#[derive(Debug)]
pub(super) struct Mmdb {
    pages: Pages,
    metadata: Metadata,
    /// The node at which IPv4 addresses begin.
    ipv4_start: u64,
    /// Where in the file the records are.
    records: Range<u64>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    binary_format_major_version: u16,
    database_type: String,
    ip_version: u16,
    node_count: u32,
    record_size: u16,
}

impl Mmdb {
    /// Reads the metadata.
    ///
    /// # Errors
    /// If the file is not of this format, or the disk does not give it.
    pub(super) fn open(mut pages: Pages) -> io::Result<Mmdb> {
        let marker = find_marker(&mut pages)?;
        let section = marker + MARKER.len() as u64..pages.len();
        let metadata: Metadata = serde_json::from_value(decode(&mut pages, section, 0)?)?;
        if metadata.binary_format_major_version != 2
            || !matches!(metadata.ip_version, 4 | 6)
            || !matches!(metadata.record_size, 24 | 28 | 32)
            || metadata.node_count == 0
        {
            return Err(invalid(&format!("{metadata:?} is not of version 2 of the format")));
        }
        let records = u64::from(metadata.node_count) * u64::from(metadata.record_size / 4) + SEPARATOR..marker;
        if records.start > records.end {
            return Err(invalid("the MaxMind DB file's search tree extends beyond the metadata section"));
        }
        let mut database = Mmdb { pages, metadata, ipv4_start: 0, records };
        if database.metadata.ip_version == 6 {
            database.ipv4_start = database.descend(0, 0, 96)?;
        }
        Ok(database)
    }

    /// See [`Pages::settle`].
    pub(super) fn settle(&mut self, folder: &Path) -> io::Result<()> {
        self.pages.settle(folder)
    }

    /// What the database calls its kind.
    pub(super) fn kind(&self) -> &str {
        &self.metadata.database_type
    }

    /// What is known of an address.
    ///
    /// # Errors
    /// If the file is damaged at that place.
    pub(super) fn lookup(&mut self, address: IpAddr) -> io::Result<Option<Value>> {
        let node = match address {
            IpAddr::V4(address) => self.descend(self.ipv4_start, u128::from(address.to_bits()) << 96, 32)?,
            IpAddr::V6(_) if self.metadata.ip_version == 4 => return Ok(None),
            IpAddr::V6(address) => self.descend(0, address.to_bits(), 128)?,
        };
        if node > self.nodes() { self.record(node).map(Some) } else { Ok(None) }
    }

    /// The records in the order of their networks; one of several networks comes several times. The first thousand can
    /// be had of every sound database; a walk through all of a large one ends with an error.
    pub(super) fn records(&mut self) -> impl Iterator<Item = io::Result<Value>> {
        let depth = if self.metadata.ip_version == 4 { 32 } else { 128 };
        Records { ahead: vec![(0, depth)], visits: 0, database: self }
    }

    fn nodes(&self) -> u64 {
        self.metadata.node_count.into()
    }

    /// Where the highest `count` of an address's `bits` lead to.
    fn descend(&mut self, mut node: u64, mut bits: u128, count: u32) -> io::Result<u64> {
        for _ in 0..count {
            if node >= self.nodes() {
                break;
            }
            let [zero, one] = self.children(node)?;
            node = if bits >> 127 == 0 { zero } else { one };
            bits <<= 1;
        }
        Ok(node)
    }

    fn children(&mut self, node: u64) -> io::Result<[u64; 2]> {
        let size = usize::from(self.metadata.record_size / 4);
        let mut bytes = [0; 8];
        self.pages.read(node * size as u64, &mut bytes[8 - size..])?;
        let pair = u64::from_be_bytes(bytes);
        Ok(match self.metadata.record_size {
            24 => [pair >> 24, pair & 0xff_ffff],
            // The byte in the middle holds the highest four bits of both.
            28 => [pair >> 32 | (pair >> 28 & 0xf) << 24, pair & 0xfff_ffff],
            _ => [pair >> 32, pair & 0xffff_ffff],
        })
    }

    /// The record that a number in the tree stands for.
    fn record(&mut self, node: u64) -> io::Result<Value> {
        let offset = node
            .checked_sub(self.nodes() + SEPARATOR)
            .ok_or_else(|| invalid("the MaxMind DB file's data pointer resolves to an invalid location"))?;
        decode(&mut self.pages, self.records.clone(), offset)
    }
}

/// Where the last marker is.
fn find_marker(pages: &mut Pages) -> io::Result<u64> {
    let start = pages.len().saturating_sub(MAX_METADATA);
    let mut end = vec![0; (pages.len() - start) as usize];
    pages.read(start, &mut end)?;
    let found = memchr::memmem::rfind(&end, MARKER);
    found.map(|at| start + at as u64).ok_or_else(|| invalid("could not find MaxMind DB metadata in file"))
}

struct Records<'d> {
    database: &'d mut Mmdb,
    /// Nodes yet to be visited, the next one last, and how many bits of the address are left there.
    ahead: Vec<(u64, u32)>,
    visits: usize,
}

impl Iterator for Records<'_> {
    type Item = io::Result<Value>;

    fn next(&mut self) -> Option<io::Result<Value>> {
        while let Some((node, bits)) = self.ahead.pop() {
            self.visits += 1;
            if node > self.database.nodes() {
                return Some(self.database.record(node));
            }
            if node == self.database.nodes() {
                continue;
            }
            if bits == 0 || self.visits > MAX_VISITS {
                return Some(Err(invalid("the search tree has no end")));
            }
            match self.database.children(node) {
                Ok([zero, one]) => self.ahead.extend([(one, bits - 1), (zero, bits - 1)]),
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
