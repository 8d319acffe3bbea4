//! What a replay came to: the draft's figures beside what happened.

use std::collections::BTreeMap;

use compact_str::CompactString;
use consign_domain::money::Minor;
use consign_domain::order::SplitPolicy;
use consign_sourcing::{Allotment, InputLine, Inputs, Price, RULE_VERSION, Strategy, price};
use serde::Serialize;

use super::course::{Course, Holding};
use super::replay::Replay;

/// Orders whose cost changed most that a report names.
const MOVED_MAX: usize = 20;

/// What plans came to, over all orders. Money is in minor units, by the draft's weights, for both sides
/// alike; orders of several currencies are added up as if they were one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// By all weights of the draft.
    pub cost: Minor,
    /// Of that, what carriers ask.
    pub rates: Minor,
    /// Of that, handling of shipments and lines.
    pub handling: Minor,
    /// Pairs of an order and a location that serves some of it.
    pub shipments: u64,
    /// Orders that more than one location serves.
    pub split_orders: u64,
    /// Kilometres of all shipments together.
    pub km: u64,
    /// Units that some location serves.
    pub units_served: u64,
    /// Units that wait in the end.
    pub units_waiting: u64,
    /// Orders whose first decision left something short.
    pub stockouts: u64,
    /// Units that first decisions left short.
    pub units_short_at_first: u64,
    /// Orders to which the draft promises a day for all that was ordered: nothing of them waits, and it
    /// knows how long their parcels are under way.
    pub orders_promised: u64,
    /// Days from an order's first decision to the last day that is promised it, of all those orders.
    pub promised_days: u64,
}

/// What a location serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LocationLoad {
    /// Its id.
    pub location: CompactString,
    /// Orders that it serves some of, as recorded.
    pub shipments_recorded: u64,
    /// By the draft.
    pub shipments_draft: u64,
    /// Units, as recorded.
    pub units_recorded: u64,
    /// By the draft.
    pub units_draft: u64,
}

/// What a rule's preferences cost: the plan that must be paid least is the one that ignores them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RuleRegret {
    /// The rule; none when no rule was for the order.
    pub rule: CompactString,
    /// Decisions that it made.
    pub decisions: u64,
    /// Of them, those that paid more than had to be.
    pub decisions_dearer: u64,
    /// Money lost against the optimum: carrier's rate, handling and splits, in minor units.
    pub money: Minor,
    /// Units that it left short and the optimum would have served.
    pub units_short: u64,
}

/// An order, as it was served and as the draft would serve it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MovedOrder {
    /// Its id.
    pub order: CompactString,
    /// Whether the same locations serve the same units of the same lines.
    #[serde(rename = "same")]
    pub is_same: bool,
    /// Who served it.
    pub recorded: Vec<CompactString>,
    /// Who would serve it.
    pub draft: Vec<CompactString>,
    /// Cost by the draft's weights, as it was served.
    pub cost_recorded: Minor,
    /// As it would be.
    pub cost_draft: Minor,
}

/// What a replay came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The strategy's name.
    pub strategy: CompactString,
    /// Orders placed in the window that need a location.
    pub orders: u64,
    /// Orders that the same locations serve with the same units of the same lines.
    pub orders_same: u64,
    /// Orders that they do not.
    pub orders_changed: u64,
    /// Decisions that the draft made.
    pub decisions: u64,
    /// What happened.
    pub recorded: Figures,
    /// What would have happened.
    pub draft: Figures,
    /// Location by location.
    pub locations: Vec<LocationLoad>,
    /// Rule by rule, in the draft's order.
    pub regret: Vec<RuleRegret>,
    /// Orders whose cost changed most.
    pub moved: Vec<MovedOrder>,
    /// All orders, in the order in which the recording first names them; not part of the report as JSON.
    #[serde(skip)]
    pub each: Vec<MovedOrder>,
    /// What was taken for granted.
    pub assumptions: &'static [&'static str],
}

/// What rules paid more than had to be paid.
#[derive(Debug)]
pub(super) struct Regrets {
    rules: Vec<RuleRegret>,
    no_rule: RuleRegret,
}

impl Regrets {
    pub(super) fn new(strategy: &Strategy) -> Regrets {
        let named = |rule: &consign_sourcing::Rule| RuleRegret {
            rule: rule.name.clone(),
            ..RuleRegret::default()
        };
        Regrets {
            rules: strategy.rules.iter().map(named).collect(),
            no_rule: RuleRegret::default(),
        }
    }

    pub(super) fn note(&mut self, rule: Option<usize>, money: Minor, units_short: u32) {
        let of = rule.and_then(|rule| self.rules.get_mut(rule));
        let regret = of.unwrap_or(&mut self.no_rule);
        regret.decisions += 1;
        regret.decisions_dearer += u64::from(money > 0);
        regret.money += money;
        regret.units_short += u64::from(units_short);
    }

    fn all(self) -> Vec<RuleRegret> {
        let mut all = self.rules;
        if self.no_rule.decisions > 0 {
            all.push(self.no_rule);
        }
        all
    }
}

