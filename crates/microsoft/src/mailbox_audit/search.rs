//! One mailbox's search, and the list of all mailboxes.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;

use super::{LogonType, MailboxAuditConfig};
use crate::audit_search::record::found;
use crate::audit_search::search::{Halt, Outcome};
use crate::audit_search::shelf::Pages;
use crate::client::{Trouble, Verdict};
use crate::exchange::{Exchange, wire};
use crate::windows::Window;

/// How many rows are asked for: the cmdlet would give up to 250,000, in one answer that must be held whole.
const ROWS: usize = 5_000;

/// Searches one mailbox.
#[derive(Debug)]
pub(crate) struct MailboxSearch {
    exchange: Exchange,
    mailbox: String,
    logon_types: Vec<LogonType>,
    operations: Vec<String>,
    inactive: bool,
}

impl MailboxSearch {
    pub(super) fn new(exchange: Exchange, mailbox: String, config: &MailboxAuditConfig) -> MailboxSearch {
        let MailboxAuditConfig { logon_types, operations, inactive, .. } = config.clone();
        MailboxSearch { exchange, mailbox, logon_types, operations, inactive }
    }

    /// Reads everything in a window once.
    pub(crate) async fn pass(&self, window: &Window, pages: &mut Pages<'_>) -> Result<Outcome, Halt> {
        let types: Vec<&str> = self.logon_types.iter().map(|logon_type| logon_type.name()).collect();
        let mut parameters = wire::Parameters::new();
        for (name, value) in [
            ("Identity", json!(self.mailbox)),
            ("StartDate", json!(window.start.to_string())),
            ("EndDate", json!(window.end.to_string())),
            ("LogonTypes", json!(types)),
            // Without it the cmdlet knows no owners, and gives one row for the whole mailbox.
            ("ShowDetails", json!(true)),
            ("ResultSize", json!(ROWS)),
        ] {
            parameters.insert(name.to_owned(), value);
        }
        if !self.operations.is_empty() {
            parameters.insert("Operations".to_owned(), json!(self.operations));
        }
        if self.inactive {
            parameters.insert("IncludeInactiveMailbox".to_owned(), json!(true));
        }
        let body = self.exchange.invoke("Search-MailboxAuditLog", &parameters).await?;
        let answer = match wire::Answer::parse(&body) {
            Ok(answer) => answer,
            Err(broken) => return Ok(Outcome::Broken(broken.to_string())),
        };
        if answer.cut || !answer.warnings.is_empty() || answer.rows.len() >= ROWS {
            let rows = answer.rows.len();
            return Ok(Outcome::TooLarge(format!("the service cut the answer behind {rows} rows {}", answer.warnings)));
        }
        let rows = answer.rows.into_iter().map(|row| found(body[row].to_vec())).collect();
        pages.take(rows).await?;
        Ok(Outcome::Whole { counted: None })
    }
}

#[derive(Deserialize)]
struct Mailbox {
    #[serde(rename = "UserPrincipalName")]
    principal: Option<String>,
    #[serde(rename = "PrimarySmtpAddress")]
    address: Option<String>,
}

/// The names of all mailboxes of the tenant.
pub(super) async fn all_mailboxes(exchange: &Exchange, inactive: bool) -> Result<BTreeSet<String>, Trouble> {
    let mut parameters = wire::Parameters::new();
    parameters.insert("ResultSize".to_owned(), json!("Unlimited"));
    if inactive {
        parameters.insert("IncludeInactiveMailbox".to_owned(), json!(true));
    }
    let mut mailboxes = BTreeSet::new();
    for (page, answer) in exchange.list("Get-Mailbox", &parameters).await.map_err(explain)? {
        for row in answer.rows {
            let Ok(mailbox) = serde_json::from_slice::<Mailbox>(&page[row]) else { continue };
            mailboxes.extend([mailbox.principal, mailbox.address].into_iter().flatten().find(|name| !name.is_empty()));
        }
    }
    Ok(mailboxes)
}

fn explain(trouble: Trouble) -> Trouble {
    // Who could not sign in, or was not reached, has not been asked for the list.
    if trouble.is_transient() || trouble.is_sign_in() || trouble.status.is_none() {
        return trouble;
    }
    let meaning = format!("the mailboxes cannot be listed; name them in `mailboxes`; {}", trouble.meaning);
    Trouble { meaning, verdict: Verdict::Stop, ..trouble }
}
