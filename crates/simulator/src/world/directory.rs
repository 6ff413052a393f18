//! The tenant's directory in the shapes in which Graph, ARM and Exchange would show it.

mod show;

use std::collections::BTreeMap;

use serde_json::Value;

pub(super) use show::{directory_of, principal_value};

/// Everything that stands in the tenant, as JSON values ready to be served.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// Graph `organization`: one object.
    pub organization: Value,
    /// Graph `users`.
    pub users: Vec<Value>,
    /// Graph `directory/deletedItems/microsoft.graph.user`.
    pub deleted_users: Vec<Value>,
    /// Graph `devices`.
    pub devices: Vec<Value>,
    /// Graph `directory/deletedItems/microsoft.graph.device`.
    pub deleted_devices: Vec<Value>,
    /// Graph `devices/{id}/registeredOwners` (and `registeredUsers`), by the device's object id.
    pub registered_owners: BTreeMap<String, Vec<Value>>,
    /// Graph `applications`.
    pub applications: Vec<Value>,
    /// Graph `directory/deletedItems/microsoft.graph.application`.
    pub deleted_applications: Vec<Value>,
    /// Graph `servicePrincipals`.
    pub service_principals: Vec<Value>,
    /// Graph `directory/deletedItems/microsoft.graph.servicePrincipal`.
    pub deleted_service_principals: Vec<Value>,
    /// Graph `servicePrincipals/{id}/oauth2PermissionGrants`, by the service principal's object id.
    pub oauth2_permission_grants: BTreeMap<String, Vec<Value>>,
    /// Graph `servicePrincipals/{id}/appRoleAssignments`, by the service principal's object id.
    pub app_role_assignments: BTreeMap<String, Vec<Value>>,
    /// Graph `users/{id}/authentication/methods`, by the user's object id.
    pub authentication_methods: BTreeMap<String, Vec<Value>>,
    /// Graph `reports/authenticationMethods/userRegistrationDetails`.
    pub user_registration_details: Vec<Value>,
    /// ARM `subscriptions`.
    pub subscriptions: Vec<Value>,
    /// Azure DevOps organisations: objects with `accountName`, `accountId` and `accountUri`.
    pub devops_organizations: Vec<Value>,
    /// What `Get-Mailbox` shows.
    pub mailboxes: Vec<Value>,
}
