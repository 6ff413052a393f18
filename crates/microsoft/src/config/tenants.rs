//! The keys `tenant_id` and `tenants`: one tenant, or a list of them.

use downspout_core::ConfigError;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::auth::{AuthConfig, Credential};

/// One tenant of a list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantConfig {
    /// The tenant's id: a GUID.
    pub tenant_id: String,
    /// How to sign in to this tenant, if not as to the others.
    pub auth: Option<AuthConfig>,
    /// What messages and metrics call it; its id if it has no name. No two tenants may share one.
    pub name: Option<String>,
}

/// Many tenants. In a config the list may stand in a YAML or JSON file of its own, whose path is then given; the config
/// loader puts the list in its place.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct TenantsConfig(pub Vec<TenantConfig>);

impl JsonSchema for TenantsConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Tenants".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Many tenants: a list, or the path of a YAML or JSON file that holds one.",
            "anyOf": [
                { "type": "array", "minItems": 1, "items": generator.subschema_for::<TenantConfig>() },
                { "type": "string" },
            ],
        })
    }
}

/// A tenant, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id: a GUID, in lower case.
    pub id: String,
    /// What the config calls it.
    pub name: Option<String>,
    /// How to sign in.
    pub credential: Credential,
}

impl Tenant {
    /// What messages and metrics call it.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }

    /// The shard of a feed: `TENANT_ID/FEED`.
    pub fn shard(&self, feed: &str) -> String {
        format!("{}/{feed}", self.id)
    }
}

pub(super) fn plan(
    tenant_id: Option<String>,
    tenants: Option<TenantsConfig>,
    auth: Option<AuthConfig>,
) -> Result<Vec<Tenant>, Vec<ConfigError>> {
    match (tenant_id, tenants) {
        (Some(_), Some(_)) => Err(vec![ConfigError::at("tenants", "either `tenant_id` or `tenants`, not both")]),
        (None, None) => Err(vec![ConfigError::at("", "the tenant is missing: `tenant_id`, or `tenants` for several")]),
        (Some(id), None) => {
            let id = tenant_id_of(&id).map_err(|problem| ConfigError::at("tenant_id", problem));
            let auth = auth.ok_or_else(|| vec![ConfigError::at("", "`auth` is missing: how to sign in")]);
            match (id, auth.and_then(|auth| auth.plan("auth"))) {
                (Ok(id), Ok(credential)) => Ok(vec![Tenant { id, name: None, credential }]),
                (id, credential) => Err(id.err().into_iter().chain(credential.err().unwrap_or_default()).collect()),
            }
        }
        (None, Some(TenantsConfig(list))) => check(&list, auth.as_ref()),
    }
}

fn check(list: &[TenantConfig], auth: Option<&AuthConfig>) -> Result<Vec<Tenant>, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut tenants: Vec<Tenant> = Vec::new();
    if list.is_empty() {
        errors.push(ConfigError::at("tenants", "there is no tenant in the list"));
    }
    errors.extend(list.iter().enumerate().filter_map(|(index, _)| shared_name(list, index)));
    for (index, tenant) in list.iter().enumerate() {
        let at = |name: &str| format!("tenants.{index}.{name}");
        let id =
            tenant_id_of(&tenant.tenant_id).map_err(|problem| errors.push(ConfigError::at(at("tenant_id"), problem)));
        let credential = match (&tenant.auth, auth) {
            (Some(own), _) => own.plan(&at("auth")),
            (None, Some(common)) => common.plan("auth"),
            (None, None) => {
                let message = "`auth` is missing: give this tenant one, or all of them one beside `tenants`";
                Err(vec![ConfigError::at(format!("tenants.{index}"), message)])
            }
        };
        let credential = credential.map_err(|wrong| errors.extend(wrong));
        if let (Ok(id), Ok(credential)) = (id, credential) {
            if tenants.iter().any(|known| known.id == id) {
                errors.push(ConfigError::at(at("tenant_id"), "this tenant is in the list twice"));
            }
            tenants.push(Tenant { id, name: tenant.name.clone(), credential });
        }
    }
    if errors.is_empty() { Ok(tenants) } else { Err(errors) }
}

/// A tenant that is called as another one is: their metrics would be one, and nobody could tell whose trouble is told.
fn shared_name(list: &[TenantConfig], index: usize) -> Option<ConfigError> {
    let name = list[index].name.as_deref()?;
    let shown = name.escape_debug();
    let place = |message| Some(ConfigError::at(format!("tenants.{index}.name"), message));
    let same_id = |other: &TenantConfig| other.tenant_id.trim().eq_ignore_ascii_case(name.trim());
    if list[..index].iter().any(|other| other.name.as_deref() == Some(name)) {
        place(format!("two tenants are called `{shown}`; give each a name of its own, or leave `name` out"))
    } else if !same_id(&list[index]) && list.iter().any(same_id) {
        place(format!("`{shown}` is the id of another tenant of the list; give this one another name"))
    } else {
        None
    }
}

