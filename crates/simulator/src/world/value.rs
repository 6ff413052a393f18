//! The values that templates can name.
//!
//! Tables of names and where they come from; what needs more than a reference is made by a small function.

use super::applications::RESOURCES;
use super::calendar::{Form, SECOND};
use super::names::{EXTENSIONS, FOLDERS, MAIL_FOLDERS, MY_FOLDERS, STEMS, SUBJECTS};
use super::rng::{Rng, hash, push_base64, push_hex, push_number, push_uuid, scale};
use super::scene::Scene;
use super::template::{escape, form_of};
use super::tenant::User;

pub(super) type TextOf = for<'s> fn(&'s Scene<'_>) -> &'s str;
pub(super) type UserText = for<'s> fn(&'s User) -> &'s str;
pub(super) type Maker = fn(&Scene<'_>, &mut Rng, &mut String);

/// What a hole of a template is filled with.
pub(super) enum Value {
    Text(TextOf),
    Actor(UserText),
    Target(UserText),
    Made(Maker),
    Uuid(Option<u8>),
    Int { letter: Option<u8>, low: i64, high: i64 },
    Hex { letter: Option<u8>, digits: u32 },
    Base64 { letter: Option<u8>, length: u32 },
    Pick { letter: Option<u8>, options: Vec<String> },
    Time { form: Form, shift: i64 },
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Value")
    }
}

const OF_USER: &[(&str, UserText)] = &[
    ("id", |user| &user.id),
    ("upn", |user| &user.upn),
    ("name", |user| &user.display),
    ("given", |user| user.given),
    ("surname", |user| user.surname),
    ("alias", |user| &user.alias),
    ("puid", |user| &user.puid),
    ("sid", |user| &user.sid),
    ("mailbox", |user| &user.mailbox),
    ("forest", |user| &user.place_in_forest),
    ("items", |user| &user.item_prefix),
    ("department", |user| user.department),
    ("title", |user| user.title),
    ("my", |user| &user.site.url),
    ("computer", |user| &user.computer.name),
    ("computer.id", |user| &user.computer.id),
    ("computer.object", |user| &user.computer.object),
    ("computer.os", |user| user.computer.os),
    ("computer.version", |user| user.computer.os_version),
    ("phone", |user| &user.phone.name),
    ("phone.os", |user| user.phone.os),
];

const TEXTS: &[(&str, TextOf)] = &[
    ("id", |scene| &scene.id),
    ("tenant.id", |scene| &scene.tenant.id),
    ("tenant.domain", |scene| &scene.tenant.domain),
    ("tenant.short", |scene| &scene.tenant.short),
    ("ip", |scene| &scene.place.ip),
    ("city", |scene| scene.place.city),
    ("state", |scene| scene.place.state),
    ("country", |scene| scene.place.country),
    ("latitude", |scene| scene.place.latitude),
    ("longitude", |scene| scene.place.longitude),
    ("agent", |scene| scene.device.agent),
    ("browser", |scene| scene.device.browser),
    ("browser.family", |scene| scene.device.family),
    ("os", |scene| scene.device.os),
    ("device.id", |scene| &scene.device.id),
    ("device.object", |scene| &scene.device.object),
    ("device.name", |scene| &scene.device.name),
    ("device.trust", |scene| scene.device.trust),
    ("device.managed", |scene| if scene.device.managed { "true" } else { "false" }),
    ("device.Managed", |scene| if scene.device.managed { "True" } else { "False" }),
    ("app.id", |scene| &scene.app.id),
    ("app.name", |scene| &scene.app.name),
    ("app.object", |scene| &scene.app.object),
    ("app.principal", |scene| &scene.app.principal),
    ("app.key", |scene| &scene.app.key),
    ("resource.id", |scene| &scene.resource.id),
    ("resource.name", |scene| &scene.resource.name),
    ("resource.principal", |scene| &scene.resource.principal),
    ("site.url", |scene| &scene.site.url),
    ("site.name", |scene| &scene.site.name),
    ("site.id", |scene| &scene.site.id),
    ("site.web", |scene| &scene.site.web),
    ("site.list", |scene| &scene.site.list),
    ("site.workload", |scene| if scene.site.personal { "OneDrive" } else { "SharePoint" }),
    ("file.extension", |scene| EXTENSIONS[scene.file as usize % EXTENSIONS.len()]),
    ("file.folder", |scene| {
        let folders = if scene.site.personal { MY_FOLDERS } else { FOLDERS };
        folders[scene.file as usize / 7 % folders.len()]
    }),
    ("group.id", |scene| &scene.group.id),
    ("group.name", |scene| &scene.group.name),
    ("group.alias", |scene| &scene.group.alias),
    ("group.thread", |scene| &scene.group.thread),
    ("group.channel", |scene| &scene.group.channel),
    ("outsider", |scene| &scene.outsider.address),
    ("outsider.name", |scene| &scene.outsider.name),
    ("outsider.ip", |scene| &scene.outsider.ip),
    ("recipient", |scene| scene.recipient()),
    ("subject", |scene| SUBJECTS[scale(scene.letter(b'S'), SUBJECTS.len() as u64) as usize]),
    ("folder.name", |scene| mail_folder(scene).0),
    ("folder.path", |scene| mail_folder(scene).1),
    ("subscription.id", |scene| &scene.subscription.id),
    ("subscription.name", |scene| scene.subscription.name),
    ("organization.id", |scene| &scene.organization.id),
    ("organization", |scene| &scene.organization.name),
    ("project", |scene| &scene.organization.project),
    ("project.id", |scene| &scene.organization.project_id),
];

