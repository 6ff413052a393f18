//! Verdicts of Exchange Online's administration and the Reporting Web Service, beyond what every status means.
//!
//! The administration's errors all have the code `BadRequest` and the message "Invalid Operation"; the reason stands
//! deeper, and [`reason`] knows where.

use serde_json::Value;

use super::{Judgement, Refusal};
use crate::client::verdict::Verdict;

/// What the app needs beside the permission.
const ROLE: &str = "Exchange knows the app, but lets it run no audit search: grant the application permission \
     Exchange.ManageAsApp of Office 365 Exchange Online with its admin consent, register the app's service principal in \
     Exchange (New-ServicePrincipal), and put it into a role group with the role View-Only Audit Logs; it takes up to an \
     hour to work";

pub(super) fn judge(refusal: &Refusal) -> Option<Judgement> {
    // What these services call it when a request is one too many differs, the words do not.
    let lower = refusal.message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let say = |verdict, text: &str| Some((verdict, text.to_owned()));
    match refusal.status {
        _ if has(&["too many requests"]) || refusal.code == "TooManyRequests" => {
            say(Verdict::Throttled, "too many requests")
        }
        _ if refusal.code == "CommandNotFoundException"
            || has(&[
                "no cmdlet assigned to the user have this feature enabled",
                "is not recognized",
                "unauthorized",
            ]) =>
        {
            say(Verdict::Stop, ROLE)
        }
        _ if refusal.code == "ManagementObjectNotFoundException" || lower.contains("couldn't be found on") => {
            say(Verdict::Skip, "there is no such mailbox")
        }
        _ if has(&["server side error", "timed out", "timeout"]) => say(Verdict::Retry, "trouble inside Exchange"),
        // Consent may be newer than the token: a fresh one is tried first.
        403 if !refusal.html => say(Verdict::Reauth, ROLE),
        401 => say(
            Verdict::Reauth,
            "the token was not accepted; grant the app the application permission Exchange.ManageAsApp of Office 365 \
             Exchange Online, and its admin consent",
        ),
        _ => None,
    }
}

/// The name of the exception and the reason in an error's body, where Exchange hides them.
pub(super) fn reason(error: &Value) -> Option<(String, String)> {
    let text = |path: &str| error.pointer(path).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let name = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    for inner in ["/innererror/internalexception", "/innerError/internalexception"] {
        if let Some(message) = text(&format!("{inner}/message")) {
            let exception = text(&format!("{inner}/type")).unwrap_or_default();
            return Some((name(exception), message.to_owned()));
        }
    }
    // `|Microsoft.Exchange.ManagementObjectNotFoundException|The operation couldn't be performed ...`
    let (exception, message) = text("/details/0/message")?.strip_prefix('|')?.split_once('|')?;
    Some((name(exception), message.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Api;

    #[test]
    fn the_reason_of_an_error_is_found_wherever_it_stands() {
        let invalid = r#""code":"BadRequest","message":"Invalid Operation""#;
        let cases = [
            (
                400,
                format!(
                    r#"{{"error":{{{invalid},"innererror":{{"internalexception":{{"message":"no such object",
                    "type":"Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException"}}}}}}}}"#
                ),
                (Verdict::Skip, "ManagementObjectNotFoundException", "no such object"),
            ),
            (
                400,
                format!(r#"{{"error":{{{invalid},"details":[{{"message":"|System.ArgumentException|bad date"}}]}}}}"#),
                (Verdict::Stop, "ArgumentException", "bad date"),
            ),
            (
                400,
                r#"{"error":{"message":"No cmdlet assigned to the user have this feature enabled."}}"#.to_owned(),
                (Verdict::Stop, "no code", "No cmdlet assigned to the user have this feature enabled."),
            ),
            (403, "\0".repeat(500), (Verdict::Reauth, "no code", "")),
            (429, String::new(), (Verdict::Throttled, "no code", "")),
        ];
        for (status, body, expected) in cases {
            let trouble = Refusal::read(status, body.as_bytes()).judge(Api::Exchange);
            assert_eq!((trouble.verdict, trouble.code.as_str(), trouble.answer.as_str()), expected);
        }
    }
}
