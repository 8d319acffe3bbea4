//! What could be had, before anybody orders: of a SKU, and of a cart.
//!
//! In: a SKU or lines, and who asks. Out: what the active strategy lets locations give, and which of
//! them would serve. All of it is this node's own view at this moment: nothing is asked of other nodes
//! and nothing is held. Whoever orders right after may find it gone.

use std::collections::BTreeSet;
use std::sync::Arc;

use compact_str::CompactString;
use consign_domain::catalogue::LocationKind;
use consign_domain::ids::{LocationId, Sku};
use consign_domain::money::{Currency, UnitPrice};
use consign_domain::order::{Destination, Fulfilment, SplitPolicy};
use consign_domain::time::Timestamp;
use consign_sourcing::{Day, Inputs, Offer, Promise, Sourced, decide, offers};

use crate::atlas::{Atlas, Need, Terms, Wants};
use crate::error::ServiceError;
use crate::incoming::Supply;
use crate::orders::ProductLine;
use crate::service::{Consign, Views};

/// Units of one location that are told of at most.
const OFFER_UNITS_MAX: u32 = 1_000_000;
/// Days on which something comes that are looked at for a product that cannot be had now.
const RESTOCK_DAYS_MAX: usize = 16;
/// Shops of which it is said when something could be picked up there: the nearest.
pub const PICKUP_MAX: usize = 10;

/// Who asks, as far as a strategy's rules look at it.
#[derive(Clone, Debug)]
pub struct Shopper {
    /// Where the order would come from.
    pub channel: CompactString,
    /// The retailer's own word for the order.
    pub order_type: Option<CompactString>,
    /// The customer's group.
    pub customer_group: Option<CompactString>,
    /// `standard`, `express`, `same_day`, `pickup`.
    pub service_level: CompactString,
    /// Where to.
    pub destination: Destination,
}

impl Shopper {
    pub(crate) fn terms(&self, currency: Option<Currency>) -> Terms<'_> {
        Terms {
            channel: &self.channel,
            order_type: self.order_type.as_ref(),
            customer_group: self.customer_group.as_ref(),
            destination: &self.destination,
            service_level: &self.service_level,
            currency,
        }
    }
}

/// What could be had of a SKU.
#[derive(Clone, Debug, Default)]
pub struct SkuAvailability {
    /// Whether it needs a location at all; services, downloads and gift cards do not.
    pub is_stocked: bool,
    /// Which version of the strategy answered; 0 for the built-in one.
    pub strategy: u32,
    /// Who may give some of it, nearest first.
    pub offers: Vec<LocationOffer>,
    /// From when to when an order of one unit would be there; none where nobody knows.
    pub promise: Option<Promise>,
}

impl SkuAvailability {
    /// Units in all.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.offers.iter().map(|offer| u64::from(offer.units)).sum()
    }

    /// Units that can come from one place.
    #[must_use]
    pub fn units_from_one(&self) -> u32 {
        let units = self.offers.iter().map(|offer| offer.units);
        units.max().unwrap_or(0)
    }
}

/// What could be had on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restock {
    /// By the clock at the location where it comes in.
    pub day: Day,
    /// Units in all by then.
    pub units: u64,
}

/// What a location may give.
#[derive(Clone, Debug)]
pub struct LocationOffer {
    /// Which.
    pub location: LocationId,
    /// What kind of place.
    pub kind: LocationKind,
    /// Kilometres to the destination, if that is known.
    pub km: Option<u32>,
    /// Units, at least 1 and at most 1,000,000.
    pub units: u32,
    /// When it could be picked up; known of the nearest [`PICKUP_MAX`] shops whose hours are known.
    pub ready_at: Option<Timestamp>,
}

/// What a cart holds.
#[derive(Clone, Debug)]
pub struct Cart {
    /// Of its prices; none when it names no prices.
    pub currency: Option<Currency>,
    /// May it be split?
    pub split: SplitPolicy,
    /// Its lines.
    pub lines: Vec<ProductLine>,
}

/// What could be had of a cart.
#[derive(Clone, Debug, Default)]
pub struct CartAvailability {
    /// Which version of the strategy answered; 0 for the built-in one.
    pub strategy: u32,
    /// Who would serve what, by location.
    pub shipments: Vec<Shipment>,
    /// (index of a line, units) that nobody would serve.
    pub short: Vec<(u32, u32)>,
    /// From when to when all that is sent would be there; none where nobody knows, or some is short.
    pub promise: Option<Promise>,
}

/// What a location would serve of a cart.
#[derive(Clone, Debug)]
pub struct Shipment {
    /// Which.
    pub location: LocationId,
    /// What kind of place.
    pub kind: LocationKind,
    /// Kilometres to the destination, if that is known.
    pub km: Option<u32>,
    /// (index of a line, units).
    pub lines: Vec<(u32, u32)>,
    /// From when to when what it sends would be there.
    pub promise: Option<Promise>,
    /// When what is picked up there would be ready.
    pub ready_at: Option<Timestamp>,
}

