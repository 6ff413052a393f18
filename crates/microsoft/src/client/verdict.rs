//! What to do about whatever is not an answer.
//!
//! Each API has a table of its own ([`super::tables`]); what no table knows is judged by its status. A [`Trouble`] says
//! three things to the operator: what Microsoft answered, what that means, and what to do.

use std::fmt;
use std::time::Duration;

use downspout_core::StageError;

use super::api::Api;
use super::tables::lacks_licence;

/// What follows from an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The same request again, later. Sources see it only when it was repeated often enough.
    Retry,
    /// The same request again, later, and fewer of them. Sources see it only when it was repeated often enough.
    Throttled,
    /// A new token and the same request once more. Sources never see it: a second time it is [`Verdict::Stop`].
    Reauth,
    /// This item can never be had: record a gap and go on.
    Skip,
    /// Configuration, permission or licence: nothing but a human helps. Report, and try again slowly.
    Stop,
    /// The source knows what to do, by [`Trouble::code`]: start the subscription, list again, split the window.
    Handle,
}

/// The code of an answer that is not the JSON it should be.
pub const INVALID_JSON: &str = "invalid_json";

/// The code of an answer that is a web page.
pub(crate) const HTML: &str = "html";

/// How the meaning of trouble with tokens begins.
pub(crate) const SIGN_IN: &str = "signing in failed: ";

/// A request that got no answer, or not the one that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What follows from it.
    pub verdict: Verdict,
    /// Whose it is.
    pub api: Api,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The service's own code (`AF20022`, `AADSTS7000215`, `TooManyRequests`), or a short word of ours (`timeout`,
    /// `connection`, `html`, `foreign_url`).
    pub code: String,
    /// What the service answered, shortened, on one line.
    pub answer: String,
    /// What it means and what to do. Empty if nothing is known beyond the answer.
    pub meaning: String,
    /// How long the service asks to wait.
    pub retry_after: Option<Duration>,
}

impl Trouble {
    /// Trouble of our own finding, without an answer.
    pub fn new(verdict: Verdict, api: Api, code: &str, answer: impl AsRef<str>, meaning: impl Into<String>) -> Trouble {
        Trouble {
            verdict,
            api,
            status: None,
            code: code.to_owned(),
            answer: one_line(answer.as_ref()),
            meaning: meaning.into(),
            retry_after: None,
        }
    }

    /// A short, fixed word for the `error_type` label of metrics.
    pub fn error_type(&self) -> &'static str {
        match self.verdict {
            Verdict::Retry => "transient",
            Verdict::Throttled => "throttled",
            Verdict::Reauth => "unauthorized",
            Verdict::Skip => "not_available",
            Verdict::Stop => "refused",
            Verdict::Handle => "unexpected",
        }
    }

    /// Whether something between here and the service answered in its place: a web page, or a redirect.
    pub fn is_in_the_way(&self) -> bool {
        self.code == HTML || self.status.is_some_and(|status| (300..400).contains(&status))
    }

    /// The trouble when repeating did not help: what stands in the way again and again does not go away by itself.
    pub(crate) fn lasting(self) -> Trouble {
        if self.is_in_the_way() { Trouble { verdict: Verdict::Stop, ..self } } else { self }
    }

    /// Whether trying again later may help without anybody's doing.
    pub fn is_transient(&self) -> bool {
        matches!(self.verdict, Verdict::Retry | Verdict::Throttled)
    }

    /// Whether no token was to be had: then it is the whole tenant that is refused, and not one request.
    pub fn is_sign_in(&self) -> bool {
        self.meaning.starts_with(SIGN_IN)
    }

    /// Whether the tenant has no licence for what was asked for.
    pub fn is_unlicensed(&self) -> bool {
        self.status == Some(403) && lacks_licence(&self.code, &self.answer)
    }

    /// What was answered, without what it means.
    pub(crate) fn bare(&self) -> String {
        Trouble { meaning: String::new(), ..self.clone() }.to_string()
    }

    /// As an error of a stage, in front of which `place` says where it happened (tenant, feed).
    pub fn at(&self, place: &str) -> StageError {
        let message = format!("{place}: {self}");
        if self.is_transient() {
            StageError::retry(self.error_type(), message)
        } else {
            StageError::stop(self.error_type(), message)
        }
    }
}

/// `HTTP 403 AF10001: "..."; what it means and what to do`.
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.api.name())?;
        if let Some(status) = self.status {
            write!(f, "HTTP {status} ")?;
        }
        f.write_str(&self.code)?;
        if !self.answer.is_empty() {
            write!(f, ": \"{}\"", self.answer)?;
        }
        if !self.meaning.is_empty() {
            write!(f, "; {}", self.meaning)?;
        }
        Ok(())
    }
}

/// The first part of a text, with everything that is no plain character as a blank: what comes from outside must not
/// forge log lines.
pub fn one_line(text: &str) -> String {
    const MOST: usize = 300;
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > MOST {
            let end = (0..=MOST).rev().find(|&at| line.is_char_boundary(at)).unwrap_or(0);
            line.truncate(end);
            line.push_str("...");
            break;
        }
    }
    line
}
