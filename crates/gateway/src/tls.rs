//! TLS on a port: what becomes of a connection before HTTP is spoken on it.
//!
//! In: a certificate with its key, as PEM texts, and connections. Out: connections that nobody reads on
//! the way. Who speaks plain HTTP hears so in plain HTTP. Whoever dawdles is cut off.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client may take until both sides know the keys.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// What every TLS connection begins with (RFC 8446, section 5.1): a record of a handshake.
const HANDSHAKE_RECORD: u8 = 22;
/// What a client hears who speaks no TLS.
const PLAINTEXT_REFUSAL: &str = concat!(
    "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n",
    "content-type: application/problem+json\r\ncontent-length: 167\r\n\r\n",
    r#"{"type":"urn:consign:problem:tls_required","title":"Tls required","status":400,"code":"tls_required","#,
    r#""detail":"this port speaks TLS: use https:// in place of http://"}"#,
);

/// Why texts do not serve for TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate cannot be read.
    #[error("the certificate is no PEM text: {0}")]
    Certificate(String),
    /// The key cannot be read.
    #[error("the key is no PEM text: {0}")]
    Key(String),
    /// They do not fit together.
    #[error("certificate and key do not fit together: {0}")]
    Unfit(#[from] rustls::Error),
}

/// What a port needs to speak TLS 1.3; cheap to clone, and all clones change together.
#[derive(Clone)]
pub struct Tls(Arc<ArcSwap<Shown>>);

/// What those who connect are shown.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    acceptor: TlsAcceptor,
}

/// Keys are not shown.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls { .. }")
    }
}

impl Tls {
    /// From PEM texts: the certificate, with those between it and its authority after it, and its key.
    ///
    /// # Errors
    /// When one cannot be read, or they do not fit together.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Tls, TlsError> {
        let unreadable = |error: &dyn std::fmt::Display| TlsError::Certificate(error.to_string());
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
        let chain: Vec<_> = chain
            .collect::<Result<_, _>>()
            .map_err(|error| unreadable(&error))?;
        if chain.is_empty() {
            return Err(unreadable(&"there is none in it"));
        }
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|error| TlsError::Key(error.to_string()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(chain.clone(), key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Tls(Arc::new(ArcSwap::from_pointee(Shown {
            chain,
            acceptor,
        }))))
    }

    /// Shows what `other` shows to whoever connects from now on. Says whether that is a change.
    pub fn replace(&self, other: &Tls) -> bool {
        let other = other.0.load_full();
        let changes = self.0.load().chain != other.chain;
        if changes {
            self.0.store(other);
        }
        changes
    }

    /// Agrees on keys with whoever has connected.
    ///
    /// # Errors
    /// When that fails or takes too long.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let accepting = async {
            let mut first = [0_u8; 1];
            if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE_RECORD {
                refuse(stream).await?;
                let what = "it speaks no TLS";
                return Err(io::Error::new(ErrorKind::InvalidData, what));
            }
            let acceptor = self.0.load().acceptor.clone();
            acceptor.accept(stream).await
        };
        let accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, accepting).await;
        accepted.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
    }
}

/// Its request is read first, else closing the socket with unread bytes would reset the connection
/// before the answer is seen.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    let mut request = [0_u8; 4_096];
    let _ = stream.read(&mut request).await?;
    stream.write_all(PLAINTEXT_REFUSAL.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_a_whole_response() {
        let (head, body) = PLAINTEXT_REFUSAL.split_once("\r\n\r\n").expect("two parts");
        let length = format!("content-length: {}", body.len());
        assert!(head.contains(&length), "{length}");
        let problem: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(problem["code"], "tls_required");
    }

    #[test]
    fn texts_that_do_not_serve_are_named() {
        for (certificate, key, said) in [("", "", "certificate"), ("nonsense", "x", "certificate")]
        {
            let error = Tls::from_pem(certificate, key).expect_err("refused");
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
