//! Content types, and to which of them a record belongs.
//!
//! Microsoft says of its content types: a workload each, SharePoint's with OneDrive, DLP events of all workloads in a
//! type of their own, and every other workload in `Audit.General`. What records say of themselves is their
//! `RecordType` and `Workload`; so that is what tells (Office 365 Management Activity API schema).

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use super::listing::time;

/// A content type of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
pub enum ContentType {
    /// Sign-ins and directory changes.
    #[serde(rename = "Audit.AzureActiveDirectory")]
    AzureActiveDirectory,
    /// Mailboxes and their administration.
    #[serde(rename = "Audit.Exchange")]
    Exchange,
    /// SharePoint and OneDrive.
    #[serde(rename = "Audit.SharePoint")]
    SharePoint,
    /// Everything else.
    #[serde(rename = "Audit.General")]
    General,
    /// Data loss prevention, of all workloads.
    #[serde(rename = "DLP.All")]
    Dlp,
}

/// Record types that are of data loss prevention whatever else they say: ComplianceDLPSharePoint,
/// ComplianceDLPExchange, and the classifications of both. DLPEndpoint (63) is not: most of it is what devices tell of
/// files, and that is in `Audit.General`.
const DLP: [u32; 4] = [11, 13, 33, 107];

/// Who does everything in records of data loss prevention.
const DLP_AGENT: &str = "DlpAgent";

/// MIPLabel: labels on mails. Their workload is Exchange, and they were seen among the others of labels, too.
const MIP_LABEL: u32 = 43;

impl ContentType {
    /// All of them.
    pub const ALL: [ContentType; 5] = [
        ContentType::AzureActiveDirectory,
        ContentType::Exchange,
        ContentType::SharePoint,
        ContentType::General,
        ContentType::Dlp,
    ];

    /// Microsoft's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            ContentType::AzureActiveDirectory => "Audit.AzureActiveDirectory",
            ContentType::Exchange => "Audit.Exchange",
            ContentType::SharePoint => "Audit.SharePoint",
            ContentType::General => "Audit.General",
            ContentType::Dlp => "DLP.All",
        }
    }

    /// The content types that a record (JSON) can belong to: one, save where it cannot be told.
    pub fn of(record: &[u8]) -> &'static [ContentType] {
        serde_json::from_slice::<Told<'_>>(record).map_or(&ContentType::ALL, |told| told.content_types())
    }
}

/// What a record says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Told<'a> {
    record_type: Option<u32>,
    #[serde(borrow)]
    workload: Option<Cow<'a, str>>,
    #[serde(borrow)]
    user_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    creation_time: Option<Cow<'a, str>>,
}

impl Told<'_> {
    /// As [`ContentType::of`].
    pub(super) fn content_types(&self) -> &'static [ContentType] {
        let is_dlp = self.record_type.is_some_and(|kind| DLP.contains(&kind));
        if is_dlp || self.user_key.as_deref() == Some(DLP_AGENT) {
            return &[ContentType::Dlp];
        }
        match self.workload.as_deref() {
            None => &ContentType::ALL,
            Some("AzureActiveDirectory") => &[ContentType::AzureActiveDirectory],
            Some("Exchange") if self.record_type == Some(MIP_LABEL) => &[ContentType::Exchange, ContentType::General],
            Some("Exchange") => &[ContentType::Exchange],
            Some("SharePoint" | "OneDrive") => &[ContentType::SharePoint],
            Some(_) => &[ContentType::General],
        }
    }

    /// When it happened, in whole seconds.
    pub(super) fn time(&self) -> Option<Timestamp> {
        self.creation_time.as_deref().and_then(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_tell_their_content_type() {
        use ContentType::{AzureActiveDirectory, Dlp, Exchange, General, SharePoint};
        let cases: &[(&str, &[ContentType])] = &[
            (r#"{"RecordType":1,"Workload":"Exchange","UserKey":"x"}"#, &[Exchange]),
            (r#"{"RecordType":50,"Workload":"Exchange"}"#, &[Exchange]),
            (r#"{"RecordType":43,"Workload":"Exchange"}"#, &[Exchange, General]),
            (r#"{"RecordType":4,"Workload":"SharePoint"}"#, &[SharePoint]),
            (r#"{"RecordType":6,"Workload":"OneDrive"}"#, &[SharePoint]),
            (r#"{"RecordType":15,"Workload":"AzureActiveDirectory"}"#, &[AzureActiveDirectory]),
            (r#"{"RecordType":294,"Workload":"AzureActiveDirectory"}"#, &[AzureActiveDirectory]),
            (r#"{"RecordType":25,"Workload":"MicrosoftTeams"}"#, &[General]),
            (r#"{"RecordType":18,"Workload":"SecurityComplianceCenter","Parameters":""}"#, &[General]),
            (r#"{"RecordType":9999,"Workload":"Something\u0020New"}"#, &[General]),
            (r#"{"RecordType":13,"Workload":"Exchange","UserKey":"DlpAgent"}"#, &[Dlp]),
            (r#"{"RecordType":11,"Workload":"OneDrive"}"#, &[Dlp]),
            (r#"{"RecordType":63,"Workload":"Endpoint","UserKey":"DlpAgent"}"#, &[Dlp]),
            (r#"{"RecordType":63,"Workload":"Endpoint","UserKey":"ada@contoso.example"}"#, &[General]),
            (r#"{"RecordType":1}"#, &ContentType::ALL),
            (r#"{"RecordType":"ExchangeAdmin","Workload":"Exchange"}"#, &ContentType::ALL),
            ("nothing", &ContentType::ALL),
        ];
        for (record, expected) in cases {
            assert_eq!(ContentType::of(record.as_bytes()), *expected, "{record}");
        }
    }
}