impl Consign {
    /// What could be had of a SKU.
    ///
    /// # Errors
    /// `NotFound` when nobody has defined it.
    pub async fn availability(
        &self,
        sku: &Sku,
        shopper: &Shopper,
    ) -> Result<SkuAvailability, ServiceError> {
        let fulfilment = match self.fulfilment_of(sku) {
            None if !self.is_alone() => {
                self.read().await?;
                self.fulfilment_of(sku)
            }
            known => known,
        };
        match fulfilment {
            Some(Fulfilment::Physical(parts)) => Ok(self.inner.views.offered(sku, &parts, shopper)),
            Some(Fulfilment::Virtual) => Ok(SkuAvailability::default()),
            None => Err(ServiceError::NotFound {
                kind: "product".into(),
                name: sku.as_str().into(),
            }),
        }
    }

    /// Units of a SKU that could be had by a day: what is there, and what comes until then and is not
    /// spoken for by orders that wait. `None` for what comes from no location.
    ///
    /// # Errors
    /// When the read fails inside.
    pub async fn availability_by(
        &self,
        sku: &Sku,
        shopper: &Shopper,
        last: Day,
    ) -> Result<Option<u64>, ServiceError> {
        self.of_supply(sku, shopper, move |views, need, shopper, supply| {
            Some(views.units_by(need, shopper, supply, last))
        })
        .await
    }

    /// The first day on which a SKU could be had that cannot be had now, and how much of it then.
    ///
    /// # Errors
    /// When the read fails inside.
    pub async fn restock(
        &self,
        sku: &Sku,
        shopper: &Shopper,
    ) -> Result<Option<Restock>, ServiceError> {
        let incoming = &self.inner.views.incoming;
        let comes = match self.fulfilment_of(sku) {
            Some(Fulfilment::Physical(parts)) => parts.iter().any(|(sku, _)| incoming.knows(sku)),
            _ => false,
        };
        if !comes {
            return Ok(None);
        }
        self.of_supply(sku, shopper, |views, need, shopper, supply| {
            let restock = |day| Restock {
                day,
                units: views.units_by(need, shopper, supply, day),
            };
            let mut days = supply.days().take(RESTOCK_DAYS_MAX).map(restock);
            days.find(|restock| restock.units > 0)
        })
        .await
    }

    /// Answers from what comes, where reading who waits for it may block.
    async fn of_supply<T: Send + 'static>(
        &self,
        sku: &Sku,
        shopper: &Shopper,
        answer: impl FnOnce(&Views, &Need<'_>, &Shopper, &Supply) -> Option<T> + Send + 'static,
    ) -> Result<Option<T>, ServiceError> {
        let Some(Fulfilment::Physical(parts)) = self.fulfilment_of(sku) else {
            return Ok(None);
        };
        let (views, shopper) = (Arc::clone(&self.inner.views), shopper.clone());
        let sku = sku.clone();
        let read = move || {
            let atlas = views.atlas.load();
            let supply = views.supply(&atlas, parts.iter().map(|(sku, _)| sku));
            answer(&views, &Need::of_page(&sku, &parts), &shopper, &supply)
        };
        self.threads()
            .run(read)
            .await
            .map_err(ServiceError::storage)
    }

    fn fulfilment_of(&self, sku: &Sku) -> Option<Fulfilment> {
        self.inner.catalogue.load().fulfilment_of(sku)
    }

    /// Who would serve a cart, were it ordered now.
    ///
    /// # Errors
    /// What is wrong with a line, as when an order is placed.
    pub async fn cart_availability(
        &self,
        cart: &Cart,
        shopper: &Shopper,
    ) -> Result<CartAvailability, ServiceError> {
        let lines = self.resolve_anew("/lines", &cart.lines).await?;
        let needs = Need::of_all(&lines);
        let terms = shopper.terms(cart.currency);
        Ok(self.inner.views.served(&terms, cart.split, &needs))
    }
}

impl Views {
    /// Units in all that locations could give by a day.
    fn units_by(&self, need: &Need<'_>, shopper: &Shopper, supply: &Supply, last: Day) -> u64 {
        let atlas = self.atlas.load();
        let need = std::slice::from_ref(need);
        let terms = shopper.terms(None);
        let there = |sku: &Sku| self.availability.of(sku).with(supply.until(sku, last));
        let inputs = self.inputs_of(
            &atlas,
            Wants::of(&atlas),
            &terms,
            SplitPolicy::Allow,
            (need, &[]),
            there,
        );
        let found = offers(&atlas.strategy, &inputs, 0);
        found.iter().map(|offer| u64::from(offer.units)).sum()
    }

