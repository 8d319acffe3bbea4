//! A small HTTP/1.1 client over hyper that keeps its connections and checks how refusals look.
//!
//! The connections are the system's, or come from elsewhere: a simulation's network.
//! In: method, path, headers, body. Out: a [`Reply`], or the reason why none came. Holds no
//! opinion about what is right; the one exception is that each problem must look like RFC 9457.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// How long an answer over the system's network may take before the test has failed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes both ways.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A connection that is being opened.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Socket>>> + Send>>;

/// Opens connections to the node.
type Dial = Box<dyn Fn(SocketAddr) -> Connecting + Send + Sync>;

/// Talks to one node, wherever it listens now. Clones share connections.
#[derive(Clone, Debug)]
pub struct Client(Arc<Shared>);

struct Shared {
    address: Mutex<SocketAddr>,
    dial: Dial,
    patience: Duration,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the node at this address.
    #[must_use]
    pub fn new(address: SocketAddr) -> Client {
        let dial = |address| -> Connecting {
            Box::pin(async move {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream) as Box<dyn Socket>)
            })
        };
        Client::over(address, Box::new(dial), ANSWER_TIMEOUT)
    }

    /// A client over connections of another kind, which waits so long for an answer.
    #[must_use]
    pub fn over(address: SocketAddr, dial: Dial, patience: Duration) -> Client {
        Client(Arc::new(Shared {
            address: Mutex::new(address),
            dial,
            patience,
            idle: Mutex::default(),
        }))
    }

    /// The node has been started again, at another address.
    pub fn moved_to(&self, address: SocketAddr) {
        *self
            .0
            .address
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = address;
        self.idle().clear();
    }

    /// Where the node listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        *self
            .0
            .address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The node's base URL, for `--target`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// `GET`.
    #[must_use]
    pub fn get(&self, path: impl AsRef<str>) -> Request {
        self.request(Method::GET, path)
    }

    /// A figure without labels, as the metrics show it; none if they do not.
    ///
    /// # Panics
    /// When there are no metrics, or what they show is no number.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let metrics = self.get("/metrics").expect(200).await;
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        let value = |line: &str| {
            line.strip_prefix(name)?
                .strip_prefix(' ')
                .map(str::to_owned)
        };
        let shown = text.lines().find_map(value)?;
        Some(shown.trim().parse().expect("a number"))
    }

    /// `DELETE`.
    #[must_use]
    pub fn delete(&self, path: impl AsRef<str>) -> Request {
        self.request(Method::DELETE, path)
    }

    /// `POST` with a JSON body.
    #[must_use]
    pub fn post(&self, path: impl AsRef<str>, body: &Value) -> Request {
        self.request(Method::POST, path).json(body)
    }

    /// `PUT` with a JSON body.
    #[must_use]
    pub fn put(&self, path: impl AsRef<str>, body: &Value) -> Request {
        self.request(Method::PUT, path).json(body)
    }

    /// Any method.
    #[must_use]
    pub fn request(&self, method: Method, path: impl AsRef<str>) -> Request {
        Request {
            client: self.clone(),
            method,
            path: path.as_ref().to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SendRequest<Full<Bytes>>>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        loop {
            // The guard must not live across the await below.
            let kept = self.idle().pop();
            let Some(mut kept) = kept else { break };
            if kept.ready().await.is_ok() {
                return Ok(kept);
            }
        }
        let stream = (self.0.dial)(self.address());
        let stream = stream.await.map_err(|e| format!("connect: {e}"))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|e| format!("handshake: {e}"))?;
        tokio::spawn(async move {
            // Its end is seen by the sender.
            let _ = connection.await;
        });
        Ok(sender)
    }
}

/// A request being made up.
#[derive(Clone, Debug)]
pub struct Request {
    client: Client,
    method: Method,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
}

impl Request {
    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Request {
        self.headers
            .push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Adds `Idempotency-Key`.
    #[must_use]
    pub fn key(self, key: impl AsRef<[u8]>) -> Request {
        self.header("idempotency-key", key)
    }

    /// Adds `If-Match` for this version.
    #[must_use]
    pub fn if_match(self, version: u64) -> Request {
        self.header("if-match", format!("\"{version}\""))
    }

    /// A JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Request {
        self.raw("application/json", body.to_string().into_bytes())
    }

    /// Any body, with its media type.
    #[must_use]
    pub fn raw(mut self, media_type: &str, body: impl Into<Bytes>) -> Request {
        self.body = body.into();
        self.header("content-type", media_type)
    }

