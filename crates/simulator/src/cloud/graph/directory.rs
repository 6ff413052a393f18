//! The objects of a tenant: organisation, users, devices, applications, service principals with their grants.
//!
//! What the world knows nothing of is added here: the service principals of Microsoft's own services with their
//! permissions, and of the applications that the config registers, so that a client can compare what it was granted.

use serde_json::{Value, json};

use super::filter::Expression;
use super::page::{Position, collection, cut};
use super::{Outcome, Request, fault};
use crate::cloud::http::Answer;
use crate::cloud::login::granted;
use crate::cloud::random;
use crate::cloud::route::Api;
use crate::cloud::tenant::Life;
use crate::cloud::token::{EXCHANGE_APP, GRAPH_APP, MANAGEMENT_APP, all_roles};
use crate::config::License;
use crate::world::Directory;

/// The application whose service principal message traces need.
pub(crate) const TRACE_APP: &str = "8bd644d1-64a1-4d4b-ae52-2e0cbf64e373";

/// Microsoft's services that grant application permissions.
const RESOURCES: [(&str, &str, Api); 3] = [
    (GRAPH_APP, "Microsoft Graph", Api::Graph),
    (EXCHANGE_APP, "Office 365 Exchange Online", Api::Exchange),
    (MANAGEMENT_APP, "Office 365 Management APIs", Api::Management),
];

/// Everything that no other module serves.
pub(super) fn answer(request: &Request<'_>, rest: &[&str]) -> Outcome {
    let allowed = request.cloud.config.limits.directory_per_10_seconds;
    request.limit(&format!("directory {}", request.claims.client), allowed, 10, true)?;
    if (request.call.method.as_str(), rest) == ("POST", &["servicePrincipals"]) {
        return create_principal(request);
    }
    if request.call.method != "GET" {
        return Err(fault(request.call, 405, "MethodNotAllowed", "The method is not allowed here."));
    }
    let mut life = request.tenant.live(request.call.now);
    let (first, rest) = rest.split_first().ok_or_else(|| missing(request))?;
    // `servicePrincipals(appId='...')` and `users('...')` name one object.
    let (first, key) = match first.split_once('(') {
        Some((first, key)) => (first, Some(key.trim_end_matches(')').to_owned())),
        None => (*first, None),
    };
    let (id, rest) = match key {
        Some(key) => (Some(key), rest),
        None => match rest.split_first() {
            Some((id, rest)) => (Some((*id).to_owned()), rest),
            None => (None, rest),
        },
    };
    needs(request, first, rest)?;
    match first {
        "organization" => {
            let one = organization(request, &life);
            list(request, "organization", vec![one])
        }
        "subscribedSkus" => list(request, "subscribedSkus", skus(request.tenant.config.license)),
        "directory" => {
            let kind = rest.first().copied().unwrap_or_default();
            let objects = deleted(life.publisher.world().directory(), kind).ok_or_else(|| missing(request))?;
            list(request, "directoryObjects", objects)
        }
        "oauth2PermissionGrants" => {
            let grants = &life.publisher.world().directory().oauth2_permission_grants;
            list(request, "oauth2PermissionGrants", grants.values().flatten().cloned().collect())
        }
        "reports" => match (id.as_deref(), rest) {
            (Some("authenticationMethods"), ["userRegistrationDetails"]) => {
                if request.tenant.config.license == License::Free {
                    let message = "Neither tenant is B2C or tenant doesn't have premium license";
                    return Err(fault(
                        request.call,
                        403,
                        "Authentication_RequestFromNonPremiumTenantOrB2CTenant",
                        message,
                    ));
                }
                let details = life.publisher.world().directory().user_registration_details.clone();
                list(request, "reports/authenticationMethods/userRegistrationDetails", details)
            }
            _ => Err(missing(request)),
        },
        "identityProtection" if id.as_deref() == Some("riskyUsers") => list(request, "riskyUsers", Vec::new()),
        "security" if id.as_deref() == Some("alerts_v2") => list(request, "security/alerts_v2", Vec::new()),
        "users" | "devices" | "applications" | "servicePrincipals" => objects(request, &mut life, first, id, rest),
        _ => Err(missing(request)),
    }
}

