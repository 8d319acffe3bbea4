//! Sourcing as an effect: gathers what a decision rests on, asks `sourcing`, and explains decisions
//! afterwards from the inputs that were recorded with them (L9).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use compact_str::{CompactString, format_compact};
use consign_domain::catalogue::{BUILT_IN, CarrierDefinition, Catalogue, Position};
use consign_domain::ids::{LocationId, OrderId, Sku};
use consign_domain::money::{AMOUNT_MAX, Minor, UnitPrice};
use consign_domain::order::{
    Assignment, Destination, Fulfilment, Header, NewLine, Order, OrderEvent, Plan, SplitPolicy,
};
use consign_domain::time::Timestamp;
use consign_sourcing::{
    Candidate, Compiled, Explanation, Facts, InputLine, Inputs, LineFacts, Place, RULE_VERSION,
    decide, explain,
};

use crate::error::ServiceError;
use crate::service::{Consign, Inner, Views};
use crate::strategies;
use crate::view::AvailabilityOfSku;

/// Kilometres assumed to a location in the destination's country, and elsewhere, for orders that
/// do not say where they go.
const UNKNOWN_KM: (u32, u32) = (0, 10_000);
/// Locations that one decision looks at: the nearest.
const CANDIDATES_MAX: usize = 256;
/// Grams assumed of a parcel when rates are compared: the weight break that most small parcels share.
const PARCEL_GRAMS: u32 = 1_000;

/// Where locations are, what carriers ask, and how orders are sourced, ready for many decisions.
#[derive(Debug, Default)]
pub(crate) struct Atlas {
    strategy: Compiled,
    /// Its number; 0 for the built-in one.
    strategy_number: u32,
    locations: Vec<Spot>,
    carriers: Vec<CarrierDefinition>,
}

#[derive(Debug)]
struct Spot {
    id: LocationId,
    ordinal: u32,
    active: bool,
    country: CompactString,
    place: Place,
}

impl Atlas {
    pub(crate) fn of(catalogue: &Catalogue) -> Atlas {
        let spot = |definition: &consign_domain::catalogue::LocationDefinition| Spot {
            id: definition.id.clone(),
            ordinal: definition.ordinal,
            active: definition.active,
            country: definition.country.clone(),
            place: Place::of(definition.position),
        };
        let mut locations: Vec<Spot> = catalogue.locations().map(spot).collect();
        locations.sort_unstable_by_key(|spot| spot.ordinal);
        let (strategy_number, strategy) = strategies::active(catalogue);
        Atlas {
            strategy,
            strategy_number,
            locations,
            carriers: catalogue.carriers().cloned().collect(),
        }
    }

    pub(crate) fn ordinals(&self) -> impl Iterator<Item = u32> {
        self.locations
            .iter()
            .filter(|spot| spot.active)
            .map(|spot| spot.ordinal)
    }

    fn by_ordinal(&self, ordinal: u32) -> Option<&Spot> {
        let at = self
            .locations
            .binary_search_by_key(&ordinal, |spot| spot.ordinal)
            .ok()?;
        self.locations.get(at)
    }

    fn by_id(&self, id: &LocationId) -> Option<&Spot> {
        self.locations.iter().find(|spot| spot.id == *id)
    }

