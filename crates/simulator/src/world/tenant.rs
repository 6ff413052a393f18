//! Who and what is there: people, groups, sites, applications, subscriptions. Made once from the seed, then unchanged.

use super::applications::{self, Application, CLIENTS};
use super::calendar::{HOUR, MINUTE};
use super::config::WorldConfig;
use super::devices::Device;
use super::names::{DEPARTMENTS, FREE_MAIL, GIVEN, PARTNERS, SURNAME, TEAMS, ascii};
use super::places::{CLOUDS, FOREIGN, HOMES, MOBILES, OFFICES, Place, TRAVELS};
use super::rng::{Rng, hash, mix, push_base64, uuid_of};

/// A person with an account.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) id: String,
    pub(super) upn: String,
    pub(super) display: String,
    pub(super) given: &'static str,
    pub(super) surname: &'static str,
    pub(super) alias: String,
    /// Sixteen hexadecimal digits that Exchange and SharePoint know the account by.
    pub(super) puid: String,
    pub(super) sid: String,
    pub(super) mailbox: String,
    /// Where Exchange keeps the mailbox, as cmdlets write it.
    pub(super) place_in_forest: String,
    /// The beginning that the ids of all items of the mailbox share.
    pub(super) item_prefix: String,
    pub(super) department: &'static str,
    pub(super) title: &'static str,
    pub(super) office: usize,
    /// Milliseconds of the day, in local time.
    pub(super) starts: i64,
    pub(super) ends: i64,
    /// How much they do, 1 on average.
    pub(super) zeal: f64,
    pub(super) office_place: Place,
    pub(super) home: Place,
    pub(super) mobile: Place,
    /// Where they are when they travel.
    pub(super) away: Place,
    pub(super) computer: Device,
    pub(super) phone: Device,
    /// The OneDrive.
    pub(super) site: Site,
    /// A seed of their own, for what follows from who they are.
    pub(super) seed: u64,
}

/// A SharePoint site or a OneDrive.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) url: String,
    pub(super) name: String,
    pub(super) id: String,
    pub(super) web: String,
    pub(super) list: String,
    pub(super) personal: bool,
}

/// A group with a team, a site and a mailbox.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) alias: String,
    pub(super) thread: String,
    pub(super) channel: String,
    pub(super) site: Site,
}

/// Somebody outside.
#[derive(Debug, Clone)]
pub(super) struct Outsider {
    pub(super) address: String,
    pub(super) name: String,
    pub(super) ip: String,
}

/// An Azure subscription.
#[derive(Debug, Clone)]
pub(super) struct Subscription {
    pub(super) id: String,
    pub(super) name: &'static str,
}

/// An Azure DevOps organisation.
#[derive(Debug, Clone)]
pub(super) struct Organization {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) project: String,
    pub(super) project_id: String,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) seed: u64,
    pub(super) id: String,
    pub(super) domain: String,
    /// The domain's first label.
    pub(super) short: String,
    pub(super) users: Vec<User>,
    /// The first so many users are administrators.
    pub(super) admins: usize,
    pub(super) guests: Vec<User>,
    pub(super) groups: Vec<Group>,
    /// Microsoft's clients and resources.
    pub(super) first_party: Vec<Application>,
    pub(super) own: Vec<Application>,
    pub(super) outsiders: Vec<Outsider>,
    /// Freemail addresses that nobody knows.
    pub(super) strangers: Vec<Outsider>,
    /// Where applications run.
    pub(super) clouds: Vec<Place>,
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) organizations: Vec<Organization>,
}

/// The fewest people that a tenant has.
const FEWEST: usize = 5;

impl Tenant {
    pub(super) fn new(config: &WorldConfig) -> Tenant {
        let seed = hash(config.seed, &config.tenant_id);
        let domain = config.domain.to_ascii_lowercase();
        let short = domain.split('.').next().unwrap_or_default().to_owned();
        let mut rng = Rng::new(seed);
        let count = config.users.max(FEWEST);
        let mut taken = std::collections::HashSet::new();
        let users: Vec<User> = (0..count).map(|_| user(&mut rng, &domain, &short, &mut taken)).collect();
        let outsiders = (0..64).map(|_| outsider(&mut rng, PARTNERS, false)).collect::<Vec<_>>();
        let guests = outsiders.iter().take(6).map(|outside| guest(&mut rng, outside, &domain, &short)).collect();
        let clouds = (0..12).map(|_| rng.pick(CLOUDS).place(&mut rng)).collect();
        let subscriptions = ["Production", "Development", "Sandbox"];
        let subscriptions = subscriptions.map(|name| Subscription { id: uuid_of(hash(seed, name)), name });
        let organizations = ["", "-labs"].map(|suffix| Organization {
            id: uuid_of(hash(seed, "organization") ^ suffix.len() as u64),
            name: format!("{short}{suffix}"),
            project: if suffix.is_empty() { "web" } else { "prototype" }.to_owned(),
            project_id: uuid_of(hash(seed, "project") ^ suffix.len() as u64),
        });
        Tenant {
            seed,
            id: config.tenant_id.clone(),
            admins: (count / 20).clamp(2, 12),
            users,
            guests,
            groups: TEAMS.iter().map(|name| group(seed, name, &short)).collect(),
            first_party: applications::first_party(seed),
            own: applications::own(&mut rng),
            outsiders,
            strangers: (0..32).map(|_| outsider(&mut rng, FREE_MAIL, true)).collect(),
            clouds,
            subscriptions: subscriptions.to_vec(),
            organizations: organizations.to_vec(),
            domain,
            short,
        }
    }

