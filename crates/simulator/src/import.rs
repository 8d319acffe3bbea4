//! Definitions, stock and orders from files, row by row.
//!
//! In: a CSV file with a header row, or JSON Lines in the shape of the API. Out: what was taken, and
//! for each row that was not, its line and the server's reason. Importing a file again changes
//! nothing: definitions are put, everything else carries a key made of the row and its place.
//!
//! | kind | CSV columns (`*`: may be left out) |
//! |---|---|
//! | products | `sku,name,kind*,weight_grams*,handling*,attributes*`: `fragile cold_chain`, `season=summer; size=xl` |
//! | locations | `id,name,kind,country,latitude,longitude,time_zone` |
//! | inventory | `location,sku,quantity,reference*` |
//! | orders | one row a line, rows of one order together: `external_id,channel,currency,placed_at*,customer,country,latitude*,longitude*,service_level*,sku,quantity,unit_price` |

mod rows;

use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt;
use http::Method;
use serde::Serialize;
use serde_json::Value;

use crate::http::{Client, ClientError, encoded};
use rows::items;

/// Rows whose refusal is told in full.
const FAULTS_MAX: usize = 100;

/// What is imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportKind {
    /// Products.
    Products,
    /// Locations.
    Locations,
    /// Receipts of stock.
    Inventory,
    /// Orders.
    Orders,
}

/// What is imported from where to where.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// What.
    pub kind: ImportKind,
    /// `.csv` or `.jsonl` (also `.ndjson`), each also with `.gz`.
    pub file: PathBuf,
    /// `http://host:port`.
    pub target: String,
    /// Rows under way at once.
    pub concurrency: usize,
}

/// Why a file cannot be imported at all.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It cannot be read.
    #[error("cannot read {file}: {source}")]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its ending says neither CSV nor JSON Lines.
    #[error("{file} ends neither in .csv nor in .jsonl or .ndjson (.gz may follow)")]
    Ending {
        /// Which.
        file: PathBuf,
    },
    /// Its header row lacks a column.
    #[error("{file} has no column {column}")]
    Column {
        /// Which file.
        file: PathBuf,
        /// Which column.
        column: &'static str,
    },
    /// There is no answer.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// A row that was not taken.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    /// Its line in the file, from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// What an import came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ImportReport {
    /// Rows, or orders where rows make up orders.
    pub read: u64,
    /// Taken, now or by an earlier import of the same file.
    pub taken: u64,
    /// Not taken.
    pub failed: u64,
    /// The first of those.
    pub faults: Vec<Fault>,
}

/// Imports a file.
///
/// # Errors
/// When the file cannot be read or the target does not answer; a row's own fault is in the report.
pub async fn import(
    options: &ImportOptions,
    mut progress: impl FnMut(u64),
) -> Result<ImportReport, ImportError> {
    let client = Arc::new(Client::new(&options.target)?);
    let items = items(options.kind, &options.file)?;
    let mut report = ImportReport::default();
    let sending = futures::stream::iter(items.map(|item| {
        let client = Arc::clone(&client);
        let kind = options.kind;
        async move {
            let item = item?;
            let sent = match item.made {
                Ok(body) => send(&client, kind, item.line, &body).await?,
                Err(reason) => Err(reason),
            };
            Ok::<_, ImportError>((item.line, sent))
        }
    }));
    let mut sent = sending.buffered(options.concurrency.max(1));
    while let Some(result) = sent.next().await {
        let (line, outcome) = result?;
        report.read += 1;
        match outcome {
            Ok(()) => report.taken += 1,
            Err(reason) => {
                report.failed += 1;
                if report.faults.len() < FAULTS_MAX {
                    report.faults.push(Fault { line, reason });
                }
            }
        }
        progress(report.read);
    }
    Ok(report)
}

/// Sends one item; the inner result is the server's word on it.
async fn send(
    client: &Client,
    kind: ImportKind,
    line: u64,
    body: &Value,
) -> Result<Result<(), String>, ClientError> {
    let name = |field: &str| body[field].as_str().map(encoded);
    let (method, path) = match kind {
        ImportKind::Products => (
            Method::PUT,
            name("sku").map(|sku| format!("/v1/products/{sku}")),
        ),
        ImportKind::Locations => (
            Method::PUT,
            name("id").map(|id| format!("/v1/locations/{id}")),
        ),
        ImportKind::Inventory => (Method::POST, Some("/v1/inventory/receipts".to_owned())),
        ImportKind::Orders => (Method::POST, Some("/v1/orders".to_owned())),
    };
    let Some(path) = path else {
        return Ok(Err("it has no name".to_owned()));
    };
    let key = key(kind, line, body);
    let key = (method == Method::POST).then_some(key.as_str());
    let answer = client.call(method, &path, key, Some(body)).await?;
    if answer.status.is_success() {
        return Ok(Ok(()));
    }
    let problem = answer.json();
    let detail = problem["detail"].as_str().unwrap_or("no detail");
    Ok(Err(format!(
        "{} {}: {detail}",
        answer.status.as_u16(),
        problem["code"].as_str().unwrap_or("error")
    )))
}

/// The same row at the same place of a file has the same key (FNV-1a over both).
fn key(kind: ImportKind, line: u64, body: &Value) -> String {
    let text = format!("{kind:?}/{line}/{body}");
    let hash = |seed: u64| {
        text.bytes().fold(seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    format!(
        "import-{:016x}{:016x}",
        hash(0xcbf2_9ce4_8422_2325),
        hash(0x8422_2325_cbf2_9ce4)
    )
}
