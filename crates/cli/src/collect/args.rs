//! The arguments of `downspout collect`.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

/// What to collect, from whom, as whom, and where to.
#[derive(Debug, Clone, Args)]
pub(crate) struct CollectArguments {
    /// The tenant's id, a GUID: the Entra admin center shows it under Overview.
    #[arg(long, value_name = "TENANT", env = "AZURE_TENANT_ID", value_parser = parse_guid, help_heading = "Tenant and sign-in")]
    pub(crate) tenant_id: String,

    /// The application (client) id of the app registration that signs in.
    #[arg(long, value_name = "ID", env = "AZURE_CLIENT_ID", help_heading = "Tenant and sign-in")]
    pub(crate) client_id: String,

    /// The environment variable that holds the application's secret.
    #[arg(long, value_name = "VARIABLE", group = "sign_in", help_heading = "Tenant and sign-in")]
    pub(crate) client_secret_env: Option<String>,

    /// A file that holds the application's secret.
    #[arg(long, value_name = "FILE", group = "sign_in", help_heading = "Tenant and sign-in")]
    pub(crate) client_secret_file: Option<PathBuf>,

    /// The application's certificate with its private key: a PEM file that holds both, or a PFX.
    #[arg(long, value_name = "FILE", group = "sign_in", help_heading = "Tenant and sign-in")]
    pub(crate) certificate: Option<PathBuf>,

    /// The environment variable that holds the password of a PFX, or of an encrypted key in a PEM file.
    #[arg(long, value_name = "VARIABLE", requires = "certificate", help_heading = "Tenant and sign-in")]
    pub(crate) certificate_password_env: Option<String>,

    /// Sign in as a person: a code is shown here, to be entered in a browser. The application must allow public client
    /// flows.
    #[arg(long, group = "sign_in", help_heading = "Tenant and sign-in")]
    pub(crate) device_code: bool,

    /// The cloud: worldwide, gcc, gcc_high, dod, china, or the address of a simulated one (http://127.0.0.1:8600).
    #[arg(long, default_value = "worldwide", help_heading = "Tenant and sign-in")]
    pub(crate) cloud: String,

    /// A file with certificates (PEM) to trust beside the system's: that of a proxy which opens TLS, or of a private
    /// cloud.
    #[arg(long, value_name = "FILE", help_heading = "Tenant and sign-in")]
    pub(crate) ca_file: Option<PathBuf>,

    /// From when on: a day (2026-11-01), a time (2026-11-01T08:00:00Z), or how long ago (90d, 36h). UTC if it names no
    /// zone.
    #[arg(long, default_value = "90d", value_parser = parse_when, help_heading = "What to collect")]
    pub(crate) since: When,

    /// Up to when, in the same forms; a day is meant whole. Now if left out.
    #[arg(long, value_parser = parse_when, help_heading = "What to collect")]
    pub(crate) until: Option<When>,

    /// Which logs to collect; several with commas between.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "light", help_heading = "What to collect")]
    pub(crate) profile: Vec<Profile>,

    /// Only what these users did; with commas between. For `mailbox`: their mailboxes, and mail from and to them.
    #[arg(long, value_name = "UPN", value_delimiter = ',', value_parser = filled(), help_heading = "What to collect")]
    pub(crate) user: Vec<String>,

    /// Only what came from these addresses; with commas between.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', value_parser = address, help_heading = "What to collect")]
    pub(crate) ip: Vec<std::net::IpAddr>,

    /// Only records of the unified audit log that hold this text.
    #[arg(long, value_name = "TEXT", value_parser = filled(), help_heading = "What to collect")]
    pub(crate) text: Option<String>,

    /// Only these operations of the unified audit log, in place of the profile's; with commas between. Spelled as the
    /// records spell them: those of Entra end with a full stop ("Consent to application.").
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = filled(), help_heading = "What to collect")]
    pub(crate) operations: Vec<String>,

    /// Only these record types of the unified audit log, in place of the profile's; with commas between, such as
    /// ExchangeAdmin,SharePointFileOperation.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = filled(), help_heading = "What to collect")]
    pub(crate) record_types: Vec<String>,

    /// The organisations of `devops`, with commas between; all that the identity can see if left out.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = filled(), help_heading = "What to collect")]
    pub(crate) organization: Vec<String>,

    /// Which API searches the unified audit log.
    #[arg(long, value_enum, default_value_t = Backend::Graph, help_heading = "What to collect")]
    pub(crate) backend: Backend,

    /// The folder for everything that is collected. The same command with the same folder goes on where it stopped.
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(crate) out: PathBuf,

    /// How the records are written.
    #[arg(long, value_enum, default_value_t = Format::Ndjson, help_heading = "Output")]
    pub(crate) format: Format,
}

/// A set of sources that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    /// The unified audit log: the operations that matter in an investigation.
    Light,
    /// The unified audit log: everything.
    Full,
    /// The unified audit log: what Microsoft Defender saw and did.
    Defender,
    /// Microsoft Entra: sign-ins of all kinds, directory audits, risk detections.
    Entra,
    /// Applications and service principals, with what they were granted.
    Apps,
    /// Devices, with their owners and users.
    Devices,
    /// Users, with how they sign in.
    Users,
    /// The activity logs of all Azure subscriptions.
    Azure,
    /// The audit logs of all Azure DevOps organisations.
    Devops,
    /// The mailbox audit logs, and message traces.
    Mailbox,
    /// All of it.
    All,
}

impl Profile {
    /// Whether it is of the unified audit log, which can be searched for a text.
    pub(crate) fn searches(self) -> bool {
        matches!(self, Profile::Light | Profile::Full | Profile::Defender)
    }

