//! What a sourcing decision rests on: where locations are, what carriers ask, which strategy decides,
//! and what of an order it looks at.
//!
//! In: the catalogue, an order's needs, and what each location may grant. Out: [`Inputs`], small enough
//! to be stored with the decision. Reads no view and no clock: who asks brings both, so that recorded
//! orders are asked about by the same code as live ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use consign_domain::catalogue::{BUILT_IN, CarrierDefinition, Catalogue, LocationKind};
use consign_domain::ids::{LocationId, Sku};
use consign_domain::money::{AMOUNT_MAX, Currency, Minor, UnitPrice};
use consign_domain::order::{Destination, Fulfilment, Header, NewLine, Order, SplitPolicy};
use consign_domain::time::Timestamp;
use consign_sourcing::{
    ASSUMED_KM, Candidate, Compiled, Facts, InputLine, Inputs, LineFacts, Place, RULE_VERSION,
};

use crate::goods;
use crate::strategies;
use crate::trying::Trying;

/// Locations that one decision looks at: the nearest.
const CANDIDATES_MAX: usize = 256;

/// Where locations are, what carriers ask, and how orders are sourced, ready for many decisions.
#[derive(Debug, Default)]
pub(crate) struct Atlas {
    pub(crate) strategy: Compiled,
    /// Its number; 0 for the built-in one.
    pub(crate) strategy_number: u32,
    /// Another version that is tried on real orders.
    pub(crate) trial: Option<Arc<Trying>>,
    locations: Vec<Spot>,
    carriers: Vec<CarrierDefinition>,
}

/// A location as sourcing sees it.
#[derive(Debug)]
pub(crate) struct Spot {
    pub(crate) id: LocationId,
    ordinal: u32,
    pub(crate) kind: LocationKind,
    active: bool,
    country: CompactString,
    place: Place,
}

impl Atlas {
    /// `before` is the trial that ran until now.
    pub(crate) fn of(catalogue: &Catalogue, before: Option<&Arc<Trying>>) -> Atlas {
        let (number, strategy) = strategies::active(catalogue);
        Atlas {
            trial: Trying::of(catalogue, &strategy, number, before),
            ..Atlas::by(catalogue, number, strategy)
        }
    }

