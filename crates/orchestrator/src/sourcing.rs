//! Sourcing as an effect: gathers what a decision rests on, and asks `sourcing`.

use consign_domain::catalogue::Position;
use consign_domain::ids::{LocationId, OrderId, Sku};
use consign_domain::order::{Assignment, Header, NewLine, Order, Plan, ShortageRule, SplitPolicy};
use consign_sourcing::{Allotment, Inputs, Sourced, decide};

use crate::atlas::{Asked, Atlas, Need, Terms, Wants};
use crate::service::{Inner, Views};
use crate::view::AvailabilityOfSku;

impl Views {
    /// The answer to an order's wish to be sourced, and what the order is to be told of what is short:
    /// of a plan that leaves units short, whatever goes beyond what the order says itself; where the
    /// order gives up, in any case.
    pub(crate) fn plan(
        &self,
        order: &Order,
        units: &[(u32, u32)],
        excluded: &[(u32, LocationId)],
        gives_up: bool,
    ) -> (Plan, Option<ShortageRule>) {
        let Some(header) = order.header.as_ref() else {
            return (Plan::default(), gives_up.then(ShortageRule::default));
        };
        let needs = Need::of_some(order, units);
        let split = if order.must_be_whole() {
            header.split
        } else {
            SplitPolicy::Allow
        };
        self.decide(&order.id, header, split, &needs, excluded, gives_up)
    }

    fn decide(
        &self,
        order: &OrderId,
        header: &Header,
        split: SplitPolicy,
        needs: &[Need<'_>],
        excluded: &[(u32, LocationId)],
        gives_up: bool,
    ) -> (Plan, Option<ShortageRule>) {
        let atlas = self.atlas.load();
        let gather = |wants| self.inputs(&atlas, wants, &Terms::of(header), split, needs, excluded);
        let (inputs, decided, by) = match &atlas.trial {
            None => {
                let inputs = gather(Wants::of(&atlas));
                let decided = decide(&atlas.strategy, &inputs);
                (inputs, decided, &atlas.strategy)
            }
            Some(trying) => {
                let active = (atlas.strategy_number, &atlas.strategy);
                trying.decide(active, order, gather(trying.wants), &self.shadow)
            }
        };
        let asked = gives_up || !decided.plan.short.is_empty();
        let rule = asked.then(|| {
            let skus = needs.iter().flat_map(|need| need.parts).map(|(sku, _)| sku);
            by.shortage(&decided, skus)
        });
        let rule = rule.filter(|rule| gives_up || !rule.is_plain());
        let sourced = decided.plan;
        self.decisions.increment(1);
        let encoded = consign_runtime::encode(&inputs).expect("numbers and lists have bytes");
        let plan = Plan {
            assignments: assignments_of(&atlas, &sourced),
            inputs: encoded,
        };
        (plan, rule)
    }

    /// Who would serve it now.
    pub(crate) fn assignments(
        &self,
        terms: &Terms<'_>,
        split: SplitPolicy,
        needs: &[Need<'_>],
        excluded: &[(u32, LocationId)],
    ) -> Vec<Assignment> {
        let atlas = self.atlas.load();
        let inputs = self.inputs(&atlas, Wants::of(&atlas), terms, split, needs, excluded);
        assignments_of(&atlas, &decide(&atlas.strategy, &inputs).plan)
    }

    /// All that a decision rests on, as this node knows it now.
    pub(crate) fn inputs(
        &self,
        atlas: &Atlas,
        wants: Wants,
        terms: &Terms<'_>,
        split: SplitPolicy,
        needs: &[Need<'_>],
        excluded: &[(u32, LocationId)],
    ) -> Inputs {
        let there = |sku: &Sku| self.availability.of(sku);
        self.inputs_of(atlas, wants, terms, split, (needs, excluded), there)
    }

    /// The same, of stock as `there` says.
    pub(crate) fn inputs_of(
        &self,
        atlas: &Atlas,
        wants: Wants,
        terms: &Terms<'_>,
        split: SplitPolicy,
        (needs, excluded): (&[Need<'_>], &[(u32, LocationId)]),
        there: impl Fn(&Sku) -> AvailabilityOfSku,
    ) -> Inputs {
        let now = || self.hosts().node.now();
        let asked = Asked {
            wants,
            terms,
            split,
            needs,
            excluded,
        };
        let mut inputs = atlas.inputs(&asked, &self.catalogue.load(), now, there);
        self.rooms.bound(&mut inputs, now);
        inputs
    }
}

/// A plan with its locations by name.
pub(crate) fn assignments_of(atlas: &Atlas, plan: &Sourced) -> Vec<Assignment> {
    let assignment = |allotment: &Allotment| {
        let location = atlas.by_ordinal(allotment.ordinal)?.id.clone();
        Some(Assignment {
            line: allotment.line,
            location,
            quantity: allotment.units,
        })
    };
    plan.allotments.iter().filter_map(assignment).collect()
}

impl Inner {
    /// The first decision, made before the order is sent on its way: one write fewer. `None` when
    /// nothing needs a location, and when a rule has something to say of what is short: the order
    /// then asks, and hears both.
    pub(crate) fn first_plan(
        &self,
        order: &OrderId,
        header: &Header,
        lines: &[NewLine],
    ) -> Option<Plan> {
        let needs = Need::of_all(lines);
        // Absurd orders are refused by the order itself; here they only must do no harm.
        let sane = lines.len() <= consign_domain::order::ORDER_LINES_MAX
            && lines
                .iter()
                .all(|line| line.quantity <= consign_domain::order::LINE_UNITS_MAX);
        if !sane || needs.is_empty() {
            return None;
        }
        let (plan, rule) = self
            .views
            .decide(order, header, header.split, &needs, &[], false);
        rule.is_none().then_some(plan)
    }

    /// The first decision about what locations do not keep for the order already.
    pub(crate) fn rest_plan(
        &self,
        order: &OrderId,
        header: &Header,
        lines: &[NewLine],
        held: &[Assignment],
    ) -> Option<Plan> {
        let mut needs = Need::of_all(lines);
        for need in &mut needs {
            let kept = held.iter().filter(|kept| kept.line == need.line);
            let kept: u32 = kept.map(|kept| kept.quantity).sum();
            need.units = need.units.saturating_sub(kept);
        }
        needs.retain(|need| need.units > 0);
        if needs.is_empty() {
            return None;
        }
        let (plan, rule) = self
            .views
            .decide(order, header, header.split, &needs, &[], false);
        rule.is_none().then_some(plan)
    }
}

/// Positions are stored in orders to a hundredth of a degree, about a kilometre: enough to find the
/// nearest location, too coarse to find a home.
#[must_use]
pub fn coarse(position: Position) -> Position {
    const HUNDREDTH_E6: i32 = 10_000;
    let round = |millionths: i32| {
        let half = HUNDREDTH_E6 / 2 * millionths.signum();
        (millionths + half) / HUNDREDTH_E6 * HUNDREDTH_E6
    };
    Position {
        latitude_e6: round(position.latitude_e6),
        longitude_e6: round(position.longitude_e6),
    }
}
