//! Searching the unified audit log: what Graph's audit queries and Search-UnifiedAuditLog have in common.

use jiff::Timestamp;
use serde_json::Value;

use super::publish::{Place, Publisher, UNIFIED};
use super::time;
use crate::world::Feed;

/// What a search is about. Every list that is not empty must hold what the record has; comparisons ignore case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Search {
    pub(crate) start: Timestamp,
    /// Excluded.
    pub(crate) end: Timestamp,
    /// Names, as in the documentation; their case does not matter.
    pub(crate) record_types: Vec<String>,
    pub(crate) operations: Vec<String>,
    pub(crate) users: Vec<String>,
    pub(crate) addresses: Vec<String>,
    pub(crate) objects: Vec<String>,
    pub(crate) sites: Vec<String>,
    pub(crate) services: Vec<String>,
    /// Anywhere in the record.
    pub(crate) text: String,
}

impl Search {
    /// The records that were published until a moment and fit, in the order of time.
    pub(crate) fn run(&self, publisher: &mut Publisher, published_until: Timestamp, days: u64) -> Vec<(Feed, Place)> {
        let oldest = time::plus(published_until, -(days as i64) * 86_400);
        let mut found = Vec::new();
        for feed in UNIFIED {
            let snapshot = publisher.segments(&feed).partition_point(|segment| segment.created <= published_until);
            for place in publisher.places(&feed, (self.start.max(oldest), self.end), snapshot) {
                let fits = self.is_open()
                    || publisher.record(&feed, place).is_some_and(|record| {
                        serde_json::from_str(&record).is_ok_and(|value| self.fits(&value, &record))
                    });
                if fits {
                    found.push((feed.clone(), place));
                }
            }
        }
        found.sort_by_key(|(_, place)| place.time);
        found
    }

    /// Whether nothing but the time is asked for.
    fn is_open(&self) -> bool {
        self.text.is_empty()
            && [
                &self.record_types,
                &self.operations,
                &self.users,
                &self.addresses,
                &self.objects,
                &self.sites,
                &self.services,
            ]
            .iter()
            .all(|list| list.is_empty())
    }

    fn fits(&self, record: &Value, raw: &str) -> bool {
        let text = |name: &str| record[name].as_str().unwrap_or_default();
        let listed =
            |list: &[String], value: &str| list.is_empty() || list.iter().any(|one| one.eq_ignore_ascii_case(value));
        let kind = record["RecordType"].as_u64().map(type_name).unwrap_or_default();
        let addresses = ["ClientIP", "ClientIPAddress", "ActorIpAddress"].map(text);
        let is_at = |wanted: &String| {
            addresses.iter().any(|found| {
                let found = found.trim_start_matches('[');
                found.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', ']']))
            })
        };
        listed(&self.record_types, &kind)
            && listed(&self.operations, text("Operation"))
            && listed(&self.users, text("UserId"))
            && listed(&self.services, text("Workload"))
            && listed(&self.sites, text("Site"))
            && (self.objects.is_empty() || self.objects.iter().any(|one| text("ObjectId").eq_ignore_ascii_case(one)))
            && (self.addresses.is_empty() || self.addresses.iter().any(is_at))
            && (self.text.is_empty() || raw.to_lowercase().contains(&self.text.to_lowercase()))
    }
}

/// The name of a record type; its number where it has none, as the portal shows it.
pub(crate) fn type_name(number: u64) -> String {
    let known = NAMES.binary_search_by_key(&number, |(known, _)| u64::from(*known));
    known.map_or_else(|_| number.to_string(), |index| NAMES[index].1.to_owned())
}

/// Whether a record type of that name exists.
pub(crate) fn is_type(name: &str) -> bool {
    NAMES.iter().any(|(_, known)| known.eq_ignore_ascii_case(name))
}

/// The name of a user type.
pub(crate) fn user_type(number: u64) -> &'static str {
    const TYPES: [&str; 11] = [
        "Regular",
        "Reserved",
        "Admin",
        "DcAdmin",
        "System",
        "Application",
        "ServicePrincipal",
        "CustomPolicy",
        "SystemPolicy",
        "PartnerTechnician",
        "Guest",
    ];
    TYPES.get(number as usize).copied().unwrap_or("Regular")
}

