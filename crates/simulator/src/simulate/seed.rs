//! Products, locations and stock for a run, and the recount after it.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::tally::Tally;
use super::workload::{FROM, TO, Workload};
use crate::http::{Client, ClientError, encoded};

/// Requests under way at once while seeding.
const SEEDERS: u64 = 128;
pub(super) async fn seed(
    client: &Arc<Client>,
    workload: &Arc<Workload>,
    progress: &mut impl FnMut(&str, u64, u64),
) -> Result<(), ClientError> {
    let opening = format!("/v1/products/{}", encoded(&workload.opening()));
    let size = format!(
        "Stock of {} products at {} locations",
        workload.skus, workload.locations
    );
    if workload.lasting {
        let there = client
            .call::<Value>(Method::GET, &opening, None, None)
            .await?;
        if there.json()["name"] == size.as_str() {
            return Ok(());
        }
    }
    let products = u64::from(workload.skus);
    let locations = u64::from(workload.locations);
    spread(client, workload, products, put_product, |done| {
        progress("products", done, products)
    })
    .await?;
    spread(client, workload, locations, put_location, |done| {
        progress("locations", done, locations)
    })
    .await?;
    let cells = products * locations;
    spread(client, workload, cells, receive, |done| {
        progress("stock", done, cells)
    })
    .await?;
    if workload.lasting {
        let body = json!({"sku": workload.opening(), "name": size});
        client.put(&opening, &body).await?;
    }
    Ok(())
}

/// Calls `one` for 0..count, [`SEEDERS`] at a time.
async fn spread<F>(
    client: &Arc<Client>,
    workload: &Arc<Workload>,
    count: u64,
    one: fn(Arc<Client>, Arc<Workload>, u64) -> F,
    mut progress: impl FnMut(u64),
) -> Result<(), ClientError>
where
    F: Future<Output = Result<(), ClientError>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for worker in 0..SEEDERS.min(count) {
        let (client, workload) = (Arc::clone(client), Arc::clone(workload));
        tasks.spawn(async move {
            let mut nth = worker;
            while nth < count {
                one(Arc::clone(&client), Arc::clone(&workload), nth).await?;
                nth += SEEDERS;
            }
            Ok::<u64, ClientError>((count - worker).div_ceil(SEEDERS))
        });
    }
    let mut done = 0;
    while let Some(joined) = tasks.join_next().await {
        done += joined.expect("seeders do not panic")?;
        progress(done);
    }
    Ok(())
}

async fn put_product(
    client: Arc<Client>,
    workload: Arc<Workload>,
    nth: u64,
) -> Result<(), ClientError> {
    let sku = workload.sku(nth as u32);
    let body = json!({"sku": sku, "name": format!("Product {nth}")});
    client
        .put(&format!("/v1/products/{}", encoded(&sku)), &body)
        .await
        .map(drop)
}

async fn put_location(
    client: Arc<Client>,
    workload: Arc<Workload>,
    nth: u64,
) -> Result<(), ClientError> {
    let id = workload.location(nth as u32);
    let along = nth as f64 / f64::from(workload.locations.max(2) - 1);
    let body = json!({
        "id": id, "name": format!("Location {nth}"), "kind": "warehouse", "country": "GB",
        "latitude": FROM.0 + along * (TO.0 - FROM.0),
        "longitude": FROM.1 + along * (TO.1 - FROM.1),
        "time_zone": "Europe/London",
    });
    client
        .put(&format!("/v1/locations/{}", encoded(&id)), &body)
        .await
        .map(drop)
}

async fn receive(
    client: Arc<Client>,
    workload: Arc<Workload>,
    nth: u64,
) -> Result<(), ClientError> {
    if workload.stock == 0 {
        return Ok(());
    }
    // Neighbouring requests go to different locations, which work side by side.
    let (location, sku) = (
        nth % u64::from(workload.locations),
        nth / u64::from(workload.locations),
    );
    let body = json!({
        "location": workload.location(location as u32), "sku": workload.sku(sku as u32),
        "quantity": workload.stock, "reference": "seed",
    });
    let key = workload.key(&format!("r{location}-{sku}"));
    client
        .post("/v1/inventory/receipts", &key, &body)
        .await
        .map(drop)
}

/// Units promised beyond what there was: by the answers, SKU by SKU against what was seeded, and
/// location by location by what the server says of itself; the greater of the two counts.
pub(super) async fn oversold(
    client: &Client,
    workload: &Workload,
    tally: &Tally,
) -> Result<u64, ClientError> {
    let seeded = u64::from(workload.stock) * u64::from(workload.locations);
    let by_answers: u64 = tally
        .reserved
        .values()
        .map(|units| units.saturating_sub(seeded))
        .sum();
    let mut by_inventory = 0;
    for nth in 0..workload.locations {
        let path = format!(
            "/v1/locations/{}/inventory",
            encoded(&workload.location(nth))
        );
        client
            .each(&path, "inventory", |item| -> Result<(), ClientError> {
                let figure = |name: &str| item[name].as_i64().unwrap_or(0);
                let beyond = figure("reserved") + figure("damaged") - figure("on_hand");
                by_inventory += u64::try_from(beyond).unwrap_or(0);
                Ok(())
            })
            .await?;
    }
    let lost = reserved_less_than_answered(client, workload, tally).await?;
    Ok(by_answers.max(by_inventory) + lost)
}

/// Units that answers promised and no location has reserved: promised all the same, so oversold.
/// Orders that were taken without their outcome may hold more than the answers say, never less.
async fn reserved_less_than_answered(
    client: &Client,
    workload: &Workload,
    tally: &Tally,
) -> Result<u64, ClientError> {
    if tally.completed > 0 {
        return Ok(0);
    }
    let mut missing = 0;
    for (sku, answered) in &tally.reserved {
        let inventory: Value = client
            .get(&format!("/v1/inventory/{}", encoded(sku)))
            .await?;
        let locations = inventory["locations"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let reserved: u64 = locations
            .iter()
            .filter_map(|at| at["reserved"].as_u64())
            .sum();
        missing += answered.saturating_sub(reserved);
    }
    debug_assert!(workload.skus > 0, "a run has products");
    Ok(missing)
}
