//! Trust in a target that speaks TLS: whose word its certificate must bear.
//!
//! In: the certificate of an authority, as PEM text. Out: connections to whom it vouches for, or what is
//! wrong, in words that say what to do about it.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Why a text names no authority.
#[derive(Debug, thiserror::Error)]
#[error("no authority can be read from it: {0}")]
pub struct AuthorityError(String);

/// Whom certificates of targets must come from; cheap to clone.
#[derive(Clone)]
pub struct Authority(Arc<ClientConfig>);

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority { .. }")
    }
}

impl Authority {
    /// From PEM text with one certificate or more: any of them will do.
    ///
    /// # Errors
    /// When there is none in it that can be trusted.
    pub fn from_pem(text: &str) -> Result<Authority, AuthorityError> {
        let wrong = |error: &dyn std::fmt::Display| AuthorityError(error.to_string());
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(text.as_bytes()) {
            let root = root.map_err(|error| wrong(&error))?;
            roots.add(root).map_err(|error| wrong(&error))?;
        }
        if roots.is_empty() {
            return Err(wrong(&"there is no certificate in it"));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| wrong(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Authority(Arc::new(config)))
    }

    /// Agrees on keys with a host, if its certificate is good for that name and of this authority.
    ///
    /// # Errors
    /// What is wrong, and what to do about it.
    pub(crate) async fn secure(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, String> {
        let bare = host.trim_matches(['[', ']']);
        let name = ServerName::try_from(bare.to_owned());
        let name = name.map_err(|_| format!("{bare} is no name of a host"))?;
        let secured = TlsConnector::from(Arc::clone(&self.0)).connect(name, stream);
        secured.await.map_err(|error| {
            let within = error.get_ref().and_then(|it| it.downcast_ref());
            within.map_or_else(|| error.to_string(), |tls| in_words(bare, tls))
        })
    }
}

fn in_words(host: &str, error: &rustls::Error) -> String {
    let what = match error {
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "its certificate is not of the authority that was given".to_owned(),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!("its certificate is not for the name {host}"),
        rustls::Error::InvalidMessage(_) => {
            "it does not speak TLS: use http:// in place of https://".to_owned()
        }
        _ => "no TLS came about".to_owned(),
    };
    format!("{what} ({error})")
}
