//! Taking rights.

use serde_json::json;

use super::{Stage, entry};
use crate::world::calendar::{Form, push_time};
use crate::world::rng::uuid_of;

const GLOBAL_ADMINISTRATOR: &str = "62e90394-69f5-4237-9190-012177145e10";

pub(super) fn application_credentials(stage: &mut Stage<'_>) -> String {
    let admin = stage.administrator();
    // The one that reads all mailboxes.
    let app = &stage.tenant.own[1];
    let key = uuid_of(stage.rng.next());
    stage.target(&app.name);
    stage.actor(&app.name);
    stage.enter(admin);
    for label in [
        "directory/Update application.",
        "directory/Update application credentials",
        "directory/Add service principal credentials.",
    ] {
        stage.act(label, admin, |mut scene| {
            scene.app = app;
            scene.with("key", key.clone()).with("secret", "sync")
        });
        stage.wait(1, 4);
    }
    let mut start = String::new();
    push_time(&mut start, stage.at, Form::Zulu);
    let (object, credential) = (
        app.object.clone(),
        json!({
            "keyId": key, "displayName": "sync", "hint": "x9Q", "secretText": null, "customKeyIdentifier": null,
            "startDateTime": start, "endDateTime": "2099-12-31T00:00:00Z",
        }),
    );
    stage.change(move |directory| {
        let list = entry(&mut directory.applications, "id", &object).and_then(|app| app.get_mut("passwordCredentials"));
        if let Some(list) = list.and_then(serde_json::Value::as_array_mut) {
            list.push(credential);
        }
    });
    stage.wait(200, 900);
    let reads = 60 + stage.rng.below(60);
    for step in 0..reads {
        if step % 20 == 0 {
            stage.act("application_sign_in/Application sign-in", admin, |mut scene| {
                scene.app = app;
                scene.with("key", key.clone())
            });
        }
        stage.act("mailbox_app/MailItemsAccessed", admin, |mut scene| {
            scene.app = app;
            scene
        });
        stage.wait(2, 30);
    }
    format!("{} adds a secret to `{}`, which is then used to read mailboxes in {reads} steps", admin.upn, app.name)
}

pub(super) fn role_escalation(stage: &mut Stage<'_>) -> String {
    let admin = stage.administrator();
    let raised = stage.worker();
    stage.target(&raised.upn);
    stage.enter(admin);
    stage.act("directory/Add member to role.", admin, |mut scene| {
        scene.target = raised;
        scene
            .with("role", "Global Administrator")
            .with("template", GLOBAL_ADMINISTRATOR)
            .with("wellknown", "TenantAdmins")
    });
    stage.act("alert/Elevation of Exchange admin privilege", admin, |scene| scene);
    let upn = raised.upn.clone();
    stage.change(move |directory| {
        if let Some(details) = entry(&mut directory.user_registration_details, "userPrincipalName", &upn) {
            details["isAdmin"] = json!(true);
        }
    });
    stage.wait(120, 600);
    stage.enter(raised);
    let azure = &stage.tenant.first_party[8];
    stage.act("azure/Microsoft.Authorization/elevateAccess/action", raised, |mut scene| {
        scene.app = azure;
        scene
    });
    stage.wait(30, 200);
    stage.act("azure/Microsoft.Authorization/roleAssignments/write", raised, |mut scene| {
        scene.app = azure;
        scene
    });
    stage.wait(10, 60);
    stage.act("directory/Disable Strong Authentication.", raised, |mut scene| {
        scene.target = admin;
        scene
    });
    format!("{} makes {} Global Administrator, who takes over the subscriptions", admin.upn, raised.upn)
}
