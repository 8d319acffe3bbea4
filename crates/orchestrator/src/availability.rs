//! What could be had, before anybody orders: of a SKU, and of a cart.
//!
//! In: a SKU or lines, and who asks. Out: what the active strategy lets locations give, and which of
//! them would serve. All of it is this node's own view at this moment: nothing is asked of other nodes
//! and nothing is held. Whoever orders right after may find it gone.

use compact_str::CompactString;
use consign_domain::catalogue::LocationKind;
use consign_domain::ids::{LocationId, Sku};
use consign_domain::money::{Currency, UnitPrice};
use consign_domain::order::{Destination, Fulfilment, SplitPolicy};
use consign_sourcing::{Offer, decide, offers};

use crate::error::ServiceError;
use crate::orders::ProductLine;
use crate::service::{Consign, Views};
use crate::sourcing::{Need, Terms, Wants};

/// Units of one location that are told of at most.
const OFFER_UNITS_MAX: u32 = 1_000_000;

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
    fn terms(&self, currency: Option<Currency>) -> Terms<'_> {
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
            Some(Fulfilment::Physical(parts)) => Ok(self.inner.views.offered(&parts, shopper)),
            Some(Fulfilment::Virtual) => Ok(SkuAvailability::default()),
            None => Err(ServiceError::NotFound {
                kind: "product".into(),
                name: sku.as_str().into(),
            }),
        }
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
    fn offered(&self, parts: &[(Sku, u32)], shopper: &Shopper) -> SkuAvailability {
        let atlas = self.atlas.load();
        let need = Need {
            line: 0,
            units: OFFER_UNITS_MAX,
            parts,
            only: None,
            unit_price: UnitPrice::default(),
        };
        let terms = shopper.terms(None);
        let wants = Wants::of(&atlas);
        let inputs = self.inputs(&atlas, wants, &terms, SplitPolicy::Allow, &[need], &[]);
        let offer = |offer: &Offer| {
            let spot = atlas.by_ordinal(offer.ordinal)?;
            Some(LocationOffer {
                location: spot.id.clone(),
                kind: spot.kind,
                km: shopper.destination.position.map(|_| offer.km),
                units: offer.units,
            })
        };
        let mut found = offers(&atlas.strategy, &inputs, 0);
        found.sort_unstable_by_key(|offer| (offer.km, offer.ordinal));
        SkuAvailability {
            is_stocked: true,
            strategy: atlas.strategy_number,
            offers: found.iter().filter_map(offer).collect(),
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
        let km = |ordinal: u32| {
            let candidate = inputs.candidates.iter().find(|it| it.ordinal == ordinal)?;
            terms.destination.position.map(|_| candidate.km)
        };
        let shipment = |ordinal: &u32| {
            let spot = atlas.by_ordinal(*ordinal)?;
            let own = plan.allotments.iter().filter(|of| of.ordinal == *ordinal);
            Some(Shipment {
                location: spot.id.clone(),
                kind: spot.kind,
                km: km(*ordinal),
                lines: own.map(|of| (of.line, of.units)).collect(),
            })
        };
        let shipments = plan.locations.iter().filter_map(shipment).collect();
        CartAvailability {
            strategy: atlas.strategy_number,
            shipments,
            short: plan.short,
        }
    }
}
