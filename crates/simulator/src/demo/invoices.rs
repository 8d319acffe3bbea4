//! A file of invoice lines, as the Online Retail data set has them.
//!
//! In: CSV (`InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country`),
//! also packed by gzip. Out: every line, by invoice; texts are kept once, so that a year fits in a
//! few tens of megabytes. A line that is not understood is kept by its count and, if it can be told,
//! its amount: nothing of the file is lost.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use super::DemoError;
use super::countries;
use super::places::stable_from;

const WEEK: &[u8] = include_bytes!("../../data/online-retail-week.csv.gz");
const WEEK_NAME: &str = "online-retail-week.csv.gz";
const COLUMNS: [&str; 8] = [
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
];
/// Where invoice times are local.
const ZONE: &str = "Europe/London";

/// A line of the file.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Its line in the file, counted from 1 with the header: also its id in the order.
    pub(super) number: u32,
    pub(super) invoice: u32,
    pub(super) sku: u32,
    pub(super) quantity: i32,
    pub(super) price: Decimal,
}

impl Row {
    /// What it adds to the file's total.
    pub(super) fn amount(&self) -> Decimal {
        self.price * Decimal::from(self.quantity)
    }
}

/// An invoice. Its lines may be a minute apart: the first says when.
#[derive(Clone, Debug)]
pub(super) struct Invoice {
    pub(super) number: String,
    pub(super) at: Timestamp,
    pub(super) day: Date,
    pub(super) customer: Option<String>,
    pub(super) country: Option<&'static str>,
    pub(super) rows: Vec<u32>,
}

impl Invoice {
    /// Who the order is for; who has no number is a stranger each time.
    pub(super) fn customer_id(&self) -> String {
        self.customer
            .clone()
            .unwrap_or_else(|| format!("guest-{}", self.number))
    }
}

/// A stock code. Codes that differ only in case are different ones.
#[derive(Clone, Debug)]
pub(super) struct Sku {
    pub(super) code: String,
    /// Its first description, or its code.
    pub(super) name: String,
}

/// A whole file.
#[derive(Debug, Default)]
pub(super) struct InvoiceFile {
    pub(super) name: String,
    /// What keys are derived from: the same file gives the same ones.
    pub(super) digest: u64,
    pub(super) rows: Vec<Row>,
    pub(super) invoices: Vec<Invoice>,
    pub(super) skus: Vec<Sku>,
    /// Lines that are not understood.
    pub(super) malformed_lines: u64,
    /// What they come to, as far as they say.
    pub(super) malformed_amount: Decimal,
}

impl InvoiceFile {
    /// The given file, or the week that is part of the program.
    pub(super) fn open(path: Option<&Path>) -> Result<InvoiceFile, DemoError> {
        let Some(path) = path else {
            return InvoiceFile::read(MultiGzDecoder::new(WEEK), WEEK_NAME);
        };
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| DemoError::file(&name, &error))?;
        let file = BufReader::new(file);
        if path.extension().is_some_and(|extension| extension == "gz") {
            InvoiceFile::read(MultiGzDecoder::new(file), &name)
        } else {
            InvoiceFile::read(file, &name)
        }
    }

    fn read(source: impl Read, name: &str) -> Result<InvoiceFile, DemoError> {
        let wrong = |reason: &dyn std::fmt::Display| DemoError::file(name, reason);
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(source);
        let header = reader.headers().map_err(|error| wrong(&error))?;
        if header
            .iter()
            .map(|column| column.trim_start_matches('\u{feff}'))
            .ne(COLUMNS)
        {
            return Err(wrong(&format!("its columns are not {}", COLUMNS.join(","))));
        }
        let zone = TimeZone::get(ZONE).map_err(|error| wrong(&error))?;
        let mut loading = Loading {
            zone,
            ..Loading::new(name)
        };
        let mut record = csv::ByteRecord::new();
        while reader
            .read_byte_record(&mut record)
            .map_err(|error| wrong(&error))?
        {
            loading.take(&record);
        }
        if loading.file.rows.is_empty() {
            return Err(wrong(&"it has no line that is an invoice line"));
        }
        Ok(loading.file)
    }

    /// Lines, understood or not.
    pub(super) fn lines(&self) -> u64 {
        self.rows.len() as u64 + self.malformed_lines
    }

    /// The sum of quantity × price over all lines.
    pub(super) fn amount(&self) -> Decimal {
        self.rows.iter().map(Row::amount).sum::<Decimal>() + self.malformed_amount
    }

    pub(super) fn invoice(&self, row: &Row) -> &Invoice {
        &self.invoices[row.invoice as usize]
    }

    pub(super) fn code(&self, row: &Row) -> &str {
        &self.skus[row.sku as usize].code
    }
}

