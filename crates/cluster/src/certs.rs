//! Certificates for a cluster: an authority of its own, one certificate for each node, and those of
//! admin ports.
//!
//! In: which node, or which host. Out: PEM texts. For development and small clusters; a production cluster may
//! bring files of its own, as long as each certificate names its node ([`subject_of`]) and is good
//! for servers and clients.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::wire::NodeId;

/// How the names of nodes end, and no other's.
const NODES: &str = ".consign";
/// For whom any admin certificate is good, beside its host.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate and its private key, both as PEM.
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The key; keep it to yourself.
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pair { .. }")
    }
}

/// Why a certificate cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a certificate: {0}")]
pub struct CertificateError(#[from] rcgen::Error);

/// The name in a node's certificate, by which its peers know it.
#[must_use]
pub fn subject_of(node: NodeId) -> String {
    format!("{node}{NODES}")
}

/// Makes a cluster's authority.
///
/// # Errors
/// When no key can be drawn.
pub fn authority() -> Result<Pair, CertificateError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params
        .distinguished_name
        .push(DnType::CommonName, "Consign cluster authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(Pair {
        certificate: params.self_signed(&key)?.pem(),
        key: key.serialize_pem(),
    })
}

/// Makes a node's certificate, signed by the cluster's authority.
///
/// # Errors
/// When the authority's texts are none, or no key can be drawn.
pub fn node(authority: &Pair, node: NodeId) -> Result<Pair, CertificateError> {
    let issuer =
        Issuer::from_ca_cert_pem(&authority.certificate, KeyPair::from_pem(&authority.key)?)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![subject_of(node)])?;
    params
        .distinguished_name
        .push(DnType::CommonName, subject_of(node));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    signed(params, &issuer, &key)
}

/// The host that a text names: an IP address, or a name that is none of a node's.
///
/// # Errors
/// What is wrong with it.
pub fn host(text: &str) -> Result<String, String> {
    let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let is_name = (1..=253).contains(&text.len()) && text.bytes().all(of_a_name);
    if text.parse::<IpAddr>().is_err() && (!is_name || text.starts_with(['-', '.'])) {
        return Err("expected a host's name or IP address, without a port".to_owned());
    }
    let lower = text.to_ascii_lowercase();
    // Its owner could pass for that node.
    if lower.ends_with(NODES) || lower.ends_with(&format!("{NODES}.")) {
        return Err(format!("names that end in {NODES} are those of nodes"));
    }
    Ok(lower)
}

/// Makes a certificate for the admin port of a [`host`], signed by the cluster's authority. It is good for
/// a server only: who has it cannot pass for a node.
///
/// # Errors
/// As for [`node`].
pub fn admin(authority: &Pair, host: &str) -> Result<Pair, CertificateError> {
    let issuer =
        Issuer::from_ca_cert_pem(&authority.certificate, KeyPair::from_pem(&authority.key)?)?;
    let key = KeyPair::generate()?;
    let mut names = vec![host.to_owned()];
    names.extend(
        LOOPBACK
            .map(str::to_owned)
            .into_iter()
            .filter(|it| it != host),
    );
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, format!("Consign admin port of {host}"));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    signed(params, &issuer, &key)
}

fn signed(
    mut params: CertificateParams,
    issuer: &Issuer<'_, KeyPair>,
    key: &KeyPair,
) -> Result<Pair, CertificateError> {
    params.use_authority_key_identifier_extension = true;
    Ok(Pair {
        certificate: params.signed_by(key, issuer)?.pem(),
        key: key.serialize_pem(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses_and_never_nodes() {
        for good in [
            "10.0.0.1",
            "::1",
            "localhost",
            "node-1.example.com",
            "Node-1",
        ] {
            assert_eq!(host(good), Ok(good.to_ascii_lowercase()));
        }
        for bad in [
            "",
            "a:9180",
            "https://a",
            "a b",
            "-a",
            "node-1.consign",
            "X.CONSIGN.",
        ] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
