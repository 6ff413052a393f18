//! What goes wrong, on request: rules, when they strike, and how often they have.
//!
//! A rule that was configured and never struck proves nothing, so every strike is counted where it happens.

use std::sync::Mutex;

use serde::Deserialize;
use serde_json::{Value, json};

use super::lock;
use super::random;
use super::route::Api;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The service says that there were too many requests (in its own way: 429, AF429, TF400733).
    Throttle,
    /// A status from 500 on (`status`, or 500, 502, 503 and 504 in turn).
    ServerError,
    /// No answer until the client gives up, or for `seconds` of real time.
    Timeout,
    /// The connection breaks in the middle of the body.
    Reset,
    /// The body ends too early, although it has the length it says.
    Truncate,
    /// The body is not JSON in the middle.
    InvalidJson,
    /// The body is not compressed, although it says so.
    BadEncoding,
    /// A page of HTML, with `status` (200 or 403).
    Html,
    /// The tenant's tokens of this service stop being good.
    TokenDies,
    /// A redirect to `host`, or to the foreign one. Exchange's regional hosts answer in person.
    Redirect,
    /// A content listing points at the foreign host: in turn by an entry more, for content that is not there, and in
    /// place of the URI of its first entry.
    HostileUri,
    /// The link to the next page points at the foreign host.
    HostileLink,
    /// A page comes twice.
    RepeatPage,
    /// A page without entries, with a link to the real one.
    EmptyPage,
    /// A page lacks its last records. Where the service counts (audit queries), `@odata.count` tells.
    ShortPage,
    /// `@odata.count` says one record more than there are.
    WrongCount,
    /// A page of an audit query lacks its last records, and its `@odata.count` does, too. Where it strikes the same
    /// search twice in a row, no client can tell.
    LossyPage,
    /// A block of an audit search says `ResultIndex` -1 and `ResultCount` 0.
    SearchIndex,
    /// A block of an audit search lacks records.
    SearchShort,
    /// An audit search ends before it is complete.
    SearchEmpty,
    /// An audit query ends as failed.
    QueryFails,
    /// An audit query gives fewer records, and says so (`isRecordCountLimitExceeded`).
    QueryTruncated,
    /// A good answer with `Retry-After` (Azure DevOps): the next request shall wait for `seconds`.
    SlowDown,
    /// A blob answers that it has expired (AF20051), for good.
    ContentGone,
    /// A content listing that begins in the very second of a blob shows a part of this blob in its place.
    PartialBlob,
    /// The service refuses with the error of that `code`: an AADSTS number of Entra's, an AF number of the Management
    /// Activity API's. Without a code it has a problem that passes.
    ErrorCode,
}

/// When something goes wrong. Without `share` and `every`, it does each time it can, up to `limit`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// What goes wrong.
    pub kind: FaultKind,
    /// The service; all if left out.
    #[serde(default)]
    pub api: Option<Api>,
    /// The tenant's id; all if left out.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Only where the path holds this text, such as `subscriptions/content`.
    #[serde(default)]
    pub path: Option<String>,
    /// The chance, 0 to 1.
    #[serde(default)]
    pub share: Option<f64>,
    /// Every how many occasions, the first one not before that many.
    #[serde(default)]
    pub every: Option<u64>,
    /// How often at most.
    #[serde(default)]
    pub limit: Option<u64>,
    /// How many further requests a strike also hits (`throttle`: a storm).
    #[serde(default)]
    pub burst: u64,
    /// The HTTP status, where one can be chosen.
    #[serde(default)]
    pub status: Option<u16>,
    /// The number of the error, where one can be chosen.
    #[serde(default)]
    pub code: Option<u32>,
    /// Where a redirect leads to: a host of the cloud, such as a regional one of Exchange's.
    #[serde(default)]
    pub host: Option<String>,
    /// Seconds: `Retry-After` of `throttle` (none is sent if left out), length of `timeout`.
    #[serde(default)]
    pub seconds: Option<u64>,
}

#[derive(Debug)]
struct Rule {
    rule: FaultRule,
    occasions: u64,
    strikes: u64,
    burst_left: u64,
}

/// A strike, with what its rule says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Strike {
    pub(crate) status: Option<u16>,
    pub(crate) code: Option<u32>,
    pub(crate) seconds: Option<u64>,
    pub(crate) host: Option<String>,
    /// Which strike of its rule this is, from 1.
    pub(crate) number: u64,
}

/// All rules.
#[derive(Debug)]
pub(crate) struct Faults {
    seed: u64,
    rules: Mutex<Vec<Rule>>,
    /// Strikes that no rule of this kind caused: late, doubled and shuffled records.
    others: Mutex<std::collections::BTreeMap<&'static str, u64>>,
}

impl Faults {
    pub(crate) fn new(seed: u64, rules: &[FaultRule]) -> Faults {
        let faults = Faults { seed, rules: Mutex::default(), others: Mutex::default() };
        faults.add(rules.to_vec());
        faults
    }

    /// Adds rules to those that are there.
    pub(crate) fn add(&self, rules: Vec<FaultRule>) {
        let rules = rules.into_iter().map(|rule| Rule { rule, occasions: 0, strikes: 0, burst_left: 0 });
        lock(&self.rules).extend(rules);
    }

    /// Ends all rules; what they did stays counted.
    pub(crate) fn end(&self) {
        for rule in lock(&self.rules).iter_mut() {
            (rule.rule.limit, rule.burst_left) = (Some(0), 0);
        }
    }

