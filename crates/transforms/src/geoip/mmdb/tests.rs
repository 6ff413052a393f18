//! The reader beside another one, and files that are broken in every way.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use maxminddb::{Reader, WithinOptions};
use serde_json::json;

use super::*;
use crate::geoip::record::Record;

const SHIPPED: [&str; 3] = [
    "src/geoip/fixtures/ipinfo.mmdb",
    "src/geoip/fixtures/ip-location-db.mmdb",
    "../../pipelines/samples/documentation.mmdb",
];

fn shipped(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn open(bytes: &[u8]) -> io::Result<Mmdb> {
    Mmdb::open(Pages::with(bytes))
}

/// Compares the records of the first and the last address of every network, and of every hole between them.
fn same_as_the_other_reader(bytes: &[u8]) -> usize {
    let mut ours = open(bytes).unwrap();
    let other = Reader::from_source(bytes).unwrap();
    assert_eq!(ours.kind(), other.metadata().database_type);
    let all = WithinOptions::default().include_networks_without_data().include_aliased_networks();
    let mut networks = 0;
    for network in other.networks(all).unwrap() {
        let network = network.unwrap().network().unwrap();
        networks += 1;
        for address in [network.network(), network.broadcast()] {
            let expected = other.lookup(address).unwrap();
            let found = ours.lookup(address).unwrap();
            assert_eq!(found, expected.decode::<Value>().unwrap(), "{address}");
            assert_eq!(
                found.map(|record| Record::deserialize(&record).unwrap().into_location()),
                expected.decode::<Record>().unwrap().map(Record::into_location),
                "{address}"
            );
        }
    }
    networks
}

#[test]
fn all_networks_of_shipped_databases() {
    for path in SHIPPED {
        assert!(same_as_the_other_reader(&shipped(path)) > 10);
    }
}

/// A database of a few nodes, and the values behind them as they are written.
fn database(ip_version: u8, record_size: u8, nodes: &[[u32; 2]], values: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for &[zero, one] in nodes {
        let (zero, one) = (zero.to_be_bytes(), one.to_be_bytes());
        match record_size {
            24 => bytes.extend([&zero[1..], &one[1..]].concat()),
            28 => bytes.extend([&zero[1..], &[zero[0] << 4 | one[0]], &one[1..]].concat()),
            _ => bytes.extend([zero, one].concat()),
        }
    }
    bytes.extend([0; 16]);
    bytes.extend(values);
    bytes.extend(MARKER);
    bytes.push(0xe9);
    for (name, value) in [
        ("binary_format_major_version", &[0xa1, 2][..]),
        ("binary_format_minor_version", &[0xa0]),
        ("build_epoch", &[0x00, 2]),
        ("database_type", b"\x44made"),
        ("description", &[0xe0]),
        ("ip_version", &[0xa1, ip_version]),
        ("languages", &[0x00, 4]),
        ("node_count", &[0xc1, nodes.len() as u8]),
        ("record_size", &[0xa1, record_size]),
    ] {
        bytes.extend([0x40 | name.len() as u8].iter().chain(name.as_bytes()).chain(value));
    }
    bytes
}

#[test]
fn nodes_of_every_size_and_both_versions() {
    // Of three nodes: 3 is nothing, 19 the first value, 24 the second, which points to the first.
    let nodes = [[1, 2], [19, 3], [3, 24]];
    let values = b"\xe1\x41a\xa1\x01\x20\x00";
    for record_size in [24, 28, 32] {
        for ip_version in [4, 6] {
            let bytes = database(ip_version, record_size, &nodes, values);
            assert_eq!(same_as_the_other_reader(&bytes), 4);
        }
    }
    // Numbers that need all bits of a node: the records lie far behind.
    for (record_size, far) in [(24, 0xff_fffe_u32), (28, 0xabc_def0)] {
        let bytes = database(4, record_size, &[[far, far + 1]], b"");
        let mut ours = open(&bytes).unwrap();
        assert_eq!(ours.children(0).unwrap(), [u64::from(far), u64::from(far) + 1]);
        assert!(ours.lookup(Ipv4Addr::UNSPECIFIED.into()).is_err());
    }
}

#[test]
fn metadata_is_checked() {
    let message = |bytes: &[u8]| open(bytes).unwrap_err().to_string();
    let good = database(4, 24, &[[1, 1]], b"");
    assert!(open(&good).is_ok());
    assert_eq!(message(b""), "invalid database: could not find MaxMind DB metadata in file");
    assert_eq!(message(MARKER), "invalid database: unexpected end of buffer");
    assert_eq!(message(&[MARKER, &[0xe0]].concat()), "missing field `binary_format_major_version`");
    for broken in [database(5, 24, &[[1, 1]], b""), database(4, 20, &[[1, 1]], b""), database(4, 24, &[], b"")] {
        assert!(message(&broken).ends_with("is not of version 2 of the format"));
    }
    let cut = "invalid database: the MaxMind DB file's search tree extends beyond the metadata section";
    assert_eq!(message(&good[1..]), cut);
    // The metadata is looked for at the end only.
    let padded = |count| [good.as_slice(), &vec![0; count]].concat();
    assert!(open(&padded(100_000)).is_ok());
    assert!(open(&padded(200_000)).is_err());
}

#[test]
fn trees_without_end() {
    // Each node leads twice to the next one, which makes 2^100 ways to nothing; and one that leads to itself.
    let ladder: Vec<_> = (1..=100).map(|next| [next, next]).collect();
    for nodes in [ladder, vec![[0, 0]]] {
        let mut ours = open(&database(6, 24, &nodes, b"")).unwrap();
        assert!(ours.records().next().unwrap().is_err());
        assert_eq!(ours.lookup(Ipv6Addr::LOCALHOST.into()).unwrap(), None);
        assert_eq!(ours.lookup(Ipv4Addr::LOCALHOST.into()).unwrap(), None);
    }
    // A number between "nothing" and the first record.
    let mut ours = open(&database(4, 24, &[[1, 2]], b"\xe0")).unwrap();
    assert!(ours.records().next().unwrap().is_err());
    assert!(ours.lookup(Ipv4Addr::BROADCAST.into()).is_err());
}

#[test]
fn records_come_in_order() {
    let mut ours = open(&database(4, 24, &[[1, 18], [20, 2]], b"\xa1\x07\x41x")).unwrap();
    let found: Vec<_> = ours.records().map(Result::unwrap).collect();
    assert_eq!(found, [json!("x"), json!(7)]);
}

/// Uses a database in every way; only that this comes to an end matters.
fn use_up(bytes: &[u8]) {
    if let Ok(mut database) = open(bytes) {
        database.records().take(100).take_while(Result::is_ok).for_each(drop);
        for last in (0..=255).step_by(5) {
            let _ = database.lookup(Ipv4Addr::new(192, 0, 2, last).into());
            let _ = database.lookup(Ipv6Addr::new(0x2001, 0xdb8, last.into(), 0, 0, 0, 0, 0).into());
        }
    }
}

#[test]
fn cut_files() {
    for path in SHIPPED {
        let bytes = shipped(path);
        for length in 0..bytes.len() {
            use_up(&bytes[..length]);
            use_up(&bytes[length..]);
        }
    }
}

#[test]
fn flipped_bytes() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for path in SHIPPED {
        let bytes = shipped(path);
        for _ in 0..300 {
            let mut broken = bytes.clone();
            for _ in 0..=random(8) {
                broken[random(bytes.len())] = random(256) as u8;
            }
            use_up(&broken);
        }
    }
}
