//! Client assertions: what an application signs with its certificate's key, in place of a secret.
//!
//! Signed with PS256 and named by the certificate's SHA-256, as Entra documents it today. The file is read for every
//! token, so a renewed certificate is used without a restart.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use downspout_core::config_values::Secret;
use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{RSA_PSS_SHA256, RsaKeyPair};
use serde_json::json;

use super::key_file::KeyFile;
use super::verdict::AuthError;
use crate::client::Verdict;

/// How long an assertion is valid, in seconds.
const LIFETIME: i64 = 600;

/// A certificate and its key.
pub(super) struct Key {
    pair: RsaKeyPair,
    thumbprint: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}

impl Key {
    /// Reads a PEM or PFX file.
    pub(super) async fn load(path: &Path, password: Option<&Secret>) -> Result<Key, AuthError> {
        let wrong = |problem: &str| {
            let told = format!("{}: {problem}", path.display());
            let meaning = "the file must hold the application's certificate and its RSA key, as PEM or PFX, and `password` must be its own";
            AuthError::new(Verdict::Stop, "certificate", &told, meaning)
        };
        let bytes = tokio::fs::read(path).await.map_err(|error| wrong(&error.to_string()))?;
        Key::read(&bytes, password).map_err(|problem| wrong(&problem))
    }

    fn read(bytes: &[u8], password: Option<&Secret>) -> Result<Key, String> {
        let KeyFile { certificates, key } = KeyFile::read(bytes, password)?;
        let pair = RsaKeyPair::from_pkcs8(&key)
            .or_else(|_| RsaKeyPair::from_der(&key))
            .map_err(|error| format!("the private key is no RSA key of 2048 bits or more ({error})"))?;
        let public = pair.public().as_ref();
        // A certificate holds its public key in the same form, so it is the one with that inside.
        let has_key = |certificate: &&Vec<u8>| certificate.windows(public.len()).any(|part| part == public);
        let own = certificates.iter().find(has_key).ok_or("none of its certificates belongs to the private key")?;
        let digest = ring::digest::digest(&ring::digest::SHA256, own);
        Ok(Key { thumbprint: URL_SAFE_NO_PAD.encode(digest), pair })
    }

    /// An assertion for an application, for a token endpoint.
    pub(super) fn sign(&self, client_id: &str, audience: &str, now: Timestamp) -> Result<String, AuthError> {
        let failed =
            |_| AuthError::new(Verdict::Stop, "certificate", "the key cannot sign", "check the certificate's key");
        let random = SystemRandom::new();
        let mut id = [0u8; 16];
        random.fill(&mut id).map_err(failed)?;
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let now = now.as_second();
        let header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint });
        let claims = json!({
            "aud": audience, "iss": client_id, "sub": client_id, "jti": id, "nbf": now, "iat": now, "exp": now + LIFETIME,
        });
        let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair.sign(&RSA_PSS_SHA256, &random, signed.as_bytes(), &mut signature).map_err(failed)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    // Keys that were made for these tests and are used nowhere else.
    const PEM: &[u8] = include_bytes!("testdata/app.pem");
    const STRANGER: &[u8] = include_bytes!("testdata/stranger.pem");

    #[test]
    fn the_certificate_is_the_one_of_the_key() {
        let key = Key::read(PEM, None).unwrap();
        let with_chain = [STRANGER, PEM].concat();
        assert_eq!(Key::read(&with_chain, None).unwrap().thumbprint, key.thumbprint);
        let (_, key_alone) = std::str::from_utf8(PEM).unwrap().split_once("-----END CERTIFICATE-----").unwrap();
        let foreign = [STRANGER, key_alone.as_bytes()].concat();
        let problem = Key::read(&foreign, None).unwrap_err();
        assert!(problem.contains("none of its certificates belongs to the private key"), "{problem}");
    }

    #[test]
    fn assertions_say_who_for_whom_and_when_and_are_signed() {
        let key = Key::read(PEM, None).unwrap();
        let now = "2026-01-05T00:00:00Z".parse().unwrap();
        let assertion = key.sign("app", "https://login.microsoftonline.com/t/oauth2/v2.0/token", now).unwrap();
        let parts: Vec<&str> = assertion.split('.').collect();
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let header: serde_json::Value = serde_json::from_slice(&decode(parts[0])).unwrap();
        assert_eq!(header["alg"], "PS256");
        assert_eq!(header["x5t#S256"], key.thumbprint);
        let claims: serde_json::Value = serde_json::from_slice(&decode(parts[1])).unwrap();
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("app"), &json!("app")));
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["nbf"].as_i64().unwrap(), LIFETIME);
        let signed = format!("{}.{}", parts[0], parts[1]);
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key.pair.public().as_ref())
            .verify(signed.as_bytes(), &decode(parts[2]))
            .unwrap();
        assert_ne!(key.sign("app", "x", now).unwrap(), key.sign("app", "x", now).unwrap());
    }
}
