//! What staff do with a fulfillment order: accept, reject, pick, pack, ship. Work on held units is
//! refused; repeats change nothing (L3).

use super::{Draft, hold, invalid, not_found, wrong_state};
use crate::order::command::{NewPackage, OrderCommand, OrderRejection, PickedLine};
use crate::order::event::{OrderEvent, PickReport, ReleaseWish};
use crate::order::logistics::{Attempt, FulfillmentOrder, FulfillmentStatus, Package};
use compact_str::{CompactString, format_compact};

/// Packages of one fulfillment order at most.
pub const PACKAGES_MAX: usize = 1_000;

fn find<'d>(draft: &'d Draft, number: u32) -> Result<&'d FulfillmentOrder, OrderRejection> {
    draft
        .order()
        .fulfillment_order(number)
        .ok_or_else(|| not_found("fulfillment order", number))
}

fn in_state(command: &str, status: FulfillmentStatus) -> OrderRejection {
    let state = match status {
        FulfillmentStatus::Scheduled => "scheduled",
        FulfillmentStatus::Open => "open",
        FulfillmentStatus::InProgress => "in_progress",
        FulfillmentStatus::Closed => "closed",
        FulfillmentStatus::Incomplete => "incomplete",
        FulfillmentStatus::Cancelled => "cancelled",
    };
    wrong_state(command, "fulfillment order", state)
}

/// The location takes it on.
pub(super) fn accept(draft: &mut Draft, number: u32) -> Result<(), OrderRejection> {
    let found = find(draft, number)?;
    if found.accepted {
        return Ok(());
    }
    hold::check(draft.order(), number, |_| false)?;
    if found.status != FulfillmentStatus::Open {
        return Err(in_state("accept", found.status));
    }
    draft.record(OrderEvent::FulfillmentOrderAccepted {
        fulfillment_order: number,
    });
    Ok(())
}

/// The location will not serve it: what is not picked is wanted back, to be sourced elsewhere.
pub(super) fn reject(
    draft: &mut Draft,
    number: u32,
    reason: &CompactString,
) -> Result<(), OrderRejection> {
    let found = find(draft, number)?;
    let of = |a: &&Attempt| a.fulfillment_order == Some(number) && a.granted;
    let attempts: Vec<&Attempt> = draft.order().attempts.iter().filter(of).collect();
    let wish = |a: &&&Attempt| a.movable() > 0;
    let releases: Vec<ReleaseWish> = attempts
        .iter()
        .filter(wish)
        .map(|a| ReleaseWish {
            attempt: a.number,
            line: a.line,
            cancel: a.cancel_requested,
            elsewhere: a.move_requested + a.movable(),
        })
        .collect();
    if releases.is_empty() {
        let under_way = attempts
            .iter()
            .any(|a| a.move_requested + a.cancel_requested > 0);
        if under_way || found.status == FulfillmentStatus::Cancelled {
            return Ok(());
        }
        return Err(super::too_late("fulfillment order", "picked"));
    }
    draft.record(OrderEvent::FulfillmentOrderRejected {
        fulfillment_order: number,
        reason: reason.clone(),
    });
    draft.record(OrderEvent::ReleaseRequested {
        releases,
        reason: reason.clone(),
    });
    Ok(())
}

/// Staff took units from the shelf, or did not find them. The location confirms it.
pub(super) fn pick(
    draft: &mut Draft,
    number: u32,
    lines: &[PickedLine],
) -> Result<(), OrderRejection> {
    let status = find(draft, number)?.status;
    let order = draft.order();
    let of = |a: &&Attempt| a.fulfillment_order == Some(number) && a.granted;
    let mut attempts: Vec<(&Attempt, u32)> = order
        .attempts
        .iter()
        .filter(of)
        .map(|a| (a, a.pickable()))
        .collect();
    attempts.sort_by_key(|(a, _)| (a.line, a.number));
    let touched = |index: u32| match lines {
        [] => attempts
            .iter()
            .any(|(a, left)| a.line == index && *left > 0),
        _ => lines.iter().any(|l| l.line == index),
    };
    hold::check(order, number, touched)?;
    if !matches!(
        status,
        FulfillmentStatus::Open | FulfillmentStatus::InProgress
    ) {
        return Err(in_state("pick", status));
    }
    let mut picks: Vec<PickReport> = Vec::new();
    if lines.is_empty() {
        let all = attempts.iter().filter(|(_, left)| *left > 0);
        picks.extend(all.map(|(a, left)| report(a, *left, 0)));
    }
    for asked in lines {
        let first = attempts.partition_point(|(a, _)| a.line < asked.line);
        let last = attempts.partition_point(|(a, _)| a.line <= asked.line);
        let of_line = &mut attempts[first..last];
        let available: u32 = of_line.iter().map(|(_, left)| *left).sum();
        let wanted = asked.quantity.saturating_add(asked.short);
        if wanted > available {
            let line = draft.line(asked.line)?.id.clone();
            return Err(OrderRejection::NotEnough {
                line,
                asked: wanted,
                available,
                state: "open".into(),
            });
        }
        let (mut found, mut missing) = (asked.quantity, asked.short);
        for (attempt, left) in of_line {
            let picked = found.min(*left);
            let short = missing.min(*left - picked);
            (found, missing, *left) = (found - picked, missing - short, *left - picked - short);
            add_report(&mut picks, attempt, picked, short);
        }
    }
    if !picks.is_empty() {
        draft.record(OrderEvent::PickReported {
            fulfillment_order: number,
            picks,
        });
    }
    Ok(())
}