    /// Sorts the active locations into those that may serve, the nearest where there are too many,
    /// and those that have nothing of it.
    fn ask(
        &self,
        inputs: &mut Inputs,
        destination: &Destination,
        service: &str,
        has_any: impl Fn(u32) -> bool,
    ) {
        let place = destination.position.map(Place::of);
        let quote = |carrier| {
            consign_domain::carrier::quote(carrier, service, &destination.country, PARCEL_GRAMS)
        };
        // Rate tables know destinations, not origins: one rate for all, until carriers have several.
        let rate: Option<Minor> = self.carriers.iter().filter_map(quote).min();
        let km = |spot: &Spot| match place {
            Some(place) => spot.place.km_to(&place),
            None if spot.country == destination.country => UNKNOWN_KM.0,
            None => UNKNOWN_KM.1,
        };
        inputs.candidates.reserve(self.locations.len());
        for spot in self.locations.iter().filter(|spot| spot.active) {
            if has_any(spot.ordinal) {
                inputs.candidates.push(Candidate {
                    ordinal: spot.ordinal,
                    km: km(spot),
                    rate,
                });
            } else {
                inputs.note_without_stock(spot.ordinal);
            }
        }
        if inputs.candidates.len() > CANDIDATES_MAX {
            let by_distance = |candidate: &Candidate| (candidate.km, candidate.ordinal);
            inputs.candidates.sort_unstable_by_key(by_distance);
            inputs.candidates.truncate(CANDIDATES_MAX);
            let by_ordinal = |candidate: &Candidate| candidate.ordinal;
            inputs.candidates.sort_unstable_by_key(by_ordinal);
        }
    }
}

/// A line that needs units.
struct Need<'a> {
    line: u32,
    units: u32,
    parts: &'a [(Sku, u32)],
    only: Option<&'a LocationId>,
    unit_price: UnitPrice,
}

impl Views {
    /// The answer to an order's wish to be sourced.
    pub(crate) fn plan(
        &self,
        order: &Order,
        units: &[(u32, u32)],
        excluded: &[(u32, LocationId)],
    ) -> Plan {
        let Some(header) = order.header.as_ref() else {
            return Plan::default();
        };
        let needs: Vec<Need<'_>> = units
            .iter()
            .filter_map(|(line, units)| {
                let of = order.lines.get(*line as usize)?;
                let Fulfilment::Physical(parts) = &of.fulfilment else {
                    return None;
                };
                Some(Need {
                    line: *line,
                    units: *units,
                    parts,
                    only: of.pickup_location.as_ref(),
                    unit_price: of.unit_price,
                })
            })
            .collect();
        let split = if order.must_be_whole() {
            header.split
        } else {
            SplitPolicy::Allow
        };
        self.decide(header, split, &needs, excluded)
    }

    fn decide(
        &self,
        header: &Header,
        split: SplitPolicy,
        needs: &[Need<'_>],
        excluded: &[(u32, LocationId)],
    ) -> Plan {
        let atlas = self.atlas.load();
        let ordinal = |id: &LocationId| atlas.by_id(id).map(|spot| spot.ordinal);
        let mut wanted: BTreeMap<&Sku, u64> = BTreeMap::new();
        for need in needs {
            for (sku, per_unit) in need.parts {
                *wanted.entry(sku).or_default() += u64::from(need.units) * u64::from(*per_unit);
            }
        }
        let index = |sku: &Sku| wanted.keys().position(|known| *known == sku);
        let part =
            |(sku, per_unit): &(Sku, u32)| (index(sku).unwrap_or_default() as u32, *per_unit);
        let line = |need: &Need<'_>| InputLine {
            line: need.line,
            units: need.units,
            parts: need.parts.iter().map(part).collect(),
            // A location that is gone serves nobody: no ordinal is this large.
            only: need.only.map(|id| ordinal(id).unwrap_or(u32::MAX)),
        };
        let excluded = excluded.iter();
        let mut inputs = Inputs {
            rule_version: RULE_VERSION,
            strategy: atlas.strategy_number,
            split,
            lines: needs.iter().map(line).collect(),
            candidates: Vec::new(),
            without_stock: Vec::new(),
            available: Vec::new(),
            excluded: excluded
                .filter_map(|(line, id)| Some((*line, ordinal(id)?)))
                .collect(),
            // The built-in strategy asks nothing about the order: nothing is stored of it.
            facts: (atlas.strategy_number != BUILT_IN)
                .then(|| Box::new(facts(header, needs, self.hosts().node.now()))),
        };
        let cells: Vec<AvailabilityOfSku> =
            wanted.keys().map(|sku| self.availability.of(sku)).collect();
        let refused: Vec<u32> = inputs
            .excluded
            .iter()
            .map(|(_, ordinal)| *ordinal)
            .collect();
        let (to, service) = (&header.destination, &header.service_level);
        atlas.ask(&mut inputs, to, service, |ordinal| {
            cells.iter().any(|cells| cells.at(ordinal) > 0) || refused.contains(&ordinal)
        });
        inputs
            .available
            .reserve(cells.len() * inputs.candidates.len());
        for (cells, pieces) in cells.iter().zip(wanted.values()) {
            // Never more than matters: what is stored with the decision stays small.
            let most = pieces.saturating_add(u64::from(atlas.strategy.held_back_max()));
            let most = i64::try_from(most)
                .unwrap_or(i64::MAX)
                .min(i64::from(u32::MAX));
            let units = |candidate: &Candidate| cells.at(candidate.ordinal).clamp(0, most);
            let units = |candidate| u32::try_from(units(candidate)).unwrap_or(0);
            inputs.available.extend(inputs.candidates.iter().map(units));
        }
        let sourced = decide(&atlas.strategy, &inputs).plan;
        self.decisions.increment(1);
        let assignments = sourced.allotments.iter().filter_map(|allotment| {
            let location = atlas.by_ordinal(allotment.ordinal)?.id.clone();
            Some(Assignment {
                line: allotment.line,
                location,
                quantity: allotment.units,
            })
        });
        let encoded = consign_runtime::encode(&inputs).expect("numbers and lists have bytes");
        Plan {
            assignments: assignments.collect(),
            inputs: encoded,
        }
    }
}

