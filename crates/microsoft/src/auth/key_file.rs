//! Files with an application's certificate and its private key: PEM, its key encrypted or not, and PFX (PKCS #12).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use downspout_core::config_values::Secret;
use p12_keystore::{KeyStore, Pkcs12ImportPolicy};
use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What stands around a key that is encrypted by PKCS #8 (RFC 5958; RFC 7468, section 11).
const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// What stands inside of a key that OpenSSL encrypted in a form of its own (RFC 1421, section 4.6.1.1).
const OLD_FORM: &str = "Proc-Type: 4,ENCRYPTED";

/// How a key becomes one that can be read.
const CONVERT: &str = "write it anew with `openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out KEY.pem`, and put the \
                       certificate into that file, too";

/// What a file holds, as DER.
pub(super) struct KeyFile {
    /// The certificates: the application's own, and perhaps those that signed it.
    pub(super) certificates: Vec<Vec<u8>>,
    /// The private key: PKCS #8, or PKCS #1.
    pub(super) key: Vec<u8>,
}

impl KeyFile {
    /// Reads a file's bytes; the password is the PFX's, or the key's in a PEM.
    ///
    /// # Errors
    /// What is wrong with it, and perhaps what to do.
    pub(super) fn read(bytes: &[u8], password: Option<&Secret>) -> Result<KeyFile, String> {
        let is_pem = bytes.windows(11).any(|window| window == b"-----BEGIN ");
        if is_pem { read_pem(bytes, password) } else { read_pfx(bytes, password) }
    }
}

fn read_pem(bytes: &[u8], password: Option<&Secret>) -> Result<KeyFile, String> {
    let text = String::from_utf8_lossy(bytes);
    if text.contains(OLD_FORM) {
        return Err(format!("the private key is encrypted in an old form of OpenSSL's, which is not read: {CONVERT}"));
    }
    let certificates = CertificateDer::pem_slice_iter(bytes)
        .map(|certificate| certificate.map(|certificate| certificate.to_vec()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("no certificate: {error}"))?;
    if certificates.is_empty() {
        return Err("no certificate: there is only a key in it".to_owned());
    }
    let encrypted = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END));
    let key = match encrypted {
        Some((base64, _)) => decrypt(base64, password)?,
        None => {
            let key = PrivateKeyDer::from_pem_slice(bytes).map_err(|error| format!("no private key: {error}"))?;
            key.secret_der().to_vec()
        }
    };
    Ok(KeyFile { certificates, key })
}

/// Opens a key that is encrypted by PKCS #8.
fn decrypt(base64: &str, password: Option<&Secret>) -> Result<Vec<u8>, String> {
    let Some(password) = password else {
        return Err("the private key is encrypted; give its `password`".to_owned());
    };
    let plain: String = base64.split_ascii_whitespace().collect();
    let der = STANDARD.decode(plain).map_err(|error| format!("the encrypted private key is broken ({error})"))?;
    let strange = || format!("the private key is encrypted in a way that is not read: {CONVERT}");
    let key = EncryptedPrivateKeyInfoRef::try_from(der.as_slice()).map_err(|_| strange())?;
    if key.encryption_algorithm.pbes2().is_none() {
        return Err(strange());
    }
    match key.decrypt(password.expose()) {
        Ok(key) => Ok(key.as_bytes().to_vec()),
        Err(error) => Err(format!("the password does not open the private key ({error})")),
    }
}

