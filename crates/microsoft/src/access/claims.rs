//! What a token says of itself. Its signature is not checked: nothing is decided by it here, it is only shown.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// The claims of a token of Entra.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claims {
    granted: Vec<String>,
    application: Option<String>,
}

/// As they stand in it: application permissions in `roles`, those that a user delegated in `scp`.
#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    roles: Vec<String>,
    scp: Option<String>,
    appid: Option<String>,
    azp: Option<String>,
}

impl Claims {
    /// Reads a token. `None`: it has none that can be read.
    pub(super) fn read(token: &str) -> Option<Claims> {
        let payload = token.split('.').nth(1)?;
        let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
        let Payload { mut roles, scp, appid, azp } = serde_json::from_slice(&payload).ok()?;
        roles.extend(scp.unwrap_or_default().split_whitespace().map(str::to_owned));
        Some(Claims { granted: roles, application: appid.or(azp) })
    }

    /// Whether it permits that.
    pub(super) fn grants(&self, permission: &str) -> bool {
        self.granted.iter().any(|granted| granted == permission)
    }

    /// What it permits.
    pub(super) fn granted(&self) -> &[String] {
        &self.granted
    }

    /// The id of the application that it was given to.
    pub(super) fn application(&self) -> Option<&str> {
        self.application.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_and_scopes_are_read_and_nonsense_is_not() {
        let token = |payload: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(payload));
        let app = Claims::read(&token(r#"{"roles":["A.Read","B.Read"],"appid":"1"}"#)).unwrap();
        assert!(app.grants("B.Read") && !app.grants("b.read") && app.application() == Some("1"));
        let user = Claims::read(&token(r#"{"scp":"A.Read B.Read","azp":"2"}"#)).unwrap();
        assert!(user.grants("A.Read") && user.application() == Some("2"));
        assert_eq!(Claims::read(&token("{}")).unwrap().granted(), [""; 0]);
        for opaque in ["", "abc", "a.b.c", &token("[]")] {
            assert_eq!(Claims::read(opaque), None, "{opaque}");
        }
    }
}
