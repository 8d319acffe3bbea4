//! Where customers live: towns drawn by population and keyed by the customer, so that a customer
//! always lives in the same place.
//!
//! In: a country and a customer. Out: a town; none where the list has no town of the country (the
//! Channel Islands), whose orders then carry the country only.

use std::collections::HashMap;

use serde::Deserialize;

const PLACES: &[u8] = include_bytes!("../../data/places.csv");

/// A town.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Place {
    country: String,
    pub(super) name: String,
    pub(super) latitude: f64,
    pub(super) longitude: f64,
    population: u64,
}

/// Towns by country.
#[derive(Debug)]
pub(super) struct Places {
    countries: HashMap<String, Vec<Place>>,
}

impl Places {
    /// The list that is part of the program.
    pub(super) fn embedded() -> Places {
        let mut countries: HashMap<String, Vec<Place>> = HashMap::new();
        for place in csv::Reader::from_reader(PLACES).into_deserialize::<Place>() {
            let place = place.expect("the embedded list is well formed, as a test shows");
            countries
                .entry(place.country.clone())
                .or_default()
                .push(place);
        }
        Places { countries }
    }

    /// The customer's town.
    pub(super) fn draw(&self, country: &str, customer: &str) -> Option<&Place> {
        let towns = self.countries.get(country)?;
        let people: u64 = towns.iter().map(|town| town.population).sum();
        let mut nth = stable(customer) % people.max(1);
        towns.iter().find(|town| {
            let here = nth < town.population;
            nth = nth.saturating_sub(town.population);
            here
        })
    }
}

/// A number that a text always gives, on every machine and in every version: FNV-1a and a finishing
/// mix, so that its low bits are as good as its high ones.
pub(super) fn stable(text: &str) -> u64 {
    stable_from(0xcbf2_9ce4_8422_2325, text.as_bytes())
}

/// FNV-1a on from an earlier state, mixed.
pub(super) fn stable_from(state: u64, bytes: &[u8]) -> u64 {
    let folded = bytes.iter().fold(state, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (folded ^ (folded >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn town<'a>(places: &'a Places, country: &str, customer: &str) -> Option<&'a str> {
        places
            .draw(country, customer)
            .map(|place| place.name.as_str())
    }

    #[test]
    fn a_customer_stays_where_they_live() {
        let places = Places::embedded();
        assert_eq!(places.countries.len(), 35);
        assert_eq!(town(&places, "GB", "17850"), town(&places, "GB", "17850"));
        assert_eq!(town(&places, "JE", "17850"), None);
        let mut drawn: HashMap<&str, u32> = HashMap::new();
        for nth in 0..10_000 {
            *drawn
                .entry(town(&places, "GB", &nth.to_string()).expect("a town"))
                .or_default() += 1;
        }
        assert_eq!(drawn.len(), 25, "every town is somebody's");
        assert!(
            drawn.values().max() == drawn.get("London"),
            "the largest is most people's: {drawn:?}"
        );
        assert_eq!(
            stable("17850"),
            0xa004_8c1d_ae41_3d86,
            "towns move if the hash does"
        );
    }
}
