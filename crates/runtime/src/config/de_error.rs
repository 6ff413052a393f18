//! The error of deserialising a piece of the tree, while it travels up to where it becomes a [`Diagnostic`].
//!
//! serde raises errors without a place; each level of the tree that an error passes adds what it knows: first
//! its place, then its key to the path. The parts of a message are kept apart until the end, so that a value that
//! must not be shown can still be taken out.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::fmt::{self, Display, Formatter};

use serde::de::{Error, Expected, Unexpected};

use super::suggest::help_for_unknown;
use super::text::clip;
use super::tree::Scalar;
use super::{Diagnostic, Node, NodeValue, Span};

/// What is printed for a value that must not be shown.
const HIDDEN: &str = "`***`";

/// What is printed for a reason that quotes a part of such a value.
const WITHHELD: &str = "the value `***` is not accepted (why is not shown, since the reason quotes a part of it)";
/// So many characters in common are taken for a quotation.
const QUOTATION: usize = 6;

/// Boxed, because it is returned by every step of a deserialisation.
#[derive(Debug)]
pub(super) struct DeError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    problem: Problem,
    span: Option<Span>,
    /// Steps from the outside to the place, the innermost first.
    path: Vec<Step>,
    help: Option<String>,
}

#[derive(Debug)]
enum Problem {
    /// A component's own check.
    Custom(String),
    Mismatch {
        expected: String,
        found: String,
    },
    UnknownKey {
        key: String,
        known: Vec<String>,
    },
    UnknownValue {
        value: Option<String>,
        known: Vec<String>,
    },
    MissingKey(&'static str),
    /// Two spellings of one key (`#[serde(alias)]`).
    RepeatedKey(&'static str),
}

/// One step of the path to a value.
#[derive(Debug)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl DeError {
    fn new(problem: Problem) -> Self {
        Self(Box::new(Inner { problem, span: None, path: Vec::new(), help: None }))
    }

    /// `expected` was wanted, and `found` (see [`describe`]) stands there.
    pub(super) fn mismatch(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(Problem::Mismatch { expected: expected.into(), found: found.into() })
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Says that the problem is about `node`, unless a place deeper inside is known already.
    pub(super) fn at(mut self, node: &Node) -> Self {
        if self.0.span.is_none() {
            self.0.span = Some(node.span);
            self.0.conceal(node);
        }
        self
    }

    /// Says that the problem is about the key at `span`; keys are never secret.
    pub(super) fn at_key(mut self, span: Span) -> Self {
        self.0.span.get_or_insert(span);
        self
    }

    /// Says that the problem is a key of the mapping that stands twice, and where it stands for the second time.
    pub(super) fn at_repeated_key(mut self, span: Option<Span>) -> Self {
        if matches!(self.0.problem, Problem::RepeatedKey(_)) && self.0.span.is_none() {
            self.0.span = span;
        }
        self
    }

    /// Adds keys that the caller deals with to those that are known.
    pub(super) fn also_known(mut self, keys: &[&str]) -> Self {
        if let Problem::UnknownKey { known, .. } = &mut self.0.problem {
            known.extend(keys.iter().map(|key| (*key).to_owned()));
        }
        self
    }

    /// Says that the value lies below `step` of the value that the caller looks at.
    pub(super) fn below(mut self, step: Step) -> Self {
        self.0.path.push(step);
        self
    }

    /// The finished problem; `base` is the path of the value that the deserialisation began at.
    pub(super) fn into_diagnostic(self, base: &str) -> Diagnostic {
        let inner = *self.0;
        let path = join(base, &inner.path);
        let (message, help) = inner.problem.message(&path);
        let diagnostic = Diagnostic::new(message).help(inner.help.or(help));
        Diagnostic { span: inner.span, ..diagnostic }
    }
}

impl Inner {
    /// Takes everything out that could quote a secret of `node`.
    fn conceal(&mut self, node: &Node) {
        let mut secrets = node.secrets();
        secrets.retain(|secret| !secret.is_empty());
        if secrets.is_empty() {
            return;
        }
        // Longer ones first: a shorter one may be part of them.
        secrets.sort_by_key(|secret| Reverse(secret.len()));
        let is_scalar = matches!(node.value, NodeValue::Scalar(_));
        match &mut self.problem {
            Problem::Mismatch { found, .. } if is_scalar => HIDDEN.clone_into(found),
            Problem::UnknownValue { value, .. } if is_scalar => *value = None,
            Problem::Mismatch { found: text, .. } | Problem::Custom(text) => conceal_text(text, &secrets),
            Problem::UnknownValue { .. } | Problem::UnknownKey { .. } => {}
            Problem::MissingKey(_) | Problem::RepeatedKey(_) => {}
        }
        self.help = self.help.take().filter(|help| !secrets.iter().any(|secret| quotes(help, secret)));
    }
}

impl Problem {
    fn message(self, path: &str) -> (String, Option<String>) {
        let place = if path.is_empty() { "at the top level".to_owned() } else { format!("in {path}") };
        let subject = if path.is_empty() { String::new() } else { format!("{path}: ") };
        match self {
            Self::Custom(text) => (format!("{subject}{text}"), None),
            Self::Mismatch { expected, found } => (format!("{subject}expected {expected}, found {found}"), None),
            Self::UnknownKey { key, known } => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let message = format!("unknown key `{}` {place}", clip(&key));
                (message, help_for_unknown(&key, "keys", &known))
            }
            Self::UnknownValue { value, known } => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let shown = value.as_deref().map_or("***".to_owned(), clip);
                // A suggestion would tell something about a hidden value.
                let compared = value.as_deref().unwrap_or_default();
                let message = format!("{subject}unknown value `{shown}`");
                (message, help_for_unknown(compared, "values", &known))
            }
            Self::MissingKey(key) => (format!("missing key `{key}` {place}"), None),
            Self::RepeatedKey(key) => {
                let message = format!("the key `{key}` stands twice {place}, in two spellings");
                (message, None)
            }
        }
    }
}

