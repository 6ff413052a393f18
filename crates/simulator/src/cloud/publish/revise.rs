//! Records that change after they were first published: a sign-in that turns out to be a risk, a risk that is dealt
//! with, a mail that arrives.
//!
//! Such a record keeps its id. Whoever lists it later finds the newer version alone; whoever never looks back keeps the
//! older one.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::world::Feed;

/// Both versions of a record, if records of that feed change: the newer one as of `when`.
pub(super) fn versions(feed: &Feed, record: &str, when: Timestamp) -> Option<(String, String)> {
    let mut value: Value = serde_json::from_str(record).ok()?;
    match feed {
        Feed::RiskDetection => {
            value["riskState"] = json!("remediated");
            value["riskDetail"] = json!("userPassedMFADrivenByRiskBasedPolicy");
            value["lastUpdatedDateTime"] = json!(when.strftime("%Y-%m-%dT%H:%M:%S.%3f0000Z").to_string());
            Some((record.to_owned(), value.to_string()))
        }
        sign_in if sign_in.sign_in_type().is_some() => {
            let (state, detail) = match value["riskState"].as_str() {
                Some("none") => ("atRisk", "none"),
                _ => ("dismissed", "m365DAdminDismissedDetection"),
            };
            value["riskState"] = json!(state);
            value["riskDetail"] = json!(detail);
            value["riskLevelAggregated"] = json!("medium");
            value["riskEventTypes_v2"] = json!(["unfamiliarFeatures"]);
            Some((record.to_owned(), value.to_string()))
        }
        Feed::MessageTrace if value["status"] == "delivered" => {
            value["status"] = json!("pending");
            Some((value.to_string(), record.to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sign_ins_risks_and_mails_change_and_keep_their_id() {
        let when: Timestamp = "2026-01-05T09:00:00Z".parse().unwrap();
        let risk = r#"{"id":"1","riskState":"atRisk","lastUpdatedDateTime":"2026-01-05T08:00:00Z"}"#;
        let (first, second) = versions(&Feed::RiskDetection, risk, when).unwrap();
        let second: Value = serde_json::from_str(&second).unwrap();
        assert_eq!((first.as_str(), &second["id"], &second["riskState"]), (risk, &json!("1"), &json!("remediated")));
        assert_eq!(second["lastUpdatedDateTime"], "2026-01-05T09:00:00.0000000Z");
        for (before, after) in [("none", "atRisk"), ("atRisk", "dismissed")] {
            let sign_in = json!({ "id": "1", "riskState": before }).to_string();
            let (first, second) = versions(&Feed::SignInInteractive, &sign_in, when).unwrap();
            let second: Value = serde_json::from_str(&second).unwrap();
            assert_eq!((first, &second["id"], &second["riskState"]), (sign_in, &json!("1"), &json!(after)));
        }
        let (first, second) = versions(&Feed::MessageTrace, r#"{"id":"1","status":"delivered"}"#, when).unwrap();
        assert!(first.contains("pending") && second.contains("delivered"));
        assert!(versions(&Feed::MessageTrace, r#"{"status":"failed"}"#, when).is_none());
        assert!(versions(&Feed::DirectoryAudit, "{}", when).is_none());
    }
}
