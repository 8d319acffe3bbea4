//! Products, locations, carriers: put, put again, put by somebody who believes in another version.

use std::collections::BTreeMap;

use consign_domain::catalogue::{
    CarrierDefinition, Catalogue, CatalogueCommand, CatalogueId, CataloguePart, CataloguePartKey,
    CatalogueRejection, CatalogueReply, Component, LocationDefinition, LocationKind, Position,
    Product, ProductKind, Rate, Zone,
};
use consign_domain::entity::{Context, Entity};
use consign_domain::ids::{CarrierId, LocationId, Sku};
use consign_domain::order::Fulfilment;
use consign_domain::time::Timestamp;

/// A catalogue and its stored parts.
pub(crate) struct Book {
    pub(crate) catalogue: Catalogue,
    stored: BTreeMap<CataloguePartKey, CataloguePart>,
}

impl Book {
    pub(crate) fn new() -> Self {
        Self {
            catalogue: Catalogue::empty(CatalogueId),
            stored: BTreeMap::new(),
        }
    }

    pub(crate) fn put(
        &mut self,
        command: &CatalogueCommand,
    ) -> Result<CatalogueReply, CatalogueRejection> {
        let context = Context {
            now: Timestamp(7),
            occurred_at: None,
            by: "test".into(),
        };
        let decision = self.catalogue.decide(command, &context)?;
        for event in &decision.events {
            let mut touched = Vec::new();
            Catalogue::touched_parts(event, &mut touched);
            self.catalogue.apply(event, &context.stamp());
            for key in touched {
                match self.catalogue.part(&key) {
                    Some(part) => self.stored.insert(key, part.into_owned()),
                    None => self.stored.remove(&key),
                };
            }
        }
        let parts = self.stored.clone().into_iter().collect();
        assert_eq!(Catalogue::assemble(CatalogueId, parts), self.catalogue);
        Ok(decision.reply)
    }

    pub(crate) fn product(
        &mut self,
        product: &Product,
    ) -> Result<CatalogueReply, CatalogueRejection> {
        self.put(&CatalogueCommand::PutProduct {
            product: product.clone(),
            expected_version: None,
        })
    }

    fn location(
        &mut self,
        location: &LocationDefinition,
    ) -> Result<CatalogueReply, CatalogueRejection> {
        self.put(&CatalogueCommand::PutLocation {
            location: location.clone(),
            expected_version: None,
        })
    }

    fn carrier(
        &mut self,
        carrier: &CarrierDefinition,
    ) -> Result<CatalogueReply, CatalogueRejection> {
        self.put(&CatalogueCommand::PutCarrier {
            carrier: carrier.clone(),
            expected_version: None,
        })
    }
}

pub(crate) fn sku(name: &str) -> Sku {
    Sku::new(name).expect("a valid name")
}

pub(crate) fn product(name: &str, kind: ProductKind, components: &[(&str, u32)]) -> Product {
    let component = |(name, quantity): &(&str, u32)| Component {
        sku: sku(name),
        quantity: *quantity,
    };
    Product {
        sku: sku(name),
        name: "a thing".into(),
        kind,
        components: components.iter().map(component).collect(),
        weight_grams: 0,
        version: 0,
    }
}

fn location(name: &str) -> LocationDefinition {
    LocationDefinition {
        id: LocationId::new(name).expect("a valid name"),
        ordinal: 77,
        name: "a place".into(),
        kind: LocationKind::Store,
        country: "GB".into(),
        position: Position {
            latitude_e6: 53_800_000,
            longitude_e6: -1_550_000,
        },
        time_zone: "Europe/London".into(),
        active: true,
        version: 0,
    }
}

fn carrier(name: &str, prefix: &str) -> CarrierDefinition {
    CarrierDefinition {
        id: CarrierId::new(name).expect("a valid name"),
        name: "a carrier".into(),
        currency: "GBP".into(),
        services: vec!["standard".into()],
        zones: vec![Zone {
            code: "home".into(),
            countries: vec!["GB".into(), "*".into()],
        }],
        rates: vec![Rate {
            service: "standard".into(),
            zone: "home".into(),
            up_to_grams: 1_000,
            price: 300,
        }],
        tracking_prefix: prefix.into(),
        version: 0,
    }
}

