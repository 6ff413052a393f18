//! Service Fabric: an endpoint on each node, with a certificate that it made for itself.
//!
//! The environment names the certificate by its SHA-1, and nothing but that certificate is accepted: no authority's
//! word and no host name count. The connection still proves that the other side holds the certificate's key. Microsoft
//! documents it in "How to leverage a Service Fabric application's managed identity to access Azure services". Which
//! identity it is stands in the application's manifest.

use std::sync::Arc;

use downspout_core::config_values::Secret;
use reqwest::{Client, RequestBuilder};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use url::Url;

use super::{only_one, token_url};
use crate::auth::AuthError;
use crate::client::pinned_client;

/// What the platform puts into the environment.
#[derive(Debug, Clone)]
pub struct ServiceFabric {
    /// `IDENTITY_ENDPOINT`.
    endpoint: Url,
    /// `IDENTITY_HEADER`.
    header: Secret,
    /// A client that speaks with the holder of the certificate only.
    http: Client,
}

impl ServiceFabric {
    /// Reads `IDENTITY_SERVER_THUMBPRINT`.
    pub(super) fn new(endpoint: Url, header: Secret, thumbprint: &str) -> Result<ServiceFabric, String> {
        let sha1 = read_thumbprint(thumbprint).ok_or_else(|| {
            let shown = thumbprint.escape_debug();
            format!(
                "`IDENTITY_SERVER_THUMBPRINT` in the environment is `{shown}` and no SHA-1 of 40 hexadecimal digits"
            )
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let http = pinned_client(Arc::new(Pinned { sha1, provider })).map_err(|error| error.to_string())?;
        Ok(ServiceFabric { endpoint, header, http })
    }

    /// Asks for a token.
    pub(super) fn request(&self, resource: &str, client_id: &str) -> Result<RequestBuilder, AuthError> {
        only_one(
            client_id,
            "in Service Fabric the application's manifest says which identity it has; leave `client_id` out",
        )?;
        let url = token_url(self.endpoint.clone(), "2019-07-01-preview", resource, None);
        Ok(self.http.get(url).header("Secret", self.header.expose()))
    }
}

fn read_thumbprint(text: &str) -> Option<[u8; 20]> {
    let is_hexadecimal = text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut sha1 = [0; 20];
    for (at, byte) in sha1.iter_mut().enumerate().filter(|_| is_hexadecimal) {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    is_hexadecimal.then_some(sha1)
}

/// Accepts one certificate.
#[derive(Debug)]
struct Pinned {
    sha1: [u8; 20],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // To forge a certificate with a given SHA-1 is out of anybody's reach; to make two with the same one is not, but
        // both would be the platform's own.
        if digest(&SHA1_FOR_LEGACY_USE_ONLY, certificate).as_ref() == self.sha1 {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::super::testing::ask;
    use super::*;
    use crate::auth::Platform;
    use crate::client::tests::server::Reply;

    // A key that was made for these tests and is used nowhere else.
    const PEM: &[u8] = include_bytes!("../testdata/app.pem");
    const STRANGER: &[u8] = include_bytes!("../testdata/stranger.pem");

    fn certificate(pem: &[u8]) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem).unwrap()
    }

    fn thumbprint(pem: &[u8]) -> String {
        let sha1 = digest(&SHA1_FOR_LEGACY_USE_ONLY, &certificate(pem));
        sha1.as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
    }

    /// A node that shows a certificate, signs with a key, and hands what it was asked for into the channel.
    async fn node(shown: &[u8]) -> (String, tokio::sync::mpsc::Receiver<String>) {
        let key = rustls::crypto::ring::sign::any_supported_type(&PrivateKeyDer::from_pem_slice(PEM).unwrap()).unwrap();
        let shown = rustls::sign::CertifiedKey::new(vec![certificate(shown)], key);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        let (sender, receiver) = tokio::sync::mpsc::channel(8);
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(tls));
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut head = vec![0; 4096];
                let read = stream.read(&mut head).await.unwrap_or(0);
                let _ = sender.send(String::from_utf8_lossy(&head[..read]).into_owned()).await;
                let body = r#"{"access_token":"t","expires_on":"4102444800"}"#;
                let answer =
                    format!("HTTP/1.1 200 x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        (base, receiver)
    }

    async fn token(base: &str, thumbprint: &str, client_id: &str) -> Result<String, String> {
        let endpoint = format!("{base}/metadata/identity/oauth2/token").parse().unwrap();
        let fabric = ServiceFabric::new(endpoint, Secret::new("the-secret"), thumbprint).unwrap();
        let (_, got) = ask(|_| Platform::ServiceFabric(fabric), client_id, |_| Reply::new(500, "")).await;
        got.map(|token| token.expose().to_owned()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_node_with_the_certificate_is_asked_as_it_wants() {
        let (base, mut asked) = node(PEM).await;
        assert_eq!(token(&base, &thumbprint(PEM), "").await.as_deref(), Ok("t"));
        let head = asked.recv().await.unwrap();
        let query =
            "/metadata/identity/oauth2/token?api-version=2019-07-01-preview&resource=https%3A%2F%2Fgraph.microsoft.com";
        assert!(head.starts_with(&format!("GET {query} ")), "{head}");
        assert!(head.to_ascii_lowercase().contains("\r\nsecret: the-secret\r\n"), "{head}");
        assert!(token(&base, &thumbprint(PEM), "user").await.unwrap_err().contains("leave `client_id` out"));
    }

    #[tokio::test]
    async fn nobody_else_gets_the_secret() {
        // Another certificate; and the right one, shown by somebody who does not have its key.
        for (shown, pinned) in [(PEM, thumbprint(STRANGER)), (STRANGER, thumbprint(STRANGER))] {
            let (base, mut asked) = node(shown).await;
            let error = token(&base, &pinned, "").await.unwrap_err();
            assert!(error.contains("`IDENTITY_SERVER_THUMBPRINT`"), "{error}");
            assert!(asked.try_recv().is_err());
        }
    }

    #[test]
    fn thumbprints_are_read() {
        assert_eq!(read_thumbprint("0123456789abcdef0123456789ABCDEF01234567").unwrap()[..3], [0x01, 0x23, 0x45]);
        for text in ["", "0123", "0123456789abcdef0123456789ABCDEF0123456g", "0123456789abcdef0123456789ABCDEF012345é"]
        {
            assert_eq!(read_thumbprint(text), None, "{text}");
        }
    }
}