    /// Sends it and gives the answer's head, with the body still to be read.
    ///
    /// # Errors
    /// When no answer came: the connection broke, or it took too long.
    pub async fn open(
        self,
    ) -> Result<(http::Response<Incoming>, SendRequest<Full<Bytes>>), String> {
        let patience = self.client.0.patience;
        let connected = tokio::time::timeout(patience, self.client.connection()).await;
        let mut sender = connected.map_err(|_| "no connection in time".to_owned())??;
        let mut request = http::Request::builder().method(self.method).uri(&self.path);
        request = request.header(header::HOST, self.client.address().to_string());
        for (name, value) in &self.headers {
            request = request.header(name, value.as_slice());
        }
        let request = request
            .body(Full::new(self.body))
            .map_err(|e| format!("request: {e}"))?;
        let answer = tokio::time::timeout(patience, sender.send_request(request)).await;
        let answer = answer.map_err(|_| "no answer in time".to_owned())?;
        Ok((answer.map_err(|e| format!("send: {e}"))?, sender))
    }

    /// Sends it.
    ///
    /// # Errors
    /// When no whole answer came; whether the node did what was asked is then not known.
    pub async fn try_send(self) -> Result<Reply, String> {
        let client = self.client.clone();
        let asked = format!("{} {}", self.method, self.path);
        let (response, sender) = self.open().await?;
        let (head, body) = response.into_parts();
        let body = tokio::time::timeout(client.0.patience, body.collect()).await;
        let body = body.map_err(|_| "no whole body in time".to_owned())?;
        let body = body.map_err(|e| format!("body: {e}"))?.to_bytes();
        client.idle().push(sender);
        Ok(Reply {
            asked,
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        })
    }

    /// Sends it.
    ///
    /// # Panics
    /// When no answer came.
    pub async fn send(self) -> Reply {
        let asked = format!("{} {}", self.method, self.path);
        self.try_send()
            .await
            .unwrap_or_else(|reason| panic!("{asked}: {reason}"))
    }

    /// Sends it and expects this status.
    ///
    /// # Panics
    /// When the answer is another one.
    pub async fn expect(self, status: u16) -> Reply {
        let reply = self.send().await;
        assert_eq!(reply.status, status, "{reply}");
        reply
    }

    /// Sends it and expects a problem of this status and code, in its full form.
    ///
    /// # Panics
    /// When the answer is another one.
    pub async fn refused(self, status: u16, code: &str) -> Reply {
        let path = self.path.split('?').next().unwrap_or_default().to_owned();
        let reply = self.expect(status).await;
        let problem = reply.json();
        assert_eq!(
            reply.header("content-type"),
            Some("application/problem+json"),
            "{reply}"
        );
        assert_eq!(problem["code"], code, "{reply}");
        assert_eq!(problem["status"], status, "{reply}");
        assert_eq!(
            problem["type"],
            format!("urn:consign:problem:{code}"),
            "{reply}"
        );
        assert_eq!(problem["instance"], path, "{reply}");
        assert_eq!(
            problem["request_id"].as_str(),
            reply.header("x-request-id"),
            "{reply}"
        );
        for text in ["title", "detail"] {
            assert!(
                problem[text].as_str().is_some_and(|t| !t.is_empty()),
                "{text}: {reply}"
            );
        }
        reply
    }

    /// Sends it and expects 422 with exactly these faults, in any order.
    ///
    /// # Panics
    /// When the answer is another one.
    pub async fn faults(self, expected: &[(&str, &str)]) -> Reply {
        let reply = self.refused(422, "validation_failed").await;
        let mut found = reply.faults();
        let mut expected: Vec<(String, String)> = expected
            .iter()
            .map(|(p, c)| ((*p).to_owned(), (*c).to_owned()))
            .collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{reply}");
        reply
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Method and path, for messages.
    pub asked: String,
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self}"))
    }

    /// A header, if it is there and text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The pointers and codes of a problem's `errors`.
    #[must_use]
    pub fn faults(&self) -> Vec<(String, String)> {
        let problem = self.json();
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        errors
            .iter()
            .map(|e| (text(&e["pointer"]), text(&e["code"])))
            .collect()
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN_BYTES_MAX: usize = 4_000;
        let shown = &self.body[..self.body.len().min(SHOWN_BYTES_MAX)];
        write!(
            f,
            "{} -> {} {:?}\n{}",
            self.asked,
            self.status,
            self.headers,
            String::from_utf8_lossy(shown)
        )
    }
}