/// The first key, with its own certificate and those behind it.
fn read_pfx(bytes: &[u8], password: Option<&Secret>) -> Result<KeyFile, String> {
    let password = password.map_or("", Secret::expose);
    let store = KeyStore::from_pkcs12(bytes, password, Pkcs12ImportPolicy::Strict)
        .map_err(|error| format!("neither PEM, nor a PFX that the password opens ({error})"))?;
    let (_, chain) = store.private_key_chain().ok_or("there is no private key with its certificate in the PFX")?;
    let certificates = chain.certs().iter().map(|certificate| certificate.as_der().to_vec()).collect();
    Ok(KeyFile { certificates, key: chain.key().as_der().to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    // A key that was made for these tests and is used nowhere else; each file was made by openssl from the first.
    const PEM: &str = include_str!("testdata/app.pem");
    const ENCRYPTED: &str = include_str!("testdata/app-encrypted.pem");
    const PFX: &[u8] = include_bytes!("testdata/app.pfx");
    const OLD_PFX: &[u8] = include_bytes!("testdata/app-legacy.pfx");
    const DES3: &str = include_str!("testdata/key-des3.pem");
    const SCRYPT: &str = include_str!("testdata/key-scrypt.pem");
    const PBES1: &str = include_str!("testdata/key-pbes1.pem");
    const TRADITIONAL: &str = include_str!("testdata/key-traditional.pem");

    /// The certificate, and behind it this key.
    fn with_certificate(key: &str) -> String {
        let end = PEM.find("-----BEGIN PRIVATE KEY").unwrap();
        format!("{}{key}", &PEM[..end])
    }

    fn read(bytes: impl AsRef<[u8]>, password: &str) -> Result<KeyFile, String> {
        let password = Secret::new(password);
        KeyFile::read(bytes.as_ref(), Some(&password).filter(|password| !password.expose().is_empty()))
    }

    #[test]
    fn every_form_holds_the_same_key() {
        let plain = read(PEM, "").unwrap();
        let key_first = {
            let (certificate, key) = ENCRYPTED.split_at(ENCRYPTED.find(BEGIN).unwrap());
            format!("Bag Attributes\n  localKeyID: 01\n{key}Bag Attributes: none\n{certificate}")
        };
        let windows = ENCRYPTED.replace('\n', "\r\n");
        for (what, file) in [
            ("PFX", read(PFX, "test")),
            ("old PFX", read(OLD_PFX, "test")),
            ("encrypted PEM", read(ENCRYPTED, "test")),
            ("encrypted PEM with attributes, key first", read(key_first, "test")),
            ("encrypted PEM of Windows", read(windows, "test")),
            ("PEM with 3DES and SHA-1", read(with_certificate(DES3), "test")),
            ("PEM with scrypt", read(with_certificate(SCRYPT), "test")),
            ("plain PEM with a password that it does not need", read(PEM, "test")),
        ] {
            let file = file.unwrap_or_else(|problem| panic!("{what}: {problem}"));
            assert!(file.key == plain.key && file.certificates == plain.certificates, "{what}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_with_what_to_do() {
        let key_alone = &PEM[PEM.find("-----BEGIN PRIVATE KEY").unwrap()..];
        for (bytes, password, words) in [
            (ENCRYPTED.to_owned(), "", "give its `password`"),
            (ENCRYPTED.to_owned(), "wrong", "the password does not open the private key"),
            (with_certificate(SCRYPT), "wrong", "the password does not open the private key"),
            (with_certificate(PBES1), "test", "openssl pkcs8 -topk8"),
            (with_certificate(TRADITIONAL), "test", "openssl pkcs8 -topk8"),
            (ENCRYPTED.replacen("KEY-----\nM", "KEY-----\n?", 1), "test", "the encrypted private key is broken"),
            (with_certificate(""), "", "no private key"),
            (key_alone.to_owned(), "", "no certificate"),
            ("-----BEGIN CERTIFICATE-----\nnonsense".to_owned(), "", "no certificate"),
            ("nonsense".to_owned(), "test", "neither PEM, nor a PFX that the password opens"),
        ] {
            let problem = read(&bytes, password).err().unwrap();
            assert!(problem.contains(words) && !problem.contains("wrong"), "{words}: {problem}");
        }
        assert!(read(PFX, "wrong").err().unwrap().contains("neither PEM, nor a PFX that the password opens"));
    }
}
