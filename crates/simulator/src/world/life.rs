//! Normal life: people work by day, applications and Microsoft's own services day and night.
//!
//! Time goes by in minutes. Each minute has its share of the day's records; operations are drawn and acted until it is
//! used up. What a minute holds follows from the seed and the minutes before it, never from who asks for it.

use super::applications::{Application, CLIENTS};
use super::calendar::{DAY, HOUR, MINUTE, liveliness};
use super::catalog::{By, Cast, Catalog, Operation};
use super::devices::Device;
use super::places::{OFFICES, Place};
use super::record::Pending;
use super::rng::{Rng, mix};
use super::scene::Scene;
use super::tenant::{Tenant, User};

/// The share of the records that need nobody to be awake.
const QUIET_SHARE: f64 = 0.22;
/// Half hours in a week.
const SLOTS: usize = 7 * 48;
/// A Monday before all that happens, at midnight UTC.
const MONDAY: i64 = 4 * DAY;

/// What goes on from minute to minute.
#[derive(Debug)]
pub(super) struct Life {
    rng: Rng,
    /// Records in a millisecond, on average.
    rate: f64,
    /// How much of the average there is in each half hour of the week.
    tide: Vec<f64>,
    /// How lively the liveliest person is in each half hour.
    peak: Vec<f64>,
    people: Draw,
    quiet: Draw,
    /// Records that are due: people's, and the others'.
    due: (f64, f64),
    /// The beginning of the stretch that is being worked through: nothing may happen before it.
    from: i64,
    /// The last local day on which each user signed in.
    signed_in: Vec<i64>,
}

/// Operations by their weight.
#[derive(Debug, Default)]
struct Draw {
    /// The sum of the weights up to and with each operation, and its index in the catalogue.
    steps: Vec<(u64, usize)>,
}

impl Draw {
    fn new(catalog: &Catalog, wanted: &[By]) -> Draw {
        let mut draw = Draw::default();
        let mut sum = 0;
        for (index, operation) in catalog.operations.iter().enumerate() {
            if operation.weight > 0 && wanted.contains(&operation.by) {
                sum += u64::from(operation.weight);
                draw.steps.push((sum, index));
            }
        }
        draw
    }

    fn draw<'c>(&self, catalog: &'c Catalog, rng: &mut Rng) -> Option<&'c Operation> {
        let sum = self.steps.last()?.0;
        let mark = rng.below(sum as usize) as u64;
        let step = self.steps.partition_point(|(upto, _)| *upto <= mark);
        Some(&catalog.operations[self.steps[step].1])
    }
}

fn half_hour(at: i64) -> usize {
    ((at - MONDAY).rem_euclid(7 * DAY) / (HOUR / 2)) as usize
}

fn local(user: &User, at: i64) -> i64 {
    at + OFFICES[user.office].1 * HOUR
}

fn weight(user: &User, at: i64) -> f64 {
    user.zeal * liveliness(local(user, at), user.starts, user.ends)
}

impl Life {
    pub(super) fn new(tenant: &Tenant, catalog: &Catalog, events_per_day: u64) -> Life {
        let middle = |slot: usize| MONDAY + slot as i64 * HOUR / 2 + 15 * MINUTE;
        let sums: Vec<f64> =
            (0..SLOTS).map(|slot| tenant.users.iter().map(|user| weight(user, middle(slot))).sum()).collect();
        let average = (sums.iter().sum::<f64>() / SLOTS as f64).max(f64::MIN_POSITIVE);
        Life {
            rng: Rng::new(mix(tenant.seed, 0x11FE)),
            rate: events_per_day as f64 / DAY as f64,
            tide: sums.iter().map(|sum| sum / average).collect(),
            peak: (0..SLOTS)
                .map(|slot| tenant.users.iter().map(|user| weight(user, middle(slot))).fold(0.0, f64::max))
                .collect(),
            people: Draw::new(catalog, &[By::User, By::Admin, By::Guest]),
            quiet: Draw::new(catalog, &[By::App, By::System]),
            due: (0.0, 0.0),
            from: i64::MIN,
            signed_in: vec![i64::MIN; tenant.users.len()],
        }
    }