pub(crate) fn pointer(result: Result<CatalogueReply, CatalogueRejection>) -> String {
    match result {
        Err(CatalogueRejection::Invalid { pointer, .. }) => pointer.into(),
        other => panic!("it should be invalid: {other:?}"),
    }
}

#[test]
fn a_put_that_changes_nothing_is_no_event() {
    let mut book = Book::new();
    let mut mug = product("mug", ProductKind::Stocked, &[]);
    for (version, created, changed) in [(1, true, true), (1, false, false)] {
        let definition = Product {
            version,
            ..mug.clone()
        };
        let reply = CatalogueReply::Product {
            definition,
            created,
            changed,
        };
        assert_eq!(book.product(&mug), Ok(reply));
        assert_eq!(book.catalogue.version(), 1);
    }
    mug.weight_grams = 350;
    book.product(&mug).expect("it changed");
    assert_eq!(
        book.catalogue.product(&mug.sku).map(|known| known.version),
        Some(2)
    );
}

/// Two people edit one definition: the second one is told.
#[test]
fn a_version_that_is_not_the_current_one_is_refused() {
    let mut book = Book::new();
    let mut put = |name: &str, expected| {
        let mut definition = location("LEEDS");
        definition.name = name.into();
        let expected_version = Some(expected);
        book.put(&CatalogueCommand::PutLocation {
            location: definition,
            expected_version,
        })
        .map(|_| ())
    };
    assert_eq!(
        put("a", 1),
        Err(CatalogueRejection::VersionMismatch { current: 0 })
    );
    assert_eq!(put("a", 0), Ok(()));
    assert_eq!(
        put("b", 0),
        Err(CatalogueRejection::VersionMismatch { current: 1 })
    );
    assert_eq!(put("b", 1), Ok(()));
    assert_eq!(
        put("c", 1),
        Err(CatalogueRejection::VersionMismatch { current: 2 })
    );
}

/// Dense tables are indexed by ordinals: they count, and never change.
#[test]
fn ordinals_count_and_stay() {
    let mut book = Book::new();
    for (name, ordinal) in [
        ("YORK", 0),
        ("LEEDS", 1),
        ("BATH", 2),
        ("LEEDS", 1),
        ("ELY", 3),
    ] {
        let mut definition = location(name);
        definition.active = book.catalogue.location(&definition.id).is_none();
        book.location(&definition).expect("it is valid");
        assert_eq!(
            book.catalogue
                .location(&definition.id)
                .map(|known| known.ordinal),
            Some(ordinal)
        );
    }
}

#[test]
fn how_a_product_is_fulfilled() {
    let mut book = Book::new();
    for (name, kind) in [
        ("a", ProductKind::Stocked),
        ("b", ProductKind::Stocked),
        ("g", ProductKind::GiftCard),
    ] {
        book.product(&product(name, kind, &[]))
            .expect("it is valid");
    }
    book.product(&product("set", ProductKind::Bundle, &[("a", 1), ("b", 2)]))
        .expect("it is valid");
    let fulfilment = |name: &str| book.catalogue.fulfilment_of(&sku(name));
    assert_eq!(
        fulfilment("a"),
        Some(Fulfilment::Physical(vec![(sku("a"), 1)]))
    );
    assert_eq!(
        fulfilment("set"),
        Some(Fulfilment::Physical(vec![(sku("a"), 1), (sku("b"), 2)]))
    );
    assert_eq!(fulfilment("g"), Some(Fulfilment::Virtual));
    assert_eq!(fulfilment("A"), None, "SKUs are compared byte for byte");
}

