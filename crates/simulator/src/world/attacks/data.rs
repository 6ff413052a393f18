//! Files and searches.

use super::Stage;
use crate::world::rng::mix;

pub(super) fn onedrive_sharing(stage: &mut Stage<'_>) -> String {
    let victim = stage.worker();
    let stranger = &stage.intruder.mailbox.address;
    stage.target(&victim.site.url);
    stage.target(stranger);
    stage.enter(victim);
    let files = 25 + stage.rng.below(25);
    for number in 0..files {
        let (file, seed) = (mix(number as u64, 3) % 400, stage.rng.next());
        let labels: &[&str] = if number % 3 == 0 {
            &["sharing/AnonymousLinkCreated", "anonymous/AnonymousLinkUsed"]
        } else {
            &["sharing/SharingInheritanceBroken", "sharing/SharingSet", "sharing/SecureLinkCreated", "sharing/stranger"]
        };
        for label in labels {
            stage.act(label, victim, |mut scene| {
                scene.site = &victim.site;
                scene.file = file;
                scene.seed = seed;
                scene.with("stranger", stranger.as_str()).with("link", "Edit")
            });
            stage.wait(0, 1);
        }
        stage.wait(4, 30);
    }
    stage.act("alert/Unusual volume of external file sharing", victim, |scene| scene);
    format!("{files} files of the OneDrive of {} are shared with {stranger} or with everybody", victim.upn)
}

pub(super) fn ediscovery_abuse(stage: &mut Stage<'_>) -> String {
    let admin = stage.administrator();
    let victim = stage.other(admin);
    let name = "Mailbox check";
    let query = "from:security OR subject:(password OR invoice)";
    stage.target(&victim.upn);
    stage.target(name);
    stage.enter(admin);
    for label in [
        "compliance/New-ComplianceSearch",
        "ediscovery/SearchCreated",
        "compliance/Start-ComplianceSearch",
        "ediscovery/SearchStarted",
        "ediscovery/SearchPreviewed",
        "compliance/export",
        "ediscovery/SearchExported",
        "ediscovery/SearchExportDownloaded",
        "compliance/purge",
        "ediscovery/SearchPurged",
        "ediscovery/SearchRemoved",
        "compliance/Remove-ComplianceSearch",
    ] {
        stage.act(label, admin, |mut scene| {
            scene.target = victim;
            scene.with("search", name).with("where", victim.upn.as_str()).with("query", query)
        });
        stage.wait(20, 300);
    }
    stage.act("alert/eDiscovery search started or exported", admin, |scene| scene);
    format!("{} searches the mailbox of {}, exports what is found, and purges it", admin.upn, victim.upn)
}

pub(super) fn ediscovery_admin(stage: &mut Stage<'_>) -> String {
    let admin = stage.administrator();
    let made = stage.worker();
    stage.target(&made.upn);
    stage.enter(admin);
    for label in [
        "compliance/Add-RoleGroupMember",
        "compliance_rbac/ediscovery",
        "compliance/Add-eDiscoveryCaseAdmin",
        "ediscovery/CaseAdminAdded",
    ] {
        stage.act(label, admin, |mut scene| {
            scene.target = made;
            scene.with("member", made.upn.as_str())
        });
        stage.wait(3, 60);
    }
    stage.wait(300, 900);
    stage.enter(made);
    for label in ["compliance/Get-ComplianceCase", "compliance/New-ComplianceSearch", "ediscovery/SearchCreated"] {
        stage.act(label, made, |scene| scene.with("search", "All mailboxes").with("where", "All"));
        stage.wait(10, 90);
    }
    format!("{} makes {} an eDiscovery administrator, who searches all mailboxes", admin.upn, made.upn)
}
