//! Databases of every layout, addresses of every form, and reloading.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::*;
use crate::testing;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/geoip/fixtures").join(name)
}

fn config(databases: &[PathBuf], fields: &[&str]) -> GeoIpConfig {
    serde_json::from_value(json!({ "databases": databases, "fields": fields })).unwrap()
}

fn geoip(config: GeoIpConfig, context: &Context) -> GeoIp {
    GeoIp::new(config, context.clone(), Clock::system()).unwrap()
}

/// What a database's file adds to records, one line each; the same however the batch is cut.
fn located(databases: &[PathBuf], fields: &[&str], records: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let context = testing::context(dir.path(), "geoip");
    let batch = testing::batch(&context.fields, records);
    let build = || Box::new(geoip(config(databases, fields), &context)) as Box<dyn Transform>;
    testing::run_batchings(build, &batch)[0].join("\n")
}

const ADDRESSES: [&str; 7] = [
    r#"{"ip":"192.0.2.7:443"}"#,
    r#"{"ip":"::ffff:192.0.2.200"}"#,
    r#"{"ip":"198.51.100.64"}"#,
    r#"{"ip":"198.51.100.100"}"#,
    r#"{"ip":"203.0.113.200"}"#,
    r#"{"ip":"198.51.100.200"}"#,
    r#"{"ip":"[2001:db8:1000::1]:25"}"#,
];

