//! Attacks and their ground truth.

use std::collections::{BTreeSet, HashMap};

use super::*;

fn attacked(kind: AttackKind, seed: u64) -> (World, Vec<Happening>) {
    let mut config = config(4, 500);
    config.attacks = vec![AttackConfig { kind, at: hours(9), seed }];
    let mut world = World::new(config);
    let all = world.advance(hours(24));
    (world, all)
}

/// What an attack must leave: operations of the unified audit log, or feeds, and how many at least.
fn expected(kind: AttackKind) -> &'static [(&'static str, usize)] {
    match kind {
        AttackKind::PasswordSpray => &[
            ("UserLoginFailed", 400),
            ("50053", 30),
            ("UserLoggedIn", 1),
            ("SignInInteractive", 400),
            ("passwordSpray", 1),
            ("RiskDetection", 2),
        ],
        AttackKind::BruteForce => &[("UserLoginFailed", 60), ("UserLoggedIn", 2), ("SignInInteractive", 62)],
        AttackKind::MfaFatigue => {
            &[("500121", 14), ("UserLoggedIn", 1), ("User registered security info.", 1), ("DirectoryAudit", 1)]
        }
        AttackKind::ConsentPhishing => &[
            ("Consent to application.", 1),
            ("Add delegated permission grant.", 1),
            ("DirectoryAudit", 4),
            ("MailItemsAccessed", 30),
            ("MessageTrace", 1),
        ],
        AttackKind::InboxRuleForwarding => &[
            ("New-InboxRule", 1),
            ("UpdateInboxRules", 1),
            ("Set-Mailbox", 1),
            ("AlertTriggered", 1),
            ("MessageTrace", 10),
        ],
        AttackKind::TransportRuleForwarding => &[("New-TransportRule", 1), ("BlindCopyTo", 1), ("MessageTrace", 25)],
        AttackKind::MailboxDelegation => &[("Add-MailboxPermission", 1), ("MailItemsAccessed", 150)],
        AttackKind::DelegateDeletion => {
            &[("SoftDelete", 20), ("MoveToDeletedItems", 20), ("HardDelete", 20), ("MailboxAudit", 60)]
        }
        AttackKind::OneDriveSharing => {
            &[("AnonymousLinkCreated", 8), ("AddedToSecureLink", 16), ("AnonymousLinkUsed", 8), ("SharingSet", 16)]
        }
        AttackKind::EdiscoveryAbuse => &[
            ("New-ComplianceSearch", 1),
            ("New-ComplianceSearchAction", 2),
            ("SearchPurged", 1),
            ("SearchExported", 1),
        ],
        AttackKind::EdiscoveryAdmin => {
            &[("Add-eDiscoveryCaseAdmin", 1), ("CaseAdminAdded", 1), ("Add-RoleGroupMember", 1), ("SearchCreated", 1)]
        }
        AttackKind::BulkMail => &[("Send", 40), ("MessageTrace", 700), ("AlertTriggered", 2)],
        AttackKind::ApplicationCredentials => &[
            ("Update application – Certificates and secrets management ", 1),
            ("Add service principal credentials.", 1),
            ("SignInServicePrincipal", 3),
            ("MailItemsAccessed", 60),
        ],
        AttackKind::RoleEscalation => {
            &[("Add member to role.", 1), ("Global Administrator", 2), ("AzureActivity", 4), ("DirectoryAudit", 2)]
        }
    }
}

#[test]
fn every_attack_leaves_its_records_in_all_its_feeds() {
    for kind in AttackKind::ALL {
        for seed in 0..3 {
            let (_, all) = attacked(kind, seed);
            let records: Vec<&Happening> = all.iter().filter(|happening| happening.attack == Some(0)).collect();
            for (what, least) in expected(kind) {
                let count = records
                    .iter()
                    .filter(|happening| {
                        format!("{:?}", happening.feed).starts_with(what)
                            || happening.record.contains(&format!("\"{what}\""))
                            || (what.contains(' ') && happening.record.contains(what))
                    })
                    .count();
                assert!(count >= *least, "{}: {count} of {what}, not {least}", kind.name());
            }
        }
    }
}

