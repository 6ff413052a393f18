//! Makes the directory's JSON from the tenant.

use serde_json::{Value, json};

use super::Directory;
use crate::world::applications::{Application, PERMISSIONS, RESOURCES};
use crate::world::calendar::{DAY, Form, push_time};
use crate::world::devices::Device;
use crate::world::rng::{mix, uuid_of};
use crate::world::tenant::{Tenant, User};

/// Everything that stands in the tenant when life begins.
pub(in crate::world) fn directory_of(tenant: &Tenant, start: i64) -> Directory {
    let people = || tenant.users.iter().chain(&tenant.guests);
    let mut directory = Directory {
        organization: organization(tenant, start),
        users: people().map(|user| user_value(tenant, user, start)).collect(),
        subscriptions: tenant
            .subscriptions
            .iter()
            .map(|subscription| {
                json!({
                    "id": format!("/subscriptions/{}", subscription.id),
                    "authorizationSource": "RoleBased",
                    "managedByTenants": [],
                    "subscriptionId": subscription.id,
                    "tenantId": tenant.id,
                    "displayName": subscription.name,
                    "state": "Enabled",
                    "subscriptionPolicies": {
                        "locationPlacementId": "Public_2014-09-01", "quotaId": "EnterpriseAgreement_2014-09-01", "spendingLimit": "Off",
                    },
                })
            })
            .collect(),
        devops_organizations: tenant
            .organizations
            .iter()
            .map(|organization| {
                json!({
                    "accountId": organization.id,
                    "accountName": organization.name,
                    "accountUri": format!("https://dev.azure.com/{}/", organization.name),
                })
            })
            .collect(),
        mailboxes: tenant.users.iter().map(|user| mailbox(tenant, user)).collect(),
        ..Directory::default()
    };
    for (number, user) in tenant.users.iter().enumerate() {
        for device in [&user.computer, &user.phone] {
            directory.registered_owners.insert(device.object.clone(), vec![reference(user)]);
            directory.devices.push(device_value(device, start));
        }
        directory.authentication_methods.insert(user.id.clone(), methods(user, start));
        directory.user_registration_details.push(registration(user, number < tenant.admins, start));
    }
    for app in &tenant.own {
        directory.applications.push(application_value(app, start));
        directory.service_principals.push(principal_value(app, tenant, "Application"));
        directory.oauth2_permission_grants.insert(app.principal.clone(), vec![grant(tenant, app)]);
        directory.app_role_assignments.insert(app.principal.clone(), assignments(tenant, app, start));
    }
    for app in &tenant.first_party {
        // Some of Microsoft's are a client and a resource at once.
        if !directory.service_principals.iter().any(|known| known["appId"] == app.id.as_str()) {
            directory.service_principals.push(principal_value(app, tenant, "Microsoft"));
        }
    }
    removed(tenant, &mut directory, start);
    directory
}

fn time(at: i64) -> String {
    let mut out = String::with_capacity(20);
    push_time(&mut out, at, Form::Zulu);
    out
}

fn organization(tenant: &Tenant, start: i64) -> Value {
    json!({
        "id": tenant.id,
        "displayName": tenant.short,
        "createdDateTime": time(start - 900 * DAY),
        "countryLetterCode": "SE",
        "tenantType": "AAD",
        "directorySizeQuota": { "used": tenant.users.len() * 4, "total": 300_000 },
        "verifiedDomains": [
            { "name": tenant.domain, "isDefault": true, "isInitial": false, "type": "Managed", "capabilities": "Email, OfficeCommunicationsOnline" },
            { "name": format!("{}.onmicrosoft.com", tenant.short), "isDefault": false, "isInitial": true, "type": "Managed", "capabilities": "Email, OfficeCommunicationsOnline" },
        ],
        "assignedPlans": [
            { "service": "exchange", "capabilityStatus": "Enabled", "servicePlanId": "efb87545-963c-4e0d-99df-69c6916d9eb0", "assignedDateTime": time(start - 800 * DAY) },
            { "service": "AADPremiumService", "capabilityStatus": "Enabled", "servicePlanId": "eec0eb4f-6444-4f95-aba0-50c24d67f998", "assignedDateTime": time(start - 800 * DAY) },
            { "service": "AADPremiumService", "capabilityStatus": "Enabled", "servicePlanId": "41781fb2-bc02-4b7c-bd55-b576c07bb09d", "assignedDateTime": time(start - 800 * DAY) },
        ],
    })
}

