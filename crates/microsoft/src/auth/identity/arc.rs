//! Azure Arc: machines outside of Azure, on which an agent gives out tokens.
//!
//! The agent makes sure that who asks may read the files of its group: its first answer, 401, names a file
//! (`WWW-Authenticate: Basic realm=PATH`), and the second request must carry what is in it. Microsoft documents it in
//! "Authenticate against Azure resources with Azure Arc-enabled servers". What listens at the agent's port need not be
//! the agent, and must not be able to have any other file sent to it: so the path is one inside of the agent's folder,
//! ends in `.key`, and is a small file of its own.

use std::path::{Path, PathBuf};

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, RequestBuilder};
use tokio::io::AsyncReadExt;
use url::Url;

use super::{exchange, only_one, token_url, wrong};
use crate::auth::grant::Reply;
use crate::auth::{AuthError, Inner};

/// Where the agent listens if nothing else is said.
const ENDPOINT: &str = "http://localhost:40342/metadata/identity/oauth2/token";

/// Larger than this the agent's keys are not.
const KEY_BYTES: u64 = 4096;

/// The agent.
#[derive(Debug, Clone)]
pub struct AzureArc {
    endpoint: Url,
    /// The folder of its keys.
    keys: PathBuf,
}

impl AzureArc {
    /// The agent at an address.
    pub(super) fn at(endpoint: Url) -> AzureArc {
        let keys = match std::env::var_os("ProgramData").filter(|_| cfg!(windows)) {
            Some(data) => Path::new(&data).join("AzureConnectedMachineAgent").join("Tokens"),
            None => PathBuf::from("/var/opt/azcmagent/tokens"),
        };
        AzureArc { endpoint, keys }
    }

    /// The agent where it usually is.
    pub(super) fn standard() -> Result<AzureArc, String> {
        Ok(AzureArc::at(Url::parse(ENDPOINT).map_err(|error| error.to_string())?))
    }

    /// Asks for a token, and answers the agent's challenge.
    pub(super) async fn ask(&self, inner: &Inner, resource: &str) -> Result<Reply, AuthError> {
        let setup = &inner.setup;
        only_one(
            &setup.credential.client_id,
            "a machine of Azure Arc has the identity that Azure gave it, and no other; leave `client_id` out",
        )?;
        let first = exchange(inner, self.request(&setup.direct, resource)).await?;
        if first.status != 401 {
            return Ok(first);
        }
        let path = self.key_file(first.challenge.as_deref().unwrap_or_default()).map_err(|problem| {
            wrong(&problem, "what listens at the agent's address may not be the agent: check with `azcmagent show`")
        })?;
        let key = read_key(&path).await.map_err(|problem| {
            let told = format!("{}: {problem}", path.display());
            wrong(&told, "downspout's user must belong to the agent's group: `usermod --append --groups himds USER`")
        })?;
        exchange(inner, self.request(&setup.direct, resource).header(AUTHORIZATION, key)).await
    }

    fn request(&self, direct: &Client, resource: &str) -> RequestBuilder {
        let url = token_url(self.endpoint.clone(), "2020-06-01", resource, None);
        direct.get(url).header("Metadata", "true")
    }

    /// The file that a challenge names, if it is one of the agent's keys.
    fn key_file(&self, challenge: &str) -> Result<PathBuf, String> {
        let shown = challenge.escape_debug();
        let (scheme, realm) = challenge.split_once(' ').unwrap_or_default();
        let path = realm.trim().strip_prefix("realm=").filter(|_| scheme.eq_ignore_ascii_case("basic"));
        let path = path.ok_or_else(|| format!("the agent's challenge is of no known form: `{shown}`"))?;
        let path = PathBuf::from(path.trim_matches('"'));
        let is_key = path.extension().is_some_and(|extension| extension == "key");
        // What climbs out of the folder has another parent than the folder itself.
        if path.parent() == Some(&self.keys) && is_key {
            return Ok(path);
        }
        Err(format!("the agent's challenge names a file that is no key in {}: `{shown}`", self.keys.display()))
    }
}

