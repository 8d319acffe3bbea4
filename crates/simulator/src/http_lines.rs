//! Long answers, line by line, as they come.

use bytes::{Bytes, BytesMut};
use http::Method;
use http_body_util::BodyExt;

use crate::http::{Answer, Client, ClientError, REQUEST_TIMEOUT, expect_success};

impl Client {
    /// Reads an answer of lines; `each` gets them one by one, without their ends. Each portion may take
    /// as long as a whole answer elsewhere.
    ///
    /// # Errors
    /// When there is no answer, its status is not 200, it breaks off, or `each` fails.
    pub async fn each_line<E: From<ClientError>>(
        &self,
        path: &str,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut sender = self.connect().await?;
        let request = self.request(&Method::GET, path, &[], Bytes::new());
        let response = self.in_time(sender.send_request(request)).await?;
        let (parts, mut body) = response.into_parts();
        if !parts.status.is_success() {
            let answer = Answer {
                status: parts.status,
                headers: parts.headers,
                body: self.in_time(body.collect()).await?.to_bytes(),
            };
            return Ok(expect_success(&Method::GET, path, answer).map(|_| ())?);
        }
        let mut rest = BytesMut::new();
        loop {
            let frame = async { body.frame().await.transpose() };
            let Some(frame) = self.in_time(frame).await? else {
                break;
            };
            rest.extend_from_slice(&frame.into_data().unwrap_or_default());
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.split_to(end + 1);
                each(&line[..end])?;
            }
        }
        match rest.is_empty() {
            true => Ok(()),
            false => each(&rest),
        }
    }

    async fn in_time<T, E: std::fmt::Display>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, ClientError> {
        match tokio::time::timeout(REQUEST_TIMEOUT, answer).await {
            Ok(answer) => answer.map_err(|error| self.failed(&error)),
            Err(_) => Err(self.failed(&"timed out")),
        }
    }
}
