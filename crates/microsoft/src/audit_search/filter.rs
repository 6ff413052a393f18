//! What a search asks for: users, addresses, operations, record types, a text; and how each backend writes it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use downspout_core::ConfigError;
use serde_json::{Value, json};

use crate::client::Trouble;
use crate::exchange::wire::Parameters;
use crate::windows::Window;

/// The filters of a search. What is empty does not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filters {
    pub(crate) users: Vec<String>,
    pub(crate) ips: Vec<String>,
    pub(crate) operations: Vec<String>,
    pub(crate) record_types: Vec<String>,
    pub(crate) text: String,
}

/// The filters by their keys in a config, for messages.
type Lists<'f> = [(&'static str, &'f [String]); 4];

impl Filters {
    fn lists(&self) -> Lists<'_> {
        [
            ("users", &self.users),
            ("ips", &self.ips),
            ("operations", &self.operations),
            ("record_types", &self.record_types),
        ]
    }

    /// What is wrong with them. The service does not tell: it gives no records for a name that it does not know, and
    /// takes the beginning of a record type's name for the whole.
    pub(crate) fn check(&self) -> Vec<ConfigError> {
        let mut wrong = Vec::new();
        for (key, list) in self.lists() {
            for (index, item) in list.iter().enumerate() {
                let at = |message: &str| ConfigError::at(format!("{key}.{index}"), message);
                if item.trim().is_empty() || item.chars().any(char::is_control) {
                    wrong.push(at("this is empty, or holds characters that nobody can see"));
                } else if key == "ips" && item.parse::<std::net::IpAddr>().is_err() {
                    wrong.push(at("this is no address").help("such as 203.0.113.7; ranges cannot be asked for"));
                } else if key == "record_types" && !is_record_type(item) {
                    wrong.push(
                        at("this is no name of a record type").help("such as ExchangeAdmin or AzureActiveDirectory"),
                    );
                }
            }
        }
        wrong
    }

    /// The body that creates a Graph audit query.
    pub(crate) fn graph_body(&self, name: &str, window: &Window) -> Value {
        let mut body = json!({
            "displayName": name,
            "filterStartDateTime": window.start.to_string(),
            "filterEndDateTime": window.end.to_string(),
        });
        let types: Vec<String> = self.record_types.iter().map(|name| graph_name(name)).collect();
        for (member, list) in [
            ("recordTypeFilters", &types),
            ("operationFilters", &self.operations),
            ("userPrincipalNameFilters", &self.users),
            ("ipAddressFilters", &self.ips),
        ] {
            if !list.is_empty() {
                body[member] = json!(list);
            }
        }
        if !self.text.is_empty() {
            body["keywordFilter"] = json!(self.text);
        }
        body
    }

    /// All of it as a text, to be compared with what was asked for before.
    pub(crate) fn asked(&self) -> String {
        let Filters { operations, users, ips, text, record_types } = self;
        json!({
            "operations": operations, "users": users, "ips": ips, "text": text, "record_types": record_types,
        })
        .to_string()
    }

    /// The parameters of Search-UnifiedAuditLog, without those of the session. `record_type`: the cmdlet takes one
    /// alone.
    pub(crate) fn cmdlet_parameters(&self, window: &Window, record_type: Option<&str>) -> Parameters {
        let mut parameters = Parameters::new();
        let mut set = |name: &str, value: Value| parameters.insert(name.to_owned(), value);
        set("StartDate", window.start.to_string().into());
        set("EndDate", window.end.to_string().into());
        for (name, list) in [("Operations", &self.operations), ("UserIds", &self.users), ("IPAddresses", &self.ips)] {
            if !list.is_empty() {
                set(name, json!(list));
            }
        }
        if !self.text.is_empty() {
            set("FreeText", self.text.as_str().into());
        }
        if let Some(record_type) = record_type {
            set("RecordType", record_type.into());
        }
        parameters
    }
}

/// Record types that the service turned out not to know. There can be no records of them, and one such name must not
/// keep all the others from being found.
#[derive(Debug, Default)]
pub(crate) struct UnknownTypes(Mutex<BTreeSet<String>>);

impl UnknownTypes {
    /// Looks whether the service refused a search for the name of a record type. True if it did, and others are left
    /// to search for: a search for nothing known would find nothing, and call that complete.
    pub(crate) fn learn(&self, filters: &Filters, trouble: &Trouble, tenant: &str) -> bool {
        if trouble.status != Some(400) {
            return false;
        }
        let answer = trouble.answer.to_ascii_lowercase();
        // The longest name first: one may be the beginning of another.
        let named = filters.record_types.iter().filter(|name| answer.contains(&name.to_ascii_lowercase()));
        let Some(name) = named.max_by_key(|name| name.len()) else { return false };
        // Windows that are under way together learn it together, and one of them tells.
        let is_new = self.lock().insert(name.clone());
        let others = self.left(filters).is_some();
        if is_new && others {
            tracing::warn!(tenant, "Microsoft does not know the record type {name}; the others are searched for");
        }
        others
    }

    /// Says of a refusal that no record type is left to search for, if that is so.
    pub(crate) fn explain(&self, filters: &Filters, trouble: Trouble) -> Trouble {
        if self.left(filters).is_some() {
            return trouble;
        }
        let names = filters.record_types.join(", ");
        let meaning = format!(
            "Microsoft knows none of the record types that are searched for ({names}); they are spelled as in its list of \
             AuditLogRecordType, such as ExchangeAdmin"
        );
        Trouble { meaning, ..trouble }
    }