fn user_value(tenant: &Tenant, user: &User, start: i64) -> Value {
    let guest = user.alias.ends_with("#EXT#");
    json!({
        "id": user.id,
        "userPrincipalName": user.upn,
        "displayName": user.display,
        "givenName": user.given,
        "surname": user.surname,
        "mail": if guest { Value::Null } else { json!(user.upn) },
        "mailNickname": user.alias,
        "jobTitle": user.title,
        "department": user.department,
        "accountEnabled": true,
        "userType": if guest { "Guest" } else { "Member" },
        "usageLocation": user.office_place.country,
        "officeLocation": user.office_place.city,
        "mobilePhone": null,
        "businessPhones": [],
        "preferredLanguage": "en",
        "createdDateTime": time(start - (30 + (mix(user.seed, 21) % 800) as i64) * DAY),
        "lastPasswordChangeDateTime": time(start - (mix(user.seed, 22) % 180) as i64 * DAY),
        "onPremisesSyncEnabled": null,
        "proxyAddresses": [format!("SMTP:{}", user.upn)],
        "assignedLicenses": if guest { json!([]) } else { json!([{ "disabledPlans": [], "skuId": "06ebc4ee-1bb5-47dd-8120-11324bc54e06" }]) },
        "identities": [{ "signInType": "userPrincipalName", "issuer": tenant.domain, "issuerAssignedId": user.upn }],
    })
}

fn reference(user: &User) -> Value {
    json!({
        "@odata.type": "#microsoft.graph.user",
        "id": user.id,
        "displayName": user.display,
        "givenName": user.given,
        "surname": user.surname,
        "jobTitle": user.title,
        "mail": user.upn,
        "userPrincipalName": user.upn,
    })
}

fn device_value(device: &Device, start: i64) -> Value {
    let trust = match device.trust {
        "Azure AD joined" => "AzureAd",
        "Hybrid Azure AD joined" => "ServerAd",
        _ => "Workplace",
    };
    json!({
        "id": device.object,
        "deviceId": device.id,
        "displayName": device.name,
        "accountEnabled": true,
        "operatingSystem": device.os.split(' ').next(),
        "operatingSystemVersion": device.os_version,
        "trustType": trust,
        "isCompliant": device.managed,
        "isManaged": device.managed,
        "profileType": "RegisteredDevice",
        "deviceOwnership": if device.managed { "Company" } else { "Personal" },
        "managementType": if device.managed { json!("MDM") } else { Value::Null },
        "registrationDateTime": time(start - 200 * DAY),
        "createdDateTime": time(start - 200 * DAY),
        "approximateLastSignInDateTime": time(start - DAY),
        "physicalIds": [],
        "alternativeSecurityIds": [],
    })
}

