//! The world's behaviour.

mod attacks;
mod feeds;
mod shapes;
mod time;

use serde_json::Value;

use super::*;

const TENANT: &str = "6d0c2b2e-9a3e-4a0e-8f3b-5b8d4d3f7a11";

/// A Monday.
fn start() -> Timestamp {
    "2026-01-05T00:00:00Z".parse().expect("time")
}

fn config(seed: u64, events_per_day: u64) -> WorldConfig {
    WorldConfig {
        seed,
        tenant_id: TENANT.to_owned(),
        domain: "contoso.example".to_owned(),
        users: 60,
        events_per_day,
        start: start(),
        attacks: Vec::new(),
    }
}

fn hours(count: i64) -> Timestamp {
    start() + jiff::SignedDuration::from_hours(count)
}

fn parse(happening: &Happening) -> Value {
    serde_json::from_str(&happening.record).unwrap_or_else(|error| panic!("{error}: {}", happening.record))
}

/// Every record that every operation leaves, several times, as chance will have it.
fn every_operation(chance: u64) -> Vec<(usize, Happening)> {
    let catalog = Catalog::get().expect("catalogue");
    let tenant = Tenant::new(&config(1, 0));
    let mut rng = rng::Rng::new(chance);
    let mut all = Vec::new();
    for (index, operation) in catalog.operations.iter().enumerate() {
        for turn in 0..4 {
            let actor = &tenant.users[turn];
            let place = [&actor.home, &actor.mobile][turn % 2];
            let mut scene = life::scene(&tenant, actor, place, &actor.computer, millis(start()), &mut rng);
            let mut pending = Pending::default();
            pending.leave(operation, &mut scene, &mut rng, None);
            all.extend(pending.entries.into_iter().map(|entry| (index, entry.happening)));
        }
    }
    all
}

#[test]
fn the_catalogue_is_large_and_its_records_parse() {
    let catalog = Catalog::get().expect("catalogue");
    assert!(catalog.operations.len() > 300, "{} operations", catalog.operations.len());
    for (index, happening) in every_operation(7) {
        let record = serde_json::from_str::<Value>(&happening.record);
        let record = record.unwrap_or_else(|error| panic!("operation {index}: {error}: {}", happening.record));
        assert!(record.is_object());
        assert!(!happening.record.contains(['\n', '\r']), "{}", happening.record);
        assert!(!happening.record.contains("${"), "{}", happening.record);
    }
}
