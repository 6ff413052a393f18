//! Exchange Online's admin REST endpoint: cmdlets in, rows out.
//!
//! The endpoint is no contract of Microsoft's; it behaves here as clients have seen it, ill-tempered errors included.

mod left_out;
mod mailbox;
mod parameters;
mod session;
mod trace;
mod unified;

use serde_json::{Value, json};

use super::http::{Answer, Call, Content};
use super::route::Api;
use super::services::{authorise, throttled};
use super::stats::count;
use super::tenant::Tenant;
use super::token::Claims;
use super::{Cloud, lock, random};
use crate::config::Trouble;
use parameters::Parameters;

pub(crate) use left_out::LeftOut;
pub(crate) use session::Sessions;

/// An answer or a refusal.
type Outcome = Result<Answer, Answer>;

/// What every cmdlet gets.
struct Cmdlet<'c> {
    cloud: &'c Cloud,
    call: &'c Call,
    tenant: &'c Tenant,
    parameters: Parameters,
}

/// Serves the endpoint.
pub(crate) fn answer(cloud: &Cloud, call: &Call) -> Answer {
    serve(cloud, call).unwrap_or_else(|refusal| refusal)
}

fn serve(cloud: &Cloud, call: &Call) -> Outcome {
    let segments = call.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ("POST", ["adminapi", "beta", name, "InvokeCommand"]) = (call.method.as_str(), parts.as_slice()) else {
        return Err(Answer::empty(404));
    };
    let claims = authorise(cloud, Api::Exchange, call)?;
    let tenant = admit(cloud, call, name, &claims)?;
    let limits = cloud.config.limits.exchange_per_minute;
    tenant.quiet().limits.take("exchange", limits, 60, call.now).map_err(|wait| {
        count(&cloud.stats.throttled);
        throttled(cloud, Api::Exchange, call, None)
            .with("rate-limit-remaining", "0")
            .with("rate-limit-reset", super::time::seconds(super::time::plus(call.now, wait as i64)))
    })?;
    let token = call.parameter("$skiptoken");
    let body = call.json().ok_or_else(|| error(400, "System.ArgumentException", "The body is not JSON."))?;
    let input = &body["CmdletInput"];
    let name = input["CmdletName"].as_str().unwrap_or_default();
    let cmdlet = Cmdlet { cloud, call, tenant, parameters: Parameters::new(&input["Parameters"]) };
    if let Some(token) = token {
        let left = lock(&tenant.left_out).of(&token, call.now).ok_or_else(|| {
            let message = "Expired or Invalid pagination request. Default Expiry time is 00:30:00";
            error(400, "System.InvalidOperationException", message)
        })?;
        return Ok(rows(&cmdlet, left, &[]));
    }
    match name.to_ascii_lowercase().as_str() {
        "search-unifiedauditlog" => unified::run(&cmdlet),
        "search-mailboxauditlog" => mailbox::run(&cmdlet),
        "get-messagetracev2" => trace::run(&cmdlet),
        "get-mailbox" => mailbox::list(&cmdlet),
        "get-adminauditlogconfig" => {
            let on = !tenant.has(Trouble::AuditOff);
            let row = json!({
                "AdminAuditLogEnabled": true, "UnifiedAuditLogIngestionEnabled": on,
                "UnifiedAuditLogFirstOptInDate": null, "AdminAuditLogAgeLimit": "90.00:00:00",
                "Identity": "Admin Audit Log Settings", "IsValid": true,
            });
            Ok(rows(&cmdlet, vec![row.to_string()], &[]))
        }
        "get-organizationconfig" => {
            let row = json!({
                "Name": tenant.first_domain(), "AuditDisabled": tenant.has(Trouble::AuditOff),
                "Identity": tenant.first_domain(), "Guid": tenant.id(),
            });
            Ok(rows(&cmdlet, vec![row.to_string()], &[]))
        }
        _ => {
            let message = format!("The term '{name}' is not recognized as the name of a cmdlet.");
            Err(error(400, "System.Management.Automation.CommandNotFoundException", &message))
        }
    }
}

