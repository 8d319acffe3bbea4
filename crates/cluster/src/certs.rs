//! Certificates for a cluster: an authority of its own, and one certificate for each node.
//!
//! In: which node. Out: PEM texts. For development and small clusters; a production cluster may
//! bring files of its own, as long as each certificate names its node ([`subject_of`]) and is good
//! for servers and clients.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::wire::NodeId;

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
    format!("{node}.consign")
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
    params.use_authority_key_identifier_extension = true;
    Ok(Pair {
        certificate: params.signed_by(&key, &issuer)?.pem(),
        key: key.serialize_pem(),
    })
}
