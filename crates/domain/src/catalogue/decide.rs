//! Checks definitions and records those that change something.

use compact_str::{CompactString, format_compact};

use super::command::{CatalogueCommand, CatalogueRejection, CatalogueReply};
use super::state::{Catalogue, CatalogueEvent};
use super::strategies;
use super::traits::{self, Traits};
use super::trials;
use super::types::{CarrierDefinition, LocationDefinition, Product, ProductKind, Zone};
use crate::entity::{Decision, DecisionOf};
use crate::money::{AMOUNT_MAX, Currency};

/// Bytes of a name or another free text at most.
const TEXT_BYTES_MAX: usize = 200;
/// Components of a bundle at most.
const COMPONENTS_MAX: usize = 100;
/// Units of a component in one bundle at most.
const COMPONENT_UNITS_MAX: u32 = 10_000;
/// Services, zones or countries of a carrier at most.
const CARRIER_LIST_MAX: usize = 300;
/// Rates of a carrier at most.
const RATES_MAX: usize = 10_000;

type Decided = Result<DecisionOf<Catalogue>, CatalogueRejection>;

pub(super) fn decide(catalogue: &Catalogue, command: &CatalogueCommand) -> Decided {
    match command {
        CatalogueCommand::PutProduct {
            product,
            expected_version,
        } => put_product(catalogue, product, &Traits::default(), *expected_version),
        CatalogueCommand::PutGoods {
            product,
            traits,
            expected_version,
        } => put_product(catalogue, product, traits, *expected_version),
        CatalogueCommand::PutLocation {
            location,
            expected_version,
        } => put_location(catalogue, location, *expected_version),
        CatalogueCommand::PutCarrier {
            carrier,
            expected_version,
        } => put_carrier(catalogue, carrier, *expected_version),
        CatalogueCommand::DraftStrategy {
            name,
            text,
            expected_version,
        } => strategies::draft(catalogue, name, text, *expected_version),
        CatalogueCommand::ActivateStrategy {
            number,
            expected_version,
        } => strategies::activate(catalogue, *number, *expected_version),
        CatalogueCommand::RollBackStrategy { expected_version } => {
            strategies::roll_back(catalogue, *expected_version)
        }
        CatalogueCommand::StartTrial {
            number,
            mode,
            expected_version,
        } => trials::start(catalogue, *number, mode, *expected_version),
        CatalogueCommand::EndTrial {
            trial,
            outcome,
            reason,
            expected_version,
        } => trials::end(catalogue, *trial, *outcome, reason, *expected_version),
        CatalogueCommand::Wake => Ok(Decision {
            events: Vec::new(),
            private: None,
            reply: CatalogueReply::Done,
        }),
    }
}

/// What is put again as it is changes nothing.
fn put(changed: bool, event: CatalogueEvent, reply: CatalogueReply) -> DecisionOf<Catalogue> {
    Decision {
        events: changed.then_some(event).into_iter().collect(),
        private: None,
        reply,
    }
}

/// A product and what is particular about it have one version.
fn put_product(
    catalogue: &Catalogue,
    product: &Product,
    traits: &Traits,
    expected: Option<u64>,
) -> Decided {
    let known = catalogue.product(&product.sku);
    expect(known.map(|known| known.version), expected)?;
    text("/name", &product.name)?;
    traits::check(traits)?;
    check_components(catalogue, product)?;
    check_still_a_component(catalogue, known, product)?;
    let version = known.map_or(0, |known| known.version);
    let same = Product {
        version,
        ..product.clone()
    };
    let other_traits = catalogue.traits(&product.sku) != traits;
    let changed = known != Some(&same) || other_traits;
    let definition = Product {
        version: version + u64::from(changed),
        ..same
    };
    let event = CatalogueEvent::ProductPut {
        product: definition.clone(),
    };
    let set = CatalogueEvent::ProductTraitsSet {
        sku: product.sku.clone(),
        traits: traits.clone(),
    };
    let reply = CatalogueReply::Product {
        definition,
        created: known.is_none(),
        changed,
    };
    let mut decided = put(changed, event, reply);
    decided.events.extend(other_traits.then_some(set));
    Ok(decided)
}

