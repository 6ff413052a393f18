//! `$filter`: the part of OData that these endpoints understand, parsed and evaluated over JSON.

mod parse;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::cloud::time;

/// A parsed filter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
    Compare {
        path: Vec<String>,
        operator: Operator,
        value: Literal,
    },
    /// `startsWith`, `endsWith`, `contains`.
    Function {
        name: Function,
        path: Vec<String>,
        text: String,
    },
    /// `path/any(variable: inner)`.
    Any {
        path: Vec<String>,
        variable: String,
        inner: Box<Expression>,
    },
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A test of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    StartsWith,
    EndsWith,
    Contains,
}

/// What a member is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Text(String),
    Number(f64),
    Time(Timestamp),
    Boolean(bool),
    Null,
}

impl Expression {
    /// Whether a record fits.
    pub(crate) fn fits(&self, record: &Value) -> bool {
        self.eval(record, &mut Vec::new())
    }

    fn eval<'v>(&'v self, record: &'v Value, bound: &mut Vec<(&'v str, &'v Value)>) -> bool {
        match self {
            Expression::And(parts) => parts.iter().all(|part| part.eval(record, bound)),
            Expression::Or(parts) => parts.iter().any(|part| part.eval(record, bound)),
            Expression::Not(part) => !part.eval(record, bound),
            Expression::Compare { path, operator, value } => compare(find(record, path, bound), *operator, value),
            Expression::Function { name, path, text } => {
                let found = find(record, path, bound).as_str().unwrap_or_default().to_ascii_lowercase();
                let text = text.to_ascii_lowercase();
                match name {
                    Function::StartsWith => found.starts_with(&text),
                    Function::EndsWith => found.ends_with(&text),
                    Function::Contains => found.contains(&text),
                }
            }
            Expression::Any { path, variable, inner } => {
                let Value::Array(items) = find(record, path, bound) else { return false };
                items.iter().any(|item| {
                    bound.push((variable, item));
                    let fits = inner.eval(record, bound);
                    bound.pop();
                    fits
                })
            }
        }
    }

    /// The parts that all have to hold.
    fn parts(&self) -> &[Expression] {
        match self {
            Expression::And(parts) => parts,
            other => std::slice::from_ref(other),
        }
    }

    /// The moments that the filter leaves of a time property: start included, end excluded. With whether both bounds
    /// are given.
    pub(crate) fn range(&self, property: &str) -> ((Timestamp, Timestamp), bool) {
        let (mut start, mut end, mut lower, mut upper) = (Timestamp::MIN, Timestamp::MAX, false, false);
        let next = |time: Timestamp| time.saturating_add(SignedDuration::from_nanos(1)).unwrap_or(time);
        for part in self.parts() {
            let Some((operator, time)) = part.about(property) else { continue };
            match operator {
                Operator::GreaterOrEqual => (start, lower) = (start.max(time), true),
                Operator::Greater => (start, lower) = (start.max(next(time)), true),
                Operator::Less => (end, upper) = (end.min(time), true),
                Operator::LessOrEqual => (end, upper) = (end.min(next(time)), true),
                Operator::Equal => (start, end, lower, upper) = (start.max(time), end.min(next(time)), true, true),
                Operator::NotEqual => {}
            }
        }
        ((start, end), lower && upper)
    }

    fn about(&self, property: &str) -> Option<(Operator, Timestamp)> {
        match self {
            Expression::Compare { path, operator, value } if is(path, property) => match value {
                Literal::Time(time) => Some((*operator, *time)),
                Literal::Text(text) => time::parse(text).map(|time| (*operator, time)),
                _ => None,
            },
            _ => None,
        }
    }

    /// What remains to be checked when the bounds of a time property are: `None` if that is nothing.
    pub(crate) fn without(&self, property: &str) -> Option<Expression> {
        let rest = self
            .parts()
            .iter()
            .filter(|part| part.about(property).is_none_or(|(operator, _)| operator == Operator::NotEqual));
        let rest: Vec<Expression> = rest.cloned().collect();
        (!rest.is_empty()).then_some(Expression::And(rest))
    }

    /// The values that `property/any(t: t eq 'value' or ...)` names, and the filter without that part.
    pub(crate) fn take_any(&self, property: &str) -> (Option<Vec<String>>, Option<Expression>) {
        let mut values = None;
        let mut rest = Vec::new();
        for part in self.parts() {
            match part {
                Expression::Any { path, inner, .. } if is(path, property) => {
                    let mut list = Vec::new();
                    inner.texts(&mut list);
                    values = Some(list);
                }
                // Also `any(...) or any(...)`, which some clients write.
                Expression::Or(parts)
                    if parts.iter().all(|p| matches!(p, Expression::Any { path, .. } if is(path, property))) =>
                {
                    let mut list = Vec::new();
                    parts.iter().for_each(|p| p.texts(&mut list));
                    values = Some(list);
                }
                other => rest.push(other.clone()),
            }
        }
        (values, (!rest.is_empty()).then_some(Expression::And(rest)))
    }

    fn texts(&self, list: &mut Vec<String>) {
        match self {
            Expression::And(parts) | Expression::Or(parts) => parts.iter().for_each(|part| part.texts(list)),
            Expression::Any { inner, .. } => inner.texts(list),
            Expression::Compare { operator: Operator::Equal, value: Literal::Text(text), .. } => {
                list.push(text.clone())
            }
            _ => {}
        }
    }

    /// The text that a property must equal, if the filter says so.
    pub(crate) fn equals(&self, property: &str) -> Option<&str> {
        self.parts().iter().find_map(|part| match part {
            Expression::Compare { path, operator: Operator::Equal, value: Literal::Text(text) }
                if is(path, property) =>
            {
                Some(text.as_str())
            }
            _ => None,
        })
    }
}