fn report(attempt: &Attempt, picked: u32, short: u32) -> PickReport {
    PickReport {
        attempt: attempt.number,
        line: attempt.line,
        picked: attempt.pick_target + picked,
        short: attempt.short_target + short,
    }
}

/// Adds to the attempt's report, if a line was named before.
fn add_report(picks: &mut Vec<PickReport>, attempt: &Attempt, picked: u32, short: u32) {
    if picked + short == 0 {
        return;
    }
    match picks.iter_mut().rev().find(|p| p.attempt == attempt.number) {
        Some(report) => {
            report.picked += picked;
            report.short += short;
        }
        None => picks.push(report(attempt, picked, short)),
    }
}

/// Staff packed picked units.
pub(super) fn pack(
    draft: &mut Draft,
    number: u32,
    packages: &[NewPackage],
) -> Result<(), OrderRejection> {
    let found = find(draft, number)?;
    let first = found.packages.len() as u32 + 1;
    let packed = if packages.is_empty() {
        let items: Vec<(u32, u32)> = found
            .lines
            .iter()
            .filter(|l| l.picked > 0)
            .map(|l| (l.line, l.picked))
            .collect();
        if items.is_empty() {
            // Packed already, or nothing is there to be packed.
            let repeated = found.packages.iter().any(|p| p.shipment.is_none());
            return if repeated {
                Ok(())
            } else {
                Err(in_state("pack", found.status))
            };
        }
        vec![Package {
            number: first,
            items,
            weight_grams: 0,
            shipment: None,
        }]
    } else {
        check_packages(draft, found, packages)?;
        let numbered = packages.iter().zip(first..);
        let package = |(package, number): (&NewPackage, u32)| Package {
            number,
            items: package.items.iter().map(|i| (i.line, i.quantity)).collect(),
            weight_grams: package.weight_grams,
            shipment: None,
        };
        numbered.map(package).collect()
    };
    if found.packages.len() + packed.len() > PACKAGES_MAX {
        return Err(invalid("/packages", "too_many"));
    }
    let touched = |index: u32| {
        packed
            .iter()
            .flat_map(|p| &p.items)
            .any(|(line, _)| *line == index)
    };
    hold::check(draft.order(), number, touched)?;
    draft.numbers.extend(packed.iter().map(|p| p.number));
    draft.record(OrderEvent::UnitsPacked {
        fulfillment_order: number,
        packages: packed,
    });
    Ok(())
}

/// Whether the packages hold only what is picked.
fn check_packages(
    draft: &Draft,
    found: &FulfillmentOrder,
    packages: &[NewPackage],
) -> Result<(), OrderRejection> {
    let mut left: Vec<(u32, u32)> = found.lines.iter().map(|l| (l.line, l.picked)).collect();
    for (index, package) in packages.iter().enumerate() {
        if package.items.is_empty() {
            return Err(invalid(format_compact!("/packages/{index}/items"), "empty"));
        }
        for (position, item) in package.items.iter().enumerate() {
            if item.quantity == 0 {
                let pointer = format_compact!("/packages/{index}/items/{position}/quantity");
                return Err(invalid(pointer, "out_of_range"));
            }
            let at = left
                .binary_search_by_key(&item.line, |(line, _)| *line)
                .ok();
            let available = at.map_or(0, |at| left[at].1);
            let Some(at) = at.filter(|_| item.quantity <= available) else {
                let line = draft.line(item.line)?.id.clone();
                let state = "picked".into();
                return Err(OrderRejection::NotEnough {
                    line,
                    asked: item.quantity,
                    available,
                    state,
                });
            };
            left[at].1 -= item.quantity;
        }
    }
    Ok(())
}

/// Packages leave. Those that have left already are not sent again.
pub(super) fn ship(draft: &mut Draft, command: &OrderCommand) -> Result<(), OrderRejection> {
    let OrderCommand::Ship {
        fulfillment_order,
        packages,
        carrier,
        service,
        tracking_number,
    } = command
    else {
        return Ok(());
    };
    let number = *fulfillment_order;
    let found = find(draft, number)?;
    let mut leaving: Vec<&Package> = Vec::new();
    if packages.is_empty() {
        leaving.extend(found.packages.iter().filter(|p| p.shipment.is_none()));
    }
    for name in packages {
        let package = found.packages.iter().find(|p| p.number == *name);
        let package = package.ok_or_else(|| not_found("package", *name))?;
        if package.shipment.is_none() && leaving.iter().all(|p| p.number != *name) {
            leaving.push(package);
        }
    }
    if leaving.is_empty() {
        let of = |p: &&Package| packages.is_empty() || packages.contains(&p.number);
        let last = found
            .packages
            .iter()
            .filter(of)
            .filter_map(|p| p.shipment)
            .max();
        let last = last.ok_or_else(|| in_state("ship", found.status))?;
        draft.numbers.push(last);
        return Ok(());
    }
    let touched = |index: u32| {
        leaving
            .iter()
            .flat_map(|p| &p.items)
            .any(|(line, _)| *line == index)
    };
    hold::check(draft.order(), number, touched)?;
    let packages = leaving.iter().map(|p| p.number).collect();
    let shipment = draft.order().shipments.len() as u32 + 1;
    draft.record(OrderEvent::UnitsShipped {
        fulfillment_order: number,
        shipment,
        packages,
        carrier: carrier.clone(),
        service: service.clone(),
        tracking_number: tracking_number.clone(),
    });
    draft.numbers.push(shipment);
    Ok(())
}
