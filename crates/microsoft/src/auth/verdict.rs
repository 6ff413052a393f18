//! What Entra's errors mean.

use std::fmt;
use std::time::Duration;

use super::codes::known;
use crate::client::{Api, HTML, SIGN_IN, Trouble, Verdict, one_line};

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthError {
    /// [`Verdict::Retry`], or [`Verdict::Stop`].
    pub verdict: Verdict,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// `AADSTS...`, or a short word.
    pub code: String,
    /// What Entra answered, shortened.
    pub answer: String,
    /// What it means and what to do.
    pub meaning: String,
    /// How long Entra asks to wait.
    pub retry_after: Option<Duration>,
}

impl AuthError {
    pub(super) fn new(verdict: Verdict, code: &str, answer: &str, meaning: &str) -> AuthError {
        AuthError {
            verdict,
            status: None,
            code: code.to_owned(),
            answer: one_line(answer),
            meaning: meaning.to_owned(),
            retry_after: None,
        }
    }

    /// Whether trying again later may help without anybody's doing.
    pub fn is_transient(&self) -> bool {
        self.verdict == Verdict::Retry
    }

    /// The trouble of the request that needed the token.
    pub fn into_trouble(self, api: Api) -> Trouble {
        let AuthError { verdict, status, code, answer, meaning, retry_after } = self;
        let meaning = format!("{SIGN_IN}{meaning}");
        Trouble { verdict, api, status, code, answer, meaning, retry_after }
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("signing in failed: ")?;
        if let Some(status) = self.status {
            write!(f, "HTTP {status} ")?;
        }
        write!(f, "{}: \"{}\"; {}", self.code, self.answer, self.meaning)
    }
}

/// What is told of an answer that is HTML.
const WEB_PAGE: &str = "a web page";

/// Judges an answer of the token endpoint. What stands in the way may be gone at the next attempt, as at every other
/// request: what it is when it stays is the client's to say.
pub(super) fn judge(status: u16, body: &[u8]) -> AuthError {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| json.get(name).and_then(serde_json::Value::as_str).unwrap_or("");
    let number = json.pointer("/error_codes/0").and_then(serde_json::Value::as_u64).or_else(|| {
        let digits = text("error_description").strip_prefix("AADSTS")?;
        digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())].parse().ok()
    });
    let error = text("error");
    let answer = if error.is_empty() && crate::client::is_html(body) {
        WEB_PAGE.to_owned()
    } else if text("error_description").is_empty() {
        String::from_utf8_lossy(&body[..body.len().min(1000)]).into_owned()
    } else {
        // Trace id and time stamp follow.
        let line = text("error_description").lines().next().unwrap_or("");
        let line = line.split(" Trace ID:").next().unwrap_or(line);
        // The code is told in front of it.
        let code = line.split_once(": ").filter(|(code, _)| code.starts_with("AADSTS"));
        code.map_or(line, |(_, message)| message).to_owned()
    };
    let (verdict, meaning) = number.and_then(known).unwrap_or_else(|| by_error(status, error, &answer));
    let code = match number {
        Some(number) => format!("AADSTS{number}"),
        None if !error.is_empty() => error.to_owned(),
        None if answer == WEB_PAGE => HTML.to_owned(),
        None => "no code".to_owned(),
    };
    AuthError { status: Some(status), ..AuthError::new(verdict, &code, &answer, meaning) }
}

fn by_error(status: u16, error: &str, answer: &str) -> (Verdict, &'static str) {
    match (status, error) {
        (429 | 500..=599 | 408, _) | (_, "temporarily_unavailable") => (Verdict::Retry, "a passing problem of Entra"),
        (_, "invalid_client" | "unauthorized_client") => {
            (Verdict::Stop, "the application's credential or registration is not accepted; check `auth`")
        }
        (_, "invalid_grant" | "interaction_required") => (Verdict::Stop, "a person must sign in again"),
        (300..=399, _) => (
            Verdict::Retry,
            "a redirect came in place of an answer: a proxy, firewall or sign-in page stands between here and Entra; let \
             the login host through, or set HTTPS_PROXY / NO_PROXY",
        ),
        (_, "") if answer == WEB_PAGE => (
            Verdict::Retry,
            "a web page came in place of an answer: a proxy, firewall or sign-in page stands between here and Entra; let \
             the login host through, or set HTTPS_PROXY / NO_PROXY",
        ),
        _ => (Verdict::Stop, "the request was refused; check `tenant_id`, `auth` and `cloud`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, number: u64, error: &str) -> AuthError {
        let body = serde_json::json!({
            "error": error,
            "error_description": format!("AADSTS{number}: Something is wrong.\r\nTrace ID: 1\r\nTimestamp: 2"),
            "error_codes": [number],
        });
        judge(status, body.to_string().as_bytes())
    }

    #[test]
    fn codes_have_meanings_and_remedies() {
        let cases = [
            (7_000_215, Verdict::Stop, "the client secret is wrong"),
            (7_000_222, Verdict::Stop, "expired"),
            (700_016, Verdict::Stop, "not known in this tenant"),
            (90_002, Verdict::Stop, "check `tenant_id`"),
            (900_382, Verdict::Stop, "another cloud"),
            (500_133, Verdict::Stop, "clock"),
            (90_033, Verdict::Retry, "passing"),
        ];
        for (number, verdict, words) in cases {
            let error = judged(401, number, "invalid_client");
            assert_eq!(error.verdict, verdict, "{error}");
            let said = error.to_string();
            assert!(said.contains(words) && said.contains(&format!("AADSTS{number}")), "{said}");
            assert!(!said.contains("Trace ID"), "{said}");
        }
    }

    #[test]
    fn what_has_no_known_code_is_judged_by_error_and_status() {
        assert_eq!(judged(503, 1, "x").verdict, Verdict::Retry);
        assert_eq!(judge(429, b"").verdict, Verdict::Retry);
        assert_eq!(judge(400, br#"{"error":"temporarily_unavailable"}"#).verdict, Verdict::Retry);
        let page = judge(200, b"<html>Welcome to the proxy</html>");
        assert!(page.to_string().contains("a proxy, firewall"), "{page}");
        let redirect = judge(302, b"");
        for answer in [page, redirect] {
            assert!(answer.is_transient() && answer.into_trouble(Api::Management).is_in_the_way());
        }
        assert_eq!(judge(400, br#"{"error":"x","error_description":"AADSTS90002: no"}"#).code, "AADSTS90002");
    }
}