fn application_value(app: &Application, start: i64) -> Value {
    let access = |resource: usize| {
        let roles: Vec<Value> = permissions(app)
            .filter(|(_, _, of)| *of == resource)
            .map(|(id, _, _)| json!({ "id": id, "type": "Role" }))
            .collect();
        (!roles.is_empty()).then(|| json!({ "resourceAppId": RESOURCES[resource].0, "resourceAccess": roles }))
    };
    json!({
        "id": app.object,
        "appId": app.id,
        "displayName": app.name,
        "createdDateTime": time(start - 300 * DAY),
        "signInAudience": "AzureADMyOrg",
        "publisherDomain": null,
        "identifierUris": [],
        "tags": [],
        "appRoles": [],
        "api": { "oauth2PermissionScopes": [], "knownClientApplications": [], "preAuthorizedApplications": [] },
        "keyCredentials": [],
        "passwordCredentials": [{
            "keyId": app.key, "displayName": "first", "hint": "4rT", "secretText": null, "customKeyIdentifier": null,
            "startDateTime": time(start - 300 * DAY), "endDateTime": time(start + 400 * DAY),
        }],
        "requiredResourceAccess": (0..RESOURCES.len()).filter_map(access).collect::<Vec<_>>(),
        "web": { "redirectUris": [], "homePageUrl": null, "logoutUrl": null },
    })
}

/// A service principal; `kind` is `Application`, `Microsoft` or `ThirdParty`.
pub(in crate::world) fn principal_value(app: &Application, tenant: &Tenant, kind: &str) -> Value {
    // The tenant in which Microsoft keeps its own applications.
    let microsoft = "f8cdef31-a31e-4b4a-93e4-5f571e91255a";
    json!({
        "id": app.principal,
        "appId": app.id,
        "displayName": app.name,
        "appDisplayName": app.name,
        "servicePrincipalType": "Application",
        "accountEnabled": true,
        "appOwnerOrganizationId": match kind {
            "Application" => tenant.id.clone(),
            "Microsoft" => microsoft.to_owned(),
            _ => uuid_of(mix(tenant.seed, 0xE711)),
        },
        "signInAudience": if kind == "Application" { "AzureADMyOrg" } else { "AzureADMultipleOrgs" },
        "appRoleAssignmentRequired": false,
        "servicePrincipalNames": [app.id],
        "tags": if kind == "Microsoft" { json!([]) } else { json!(["WindowsAzureActiveDirectoryIntegratedApp"]) },
        "appRoles": [],
        "oauth2PermissionScopes": [],
        "keyCredentials": [],
        "passwordCredentials": [],
        "replyUrls": [],
        "verifiedPublisher": { "displayName": null, "verifiedPublisherId": null, "addedDateTime": null },
    })
}

fn permissions(app: &Application) -> impl Iterator<Item = (&'static str, &'static str, usize)> {
    app.roles.iter().map(|&role| PERMISSIONS[role])
}

fn grant(tenant: &Tenant, app: &Application) -> Value {
    let resource = tenant.resource(0);
    json!({
        "id": format!("{}-{}", app.principal, resource.principal),
        "clientId": app.principal,
        "consentType": "AllPrincipals",
        "principalId": null,
        "resourceId": resource.principal,
        "scope": "User.Read openid profile",
    })
}

fn assignments(tenant: &Tenant, app: &Application, start: i64) -> Vec<Value> {
    permissions(app)
        .map(|(id, _, resource)| {
            let resource = tenant.resource(resource);
            json!({
                "id": format!("{}-{id}", app.principal),
                "deletedDateTime": null,
                "appRoleId": id,
                "createdDateTime": time(start - 299 * DAY),
                "principalDisplayName": app.name,
                "principalId": app.principal,
                "principalType": "ServicePrincipal",
                "resourceDisplayName": resource.name,
                "resourceId": resource.principal,
            })
        })
        .collect()
}

/// Five of six have registered a second factor.
fn registered(user: &User) -> bool {
    !mix(user.seed, 23).is_multiple_of(6)
}

fn methods(user: &User, start: i64) -> Vec<Value> {
    let mut methods = vec![json!({
        "@odata.type": "#microsoft.graph.passwordAuthenticationMethod",
        "id": "28c10230-6103-485e-b985-444c60001490",
        "password": null,
        "createdDateTime": time(start - (mix(user.seed, 22) % 180) as i64 * DAY),
    })];
    if registered(user) {
        methods.push(json!({
            "@odata.type": "#microsoft.graph.microsoftAuthenticatorAuthenticationMethod",
            "id": uuid_of(mix(user.seed, 24)),
            "displayName": user.phone.name,
            "deviceTag": "SoftwareTokenActivated",
            "phoneAppVersion": "6.8.21",
            "createdDateTime": time(start - 100 * DAY),
        }));
    }
    methods
}

