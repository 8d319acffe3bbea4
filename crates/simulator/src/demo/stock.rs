//! The shop's shelves: five locations, two carriers, every SKU as a product, and stock.
//!
//! In: a file and what its lines are taken as. Out: definitions, and receipts: first 80 % of each
//! SKU's demand, later the rest. Everything follows from the file, so that the same file always
//! gives the same receipts under the same keys.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use super::invoices::InvoiceFile;
use super::places::stable;
use super::plan::{Fate, Plan, is_gift_card};
use crate::http::{Client, ClientError, encoded};

/// Where stock lies: id, name, latitude, longitude.
pub(super) const LOCATIONS: [(&str, &str, f64, f64); 5] = [
    ("LEICESTER", "Leicester", 52.6386, -1.1317),
    ("GLASGOW", "Glasgow", 55.8651, -4.2576),
    ("BRISTOL", "Bristol", 51.4552, -2.5966),
    ("NORWICH", "Norwich", 52.6278, 1.2983),
    ("LEEDS", "Leeds", 53.7965, -1.5478),
];
/// Who carries at home.
pub(super) const CARRIER_HOME: &str = "island-post";
/// Who carries abroad.
pub(super) const CARRIER_ABROAD: &str = "channel-express";
/// The service of both.
pub(super) const SERVICE: &str = "standard";
/// A SKU lies at one to this many locations.
const HOMES_MAX: u64 = 3;
/// How much of the demand is there from the start, in percent.
const INITIAL_PERCENT: u64 = 80;
/// What comes later beyond the demand, so that units not found on the shelf are made up for.
const SPARE_UNITS: u64 = 2;
const SPARE_PERCENT: u64 = 2;

/// Units at a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) location: usize,
    pub(super) sku: u32,
    pub(super) units: u64,
}

/// The product that a service code is sold as: codes of the file may hold spaces, ids may not.
pub(super) fn service_sku(code: &str) -> String {
    code.replace(' ', "-")
}

/// The locations of a SKU; the first is its home.
pub(super) fn homes(code: &str) -> Vec<usize> {
    let hash = stable(code);
    let (first, count) = (hash % LOCATIONS.len() as u64, 1 + (hash >> 32) % HOMES_MAX);
    // Steps of two visit each of five once.
    (0..count)
        .map(|nth| ((first + 2 * nth) % LOCATIONS.len() as u64) as usize)
        .collect()
}

/// What arrives before the first order, and what arrives midway.
pub(super) fn receipts(file: &InvoiceFile, plan: &Plan) -> (Vec<Receipt>, Vec<Receipt>) {
    let mut wanted: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for (row, fate) in file.rows.iter().zip(&plan.fates) {
        let units = u64::from(row.quantity.unsigned_abs());
        match fate {
            Fate::Goods if !is_gift_card(file.code(row)) => {
                wanted.entry(row.sku).or_default().0 += units
            }
            // What was written off had been there.
            Fate::WriteOff => wanted.entry(row.sku).or_default().1 += units,
            _ => {}
        }
    }
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for (sku, (demand, written_off)) in wanted {
        let homes = homes(&file.skus[sku as usize].code);
        let initial = demand * INITIAL_PERCENT / 100;
        let each = initial / homes.len() as u64;
        for (nth, location) in homes.iter().copied().enumerate() {
            let home = initial - each * (homes.len() as u64 - 1) + written_off;
            let units = if nth == 0 { home } else { each };
            first.push(Receipt {
                location,
                sku,
                units,
            });
        }
        let spare = if demand > 0 {
            SPARE_UNITS + demand * SPARE_PERCENT / 100
        } else {
            0
        };
        rest.push(Receipt {
            location: homes[0],
            sku,
            units: demand - initial + spare,
        });
    }
    first.retain(|receipt| receipt.units > 0);
    rest.retain(|receipt| receipt.units > 0);
    (first, rest)
}

/// Defines locations, carriers and products. Defining them again changes nothing.
pub(super) async fn define(
    client: &Client,
    file: &InvoiceFile,
    plan: &Plan,
    concurrency: usize,
    progress: &mut impl FnMut(&str, u64, u64),
) -> Result<u64, ClientError> {
    for (id, name, latitude, longitude) in LOCATIONS {
        let body = json!({
            "id": id, "name": name, "kind": "warehouse", "country": "GB", "latitude": latitude,
            "longitude": longitude, "time_zone": "Europe/London",
        });
        client.put(&format!("/v1/locations/{id}"), &body).await?;
    }
    for (id, body) in carriers() {
        client.put(&format!("/v1/carriers/{id}"), &body).await?;
    }
    let products = products(file, plan);
    let count = products.len() as u64;
    let puts = products.into_iter().map(|(sku, body)| async move {
        client
            .put(&format!("/v1/products/{}", encoded(&sku)), &body)
            .await
            .map(drop)
    });
    let mut puts = stream::iter(puts).buffer_unordered(concurrency);
    let mut done = 0;
    while puts.try_next().await?.is_some() {
        done += 1;
        progress("products", done, count);
    }
    Ok(count)
}

