//! Whether what clients saw of a (location, SKU) is linearizable: as if each request had taken effect
//! at one moment between question and answer.
//!
//! The location's ledger of movements says in which order everything took effect, so nothing has to be
//! searched: the order must agree with what clients know about before and after, each movement must be
//! there once (L2, L3), each look must fit a moment, and nothing may be promised that is not there (L1).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::history::{Look, Records, Span};

/// A SKU's figures at a location.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Balance {
    on_hand: i64,
    reserved: i64,
    damaged: i64,
    safety_stock: i64,
}

/// One row of a ledger.
struct Row {
    reference: String,
    on_hand: i64,
    /// When clients asked for it, if they did.
    span: Option<Span>,
}

/// Judges one SKU at one location by its movements, oldest first.
///
/// # Errors
/// What cannot be.
pub fn judge(
    (location, sku): (&str, &str),
    movements: &[&Value],
    records: &Records,
) -> Result<(), String> {
    let place = format!("{sku} at {location}");
    let mut balances = vec![Balance::default()];
    let mut rows = Vec::new();
    for movement in movements {
        let delta = |name: &str| movement[name].as_i64().unwrap_or(i64::MIN / 4);
        let before = balances[balances.len() - 1];
        let after = Balance {
            on_hand: before.on_hand + delta("on_hand_delta"),
            reserved: before.reserved + delta("reserved_delta"),
            damaged: before.damaged + delta("damaged_delta"),
            safety_stock: before.safety_stock + delta("safety_stock_delta"),
        };
        let available = after.on_hand - after.damaged - after.reserved - after.safety_stock;
        if after.reserved > before.reserved && available < 0 {
            return Err(format!(
                "L1: {place} was promised beyond what was there: {movement}"
            ));
        }
        balances.push(after);
        let reference = movement["reference"].as_str().unwrap_or_default();
        rows.push(Row {
            reference: reference.to_owned(),
            on_hand: delta("on_hand_delta"),
            span: records.moves.get(reference).map(|moved| moved.span),
        });
    }
    each_once(&place, (location, sku), &rows, records)?;
    in_order(&place, &rows)?;
    let looks = records.looks.iter();
    let mut looks: Vec<&Look> = looks
        .filter(|look| look.location == location && look.sku == sku)
        .collect();
    looks.sort_by_key(|look| look.asked);
    looks_fit(&place, &rows, &balances, &looks)
}

/// Acknowledged movements are there once, others once or not at all.
fn each_once(
    place: &str,
    (location, sku): (&str, &str),
    rows: &[Row],
    records: &Records,
) -> Result<(), String> {
    let mut seen: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for row in rows {
        seen.entry(&row.reference).or_default().push(row.on_hand);
    }
    for (reference, moved) in &records.moves {
        if moved.location != location || moved.sku != sku {
            continue;
        }
        let found = seen.get(reference.as_str()).map_or(&[][..], Vec::as_slice);
        match found {
            [] if moved.span.answered.is_some() => {
                return Err(format!(
                    "L2: {place}: {reference} was acknowledged and is gone"
                ));
            }
            [] => {}
            [units] if *units == moved.units => {}
            more => {
                return Err(format!(
                    "L3: {place}: {reference} should move {} once, not {more:?}",
                    moved.units
                ));
            }
        }
    }
    Ok(())
}

/// What was answered before something else was asked took effect before it.
fn in_order(place: &str, rows: &[Row]) -> Result<(), String> {
    let mut latest_asked: Option<(Duration, &str)> = None;
    for row in rows {
        let Some(span) = row.span else { continue };
        if let (Some((asked, before)), Some(answered)) = (latest_asked, span.answered)
            && answered < asked
        {
            return Err(format!(
                "{place}: {} was answered before {before} was asked, and came after it",
                row.reference
            ));
        }
        if latest_asked.is_none_or(|(asked, _)| asked < span.asked) {
            latest_asked = Some((span.asked, &row.reference));
        }
    }
    Ok(())
}

