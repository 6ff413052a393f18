//! Which lists make a snapshot, and what is asked about each object in them.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::client::Api;

/// A part of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Objects {
    /// Applications, and service principals with what they were granted.
    Apps,
    /// Devices, with their owners and users.
    Devices,
    /// Users, with how they sign in.
    Users,
}

/// A list of objects.
#[derive(Debug)]
pub(super) struct List {
    /// What an object is called in `snapshot.kind`.
    pub(super) kind: &'static str,
    /// Its path and query.
    pub(super) path: &'static str,
    pub(super) api: Api,
    /// Whether its objects are in the bin. They have no parts.
    pub(super) deleted: bool,
    /// Further lists of each object: the member they become, and their path behind the object's.
    pub(super) parts: &'static [(&'static str, &'static str)],
    /// The path of one object, in front of its id.
    pub(super) object: &'static str,
    /// The permission that it needs, for messages.
    pub(super) permission: &'static str,
}

const fn list(kind: &'static str, path: &'static str, permission: &'static str) -> List {
    List { kind, path, api: Api::GraphDirectory, deleted: false, parts: &[], object: "", permission }
}

const fn bin(kind: &'static str, path: &'static str, permission: &'static str) -> List {
    List { deleted: true, ..list(kind, path, permission) }
}

const APPLICATION: &str = "Application.Read.All, and DelegatedPermissionGrant.Read.All for grants";
const DEVICE: &str = "Device.Read.All";
const USER: &str = "User.Read.All, and UserAuthenticationMethod.Read.All for authentication methods";

/// The members of a user that Graph gives only when asked for.
const USERS: &str = "/v1.0/users?$top=100&$select=id,userPrincipalName,displayName,mail,otherMails,proxyAddresses,userType,\
     accountEnabled,createdDateTime,creationType,externalUserState,lastPasswordChangeDateTime,passwordPolicies,\
     onPremisesSyncEnabled,onPremisesImmutableId,onPremisesSecurityIdentifier,assignedLicenses,identities,jobTitle,\
     department,signInSessionsValidFromDateTime,securityIdentifier";

const TENANT: [List; 1] = [list("organization", "/v1.0/organization", "Organization.Read.All")];

const APPS: [List; 4] = [
    list("application", "/v1.0/applications?$top=100", APPLICATION),
    bin("application", "/v1.0/directory/deletedItems/microsoft.graph.application", APPLICATION),
    List {
        parts: &[("oauth2PermissionGrants", "oauth2PermissionGrants"), ("appRoleAssignments", "appRoleAssignments")],
        object: "/v1.0/servicePrincipals",
        ..list("servicePrincipal", "/v1.0/servicePrincipals?$top=100", APPLICATION)
    },
    bin("servicePrincipal", "/v1.0/directory/deletedItems/microsoft.graph.servicePrincipal", APPLICATION),
];

const DEVICES: [List; 2] = [
    List {
        parts: &[("registeredOwners", "registeredOwners"), ("registeredUsers", "registeredUsers")],
        object: "/v1.0/devices",
        ..list("device", "/v1.0/devices?$top=100", DEVICE)
    },
    bin("device", "/v1.0/directory/deletedItems/microsoft.graph.device", DEVICE),
];

/// The list that takes a licence.
pub(super) const REGISTRATIONS: &str = "/v1.0/reports/authenticationMethods/userRegistrationDetails";

const PEOPLE: [List; 3] = [
    List {
        parts: &[("authenticationMethods", "authentication/methods")],
        object: "/v1.0/users",
        ..list("user", USERS, USER)
    },
    bin("user", "/v1.0/directory/deletedItems/microsoft.graph.user", USER),
    List {
        api: Api::GraphReports,
        ..list("userRegistrationDetails", REGISTRATIONS, "AuditLog.Read.All (and Entra ID P1 in the tenant)")
    },
];

/// The lists of a snapshot, in order.
pub(super) fn lists(objects: &[Objects]) -> Vec<&'static List> {
    let mut lists: Vec<&'static List> = TENANT.iter().collect();
    for (part, of) in [(Objects::Apps, &APPS[..]), (Objects::Devices, &DEVICES[..]), (Objects::Users, &PEOPLE[..])] {
        if objects.contains(&part) {
            lists.extend(of);
        }
    }
    lists
}