/// Documented record types, by number.
const NAMES: [(u16, &str); 97] = [
    (1, "ExchangeAdmin"),
    (2, "ExchangeItem"),
    (3, "ExchangeItemGroup"),
    (4, "SharePoint"),
    (5, "SyntheticProbe"),
    (6, "SharePointFileOperation"),
    (7, "OneDrive"),
    (8, "AzureActiveDirectory"),
    (9, "AzureActiveDirectoryAccountLogon"),
    (10, "DataCenterSecurityCmdlet"),
    (11, "ComplianceDLPSharePoint"),
    (13, "ComplianceDLPExchange"),
    (14, "SharePointSharingOperation"),
    (15, "AzureActiveDirectoryStsLogon"),
    (16, "SkypeForBusinessPSTNUsage"),
    (17, "SkypeForBusinessUsersBlocked"),
    (18, "SecurityComplianceCenterEOPCmdlet"),
    (19, "ExchangeAggregatedOperation"),
    (20, "PowerBIAudit"),
    (21, "CRM"),
    (22, "Yammer"),
    (23, "SkypeForBusinessCmdlets"),
    (24, "Discovery"),
    (25, "MicrosoftTeams"),
    (28, "ThreatIntelligence"),
    (29, "MailSubmission"),
    (30, "MicrosoftFlow"),
    (31, "AeD"),
    (32, "MicrosoftStream"),
    (33, "ComplianceDLPSharePointClassification"),
    (34, "ThreatFinder"),
    (35, "Project"),
    (36, "SharePointListOperation"),
    (37, "SharePointCommentOperation"),
    (38, "DataGovernance"),
    (40, "SecurityComplianceAlerts"),
    (41, "ThreatIntelligenceUrl"),
    (42, "SecurityComplianceInsights"),
    (43, "MIPLabel"),
    (44, "WorkplaceAnalytics"),
    (45, "PowerAppsApp"),
    (46, "PowerAppsPlan"),
    (47, "ThreatIntelligenceAtpContent"),
    (48, "LabelContentExplorer"),
    (49, "TeamsHealthcare"),
    (50, "ExchangeItemAggregated"),
    (51, "HygieneEvent"),
    (52, "DataInsightsRestApiAudit"),
    (53, "InformationBarrierPolicyApplication"),
    (54, "SharePointListItemOperation"),
    (55, "SharePointContentTypeOperation"),
    (56, "SharePointFieldOperation"),
    (57, "MicrosoftTeamsAdmin"),
    (58, "HRSignal"),
    (59, "MicrosoftTeamsDevice"),
    (60, "MicrosoftTeamsAnalytics"),
    (61, "InformationWorkerProtection"),
    (62, "Campaign"),
    (63, "DLPEndpoint"),
    (64, "AirInvestigation"),
    (65, "Quarantine"),
    (66, "MicrosoftForms"),
    (67, "ApplicationAudit"),
    (68, "ComplianceSupervisionExchange"),
    (69, "CustomerKeyServiceEncryption"),
    (78, "WDATPAlerts"),
    (81, "MDATPAudit"),
    (82, "SensitivityLabelPolicyMatch"),
    (83, "SensitivityLabelAction"),
    (84, "SensitivityLabeledFileAction"),
    (85, "AttackSim"),
    (86, "AirManualInvestigation"),
    (87, "SecurityComplianceRBAC"),
    (88, "UserTraining"),
    (89, "AirAdminActionInvestigation"),
    (90, "MSTIC"),
    (98, "MCASAlerts"),
    (105, "MyAnalyticsSettings"),
    (106, "SecurityComplianceUserChange"),
    (107, "ComplianceDLPExchangeClassification"),
    (113, "MS365DCustomDetection"),
    (147, "CoreReportingSettings"),
    (174, "DataShareOperation"),
    (188, "PlannerPlan"),
    (190, "PlannerTask"),
    (202, "MicrosoftTodoAudit"),
    (218, "AttackSimAdmin"),
    (230, "TeamsUpdates"),
    (256, "PowerPlatformAdministratorActivity"),
    (261, "CopilotInteraction"),
    (265, "VivaLearning"),
    (287, "ProjectForThewebAssignedToMeSettings"),
    (294, "AadRiskDetection"),
    (295, "AuditSearch"),
    (296, "AuditRetentionPolicy"),
    (325, "UpdateCopilotSettings"),
    (357, "FabricAudit"),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_sorted() {
        assert!(NAMES.is_sorted_by_key(|(number, _)| *number));
        assert_eq!((type_name(15).as_str(), type_name(9_999).as_str()), ("AzureActiveDirectoryStsLogon", "9999"));
    }

    #[test]
    fn every_filter_selects() {
        let record = json!({
            "RecordType": 1, "Operation": "New-InboxRule", "UserId": "ada@contoso.example", "Workload": "Exchange",
            "ClientIP": "203.0.113.7:52378", "ObjectId": "ada\\Hide", "Site": "s1",
        });
        let raw = record.to_string();
        let list = |text: &str| vec![text.to_owned()];
        let good = [
            Search { record_types: list("exchangeAdmin"), ..Search::default() },
            Search { operations: list("new-inboxrule"), ..Search::default() },
            Search { users: list("ADA@contoso.example"), ..Search::default() },
            Search { addresses: list("203.0.113.7"), ..Search::default() },
            Search { objects: list("ada\\hide"), ..Search::default() },
            Search { services: list("exchange"), ..Search::default() },
            Search { text: "HIDE".into(), ..Search::default() },
        ];
        for search in good {
            assert!(search.fits(&record, &raw), "{search:?}");
        }
        let bad = [
            Search { addresses: list("203.0.113.70"), ..Search::default() },
            Search { addresses: list("203.0.113"), ..Search::default() },
            Search { record_types: list("exchange"), ..Search::default() },
            Search { text: "nothing".into(), ..Search::default() },
        ];
        for search in bad {
            assert!(!search.fits(&record, &raw), "{search:?}");
        }
    }
}
