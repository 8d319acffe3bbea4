//! A small HTTP/1.1 client over keep-alive connections, cheap enough not to be what is measured.
//!
//! In: requests to one target. Out: whole responses. A connection serves one request at a time; a
//! broken one is opened again once, since requests that change something carry idempotency keys.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::tls::Authority;

/// How long a request may take in all.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a busy server is asked again before the caller hears of it.
const BUSY_RETRIES_MAX: u32 = 600;

/// What requests travel on.
pub(crate) type Stream = TcpStream;

/// Why a request got no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The target is no `http://host:port`, or `https://` where that is wanted.
    #[error("{target} is not of the form {expected}")]
    Target {
        /// What was given.
        target: String,
        /// What is wanted.
        expected: &'static str,
    },
    /// The connection failed.
    #[error("no answer from {target}: {reason}")]
    Connection {
        /// Whom.
        target: String,
        /// Why.
        reason: String,
    },
    /// The server answered with another status than wanted.
    #[error("{method} {path} answered {status}: {body}")]
    Status {
        /// The request's method.
        method: Method,
        /// The request's path.
        path: String,
        /// The answer's status.
        status: StatusCode,
        /// The answer's body, shortened.
        body: String,
    },
    /// The body is not what the API promises.
    #[error("the answer to {path} is not understood: {reason}")]
    Body {
        /// The request's path.
        path: String,
        /// Why.
        reason: String,
    },
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; `Null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// How long the server asks to wait.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        let seconds = self
            .headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        Duration::from_millis(
            self.json()["retry_after_ms"]
                .as_u64()
                .unwrap_or(seconds.unwrap_or(1) * 1_000),
        )
    }
}

/// A target and idle connections to it. Requests may be made side by side.
#[derive(Debug)]
pub struct Client {
    host: String,
    authority: String,
    /// Who vouches for a target that speaks TLS.
    trusted: Option<Authority>,
    authorization: Option<HeaderValue>,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Client {
    /// A client of `http://host:port`.
    ///
    /// # Errors
    /// When the target is not of that form.
    pub fn new(target: &str) -> Result<Client, ClientError> {
        Client::of(target, None)
    }

    /// A client of `https://host:port`, whose certificate must be of an authority.
    ///
    /// # Errors
    /// When the target is not of that form.
    pub fn secure(target: &str, trusted: Authority) -> Result<Client, ClientError> {
        Client::of(target, Some(trusted))
    }

    fn of(target: &str, trusted: Option<Authority>) -> Result<Client, ClientError> {
        let (scheme, port, expected) = match &trusted {
            None => ("http", 80, "http://host:port"),
            Some(_) => ("https", 443, "https://host:port"),
        };
        let wrong = || ClientError::Target {
            target: target.to_owned(),
            expected,
        };
        let uri: Uri = target.parse().map_err(|_| wrong())?;
        if uri.scheme_str() != Some(scheme) || !matches!(uri.path(), "" | "/") {
            return Err(wrong());
        }
        let host = uri.host().ok_or_else(wrong)?;
        let authority = format!("{host}:{}", uri.port_u16().unwrap_or(port));
        Ok(Client {
            host: host.to_owned(),
            authority,
            trusted,
            authorization: None,
            idle: Mutex::new(Vec::new()),
        })
    }

    /// The same, showing a bearer token with every request (RFC 6750).
    ///
    /// # Panics
    /// When the token has characters that no header can have.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Client {
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        let mut value = value.expect("a token is visible ASCII");
        // It is not shown where a client is.
        value.set_sensitive(true);
        self.authorization = Some(value);
        self
    }

    pub(crate) fn failed(&self, reason: &dyn std::fmt::Display) -> ClientError {
        ClientError::Connection {
            target: self.authority.clone(),
            reason: reason.to_string(),
        }
    }

    /// A new connection, for whoever writes requests by hand.
    ///
    /// # Errors
    /// When nobody listens.
    pub(crate) async fn open(&self) -> Result<Stream, ClientError> {
        let stream = TcpStream::connect(&self.authority)
            .await
            .map_err(|error| self.failed(&error))?;
        stream
            .set_nodelay(true)
            .map_err(|error| self.failed(&error))?;
        Ok(stream)
    }

    /// The head of a POST, written by hand.
    pub(crate) fn write_head(
        &self,
        into: &mut Vec<u8>,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body_bytes: usize,
    ) {
        let mut push = |parts: &[&[u8]]| parts.iter().for_each(|part| into.extend_from_slice(part));
        push(&[
            method.as_bytes(),
            b" ",
            path.as_bytes(),
            b" HTTP/1.1\r\nhost: ",
        ]);
        push(&[self.authority.as_bytes(), b"\r\n"]);
        if let Some(authorization) = &self.authorization {
            push(&[b"authorization: ", authorization.as_bytes(), b"\r\n"]);
        }
        for (name, value) in headers {
            push(&[name.as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
        push(&[b"content-length: ", body_bytes.to_string().as_bytes()]);
        push(&[b"\r\n\r\n"]);
    }

    /// A new connection.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let stream = self.open().await?;
        match &self.trusted {
            None => self.agree(stream).await,
            Some(trusted) => {
                let secured = trusted.secure(&self.host, stream).await;
                self.agree(secured.map_err(|error| self.failed(&error))?)
                    .await
            }
        }
    }

    async fn agree(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.failed(&error))?;
        tokio::spawn(async move {
            // How it ends is seen by whoever sends on it.
            let _ = connection.await;
        });
        Ok(sender)
    }

    pub(crate) fn request(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Request<Full<Bytes>> {
        let mut builder = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.authority.as_str());
        let typed = headers
            .iter()
            .any(|(name, _)| *name == CONTENT_TYPE.as_str());
        if !body.is_empty() && !typed {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        if let Some(authorization) = &self.authorization {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder
            .body(Full::new(body))
            .expect("paths and headers of this crate are well formed")
    }

    /// Sends a request and waits for the whole answer, whatever its status.
    ///
    /// # Errors
    /// When the connection fails, also after it was opened again.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        let kept = self.idle.lock().pop();
        if let Some(mut sender) = kept
            && let Ok(answer) = self
                .exchange(&mut sender, &method, path, headers, body.clone())
                .await
        {
            self.idle.lock().push(sender);
            return Ok(answer);
        }
        let mut sender = self.connect().await?;
        let answer = self
            .exchange(&mut sender, &method, path, headers, body)
            .await?;
        self.idle.lock().push(sender);
        Ok(answer)
    }

    async fn exchange(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        let request = self.request(method, path, headers, body);
        let exchange = async {
            sender.ready().await.map_err(|error| self.failed(&error))?;
            let response = sender
                .send_request(request)
                .await
                .map_err(|error| self.failed(&error))?;
            let (parts, body) = response.into_parts();
            let body = body
                .collect()
                .await
                .map_err(|error| self.failed(&error))?
                .to_bytes();
            Ok(Answer {
                status: parts.status,
                headers: parts.headers,
                body,
            })
        };
        match tokio::time::timeout(REQUEST_TIMEOUT, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(self.failed(&"timed out")),
        }
    }

    /// Sends JSON and waits until the server is not too busy to answer.
    ///
    /// # Errors
    /// As [`Client::send`]; a server that stays busy is a failure too.
    pub async fn call<T: Serialize + ?Sized>(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<&T>,
    ) -> Result<Answer, ClientError> {
        let bytes =
            body.map(|body| serde_json::to_vec(body).expect("requests of this crate are JSON"));
        let bytes = Bytes::from(bytes.unwrap_or_default());
        let headers: Vec<(&str, &str)> = key
            .map(|key| ("idempotency-key", key))
            .into_iter()
            .collect();
        for _ in 0..BUSY_RETRIES_MAX {
            let answer = self
                .send(method.clone(), path, &headers, bytes.clone())
                .await?;
            if answer.status != StatusCode::TOO_MANY_REQUESTS {
                return Ok(answer);
            }
            tokio::time::sleep(answer.retry_after().min(Duration::from_millis(200))).await;
        }
        Err(self.failed(&"busy all the time"))
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// When there is no answer, or its status is not 200.
    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        let answer = self.call::<Value>(Method::GET, path, None, None).await?;
        expect_success(&Method::GET, path, answer)
    }

    /// Puts JSON.
    ///
    /// # Errors
    /// When there is no answer, or its status is no success.
    pub async fn put<T: Serialize + ?Sized>(
        &self,
        path: &str,
        body: &T,
    ) -> Result<Value, ClientError> {
        let answer = self.call(Method::PUT, path, None, Some(body)).await?;
        expect_success(&Method::PUT, path, answer)
    }

    /// Posts JSON under an idempotency key.
    ///
    /// # Errors
    /// When there is no answer, or its status is no success.
    pub async fn post<T: Serialize + ?Sized>(
        &self,
        path: &str,
        key: &str,
        body: &T,
    ) -> Result<Value, ClientError> {
        let answer = self.call(Method::POST, path, Some(key), Some(body)).await?;
        expect_success(&Method::POST, path, answer)
    }

    /// All items of a list, page by page; `each` gets them one by one.
    ///
    /// # Errors
    /// When a page cannot be had, or `each` fails.
    pub async fn each<E: From<ClientError>>(
        &self,
        path: &str,
        field: &str,
        mut each: impl FnMut(&Value) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut cursor: Option<String> = None;
        loop {
            let mark = if path.contains('?') { '&' } else { '?' };
            let next = cursor
                .as_deref()
                .map(|cursor| format!("&cursor={}", encoded(cursor)))
                .unwrap_or_default();
            let page = self.get(&format!("{path}{mark}limit=500{next}")).await?;
            let wrong = || ClientError::Body {
                path: path.to_owned(),
                reason: format!("no list {field}"),
            };
            for item in page[field].as_array().ok_or_else(wrong)? {
                each(item)?;
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(()),
            }
        }
    }

    /// The value of a metric without labels, if the server shows it.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn metric(&self, name: &str) -> Result<Option<f64>, ClientError> {
        let answer = self
            .call::<Value>(Method::GET, "/metrics", None, None)
            .await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let value = |line: &str| {
            line.strip_prefix(name)?
                .strip_prefix(' ')?
                .trim()
                .parse()
                .ok()
        };
        Ok(text.lines().find_map(value))
    }
}

/// A text as part of a path or query.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

pub(crate) fn expect_success(
    method: &Method,
    path: &str,
    answer: Answer,
) -> Result<Value, ClientError> {
    if !answer.status.is_success() {
        let mut body = String::from_utf8_lossy(&answer.body).into_owned();
        body.truncate(body.floor_char_boundary(600));
        let (method, path) = (method.clone(), path.to_owned());
        return Err(ClientError::Status {
            method,
            path,
            status: answer.status,
            body,
        });
    }
    Ok(answer.json())
}