fn is(path: &[String], property: &str) -> bool {
    path.len() == 1 && path[0].eq_ignore_ascii_case(property)
}

static NULL: Value = Value::Null;

fn find<'v>(record: &'v Value, path: &'v [String], bound: &[(&'v str, &'v Value)]) -> &'v Value {
    let variable = path.first().and_then(|first| bound.iter().rev().find(|(name, _)| name == first));
    let (mut value, rest) = match variable {
        Some((_, value)) => (*value, &path[1..]),
        None => (record, path),
    };
    for name in rest {
        let member = value.as_object().and_then(|members| {
            members.get(name).or_else(|| members.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v))
        });
        match member {
            Some(member) => value = member,
            None => return &NULL,
        }
    }
    value
}

fn compare(found: &Value, operator: Operator, wanted: &Literal) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let order = match wanted {
        Literal::Null => found.is_null().then_some(Equal),
        Literal::Boolean(wanted) => found.as_bool().map(|found| found.cmp(wanted)),
        Literal::Number(wanted) => found.as_f64().and_then(|found| found.partial_cmp(wanted)),
        Literal::Time(wanted) => found.as_str().and_then(time::parse).map(|found| found.cmp(wanted)),
        Literal::Text(wanted) => {
            found.as_str().map(|found| found.to_ascii_lowercase().cmp(&wanted.to_ascii_lowercase()))
        }
    };
    match operator {
        Operator::Equal => order == Some(Equal),
        Operator::NotEqual => order != Some(Equal),
        Operator::Less => order == Some(Less),
        Operator::LessOrEqual => matches!(order, Some(Less | Equal)),
        Operator::Greater => order == Some(Greater),
        Operator::GreaterOrEqual => matches!(order, Some(Greater | Equal)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fits(filter: &str) -> bool {
        let record = json!({
            "id": "1", "createdDateTime": "2026-01-05T08:15:41.6195833Z", "appDisplayName": "Graph Explorer",
            "status": { "errorCode": 50126 }, "isInteractive": true, "deviceDetail": null,
            "types": ["interactiveUser"], "targets": [{ "type": "User" }, { "type": "Group" }], "quote": "O'Neil",
        });
        Expression::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error}")).fits(&record)
    }

    #[test]
    fn everything_that_is_documented() {
        for filter in [
            "createdDateTime ge 2026-01-05T00:00:00Z and createdDateTime le 2026-01-05T09:00:00Z",
            "createdDateTime eq 2026-01-05T08:15:41.6195833Z",
            "status/errorCode eq 50126",
            "status/errorCode ne 0 and isInteractive eq true",
            "startsWith(appDisplayName,'graph')",
            "startswith(appDisplayName, 'Graph') and endsWith(appDisplayName, 'explorer')",
            "contains(appDisplayName,'Exp')",
            "types/any(t: t eq 'interactiveUser')",
            "types/any(t:t eq 'x' or t eq 'interactiveUser')",
            "targets/any(t: t/type eq 'Group')",
            "(id eq '2' or id eq '1') and not (id eq '3')",
            "deviceDetail eq null",
            "quote eq 'O''Neil'",
        ] {
            assert!(fits(filter), "{filter}");
        }
        for filter in ["id eq '2'", "status/errorCode lt 5", "types/any(t: t eq 'x')", "contains(nothing,'x')"] {
            assert!(!fits(filter), "{filter}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for filter in [
            "",
            "id",
            "id eq",
            "id is 'x'",
            "id eq 'x",
            "id eq x",
            "(id eq 'x'",
            "id eq 'x' id",
            "foo(id,'x')",
            "types/any(t eq 'x')",
            &"(".repeat(100),
        ] {
            assert!(Expression::parse(filter).is_err(), "{filter}");
        }
    }

    #[test]
    fn ranges_and_types_are_taken_out() {
        let filter = "(createdDateTime ge 2026-01-05T00:00:00Z and createdDateTime lt 2026-01-06T00:00:00Z) and \
                      signInEventTypes/any(t: t eq 'servicePrincipal')";
        let expression = Expression::parse(filter).unwrap();
        let ((start, end), whole) = expression.range("createdDateTime");
        assert_eq!(
            (start.to_string(), end.to_string()),
            ("2026-01-05T00:00:00Z".into(), "2026-01-06T00:00:00Z".into())
        );
        assert!(whole);
        let rest = expression.without("createdDateTime").unwrap();
        let (types, rest) = rest.take_any("signInEventTypes");
        assert_eq!((types, rest), (Some(vec!["servicePrincipal".to_owned()]), None));
        let inclusive = Expression::parse("t le 2026-01-06T00:00:00Z").unwrap().range("t").0.1;
        assert_eq!(inclusive.to_string(), "2026-01-06T00:00:00.000000001Z");
        assert_eq!(Expression::parse("appId eq 'x'").unwrap().equals("appId"), Some("x"));
    }
}