fn check_components(catalogue: &Catalogue, product: &Product) -> Result<(), CatalogueRejection> {
    if product.kind != ProductKind::Bundle {
        let none = product.components.is_empty();
        return if none {
            Ok(())
        } else {
            Err(invalid("/components", "only_for_bundles"))
        };
    }
    if product.components.is_empty() || product.components.len() > COMPONENTS_MAX {
        return Err(invalid("/components", "out_of_range"));
    }
    for (at, component) in product.components.iter().enumerate() {
        let sku = format_compact!("/components/{at}/sku");
        match catalogue.product(&component.sku).map(|part| part.kind) {
            // Whatever it was before, it is a bundle from now on.
            Some(_) if component.sku == product.sku => return Err(invalid(&sku, "not_stocked")),
            Some(ProductKind::Stocked) => {}
            Some(_) => return Err(invalid(&sku, "not_stocked")),
            None => return Err(invalid(&sku, "unknown_sku")),
        }
        if product.components[..at]
            .iter()
            .any(|earlier| earlier.sku == component.sku)
        {
            return Err(invalid(&sku, "duplicate"));
        }
        if !(1..=COMPONENT_UNITS_MAX).contains(&component.quantity) {
            return Err(invalid(
                &format_compact!("/components/{at}/quantity"),
                "out_of_range",
            ));
        }
    }
    Ok(())
}

/// A bundle's components are stocked, and stay so for as long as it has them.
fn check_still_a_component(
    catalogue: &Catalogue,
    known: Option<&Product>,
    product: &Product,
) -> Result<(), CatalogueRejection> {
    let was_stocked = known.is_some_and(|known| known.kind == ProductKind::Stocked);
    if !was_stocked || product.kind == ProductKind::Stocked {
        return Ok(());
    }
    let names = |bundle: &Product| bundle.components.iter().any(|part| part.sku == product.sku);
    if catalogue.products_after(None).any(names) {
        return Err(invalid("/kind", "component_of_a_bundle"));
    }
    Ok(())
}

fn put_location(
    catalogue: &Catalogue,
    location: &LocationDefinition,
    expected: Option<u64>,
) -> Decided {
    let known = catalogue.location(&location.id);
    expect(known.map(|known| known.version), expected)?;
    text("/name", &location.name)?;
    text("/time_zone", &location.time_zone)?;
    country("/country", &location.country)?;
    if !(-90_000_000..=90_000_000).contains(&location.position.latitude_e6) {
        return Err(invalid("/latitude", "out_of_range"));
    }
    if !(-180_000_000..=180_000_000).contains(&location.position.longitude_e6) {
        return Err(invalid("/longitude", "out_of_range"));
    }
    let version = known.map_or(0, |known| known.version);
    // Locations are never taken away, so the next number is how many there are.
    let next = u32::try_from(catalogue.locations().count()).unwrap_or(u32::MAX);
    let ordinal = known.map_or(next, |known| known.ordinal);
    let same = LocationDefinition {
        version,
        ordinal,
        ..location.clone()
    };
    let changed = known != Some(&same);
    let definition = LocationDefinition {
        version: version + u64::from(changed),
        ..same
    };
    let event = CatalogueEvent::LocationPut {
        location: definition.clone(),
    };
    let reply = CatalogueReply::Location {
        definition,
        created: known.is_none(),
        changed,
    };
    Ok(put(changed, event, reply))
}

fn put_carrier(
    catalogue: &Catalogue,
    carrier: &CarrierDefinition,
    expected: Option<u64>,
) -> Decided {
    let known = catalogue.carrier(&carrier.id);
    expect(known.map(|known| known.version), expected)?;
    text("/name", &carrier.name)?;
    if Currency::from_code(&carrier.currency).is_none() {
        return Err(invalid("/currency", "unknown_currency"));
    }
    let chosen = CarrierDefinition {
        tracking_prefix: tracking_prefix(catalogue, carrier, known)?,
        ..carrier.clone()
    };
    let carrier = &chosen;
    let prefix = carrier.tracking_prefix.as_bytes();
    if prefix.len() != 2 || !prefix.iter().all(u8::is_ascii_uppercase) {
        return Err(invalid("/tracking_prefix", "invalid_value"));
    }
    // Carriers count their numbers by themselves: with one prefix they would issue the same ones.
    let taken = |other: &CarrierDefinition| {
        other.id != carrier.id && other.tracking_prefix == carrier.tracking_prefix
    };
    if catalogue.carriers().any(taken) {
        return Err(invalid("/tracking_prefix", "already_used"));
    }
    bounded("/services", carrier.services.len(), CARRIER_LIST_MAX)?;
    for (at, service) in carrier.services.iter().enumerate() {
        text(&format_compact!("/services/{at}"), service)?;
    }
    check_zones(&carrier.zones)?;
    check_rates(carrier)?;
    let version = known.map_or(0, |known| known.version);
    let same = CarrierDefinition {
        version,
        ..carrier.clone()
    };
    let changed = known != Some(&same);
    let definition = CarrierDefinition {
        version: version + u64::from(changed),
        ..same
    };
    let event = CatalogueEvent::CarrierPut {
        carrier: definition.clone(),
    };
    let reply = CatalogueReply::Carrier {
        definition,
        created: known.is_none(),
        changed,
    };
    Ok(put(changed, event, reply))
}