/// A component's own message may quote a secret as it is, escaped, changed or in part.
fn conceal_text(text: &mut String, secrets: &[&str]) {
    for secret in secrets {
        *text = text.replace(secret, "***");
        *text = text.replace(&secret.escape_debug().to_string(), "***");
    }
    if secrets.iter().any(|secret| quotes(text, secret)) {
        WITHHELD.clone_into(text);
    }
}

/// Whether a message contains a part of the secret, whatever the case of its letters.
fn quotes(message: &str, secret: &str) -> bool {
    let secret: Vec<char> = secret.to_lowercase().chars().collect();
    let message: Vec<char> = message.to_lowercase().chars().collect();
    let length = secret.len().min(QUOTATION);
    if length == 0 {
        return false;
    }
    let parts: HashSet<&[char]> = message.windows(length).collect();
    secret.windows(length).any(|part| parts.contains(part))
}

fn join(base: &str, steps: &[Step]) -> String {
    let mut path = base.to_owned();
    for step in steps.iter().rev() {
        match step {
            Step::Key(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&clip(key));
            }
            Step::Index(index) => path.push_str(&format!("[{index}]")),
        }
    }
    path
}

/// What stands at `node`, in the words of an error message; secrets are not shown.
pub(super) fn describe(node: &Node) -> String {
    match &node.value {
        NodeValue::Scalar(Scalar { secret: true, .. }) => HIDDEN.to_owned(),
        NodeValue::Scalar(scalar) => describe_scalar(scalar),
        NodeValue::Sequence(_) => "a list".to_owned(),
        NodeValue::Mapping(_) => "a mapping".to_owned(),
    }
}

fn describe_scalar(scalar: &Scalar) -> String {
    use super::scalar::{Plain, classify};
    let text = clip(&scalar.text);
    if !scalar.plain {
        return format!("the string {text:?}");
    }
    match classify(&scalar.text) {
        Plain::Null => "nothing (null)".to_owned(),
        Plain::Bool(value) => format!("`{value}`"),
        Plain::Int(_) | Plain::Float(_) => format!("the number {text}"),
        Plain::Text => format!("the string {text:?}"),
    }
}

fn describe_unexpected(unexpected: &Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(number) => format!("the number {number}"),
        Unexpected::Signed(number) => format!("the number {number}"),
        Unexpected::Float(number) => format!("the number {number}"),
        Unexpected::Str(text) => format!("the string {:?}", clip(text)),
        Unexpected::Unit | Unexpected::Option => "nothing (null)".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => clip(&other.to_string()),
    }
}

impl Error for DeError {
    fn custom<T: Display>(text: T) -> Self {
        Self::new(Problem::Custom(text.to_string()))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::mismatch(expected.to_string(), describe_unexpected(&unexpected))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::mismatch(expected.to_string(), format!("{length} values"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownValue { value: Some(variant.to_owned()), known: owned(expected) })
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownKey { key: field.to_owned(), known: owned(expected) })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Problem::MissingKey(field))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(Problem::RepeatedKey(field))
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Without the place; [`DeError::into_diagnostic`] is what users see.
impl Display for DeError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a config value is not as expected")
    }
}

impl std::error::Error for DeError {}
