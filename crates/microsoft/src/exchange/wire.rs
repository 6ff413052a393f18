//! What goes over the wire to Exchange Online's admin endpoint, and what comes back: one command in, rows out.
//!
//! The endpoint runs cmdlets for PowerShell's module; its form is known from clients that agree with each other, not
//! from a contract. So answers are read leniently: rows stay bytes, members that are not needed are ignored, and an
//! error's text is looked for in every place where the service has been seen to put it.

use std::fmt::Write;
use std::ops::Range;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::windows::envelope::{Broken, document, elements, string};

/// The parameters of a cmdlet.
pub(crate) type Parameters = Map<String, Value>;

/// The request body that runs a cmdlet.
pub(crate) fn body(cmdlet: &str, parameters: &Parameters) -> Vec<u8> {
    json!({ "CmdletInput": { "CmdletName": cmdlet, "Parameters": parameters } }).to_string().into_bytes()
}

/// What a cmdlet gave.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Where the rows stand in the body, a JSON object each.
    pub(crate) rows: Vec<Range<usize>>,
    /// What PowerShell would print in yellow, in one line. Not empty if the service holds more than it gave.
    pub(crate) warnings: String,
    /// Whether the service gave fewer rows than it holds, and a link to the next ones. The link names one of the
    /// service's machines and expires, so nobody follows it.
    pub(crate) cut: bool,
}

impl Answer {
    /// Reads a response body.
    ///
    /// # Errors
    /// Where it is not what it should be; mostly it was cut off.
    pub(crate) fn parse(body: &[u8]) -> Result<Answer, Broken> {
        let mut rows = None;
        let mut answer = Answer::default();
        for (name, place) in document(body)? {
            match name.as_ref() {
                "value" => rows = Some(elements(body, place)?),
                "@adminapi.warnings" => {
                    let warnings = elements(body, place).unwrap_or_default();
                    let texts: Vec<String> = warnings.into_iter().filter_map(|place| string(body, place)).collect();
                    answer.warnings = texts.join("; ");
                }
                "@odata.nextLink" => answer.cut = string(body, place).is_some_and(|link| !link.is_empty()),
                _ => {}
            }
        }
        answer.rows = rows.ok_or(Broken { at: 0, what: "a list of rows in a member `value`" })?;
        Ok(answer)
    }
}

/// What an error's body says, and the name of the .NET exception where there is one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The reason in words; empty if the body holds none.
    pub(crate) message: String,
    /// Such as `ManagementObjectNotFoundException`.
    pub(crate) exception: String,
}

impl Fault {
    /// Finds the reason in an error's body: the message at the top always says "Invalid Operation".
    pub(crate) fn parse(body: &[u8]) -> Fault {
        let Ok(body) = serde_json::from_slice::<Value>(body) else { return Fault::default() };
        let text = |path: &str| body.pointer(path).and_then(Value::as_str).unwrap_or_default().trim().to_owned();
        let inner = ["/error/innererror/internalexception", "/error/innerError/internalexception"];
        for inner in inner {
            let message = text(&format!("{inner}/message"));
            if !message.is_empty() {
                return Fault { message, exception: last_name(&text(&format!("{inner}/type"))) };
            }
        }
        let detail = text("/error/details/0/message");
        if let Some((exception, message)) = detail.strip_prefix('|').and_then(|rest| rest.split_once('|')) {
            return Fault { message: message.trim().to_owned(), exception: last_name(exception) };
        }
        let message = if detail.is_empty() { text("/error/message") } else { detail };
        Fault { message, exception: String::new() }
    }

    /// Whether the cmdlet's object (a mailbox) does not exist.
    pub(crate) fn is_missing_object(&self) -> bool {
        self.exception == "ManagementObjectNotFoundException" || self.message.contains("couldn't be found on")
    }

    /// Whether the identity lacks the Exchange role that shows the cmdlet.
    pub(crate) fn is_missing_role(&self) -> bool {
        let signs = ["No cmdlet assigned to the user have this feature enabled", "UnAuthorized", "is not recognized"];
        signs.iter().any(|sign| self.message.contains(sign)) || self.exception == "CommandNotFoundException"
    }
}

/// `Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException` without what stands before.
fn last_name(name: &str) -> String {
    name.rsplit('.').next().unwrap_or_default().to_owned()
}

/// A number that OData may also write as a string.
pub(crate) fn lenient<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    })
}

/// The first 16 of these bytes in the form of a GUID.
pub(crate) fn guid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().take(16).enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_one_object() {
        let mut parameters = Parameters::new();
        parameters.insert("ResultSize".to_owned(), json!(5000));
        let body: Value = serde_json::from_slice(&body("Search-UnifiedAuditLog", &parameters)).unwrap();
        let expected =
            json!({"CmdletInput": {"CmdletName": "Search-UnifiedAuditLog", "Parameters": {"ResultSize": 5000}}});
        assert_eq!(body, expected);
    }

    #[test]
    fn rows_stay_as_they_came() {
        let body = br#"{"@odata.context":"x","@adminapi.warnings":["more"],"value":[{"A" : 1.50},{"B":"\u00e9"}],"@odata.nextLink":"https://x/y"}"#;
        let answer = Answer::parse(body).unwrap();
        let rows: Vec<&[u8]> = answer.rows.iter().map(|row| &body[row.clone()]).collect();
        assert_eq!(rows, [br#"{"A" : 1.50}"#.as_slice(), br#"{"B":"\u00e9"}"#]);
        assert_eq!((answer.cut, answer.warnings.as_str()), (true, "more"));
        assert!(Answer::parse(&body[..60]).is_err() && Answer::parse(br#"{"error":{}}"#).is_err());
        assert!(!Answer::parse(br#"{"@adminapi.warnings":[],"value":[]}"#).unwrap().cut);
    }

    #[test]
    fn the_reason_of_an_error_is_found_wherever_it_stands() {
        let cases = [
            (
                r#"{"error":{"code":"BadRequest","message":"Invalid Operation","innererror":{"internalexception":
                    {"message":"The operation couldn't be performed","type":"Microsoft.X.ManagementObjectNotFoundException"}}}}"#,
                "The operation couldn't be performed",
                "ManagementObjectNotFoundException",
            ),
            (
                r#"{"error":{"message":"Invalid Operation","details":[{"message":"|System.ArgumentException|bad date"}]}}"#,
                "bad date",
                "ArgumentException",
            ),
            (r#"{"error":{"message":"Invalid Operation"}}"#, "Invalid Operation", ""),
            ("\0\0\0\0", "", ""),
        ];
        for (body, message, exception) in cases {
            let fault = Fault { message: message.to_owned(), exception: exception.to_owned() };
            assert_eq!(Fault::parse(body.as_bytes()), fault, "{body}");
        }
    }
}