const MAKERS: &[(&str, Maker)] = &[
    ("session", |scene, _, out| push_uuid(out, scene.session, scene.session.rotate_left(17))),
    ("ip.port", |scene, _, out| {
        let port = 1024 + scale(scene.letter(b'P'), 64_000) as i64;
        if scene.place.ip.contains(':') {
            out.push('[');
            out.push_str(&scene.place.ip);
            out.push(']');
        } else {
            out.push_str(&scene.place.ip);
        }
        out.push(':');
        push_number(out, port);
    }),
    ("network", |scene, _, out| push_number(out, i64::from(scene.place.network))),
    ("upn.lower", |scene, _, out| out.extend(scene.actor.upn.chars().map(|letter| letter.to_ascii_lowercase()))),
    ("puid.lower", |scene, _, out| out.extend(scene.actor.puid.chars().map(|digit| digit.to_ascii_lowercase()))),
    ("file.name", |scene, _, out| file_name(scene, out)),
    ("file.id", |scene, _, out| {
        let seed = hash(scene.file, &scene.site.id);
        push_uuid(out, seed, seed.rotate_left(31));
    }),
    ("folder.id", |scene, _, out| {
        out.push_str("LgAAAAD");
        out.push_str(&scene.actor.item_prefix[4..]);
        out.push_str("AQ");
        push_base64(out, &mut Rng::new(mail_folder_seed(scene)), 20);
        out.push_str("AAAB");
    }),
    ("item.id", |scene, rng, out| {
        out.push_str("RgAAAAD");
        out.push_str(&scene.actor.item_prefix[4..]);
        out.push_str("Bw");
        push_base64(out, &mut Rng::new(mail_folder_seed(scene)), 20);
        push_base64(out, rng, 32);
        out.push_str("AAAJ");
    }),
    ("message.id", |scene, rng, out| {
        // As transport makes them: the server, then 32 digits, then the server's full name.
        let server = server(scene.letter(b'V'));
        out.push('<');
        out.push_str(server);
        push_hex(out, rng, 32);
        out.push('@');
        out.push_str(server);
        out.push_str(".eurprd04.prod.outlook.com>");
    }),
    ("mail.id", |scene, _, out| {
        out.push('<');
        push_hex(out, &mut Rng::new(scene.letter(b'M')), 32);
        out.push('@');
        out.push_str(server(scene.letter(b'V')));
        out.push_str(".eurprd04.prod.outlook.com>");
    }),
    ("server", |scene, _, out| {
        out.push_str(server(scene.letter(b'V')));
        out.push_str(" (15.20.8");
        push_number(out, 200 + scale(scene.letter(b'v'), 100) as i64);
        out.push_str(".0");
        push_number(out, 10 + scale(scene.letter(b'w'), 20) as i64);
        out.push(')');
    }),
    ("ticks", |scene, _, out| push_number(out, (scene.at + 62_135_596_800_000) * 10_000)),
    ("millis", |scene, _, out| push_number(out, scene.at)),
    ("permission", |scene, _, out| {
        let (_, value, _) = permission(scene);
        out.push_str(value);
    }),
    ("permission.id", |scene, _, out| {
        let (id, _, _) = permission(scene);
        out.push_str(id);
    }),
    ("permission.resource", |scene, _, out| {
        let (_, _, resource) = permission(scene);
        out.push_str(RESOURCES[resource].0);
    }),
    ("permission.resource.name", |scene, _, out| {
        let (_, _, resource) = permission(scene);
        out.push_str(RESOURCES[resource].1);
    }),
    ("permission.resource.principal", |scene, _, out| {
        let (_, _, resource) = permission(scene);
        out.push_str(&scene.tenant.resource(resource).principal);
    }),
    ("recipient.count", |scene, _, out| push_number(out, scene.recipients.len() as i64)),
    ("recipients", |scene, _, out| {
        for (place, address) in scene.recipients.iter().enumerate() {
            out.push_str(if place == 0 { "\"" } else { ",\"" });
            out.push_str(address);
            out.push('"');
        }
    }),
];

