//! Locations: movements against balances, reservations against orders.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::orders::{Promises, text};
use super::{Halt, VerifyReport, broken};
use crate::http::{Client, encoded};

/// The figures that movements sum to: the balance's name and the movement's.
const FIGURES: [(&str, &str); 5] = [
    ("on_hand", "on_hand_delta"),
    ("reserved", "reserved_delta"),
    ("picked", "picked_delta"),
    ("damaged", "damaged_delta"),
    ("safety_stock", "safety_stock_delta"),
];

pub(super) async fn count(
    client: &Client,
    report: &mut VerifyReport,
    mut promises: Promises,
    progress: &mut impl FnMut(&str, u64),
) -> Result<(), Halt> {
    let mut ids: Vec<String> = Vec::new();
    client
        .each(
            "/v1/locations",
            "locations",
            |location| -> Result<(), Halt> {
                ids.push(text(location, "id").to_owned());
                Ok(())
            },
        )
        .await?;
    for id in ids {
        balances(client, &id, report, &mut promises).await?;
        reservations(client, &id, report, &mut promises).await?;
        report.locations += 1;
        progress("locations", report.locations);
    }
    if let Some(((location, sku), units)) = promises.by_sku.iter().find(|(_, units)| **units != 0) {
        let what = format!(
            "orders count on {units} units of {sku} at {location} that are not reserved there"
        );
        return Err(broken(
            "L5",
            what,
            json!({"location": location, "sku": sku, "units": units}),
        ));
    }
    if let Some(((order, line, location), units)) =
        promises.by_line.iter().find(|(_, units)| **units != 0)
    {
        let what = format!(
            "order {order} counts on {units} units of line {line} at {location} that are not reserved"
        );
        return Err(broken(
            "L5",
            what,
            json!({"order": order, "location": location, "units": units}),
        ));
    }
    Ok(())
}

async fn balances(
    client: &Client,
    location: &str,
    report: &mut VerifyReport,
    promises: &mut Promises,
) -> Result<(), Halt> {
    let mut sums: HashMap<String, [i64; 5]> = HashMap::new();
    let path = format!("/v1/locations/{}", encoded(location));
    client
        .each(
            &format!("{path}/movements"),
            "movements",
            |movement| -> Result<(), Halt> {
                let sum = sums.entry(text(movement, "sku").to_owned()).or_default();
                for (figure, (_, delta)) in sum.iter_mut().zip(FIGURES) {
                    *figure += movement[delta].as_i64().unwrap_or(0);
                }
                report.movements += 1;
                Ok(())
            },
        )
        .await?;
    client
        .each(&format!("{path}/inventory"), "inventory", |item| -> Result<(), Halt> {
            report.balances += 1;
            let sku = text(item, "sku").to_owned();
            let sum = sums.remove(&sku).unwrap_or_default();
            check(location, &sku, item, sum)?;
            let promised = promises.by_sku.remove(&(location.to_owned(), sku.clone())).unwrap_or(0);
            let reserved = item["reserved"].as_i64().unwrap_or(0);
            if promised > reserved {
                let what = format!("orders count on {promised} units of {sku} at {location}, {reserved} are reserved");
                return Err(broken("L5", what, item.clone()));
            }
            Ok(())
        })
        .await?;
    match sums
        .into_iter()
        .find(|(_, sum)| sum.iter().any(|figure| *figure != 0))
    {
        Some((sku, sum)) => {
            let what = format!("{location} has movements of {sku} and no balance");
            Err(broken("L2", what, json!({"sums": sum})))
        }
        None => Ok(()),
    }
}

fn check(location: &str, sku: &str, item: &Value, sum: [i64; 5]) -> Result<(), Halt> {
    let figure = |name: &str| item[name].as_i64().unwrap_or(0);
    let shown = FIGURES.map(|(name, _)| figure(name));
    if shown != sum {
        let what = format!("the movements of {sku} at {location} do not sum to its balance");
        return Err(broken("L2", what, json!({"balance": item, "sums": sum})));
    }
    let available =
        figure("on_hand") - figure("damaged") - figure("reserved") - figure("safety_stock");
    if available != figure("available") {
        let what =
            format!("what is available of {sku} at {location} does not follow from its figures");
        return Err(broken("L1", what, item.clone()));
    }
    // A count may find that units which are picked already are not there; nothing else may.
    if figure("reserved") + figure("damaged") > figure("on_hand")
        && figure("reserved") > figure("picked")
    {
        return Err(broken(
            "L1",
            format!("more of {sku} is promised at {location} than is there"),
            item.clone(),
        ));
    }
    if figure("picked") > figure("reserved") || figure("damaged") < 0 {
        return Err(broken(
            "L1",
            format!("the figures of {sku} at {location} contradict each other"),
            item.clone(),
        ));
    }
    Ok(())
}

/// Every reservation belongs to a live order that counts on it.
async fn reservations(
    client: &Client,
    location: &str,
    report: &mut VerifyReport,
    promises: &mut Promises,
) -> Result<(), Halt> {
    let mut strangers: Vec<Value> = Vec::new();
    let path = format!("/v1/locations/{}/reservations", encoded(location));
    client
        .each(&path, "reservations", |reservation| -> Result<(), Halt> {
            report.reservations += 1;
            let order = text(reservation, "order").to_owned();
            let line = reservation["line"].as_u64().unwrap_or(u64::MAX);
            let units = reservation["units"].as_i64().unwrap_or(0);
            match promises
                .by_line
                .get_mut(&(order, line, location.to_owned()))
            {
                Some(promised) if *promised >= units => *promised -= units,
                _ => strangers.push(reservation.clone()),
            }
            Ok(())
        })
        .await?;
    match strangers.into_iter().next() {
        Some(reservation) => {
            let order = text(&reservation, "order");
            let what =
                format!("{location} keeps units for order {order}, which does not count on them");
            Err(broken("L5", what, reservation.clone()))
        }
        None => Ok(()),
    }
}
