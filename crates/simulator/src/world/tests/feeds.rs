//! What the feeds promise: ids, times, and the fields by which dedupe and the lake know them.

use std::collections::{BTreeMap, HashSet};

use super::*;

/// A day with all attacks.
fn eventful() -> (World, Vec<Happening>) {
    let mut config = config(11, 12_000);
    config.attacks = all_attacks(start());
    let mut world = World::new(config);
    let all = world.advance(hours(40));
    (world, all)
}

#[test]
fn ids_are_unique_inside_their_feed() {
    let (_, all) = eventful();
    let mut seen = HashSet::new();
    for happening in &all {
        assert!(seen.insert((happening.feed.clone(), happening.id.clone())), "{:?} {}", happening.feed, happening.id);
    }
}

/// The fields that tell a feed's records, and those that hold an id and a time; the first one is the id.
fn promised(feed: &Feed) -> (&'static str, &'static [&'static str], &'static str) {
    match feed {
        Feed::AzureActiveDirectory | Feed::Exchange | Feed::SharePoint | Feed::General | Feed::Dlp => {
            let fields =
                &["Operation", "RecordType", "Workload", "OrganizationId", "UserId", "UserKey", "UserType", "Version"];
            ("Id", fields, "CreationTime")
        }
        Feed::SignInInteractive
        | Feed::SignInNonInteractive
        | Feed::SignInServicePrincipal
        | Feed::SignInManagedIdentity => (
            "id",
            &["correlationId", "status", "appId", "ipAddress", "resourceTenantId", "resourceId"],
            "createdDateTime",
        ),
        Feed::DirectoryAudit => {
            ("id", &["activityDisplayName", "category", "result", "initiatedBy"], "activityDateTime")
        }
        Feed::Provisioning => {
            ("id", &["provisioningAction", "jobId", "tenantId", "servicePrincipal"], "activityDateTime")
        }
        Feed::RiskDetection => ("id", &["riskEventType", "userPrincipalName", "ipAddress"], "activityDateTime"),
        Feed::MessageTrace => ("id", &["recipientAddress", "status", "senderAddress", "messageId"], "receivedDateTime"),
        Feed::MailboxAudit => ("Identity", &["Operation", "MailboxOwnerUPN", "LogonType"], "LastAccessed"),
        Feed::AzureActivity { .. } => {
            ("eventDataId", &["id", "operationName", "caller", "status", "category", "resourceId"], "eventTimestamp")
        }
        Feed::AzureDevOps { .. } => ("id", &["actionId", "area", "actorUserId", "userAgent", "ipAddress"], "timestamp"),
    }
}

#[test]
fn every_record_has_what_its_feed_promises() {
    let (_, all) = eventful();
    let mut feeds = HashSet::new();
    for happening in &all {
        let record = parse(happening);
        feeds.insert(std::mem::discriminant(&happening.feed));
        let (id, fields, time) = promised(&happening.feed);
        for field in fields {
            assert!(record.get(field).is_some(), "no {field} in {}", happening.record);
        }
        let id = record[id].as_str().expect("id");
        match happening.feed {
            Feed::MessageTrace => {
                assert_eq!(happening.id, format!("{id}/{}", record["recipientAddress"].as_str().expect("recipient")));
            }
            _ => assert_eq!(happening.id, id),
        }
        let text = record[time].as_str().expect("time");
        let zoned = if happening.feed.content_type().is_some() { format!("{text}Z") } else { text.to_owned() };
        let told: Timestamp = zoned.parse().expect("a time");
        // Times without fractions are cut; risks are found a while after what they tell of.
        let late = happening.time.duration_since(told);
        let most = if happening.feed == Feed::RiskDetection { 61 } else { 1 };
        assert!(late.as_secs() < most && !late.is_negative(), "{late} in {}", happening.record);
        if let Some(tenant) = record.get("OrganizationId").or(record.get("resourceTenantId")) {
            assert_eq!(tenant, TENANT);
        }
    }
    assert_eq!(feeds.len(), 16, "some feed is silent");
}

#[test]
fn operations_are_many_in_all_workloads() {
    let (_, all) = eventful();
    let mut workloads: BTreeMap<String, HashSet<String>> = BTreeMap::new();
    for happening in all.iter().filter(|happening| happening.feed.content_type().is_some()) {
        let record = parse(happening);
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        workloads.entry(text("Workload")).or_default().insert(text("Operation"));
    }
    let operations: usize = workloads.values().map(HashSet::len).sum();
    assert!(operations > 220, "{operations} operations in a day and a half");
    for workload in [
        "Exchange",
        "SharePoint",
        "OneDrive",
        "AzureActiveDirectory",
        "MicrosoftTeams",
        "SecurityComplianceCenter",
        "PowerBI",
        "MicrosoftFlow",
        "Copilot",
        "MicrosoftForms",
        "Yammer",
        "Endpoint",
        "ThreatIntelligence",
    ] {
        assert!(workloads.contains_key(workload), "nothing in {workload}: {:?}", workloads.keys());
    }
}

#[test]
fn a_sign_in_has_one_id_in_both_logs() {
    let (_, all) = eventful();
    let graph: HashSet<&str> = all
        .iter()
        .filter(|happening| matches!(happening.feed, Feed::SignInInteractive | Feed::SignInNonInteractive))
        .map(|happening| happening.id.as_str())
        .collect();
    let logons = all.iter().filter(|happening| happening.record.contains("\"RecordType\":15,"));
    assert!(logons.clone().count() > 100);
    for logon in logons {
        assert!(graph.contains(logon.id.as_str()), "{}", logon.record);
    }
}

#[test]
fn the_directory_fits_the_records() {
    let (world, all) = eventful();
    let directory = world.directory();
    let known = |list: &[Value], key: &str| -> HashSet<String> {
        list.iter().filter_map(|entry| entry[key].as_str()).map(str::to_ascii_lowercase).collect()
    };
    let users = known(&directory.users, "userPrincipalName");
    let apps = known(&directory.service_principals, "appId");
    let devices = known(&directory.devices, "deviceId");
    let mut seen = 0;
    for happening in all.iter().filter(|happening| happening.feed == Feed::SignInInteractive) {
        let record = parse(happening);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_ascii_lowercase();
        assert!(users.contains(&text(&record["userPrincipalName"])), "{}", happening.record);
        assert!(apps.contains(&text(&record["appId"])), "{}", happening.record);
        let device = text(&record["deviceDetail"]["deviceId"]);
        assert!(device.is_empty() || devices.contains(&device), "{}", happening.record);
        seen += 1;
    }
    assert!(seen > 50);
    let ids = |list: &[Value]| list.iter().filter_map(|entry| entry["id"].as_str()).collect::<HashSet<_>>().len();
    assert_eq!(ids(&directory.users), directory.users.len());
    assert_eq!(ids(&directory.service_principals), directory.service_principals.len());
    assert_eq!(known(&directory.service_principals, "appId").len(), directory.service_principals.len());
    assert!(
        directory.registered_owners.keys().all(|id| directory.devices.iter().any(|device| device["id"] == id.as_str()))
    );
    for happening in &all {
        match &happening.feed {
            Feed::AzureActivity { subscription } => {
                assert!(directory.subscriptions.iter().any(|entry| entry["subscriptionId"] == subscription.as_str()));
            }
            Feed::AzureDevOps { organization } => {
                assert!(
                    directory.devops_organizations.iter().any(|entry| entry["accountName"] == organization.as_str())
                );
            }
            _ => {}
        }
    }
}