const SERVERS: &[&str] = &[
    "AM0PR04MB4196",
    "VI1PR04MB5056",
    "DB8PR04MB6875",
    "AM7PR04MB7174",
    "DB6PR04MB3206",
    "VI1PR04MB6046",
    "AM9PR04MB8274",
    "PAXPR04MB9185",
];

fn server(number: u64) -> &'static str {
    SERVERS[scale(number, SERVERS.len() as u64) as usize]
}

fn permission(scene: &Scene<'_>) -> (&'static str, &'static str, usize) {
    let all = super::applications::PERMISSIONS;
    let index = match scene.app.roles.as_slice() {
        [] => scale(scene.letter(b'R'), all.len() as u64) as usize,
        roles => roles[scale(scene.letter(b'R'), roles.len() as u64) as usize],
    };
    all[index]
}

fn mail_folder(scene: &Scene<'_>) -> (&'static str, &'static str) {
    MAIL_FOLDERS[scale(scene.letter(b'F'), MAIL_FOLDERS.len() as u64) as usize]
}

fn mail_folder_seed(scene: &Scene<'_>) -> u64 {
    hash(scene.actor.seed, mail_folder(scene).1)
}

fn file_name(scene: &Scene<'_>, out: &mut String) {
    out.push_str(STEMS[scene.file as usize / 3 % STEMS.len()]);
    out.push(' ');
    push_number(out, (scene.file % 97) as i64 + 1);
    out.push('.');
    out.push_str(EXTENSIONS[scene.file as usize % EXTENSIONS.len()]);
}

/// The value of a name and its arguments; inside of `quoted` text its own words are escaped once more.
pub(super) fn parse_value(full: &str, arguments: &str, quoted: bool) -> Result<Value, String> {
    let (name, letter) = match full.split_once(':') {
        Some((name, letter)) if letter.len() == 1 => (name, letter.bytes().next()),
        Some(_) => return Err(format!("`{full}`: expected one letter after the colon")),
        None => (full, None),
    };
    let number = |index: usize| -> Result<i64, String> {
        let text = arguments.split(' ').nth(index).unwrap_or_default();
        text.parse().map_err(|_| format!("`{full} {arguments}`: `{text}` is no number"))
    };
    let small = |index: usize| number(index).and_then(|it| u32::try_from(it).map_err(|error| error.to_string()));
    if let Some(form) = form_of(name) {
        let shift = if arguments.is_empty() { 0 } else { number(0)? * SECOND };
        return Ok(Value::Time { form, shift });
    }
    let user = |name: &str| OF_USER.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
    if let Some(text) = name.strip_prefix("actor.").and_then(user) {
        return Ok(Value::Actor(text));
    }
    if let Some(text) = name.strip_prefix("target.").and_then(user) {
        return Ok(Value::Target(text));
    }
    if let Some((_, text)) = TEXTS.iter().find(|(known, _)| *known == name) {
        return Ok(Value::Text(*text));
    }
    if let Some((_, make)) = MAKERS.iter().find(|(known, _)| *known == name) {
        return Ok(Value::Made(*make));
    }
    Ok(match name {
        "uuid" => Value::Uuid(letter),
        "int" => Value::Int { letter, low: number(0)?, high: number(1)? },
        "hex" => Value::Hex { letter, digits: small(0)? },
        "base64" => Value::Base64 { letter, length: small(0)? },
        "pick" => {
            let options = arguments.split('|').map(|option| if quoted { escape(option) } else { option.to_owned() });
            Value::Pick { letter, options: options.collect() }
        }
        _ => return Err(format!("`{full}` is no value that templates know")),
    })
}