fn missing(request: &Request<'_>) -> Answer {
    let what = request.call.path.rsplit('/').next().unwrap_or_default();
    let message =
        format!("Resource '{what}' does not exist or one of its queried reference-property objects are not present.");
    fault(request.call, 404, "Request_ResourceNotFound", &message)
}

/// The permission that each endpoint wants.
fn needs(request: &Request<'_>, first: &str, rest: &[&str]) -> Result<(), Answer> {
    let role = match (first, rest) {
        ("users", ["authentication", ..]) => "UserAuthenticationMethod.Read.All",
        ("users", _) => "User.Read.All",
        ("devices", _) => "Device.Read.All",
        ("applications", _) => "Application.Read.All",
        ("servicePrincipals", ["oauth2PermissionGrants"]) | ("oauth2PermissionGrants", _) => {
            "DelegatedPermissionGrant.Read.All"
        }
        ("servicePrincipals", _) => "Application.Read.All",
        ("organization" | "subscribedSkus", _) => "Organization.Read.All",
        ("reports", _) => "AuditLog.Read.All",
        ("identityProtection", _) => "IdentityRiskyUser.Read.All",
        ("security", _) => "SecurityAlert.Read.All",
        ("directory", [kind]) => match kind.rsplit('.').next() {
            Some("user") => "User.Read.All",
            Some("device") => "Device.Read.All",
            _ => "Application.Read.All",
        },
        _ => return Ok(()),
    };
    request.needs(&[role, "Directory.Read.All"])
}

fn deleted(directory: &Directory, kind: &str) -> Option<Vec<Value>> {
    let objects = match kind {
        "microsoft.graph.user" => &directory.deleted_users,
        "microsoft.graph.device" => &directory.deleted_devices,
        "microsoft.graph.application" => &directory.deleted_applications,
        "microsoft.graph.servicePrincipal" => &directory.deleted_service_principals,
        _ => return None,
    };
    Some(objects.clone())
}

fn organization(request: &Request<'_>, life: &Life) -> Value {
    let mut one = life.publisher.world().directory().organization.clone();
    if !one.is_object() {
        one = json!({ "id": request.tenant.id(), "displayName": request.tenant.config.domain });
    }
    if one.get("verifiedDomains").is_none() {
        one["verifiedDomains"] = json!([
            { "name": request.tenant.config.domain, "isDefault": true, "isInitial": false },
            { "name": request.tenant.first_domain(), "isDefault": false, "isInitial": true },
        ]);
    }
    let plans: &[&str] = match request.tenant.config.license {
        License::Free => &[],
        License::P1 => &["AAD_PREMIUM"],
        License::P2 => &["AAD_PREMIUM", "AAD_PREMIUM_P2"],
    };
    let plans: Vec<Value> = plans
        .iter()
        .map(|plan| json!({ "service": plan, "capabilityStatus": "Enabled", "servicePlanId": plan_id(plan) }))
        .collect();
    one["assignedPlans"] = json!(plans);
    one
}

fn plan_id(plan: &str) -> String {
    match plan {
        "AAD_PREMIUM" => "41781fb2-bc02-4b7c-bd55-b576c07bb09d".to_owned(),
        "AAD_PREMIUM_P2" => "eec0eb4f-6444-4f95-aba0-50c24d67f998".to_owned(),
        other => random::guid(61, other),
    }
}

fn skus(license: License) -> Vec<Value> {
    let names: &[&str] = match license {
        License::Free => &[],
        License::P1 => &["AAD_PREMIUM"],
        License::P2 => &["AAD_PREMIUM_P2"],
    };
    names
        .iter()
        .map(|name| {
            let plan = json!({ "servicePlanName": name, "servicePlanId": plan_id(name), "provisioningStatus": "Success" });
            json!({ "skuPartNumber": name, "skuId": plan_id(name), "capabilityStatus": "Enabled", "servicePlans": [plan] })
        })
        .collect()
}