/// The letters that were given; else those that it has; else the first free ones from the letters
/// of its id on, so that two carriers never issue the same numbers.
fn tracking_prefix(
    catalogue: &Catalogue,
    carrier: &CarrierDefinition,
    known: Option<&CarrierDefinition>,
) -> Result<CompactString, CatalogueRejection> {
    const LETTERS: u32 = 26;
    if !carrier.tracking_prefix.is_empty() {
        return Ok(carrier.tracking_prefix.clone());
    }
    if let Some(known) = known {
        return Ok(known.tracking_prefix.clone());
    }
    let place = |byte: u8| u32::from(byte.to_ascii_uppercase() - b'A');
    let id = carrier.id.as_str().bytes().filter(u8::is_ascii_alphabetic);
    let first = id.take(2).fold(0, |at, byte| at * LETTERS + place(byte));
    let letter = |at: u32| char::from_u32(u32::from('A') + at % LETTERS).unwrap_or('A');
    let prefixes = (first..first + LETTERS * LETTERS)
        .map(|at| format_compact!("{}{}", letter(at / LETTERS), letter(at)));
    let free = |prefix: &CompactString| {
        !catalogue
            .carriers()
            .any(|other| other.tracking_prefix == *prefix)
    };
    let chosen = prefixes.into_iter().find(free);
    chosen.ok_or_else(|| invalid("/tracking_prefix", "all_used"))
}

fn check_zones(zones: &[Zone]) -> Result<(), CatalogueRejection> {
    bounded("/zones", zones.len(), CARRIER_LIST_MAX)?;
    for (at, zone) in zones.iter().enumerate() {
        text(&format_compact!("/zones/{at}/code"), &zone.code)?;
        if zones[..at].iter().any(|earlier| earlier.code == zone.code) {
            return Err(invalid(&format_compact!("/zones/{at}/code"), "duplicate"));
        }
        bounded(
            &format_compact!("/zones/{at}/countries"),
            zone.countries.len(),
            CARRIER_LIST_MAX,
        )?;
        for (nth, name) in zone
            .countries
            .iter()
            .enumerate()
            .filter(|(_, name)| *name != "*")
        {
            country(&format_compact!("/zones/{at}/countries/{nth}"), name)?;
        }
    }
    Ok(())
}

fn check_rates(carrier: &CarrierDefinition) -> Result<(), CatalogueRejection> {
    bounded("/rates", carrier.rates.len(), RATES_MAX)?;
    for (at, rate) in carrier.rates.iter().enumerate() {
        if !carrier.services.contains(&rate.service) {
            return Err(invalid(
                &format_compact!("/rates/{at}/service"),
                "unknown_service",
            ));
        }
        if !carrier.zones.iter().any(|zone| zone.code == rate.zone) {
            return Err(invalid(
                &format_compact!("/rates/{at}/zone"),
                "unknown_zone",
            ));
        }
        if rate.up_to_grams == 0 {
            return Err(invalid(
                &format_compact!("/rates/{at}/up_to_grams"),
                "out_of_range",
            ));
        }
        if !(0..=AMOUNT_MAX).contains(&rate.price) {
            return Err(invalid(
                &format_compact!("/rates/{at}/price"),
                "out_of_range",
            ));
        }
    }
    Ok(())
}

fn expect(known: Option<u64>, expected: Option<u64>) -> Result<(), CatalogueRejection> {
    let current = known.unwrap_or(0);
    match expected {
        Some(version) if version != current => Err(CatalogueRejection::VersionMismatch { current }),
        _ => Ok(()),
    }
}

fn text(pointer: &str, text: &CompactString) -> Result<(), CatalogueRejection> {
    match text.len() {
        0 => Err(invalid(pointer, "empty")),
        bytes if bytes > TEXT_BYTES_MAX => Err(invalid(pointer, "too_long")),
        _ => Ok(()),
    }
}

fn country(pointer: &str, code: &CompactString) -> Result<(), CatalogueRejection> {
    if code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(());
    }
    Err(invalid(pointer, "invalid_country"))
}

fn bounded(pointer: &str, count: usize, max: usize) -> Result<(), CatalogueRejection> {
    if count > max {
        Err(invalid(pointer, "too_many"))
    } else {
        Ok(())
    }
}

pub(super) fn invalid(pointer: &str, code: &str) -> CatalogueRejection {
    CatalogueRejection::Invalid {
        pointer: pointer.into(),
        code: code.into(),
    }
}