    /// Whether `kind` strikes now. Asking counts as an occasion, so only ask where it could really happen.
    pub(crate) fn strikes(&self, kind: FaultKind, api: Api, tenant: Option<&str>, path: &str) -> Option<Strike> {
        let mut rules = lock(&self.rules);
        for (index, rule) in rules.iter_mut().enumerate() {
            let wanted = &rule.rule;
            let fits = wanted.kind == kind
                && wanted.api.is_none_or(|wanted| wanted == api)
                && wanted.tenant.as_deref().is_none_or(|wanted| tenant.is_some_and(|t| t.eq_ignore_ascii_case(wanted)))
                && wanted.path.as_deref().is_none_or(|wanted| path.contains(wanted));
            if !fits {
                continue;
            }
            let dice = random::mix(self.seed ^ random::mix(((index as u64) << 40) ^ rule.occasions));
            rule.occasions += 1;
            if rule.decide(random::fraction(dice)) {
                rule.strikes += 1;
                let FaultRule { status, code, seconds, ref host, .. } = rule.rule;
                return Some(Strike { status, code, seconds, host: host.clone(), number: rule.strikes });
            }
        }
        None
    }

    /// Counts something that goes wrong in publishing, which has rules of its own.
    pub(crate) fn note(&self, name: &'static str) {
        *lock(&self.others).entry(name).or_default() += 1;
    }

    /// Each rule with its occasions and strikes, and what publishing noted.
    pub(crate) fn json(&self) -> Value {
        let mut list: Vec<Value> = lock(&self.rules)
            .iter()
            .map(|rule| {
                json!({
                    "kind": kind_name(rule.rule.kind),
                    "api": rule.rule.api.map(Api::name),
                    "tenant": rule.rule.tenant,
                    "path": rule.rule.path,
                    "occasions": rule.occasions,
                    "happened": rule.strikes,
                })
            })
            .collect();
        for (name, count) in lock(&self.others).iter() {
            list.push(json!({ "kind": name, "happened": count }));
        }
        Value::Array(list)
    }
}

impl Rule {
    fn decide(&mut self, dice: f64) -> bool {
        if self.burst_left > 0 {
            self.burst_left -= 1;
            return true;
        }
        let rule = &self.rule;
        if rule.limit.is_some_and(|limit| self.strikes >= limit.saturating_mul(rule.burst + 1)) {
            return false;
        }
        let hit = match (rule.every, rule.share) {
            (Some(every), _) => self.occasions.is_multiple_of(every.max(1)),
            (None, Some(share)) => dice < share,
            (None, None) => true,
        };
        if hit {
            self.burst_left = rule.burst;
        }
        hit
    }
}

fn kind_name(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Throttle => "throttle",
        FaultKind::ServerError => "server_error",
        FaultKind::Timeout => "timeout",
        FaultKind::Reset => "reset",
        FaultKind::Truncate => "truncate",
        FaultKind::InvalidJson => "invalid_json",
        FaultKind::BadEncoding => "bad_encoding",
        FaultKind::Html => "html",
        FaultKind::TokenDies => "token_dies",
        FaultKind::Redirect => "redirect",
        FaultKind::HostileUri => "hostile_uri",
        FaultKind::HostileLink => "hostile_link",
        FaultKind::RepeatPage => "repeat_page",
        FaultKind::EmptyPage => "empty_page",
        FaultKind::ShortPage => "short_page",
        FaultKind::WrongCount => "wrong_count",
        FaultKind::LossyPage => "lossy_page",
        FaultKind::SearchIndex => "search_index",
        FaultKind::SearchShort => "search_short",
        FaultKind::SearchEmpty => "search_empty",
        FaultKind::QueryFails => "query_fails",
        FaultKind::QueryTruncated => "query_truncated",
        FaultKind::SlowDown => "slow_down",
        FaultKind::ContentGone => "content_gone",
        FaultKind::PartialBlob => "partial_blob",
        FaultKind::ErrorCode => "error_code",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Faults {
        Faults::new(1, &serde_json::from_str::<Vec<FaultRule>>(text).unwrap())
    }

    fn times(faults: &Faults, kind: FaultKind, n: usize) -> Vec<usize> {
        (1..=n).filter(|_| true).filter(|_| faults.strikes(kind, Api::Management, None, "/a/b").is_some()).collect()
    }

    #[test]
    fn every_share_limit_and_burst() {
        let faults = rules(r#"[{"kind":"reset","every":3,"limit":2}]"#);
        assert_eq!(times(&faults, FaultKind::Reset, 20), [3, 6]);
        let faults = rules(r#"[{"kind":"throttle","every":5,"burst":2,"limit":1}]"#);
        assert_eq!(times(&faults, FaultKind::Throttle, 20), [5, 6, 7]);
        let faults = rules(r#"[{"kind":"html","share":0.5}]"#);
        assert!((30..70).contains(&times(&faults, FaultKind::Html, 100).len()));
        let faults = rules(r#"[{"kind":"html"}]"#);
        assert_eq!(times(&faults, FaultKind::Html, 3), [1, 2, 3]);
        faults.end();
        assert!(times(&faults, FaultKind::Html, 3).is_empty());
        assert_eq!(faults.json()[0]["happened"], 3);
    }

    #[test]
    fn rules_strike_only_where_they_should() {
        let faults = rules(r#"[{"kind":"reset","api":"graph","tenant":"T","path":"signIns"}]"#);
        let strike = |api, tenant, path: &str| faults.strikes(FaultKind::Reset, api, tenant, path).is_some();
        assert!(!strike(Api::Management, Some("t"), "/signIns"));
        assert!(!strike(Api::Graph, Some("u"), "/signIns"));
        assert!(!strike(Api::Graph, None, "/signIns"));
        assert!(!strike(Api::Graph, Some("t"), "/users"));
        assert!(strike(Api::Graph, Some("t"), "/v1.0/signIns"));
    }
}