fn carriers() -> [(&'static str, Value); 2] {
    let rates = |zone: &str, prices: [(u32, &str); 3]| -> Value {
        let rate = |(grams, price): (u32, &str)| json!({"service": SERVICE, "zone": zone, "up_to_grams": grams, "price": price});
        prices.map(rate).to_vec().into()
    };
    let home = json!({
        "id": CARRIER_HOME, "name": "Island Post", "currency": "GBP", "services": [SERVICE],
        "zones": [{"code": "home", "countries": ["GB", "JE"]}], "tracking_prefix": "IP",
        "rates": rates("home", [(2_000, "3.95"), (20_000, "8.50"), (1_000_000, "45.00")]),
    });
    let abroad = json!({
        "id": CARRIER_ABROAD, "name": "Channel Express", "currency": "GBP", "services": [SERVICE],
        "zones": [{"code": "world", "countries": ["*"]}], "tracking_prefix": "CX",
        "rates": rates("world", [(2_000, "9.90"), (20_000, "24.00"), (1_000_000, "180.00")]),
    });
    [(CARRIER_HOME, home), (CARRIER_ABROAD, abroad)]
}

fn products(file: &InvoiceFile, plan: &Plan) -> BTreeMap<String, Value> {
    let mut products = BTreeMap::new();
    for (row, fate) in file.rows.iter().zip(&plan.fates) {
        let sku = &file.skus[row.sku as usize];
        let (code, kind) = match fate {
            Fate::Goods if is_gift_card(&sku.code) => (sku.code.clone(), "gift_card"),
            Fate::Goods | Fate::WriteOff => (sku.code.clone(), "stocked"),
            Fate::Service => (service_sku(&sku.code), "service"),
            _ => continue,
        };
        products
            .entry(code)
            .or_insert_with(|| json!({"name": sku.name, "kind": kind}));
    }
    products
}

/// Books receipts. Booking them again changes nothing.
pub(super) async fn receive(
    client: &Client,
    file: &InvoiceFile,
    receipts: &[Receipt],
    reference: &str,
    concurrency: usize,
    progress: &mut impl FnMut(&str, u64, u64),
) -> Result<u64, ClientError> {
    let posts = receipts.iter().map(|receipt| async move {
        let location = LOCATIONS[receipt.location].0;
        let sku = &file.skus[receipt.sku as usize].code;
        let body = json!({"location": location, "sku": sku, "quantity": receipt.units, "reference": reference});
        let key = format!("demo-{:016x}-{reference}-{location}-{sku}", file.digest);
        client.post("/v1/inventory/receipts", &key, &body).await.map(drop)
    });
    // Neighbours in the list lie at different locations, which work side by side.
    let mut posts = stream::iter(posts).buffer_unordered(concurrency);
    let (mut done, count) = (0, receipts.len() as u64);
    while posts.try_next().await?.is_some() {
        done += 1;
        progress(reference, done, count);
    }
    Ok(receipts.iter().map(|receipt| receipt.units).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_fifths_first_and_enough_in_the_end() {
        let file = InvoiceFile::open(None).expect("the embedded week");
        let plan = Plan::of(&file);
        let (first, rest) = receipts(&file, &plan);
        let sum =
            |receipts: &[Receipt]| receipts.iter().map(|receipt| receipt.units).sum::<u64>() as f64;
        let ordered = file
            .rows
            .iter()
            .zip(&plan.fates)
            .filter(|(_, fate)| **fate == Fate::Goods);
        let demand = ordered.map(|(row, _)| f64::from(row.quantity)).sum::<f64>();
        assert!(
            (0.7..0.85).contains(&(sum(&first) / demand)),
            "{} of {demand}",
            sum(&first)
        );
        assert!(sum(&first) + sum(&rest) > demand);
        for nth in 0..LOCATIONS.len() {
            assert!(
                first.iter().any(|receipt| receipt.location == nth),
                "every location has something"
            );
        }
        let mut counts = [0; 4];
        for sku in &file.skus {
            let mut homes = homes(&sku.code);
            homes.sort_unstable();
            homes.dedup();
            counts[homes.len()] += 1;
        }
        assert!(
            counts[0] == 0 && counts[1..].iter().all(|count| *count > 500),
            "{counts:?}"
        );
    }
}