/// Each look fits a moment: not before what was answered before it, nor before what an earlier look
/// saw, nor after what was asked after it.
fn looks_fit(
    place: &str,
    rows: &[Row],
    balances: &[Balance],
    looks: &[&Look],
) -> Result<(), String> {
    // By the time of the answer, how many rows that look has seen at least.
    let mut seen: Vec<(Duration, usize)> = Vec::new();
    for look in looks {
        let mut least = 0;
        let mut most = rows.len();
        for (nth, row) in rows.iter().enumerate() {
            let Some(span) = row.span else { continue };
            if span.answered.is_some_and(|answered| answered < look.asked) {
                least = nth + 1;
            }
            if span.asked > look.answered {
                most = most.min(nth);
            }
        }
        let earlier = seen.iter().filter(|(answered, _)| *answered < look.asked);
        let least = earlier.map(|(_, rows)| *rows).fold(least, usize::max);
        let fits = |nth: &usize| {
            let there = balances[*nth];
            there.on_hand == look.on_hand && there.reserved == look.reserved
        };
        let Some(moment) = (least..=most).find(fits) else {
            return Err(format!(
                "{place}: no moment between row {least} and row {most} looked like {look:?}; they \
                 were {:?}",
                balances.get(least..=most).unwrap_or_default()
            ));
        };
        seen.push((look.answered, moment));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::history::Move;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn row(reference: &str, on_hand: i64, reserved: i64) -> Value {
        json!({"reference": reference, "on_hand_delta": on_hand, "reserved_delta": reserved,
            "damaged_delta": 0, "safety_stock_delta": 0})
    }

    /// Two receipts, one after the other, and one that nobody was told of.
    fn records() -> Records {
        let mut records = Records::default();
        for (key, units, asked, answered) in [
            ("one", 5, 1.0, Some(2.0)),
            ("two", 3, 3.0, Some(4.0)),
            ("lost", 7, 3.5, None),
        ] {
            let span = Span {
                asked: seconds(asked),
                answered: answered.map(seconds),
            };
            let moved = Move {
                location: "LEEDS".to_owned(),
                sku: "A".to_owned(),
                units,
                span,
            };
            records.moves.insert(key.to_owned(), moved);
        }
        records
    }

    fn look(records: &mut Records, (asked, answered): (f64, f64), on_hand: i64) {
        records.looks.push(Look {
            location: "LEEDS".to_owned(),
            sku: "A".to_owned(),
            on_hand,
            reserved: 0,
            asked: seconds(asked),
            answered: seconds(answered),
        });
    }

    fn judged(rows: &[Value], records: &Records) -> Result<(), String> {
        let rows: Vec<&Value> = rows.iter().collect();
        judge(("LEEDS", "A"), &rows, records)
    }

    #[test]
    fn what_can_be_is_found_good() {
        let mut records = records();
        look(&mut records, (2.5, 2.6), 5);
        look(&mut records, (3.5, 3.6), 5);
        look(&mut records, (4.5, 4.6), 8);
        look(&mut records, (9.0, 9.1), 15);
        let rows = [row("one", 5, 0), row("two", 3, 0), row("lost", 7, 0)];
        judged(&rows, &records).expect("it can be");
    }

    #[test]
    fn what_cannot_be_is_found() {
        let good = || [row("one", 5, 0), row("two", 3, 0)];
        let fails = |rows: &[Value], records: &Records, why: &str| {
            let judged = judged(rows, records).expect_err(why);
            assert!(judged.contains(why), "{judged}");
        };
        fails(&good()[..1], &records(), "L2");
        let twice = [row("one", 5, 0), row("two", 3, 0), row("two", 3, 0)];
        fails(&twice, &records(), "L3");
        let [one, two] = good();
        fails(&[two, one], &records(), "came after it");
        let beyond = [row("one", 5, 0), row("two", 3, 0), row("", 0, 9)];
        fails(&beyond, &records(), "L1");
        // It saw the first receipt only, long after the second one was acknowledged.
        let mut stale = records();
        look(&mut stale, (5.0, 5.1), 5);
        fails(&good(), &stale, "no moment");
        // It saw the second receipt, and the next look no longer did.
        let mut back = records();
        look(&mut back, (3.1, 3.2), 8);
        look(&mut back, (3.3, 3.4), 5);
        fails(&good(), &back, "no moment");
    }
}
