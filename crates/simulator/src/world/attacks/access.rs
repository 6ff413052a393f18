//! Ways in.

use serde_json::json;

use super::Stage;
use crate::world::directory::principal_value;

/// How many wrong passwords lock an account.
const LOCKED_AFTER: usize = 10;

pub(super) fn password_spray(stage: &mut Stage<'_>) -> String {
    let tenant = stage.tenant;
    let count = tenant.users.len().min(48);
    let first = stage.rng.below(tenant.users.len());
    let victims: Vec<_> = (0..count).map(|place| &tenant.users[(first + place) % tenant.users.len()]).collect();
    let hit = stage.rng.below(count);
    let rounds = 12;
    let legacy = stage.rng.chance(50);
    for round in 0..rounds {
        for (place, victim) in victims.iter().enumerate() {
            if round + 1 == rounds && place == hit {
                continue;
            }
            stage.place = place % stage.intruder.places.len();
            // The accounts in the middle of the list have other people guessing too: they lock.
            let label = match round >= LOCKED_AFTER && place % 3 == 0 {
                true => "sign_in/locked",
                false if legacy => "sign_in/password_legacy",
                false => "sign_in/password",
            };
            stage.act(label, victim, |scene| scene);
            stage.target(&victim.upn);
            stage.wait(1, 6);
        }
        stage.wait(120, 400);
    }
    stage.place = hit % stage.intruder.places.len();
    stage.enter(victims[hit]);
    stage.act("risk/spray", victims[hit], |scene| scene);
    format!(
        "{rounds} passwords against {count} accounts from {} addresses; some lock, {} gives way",
        stage.intruder.places.len(),
        victims[hit].upn
    )
}

pub(super) fn brute_force(stage: &mut Stage<'_>) -> String {
    let victim = stage.worker();
    let attempts = 60 + stage.rng.below(60);
    stage.target(&victim.upn);
    for attempt in 0..attempts {
        let locked = attempt > LOCKED_AFTER && attempt % 12 < 2;
        stage.act(if locked { "sign_in/locked" } else { "sign_in/password_legacy" }, victim, |scene| scene);
        stage.wait(2, 25);
    }
    stage.enter(victim);
    stage.act("sign_in/UserLoggedIn", victim, |scene| scene);
    format!("{attempts} wrong passwords against {} from one address, then the right one", victim.upn)
}

pub(super) fn mfa_fatigue(stage: &mut Stage<'_>) -> String {
    let victim = stage.worker();
    let prompts = 14 + stage.rng.below(20);
    stage.target(&victim.upn);
    for _ in 0..prompts {
        stage.act("sign_in/mfa_required", victim, |scene| scene);
        stage.wait(1, 3);
        stage.act("sign_in/mfa_denied", victim, |scene| scene);
        stage.wait(20, 90);
    }
    stage.enter(victim);
    stage.act("directory/User registered security info.", victim, |scene| {
        scene.with("method", "User registered Phone method")
    });
    let id = victim.id.clone();
    stage.change(move |directory| {
        directory.authentication_methods.entry(id).or_default().push(json!({
            "@odata.type": "#microsoft.graph.phoneAuthenticationMethod",
            "id": "3179e48a-750b-4051-897c-87b9720928f7",
            "phoneNumber": "+41 790000000",
            "phoneType": "mobile",
        }));
    });
    format!("{prompts} prompts to {} until one is approved; a phone of the attacker is registered", victim.upn)
}

pub(super) fn consent_phishing(stage: &mut Stage<'_>) -> String {
    let victim = stage.worker();
    let app = &stage.intruder.app;
    let resource = stage.tenant.resource(0);
    let scope = " Mail.Read Mail.Send Files.ReadWrite.All offline_access User.Read";
    stage.target(&victim.upn);
    stage.actor(&app.name);
    stage.act_at_work("inbound/delivered", victim, |scene| scene.with("subject", "A document was shared with you"));
    stage.wait(60, 900);
    stage.act_at_work("sign_in/consent", victim, |mut scene| {
        scene.app = app;
        scene.resource = resource;
        scene
    });
    stage.wait(5, 30);
    for label in [
        "directory/Add service principal.",
        "directory/Add delegated permission grant.",
        "directory/Add app role assignment grant to user.",
        "directory/Consent to application.",
    ] {
        stage.act_at_work(label, victim, |mut scene| {
            scene.app = app;
            scene.with("scope", scope)
        });
    }
    let (principal, grant) = (
        principal_value(app, stage.tenant, "ThirdParty"),
        json!({
            "id": format!("{}-{}", app.principal, victim.id),
            "clientId": app.principal,
            "consentType": "Principal",
            "principalId": victim.id,
            "resourceId": resource.principal,
            "scope": scope,
        }),
    );
    let id = app.principal.clone();
    stage.change(move |directory| {
        directory.service_principals.push(principal);
        directory.oauth2_permission_grants.entry(id).or_default().push(grant);
    });
    stage.wait(10, 60);
    stage.act_at_work("sign_in/reprocess", victim, |mut scene| {
        scene.app = app;
        scene.resource = resource;
        scene
    });
    for _ in 0..30 {
        stage.wait(10, 120);
        stage.act("mailbox_read/rest", victim, |mut scene| {
            scene.app = app;
            scene
        });
    }
    format!("{} consents to the application `{}`, which then reads the mailbox", victim.upn, app.name)
}
