//! Parked orders, sourced together and released by the plans that come of it.
//!
//! In: how many. Out: those orders as they are then, and what all plans come to beside sourcing them
//! one by one. The wave is planned on this node's view of stock and room; each location's own answer
//! is the truth, as for any plan, and who is refused is sourced again as ever.

use std::collections::BTreeMap;
use std::sync::Arc;

use consign_domain::ids::{OrderId, Sku};
use consign_domain::money::Minor;
use consign_domain::order::{Order, OrderCommand, Plan, ShortageRule, SplitPolicy};
use consign_sourcing::{Inputs, Wave, WaveOrder, WavePlans, WaveStock, wave};
use tokio::task::JoinSet;

use crate::atlas::{Atlas, Need, Stock as _, Terms, Wants};
use crate::error::ServiceError;
use crate::lists::OrderFilter;
use crate::options::CallMeta;
use crate::service::{Consign, Views};
use crate::sourcing::assignments_of;

/// Orders of a wave that are told their plans at the same time.
const TOLD_AT_ONCE: usize = 64;

/// What a wave came to, in minor units by the active strategy's weights.
#[derive(Clone, Copy, Debug, Default)]
pub struct WaveFigures {
    /// Units that nobody serves.
    pub short: u64,
    /// What all plans cost.
    pub cost: Minor,
    /// The same, had the orders been sourced one by one.
    pub short_one_by_one: u64,
    /// The same.
    pub cost_one_by_one: Minor,
    /// What no plans of all of them cost less than, where that is known.
    pub bound: Option<Minor>,
}

/// Parked orders, released together.
#[derive(Clone, Debug, Default)]
pub struct ReleasedWave {
    /// As they are now, in the order in which they had a claim.
    pub orders: Vec<Arc<Order>>,
    /// What their plans came to.
    pub figures: WaveFigures,
    /// There are more parked orders behind it.
    pub next_cursor: Option<String>,
}

/// A wave, planned.
struct Planned {
    figures: WaveFigures,
    /// Whom to tell what, in the order of their claims.
    orders: Vec<(OrderId, OrderCommand)>,
}

impl Consign {
    /// Sources parked orders together, the oldest first to have a claim, at most `limit`, and releases
    /// each by its plan.
    ///
    /// # Errors
    /// When the cursor is not one of ours, the store cannot be read, or no order can be told.
    pub async fn release_parked_together(
        &self,
        cursor: Option<&str>,
        limit: usize,
        call: &CallMeta,
    ) -> Result<ReleasedWave, ServiceError> {
        let filter = OrderFilter {
            parked: Some(true),
            ..OrderFilter::default()
        };
        let found = self.orders(&filter, cursor, limit)?;
        let views = Arc::clone(&self.inner.views);
        let parked = found.items;
        // A thousand orders take most of a second: that is no work for a thread that serves others.
        let planned = self.threads().run(move || views.plan_wave(&parked)).await;
        let planned = planned.map_err(ServiceError::storage)?;
        let orders = self.tell_wave(planned.orders, call).await?;
        Ok(ReleasedWave {
            orders,
            figures: planned.figures,
            next_cursor: found.next_cursor,
        })
    }

    /// Tells orders their plans. One that cannot be told stays parked.
    async fn tell_wave(
        &self,
        orders: Vec<(OrderId, OrderCommand)>,
        call: &CallMeta,
    ) -> Result<Vec<Arc<Order>>, ServiceError> {
        let mut told: BTreeMap<usize, Arc<Order>> = BTreeMap::new();
        let mut failed = None;
        let mut waiting = orders.into_iter().enumerate();
        let mut tasks = JoinSet::new();
        loop {
            for (nth, (id, command)) in waiting.by_ref().take(TOLD_AT_ONCE - tasks.len()) {
                let consign = self.clone();
                // Told again, an order that is no longer parked stays as it is.
                let call = CallMeta {
                    key: None,
                    expected_version: None,
                    ..call.clone()
                };
                tasks.spawn(async move { (nth, consign.command(&id, command, call).await) });
            }
            let Some(ended) = tasks.join_next().await else {
                break;
            };
            match ended.map_err(ServiceError::storage)? {
                (nth, Ok(outcome)) => {
                    told.insert(nth, outcome.order);
                }
                (_, Err(error)) => {
                    tracing::warn!(%error, "an order of a wave stays parked");
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) if told.is_empty() => Err(error),
            _ => Ok(told.into_values().collect()),
        }
    }
}

impl Views {
    /// Sources orders together, by the active strategy.
    fn plan_wave(&self, parked: &[Arc<Order>]) -> Planned {
        let atlas = self.atlas.load();
        let mut skus: BTreeMap<Sku, u32> = BTreeMap::new();
        let mut orders: Vec<(&Order, WaveOrder)> = Vec::new();
        for order in parked {
            if let Some(asked) = self.wave_order(&atlas, order, &mut skus) {
                orders.push((order, asked));
            }
        }
        let (orders, asked): (Vec<&Order>, Vec<WaveOrder>) = orders.into_iter().unzip();
        let stock = self.wave_stock(&atlas, &skus);
        let planned = wave(&atlas.strategy, &asked, &stock);
        self.decisions.increment(asked.len() as u64);
        let told = |nth: &usize| {
            let plan = &planned.together.plans[*nth];
            let rule = rule_of(&atlas, orders[*nth], plan);
            let assigned = Plan {
                assignments: assignments_of(&atlas, &plan.decided.plan),
                inputs: consign_runtime::encode(&plan.inputs)
                    .expect("numbers and lists have bytes"),
            };
            let command = OrderCommand::ReleaseParkingWith {
                plan: Box::new(assigned),
                rule: Box::new(rule),
            };
            (orders[*nth].id.clone(), command)
        };
        Planned {
            figures: figures(&planned),
            orders: planned.sequence.iter().map(told).collect(),
        }
    }

