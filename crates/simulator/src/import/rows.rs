//! From a file's rows to the bodies of requests.
//!
//! In: CSV with a header row, or JSON Lines, gzipped or not. Out: one body a row, or a row's fault;
//! rows of one order become one body.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};

use super::{ImportError, ImportKind};

/// Bytes of a line of JSON Lines at most.
const LINE_BYTES_MAX: usize = 4 << 20;

/// A request made of one or several rows.
pub(super) struct Item {
    pub(super) line: u64,
    pub(super) made: Result<Value, String>,
}

pub(super) type Items = Box<dyn Iterator<Item = Result<Item, ImportError>> + Send>;

pub(super) fn items(kind: ImportKind, file: &Path) -> Result<Items, ImportError> {
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
    let mut body = numbers(fields, names)?;
    if kind == ImportKind::Products {
        split_traits(&mut body)?;
    }
    Ok(Value::Object(body))
}

/// Turns `fragile cold_chain` into a list, and `season=summer; size=xl` into values by name.
fn split_traits(body: &mut Map<String, Value>) -> Result<(), String> {
    if let Some(Value::String(text)) = body.get("handling") {
        let names: Vec<&str> = text.split_whitespace().collect();
        body.insert("handling".to_owned(), json!(names));
    }
    let Some(Value::String(text)) = body.get("attributes") else {
        return Ok(());
    };
    let mut attributes = Map::new();
    for pair in text.split(';').map(str::trim).filter(|it| !it.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(format!("attributes has no name=value: {pair}"));
        };
        let name = name.trim().to_owned();
        if attributes.contains_key(&name) {
            return Err(format!("attributes has {name} twice"));
        }
        attributes.insert(name, value.trim().into());
    }
    body.insert("attributes".to_owned(), attributes.into());
    Ok(())
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
    fn traits_are_split() {
        let rows = read(
            ImportKind::Products,
            "sku,name,handling,attributes\nA,Cod,cold_chain  fragile,season=winter; size = xl;\n\
             B,Mug,,\nC,Cup,,summer\nD,Pan,,a=1;a=2\n",
        );
        assert_eq!(
            rows[0],
            Ok(
                json!({"sku": "A", "name": "Cod", "handling": ["cold_chain", "fragile"],
                "attributes": {"season": "winter", "size": "xl"}})
            )
        );
        assert_eq!(rows[1], Ok(json!({"sku": "B", "name": "Mug"})));
        let reason = |reason: &str| Err(reason.to_owned());
        assert_eq!(rows[2], reason("attributes has no name=value: summer"));
        assert_eq!(rows[3], reason("attributes has a twice"));
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
