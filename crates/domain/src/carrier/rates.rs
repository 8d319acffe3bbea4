//! What a parcel costs: the cheapest row of the rate table that fits service, zone and weight.

use crate::catalogue::CarrierDefinition;
use crate::money::Minor;

/// Stands for every country that no other zone names.
const ANY_COUNTRY: &str = "*";

/// The price of a parcel of `grams` to `country` by `service`, in minor units of the carrier's
/// currency; `None` when the carrier does not go there, not that heavy, or not that way.
#[must_use]
pub fn quote(
    carrier: &CarrierDefinition,
    service: &str,
    country: &str,
    grams: u32,
) -> Option<Minor> {
    let names = |code: &str| {
        carrier
            .zones
            .iter()
            .find(|zone| zone.countries.iter().any(|name| name == code))
    };
    let zone = names(country).or_else(|| names(ANY_COUNTRY))?;
    let fits = carrier.rates.iter().filter(|rate| {
        rate.service == service && rate.zone == zone.code && rate.up_to_grams >= grams
    });
    fits.map(|rate| rate.price).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Rate, Zone};
    use crate::ids::CarrierId;

    #[test]
    fn the_cheapest_row_that_fits_and_the_rest_of_the_world() {
        let rate = |zone: &str, up_to_grams, price| Rate {
            service: "standard".into(),
            zone: zone.into(),
            up_to_grams,
            price,
        };
        let zone = |code: &str, countries: &[&str]| Zone {
            code: code.into(),
            countries: countries.iter().map(|name| (*name).into()).collect(),
        };
        let carrier = CarrierDefinition {
            id: CarrierId::new("C").expect("valid"),
            name: "C".into(),
            currency: "GBP".into(),
            services: vec!["standard".into()],
            zones: vec![zone("home", &["GB"]), zone("world", &["*"])],
            rates: vec![
                rate("home", 1_000, 300),
                rate("home", 5_000, 500),
                rate("world", 5_000, 2_000),
            ],
            tracking_prefix: "CN".into(),
            version: 1,
        };
        assert_eq!(quote(&carrier, "standard", "GB", 1_000), Some(300));
        assert_eq!(quote(&carrier, "standard", "GB", 1_001), Some(500));
        assert_eq!(quote(&carrier, "standard", "NZ", 1), Some(2_000));
        assert_eq!(quote(&carrier, "standard", "GB", 5_001), None);
        assert_eq!(quote(&carrier, "express", "GB", 1), None);
    }
}