    /// What an order asks of a wave; none of one that waits for nothing that can be sourced.
    fn wave_order(
        &self,
        atlas: &Atlas,
        order: &Order,
        skus: &mut BTreeMap<Sku, u32>,
    ) -> Option<WaveOrder> {
        let header = order.header.as_deref()?;
        let needs = needs_of(order);
        if needs.is_empty() {
            return None;
        }
        let split = match order.must_be_whole() {
            true => header.split,
            false => SplitPolicy::Allow,
        };
        let terms = Terms::of(header);
        let inputs: Inputs = self.inputs(atlas, Wants::of(atlas), &terms, split, &needs, &[]);
        // An order's inputs count its SKUs in byte order.
        let mut own: Vec<&Sku> = needs
            .iter()
            .flat_map(|need| need.parts)
            .map(|(sku, _)| sku)
            .collect();
        own.sort_unstable();
        own.dedup();
        let mut number = |sku: &Sku| {
            let next = skus.len() as u32;
            *skus.entry(sku.clone()).or_insert(next)
        };
        Some(WaveOrder {
            inputs,
            skus: own.into_iter().map(&mut number).collect(),
            priority: 0,
            promise: header.placed_at,
        })
    }

    fn wave_stock(&self, atlas: &Atlas, skus: &BTreeMap<Sku, u32>) -> WaveStock {
        let locations = atlas.ordinals().max().map_or(0, |last| last + 1);
        let mut by_number: Vec<&Sku> = skus.keys().collect();
        by_number.sort_unstable_by_key(|sku| skus[*sku]);
        let available = by_number.into_iter().flat_map(|sku| {
            let cells = self.availability.of(sku);
            (0..locations).map(move |ordinal| {
                let units = cells.at(ordinal).clamp(0, i64::from(u32::MAX));
                u32::try_from(units).unwrap_or(u32::MAX)
            })
        });
        let now = self.hosts().node.now();
        let room = |ordinal| {
            let units = self.rooms.at(ordinal, now).for_new_order();
            (units < u32::MAX).then_some((ordinal, units))
        };
        WaveStock {
            locations,
            available: available.collect(),
            room: atlas.ordinals().filter_map(room).collect(),
        }
    }
}

/// What waits of an order.
fn needs_of(order: &Order) -> Vec<Need<'_>> {
    let waiting = (0_u32..).zip(order.lines.iter().map(|line| line.units.backordered));
    let waiting: Vec<(u32, u32)> = waiting.filter(|(_, units)| *units > 0).collect();
    Need::of_some(order, &waiting)
}

fn rule_of(atlas: &Atlas, order: &Order, plan: &consign_sourcing::WavePlan) -> ShortageRule {
    let needs = needs_of(order);
    let skus = needs.iter().flat_map(|need| need.parts).map(|(sku, _)| sku);
    atlas.strategy.shortage(&plan.decided, skus)
}

fn figures(wave: &Wave) -> WaveFigures {
    let of = |plans: &WavePlans| (plans.short, plans.cost);
    let ((short, cost), (short_one_by_one, cost_one_by_one)) =
        (of(&wave.together), of(&wave.one_by_one));
    WaveFigures {
        short,
        cost,
        short_one_by_one,
        cost_one_by_one,
        bound: wave.bound,
    }
}