fn registration(user: &User, admin: bool, start: i64) -> Value {
    let second = registered(user);
    json!({
        "id": user.id,
        "userPrincipalName": user.upn,
        "userDisplayName": user.display,
        "userType": "member",
        "isAdmin": admin,
        "isMfaCapable": second,
        "isMfaRegistered": second,
        "isPasswordlessCapable": false,
        "isSsprCapable": second,
        "isSsprEnabled": true,
        "isSsprRegistered": second,
        "isSystemPreferredAuthenticationMethodEnabled": true,
        "systemPreferredAuthenticationMethods": if second { json!(["push"]) } else { json!([]) },
        "userPreferredMethodForSecondaryAuthentication": if second { "push" } else { "none" },
        "defaultMfaMethod": if second { "microsoftAuthenticatorPush" } else { "none" },
        "methodsRegistered": if second { json!(["microsoftAuthenticatorPush", "softwareOneTimePasscode"]) } else { json!([]) },
        "lastUpdatedDateTime": time(start - 2 * DAY),
    })
}

fn mailbox(tenant: &Tenant, user: &User) -> Value {
    json!({
        "Identity": user.alias,
        "Alias": user.alias,
        "DisplayName": user.display,
        "UserPrincipalName": user.upn,
        "PrimarySmtpAddress": user.upn,
        "ExchangeGuid": user.mailbox,
        "ExternalDirectoryObjectId": user.id,
        "Guid": uuid_of(mix(user.seed, 25)),
        "DistinguishedName": format!(
            "CN={},OU={},OU=Microsoft Exchange Hosted Organizations,DC=EURPR04A009,DC=PROD,DC=OUTLOOK,DC=COM",
            user.alias, tenant.domain
        ),
        "OrganizationId": format!("{} - EURPR04A009.PROD.OUTLOOK.COM", tenant.domain),
        "RecipientType": "UserMailbox",
        "RecipientTypeDetails": "UserMailbox",
        "AuditEnabled": true,
        "AuditLogAgeLimit": "90.00:00:00",
        "DefaultAuditSet": ["Admin", "Delegate", "Owner"],
        "ForwardingSmtpAddress": null,
        "DeliverToMailboxAndForward": false,
    })
}

/// What was deleted in the last thirty days: it has no sub-resources.
fn removed(tenant: &Tenant, directory: &mut Directory, start: i64) {
    let deleted = time(start - 9 * DAY);
    let id = |salt: u64| uuid_of(mix(tenant.seed, salt));
    directory.deleted_users.push(json!({
        "id": id(0xDE1), "displayName": "Former Employee", "deletedDateTime": deleted, "accountEnabled": false,
        "userPrincipalName": format!("{}former.employee@{}", id(0xDE1).replace('-', ""), tenant.domain), "userType": "Member",
    }));
    directory.deleted_devices.push(json!({
        "id": id(0xDE2), "deviceId": id(0xDE3), "displayName": "WS00000", "deletedDateTime": deleted,
        "operatingSystem": "Windows", "operatingSystemVersion": "10.0.19041.1", "trustType": "AzureAd",
    }));
    directory.deleted_applications.push(json!({
        "id": id(0xDE4), "appId": id(0xDE5), "displayName": "Old Importer", "deletedDateTime": deleted,
        "keyCredentials": [], "passwordCredentials": [], "requiredResourceAccess": [],
    }));
    directory.deleted_service_principals.push(json!({
        "id": id(0xDE6), "appId": id(0xDE5), "displayName": "Old Importer", "deletedDateTime": deleted,
        "servicePrincipalType": "Application", "keyCredentials": [], "passwordCredentials": [],
    }));
}
