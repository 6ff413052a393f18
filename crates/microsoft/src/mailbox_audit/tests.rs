//! Mailbox searches against a scripted Exchange.

use std::collections::BTreeMap;
use std::sync::Mutex;

use downspout_core::Component;
use downspout_core::stage::checkpoint_key;
use downspout_core::store::Write;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::client::http_client;
use crate::clock::Clock;
use crate::ledger;
use crate::testing::{Asked, context, serve};

const TENANT: &str = "0a1b2c3d-0000-1111-2222-333344445555";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_571_200 + second).unwrap()
}

/// Two mailboxes and one that does not exist; a row each minute of ten hours; answers are cut behind 200 rows.
fn answer(asked: &Asked) -> (u16, String) {
    if asked.path.contains("/oauth2/") {
        return (200, json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": "a.b.c" }).to_string());
    }
    let input = &asked.body["CmdletInput"];
    let parameters = &input["Parameters"];
    if input["CmdletName"] == "Get-Mailbox" {
        let second = asked.path.contains("page=2");
        let name = if second { "bob@contoso.example" } else { "ada@contoso.example" };
        let mut page = json!({ "@adminapi.warnings": [], "value": [{ "UserPrincipalName": name }] });
        if !second {
            let host = format!("http://{}/outlook.office365.com/adminapi/beta/x/InvokeCommand?page=2", asked.host);
            page["@odata.nextLink"] = host.into();
        }
        return (200, page.to_string());
    }
    let mailbox = parameters["Identity"].as_str().unwrap();
    if mailbox.starts_with("nobody") {
        let exception = json!({ "message": "no such object", "type": "x.ManagementObjectNotFoundException" });
        let error = json!({ "code": "BadRequest", "innererror": { "internalexception": exception } });
        return (400, json!({ "error": error }).to_string());
    }
    let time = |name: &str| -> Timestamp { parameters[name].as_str().unwrap().parse().unwrap() };
    let rows: Vec<Value> = (0..600)
        .filter(|minute| (time("StartDate")..=time("EndDate")).contains(&at(minute * 60 + 30)))
        .map(|minute| (minute, if minute % 10 == 0 { "HardDelete" } else { "MailItemsAccessed" }))
        .filter(|(_, operation)| {
            parameters["Operations"].as_array().is_none_or(|wanted| wanted.contains(&(*operation).into()))
        })
        .map(|(minute, operation)| json!({ "Identity": format!("{mailbox}-{minute}"), "Operation": operation }))
        .collect();
    let warnings: &[&str] = if rows.len() > 200 { &["There are more results."] } else { &[] };
    (200, json!({ "@adminapi.warnings": warnings, "value": rows[..rows.len().min(200)] }).to_string())
}

async fn run(keys: Value) -> (BTreeMap<String, usize>, Vec<String>) {
    let base = serve(Arc::new(Mutex::new(answer))).await;
    let folder = tempfile::tempdir().unwrap();
    let context = context("mail", folder.path());
    let mut config = json!({
        "tenant_id": TENANT,
        "auth": { "client_id": "app", "client_secret": "s" },
        "cloud": { "simulator": base },
        "start": at(0).to_string(), "until": at(36_000).to_string(), "mode": "once",
    });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    let config: MailboxAuditConfig = serde_json::from_value(config).unwrap();
    let (setup, timing) = (config.common().plan().unwrap(), config.timing().plan().unwrap());
    let connections = setup.connect_at(&context, &http_client(None).unwrap(), &Clock::leaping(at(86_400))).unwrap();
    let source = Box::new(MailboxAudit { config, setup, timing, context: context.clone() });
    let (sender, mut batches) = mpsc::channel(1);
    let output = Output::new("mail".into(), Arc::clone(&context.store), sender);
    let (_stop, shutdown) = Shutdown::new();
    let running = tokio::spawn(source.run_with(connections, output, shutdown));
    let mut came = BTreeMap::new();
    while let Some(batch) = batches.recv().await {
        for span in &batch.records.spans {
            let record: Value = serde_json::from_slice(&batch.records.text[span.start..span.start + span.len]).unwrap();
            *came.entry(record["Identity"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        let write = Write::set(checkpoint_key("mail", &batch.shard), batch.checkpoint);
        context.store.write_all(&[write]).unwrap();
    }
    running.await.unwrap().unwrap();
    let ledgers = ledger::read_all(&context.store).unwrap();
    let gaps = ledgers
        .iter()
        .flat_map(|feed| feed.state.gaps.iter().map(move |gap| format!("{}: {}", feed.feed, gap.reason.as_str())));
    (came, gaps.collect())
}

#[tokio::test]
async fn every_row_of_every_mailbox_comes_once() {
    let (came, gaps) = run(json!({})).await;
    assert_eq!(came.len(), 1200);
    assert!(came.values().all(|times| *times == 1));
    assert_eq!(gaps, Vec::<String>::new());
}

#[tokio::test]
async fn a_mailbox_that_does_not_exist_is_a_gap_and_no_obstacle() {
    let (came, gaps) = run(json!({ "mailboxes": ["nobody@contoso.example", "ada@contoso.example"] })).await;
    assert_eq!(came.len(), 600);
    assert_eq!(gaps, ["mailbox_audit:nobody@contoso.example: the service does not have it"]);
}

#[tokio::test]
async fn only_the_operations_that_were_asked_for_come() {
    let (came, gaps) = run(json!({ "mailboxes": ["ada@contoso.example"], "operations": ["HardDelete"] })).await;
    assert_eq!((came.len(), gaps), (60, Vec::new()));
}

#[test]
fn operations_that_are_nearly_known_are_doubted() {
    let config = json!({ "operations": ["HardDelete", "harddelete", "SendsAs", "NewThing"] });
    let config: MailboxAuditConfig = serde_json::from_value(config).unwrap();
    let keys: Vec<String> = config.warnings().into_iter().map(|doubt| doubt.key).collect();
    assert_eq!(keys, ["operations.1", "operations.2"]);
}

#[test]
fn mistakes_are_told_at_their_keys() {
    let config = json!({
        "tenant_id": TENANT, "auth": { "client_id": "app", "client_secret": "s" },
        "mailboxes": ["ada", ""], "operations": [" "], "logon_types": [], "passes": 3, "max_passes": 2,
    });
    let Err(errors) = serde_json::from_value::<MailboxAuditConfig>(config).unwrap().plan() else { panic!("accepted") };
    let mut keys: Vec<String> = errors.into_iter().map(|error| error.key).collect();
    keys.sort();
    assert_eq!(keys, ["logon_types", "mailboxes.1", "max_passes", "operations.0"]);
}