    /// One of Microsoft's resources, by its index in [`applications::RESOURCES`].
    pub(super) fn resource(&self, index: usize) -> &Application {
        &self.first_party[CLIENTS.len() + index]
    }

    /// The users who are administrators.
    pub(super) fn administrators(&self) -> &[User] {
        &self.users[..self.admins]
    }
}

fn user(rng: &mut Rng, domain: &str, short: &str, taken: &mut std::collections::HashSet<String>) -> User {
    let (given, surname) = (*rng.pick(GIVEN), *rng.pick(SURNAME));
    let plain = format!("{}.{}", ascii(given), ascii(surname));
    let mut alias = plain.clone();
    let mut number = 1;
    while !taken.insert(alias.clone()) {
        number += 1;
        alias = format!("{plain}{number}");
    }
    person(rng, &alias, given, surname, format!("{alias}@{domain}"), domain, short)
}

/// The account of a guest.
fn guest(rng: &mut Rng, outside: &Outsider, domain: &str, short: &str) -> User {
    let (given, surname) = (*rng.pick(GIVEN), *rng.pick(SURNAME));
    let alias = format!("{}#EXT#", outside.address.replace('@', "_"));
    let mut user = person(rng, &alias, given, surname, format!("{alias}@{domain}"), domain, short);
    user.display.clone_from(&outside.name);
    user.office_place = FOREIGN[4].place(rng);
    user.office_place.ip.clone_from(&outside.ip);
    user.home = user.office_place.clone();
    user.mobile = user.office_place.clone();
    user.away = user.office_place.clone();
    user
}

fn person(
    rng: &mut Rng,
    alias: &str,
    given: &'static str,
    surname: &'static str,
    upn: String,
    domain: &str,
    short: &str,
) -> User {
    let seed = rng.next();
    // Three of five work at the head office.
    let office = [0, 0, 0, 1, 2][rng.below(5)];
    let starts = 7 * HOUR + 30 * MINUTE + rng.range(0, 7) * 15 * MINUTE;
    let &(department, title) = rng.pick(DEPARTMENTS);
    let mut item_prefix = String::from("AAAA");
    push_base64(&mut item_prefix, &mut Rng::new(mix(seed, 5)), 26);
    User {
        id: uuid_of(mix(seed, 1)),
        puid: format!("1003{:012X}", mix(seed, 2) & 0xFFFF_FFFF_FFFF),
        sid: format!(
            "S-1-5-21-1376570662-3565232716-{}-{}",
            hash(7, domain) % 4_000_000_000,
            25_000_000 + mix(seed, 3) % 4_000_000
        ),
        mailbox: uuid_of(mix(seed, 4)),
        place_in_forest: format!(
            "EURPR04A009.PROD.OUTLOOK.COM/Microsoft Exchange Hosted Organizations/{domain}/{alias}"
        ),
        item_prefix,
        display: format!("{given} {surname}"),
        given,
        surname,
        department,
        title,
        office,
        starts,
        ends: starts + 8 * HOUR + 30 * MINUTE + rng.range(0, 6) * 15 * MINUTE,
        zeal: 0.3 + 1.4 * rng.unit() * rng.unit() + 0.35,
        office_place: OFFICES[office].0.place(rng),
        home: HOMES[office].place(rng),
        mobile: MOBILES[office].place(rng),
        away: rng.pick(TRAVELS).place(rng),
        computer: Device::computer(rng),
        phone: Device::phone(rng),
        site: Site {
            url: format!(
                "https://{short}-my.sharepoint.com/personal/{}",
                upn.to_ascii_lowercase().replace(|letter: char| !letter.is_ascii_alphanumeric(), "_")
            ),
            name: format!("{given} {surname}"),
            id: uuid_of(mix(seed, 6)),
            web: uuid_of(mix(seed, 7)),
            list: uuid_of(mix(seed, 8)),
            personal: true,
        },
        alias: alias.to_owned(),
        upn,
        seed,
    }
}

fn group(seed: u64, name: &str, short: &str) -> Group {
    let alias = name.replace(' ', "");
    let own = hash(seed, name);
    Group {
        id: uuid_of(mix(own, 1)),
        name: name.to_owned(),
        thread: format!("19:{}@thread.tacv2", uuid_of(mix(own, 2)).replace('-', "")),
        channel: format!("19:{}@thread.tacv2", uuid_of(mix(own, 3)).replace('-', "")),
        site: Site {
            url: format!("https://{short}.sharepoint.com/sites/{alias}"),
            name: name.to_owned(),
            id: uuid_of(mix(own, 4)),
            web: uuid_of(mix(own, 5)),
            list: uuid_of(mix(own, 6)),
            personal: false,
        },
        alias,
    }
}

fn outsider(rng: &mut Rng, domains: &[&str], stranger: bool) -> Outsider {
    let (given, surname, domain) = (*rng.pick(GIVEN), *rng.pick(SURNAME), *rng.pick(domains));
    let number = if stranger { rng.range(100, 9999).to_string() } else { String::new() };
    Outsider {
        address: format!("{}.{}{number}@{domain}", ascii(given), ascii(surname)).to_ascii_lowercase(),
        name: format!("{given} {surname}"),
        ip: rng.pick(if stranger { FOREIGN } else { HOMES }).place(rng).ip,
    }
}