fn admit<'c>(cloud: &'c Cloud, call: &Call, name: &str, claims: &Claims) -> Result<&'c Tenant, Answer> {
    let Some(tenant) = cloud.tenant(name).filter(|tenant| tenant.id().eq_ignore_ascii_case(&claims.tenant)) else {
        return Err(super::services::problem(Api::Exchange, 401, "Unauthorized", "", call.now));
    };
    if !claims.any(&["Exchange.ManageAsApp"]) {
        return Err(super::services::problem(Api::Exchange, 401, "Unauthorized", "", call.now));
    }
    if tenant.app(&claims.client).is_some_and(|app| !app.exchange_role) {
        // The permission alone is not enough; the refusal is a run of NUL bytes.
        return Err(Answer { status: 403, headers: Vec::new(), content: Content::Plain(vec![0; 512].into()) });
    }
    Ok(tenant)
}

/// An error as the endpoint wraps it: the message at the top says nothing.
fn error(status: u16, kind: &str, message: &str) -> Answer {
    let body = json!({
        "error": {
            "code": "BadRequest",
            "message": "Invalid Operation",
            "details": [{ "code": "Context", "target": "", "message": format!("|{kind}|{message}") }],
            "innererror": {
                "message": "Invalid Operation",
                "type": "Microsoft.Exchange.Admin.OData.Core.ODataServiceException",
                "internalexception": { "message": message, "type": kind, "stacktrace": "" },
            },
            "adminapi.warnings@odata.type": "#Collection(String)",
            "@adminapi.warnings": [],
        }
    });
    Answer::json(status, &body)
}

/// Rows with warnings; cut to a page, with a link to those that were left out.
fn rows(cmdlet: &Cmdlet<'_>, mut rows: Vec<String>, warnings: &[&str]) -> Answer {
    let call = cmdlet.call;
    let base = format!("{}{}", call.origin, call.path.trim_end_matches("/InvokeCommand"));
    let mut warnings: Vec<&str> = warnings.to_vec();
    let mut next = None;
    let preferred = call.header("prefer").and_then(|prefer| prefer.split("odata.maxpagesize=").nth(1));
    let preferred: Option<usize> = preferred.and_then(|text| text.split([',', ';']).next()?.trim().parse().ok());
    let limits = &cmdlet.cloud.config.limits;
    let page = preferred.into_iter().chain([limits.exchange_page]).filter(|page| *page > 0).min();
    if let Some(page) = page.filter(|page| *page < rows.len()) {
        let left = rows.split_off(page);
        warnings.push("There are more results available than are currently displayed.");
        // Where links do not work, the token names one machine behind the service, which no other request ever meets.
        let token = match limits.exchange_links {
            true => lock(&cmdlet.tenant.left_out).keep(left, call.now),
            false => random::guid(71, &call.raw_query),
        };
        next = Some(format!("{base}/InvokeCommand?%24skiptoken={token}"));
    }
    let mut body = format!(
        "{{\"@odata.context\":{},\"adminapi.warnings@odata.type\":\"#Collection(String)\",\"@adminapi.warnings\":{}",
        json!(format!("{base}/$metadata#Collection(Exchange.GenericHashTable)")),
        json!(warnings)
    );
    if let Some(next) = next {
        body += &format!(",\"@odata.nextLink\":{}", json!(next));
    }
    body += ",\"value\":[";
    body += &rows.join(",");
    body += "]}";
    Answer::text(200, "application/json; odata.metadata=minimal", body)
}

/// A moment that a parameter names; an error if it is missing or no date.
fn moment(cmdlet: &Cmdlet<'_>, name: &str) -> Result<jiff::Timestamp, Answer> {
    let Some(text) = cmdlet.parameters.text(name) else {
        let message = format!("Cannot process command because of one or more missing mandatory parameters: {name}.");
        return Err(error(400, "System.Management.Automation.ParameterBindingException", &message));
    };
    cmdlet_time(&text).ok_or_else(|| {
        let message = format!("Cannot process argument transformation on parameter '{name}'. String '{text}' was not recognized as a valid DateTime.");
        error(400, "System.Management.Automation.ParameterBindingException", &message)
    })
}

/// ISO forms, and PowerShell's `MM/dd/yyyy HH:mm:ss`.
fn cmdlet_time(text: &str) -> Option<jiff::Timestamp> {
    super::time::parse(text).or_else(|| {
        let civil = jiff::civil::DateTime::strptime("%m/%d/%Y %H:%M:%S", text.trim()).ok()?;
        civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })
}

/// The text of a member, or nothing.
fn text<'v>(record: &'v Value, name: &str) -> &'v str {
    record[name].as_str().unwrap_or_default()
}
