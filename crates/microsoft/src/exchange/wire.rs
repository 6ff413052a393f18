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

/// The link to the next page, if there is one.
///
/// # Errors
/// As [`Answer::parse`].
pub(crate) fn next_link(body: &[u8]) -> Result<Option<String>, Broken> {
    let link = document(body)?.into_iter().find(|(name, _)| name == "@odata.nextLink");
    Ok(link.and_then(|(_, place)| string(body, place)).filter(|link| !link.is_empty()))
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
}
