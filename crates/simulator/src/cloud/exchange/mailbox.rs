//! Search-MailboxAuditLog and Get-Mailbox.

use serde_json::{Value, json};

use super::{Cmdlet, Outcome, error, moment, rows, text};
use crate::world::Feed;

/// Search-MailboxAuditLog: rows of one mailbox with details, or one row for each mailbox that has any.
pub(super) fn run(cmdlet: &Cmdlet<'_>) -> Outcome {
    let parameters = &cmdlet.parameters;
    let size = parameters.number("ResultSize").unwrap_or(1_000);
    if !(1..=250_000).contains(&size) {
        let message = format!("Cannot validate argument on parameter 'ResultSize': {size}.");
        return Err(error(400, "System.Management.Automation.ParameterBindingValidationException", &message));
    }
    let details = parameters.switch("ShowDetails");
    let logons = parameters.list("LogonTypes");
    if !details && logons.iter().any(|logon| logon.eq_ignore_ascii_case("Owner")) {
        let message = "The Owner logon type can only be used together with the ShowDetails switch.";
        return Err(error(400, "System.ArgumentException", message));
    }
    let (start, end) = (moment(cmdlet, "StartDate")?, moment(cmdlet, "EndDate")?);
    let operations = parameters.list("Operations");
    let mut wanted = parameters.list("Mailboxes");
    wanted.extend(parameters.text("Identity"));
    let mut life = cmdlet.tenant.live(cmdlet.call.now);
    let known = &life.publisher.world().directory().mailboxes;
    for name in &wanted {
        if !known.iter().any(|mailbox| is_called(mailbox, name)) {
            let domain = cmdlet.tenant.first_domain();
            let message =
                format!("The operation couldn't be performed because object '{name}' couldn't be found on '{domain}'.");
            let kind = "Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException";
            return Err(error(400, kind, &message));
        }
    }
    let owners: Vec<String> = known
        .iter()
        .filter(|mailbox| wanted.iter().any(|name| is_called(mailbox, name)))
        .map(|mailbox| text(mailbox, "UserPrincipalName").to_ascii_lowercase())
        .collect();
    let snapshot = life.publisher.snapshot(&Feed::MailboxAudit);
    let mut places = life.publisher.places(&Feed::MailboxAudit, (start, end), snapshot);
    places.reverse();
    let mut found = Vec::new();
    for place in places {
        let Some(record) = life.publisher.record(&Feed::MailboxAudit, place) else { continue };
        let Ok(value) = serde_json::from_str::<Value>(&record) else { continue };
        let owner = text(&value, "MailboxOwnerUPN").to_ascii_lowercase();
        let logon = text(&value, "LogonType");
        let fits = (wanted.is_empty() || owners.contains(&owner))
            && (logons.is_empty() || logons.iter().any(|one| one.eq_ignore_ascii_case(logon)))
            && (operations.is_empty()
                || operations.iter().any(|one| one.eq_ignore_ascii_case(text(&value, "Operation"))));
        if fits {
            found.push((owner, record));
        }
    }
    let total = found.len();
    let list = if details {
        found.into_iter().take(size as usize).map(|(_, record)| record).collect()
    } else {
        found.sort();
        found.dedup_by(|a, b| a.0 == b.0);
        let row = |(owner, _)| json!({ "MailboxOwnerUPN": owner, "Identity": owner, "IsValid": true }).to_string();
        found.into_iter().take(size as usize).map(row).collect()
    };
    let more = ["There are more results available than are currently displayed."];
    Ok(rows(cmdlet, list, if total > size as usize { &more } else { &[] }))
}

fn is_called(mailbox: &Value, name: &str) -> bool {
    [
        "UserPrincipalName",
        "PrimarySmtpAddress",
        "Guid",
        "ExchangeGuid",
        "ExternalDirectoryObjectId",
        "Alias",
        "Identity",
    ]
    .iter()
    .any(|member| text(mailbox, member).eq_ignore_ascii_case(name))
}

/// Get-Mailbox: all mailboxes, or one.
pub(super) fn list(cmdlet: &Cmdlet<'_>) -> Outcome {
    let life = cmdlet.tenant.live(cmdlet.call.now);
    let known = &life.publisher.world().directory().mailboxes;
    let wanted = cmdlet.parameters.text("Identity");
    let found: Vec<String> = known
        .iter()
        .filter(|mailbox| wanted.as_ref().is_none_or(|name| is_called(mailbox, name)))
        .map(Value::to_string)
        .collect();
    if let (Some(name), true) = (&wanted, found.is_empty()) {
        let domain = cmdlet.tenant.first_domain();
        let message =
            format!("The operation couldn't be performed because object '{name}' couldn't be found on '{domain}'.");
        let kind = "Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException";
        return Err(error(400, kind, &message));
    }
    let unlimited = cmdlet.parameters.text("ResultSize").is_some_and(|size| size.eq_ignore_ascii_case("Unlimited"));
    let size = if unlimited { usize::MAX } else { cmdlet.parameters.number("ResultSize").unwrap_or(1_000) as usize };
    let more = ["There are more results available than are currently displayed."];
    let cut = found.len() > size;
    Ok(rows(cmdlet, found.into_iter().take(size).collect(), if cut { &more } else { &[] }))
}