    /// The record types that are left; `None` if there were some, and none is.
    pub(crate) fn left<'f>(&self, filters: &'f Filters) -> Option<Vec<&'f str>> {
        let unknown = self.lock();
        let left: Vec<&str> =
            filters.record_types.iter().map(String::as_str).filter(|name| !unknown.contains(*name)).collect();
        (filters.record_types.is_empty() || !left.is_empty()).then_some(left)
    }

    /// Their names, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        // Nothing that holds the lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_record_type(name: &str) -> bool {
    name.len() > 2 && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A record type as Graph's filters spell it: `exchangeAdmin`, `wdatpAlerts`, `crm`.
fn graph_name(name: &str) -> String {
    let upper = name.bytes().take_while(u8::is_ascii_uppercase).count();
    // Of several capitals, the last one begins the next word, unless nothing small follows.
    let followed = name.as_bytes().get(upper).is_some_and(u8::is_ascii_lowercase);
    let lowered = if upper > 1 && followed { upper - 1 } else { upper };
    name[..lowered].to_ascii_lowercase() + &name[lowered..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Api, Verdict};

    fn window() -> Window {
        Window { start: "2026-01-05T00:00:00Z".parse().unwrap(), end: "2026-01-06T00:00:00Z".parse().unwrap() }
    }

    #[test]
    fn record_types_are_spelled_as_graph_wants_them() {
        for (name, graph) in [
            ("ExchangeAdmin", "exchangeAdmin"),
            ("exchangeAdmin", "exchangeAdmin"),
            ("AzureActiveDirectoryStsLogon", "azureActiveDirectoryStsLogon"),
            ("WDATPAlerts", "wdatpAlerts"),
            ("MCASAlerts", "mcasAlerts"),
            ("CRM", "crm"),
            ("MSTIC", "mstic"),
            ("DLPEndpoint", "dlpEndpoint"),
        ] {
            assert_eq!(graph_name(name), graph);
        }
    }

    #[test]
    fn a_record_type_that_the_service_does_not_know_is_left_out() {
        let types = ["AirInvestigation", "AirInvestigationX", "Campaign"].map(str::to_owned).to_vec();
        let filters = Filters { record_types: types, ..Filters::default() };
        let unknown = UnknownTypes::default();
        let refused = |status, answer: &str| {
            let trouble = Trouble::new(Verdict::Stop, Api::GraphAuditQuery, "BadRequest", answer, "");
            unknown.learn(&filters, &Trouble { status: Some(status), ..trouble }, "t")
        };
        assert!(!refused(400, "a bad filter") && !refused(403, "'campaign'"));
        assert!(refused(400, "Requested value 'airInvestigationX' was not found."));
        assert_eq!(unknown.left(&filters), Some(vec!["AirInvestigation", "Campaign"]));
        assert!(refused(400, "'campaign'") && refused(400, "'campaign'"));
        let meaning = || {
            let trouble = Trouble::new(Verdict::Stop, Api::GraphAuditQuery, "BadRequest", "refused", "why");
            unknown.explain(&filters, trouble).meaning
        };
        assert_eq!(meaning(), "why");
        assert!(!refused(400, "'airInvestigation'"), "none is left: the refusal stands");
        assert!(meaning().contains("(AirInvestigation, AirInvestigationX, Campaign)"), "{}", meaning());
        assert_eq!(unknown.left(&filters), None);
        assert_eq!(unknown.names(), ["AirInvestigation", "AirInvestigationX", "Campaign"]);
        assert_eq!(unknown.left(&Filters::default()), Some(Vec::new()));
    }

    #[test]
    fn only_what_filters_is_sent() {
        let all = Filters::default();
        let body = all.graph_body("n", &window());
        assert_eq!(
            body,
            json!({"displayName": "n", "filterStartDateTime": "2026-01-05T00:00:00Z", "filterEndDateTime": "2026-01-06T00:00:00Z"})
        );
        let some = Filters {
            users: vec!["ada@contoso.example".to_owned()],
            ips: vec!["203.0.113.7".to_owned()],
            operations: vec!["New-InboxRule".to_owned()],
            record_types: vec!["ExchangeAdmin".to_owned()],
            text: "invoice".to_owned(),
        };
        let body = some.graph_body("n", &window());
        assert_eq!(body["recordTypeFilters"], json!(["exchangeAdmin"]));
        assert_eq!(body["userPrincipalNameFilters"], json!(["ada@contoso.example"]));
        assert_eq!(body["keywordFilter"], json!("invoice"));
        let parameters = Value::Object(some.cmdlet_parameters(&window(), Some("ExchangeAdmin")));
        assert_eq!(
            parameters,
            json!({
                "StartDate": "2026-01-05T00:00:00Z", "EndDate": "2026-01-06T00:00:00Z",
                "Operations": ["New-InboxRule"], "UserIds": ["ada@contoso.example"], "IPAddresses": ["203.0.113.7"],
                "FreeText": "invoice", "RecordType": "ExchangeAdmin",
            })
        );
    }

    #[test]
    fn names_that_the_service_would_misread_are_refused() {
        let filters = Filters {
            users: vec![" ".to_owned()],
            ips: vec!["203.0.113.0/24".to_owned(), "2001:db8::1".to_owned()],
            record_types: vec!["Exchange Admin".to_owned(), "ExchangeAdmin".to_owned()],
            ..Filters::default()
        };
        let keys: Vec<String> = filters.check().into_iter().map(|error| error.key).collect();
        assert_eq!(keys, ["users.0", "ips.0", "record_types.0"]);
    }
}