/// What a strategy of the retailer's own may ask about an order.
fn facts(header: &Header, needs: &[Need<'_>], now: Timestamp) -> Facts {
    let line = |need: &Need<'_>| LineFacts {
        // What is too large for money counts as the largest: orders like that are refused elsewhere.
        value: need
            .unit_price
            .times(need.units, header.currency)
            .unwrap_or(AMOUNT_MAX),
        ..LineFacts::default()
    };
    Facts {
        now,
        channel: header.channel.as_str().into(),
        order_type: header.order_type.clone(),
        customer_group: header.customer_group.clone(),
        country: header.destination.country.clone(),
        service_level: header.service_level.clone(),
        lines: needs.iter().map(line).collect(),
        ..Facts::default()
    }
}

impl Inner {
    /// The first decision, made before the order is sent on its way: one write fewer. `None` when
    /// nothing needs a location.
    pub(crate) fn first_plan(&self, header: &Header, lines: &[NewLine]) -> Option<Plan> {
        let needs: Vec<Need<'_>> = (0_u32..)
            .zip(lines)
            .filter_map(|(nth, line)| {
                let Fulfilment::Physical(parts) = &line.fulfilment else {
                    return None;
                };
                Some(Need {
                    line: nth,
                    units: line.quantity,
                    parts,
                    only: line.pickup_location.as_ref(),
                    unit_price: line.unit_price,
                })
            })
            .collect();
        // Absurd orders are refused by the order itself; here they only must do no harm.
        let sane = lines.len() <= consign_domain::order::ORDER_LINES_MAX
            && lines
                .iter()
                .all(|line| line.quantity <= consign_domain::order::LINE_UNITS_MAX);
        (sane && !needs.is_empty()).then(|| self.views.decide(header, header.split, &needs, &[]))
    }
}

/// Why a decision came out as it did.
#[derive(Clone, Debug)]
pub struct DecisionExplanation {
    /// Counts the order's decisions, from 1.
    pub round: u32,
    /// When it was recorded.
    pub decided_at: Timestamp,
    /// Which version of the strategy decided; 0 for the built-in one.
    pub strategy: u32,
    /// Whether what was recomputed asks the very locations for the very units that were asked then (L9).
    pub repeats: bool,
    /// What was recomputed from its inputs.
    pub explanation: Explanation,
    /// Which location each ordinal in it stands for.
    pub locations: Vec<(u32, LocationId)>,
    /// The same for people.
    pub text: String,
}