    /// Lets a stretch of time go by.
    pub(super) fn pass(&mut self, tenant: &Tenant, catalog: &Catalog, from: i64, until: i64, pending: &mut Pending) {
        self.from = from;
        let amount = self.rate * (until - from) as f64;
        self.due.0 += amount * (1.0 - QUIET_SHARE) * self.tide[half_hour(from)];
        self.due.1 += amount * QUIET_SHARE;
        while self.due.0 >= 1.0 {
            let Some(operation) = self.people.draw(catalog, &mut self.rng) else { break };
            let at = self.rng.range(from, until - 1);
            self.due.0 -= self.act(tenant, catalog, operation, at, pending) as f64;
        }
        while self.due.1 >= 1.0 {
            let Some(operation) = self.quiet.draw(catalog, &mut self.rng) else { break };
            let at = self.rng.range(from, until - 1);
            self.due.1 -= self.act(tenant, catalog, operation, at, pending) as f64;
        }
    }

    /// Somebody does it. How many records that left.
    fn act(
        &mut self,
        tenant: &Tenant,
        catalog: &Catalog,
        operation: &Operation,
        at: i64,
        pending: &mut Pending,
    ) -> usize {
        let mut count = 0;
        let index = match operation.by {
            By::Admin => self.someone(tenant.administrators(), at),
            By::Guest => {
                let guest = &tenant.guests[self.rng.below(tenant.guests.len())];
                let mut scene = self.scene(tenant, operation, guest, at);
                return pending.leave(operation, &mut scene, &mut self.rng, None).max(1);
            }
            _ => self.someone(&tenant.users, at),
        };
        let actor = &tenant.users[index];
        if matches!(operation.by, By::User | By::Admin) {
            count += self.sign_in(tenant, catalog, index, at, pending);
        }
        let mut scene = self.scene(tenant, operation, actor, at);
        if operation.by == By::App {
            scene.place = &tenant.clouds[super::rng::hash(1, &scene.app.id) as usize % tenant.clouds.len()];
        }
        count += pending.leave(operation, &mut scene, &mut self.rng, None);
        // An operation that left nothing (all its views are left only sometimes) must not go on for ever.
        count.max(1)
    }

    /// The first thing that people do on a day.
    fn sign_in(&mut self, tenant: &Tenant, catalog: &Catalog, index: usize, at: i64, pending: &mut Pending) -> usize {
        let user = &tenant.users[index];
        let day = local(user, at).div_euclid(DAY);
        if self.signed_in[index] >= day {
            return 0;
        }
        self.signed_in[index] = day;
        let mut count = 0;
        let mistyped = if self.rng.chance(6) { self.rng.range(1, 2) } else { 0 };
        let failures = (0..mistyped).map(|_| "sign_in/password");
        let prompt = self.rng.chance(10).then_some("sign_in/mfa_required");
        let labels: Vec<&str> = failures.chain(prompt).chain(["sign_in/login"]).collect();
        for (place, label) in labels.iter().enumerate() {
            let Some(operation) = catalog.find(label) else { continue };
            let earlier = (labels.len() - place) as i64 * 4000;
            let mut scene = self.scene(tenant, operation, user, (at - earlier).max(self.from));
            count += pending.leave(operation, &mut scene, &mut self.rng, None);
        }
        count
    }

    /// One of the people, more likely one who is at work.
    fn someone(&mut self, people: &[User], at: i64) -> usize {
        let peak = self.peak[half_hour(at)];
        let mut chosen = 0;
        for _ in 0..256 {
            chosen = self.rng.below(people.len());
            if self.rng.unit() * peak < weight(&people[chosen], at) {
                break;
            }
        }
        chosen
    }

