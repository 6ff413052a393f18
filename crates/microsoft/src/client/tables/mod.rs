//! The verdicts of each API, by code and status.
//!
//! A table answers `None` for what it does not know; the common rules below then decide by the status alone. Codes
//! come before statuses: Microsoft sends "too many requests" as 403, too.

mod devops;
mod exchange;
mod graph;
mod management;
mod resource_manager;

pub(super) use self::graph::lacks_licence;
use super::api::Api;
use super::verdict::{Trouble, Verdict, one_line};

/// An answer that is an error.
#[derive(Debug, Clone, Default)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The service's code; empty if there was none.
    pub code: String,
    /// The service's message, or the beginning of its text.
    pub message: String,
    /// Whether the body is a web page.
    pub html: bool,
}

/// What a table says: a verdict, what it means and what to do.
pub(super) type Judgement = (Verdict, String);

impl Refusal {
    /// Reads code and message out of a body: `{"error":{"code","message"}}`, `{"error":"...","error_description"}`,
    /// `{"code","message"}`, or any text.
    pub fn read(status: u16, body: &[u8]) -> Refusal {
        let html = is_html(body);
        let text = String::from_utf8_lossy(&body[..body.len().min(16 << 10)]);
        let Ok(json) = serde_json::from_slice::<serde_json::Value>(body) else {
            // Microsoft's own samples have errors with single quotes, which is not JSON; their codes still stand there.
            let code = find_code(&text);
            return Refusal { status, code, message: one_line(&text), html };
        };
        let error = json.get("error").filter(|error| error.is_object()).unwrap_or(&json);
        if let Some((exception, reason)) = exchange::reason(error) {
            return Refusal { status, code: exception, message: one_line(&reason), html };
        }
        let member = |names: &[&str]| {
            names.iter().find_map(|name| error.get(*name)).and_then(|value| match value {
                serde_json::Value::String(text) => Some(text.clone()),
                serde_json::Value::Number(number) => Some(number.to_string()),
                _ => None,
            })
        };
        let message = member(&["message", "Message", "error_description", "value"]);
        let code = member(&["code", "Code", "error", "typeKey"]).filter(|code| !code.is_empty());
        Refusal {
            status,
            code: code.unwrap_or_else(|| find_code(&text)),
            message: one_line(&message.unwrap_or_else(|| text.into_owned())),
            html,
        }
    }

    /// Judges it.
    pub fn judge(self, api: Api) -> Trouble {
        let known = match api {
            Api::Management => management::judge(&self),
            Api::GraphReports
            | Api::GraphIdentityProtection
            | Api::GraphDirectory
            | Api::GraphAuditQuery
            | Api::GraphMessageTrace => graph::judge(api, &self),
            Api::Exchange | Api::Reporting => exchange::judge(&self),
            Api::ResourceManager => resource_manager::judge(&self),
            Api::DevOps => devops::judge(&self),
        };
        let (verdict, meaning) = known.unwrap_or_else(|| by_status(&self));
        let code = if !self.code.is_empty() {
            self.code
        } else if self.html {
            super::HTML.to_owned()
        } else {
            "no code".to_owned()
        };
        let answer = if self.html { "a web page".to_owned() } else { self.message };
        Trouble { verdict, api, status: Some(self.status), code, answer, meaning, retry_after: None }
    }
}

/// Whether a body is a web page.
pub fn is_html(body: &[u8]) -> bool {
    let text = body.trim_ascii_start();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii_start();
    let begins = |tag: &[u8]| text.len() >= tag.len() && text[..tag.len()].eq_ignore_ascii_case(tag);
    begins(b"<!doctype html") || begins(b"<html") || begins(b"<head") || begins(b"<body")
}

/// What a web page in place of an answer means.
pub(super) const HTML: &str = "a web page came in place of an answer: a proxy, firewall or sign-in page stands between \
     here and Microsoft; let the host through, or set HTTPS_PROXY / NO_PROXY";

/// What any service means by a status.
fn by_status(refusal: &Refusal) -> Judgement {
    let say = |verdict, text: &str| (verdict, text.to_owned());
    match refusal.status {
        401 => {
            say(Verdict::Reauth, "the token was not accepted; check that the app has the permissions of this source")
        }
        407 => say(Verdict::Stop, "the proxy wants a user name; put one into HTTPS_PROXY"),
        _ if refusal.html && refusal.status < 500 => say(Verdict::Retry, HTML),
        403 => say(Verdict::Stop, "the app may not read this; grant the permission and its admin consent"),
        404 => say(Verdict::Skip, "there is no such thing (any more)"),
        408 | 425 | 500..=599 => say(Verdict::Retry, "trouble at the service, or on the way there"),
        410 => say(Verdict::Handle, "what was listed is gone; list again"),
        429 => say(Verdict::Throttled, "too many requests"),
        300..=399 => say(
            Verdict::Retry,
            "a redirect, which is not followed: a token could go astray; check the address in `cloud`",
        ),
        _ => say(Verdict::Stop, "the request was refused; this should not happen, please report it with this message"),
    }
}

/// The first thing in a text that looks like a code: `AF20022`, `AADSTS90002`.
fn find_code(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let is_code = |word: &&str| {
        let digits = word.strip_prefix("AADSTS").or_else(|| word.strip_prefix("AF"));
        digits.is_some_and(|digits| digits.len() >= 3 && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    words.into_iter().find(is_code).unwrap_or("").to_owned()
}
