//! The HTTP clients beneath: TLS by rustls, no redirects, gzip, and connections that are used again.
//!
//! Certificates are checked against those that the system trusts, or, where the system has none (small containers),
//! against Mozilla's; `ca_file` adds one's own, for proxies that open TLS and for private clouds.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use downspout_core::StageError;
use reqwest::{Client, redirect};
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

use crate::cloud::TIMEOUT;

/// A connection is there by then, or there is none.
const CONNECT: Duration = Duration::from_secs(20);

/// Idle connections are closed before the service does it.
const IDLE: Duration = Duration::from_secs(50);

/// A client for Microsoft's services; the environment's proxies are used (`HTTPS_PROXY`, `NO_PROXY`).
///
/// # Errors
/// If `ca_file` cannot be read, or holds no certificate.
pub fn client(ca_file: Option<&Path>) -> Result<Client, StageError> {
    client_for(ca_file, TIMEOUT)
}

/// As [`client`], with another patience with bodies that fall silent.
///
/// # Errors
/// As [`client`].
pub fn client_for(ca_file: Option<&Path>, silence: Duration) -> Result<Client, StageError> {
    build(Client::builder().read_timeout(silence), ca_file)
}

/// A client that never uses a proxy: for the metadata service, which only this machine may ask.
///
/// # Errors
/// As [`client`].
pub fn direct_client() -> Result<Client, StageError> {
    build(Client::builder().no_proxy().read_timeout(TIMEOUT), None)
}

/// As [`direct_client`], for a server whose certificate the verifier knows.
///
/// # Errors
/// If TLS cannot be set up.
pub(crate) fn pinned_client(verifier: Arc<dyn ServerCertVerifier>) -> Result<Client, StageError> {
    let tls = tls()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    finish(Client::builder().no_proxy().read_timeout(TIMEOUT), tls)
}

fn build(builder: reqwest::ClientBuilder, ca_file: Option<&Path>) -> Result<Client, StageError> {
    let tls = tls()?.with_root_certificates(roots(ca_file)?).with_no_client_auth();
    finish(builder, tls)
}

fn tls() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, StageError> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| StageError::stop("tls", format!("cannot set TLS up: {error}")))
}

fn finish(builder: reqwest::ClientBuilder, tls: ClientConfig) -> Result<Client, StageError> {
    builder
        .use_preconfigured_tls(tls)
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .tcp_keepalive(Duration::from_secs(30))
        .user_agent(concat!("downspout/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| StageError::stop("http", format!("cannot set the HTTP client up: {error}")))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, StageError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if let Some(path) = ca_file {
        let wrong = |problem: String| {
            StageError::stop(
                "ca_file",
                format!("the ca_file {}: {problem}; it must be PEM, with at least one certificate", path.display()),
            )
        };
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| wrong(error.to_string()))?;
        if certificates.is_empty() {
            return Err(wrong("there is no certificate in it".to_owned()));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
    }
    Ok(roots)
}