    /// As [`Atlas::of`], by a strategy that may not be the active one; nothing is tried.
    pub(crate) fn by(catalogue: &Catalogue, strategy_number: u32, strategy: Compiled) -> Atlas {
        let spot = |definition: &consign_domain::catalogue::LocationDefinition| Spot {
            id: definition.id.clone(),
            ordinal: definition.ordinal,
            kind: definition.kind,
            active: definition.active,
            country: definition.country.clone(),
            place: Place::of(definition.position),
        };
        let mut locations: Vec<Spot> = catalogue.locations().map(spot).collect();
        locations.sort_unstable_by_key(|spot| spot.ordinal);
        Atlas {
            trial: None,
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

    pub(crate) fn by_ordinal(&self, ordinal: u32) -> Option<&Spot> {
        let at = self
            .locations
            .binary_search_by_key(&ordinal, |spot| spot.ordinal)
            .ok()?;
        self.locations.get(at)
    }

    fn by_id(&self, id: &LocationId) -> Option<&Spot> {
        self.locations.iter().find(|spot| spot.id == *id)
    }

    /// The lowest rate of a parcel to there. Rate tables know destinations, not origins: one rate for
    /// all locations, until carriers have several.
    fn rate(&self, terms: &Terms<'_>, grams: impl FnOnce() -> u32) -> Option<Minor> {
        if self.carriers.is_empty() {
            return None;
        }
        let (service, country, grams) = (
            terms.service_level.as_str(),
            terms.destination.country.as_str(),
            grams(),
        );
        let quote = |carrier| consign_domain::carrier::quote(carrier, service, country, grams);
        self.carriers.iter().filter_map(quote).min()
    }

    /// Sorts the active locations into those that may serve, the nearest where there are too many,
    /// and those that have nothing of it.
    fn ask(
        &self,
        inputs: &mut Inputs,
        destination: &Destination,
        rate: Option<Minor>,
        has_any: impl Fn(u32) -> bool,
    ) {
        let place = destination.position.map(Place::of);
        // Who promises must tell a place next door from one that nobody knows.
        let nearest = u32::from(self.strategy.promises());
        let km = |spot: &Spot| match place {
            Some(place) => spot.place.km_to(&place).max(nearest),
            None if spot.country == destination.country => ASSUMED_KM[0],
            None => ASSUMED_KM[1],
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

    /// All that a decision rests on.
    pub(crate) fn inputs<S: Stock>(
        &self,
        asked: &Asked<'_>,
        catalogue: &Catalogue,
        now: impl FnOnce() -> Timestamp,
        cells_of: impl Fn(&Sku) -> S,
    ) -> Inputs {
        let Asked {
            wants,
            terms,
            split,
            needs,
            excluded,
        } = *asked;
        let ordinal = |id: &LocationId| self.by_id(id).map(|spot| spot.ordinal);
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
            strategy: wants.strategy,
            split,
            lines: needs.iter().map(line).collect(),
            candidates: Vec::new(),
            without_stock: Vec::new(),
            available: Vec::new(),
            excluded: excluded
                .filter_map(|(line, id)| Some((*line, ordinal(id)?)))
                .collect(),
            facts: wants
                .facts
                .then(|| Box::new(facts(terms, needs, catalogue, now()))),
        };
        let cells: Vec<S> = wanted.keys().map(|sku| cells_of(sku)).collect();
        let refused: Vec<u32> = inputs
            .excluded
            .iter()
            .map(|(_, ordinal)| *ordinal)
            .collect();
        let rate = self.rate(terms, || goods::grams(catalogue, needs));
        self.ask(&mut inputs, terms.destination, rate, |ordinal| {
            cells.iter().any(|cells| cells.at(ordinal) > 0) || refused.contains(&ordinal)
        });
        inputs
            .available
            .reserve(cells.len() * inputs.candidates.len());
        for (cells, pieces) in cells.iter().zip(wanted.values()) {
            // Never more than matters: what is stored with the decision stays small.
            let most = pieces.saturating_add(u64::from(wants.held_back_max));
            let most = i64::try_from(most)
                .unwrap_or(i64::MAX)
                .min(i64::from(u32::MAX));
            let units = |candidate: &Candidate| cells.at(candidate.ordinal).clamp(0, most);
            let units = |candidate| u32::try_from(units(candidate)).unwrap_or(0);
            inputs.available.extend(inputs.candidates.iter().map(units));
        }
        inputs
    }
}

/// An order as sourcing is asked about it.
pub(crate) struct Asked<'a> {
    pub(crate) wants: Wants,
    pub(crate) terms: &'a Terms<'a>,
    pub(crate) split: SplitPolicy,
    pub(crate) needs: &'a [Need<'a>],
    pub(crate) excluded: &'a [(u32, LocationId)],
}

/// What each location may still grant of a SKU.
pub(crate) trait Stock {
    /// Units at the location with `ordinal`; 0 when it has never had any.
    fn at(&self, ordinal: u32) -> i64;
}

/// A line that needs units.
pub(crate) struct Need<'a> {
    pub(crate) line: u32,
    pub(crate) sku: &'a Sku,
    pub(crate) units: u32,
    /// Units that travel together: all, but of what is only asked about.
    pub(crate) units_weighed: u32,
    pub(crate) parts: &'a [(Sku, u32)],
    pub(crate) only: Option<&'a LocationId>,
    pub(crate) unit_price: UnitPrice,
}