    /// Whether it is of logs, which say who did what from where, and not of what there is.
    pub(crate) fn is_log(self) -> bool {
        !matches!(self, Profile::Apps | Profile::Devices | Profile::Users)
    }
}

impl Display for Profile {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value().map(|value| value.get_name().to_owned());
        f.write_str(&name.unwrap_or_default())
    }
}

/// An API that searches the unified audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Backend {
    /// Microsoft Graph's audit log query.
    Graph,
    /// Exchange Online's Search-UnifiedAuditLog.
    Exchange,
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Lines of JSON, as received.
    Ndjson,
    /// One Parquet table over all sources.
    Parquet,
}

impl Format {
    /// In which order the records stand in the files of a collection, which is finished or not.
    pub(crate) fn order(self, finished: bool) -> &'static str {
        match self {
            _ if !finished => "by time inside of each file; of a source and day there may be several files yet",
            Format::Ndjson => "by time, then by id",
            Format::Parquet => {
                "by time inside of each row group; row groups by the time of their first record, and their times may overlap"
            }
        }
    }

    /// What the names of its files end with.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Format::Ndjson => "ndjson",
            Format::Parquet => "parquet",
        }
    }
}

/// A point in time as the command line names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// That time.
    At(Timestamp),
    /// That day, UTC.
    Day(Date),
    /// That long before now.
    Ago(SignedDuration),
}

impl When {
    /// The time that it means as a beginning.
    pub(crate) fn start(self, now: Timestamp) -> Timestamp {
        self.resolve(now, false)
    }

    /// The time that it means as an end: a day belongs to the stretch whole.
    pub(crate) fn end(self, now: Timestamp) -> Timestamp {
        self.resolve(now, true)
    }

    fn resolve(self, now: Timestamp, end: bool) -> Timestamp {
        match self {
            When::At(at) => at,
            When::Ago(ago) => now.checked_sub(ago).unwrap_or(Timestamp::MIN),
            When::Day(day) => {
                let day = if end { day.tomorrow().unwrap_or(day) } else { day };
                day.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |zoned| zoned.timestamp())
            }
        }
    }
}

/// An address. The services are asked for single ones.
fn address(text: &str) -> Result<std::net::IpAddr, String> {
    text.trim().parse().map_err(|_| {
        let range = if text.contains('/') { "; ranges cannot be asked for" } else { "" };
        format!("`{text}` is no IP address such as 203.0.113.7 or 2001:db8::7{range}")
    })
}

/// A filter that is empty would filter nothing.
fn filled() -> NonEmptyStringValueParser {
    NonEmptyStringValueParser::new()
}

fn parse_guid(text: &str) -> Result<String, String> {
    let parts = text.split('-').map(|part| part.chars().all(|c| c.is_ascii_hexdigit()).then_some(part.len()));
    if parts.eq([8, 4, 4, 4, 12].map(Some)) {
        Ok(text.to_owned())
    } else {
        Err("expected a GUID, such as 0a1b2c3d-0000-1111-2222-333344445555; a domain's name will not do".to_owned())
    }
}

fn parse_when(text: &str) -> Result<When, String> {
    if let Ok(ago) = text.parse::<downspout_core::config_values::HumanDuration>() {
        return SignedDuration::try_from(ago.0).map(When::Ago).map_err(|_| "that is too long ago".to_owned());
    }
    if text.len() == 10
        && let Ok(day) = text.parse::<Date>()
    {
        return Ok(When::Day(day));
    }
    let zoned = text.parse::<Timestamp>().or_else(|_| format!("{text}Z").parse());
    zoned
        .map(When::At)
        .map_err(|_| "expected a day (2026-11-01), a time (2026-11-01T08:00:00Z) or how long ago (90d, 36h)".to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        collect: CollectArguments,
    }

    /// The arguments of a command that says who signs in, and `more`.
    pub(crate) fn arguments(more: &[&str]) -> CollectArguments {
        let tenant = ["x", "--tenant-id", "0a1b2c3d-0000-1111-2222-333344445555", "--client-id", "c", "--out", "o"];
        let sign_in =
            if more.iter().any(|option| option.starts_with("--client-secret")) { None } else { Some("--device-code") };
        Cli::parse_from(tenant.iter().chain(&sign_in).chain(more)).collect
    }

    #[test]
    fn tenants_are_guids() {
        assert!(parse_guid("0a1b2c3d-0000-1111-2222-333344445555").is_ok());
        for text in ["", "contoso.com", "0a1b2c3d-0000-1111-2222-33334444555", "0a1b2c3d000011112222333344445555"] {
            assert!(parse_guid(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_days_moments_or_durations() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let cases = [
            ("2026-11-01", "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"),
            ("2026-11-01T08:00:00Z", "2026-11-01T08:00:00Z", "2026-11-01T08:00:00Z"),
            ("2026-11-01T08:00:00", "2026-11-01T08:00:00Z", "2026-11-01T08:00:00Z"),
            ("2026-11-01T08:00:00+02:00", "2026-11-01T06:00:00Z", "2026-11-01T06:00:00Z"),
            ("36h", "2026-11-21T00:00:00Z", "2026-11-21T00:00:00Z"),
        ];
        for (text, start, end) in cases {
            let when = parse_when(text).unwrap();
            assert_eq!((when.start(now).to_string(), when.end(now).to_string()), (start.to_owned(), end.to_owned()));
        }
        for text in ["", "yesterday", "2026-13-01", "90"] {
            assert!(parse_when(text).is_err(), "{text}");
        }
    }
}