/// A GUID in lower case.
fn tenant_id_of(text: &str) -> Result<String, String> {
    let id = text.trim().to_ascii_lowercase();
    if is_guid(&id) {
        Ok(id)
    } else {
        let shown = text.escape_debug();
        let is_domain =
            id.contains('.') && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
        let remedy = match is_domain {
            true => format!(
                "and a domain name will not do; the id stands on the overview page of Entra, and in what \
                 https://login.microsoftonline.com/{id}/v2.0/.well-known/openid-configuration answers"
            ),
            false => "such as 00000000-0000-0000-0000-000000000000".to_owned(),
        };
        Err(format!("`{shown}` is no GUID, {remedy}"))
    }
}

pub(super) fn is_guid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.len() == 5
        && groups
            .iter()
            .zip([8, 4, 4, 4, 12])
            .all(|(group, len)| group.len() == len && group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0a1b2c3d-0000-1111-2222-333344445555";
    const OTHER: &str = "1a1b2c3d-0000-1111-2222-333344445555";

    fn planned(json: serde_json::Value) -> Result<Vec<Tenant>, Vec<String>> {
        let get = |name: &str| json.get(name).cloned();
        let tenants = get("tenants").map(|value| serde_json::from_value(value).unwrap());
        let auth = get("auth").map(|value| serde_json::from_value(value).unwrap());
        let id = get("tenant_id").map(|value| value.as_str().unwrap().to_owned());
        plan(id, tenants, auth)
            .map_err(|errors| errors.into_iter().map(|error| format!("{}: {}", error.key, error.message)).collect())
    }

    #[test]
    fn one_tenant_or_many() {
        let auth = serde_json::json!({ "client_id": "app", "client_secret": "s" });
        let one = planned(serde_json::json!({ "tenant_id": ID.to_uppercase(), "auth": auth })).unwrap();
        assert_eq!((one[0].id.as_str(), one[0].label()), (ID, ID));
        let list = serde_json::json!([{ "tenant_id": ID, "name": "contoso" }, { "tenant_id": OTHER, "name": OTHER }]);
        let many = planned(serde_json::json!({ "tenants": list, "auth": auth })).unwrap();
        assert_eq!((many[0].label(), many[0].shard("DLP.All")), ("contoso", format!("{ID}/DLP.All")));
    }

    #[test]
    fn mistakes_have_a_place() {
        let cases = [
            (serde_json::json!({}), ": the tenant is missing"),
            (
                serde_json::json!({ "tenant_id": "contoso.com", "auth": { "managed_identity": true } }),
                "tenant_id: `contoso.com` is no GUID",
            ),
            (serde_json::json!({ "tenant_id": ID }), ": `auth` is missing"),
            (serde_json::json!({ "tenant_id": ID, "auth": { "client_id": "a" } }), "auth: exactly one of"),
            (serde_json::json!({ "tenant_id": ID, "auth": { "client_secret": "a" } }), "auth: client_id is missing"),
            (
                serde_json::json!({ "tenant_id": ID, "auth": { "managed_identity": true, "password": "x" } }),
                "auth.password: it belongs to",
            ),
            (serde_json::json!({ "tenants": [{ "tenant_id": ID }] }), "tenants.0: `auth` is missing"),
            (
                serde_json::json!({ "tenants": [{ "tenant_id": ID }, { "tenant_id": ID }], "auth": { "managed_identity": true } }),
                "tenants.1.tenant_id: this tenant is in the list twice",
            ),
            (
                serde_json::json!({ "tenants": [{ "tenant_id": ID, "name": "a" }, { "tenant_id": OTHER, "name": "a" }], "auth": { "managed_identity": true } }),
                "tenants.1.name: two tenants are called `a`",
            ),
            (
                serde_json::json!({ "tenants": [{ "tenant_id": ID, "name": OTHER.to_uppercase() }, { "tenant_id": OTHER }], "auth": { "managed_identity": true } }),
                "tenants.0.name: `1A1B2C3D-0000-1111-2222-333344445555` is the id of another tenant",
            ),
        ];
        for (json, expected) in cases {
            let errors = planned(json).unwrap_err();
            assert!(errors.iter().any(|error| error.starts_with(expected)), "{expected}: {errors:?}");
        }
    }
}