impl<'a> Need<'a> {
    /// Of units of a line; none of what needs no location.
    pub(crate) fn of_units(
        (line, units): (u32, u32),
        sku: &'a Sku,
        fulfilment: &'a Fulfilment,
        only: Option<&'a LocationId>,
        unit_price: UnitPrice,
    ) -> Option<Need<'a>> {
        let Fulfilment::Physical(parts) = fulfilment else {
            return None;
        };
        Some(Need {
            line,
            sku,
            units,
            units_weighed: units,
            parts,
            only,
            unit_price,
        })
    }

    /// Of some units of an order's lines: (index of a line, units).
    pub(crate) fn of_some(order: &'a Order, units: &[(u32, u32)]) -> Vec<Need<'a>> {
        let need = |asked: &(u32, u32)| {
            let of = order.lines.get(asked.0 as usize)?;
            let only = of.pickup_location.as_ref();
            Need::of_units(*asked, &of.sku, &of.fulfilment, only, of.unit_price)
        };
        units.iter().filter_map(need).collect()
    }

    /// Of those lines that need a location.
    pub(crate) fn of_all(lines: &'a [NewLine]) -> Vec<Need<'a>> {
        let need = |(nth, of): (u32, &'a NewLine)| {
            let only = of.pickup_location.as_ref();
            let asked = (nth, of.quantity);
            Need::of_units(asked, &of.sku, &of.fulfilment, only, of.unit_price)
        };
        (0_u32..).zip(lines).filter_map(need).collect()
    }
}

/// What is gathered for a decision, beside where stock is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wants {
    /// The version of the strategy that is to decide.
    pub(crate) strategy: u32,
    /// Units that it leaves at a location, at most.
    pub(crate) held_back_max: u32,
    /// Whether it asks about the order.
    pub(crate) facts: bool,
}

impl Wants {
    /// What the active version wants.
    pub(crate) fn of(atlas: &Atlas) -> Wants {
        Wants {
            strategy: atlas.strategy_number,
            held_back_max: atlas.strategy.held_back_max(),
            // The built-in strategy asks nothing about the order: nothing is stored of it.
            facts: atlas.strategy_number != BUILT_IN,
        }
    }
}

/// What a strategy's rules ask about whoever orders.
pub(crate) struct Terms<'a> {
    pub(crate) channel: &'a str,
    pub(crate) order_type: Option<&'a CompactString>,
    pub(crate) customer_group: Option<&'a CompactString>,
    pub(crate) destination: &'a Destination,
    pub(crate) service_level: &'a CompactString,
    /// Of the unit prices; none when there are none.
    pub(crate) currency: Option<Currency>,
}

impl<'a> Terms<'a> {
    pub(crate) fn of(header: &'a Header) -> Terms<'a> {
        Terms {
            channel: header.channel.as_str(),
            order_type: header.order_type.as_ref(),
            customer_group: header.customer_group.as_ref(),
            destination: &header.destination,
            service_level: &header.service_level,
            currency: Some(header.currency),
        }
    }
}

/// What a strategy of the retailer's own may ask about an order.
pub(crate) fn facts(
    terms: &Terms<'_>,
    needs: &[Need<'_>],
    catalogue: &Catalogue,
    now: Timestamp,
) -> Facts {
    let value = |need: &Need<'_>| {
        let currency = terms.currency?;
        // What is too large for money counts as the largest: orders like that are refused elsewhere.
        let value = need.unit_price.times(need.units, currency);
        Some(value.unwrap_or(AMOUNT_MAX))
    };
    let line = |need: &Need<'_>| LineFacts {
        value: value(need).unwrap_or_default(),
        ..LineFacts::default()
    };
    let mut facts = Facts {
        now,
        channel: terms.channel.into(),
        order_type: terms.order_type.cloned(),
        customer_group: terms.customer_group.cloned(),
        country: terms.destination.country.clone(),
        service_level: terms.service_level.clone(),
        lines: needs.iter().map(line).collect(),
        ..Facts::default()
    };
    goods::tell(catalogue, needs, &mut facts);
    facts
}
