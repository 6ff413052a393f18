//! Snapshots of a scripted directory.

use std::sync::Mutex;

use downspout_core::stage::checkpoint_key;
use downspout_core::store::Write;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::client::http_client;
use crate::clock::Clock;
use crate::ledger;
use crate::testing::{Asked, context, serve};

const TENANT: &str = "0a1b2c3d-0000-1111-2222-333344445555";

fn answer(asked: &Asked) -> (u16, String) {
    let list = |values: &[Value]| (200, json!({ "value": values }).to_string());
    let path = asked.path.split("graph.microsoft.com").nth(1).unwrap_or_default();
    match path.split('?').next().unwrap_or_default() {
        _ if asked.path.contains("/oauth2/") => {
            (200, json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": "a.b.c" }).to_string())
        }
        "/v1.0/servicePrincipals" if !path.contains("$skiptoken") => {
            let next = format!("http://{}/graph.microsoft.com/v1.0/servicePrincipals?$skiptoken=x", asked.host);
            (200, json!({ "value": [{ "id": "sp-1", "appId": "a" }], "@odata.nextLink": next }).to_string())
        }
        "/v1.0/servicePrincipals" => list(&[json!({ "id": "sp-2", "appId": "b" })]),
        "/v1.0/servicePrincipals/sp-1/oauth2PermissionGrants" => list(&[json!({ "scope": "Mail.Read" })]),
        "/v1.0/servicePrincipals/sp-2/oauth2PermissionGrants" => (404, json!({ "error": {} }).to_string()),
        path if path.ends_with("/appRoleAssignments") => {
            (403, json!({ "error": { "code": "Authorization_RequestDenied", "message": "no" } }).to_string())
        }
        "/v1.0/directory/deletedItems/microsoft.graph.application" => list(&[json!({ "id": "app-0" })]),
        _ => list(&[]),
    }
}

async fn take(context: &Context) -> (Vec<Value>, Vec<String>) {
    let base = serve(Arc::new(Mutex::new(answer))).await;
    let (context, store) = (context.clone(), Arc::clone(&context.store));
    let config: EntraSnapshotConfig = serde_json::from_value(json!({
        "tenant_id": TENANT,
        "auth": { "client_id": "app", "client_secret": "s" },
        "cloud": { "simulator": base },
        "objects": ["apps"], "mode": "once",
    }))
    .unwrap();
    let setup = config.common().plan().unwrap();
    let clock = Clock::leaping("2026-01-05T00:00:00Z".parse().unwrap());
    let connections = setup.connect_at(&context, &http_client(None).unwrap(), &clock).unwrap();
    let (sender, mut batches) = mpsc::channel(1);
    let output = Output::new("directory".into(), Arc::clone(&store), sender);
    let (_stop, shutdown) = Shutdown::new();
    let running =
        tokio::spawn(Box::new(EntraSnapshot { config, setup, context }).run_with(connections, output, shutdown));
    let mut records = Vec::new();
    while let Some(batch) = batches.recv().await {
        for span in &batch.records.spans {
            records.push(serde_json::from_slice(&batch.records.text[span.start..span.start + span.len]).unwrap());
        }
        let write = Write::set(checkpoint_key("directory", &batch.shard), batch.checkpoint);
        store.write_all(&[write]).unwrap();
    }
    running.await.unwrap().unwrap();
    let ledgers = ledger::read_all(&store).unwrap();
    let gaps = ledgers.iter().flat_map(|feed| &feed.state.gaps).map(|gap| gap.detail.clone()).collect();
    (records, gaps)
}

#[tokio::test]
async fn objects_come_with_what_belongs_to_them_and_what_cannot_be_had_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let context = context("directory", folder.path());
    let (records, gaps) = take(&context).await;
    let note = |kind: &str, deleted: bool| json!({ "kind": kind, "taken": "2026-01-05T00:00:00Z", "tenantId": TENANT, "deleted": deleted });
    let expected = [
        json!({ "id": "app-0", "snapshot": note("application", true) }),
        json!({
            "id": "sp-1", "appId": "a", "oauth2PermissionGrants": [{ "scope": "Mail.Read" }],
            "snapshot": note("servicePrincipal", false),
        }),
        json!({ "id": "sp-2", "appId": "b", "snapshot": note("servicePrincipal", false) }),
    ];
    assert_eq!(records, expected);
    assert_eq!(gaps.len(), 1);
    assert!(
        gaps[0].starts_with("appRoleAssignments: graph_directory: HTTP 403 Authorization_RequestDenied"),
        "{gaps:?}"
    );
    // It was taken, and is not taken again.
    assert_eq!(take(&context).await.0, Vec::<Value>::new());
}
