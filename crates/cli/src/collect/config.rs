//! The pipeline of a collection, as a config: sources by profile, flattened, filtered, deduplicated, into files.

use downspout_runtime::Plan;
use downspout_runtime::config::Diagnostics;
use serde_json::{Map, Value, json};

use super::args::{CollectArguments, Profile};
use super::heed::filters_itself;
use super::order::{Order, profiles, state_folder};
use super::sign_in::Secrets;

/// The operations of the profile `light`.
const LIGHT: &str = include_str!("light-operations.txt");

/// The record types of the profile `defender`.
const DEFENDER: &str = include_str!("defender-record-types.txt");

/// The source of what there is at one moment, whatever time is ordered.
pub(super) const SNAPSHOT: &str = "entra_snapshot";

/// The name under which the config finds the application's secret.
pub(crate) const SECRET: &str = "DOWNSPOUT_COLLECT_SECRET";

/// The name under which the config finds the certificate's password.
pub(crate) const PASSWORD: &str = "DOWNSPOUT_COLLECT_PASSWORD";

/// The names in a data file: a line each, `\s` for a blank at its end.
pub(crate) fn names(data: &str) -> Vec<String> {
    let lines = data.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.strip_suffix("\\s").map_or_else(|| line.to_owned(), |line| format!("{line} "))).collect()
}

/// The fields by which records of a source name a user and an address, for sources whose API cannot ask for them.
struct Fields {
    users: &'static [&'static str],
    addresses: &'static [&'static str],
}

/// The pipeline of a collection.
///
/// # Errors
/// What is wrong with the arguments.
pub(crate) fn plan(arguments: &CollectArguments, order: &Order, secrets: &Secrets) -> Result<Plan, String> {
    let text = config(arguments, order).to_string();
    Plan::from_text("collect", &text, &|name| secrets.of(name)).map_err(|problems| told(&problems))
}

/// The config of a collection, in YAML's subset JSON.
fn config(arguments: &CollectArguments, order: &Order) -> Value {
    let common = common(arguments);
    let timed = |mut keys: Map<String, Value>| {
        keys.insert("start".to_owned(), order.since.to_string().into());
        keys.insert("until".to_owned(), order.until.to_string().into());
        keys
    };
    let mut pipeline = Pipeline::default();
    let profiles = profiles(arguments);
    let has = |profile: Profile| profiles.contains(&profile);
    let own_filter = filters_itself(arguments);
    for (profile, id) in [
        (Profile::Full, "unified_audit"),
        (Profile::Light, "unified_audit_light"),
        (Profile::Defender, "unified_audit_defender"),
    ] {
        // Everything holds the rest; and a filter of one's own stands in place of the profiles', which are one search then.
        let held = (profile != Profile::Full && has(Profile::Full))
            || (profile == Profile::Defender && has(Profile::Light) && own_filter);
        if !has(profile) || held {
            continue;
        }
        let mut search = json!({
            "backend": arguments.backend,
            "users": arguments.user,
            "ips": arguments.ip,
            "text": arguments.text.clone().unwrap_or_default(),
            "operations": arguments.operations,
            "record_types": arguments.record_types,
        });
        match profile {
            Profile::Light if !own_filter => search["operations"] = json!(names(LIGHT)),
            Profile::Defender if !own_filter => search["record_types"] = json!(names(DEFENDER)),
            _ => {}
        }
        pipeline.source(id, "unified_audit_search", timed(common.clone()), search, None);
    }
    if has(Profile::Entra) {
        let users: &[_] = &["userPrincipalName", "servicePrincipalName"];
        let fields = Fields { users, addresses: &["ipAddress"] };
        pipeline.source("entra_signins", "entra_signins", timed(common.clone()), json!({}), Some(fields));
        let users: &[_] =
            &["initiatedBy.user.userPrincipalName", "targetResources.userPrincipalName", "userPrincipalName"];
        let fields = Fields { users, addresses: &["initiatedBy.user.ipAddress", "ipAddress"] };
        pipeline.source("entra_audits", "entra_audits", timed(common.clone()), json!({}), Some(fields));
    }
    let objects: Vec<&str> = [(Profile::Apps, "apps"), (Profile::Devices, "devices"), (Profile::Users, "users")]
        .into_iter()
        .filter_map(|(profile, objects)| has(profile).then_some(objects))
        .collect();
    if !objects.is_empty() {
        pipeline.source(SNAPSHOT, "entra_snapshot", common.clone(), json!({ "objects": objects }), None);
    }
    if has(Profile::Azure) {
        let users: &[_] = &["caller"];
        let fields = Fields { users, addresses: &["httpRequest.clientIpAddress"] };
        pipeline.source("azure_activity", "azure_activity", timed(common.clone()), json!({}), Some(fields));
    }
    if has(Profile::Devops) {
        let fields = Fields { users: &["actorUPN"], addresses: &["ipAddress"] };
        let mut keys = json!({});
        if !arguments.organization.is_empty() {
            keys["organizations"] = json!(arguments.organization);
        }
        pipeline.source("azure_devops_audit", "azure_devops_audit", timed(common.clone()), keys, Some(fields));
    }
    if has(Profile::Mailbox) {
        let fields = Fields { users: &[], addresses: &["ClientIPAddress", "ClientIP"] };
        let keys = json!({ "mailboxes": arguments.user });
        pipeline.source("mailbox_audit", "mailbox_audit", timed(common.clone()), keys, Some(fields));
        let fields = Fields { users: &["senderAddress", "recipientAddress"], addresses: &["fromIP"] };
        pipeline.source("message_trace", "message_trace", timed(common), json!({}), Some(fields));
    }
    pipeline.finish(arguments)
}

