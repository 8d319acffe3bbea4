//! The form of an HTTP/1.1 answer: a head, then a body of a known length or in chunks.
//!
//! In: what was read so far. Out: the head, once it is whole, and where the body lies, once that
//! is. Chunks are moved together where they lie.

use std::ops::Range;

use httparse::{EMPTY_HEADER, Response, Status, parse_chunk_size};

/// Fields that a head has at most.
const FIELDS_MAX: usize = 32;
/// The largest chunk.
const CHUNK_BYTES_MAX: u64 = 1 << 30;

/// What of a head is looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// Whether the connection ends with the answer.
    pub(super) closes: bool,
    /// Bytes of the body; none when it comes in chunks.
    length: Option<usize>,
    bytes: usize,
}

/// A body that is being read.
#[derive(Debug)]
pub(super) enum Body {
    /// It lies there.
    Known(Range<usize>),
    /// Chunks are whole up to `taken`, and lie from `from` to `to`.
    Chunked {
        from: usize,
        to: usize,
        taken: usize,
    },
}

/// Why an answer is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Malformed {
    #[error("the answer's head is malformed: {0}")]
    Head(httparse::Error),
    #[error("the answer has neither a length nor chunks")]
    Length,
    #[error("a chunk of the answer is malformed")]
    Chunk,
    #[error("there is more than the answer")]
    Beyond,
}

impl Head {
    /// The head, if it is whole.
    pub(super) fn parse(read: &[u8]) -> Result<Option<Head>, Malformed> {
        let mut fields = [EMPTY_HEADER; FIELDS_MAX];
        let mut response = Response::new(&mut fields);
        let bytes = match response.parse(read).map_err(Malformed::Head)? {
            Status::Complete(bytes) => bytes,
            Status::Partial => return Ok(None),
        };
        let status = response.code.unwrap_or_default();
        let (mut length, mut chunked, mut closes) = (None, false, false);
        for field in response.headers {
            let value = field.value.trim_ascii();
            if field.name.eq_ignore_ascii_case("content-length") {
                let text = std::str::from_utf8(value).map_err(|_| Malformed::Length)?;
                length = Some(text.parse().map_err(|_| Malformed::Length)?);
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = value.eq_ignore_ascii_case(b"chunked");
            } else if field.name.eq_ignore_ascii_case("connection") {
                closes = value.eq_ignore_ascii_case(b"close");
            }
        }
        match (chunked, length) {
            (true, _) => length = None,
            (false, Some(_)) => {}
            (false, None) if status == 204 || status == 304 => length = Some(0),
            (false, None) => return Err(Malformed::Length),
        }
        Ok(Some(Head {
            status,
            closes,
            length,
            bytes,
        }))
    }

    /// The body behind it, of which nothing was taken yet.
    pub(super) fn body(&self) -> Body {
        let from = self.bytes;
        match self.length {
            Some(length) => Body::Known(from..from.saturating_add(length)),
            None => Body::Chunked {
                from,
                to: from,
                taken: from,
            },
        }
    }
}

impl Body {
    /// Where the body lies in `read`, if all of it is there.
    pub(super) fn take(&mut self, read: &mut [u8]) -> Result<Option<Range<usize>>, Malformed> {
        let (whole, upto) = match self {
            Body::Known(range) => (range.clone(), range.end),
            Body::Chunked { from, to, taken } => {
                if !join_chunks(read, to, taken)? {
                    return Ok(None);
                }
                (*from..*to, *taken)
            }
        };
        match read.len() {
            there if there < upto => Ok(None),
            there if there > upto => Err(Malformed::Beyond),
            _ => Ok(Some(whole)),
        }
    }
}

/// Moves whole chunks from `taken` on to `to`; true when the last one is among them.
fn join_chunks(read: &mut [u8], to: &mut usize, taken: &mut usize) -> Result<bool, Malformed> {
    loop {
        let chunk = &read[*taken..];
        let Status::Complete((line, size)) =
            parse_chunk_size(chunk).map_err(|_| Malformed::Chunk)?
        else {
            return Ok(false);
        };
        if size > CHUNK_BYTES_MAX {
            return Err(Malformed::Chunk);
        }
        let size = usize::try_from(size).map_err(|_| Malformed::Chunk)?;
        let Some(end) = chunk.get(line + size..line + size + 2) else {
            return Ok(false);
        };
        if end != b"\r\n" {
            return Err(Malformed::Chunk);
        }
        let data = *taken + line;
        read.copy_within(data..data + size, *to);
        *to += size;
        *taken = data + size + 2;
        if size == 0 {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status and body of an answer that comes byte by byte.
    fn heard(answer: &str) -> Result<Option<(u16, String)>, Malformed> {
        let (mut read, mut head, mut body) = (Vec::new(), None, None);
        for byte in answer.bytes() {
            read.push(byte);
            if head.is_none() {
                head = Head::parse(&read)?;
                body = head.as_ref().map(Head::body);
            }
            if let (Some(head), Some(body)) = (&head, &mut body)
                && let Some(whole) = body.take(&mut read)?
            {
                let text = String::from_utf8_lossy(&read[whole]).into_owned();
                return Ok(Some((head.status, text)));
            }
        }
        Ok(None)
    }

    #[test]
    fn bodies_of_known_length_and_in_chunks_are_read() {
        let known = "HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(heard(known), Ok(Some((201, "hello".into()))));
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\nA\r\nlo, worlds\r\n0\r\n\r\n";
        assert_eq!(heard(chunked), Ok(Some((200, "hello, worlds".into()))));
        let empty = "HTTP/1.1 304 Not Modified\r\n\r\n";
        assert_eq!(heard(empty), Ok(Some((304, String::new()))));
        assert_eq!(heard(&known[..known.len() - 1]), Ok(None));
        assert_eq!(heard(&chunked[..chunked.len() - 1]), Ok(None));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let none = |text: &str| heard(text).expect_err("not an answer");
        assert!(matches!(none("SMTP ready\r\n\r\n"), Malformed::Head(_)));
        assert_eq!(none("HTTP/1.1 200 OK\r\n\r\n"), Malformed::Length);
        assert_eq!(
            none("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc"),
            Malformed::Chunk
        );
        let mut two = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab".to_vec();
        let head = Head::parse(&two).expect("a head").expect("a whole head");
        assert_eq!(head.body().take(&mut two), Err(Malformed::Beyond));
    }
}
