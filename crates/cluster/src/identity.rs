//! Who a node is, and how it proves it: mutual TLS 1.3 under the cluster's own authority.
//!
//! In: three PEM texts. Out: sessions in which each side knows the other's node by its certificate.

use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::certs::subject_of;
use crate::wire::NodeId;

/// Why texts are no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Not PEM, or not what it should hold.
    #[error("cannot read the {what}: {reason}")]
    Read {
        /// Which of the texts.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// They do not fit together.
    #[error("authority, certificate and key do not fit together: {0}")]
    Unfit(String),
}

/// A node's certificate, its key, and the authority that it trusts.
#[derive(Clone)]
pub struct Identity {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity { .. }")
    }
}

impl Identity {
    /// From PEM texts: the authority's certificate, the node's own, and its key.
    ///
    /// # Errors
    /// When one cannot be read, or they do not fit together.
    pub fn from_pem(
        authority: &str,
        certificate: &str,
        key: &str,
    ) -> Result<Identity, IdentityError> {
        let unfit = |error: &dyn std::fmt::Display| IdentityError::Unfit(error.to_string());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        for root in certificates("authority", authority)? {
            roots.add(root).map_err(|error| unfit(&error))?;
        }
        let roots = Arc::new(roots);
        let own = certificates("certificate", certificate)?;
        let key =
            PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| IdentityError::Read {
                what: "key",
                reason: error.to_string(),
            })?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()
                .map_err(|error| unfit(&error))?;
        let versions = [&rustls::version::TLS13];
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|error| unfit(&error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(own.clone(), key.clone_key())
            .map_err(|error| unfit(&error))?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| unfit(&error))?
            .with_root_certificates(roots)
            .with_client_auth_cert(own, key)
            .map_err(|error| unfit(&error))?;
        Ok(Identity {
            server: Arc::new(server),
            client: Arc::new(client),
        })
    }
}

fn certificates(
    what: &'static str,
    text: &str,
) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let read = |reason: String| IdentityError::Read { what, reason };
    let all = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|error| read(error.to_string()))?;
    match all.is_empty() {
        true => Err(read("there is no certificate in it".to_owned())),
        false => Ok(all),
    }
}

/// The name under which a node is dialled.
pub(crate) fn name_of(node: NodeId) -> ServerName<'static> {
    ServerName::try_from(subject_of(node)).expect("letters, digits, hyphens and a dot")
}

/// Whether a peer's certificate, which the authority has signed, is that of `node`.
pub(crate) fn is_of(certificates: Option<&[CertificateDer<'_>]>, node: NodeId) -> bool {
    let Some(own) = certificates.and_then(<[_]>::first) else {
        return false;
    };
    ParsedCertificate::try_from(own)
        .is_ok_and(|parsed| verify_server_name(&parsed, &name_of(node)).is_ok())
}