impl Consign {
    /// Why each of an order's decisions came out as it did.
    ///
    /// # Errors
    /// `NotFound`, or when history cannot be read.
    pub fn explanation(&self, id: &OrderId) -> Result<Vec<DecisionExplanation>, ServiceError> {
        const EVENTS_MAX: usize = 10_000;
        let atlas = self.inner.views.atlas.load();
        let catalogue = self.inner.catalogue.load();
        let mut compiled: BTreeMap<u32, Compiled> = BTreeMap::new();
        let mut decisions = Vec::new();
        for item in self.history(id, 0, EVENTS_MAX)? {
            let OrderEvent::Sourced {
                round,
                inputs,
                assignments,
                ..
            } = item.event
            else {
                continue;
            };
            let inputs: Inputs = consign_runtime::decode(&inputs).map_err(ServiceError::storage)?;
            // By the very version that decided, whichever is active now.
            let strategy = match compiled.entry(inputs.strategy) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    new.insert(strategies::compiled(&catalogue, inputs.strategy)?)
                }
            };
            let explanation = explain(strategy, &inputs);
            let name = |ordinal: u32| atlas.by_ordinal(ordinal).map(|spot| spot.id.clone());
            let locations: Vec<(u32, LocationId)> = explanation
                .candidates
                .iter()
                .filter_map(|candidate| Some((candidate.ordinal, name(candidate.ordinal)?)))
                .collect();
            let text = readable((round, inputs.strategy), &explanation, &locations);
            let decided_at = item.stamp.recorded_at;
            decisions.push(DecisionExplanation {
                round,
                decided_at,
                strategy: inputs.strategy,
                repeats: is_the_plan(&assignments, &explanation, &locations),
                explanation,
                locations,
                text,
            });
        }
        Ok(decisions)
    }
}

/// Whether an order's assignments are those of the plan.
fn is_the_plan(
    assignments: &[Assignment],
    explanation: &Explanation,
    locations: &[(u32, LocationId)],
) -> bool {
    let allotments = &explanation.plan.allotments;
    let location = |ordinal: u32| {
        let known = locations.iter().find(|(of, _)| *of == ordinal);
        known.map(|(_, id)| id)
    };
    assignments.len() == allotments.len()
        && assignments.iter().zip(allotments).all(|(then, now)| {
            (then.line, then.quantity, Some(&then.location))
                == (now.line, now.units, location(now.ordinal))
        })
}

/// A decision in sentences.
fn readable(
    (round, strategy): (u32, u32),
    explanation: &Explanation,
    locations: &[(u32, LocationId)],
) -> String {
    let name = |ordinal: u32| {
        let known = locations.iter().find(|(of, _)| *of == ordinal);
        known.map_or_else(
            || format_compact!("location #{ordinal}"),
            |(_, id)| id.as_str().into(),
        )
    };
    let of = match strategy {
        BUILT_IN => "the built-in strategy".to_owned(),
        number => format!("version {number} of the strategy"),
    };
    let rule = &explanation.rule;
    let mut text = format!("Decision {round}, by the rule \"{rule}\" of {of}.\n");
    for candidate in &explanation.candidates {
        text.push_str(&format!("- {}", name(candidate.ordinal)));
        if let Some(km) = candidate.km {
            text.push_str(&format!(", {km} km"));
        }
        text.push_str(&format!(": {}\n", candidate.fate));
    }
    for allotment in &explanation.plan.allotments {
        let from = name(allotment.ordinal);
        text.push_str(&format!(
            "Line {}: {} units from {from}.\n",
            allotment.line + 1,
            allotment.units
        ));
    }
    for (line, units) in &explanation.plan.short {
        text.push_str(&format!("Line {}: nobody has {units} units.\n", line + 1));
    }
    match explanation.gap {
        Some(0) => text.push_str("By this rule no plan is better.\n"),
        Some(_) => text.push_str("By this rule a better plan may have been missed.\n"),
        None => {}
    }
    if let Some(other) = &explanation.runner_up {
        let names: Vec<CompactString> = other
            .locations
            .iter()
            .map(|ordinal| name(*ordinal))
            .collect();
        text.push_str(&format!("Second best: {}.\n", names.join(", ")));
    }
    text
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
