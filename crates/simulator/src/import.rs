//! Definitions, stock and orders from files, row by row.
//!
//! In: a CSV file with a header row, or JSON Lines in the shape of the API. Out: what was taken, and
//! for each row that was not, its line and the server's reason. Importing a file again changes
//! nothing: definitions are put, everything else carries a key made of the row and its place.
//!
//! | kind | CSV columns (`*`: may be left out) |
//! |---|---|
//! | products | `sku,name,kind*,weight_grams*` |
//! | locations | `id,name,kind,country,latitude,longitude,time_zone` |
//! | inventory | `location,sku,quantity,reference*` |
//! | orders | one row a line, rows of one order together: `external_id,channel,currency,placed_at*,customer,country,latitude*,longitude*,service_level*,sku,quantity,unit_price` |

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::GzDecoder;
use futures::StreamExt;
use http::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::http::{Client, ClientError, encoded};

/// Rows whose refusal is told in full.
const FAULTS_MAX: usize = 100;
/// Bytes of a line of JSON Lines at most.
const LINE_BYTES_MAX: usize = 4 << 20;

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

/// A request made of one or several rows.
struct Item {
    line: u64,
    made: Result<Value, String>,
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

type Items = Box<dyn Iterator<Item = Result<Item, ImportError>> + Send>;

fn items(kind: ImportKind, file: &Path) -> Result<Items, ImportError> {
    let name = file
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
        .to_ascii_lowercase();
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    let source = File::open(file).map_err(|source| ImportError::Read {
        file: file.to_owned(),
        source,
    })?;
    let reader: Box<dyn Read + Send> = if plain.len() < name.len() {
        Box::new(GzDecoder::new(source))
    } else {
        Box::new(source)
    };
    let ending = plain.rsplit('.').next().unwrap_or_default();
    match ending {
        "csv" => csv_items(kind, file, reader),
        "jsonl" | "ndjson" => Ok(json_items(file, reader)),
        _ => Err(ImportError::Ending {
            file: file.to_owned(),
        }),
    }
}

fn json_items(file: &Path, reader: Box<dyn Read + Send>) -> Items {
    let file = file.to_owned();
    let lines = (1..).zip(BufReader::new(reader).split(b'\n'));
    Box::new(lines.filter_map(move |(line, bytes)| {
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(source) => {
                return Some(Err(ImportError::Read {
                    file: file.clone(),
                    source,
                }));
            }
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        let made = if bytes.len() > LINE_BYTES_MAX {
            Err(format!("the line has more than {LINE_BYTES_MAX} bytes"))
        } else {
            serde_json::from_slice(&bytes).map_err(|error| format!("no JSON: {error}"))
        };
        Some(Ok(Item { line, made }))
    }))
}

fn csv_items(
    kind: ImportKind,
    file: &Path,
    reader: Box<dyn Read + Send>,
) -> Result<Items, ImportError> {
    let mut csv = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .from_reader(reader);
    let read = |error: csv::Error| ImportError::Read {
        file: file.to_owned(),
        source: error.into(),
    };
    let headers: Vec<String> = csv
        .headers()
        .map_err(read)?
        .iter()
        .map(str::to_ascii_lowercase)
        .collect();
    let needed: &[&'static str] = match kind {
        ImportKind::Products => &["sku", "name"],
        ImportKind::Locations => &[
            "id",
            "name",
            "kind",
            "country",
            "latitude",
            "longitude",
            "time_zone",
        ],
        ImportKind::Inventory => &["location", "sku", "quantity"],
        ImportKind::Orders => &[
            "external_id",
            "channel",
            "currency",
            "customer",
            "country",
            "sku",
            "quantity",
            "unit_price",
        ],
    };
    if let Some(column) = needed
        .iter()
        .find(|column| !headers.iter().any(|header| header == **column))
    {
        return Err(ImportError::Column {
            file: file.to_owned(),
            column,
        });
    }
    let rows = csv.into_records().map(move |record| row(&headers, record));
    Ok(match kind {
        ImportKind::Orders => Box::new(Grouped {
            rows: rows.peekable(),
        }),
        _ => Box::new(rows.map(move |row| {
            let Row { line, fields } = row;
            Ok(Item {
                line,
                made: fields.and_then(|fields| body(kind, &fields)),
            })
        })),
    })
}

/// A row's fields by column; empty ones are left out.
struct Row {
    line: u64,
    fields: Result<Map<String, Value>, String>,
}

fn row(headers: &[String], record: Result<csv::StringRecord, csv::Error>) -> Row {
    match record {
        Ok(record) => {
            let line = record.position().map_or(0, csv::Position::line);
            let filled = headers
                .iter()
                .zip(record.iter())
                .filter(|(_, text)| !text.is_empty());
            let fields = filled
                .map(|(name, text)| (name.clone(), Value::from(text)))
                .collect();
            Row {
                line,
                fields: Ok(fields),
            }
        }
        Err(error) => {
            let line = error.position().map_or(0, csv::Position::line);
            Row {
                line,
                fields: Err(format!("no CSV row: {error}")),
            }
        }
    }
}

/// Turns the columns that are numbers into numbers.
fn numbers(fields: &Map<String, Value>, names: &[&str]) -> Result<Map<String, Value>, String> {
    let mut body = fields.clone();
    for name in names {
        let Some(text) = fields.get(*name).and_then(Value::as_str) else {
            continue;
        };
        let number: Value =
            serde_json::from_str(text).map_err(|_| format!("{name} is no number: {text}"))?;
        if !number.is_number() {
            return Err(format!("{name} is no number: {text}"));
        }
        body.insert((*name).to_owned(), number);
    }
    Ok(body)
}

fn body(kind: ImportKind, fields: &Map<String, Value>) -> Result<Value, String> {
    let names: &[&str] = match kind {
        ImportKind::Products => &["weight_grams"],
        ImportKind::Locations => &["latitude", "longitude"],
        ImportKind::Inventory | ImportKind::Orders => &["quantity"],
    };
    numbers(fields, names).map(Value::Object)
}

/// Puts rows of one order together.
struct Grouped<I: Iterator<Item = Row>> {
    rows: std::iter::Peekable<I>,
}

impl<I: Iterator<Item = Row>> Iterator for Grouped<I> {
    type Item = Result<Item, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.rows.next()?;
        let fields = match first.fields {
            Ok(fields) => fields,
            Err(reason) => {
                return Some(Ok(Item {
                    line: first.line,
                    made: Err(reason),
                }));
            }
        };
        let mut lines = vec![order_line(&fields)];
        let same = |row: &Row| {
            let name = row
                .fields
                .as_ref()
                .ok()
                .and_then(|fields| fields.get("external_id"));
            name.is_some() && name == fields.get("external_id")
        };
        while let Some(Row {
            fields: Ok(next), ..
        }) = self.rows.next_if(|row| same(row))
        {
            lines.push(order_line(&next));
        }
        let lines: Result<Vec<Value>, String> = lines.into_iter().collect();
        let made = lines.and_then(|lines| order(&fields, lines));
        Some(Ok(Item {
            line: first.line,
            made,
        }))
    }
}