    fn scene<'w>(&mut self, tenant: &'w Tenant, operation: &Operation, actor: &'w User, at: i64) -> Scene<'w> {
        let (place, device) = whereabouts(actor, at);
        let mut scene = scene(tenant, actor, place, device, at, &mut self.rng);
        scene.session = mix(actor.seed, local(actor, at).div_euclid(DAY) as u64);
        let (app, resource) = application(tenant, operation.cast, &mut self.rng);
        scene.app = app;
        scene.resource = resource;
        scene
    }
}

/// Where somebody is at a time, and what they work with.
fn whereabouts(user: &User, at: i64) -> (&Place, &Device) {
    let now = local(user, at);
    let (day, of_day) = (now.div_euclid(DAY), now.rem_euclid(DAY));
    let travels = mix(user.seed, day.div_euclid(7) as u64 ^ 0x7AE1).is_multiple_of(40);
    let dice = mix(user.seed, day as u64);
    if travels {
        (&user.away, &user.computer)
    } else if of_day >= user.starts && of_day < user.ends {
        (if dice % 5 < 3 { &user.office_place } else { &user.home }, &user.computer)
    } else if dice.is_multiple_of(3) {
        (&user.mobile, &user.phone)
    } else {
        (&user.home, &user.computer)
    }
}

/// Who takes part for an operation's cast: client and resource, or an application of the tenant.
fn application<'w>(tenant: &'w Tenant, cast: Cast, rng: &mut Rng) -> (&'w Application, &'w Application) {
    let index = match cast {
        Cast::Own => return (rng.pick(&tenant.own), tenant.resource(0)),
        Cast::Any => rng.below(CLIENTS.len()),
        Cast::Mail => *rng.pick(&[1, 5, 6]),
        Cast::Files => *rng.pick(&[2, 3, 7]),
        Cast::Azure => *rng.pick(&[8, 9]),
    };
    (&tenant.first_party[index], tenant.resource(CLIENTS[index].2))
}

/// A scene with everything in it that the actor and chance decide.
pub(super) fn scene<'w>(
    tenant: &'w Tenant,
    actor: &'w User,
    place: &'w Place,
    device: &'w Device,
    at: i64,
    rng: &mut Rng,
) -> Scene<'w> {
    // People keep to three teams of theirs.
    let team = mix(actor.seed, rng.below(3) as u64) as usize % tenant.groups.len();
    let group = &tenant.groups[team];
    let target = other(tenant, actor, rng);
    let outsider = rng.pick(&tenant.outsiders);
    let recipients = (0..1 + rng.below(2) * rng.below(3))
        .map(|_| {
            if rng.chance(60) {
                other(tenant, actor, rng).upn.as_str()
            } else {
                rng.pick(&tenant.outsiders).address.as_str()
            }
        })
        .fold(Vec::with_capacity(3), |mut all: Vec<&str>, address| {
            // A row of the message trace is known by its recipient.
            if !all.contains(&address) {
                all.push(address);
            }
            all
        });
    Scene {
        tenant,
        at,
        seed: rng.next(),
        actor,
        target,
        place,
        device,
        app: rng.pick(&tenant.own),
        resource: tenant.resource(0),
        site: if rng.chance(45) { &actor.site } else { &group.site },
        file: rng.next() % 400,
        group,
        outsider,
        subscription: rng.pick(&tenant.subscriptions),
        organization: rng.pick(&tenant.organizations),
        session: rng.next(),
        recipients,
        arguments: Vec::new(),
        id: String::new(),
        recipient: 0,
    }
}

/// Somebody else.
pub(super) fn other<'w>(tenant: &'w Tenant, actor: &User, rng: &mut Rng) -> &'w User {
    let first = rng.below(tenant.users.len());
    let user = &tenant.users[first];
    if user.upn == actor.upn { &tenant.users[(first + 1) % tenant.users.len()] } else { user }
}