/// Users, devices, applications and service principals: all, one, or what belongs to one.
fn objects(request: &Request<'_>, life: &mut Life, kind: &str, id: Option<String>, rest: &[&str]) -> Outcome {
    let asked = asked_app(request, id.as_deref());
    let directory = life.publisher.world().directory();
    let all = match kind {
        "users" => directory.users.clone(),
        "devices" => directory.devices.clone(),
        "applications" => directory.applications.clone(),
        _ => principals(request, directory, &life.principals, asked.as_deref()),
    };
    let Some(id) = id else { return list(request, kind, all) };
    let id = id.trim_matches('\'');
    let app = id.strip_prefix("appId='");
    let is_it = |object: &&Value| match app {
        Some(app) => object["appId"].as_str().is_some_and(|found| found.eq_ignore_ascii_case(app)),
        None => ["id", "userPrincipalName"]
            .iter()
            .any(|name| object[*name].as_str().is_some_and(|found| found.eq_ignore_ascii_case(id))),
    };
    let one = all.iter().find(is_it).ok_or_else(|| missing(request))?;
    let id = one["id"].as_str().unwrap_or_default();
    let of = |map: &std::collections::BTreeMap<String, Vec<Value>>| map.get(id).cloned().unwrap_or_default();
    match (kind, rest) {
        (_, []) => Ok(Answer::json(200, &select(request, one.clone()))),
        ("users", ["authentication", "methods"]) => {
            list(request, "users/authentication/methods", of(&directory.authentication_methods))
        }
        ("devices", ["registeredOwners" | "registeredUsers"]) => {
            list(request, "directoryObjects", of(&directory.registered_owners))
        }
        ("servicePrincipals", ["oauth2PermissionGrants"]) => {
            list(request, "oauth2PermissionGrants", of(&directory.oauth2_permission_grants))
        }
        ("servicePrincipals", ["appRoleAssignments"]) => {
            let mut assignments = of(&directory.app_role_assignments);
            assignments.extend(own_assignments(request, &all, one));
            list(request, "appRoleAssignments", assignments)
        }
        _ => Err(missing(request)),
    }
}

/// The application that a request is about, if it says so by its client id.
fn asked_app(request: &Request<'_>, id: Option<&str>) -> Option<String> {
    if let Some(app) = id.and_then(|id| id.strip_prefix("appId='")) {
        return Some(app.trim_end_matches('\'').to_owned());
    }
    let filter = Expression::parse(&request.call.parameter("$filter")?).ok()?;
    filter.equals("appId").map(str::to_owned)
}

/// All service principals: the world's, Microsoft's services, and the registered applications.
fn principals(request: &Request<'_>, directory: &Directory, created: &[String], asked: Option<&str>) -> Vec<Value> {
    let mut all = directory.service_principals.clone();
    for (app, name, api) in RESOURCES {
        let known = all.iter().position(|one| one["appId"] == app);
        let index = known.unwrap_or_else(|| {
            all.push(principal(app, name));
            all.len() - 1
        });
        let mut roles = all[index]["appRoles"].as_array().cloned().unwrap_or_default();
        for role in all_roles(api)
            .iter()
            .filter(|role| !roles.iter().any(|known| known["value"] == **role))
            .copied()
            .collect::<Vec<_>>()
        {
            roles.push(json!({
                "id": role_id(role), "value": role, "displayName": role, "isEnabled": true,
                "allowedMemberTypes": ["Application"],
            }));
        }
        all[index]["appRoles"] = json!(roles);
    }
    let tenant = request.tenant;
    let mut apps: Vec<&str> = tenant.config.apps.iter().map(|app| app.client_id.as_str()).collect();
    if apps.is_empty() {
        // Whoever is let in is registered: the caller, and whom the caller asks for.
        apps.push(&request.claims.client);
        apps.extend(asked);
    }
    if tenant.config.message_trace_principal {
        apps.push(TRACE_APP);
    }
    apps.extend(created.iter().map(String::as_str));
    for app in apps {
        if !all.iter().any(|one| one["appId"].as_str().is_some_and(|known| known.eq_ignore_ascii_case(app))) {
            all.push(principal(app, "Collector"));
        }
    }
    all
}