/// The header that proves that the file was read.
async fn read_key(path: &Path) -> Result<HeaderValue, String> {
    let told = |error: std::io::Error| error.to_string();
    let about = tokio::fs::symlink_metadata(path).await.map_err(told)?;
    if !about.is_file() || about.len() > KEY_BYTES {
        return Err(format!("this is no plain file of at most {KEY_BYTES} bytes"));
    }
    let mut text = String::new();
    let file = tokio::fs::File::open(path).await.map_err(told)?;
    file.take(KEY_BYTES).read_to_string(&mut text).await.map_err(told)?;
    let mut header = HeaderValue::from_str(&format!("Basic {}", text.trim_end())).map_err(|error| error.to_string())?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::ask;
    use super::*;
    use crate::auth::{Platform, Token};
    use crate::client::tests::server::{Hit, Reply, Server};

    /// Asks an agent with that challenge, whose keys lie in a folder.
    async fn agent(keys: &Path, challenge: String, client_id: &str) -> (Server, Result<Token, String>) {
        let arc = |base: &str| {
            let endpoint = format!("{base}/metadata/identity/oauth2/token").parse().unwrap();
            Platform::AzureArc(AzureArc { endpoint, keys: keys.to_owned() })
        };
        let answer = move |hit: &Hit| match hit.headers.get("authorization").map(String::as_str) {
            None => Reply::new(401, "").header("WWW-Authenticate", &challenge),
            Some("Basic the-key") => Reply::json(&json!({ "access_token": "t", "expires_in": 3599 })),
            Some(_) => Reply::new(403, "the key is wrong"),
        };
        let (server, got) = ask(arc, client_id, answer).await;
        (server, got.map_err(|error| error.to_string()))
    }

    #[tokio::test]
    async fn the_agents_challenge_is_answered_with_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("a1b2.key");
        std::fs::write(&key, "the-key\n").unwrap();
        for challenge in [format!("Basic realm={}", key.display()), format!("basic realm=\"{}\"", key.display())] {
            let (server, got) = agent(folder.path(), challenge, "").await;
            assert_eq!(got.unwrap().expose(), "t");
            let hits = server.hits();
            assert_eq!(hits.len(), 2);
            assert!(hits.iter().all(|hit| hit.headers["metadata"] == "true"));
            assert_eq!(
                (hits[1].parameter("api-version"), hits[1].parameter("resource")),
                ("2020-06-01", "https://graph.microsoft.com")
            );
        }
        let (server, got) = agent(folder.path(), String::new(), "user").await;
        assert!(got.unwrap_err().contains("leave `client_id` out"));
        assert!(server.hits().is_empty());
    }

    #[tokio::test]
    async fn no_other_file_is_ever_sent() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("tokens");
        std::fs::create_dir_all(keys.join("inner.key")).unwrap();
        std::fs::create_dir(keys.join("below")).unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        put("outside.key", "the-key");
        put("tokens/plain.txt", "the-key");
        put("tokens/below/deep.key", "the-key");
        put("tokens/large.key", &"x".repeat(KEY_BYTES as usize + 1));
        put("tokens/lines.key", "the-key\r\nHost: evil.example");
        let inside = |name: &str| format!("Basic realm={}", keys.join(name).display());
        let mut challenges = vec![
            format!("Basic realm={}", folder.path().join("outside.key").display()),
            inside("../outside.key"),
            inside("below/deep.key"),
            inside("below/../../outside.key"),
            inside("plain.txt"),
            inside("inner.key"),
            inside("large.key"),
            inside("lines.key"),
            inside("missing.key"),
            "Basic realm=a.key".to_owned(),
            "Basic realm=/etc/passwd".to_owned(),
            "Basic".to_owned(),
            format!("Bearer realm={}", keys.join("x.key").display()),
        ];
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(folder.path().join("outside.key"), keys.join("link.key")).unwrap();
            challenges.push(inside("link.key"));
        }
        for challenge in challenges {
            let (server, got) = agent(&keys, challenge.clone(), "").await;
            let error = got.unwrap_err();
            assert!(error.contains("azcmagent show") || error.contains("himds"), "{challenge}: {error}");
            assert_eq!(server.hits().len(), 1, "{challenge}: {error}");
        }
    }
}