fn order_line(fields: &Map<String, Value>) -> Result<Value, String> {
    let of = numbers(fields, &["quantity"])?;
    Ok(
        json!({"sku": of.get("sku"), "quantity": of.get("quantity"), "unit_price": of.get("unit_price")}),
    )
}

fn order(fields: &Map<String, Value>, lines: Vec<Value>) -> Result<Value, String> {
    let of = numbers(fields, &["latitude", "longitude"])?;
    let mut ship_to = Map::new();
    for name in ["country", "latitude", "longitude"] {
        if let Some(value) = of.get(name) {
            ship_to.insert(name.to_owned(), value.clone());
        }
    }
    let standard = Value::from("standard");
    let mut order = json!({
        "external_id": of.get("external_id"), "channel": of.get("channel"), "currency": of.get("currency"),
        "customer": {"id": of.get("customer")}, "ship_to": ship_to,
        "service_level": of.get("service_level").unwrap_or(&standard), "lines": lines,
    });
    if let Some(placed_at) = of.get("placed_at") {
        order["placed_at"] = placed_at.clone();
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: ImportKind, text: &'static str) -> Vec<Result<Value, String>> {
        let items = csv_items(kind, Path::new("x.csv"), Box::new(text.as_bytes()))
            .expect("has its columns");
        items.map(|item| item.expect("reads").made).collect()
    }

    #[test]
    fn rows_of_one_order_become_one_order() {
        let orders = read(
            ImportKind::Orders,
            "external_id,channel,currency,customer,country,sku,quantity,unit_price\n\
             1,web,GBP,c,GB,A,2,1.50\n1,web,GBP,c,GB,B,1,2\n2,web,GBP,c,GB,A,x,1\n",
        );
        let first = orders[0].as_ref().expect("well formed");
        assert_eq!(
            (
                first["lines"].as_array().map(Vec::len),
                &first["lines"][1]["unit_price"]
            ),
            (Some(2), &json!("2"))
        );
        assert_eq!(
            orders[1].as_ref().expect_err("x is no number"),
            "quantity is no number: x"
        );
    }

    #[test]
    fn numbers_are_numbers_and_empty_columns_are_left_out() {
        let rows = read(
            ImportKind::Products,
            "sku,name,weight_grams\nA,Apple,120\nB,Pear,\n",
        );
        assert_eq!(
            rows[0],
            Ok(json!({"sku": "A", "name": "Apple", "weight_grams": 120}))
        );
        assert_eq!(rows[1], Ok(json!({"sku": "B", "name": "Pear"})));
    }

    #[test]
    fn a_missing_column_is_named() {
        let missing = csv_items(
            ImportKind::Inventory,
            Path::new("x.csv"),
            Box::new("sku\n".as_bytes()),
        );
        assert!(matches!(
            missing,
            Err(ImportError::Column {
                column: "location",
                ..
            })
        ));
    }
}