#[test]
fn the_nested_layout() {
    insta::assert_snapshot!(located(&[root("pipelines/samples/documentation.mmdb")], &["ip"], &ADDRESSES), @r#"
    {"ip":"192.0.2.7:443","geo.ip.country_iso_code":"XA","geo.ip.country_name":"Aldermark","geo.ip.region_iso_code":"HB","geo.ip.region_name":"Harbourshire","geo.ip.city_name":"Port Alder","geo.ip.latitude":48.25,"geo.ip.longitude":-4.5,"geo.ip.asn":64500,"geo.ip.as_org":"Contoso Head Office"}
    {"ip":"::ffff:192.0.2.200","geo.ip.country_iso_code":"XE","geo.ip.country_name":"Élandie","geo.ip.region_iso_code":"ÎL","geo.ip.region_name":"Îles du Nord","geo.ip.city_name":"Saint-Même-sur-Mer","geo.ip.latitude":50.5,"geo.ip.longitude":3.0625,"geo.ip.asn":64505,"geo.ip.as_org":"Réseau d'Élandie"}
    {"ip":"198.51.100.64","geo.ip.country_iso_code":"XB","geo.ip.country_name":"Borealia"}
    {"ip":"198.51.100.100","geo.ip.asn":64506,"geo.ip.as_org":"Nowhere Transit"}
    {"ip":"203.0.113.200","geo.ip.country_iso_code":"XD","geo.ip.country_name":"Dunmere","geo.ip.latitude":10,"geo.ip.longitude":100,"geo.ip.asn":64504,"geo.ip.as_org":"Dunmere Anonymous Relay"}
    {"ip":"198.51.100.200"}
    {"ip":"[2001:db8:1000::1]:25","geo.ip.country_iso_code":"XB","geo.ip.country_name":"Borealia","geo.ip.region_iso_code":"NW","geo.ip.region_name":"Northwater","geo.ip.city_name":"Isvik","geo.ip.latitude":64.125,"geo.ip.longitude":20.5,"geo.ip.asn":64502,"geo.ip.as_org":"Borealia Telekom"}
    "#);
}

#[test]
fn the_flat_layout_of_ipinfo() {
    insta::assert_snapshot!(located(&[fixture("ipinfo.mmdb")], &["ip"], &ADDRESSES), @r#"
    {"ip":"192.0.2.7:443","geo.ip.country_iso_code":"XA","geo.ip.country_name":"Aldermark","geo.ip.region_name":"Harbourshire","geo.ip.city_name":"Port Alder","geo.ip.latitude":48.25,"geo.ip.longitude":-4.5,"geo.ip.asn":64500,"geo.ip.as_org":"Contoso Head Office"}
    {"ip":"::ffff:192.0.2.200","geo.ip.country_iso_code":"XE","geo.ip.country_name":"Élandie","geo.ip.region_name":"Îles du Nord","geo.ip.city_name":"Saint-Même-sur-Mer","geo.ip.latitude":50.5,"geo.ip.longitude":3.0625,"geo.ip.asn":64505,"geo.ip.as_org":"Réseau d'Élandie"}
    {"ip":"198.51.100.64","geo.ip.country_iso_code":"XB","geo.ip.country_name":"Borealia"}
    {"ip":"198.51.100.100","geo.ip.asn":64506,"geo.ip.as_org":"Nowhere Transit"}
    {"ip":"203.0.113.200","geo.ip.country_iso_code":"XD","geo.ip.country_name":"Dunmere","geo.ip.latitude":10,"geo.ip.longitude":100,"geo.ip.asn":64504,"geo.ip.as_org":"Dunmere Anonymous Relay"}
    {"ip":"198.51.100.200"}
    {"ip":"[2001:db8:1000::1]:25","geo.ip.country_iso_code":"XB","geo.ip.country_name":"Borealia","geo.ip.region_name":"Northwater","geo.ip.city_name":"Isvik","geo.ip.latitude":64.125,"geo.ip.longitude":20.5,"geo.ip.asn":64502,"geo.ip.as_org":"Borealia Telekom"}
    "#);
}

#[test]
fn the_flat_layout_of_ip_location_db() {
    insta::assert_snapshot!(located(&[fixture("ip-location-db.mmdb")], &["ip"], &ADDRESSES), @r#"
    {"ip":"192.0.2.7:443","geo.ip.country_iso_code":"XA","geo.ip.region_name":"Harbourshire","geo.ip.city_name":"Port Alder","geo.ip.latitude":48.25,"geo.ip.longitude":-4.5,"geo.ip.asn":64500,"geo.ip.as_org":"Contoso Head Office"}
    {"ip":"::ffff:192.0.2.200","geo.ip.country_iso_code":"XE","geo.ip.region_name":"Îles du Nord","geo.ip.city_name":"Saint-Même-sur-Mer","geo.ip.latitude":50.5,"geo.ip.longitude":3.0625,"geo.ip.asn":64505,"geo.ip.as_org":"Réseau d'Élandie"}
    {"ip":"198.51.100.64","geo.ip.country_iso_code":"XB"}
    {"ip":"198.51.100.100","geo.ip.asn":64506,"geo.ip.as_org":"Nowhere Transit"}
    {"ip":"203.0.113.200","geo.ip.country_iso_code":"XD","geo.ip.latitude":10,"geo.ip.longitude":100,"geo.ip.asn":64504,"geo.ip.as_org":"Dunmere Anonymous Relay"}
    {"ip":"198.51.100.200"}
    {"ip":"[2001:db8:1000::1]:25"}
    "#);
}

#[test]
fn every_form_of_address_and_private_ones_told_apart() {
    let records = [
        "",
        "<null>",
        "host.example",
        "10.1.2.3",
        "100.64.0.1:80",
        "127.0.0.1",
        "[fe80::1%eth0]:1",
        "fd00::1",
        "0.0.0.0",
        " 203.0.113.200 ",
    ]
    .map(|address| json!({ "ip": address }).to_string());
    let mut records: Vec<&str> = records.iter().map(String::as_str).collect();
    records.extend([r#"{"ip":null}"#, r#"{"ip":7}"#, r#"{"ip":["192.0.2.7"]}"#, r#"{"other":"192.0.2.7"}"#]);
    insta::assert_snapshot!(located(&[root("pipelines/samples/documentation.mmdb")], &["ip"], &records), @r#"
    {"ip":""}
    {"ip":"<null>"}
    {"ip":"host.example"}
    {"ip":"10.1.2.3","geo.ip.scope":"private"}
    {"ip":"100.64.0.1:80","geo.ip.scope":"shared"}
    {"ip":"127.0.0.1","geo.ip.scope":"loopback"}
    {"ip":"[fe80::1%eth0]:1","geo.ip.scope":"link_local"}
    {"ip":"fd00::1","geo.ip.scope":"unique_local"}
    {"ip":"0.0.0.0","geo.ip.scope":"unspecified"}
    {"ip":" 203.0.113.200 ","geo.ip.country_iso_code":"XD","geo.ip.country_name":"Dunmere","geo.ip.latitude":10,"geo.ip.longitude":100,"geo.ip.asn":64504,"geo.ip.as_org":"Dunmere Anonymous Relay"}
    {"ip":null}
    {"ip":7}
    {"ip":["192.0.2.7"]}
    {"other":"192.0.2.7"}
    "#);
}

#[test]
fn several_fields_and_databases() {
    let records = [
        r#"{"a":"198.51.100.7","x.y":"192.0.2.7","a":"203.0.113.7"}"#,
        r#"{"a":"<null>","a":"2001:db8::1","x.y":"203.0.113.7"}"#,
    ];
    let databases = [fixture("ip-location-db.mmdb"), fixture("ipinfo.mmdb")];
    insta::assert_snapshot!(located(&databases, &["a", "[x.y]", "a"], &records), @r#"
    {"a":"198.51.100.7","x.y":"192.0.2.7","a":"203.0.113.7","geo.a.country_iso_code":"XB","geo.a.country_name":"Borealia","geo.a.region_name":"Northwater","geo.a.city_name":"Isvik","geo.a.latitude":64.125,"geo.a.longitude":20.5,"geo.a.asn":64502,"geo.a.as_org":"Borealia Telekom","geo[x.y].country_iso_code":"XA","geo[x.y].country_name":"Aldermark","geo[x.y].region_name":"Harbourshire","geo[x.y].city_name":"Port Alder","geo[x.y].latitude":48.25,"geo[x.y].longitude":-4.5,"geo[x.y].asn":64500,"geo[x.y].as_org":"Contoso Head Office"}
    {"a":"<null>","a":"2001:db8::1","x.y":"203.0.113.7","geo.a.country_iso_code":"XA","geo.a.country_name":"Aldermark","geo.a.region_name":"Harbourshire","geo.a.city_name":"Port Alder","geo.a.latitude":48.25,"geo.a.longitude":-4.5,"geo.a.asn":64500,"geo.a.as_org":"Contoso Head Office","geo[x.y].country_iso_code":"XC","geo[x.y].country_name":"Calidonia","geo[x.y].region_name":"Central","geo[x.y].city_name":"Torre Alta","geo[x.y].latitude":-12.5,"geo[x.y].longitude":28.75,"geo[x.y].asn":64503,"geo[x.y].as_org":"Torre Cloud Hosting"}
    "#);
}

#[test]
fn what_cannot_be_used_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.mmdb");
    std::fs::write(&text, "not a database").unwrap();
    let real = std::fs::read(fixture("ipinfo.mmdb")).unwrap();
    let cut = dir.path().join("cut.mmdb");
    std::fs::write(&cut, &real[real.len() / 2..]).unwrap();
    let other = dir.path().join("other.mmdb");
    let mut renamed = real.clone();
    for name in ["country", "country_name", "region", "city", "lat", "lng", "asn", "as_name"] {
        // Keys of the data section, a type-and-length byte before each.
        let (from, to) = (name.as_bytes(), "q".repeat(name.len()));
        for at in 0..renamed.len() - from.len() {
            if &renamed[at..at + from.len()] == from && renamed[at - 1] == 0x40 + from.len() as u8 {
                renamed[at..at + from.len()].copy_from_slice(to.as_bytes());
            }
        }
    }
    std::fs::write(&other, renamed).unwrap();

    let message = |path: PathBuf| {
        let context = testing::context(&path.with_extension("data"), "geoip");
        let error = GeoIp::new(config(&[path], &["ip"]), context, Clock::system()).unwrap_err();
        error.to_string().replace(&dir.path().display().to_string(), "DIR")
    };
    let shown = [dir.path().join("missing.mmdb"), text, cut, other].map(message).join("\n");
    insta::assert_snapshot!(shown, @r"
    cannot read the location database DIR/missing.mmdb: No such file or directory (os error 2); use a City, Country or ASN database in MMDB format, such as MaxMind GeoLite2, DB-IP Lite, IPinfo Lite or those of ip-location-db
    DIR/text.mmdb is not a location database in MMDB format (invalid database: could not find MaxMind DB metadata in file); use a City, Country or ASN database in MMDB format, such as MaxMind GeoLite2, DB-IP Lite, IPinfo Lite or those of ip-location-db
    DIR/cut.mmdb is not a location database in MMDB format (invalid database: the MaxMind DB file's search tree extends beyond the metadata section); use a City, Country or ASN database in MMDB format, such as MaxMind GeoLite2, DB-IP Lite, IPinfo Lite or those of ip-location-db
    the records of DIR/other.mmdb, a database of type `ipinfo documentation.mmdb`, name no country, city, position or AS; use a City, Country or ASN database in MMDB format, such as MaxMind GeoLite2, DB-IP Lite, IPinfo Lite or those of ip-location-db
    ");
}

#[test]
fn configs_are_checked() {
    let keys = |config: serde_json::Value| {
        let errors = serde_json::from_value::<GeoIpConfig>(config).unwrap().plan().err().unwrap_or_default();
        errors.into_iter().map(|error| error.key).collect::<Vec<_>>()
    };
    assert_eq!(keys(json!({})), [""]);
    assert_eq!(
        keys(json!({ "database": "a", "databases": ["b"], "fields": ["ok", "a..b", ""] })),
        ["databases", "fields.1", "fields.2"]
    );
    assert_eq!(keys(json!({ "database": "a", "fields": [] })), ["fields"]);
    assert_eq!(keys(json!({ "database": "a" })), [""; 0]);
    assert_eq!(keys(serde_json::to_value(config(&["x".into()], &["a"])).unwrap()), [""; 0]);
}

/// A database that is replaced is read again at the next look, by all workers; a broken one is not taken.
#[test]
fn a_changed_file_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let context = testing::context(&dir.path().join("data"), "geoip");
    let path = dir.path().join("db.mmdb");
    let replace = |bytes: &[u8]| {
        let new = dir.path().join("new.mmdb");
        std::fs::write(&new, bytes).unwrap();
        std::fs::rename(&new, &path).unwrap();
    };
    let hand = Arc::new(AtomicU64::new(1_000));
    replace(&std::fs::read(root("pipelines/samples/documentation.mmdb")).unwrap());
    let clock = Clock::turned_by(Arc::clone(&hand));
    let mut first = GeoIp::new(config(std::slice::from_ref(&path), &["ip"]), context.clone(), clock).unwrap();
    let mut second = first.fork();
    let batch = testing::batch(&context.fields, &[r#"{"ip":"192.0.2.7"}"#]);
    let region_code =
        |transform: &mut dyn Transform| testing::run(transform, vec![batch.clone()])[0][0].contains("region_iso_code");
    assert!(region_code(&mut first) && region_code(&mut *second));
    // IPinfo's layout has no code of the region: that tells the two apart.
    replace(&std::fs::read(fixture("ipinfo.mmdb")).unwrap());
    hand.store(1_059, Ordering::Relaxed);
    assert!(region_code(&mut first) && region_code(&mut *second));
    hand.store(1_060, Ordering::Relaxed);
    assert!(!region_code(&mut *second) && !region_code(&mut first));

    replace(b"broken");
    hand.store(1_120, Ordering::Relaxed);
    assert!(!region_code(&mut first) && !region_code(&mut *second));
    std::fs::remove_file(&path).unwrap();
    hand.store(1_180, Ordering::Relaxed);
    assert!(!region_code(&mut first));
    replace(&std::fs::read(root("pipelines/samples/documentation.mmdb")).unwrap());
    hand.store(1_240, Ordering::Relaxed);
    assert!(region_code(&mut first) && region_code(&mut *second));
}

/// A `geoip` over a copy of IPinfo's file, its clock, and whether it locates an address that it has not met before.
struct Overwritten {
    path: PathBuf,
    hand: Arc<AtomicU64>,
    transform: GeoIp,
    context: Context,
    address: u8,
    dir: tempfile::TempDir,
}

impl Overwritten {
    fn new() -> Overwritten {
        let dir = tempfile::tempdir().unwrap();
        let context = testing::context(&dir.path().join("data"), "geoip");
        let path = dir.path().join("db.mmdb");
        std::fs::copy(fixture("ipinfo.mmdb"), &path).unwrap();
        let hand = Arc::new(AtomicU64::new(1_000));
        let clock = Clock::turned_by(Arc::clone(&hand));
        let transform = GeoIp::new(config(std::slice::from_ref(&path), &["ip"]), context.clone(), clock).unwrap();
        Overwritten { path, hand, transform, context, address: 0, dir }
    }

    fn locates(&mut self, seconds: u64) -> bool {
        self.hand.store(1_000 + seconds, Ordering::Relaxed);
        self.address += 1;
        let record = json!({ "ip": format!("192.0.2.{}", self.address) }).to_string();
        let batch = testing::batch(&self.context.fields, &[&record]);
        testing::run(&mut self.transform, vec![batch])[0][0].contains("Port Alder")
    }
}

/// A file that is overwritten or cut in place while it is in use harms nobody.
#[test]
fn the_file_is_not_needed_once_it_has_settled() {
    let mut overwritten = Overwritten::new();
    assert!(overwritten.locates(0) && overwritten.locates(2));
    std::fs::write(&overwritten.path, "no database").unwrap();
    // The broken file is looked at after 60 seconds, and not taken.
    assert!(overwritten.locates(3) && overwritten.locates(60) && overwritten.locates(1_000));
}

#[test]
fn a_file_that_is_overwritten_before_it_has_settled_is_opened_anew() {
    let mut overwritten = Overwritten::new();
    assert!(overwritten.locates(0));
    std::fs::write(&overwritten.path, "no database").unwrap();
    // The page that is in memory already goes on to answer.
    assert!(overwritten.locates(1) && overwritten.locates(2));
    std::fs::copy(fixture("ipinfo.mmdb"), &overwritten.path).unwrap();
    assert!(overwritten.locates(62) && overwritten.locates(64));
    std::fs::write(&overwritten.path, "no database").unwrap();
    assert!(overwritten.locates(130));
}

#[test]
fn a_copy_that_cannot_be_made_is_told_and_tried_again() {
    let mut overwritten = Overwritten::new();
    let data = overwritten.dir.path().join("data");
    let elsewhere = overwritten.dir.path().join("elsewhere");
    let told = database::Database::open(&overwritten.path).unwrap().settle(&elsewhere).unwrap_err();
    let told = told.replace(&overwritten.dir.path().display().to_string(), "DIR");
    assert!(told.starts_with("cannot copy the location database DIR/db.mmdb into DIR/elsewhere: "), "{told}");
    assert!(told.ends_with("; if there is no room, make some, or move `data_dir`"), "{told}");
    std::fs::rename(&data, &elsewhere).unwrap();
    assert!(overwritten.locates(2) && overwritten.locates(3));
    std::fs::rename(&elsewhere, &data).unwrap();
    assert!(overwritten.locates(62));
    std::fs::write(&overwritten.path, "no database").unwrap();
    assert!(overwritten.locates(63));
}

#[test]
fn a_folder_is_no_database() {
    let dir = tempfile::tempdir().unwrap();
    // What a container finds where a file to mount is missing.
    let told = database::Database::open(dir.path()).unwrap_err();
    assert!(told.contains(": is a directory; use a City"), "{told}");
}

/// Damage inside a file that opens costs an error, never the process.
#[test]
fn damaged_files_do_not_panic() {
    let dir = tempfile::tempdir().unwrap();
    let context = testing::context(&dir.path().join("data"), "geoip");
    let real = std::fs::read(fixture("ipinfo.mmdb")).unwrap();
    let path = dir.path().join("db.mmdb");
    let records: Vec<String> = (0..=255).map(|last| json!({ "ip": format!("192.0.2.{last}") }).to_string()).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let batch = testing::batch(&context.fields, &records);
    for at in (0..real.len()).step_by(7) {
        let mut damaged = real.clone();
        damaged[at] ^= 0xff;
        std::fs::write(&path, &damaged).unwrap();
        if let Ok(mut transform) =
            GeoIp::new(config(std::slice::from_ref(&path), &["ip"]), context.clone(), Clock::system())
        {
            transform.apply(&mut batch.clone(), &mut Outputs::default()).unwrap();
        }
    }
}