#[test]
fn the_truth_names_all_records_and_nothing_else() {
    let mut config = config(21, 3000);
    config.attacks = all_attacks(start());
    let mut world = World::new(config.clone());
    let all = world.advance(hours(48));
    assert_eq!(world.truth().len(), AttackKind::ALL.len());
    let kinds: BTreeSet<&str> = world.truth().iter().map(|truth| truth.kind.as_str()).collect();
    assert_eq!(kinds.len(), AttackKind::ALL.len());
    let mut of_attacks: HashMap<u32, Vec<&Happening>> = HashMap::new();
    for happening in &all {
        if let Some(attack) = happening.attack {
            of_attacks.entry(attack).or_default().push(happening);
        }
    }
    for truth in world.truth() {
        let records = &of_attacks[&truth.attack];
        let ids: BTreeSet<&str> = records.iter().map(|happening| happening.id.as_str()).collect();
        assert_eq!(truth.record_ids.iter().map(String::as_str).collect::<BTreeSet<_>>(), ids, "{}", truth.kind);
        assert_eq!(truth.record_ids.len(), ids.len(), "{}: each once", truth.kind);
        assert_eq!((truth.start, truth.end), (records[0].time, records[records.len() - 1].time));
        assert_eq!(config.attacks[truth.attack as usize].kind.name(), truth.kind);
        assert!(truth.start >= config.attacks[truth.attack as usize].at);
        assert!(!truth.actors.is_empty() && !truth.addresses.is_empty() && !truth.targets.is_empty(), "{truth:?}");
        for address in &truth.addresses {
            assert!(
                records.iter().any(|happening| happening.record.contains(address.as_str())),
                "{address} {}",
                truth.kind
            );
        }
    }
}

#[test]
fn the_truth_is_told_when_all_of_it_was_handed_out() {
    let (world, all) = attacked(AttackKind::DelegateDeletion, 1);
    let end = world.truth()[0].end;
    let mut config = world.config().clone();
    config.seed = 4;
    let mut again = World::new(config);
    again.advance(end);
    assert!(again.truth().is_empty());
    again.advance(end + jiff::SignedDuration::from_millis(1));
    assert_eq!(again.truth(), world.truth());
    assert!(all.iter().any(|happening| happening.time > end));
}

#[test]
fn attacks_mingle_with_normal_life() {
    let mut config = config(4, 20_000);
    config.attacks = vec![AttackConfig { kind: AttackKind::MailboxDelegation, at: hours(9), seed: 0 }];
    let all = World::new(config).advance(hours(24));
    let marks: Vec<bool> = all.iter().map(|happening| happening.attack.is_some()).collect();
    let turns = marks.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(turns > 100, "{turns}");
}

#[test]
fn attackers_come_from_elsewhere() {
    let (world, all) = attacked(AttackKind::BruteForce, 2);
    let addresses = &world.truth()[0].addresses;
    for happening in all.iter().filter(|happening| happening.attack.is_none()) {
        assert!(
            !addresses.iter().any(|address| happening.record.contains(&format!("\"{address}\""))),
            "{}",
            happening.record
        );
    }
}

#[test]
fn attacks_change_the_directory_when_they_happen() {
    let grants = |world: &World| world.directory().oauth2_permission_grants.len();
    let (world, _) = attacked(AttackKind::ConsentPhishing, 0);
    let before = World::new(world.config().clone());
    assert_eq!(grants(&world), grants(&before) + 1);
    let secrets = |world: &World| {
        let count = |app: &Value| app["passwordCredentials"].as_array().map_or(0, Vec::len);
        world.directory().applications.iter().map(count).sum::<usize>()
    };
    let (world, _) = attacked(AttackKind::ApplicationCredentials, 0);
    let mut before = World::new(world.config().clone());
    before.advance(hours(9));
    assert_eq!(secrets(&world), secrets(&before) + 1);
}

#[test]
fn kinds_have_names() {
    for kind in AttackKind::ALL {
        assert_eq!(AttackKind::from_name(kind.name()), Some(kind));
    }
    assert_eq!(AttackKind::from_name("other"), None);
    let all = all_attacks(start());
    assert_eq!(all.len(), AttackKind::ALL.len());
    assert!(all.iter().all(|attack| attack.at > start() && attack.at <= hours(48)));
}