impl Figures {
    fn note(&mut self, holding: &Holding, price: Price, waiting: u64) {
        self.units_waiting += waiting;
        if let Some(days) = price.days.filter(|_| waiting == 0) {
            self.orders_promised += 1;
            self.promised_days += u64::try_from(days).unwrap_or(0);
        }
        let locations = holding.locations();
        self.shipments += locations.len() as u64;
        self.split_orders += u64::from(locations.len() > 1);
        let units = holding.all().iter().map(|held| u64::from(held.units));
        self.units_served += units.sum::<u64>();
        self.cost = self.cost.saturating_add(price.cost);
        self.rates = self.rates.saturating_add(price.rates);
        self.handling = self.handling.saturating_add(price.handling);
        self.km += price.km;
    }
}

impl Replay<'_> {
    pub(super) fn report(self, strategy: &Strategy) -> Report {
        let mut report = Report {
            strategy: strategy.name.clone(),
            orders: 0,
            orders_same: 0,
            orders_changed: 0,
            decisions: self.decisions,
            recorded: Figures::default(),
            draft: Figures::default(),
            locations: Vec::new(),
            regret: Vec::new(),
            moved: Vec::new(),
            each: Vec::new(),
            assumptions: &super::ASSUMPTIONS,
        };
        let mut loads: BTreeMap<u32, LocationLoad> = BTreeMap::new();
        for (course, id) in self.courses.iter().zip(&self.recording.orders) {
            let Some([recorded_short, draft_short]) = course.first_short else {
                continue;
            };
            let (recorded, draft) = (&course.recorded, course.draft());
            let (then, now) = (self.priced(course, recorded), self.priced(course, draft));
            report.orders += 1;
            let waiting = course.all_waiting();
            let waiting: u64 = waiting.iter().map(|(_, n)| u64::from(*n)).sum();
            report
                .recorded
                .note(recorded, then, course.waiting_recorded());
            report.draft.note(draft, now, waiting);
            for (figures, short) in [
                (&mut report.recorded, recorded_short),
                (&mut report.draft, draft_short),
            ] {
                figures.stockouts += u64::from(short > 0);
                figures.units_short_at_first += u64::from(short);
            }
            load(&mut loads, recorded, false);
            load(&mut loads, draft, true);
            let is_same = sorted(recorded.allotments()) == sorted(draft.allotments());
            report.each.push(MovedOrder {
                order: id.as_str().into(),
                is_same,
                recorded: self.names(recorded),
                draft: self.names(draft),
                cost_recorded: then.cost,
                cost_draft: now.cost,
            });
            if is_same {
                report.orders_same += 1;
            } else {
                report.orders_changed += 1;
            }
        }
        let by = |moved: &MovedOrder| (moved.cost_draft - moved.cost_recorded).unsigned_abs();
        let mut moved: Vec<&MovedOrder> = report.each.iter().filter(|of| !of.is_same).collect();
        moved.sort_by(|a, b| by(b).cmp(&by(a)).then_with(|| a.order.cmp(&b.order)));
        moved.truncate(MOVED_MAX);
        report.moved = moved.into_iter().cloned().collect();
        report.locations = loads
            .into_iter()
            .map(|(ordinal, load)| LocationLoad {
                location: self.name(ordinal),
                ..load
            })
            .collect();
        report.regret = self.regrets.all();
        report
    }

    /// What it costs to have an order served so, by the draft's weights.
    fn priced(&self, course: &Course, holding: &Holding) -> Price {
        let line = |(nth, line): (u32, &super::course::LineCourse)| InputLine {
            line: nth,
            units: line.of.quantity,
            parts: Vec::new(),
            only: None,
        };
        let inputs = Inputs {
            rule_version: RULE_VERSION,
            strategy: self.atlas.strategy_number,
            split: SplitPolicy::Allow,
            lines: (0_u32..).zip(&course.lines).map(line).collect(),
            candidates: course.sites.values().copied().collect(),
            without_stock: Vec::new(),
            available: Vec::new(),
            excluded: Vec::new(),
            facts: course.facts.clone(),
        };
        price(&self.atlas.strategy, &inputs, &holding.allotments())
    }

    fn name(&self, ordinal: u32) -> CompactString {
        let spot = self.atlas.by_ordinal(ordinal);
        spot.map_or_else(CompactString::default, |spot| spot.id.as_str().into())
    }

    fn names(&self, holding: &Holding) -> Vec<CompactString> {
        let locations = holding.locations();
        locations.into_iter().map(|of| self.name(of)).collect()
    }
}

fn sorted(mut allotments: Vec<Allotment>) -> Vec<Allotment> {
    allotments.sort_unstable_by_key(|of| (of.line, of.ordinal));
    allotments
}

fn load(loads: &mut BTreeMap<u32, LocationLoad>, holding: &Holding, is_draft: bool) {
    for ordinal in holding.locations() {
        let load = loads.entry(ordinal).or_default();
        let own = holding.all().iter().filter(|held| held.ordinal == ordinal);
        let units: u64 = own.map(|held| u64::from(held.units)).sum();
        let (shipments, all) = match is_draft {
            true => (&mut load.shipments_draft, &mut load.units_draft),
            false => (&mut load.shipments_recorded, &mut load.units_recorded),
        };
        *shipments += 1;
        *all += units;
    }
}
