//! Enumerations that have grown: members that came later are shown to clients alone that say they can take them.

use crate::cloud::Cloud;
use crate::cloud::http::Call;

/// A property, and the members that came behind `unknownFutureValue`.
const LATER: [(&str, &[&str]); 4] = [
    ("incomingTokenType", &["remoteDesktopToken", "refreshToken"]),
    ("authenticationProtocol", &["authenticationTransfer", "nativeAuth"]),
    ("riskDetail", &["m365DAdminDismissedDetection", "adminConfirmedServicePrincipalCompromised"]),
    ("status", &["recalled"]),
];

/// The record as this client may see it.
pub(super) fn shown(cloud: &Cloud, call: &Call, mut record: String) -> String {
    if call.header("prefer").is_some_and(|prefer| prefer.contains("include-unknown-enum-members")) {
        return record;
    }
    for (name, members) in LATER {
        for member in members {
            let written = format!("\"{name}\":\"{member}\"");
            if record.contains(&written) {
                cloud.faults.note("unknown_enum");
                record = record.replace(&written, &format!("\"{name}\":\"unknownFutureValue\""));
            }
        }
    }
    record
}
