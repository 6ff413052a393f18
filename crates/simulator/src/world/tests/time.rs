//! Time and chance: the same seed gives the same life, in its measure, at its hours.

use proptest::prelude::*;

use super::*;

/// The whole of a stretch, asked for in steps of so many milliseconds.
fn in_steps(world: &mut World, until: Timestamp, mut step: impl FnMut() -> i64) -> Vec<Happening> {
    let mut all = Vec::new();
    let mut now = start();
    while now < until {
        now = (now + jiff::SignedDuration::from_millis(step())).min(until);
        all.extend(world.advance(now));
    }
    all
}

fn with_attacks(seed: u64) -> WorldConfig {
    let mut config = config(seed, 4000);
    config.attacks = all_attacks(start() - jiff::SignedDuration::from_hours(3));
    config.attacks.truncate(6);
    config
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn steps_change_nothing(seed in 0u64..1000, steps in proptest::collection::vec(1i64..40_000_000, 1..8)) {
        let until = hours(10);
        let whole = World::new(with_attacks(seed)).advance(until);
        let mut turn = 0;
        let mut world = World::new(with_attacks(seed));
        let parts = in_steps(&mut world, until, || { turn += 1; steps[turn % steps.len()].max(20_000) });
        prop_assert_eq!(&whole, &parts);
        prop_assert!(whole.is_sorted_by_key(|happening| happening.time));
        prop_assert!(whole.iter().all(|happening| happening.time >= start() && happening.time < until));
    }
}

#[test]
fn nothing_happens_twice_and_nothing_backwards() {
    let mut world = World::new(config(3, 5000));
    let first = world.advance(hours(5));
    assert!(!first.is_empty());
    assert!(world.advance(hours(5)).is_empty());
    assert!(world.advance(hours(2)).is_empty());
    assert_eq!(world.now(), hours(5));
    assert!(world.advance(hours(6)).iter().all(|happening| happening.time >= hours(5)));
}

#[test]
fn a_fraction_of_a_millisecond_belongs_to_the_step() {
    let all = World::new(config(3, 50_000)).advance(hours(1));
    let time = all[all.len() / 2].time;
    let mut world = World::new(config(3, 50_000));
    let before = world.advance(time);
    assert!(before.iter().all(|happening| happening.time < time));
    let at = world.advance(time + jiff::SignedDuration::from_nanos(1));
    assert!(!at.is_empty() && at.iter().all(|happening| happening.time == time));
}

#[test]
fn seeds_and_tenants_make_different_worlds() {
    let ids = |config: WorldConfig| -> Vec<String> {
        World::new(config).advance(hours(9)).into_iter().map(|happening| happening.id).collect()
    };
    let first = ids(config(1, 2000));
    let mut elsewhere = config(1, 2000);
    elsewhere.tenant_id = "00000000-1111-4222-8333-444444444444".to_owned();
    for other in [ids(config(2, 2000)), ids(elsewhere)] {
        assert!(other.iter().all(|id| !first.contains(id)));
    }
}

#[test]
fn attacks_leave_normal_life_as_it_is() {
    let normal = World::new(config(9, 3000)).advance(hours(12));
    let mut attacked = config(9, 3000);
    attacked.attacks = all_attacks(start());
    let attacked = World::new(attacked).advance(hours(12));
    let rest: Vec<&Happening> = attacked.iter().filter(|happening| happening.attack.is_none()).collect();
    assert!(attacked.len() > normal.len());
    assert!(rest.into_iter().eq(&normal));
}

#[test]
fn the_rate_is_that_of_the_config() {
    for rate in [200, 6000] {
        let count = World::new(config(5, rate)).advance(hours(7 * 24)).len() as f64;
        let wanted = (rate * 7) as f64;
        assert!((count / wanted - 1.0).abs() < 0.03, "{count} records instead of {wanted}");
    }
}

#[test]
fn people_work_by_day_and_machines_always() {
    let all = World::new(config(5, 8000)).advance(hours(7 * 24));
    let count = |kind: fn(&Feed) -> bool, day: i64, from: i64, until: i64| {
        let range = hours(day * 24 + from)..hours(day * 24 + until);
        all.iter().filter(|happening| kind(&happening.feed) && range.contains(&happening.time)).count()
    };
    let files: fn(&Feed) -> bool = |feed| *feed == Feed::SharePoint;
    let machines: fn(&Feed) -> bool = |feed| *feed == Feed::SignInManagedIdentity;
    let (day, night, sunday) = (count(files, 1, 8, 16), count(files, 1, 0, 5), count(files, 6, 8, 16));
    assert!(day > 20 * night.max(1) && day > 8 * sunday.max(1), "{day} by day, {night} at night, {sunday} on Sunday");
    let (day, night) = (count(machines, 1, 8, 16), count(machines, 1, 0, 8));
    assert!(night * 2 > day, "{day} by day, {night} at night");
}

#[test]
fn a_world_may_start_in_the_middle_of_a_minute() {
    let mut config = config(5, 90_000);
    config.start = start() + jiff::SignedDuration::from_millis(8 * 3_600_000 + 1234);
    let begin = config.start;
    let all = World::new(config).advance(begin + jiff::SignedDuration::from_mins(5));
    assert!(!all.is_empty() && all.iter().all(|happening| happening.time >= begin));
}

#[test]
fn the_pending_records_stay_few() {
    let mut world = World::new(config(5, 200_000));
    for minute in 0..240 {
        world.advance(hours(8) + jiff::SignedDuration::from_mins(minute));
        assert!(world.pending.entries.len() < 2000, "{} wait", world.pending.entries.len());
    }
}