fn principal(app: &str, name: &str) -> Value {
    json!({
        "id": random::guid(3, app), "appId": app, "displayName": name, "accountEnabled": true,
        "servicePrincipalType": "Application", "appRoles": [], "oauth2PermissionScopes": [],
        "keyCredentials": [], "passwordCredentials": [], "tags": [],
    })
}

fn role_id(role: &str) -> String {
    match role {
        "Exchange.ManageAsApp" => "dc50a0fb-09a3-484d-be87-e023b12c6440".to_owned(),
        "ReportingWebService.Read.All" => "b4d5a5c7-c085-487f-b922-ef0d6ebde6b1".to_owned(),
        other => random::guid(59, other),
    }
}

/// What a registered application was granted.
fn own_assignments(request: &Request<'_>, all: &[Value], one: &Value) -> Vec<Value> {
    let app = one["appId"].as_str().unwrap_or_default();
    let registered = request.tenant.app(app);
    let everybody = request.tenant.config.apps.is_empty() && one["displayName"] == "Collector";
    if registered.is_none() && !everybody {
        return Vec::new();
    }
    let mut list = Vec::new();
    for (resource, name, api) in RESOURCES {
        let Some(service) = all.iter().find(|one| one["appId"] == resource) else { continue };
        let roles = service["appRoles"].as_array().map(Vec::as_slice).unwrap_or_default();
        for role in granted(registered, api) {
            let id = roles.iter().find(|known| known["value"] == role).map(|known| known["id"].clone());
            list.push(json!({
                "id": random::guid(67, &format!("{app} {role}")),
                "appRoleId": id.unwrap_or_else(|| json!(role_id(role))),
                "principalId": one["id"],
                "principalType": "ServicePrincipal",
                "principalDisplayName": one["displayName"],
                "resourceId": service["id"],
                "resourceDisplayName": name,
                "createdDateTime": "2025-11-03T09:12:44Z",
            }));
        }
    }
    list
}

fn create_principal(request: &Request<'_>) -> Outcome {
    let call = request.call;
    let app = call.json().and_then(|body| body["appId"].as_str().map(str::to_owned));
    let app = app.ok_or_else(|| fault(call, 400, "Request_BadRequest", "A value is required for property 'appId'."))?;
    let mut life = request.tenant.quiet();
    if life.principals.contains(&app) || app == TRACE_APP && request.tenant.config.message_trace_principal {
        let message = "The service principal cannot be created because it already exists.";
        return Err(fault(call, 409, "Request_MultipleObjectsWithSameKeyValue", message));
    }
    life.principals.push(app.clone());
    Ok(Answer::json(201, &principal(&app, "Message trace")))
}

/// A collection of objects: filtered, projected, cut into pages.
fn list(request: &Request<'_>, context: &str, mut objects: Vec<Value>) -> Outcome {
    let Request { cloud, call, tenant, .. } = *request;
    if let Some(text) = call.parameter("$filter") {
        let filter = Expression::parse(&text).map_err(|error| {
            fault(call, 400, "Request_UnsupportedQuery", &format!("Invalid filter clause: {error}"))
        })?;
        objects.retain(|object| filter.fits(object));
    }
    let position = Position::of(call)?.unwrap_or(Position { offset: 0, snapshot: Vec::new() });
    let size = super::page::size(call, cloud.config.limits.directory_page.max(1), 999)?;
    let page = cut(cloud, call, tenant.id(), &position, (objects.len(), size));
    let asked = call.parameter("$count").is_some_and(|value| value == "true");
    let count = (asked && position.offset == 0).then_some(objects.len());
    let rows: Vec<String> =
        objects.drain(page.range.0..page.range.1).map(|object| select(request, object).to_string()).collect();
    Ok(collection(call, context, &rows, page.next.as_deref(), count))
}

/// The members that `$select` names; the id always.
fn select(request: &Request<'_>, object: Value) -> Value {
    let Some(wanted) = request.call.parameter("$select") else { return object };
    let wanted: Vec<&str> = wanted.split(',').map(str::trim).collect();
    match object {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(name, _)| name == "id" || wanted.contains(&name.as_str()));
            Value::Object(kept.collect())
        }
        other => other,
    }
}