#[test]
fn wrong_products_are_named() {
    let mut book = Book::new();
    book.product(&product("a", ProductKind::Stocked, &[]))
        .expect("it is valid");
    book.product(&product("g", ProductKind::Digital, &[]))
        .expect("it is valid");
    let mut refused = |components: &[(&str, u32)]| {
        pointer(book.product(&product("set", ProductKind::Bundle, components)))
    };
    assert_eq!(refused(&[]), "/components");
    assert_eq!(refused(&[("a", 1), ("nowhere", 1)]), "/components/1/sku");
    assert_eq!(refused(&[("g", 1)]), "/components/0/sku");
    assert_eq!(refused(&[("set", 1)]), "/components/0/sku");
    assert_eq!(refused(&[("a", 1), ("a", 2)]), "/components/1/sku");
    assert_eq!(refused(&[("a", 0)]), "/components/0/quantity");
    assert_eq!(
        pointer(book.product(&product("b", ProductKind::Service, &[("a", 1)]))),
        "/components"
    );
    let mut nameless = product("c", ProductKind::Stocked, &[]);
    nameless.name = "".into();
    assert_eq!(pointer(book.product(&nameless)), "/name");
    assert_eq!(book.catalogue.products_after(None).count(), 2);
}

#[test]
fn wrong_locations_are_named() {
    let mut book = Book::new();
    let mut refused = |change: fn(&mut LocationDefinition)| {
        let mut definition = location("LEEDS");
        change(&mut definition);
        pointer(book.location(&definition))
    };
    assert_eq!(refused(|l| l.country = "gb".into()), "/country");
    assert_eq!(refused(|l| l.country = "GBR".into()), "/country");
    assert_eq!(
        refused(|l| l.position.latitude_e6 = 90_000_001),
        "/latitude"
    );
    assert_eq!(
        refused(|l| l.position.longitude_e6 = -180_000_001),
        "/longitude"
    );
    assert_eq!(refused(|l| l.time_zone = "".into()), "/time_zone");
    assert_eq!(refused(|l| l.name = "x".repeat(201).into()), "/name");
}

#[test]
fn wrong_carriers_are_named() {
    let mut book = Book::new();
    let mut refused = |change: fn(&mut CarrierDefinition)| {
        let mut definition = carrier("post", "CN");
        change(&mut definition);
        pointer(book.carrier(&definition))
    };
    assert_eq!(refused(|c| c.currency = "XXQ".into()), "/currency");
    assert_eq!(
        refused(|c| c.tracking_prefix = "C1".into()),
        "/tracking_prefix"
    );
    assert_eq!(
        refused(|c| c.tracking_prefix = "CNX".into()),
        "/tracking_prefix"
    );
    assert_eq!(
        refused(|c| c.rates[0].service = "express".into()),
        "/rates/0/service"
    );
    assert_eq!(
        refused(|c| c.rates[0].zone = "moon".into()),
        "/rates/0/zone"
    );
    assert_eq!(refused(|c| c.rates[0].price = -1), "/rates/0/price");
    assert_eq!(
        refused(|c| c.rates[0].up_to_grams = 0),
        "/rates/0/up_to_grams"
    );
    assert_eq!(
        refused(|c| c.zones[0].countries[0] = "Gb".into()),
        "/zones/0/countries/0"
    );
    assert_eq!(
        refused(|c| c.zones.push(c.zones[0].clone())),
        "/zones/1/code"
    );
    assert_eq!(
        refused(|c| c.zones[0].countries = vec!["GB".into(); 301]),
        "/zones/0/countries"
    );
    book.carrier(&carrier("post", "CN")).expect("it is valid");
}

/// What a bundle is made of is stocked, and stays so.
#[test]
fn bundles_are_not_made_of_bundles() {
    let mut book = Book::new();
    book.product(&product("a", ProductKind::Stocked, &[]))
        .expect("it is valid");
    let of_itself = product("a", ProductKind::Bundle, &[("a", 1)]);
    assert_eq!(pointer(book.product(&of_itself)), "/components/0/sku");
    book.product(&product("set", ProductKind::Bundle, &[("a", 1)]))
        .expect("it is valid");
    let service = product("a", ProductKind::Service, &[]);
    assert_eq!(pointer(book.product(&service)), "/kind");
}

/// Each carrier counts its numbers by itself, so that a shared prefix would issue each twice.
#[test]
fn two_carriers_do_not_share_a_prefix() {
    let mut book = Book::new();
    book.carrier(&carrier("post", "CN")).expect("it is valid");
    assert_eq!(
        pointer(book.carrier(&carrier("parcels", "CN"))),
        "/tracking_prefix"
    );
    book.carrier(&carrier("parcels", "CP"))
        .expect("it is valid");
    book.carrier(&carrier("post", "CN")).expect("it is its own");
}