/// A file while it is read.
struct Loading {
    file: InvoiceFile,
    zone: TimeZone,
    invoices: HashMap<String, u32>,
    skus: HashMap<String, u32>,
    number: u32,
}

impl Loading {
    fn new(name: &str) -> Loading {
        let file = InvoiceFile {
            name: name.to_owned(),
            ..InvoiceFile::default()
        };
        Loading {
            file,
            zone: TimeZone::UTC,
            invoices: HashMap::new(),
            skus: HashMap::new(),
            number: 1,
        }
    }

    fn take(&mut self, record: &csv::ByteRecord) {
        self.number += 1;
        for field in record {
            self.file.digest = stable_from(self.file.digest, field);
        }
        let field = |nth: usize| {
            String::from_utf8_lossy(record.get(nth).unwrap_or_default())
                .trim()
                .to_owned()
        };
        let quantity: Option<i32> = field(3).parse().ok();
        let price = Decimal::from_str_exact(&field(5)).ok();
        let at = field(4).parse::<DateTime>().ok();
        let (Some(quantity), Some(price), Some(at), true) = (
            quantity,
            price,
            at,
            !field(0).is_empty() && !field(1).is_empty(),
        ) else {
            self.file.malformed_lines += 1;
            let amount = quantity
                .zip(price)
                .map(|(quantity, price)| Decimal::from(quantity) * price);
            self.file.malformed_amount += amount.unwrap_or_default();
            return;
        };
        let sku = self.sku(field(1), &field(2));
        let invoice = self.invoice(field(0), at, &field(6), &field(7));
        self.file.invoices[invoice as usize]
            .rows
            .push(self.file.rows.len() as u32);
        self.file.rows.push(Row {
            number: self.number,
            invoice,
            sku,
            quantity,
            price,
        });
    }

    fn sku(&mut self, code: String, description: &str) -> u32 {
        let skus = &mut self.file.skus;
        let nth = *self.skus.entry(code.clone()).or_insert_with(|| {
            skus.push(Sku {
                name: code.clone(),
                code,
            });
            skus.len() as u32 - 1
        });
        let sku = &mut skus[nth as usize];
        if sku.name == sku.code && !description.is_empty() {
            description.clone_into(&mut sku.name);
        }
        nth
    }

    fn invoice(&mut self, number: String, at: DateTime, customer: &str, country: &str) -> u32 {
        let invoices = &mut self.file.invoices;
        let zone = &self.zone;
        *self.invoices.entry(number.clone()).or_insert_with(|| {
            // A local time that there is twice is the first of the two; one that there is not is
            // moved by the gap. Either way the same text gives the same moment.
            let moment = zone
                .to_ambiguous_timestamp(at)
                .compatible()
                .unwrap_or(Timestamp::UNIX_EPOCH);
            let customer = customer.strip_suffix(".0").unwrap_or(customer);
            invoices.push(Invoice {
                number,
                at: moment,
                day: at.date(),
                customer: Some(customer.to_owned()).filter(|customer| !customer.is_empty()),
                country: countries::code(country),
                rows: Vec::new(),
            });
            invoices.len() as u32 - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";

    #[test]
    fn the_week_is_whole() {
        let week = InvoiceFile::open(None).expect("the embedded week");
        assert_eq!(week.lines(), 16_985);
        assert_eq!(week.malformed_lines, 0);
        assert_eq!(week.amount(), Decimal::new(28_076_648, 2));
        assert_eq!(week.invoices.len(), 757);
        assert_eq!(
            week.skus.len(),
            2_334,
            "also those that differ only in case"
        );
        assert_eq!(week.rows[0].number, 2);
        assert_eq!(week.invoices[0].customer_id(), "17850");
        assert_eq!(week.invoices[0].at.to_string(), "2010-12-01T08:26:00Z");
    }

    #[test]
    fn summer_time_and_broken_lines() {
        let text = format!(
            "{HEADER}1,A,,2,2011-07-01 09:00:00,1.255,1.0,EIRE\n2,A,Thing,x,2011-07-01 09:00:00,1,,France\n\
             3,a,,-4,never,0.5,,France\n2011,B\n"
        );
        let file = InvoiceFile::read(text.as_bytes(), "text").expect("a file");
        assert_eq!((file.lines(), file.malformed_lines), (4, 3));
        assert_eq!(file.amount(), Decimal::new(51, 2));
        assert_eq!(file.invoices[0].at.to_string(), "2011-07-01T08:00:00Z");
        assert_eq!(file.invoices[0].country, Some("IE"));
        assert!(InvoiceFile::read("a,b\n1,2\n".as_bytes(), "text").is_err());
    }
}