    fn offered(&self, sku: &Sku, parts: &[(Sku, u32)], shopper: &Shopper) -> SkuAvailability {
        let atlas = self.atlas.load();
        let need = Need::of_page(sku, parts);
        let terms = shopper.terms(None);
        let mut inputs = self.inputs(
            &atlas,
            Wants::of(&atlas),
            &terms,
            SplitPolicy::Allow,
            &[need],
            &[],
        );
        let now = self.hosts().node.now();
        let mut shops = 0;
        let offer = |offer: &Offer| {
            let spot = atlas.by_ordinal(offer.ordinal)?;
            shops += usize::from(spot.kind == LocationKind::Store);
            let is_told = spot.kind == LocationKind::Store && shops <= PICKUP_MAX;
            let ready_at = || atlas.strategy.ready_at(offer.ordinal, now);
            Some(LocationOffer {
                location: spot.id.clone(),
                kind: spot.kind,
                km: shopper.destination.position.map(|_| offer.km),
                units: offer.units,
                ready_at: is_told.then(ready_at).flatten(),
            })
        };
        let mut found = offers(&atlas.strategy, &inputs, 0);
        found.sort_unstable_by_key(|offer| (offer.km, offer.ordinal));
        let offers: Vec<LocationOffer> = found.iter().filter_map(offer).collect();
        let promise = atlas.strategy.promises().then(|| {
            // What an order of one unit would get, decided as orders are.
            inputs.lines.iter_mut().for_each(|line| line.units = 1);
            let plan = decide(&atlas.strategy, &inputs).plan;
            promised(&atlas, &inputs, &plan, |_| true)
        });
        SkuAvailability {
            is_stocked: true,
            strategy: atlas.strategy_number,
            offers,
            promise: promise.flatten(),
        }
    }

    fn served(
        &self,
        terms: &Terms<'_>,
        split: SplitPolicy,
        needs: &[Need<'_>],
    ) -> CartAvailability {
        let atlas = self.atlas.load();
        let inputs = self.inputs(&atlas, Wants::of(&atlas), terms, split, needs, &[]);
        let plan = decide(&atlas.strategy, &inputs).plan;
        let now = self.hosts().node.now();
        let is_sent = |line: u32| {
            let mut picked_up = inputs.lines.iter().filter(|of| of.only.is_some());
            !picked_up.any(|of| of.line == line)
        };
        let shipment = |ordinal: &u32| {
            let spot = atlas.by_ordinal(*ordinal)?;
            let nth = inputs
                .candidates
                .iter()
                .position(|it| it.ordinal == *ordinal)?;
            let km = inputs.candidates[nth].km;
            let own = plan.allotments.iter().filter(|of| of.ordinal == *ordinal);
            let lines: Vec<(u32, u32)> = own.map(|of| (of.line, of.units)).collect();
            let sends = lines.iter().any(|(line, _)| is_sent(*line));
            let hands_out = lines.iter().any(|(line, _)| !is_sent(*line));
            let promise = || atlas.strategy.promise(&inputs, nth);
            let ready_at = || atlas.strategy.ready_at(*ordinal, now);
            Some(Shipment {
                location: spot.id.clone(),
                kind: spot.kind,
                km: terms.destination.position.map(|_| km),
                lines,
                promise: sends.then(promise).flatten(),
                ready_at: hands_out.then(ready_at).flatten(),
            })
        };
        let shipments = plan.locations.iter().filter_map(shipment).collect();
        CartAvailability {
            strategy: atlas.strategy_number,
            shipments,
            promise: promised(&atlas, &inputs, &plan, is_sent),
            short: plan.short,
        }
    }
}

impl<'a> Need<'a> {
    /// What a product page asks for: as much as is told of.
    fn of_page(sku: &'a Sku, parts: &'a [(Sku, u32)]) -> Need<'a> {
        Need {
            line: 0,
            sku,
            units: OFFER_UNITS_MAX,
            // Whoever looks at a product page wants one.
            units_weighed: 1,
            parts,
            only: None,
            unit_price: UnitPrice::default(),
        }
    }
}

/// From when to when all is there that a plan sends; none where a part of it is not known, or short.
fn promised(
    atlas: &Atlas,
    inputs: &Inputs,
    plan: &Sourced,
    is_sent: impl Fn(u32) -> bool,
) -> Option<Promise> {
    if !plan.short.is_empty() || !atlas.strategy.promises() {
        return None;
    }
    let sent = plan.allotments.iter().filter(|of| is_sent(of.line));
    let mut whole: Option<Promise> = None;
    let from: BTreeSet<u32> = sent.map(|of| of.ordinal).collect();
    for ordinal in from {
        let nth = inputs
            .candidates
            .iter()
            .position(|it| it.ordinal == ordinal)?;
        let promise = atlas.strategy.promise(inputs, nth)?;
        whole = Some(whole.map_or(promise, |whole| whole.and(promise)));
    }
    whole
}