/// The key `cloud`.
pub(crate) fn cloud(arguments: &CollectArguments) -> Value {
    match arguments.cloud.as_str() {
        address if address.contains("://") => json!({ "simulator": address }),
        name => json!(name),
    }
}

/// The keys that all sources share.
fn common(arguments: &CollectArguments) -> Map<String, Value> {
    let mut auth = json!({ "client_id": arguments.client_id });
    if let Some(certificate) = &arguments.certificate {
        auth["certificate"] = json!(certificate);
        if arguments.certificate_password_env.is_some() {
            auth["password"] = format!("${{{PASSWORD}}}").into();
        }
    } else if arguments.device_code {
        auth["device_code"] = true.into();
    } else {
        auth["client_secret"] = format!("${{{SECRET}}}").into();
    }
    let cloud = cloud(arguments);
    let ca_file = arguments.ca_file.as_ref().map(|path| ("ca_file", json!(path)));
    let keys = [("tenant_id", json!(arguments.tenant_id)), ("auth", auth), ("cloud", cloud), ("mode", json!("once"))];
    keys.into_iter().chain(ca_file).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A config under way.
#[derive(Default)]
struct Pipeline {
    sources: Map<String, Value>,
    transforms: Map<String, Value>,
    /// What the deduplication reads.
    outputs: Vec<String>,
    filtered: Vec<(String, Fields)>,
}

impl Pipeline {
    fn source(&mut self, id: &str, kind: &str, mut keys: Map<String, Value>, more: Value, filter: Option<Fields>) {
        keys.insert("type".to_owned(), kind.into());
        if let Value::Object(more) = more {
            // What is empty would only make the config longer.
            let telling = |value: &Value| !matches!(value, Value::Null) && *value != json!([]) && *value != json!("");
            keys.extend(more.into_iter().filter(|(_, value)| telling(value)));
        }
        self.sources.insert(id.to_owned(), Value::Object(keys));
        let flat = format!("flat_{id}");
        self.transforms.insert(flat.clone(), json!({ "type": "flatten", "inputs": [id] }));
        match filter {
            Some(fields) => self.filtered.push((flat, fields)),
            None => self.outputs.push(flat),
        }
    }

    fn finish(mut self, arguments: &CollectArguments) -> Value {
        for (flat, fields) in std::mem::take(&mut self.filtered) {
            match condition(arguments, &fields) {
                Some(condition) => {
                    let id = format!("only_{flat}");
                    self.transforms
                        .insert(id.clone(), json!({ "type": "filter", "inputs": [flat], "condition": condition }));
                    self.outputs.push(id);
                }
                None => self.outputs.push(flat),
            }
        }
        let unique = json!({
            "type": "dedupe",
            "inputs": self.outputs,
            // A collection may be resumed weeks later.
            "horizon": "400d",
            "memory": "64MiB",
        });
        self.transforms.insert("unique".to_owned(), unique);
        let files = json!({
            // The sinks are named as their files are.
            "type": arguments.format.extension(),
            "inputs": ["unique"],
            "path": arguments.out,
            "partition_by": ["source", "date"],
            // Few files, and large ones. What is collected and not written is in the journal, so nothing is asked for twice.
            "roll": { "max_age": "5m" },
        });
        json!({
            "data_dir": state_folder(&arguments.out),
            "sources": self.sources,
            "transforms": self.transforms,
            "sinks": { "files": files },
        })
    }
}

/// The problems of a config that nobody has seen, each once: what all sources share would be told by each.
fn told(problems: &Diagnostics) -> String {
    let mut told: Vec<String> = Vec::new();
    for problem in problems.iter() {
        let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        let line = format!("{}{help}", problem.message);
        if !told.contains(&line) {
            told.push(line);
        }
    }
    told.join("\nerror: ")
}

/// The condition that user and address make for a source; `None` if it takes everything.
fn condition(arguments: &CollectArguments, fields: &Fields) -> Option<String> {
    let list = |values: &mut dyn Iterator<Item = String>| {
        let quoted: Vec<String> = values.map(|value| Value::String(value).to_string()).collect();
        quoted.join(", ")
    };
    let mut conditions = Vec::new();
    let mut any = |tests: Vec<String>| conditions.push(format!("({})", tests.join(" or ")));
    if !arguments.user.is_empty() && !fields.users.is_empty() {
        let users = list(&mut arguments.user.iter().cloned());
        any(fields.users.iter().map(|field| format!("{field} in [{users}]")).collect());
    }
    if !arguments.ip.is_empty() && !fields.addresses.is_empty() {
        // `cidr` knows an address in all the ways in which it is written.
        let addresses = list(&mut arguments.ip.iter().map(ToString::to_string));
        any(fields.addresses.iter().map(|field| format!("cidr({field}, {addresses})")).collect());
    }
    (!conditions.is_empty()).then(|| conditions.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::super::args::tests::arguments;
    use super::*;

    fn built(more: &[&str]) -> Value {
        let arguments = arguments(&[&["--client-secret-env", "S"], more].concat());
        let order = Order::new(&arguments, "2026-11-22T10:00:00Z".parse().unwrap(), None);
        let config = config(&arguments, &order);
        let env = |name: &str| (name == SECRET).then(|| "s".to_owned());
        if let Err(problems) = Plan::from_text("collect", &config.to_string(), &env) {
            panic!("{more:?}: {problems}");
        }
        config
    }

    #[test]
    fn every_profile_is_a_good_config() {
        for profile in
            ["light", "full", "defender", "entra", "apps", "devices", "users", "azure", "devops", "mailbox", "all"]
        {
            built(&["--profile", profile]);
            let filtered =
                ["--user", "ada@contoso.example", "--ip", "203.0.113.7", "--text", "in\"voice", "--format", "parquet"];
            built(&[&["--profile", profile], &filtered[..]].concat());
        }
        let all = built(&["--profile", "all"]);
        let sources: Vec<&String> = all["sources"].as_object().unwrap().keys().collect();
        let expected = [
            "azure_activity",
            "azure_devops_audit",
            "entra_audits",
            "entra_signins",
            "entra_snapshot",
            "mailbox_audit",
            "message_trace",
            "unified_audit",
        ];
        assert_eq!(sources, expected);
    }

    #[test]
    fn filters_of_ones_own_stand_in_place_of_the_profiles() {
        let light = built(&[]);
        let search = &light["sources"]["unified_audit_light"];
        assert!(search["operations"].as_array().unwrap().contains(&json!("New-InboxRule")));
        assert!(search.get("record_types").is_none());
        let own = built(&["--operations", "Add user.,Send"]);
        assert_eq!(own["sources"]["unified_audit_light"]["operations"], json!(["Add user.", "Send"]));
        let both = built(&["--profile", "light,defender", "--operations", "Send"]);
        assert_eq!(both["sources"].as_object().unwrap().len(), 1);
    }

    #[test]
    fn the_data_files_are_lists_without_repeats() {
        for data in [LIGHT, DEFENDER] {
            let mut names = names(data);
            let count = names.len();
            assert!(count > 10 && names.iter().all(|name| !name.starts_with(' ')));
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count);
        }
        assert!(names(LIGHT).contains(&"Update application – Certificates and secrets management ".to_owned()));
    }
}
