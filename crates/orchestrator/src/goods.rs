//! What goods bring along: their weight for rates, and for a strategy of the retailer's own the
//! special handling that they need and their attributes.
//!
//! In: the catalogue, and what an order needs. Out: grams, and facts of each line. Looks only at what
//! is there: an order of products about which nothing is particular costs a look at its weights.

use compact_str::CompactString;
use consign_domain::catalogue::Catalogue;
use consign_domain::ids::Sku;
use consign_sourcing::Facts;

use crate::atlas::Need;

/// Grams assumed at least of goods of which some weight is unknown: the weight break that most
/// small parcels share.
const PARCEL_GRAMS: u64 = 1_000;

/// What all units weigh together, in grams. A bundle weighs what it says, else what its components
/// do. Where some weight is unknown, what is known counts, and a small parcel at least.
pub(crate) fn grams(catalogue: &Catalogue, needs: &[Need<'_>]) -> u32 {
    let mut sum = 0_u64;
    let mut all_known = true;
    let of = |sku: &Sku| {
        let product = catalogue.product(sku);
        product.map_or(0, |product| u64::from(product.weight_grams))
    };
    for need in needs {
        let mut each = of(need.sku);
        if each == 0 {
            for (sku, per_unit) in need.parts.iter().filter(|(sku, _)| sku != need.sku) {
                let part = of(sku);
                all_known &= part > 0;
                each = each.saturating_add(part.saturating_mul(u64::from(*per_unit)));
            }
            all_known &= each > 0;
        }
        sum = sum.saturating_add(each.saturating_mul(u64::from(need.units_weighed)));
    }
    let grams = if all_known {
        sum
    } else {
        sum.max(PARCEL_GRAMS)
    };
    u32::try_from(grams).unwrap_or(u32::MAX)
}

/// Tells a strategy what lines need: the special handling of the product and of all its components,
/// and the attributes of the product itself.
pub(crate) fn tell(catalogue: &Catalogue, needs: &[Need<'_>], facts: &mut Facts) {
    if !catalogue.has_traits() {
        return;
    }
    for (need, line) in needs.iter().zip(&mut facts.lines) {
        line.requires = handling(catalogue, need);
    }
    let attributes = |need: &Need<'_>| catalogue.traits(need.sku).attribute_words().collect();
    let attributes: Vec<Vec<CompactString>> = needs.iter().map(attributes).collect();
    if attributes.iter().any(|words| !words.is_empty()) {
        facts.attributes = attributes;
    }
}

/// In byte order, each once.
fn handling(catalogue: &Catalogue, need: &Need<'_>) -> Vec<CompactString> {
    let parts = need.parts.iter().map(|(sku, _)| sku);
    let skus = [need.sku]
        .into_iter()
        .chain(parts.filter(|sku| *sku != need.sku));
    let names = skus.flat_map(|sku| &catalogue.traits(sku).handling);
    let mut names: Vec<CompactString> = names.cloned().collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use consign_domain::catalogue::{
        CatalogueCommand, CatalogueEvent, CatalogueId, CataloguePart, CataloguePartKey, Product,
        ProductKind, Traits,
    };
    use consign_domain::entity::{Context, Entity};
    use consign_domain::money::UnitPrice;
    use consign_domain::time::Timestamp;
    use consign_sourcing::LineFacts;

    fn sku(name: &str) -> Sku {
        Sku::new(name).expect("a valid SKU")
    }

    fn product(name: &str, weight_grams: u32) -> Product {
        Product {
            sku: sku(name),
            name: "a thing".into(),
            kind: ProductKind::Stocked,
            components: Vec::new(),
            weight_grams,
            version: 0,
        }
    }

    fn traits(handling: &[&str], attributes: &[(&str, &str)]) -> Traits {
        let pair = |(name, value): &(&str, &str)| ((*name).into(), (*value).into());
        Traits {
            handling: handling.iter().map(|name| (*name).into()).collect(),
            attributes: attributes.iter().map(pair).collect(),
        }
    }

    fn catalogue(goods: &[(Product, Traits)]) -> Catalogue {
        let mut catalogue = Catalogue::empty(CatalogueId);
        let context = Context {
            now: Timestamp(7),
            occurred_at: None,
            by: "test".into(),
        };
        for (product, traits) in goods {
            let command = CatalogueCommand::PutGoods {
                product: product.clone(),
                traits: traits.clone(),
                expected_version: None,
            };
            let decided = catalogue.decide(&command, &context).expect("it is sane");
            for event in &decided.events {
                catalogue.apply(event, &context.stamp());
            }
        }
        catalogue
    }

    fn need<'a>(sku: &'a Sku, units: u32, parts: &'a [(Sku, u32)]) -> Need<'a> {
        Need {
            line: 0,
            sku,
            units,
            units_weighed: units,
            parts,
            only: None,
            unit_price: UnitPrice::default(),
        }
    }

    #[test]
    fn goods_weigh_what_is_known_of_them() {
        let none = Traits::default();
        let catalogue = catalogue(&[
            (product("mug", 350), none.clone()),
            (product("pan", 2_000), none.clone()),
            (product("card", 0), none.clone()),
            (product("crate", 9_000), none),
        ]);
        let of = |name: &str, units: u32, parts: &[(&str, u32)]| {
            let parts: Vec<(Sku, u32)> = parts.iter().map(|(of, per)| (sku(of), *per)).collect();
            grams(&catalogue, &[need(&sku(name), units, &parts)])
        };
        assert_eq!(of("mug", 3, &[("mug", 1)]), 1_050);
        assert_eq!(of("card", 3, &[("card", 1)]), 1_000);
        assert_eq!(of("gone", 3, &[("gone", 1)]), 1_000);
        // A bundle's own weight counts, else that of its components.
        assert_eq!(of("crate", 2, &[("mug", 4), ("pan", 1)]), 18_000);
        assert_eq!(of("set", 2, &[("mug", 4), ("pan", 1)]), 6_800);
        assert_eq!(of("set", 1, &[("mug", 1), ("card", 1)]), 1_000);
        assert_eq!(of("set", 2, &[("pan", 1), ("card", 1)]), 4_000);
        assert_eq!(of("crate", u32::MAX, &[("mug", 1)]), u32::MAX);
        assert_eq!(grams(&catalogue, &[]), 0);
        let (mug, card) = (sku("mug"), sku("card"));
        let both = [need(&mug, 10, &[]), need(&card, 1, &[])];
        assert_eq!(grams(&catalogue, &both), 3_500);
    }

    #[test]
    fn a_bundle_needs_what_its_components_need() {
        let catalogue = catalogue(&[
            (
                product("cod", 1),
                traits(&["cold_chain", "fragile"], &[("season", "winter")]),
            ),
            (
                product("knife", 1),
                traits(&["age_restricted", "fragile"], &[]),
            ),
            (product("mug", 1), Traits::default()),
            (product("set", 1), traits(&["oversize"], &[("gift", "yes")])),
        ]);
        let parts = [(sku("cod"), 1), (sku("knife"), 2)];
        let (set, mug) = (sku("set"), sku("mug"));
        let own = [(mug.clone(), 1)];
        let tell = |needs: &[Need<'_>]| {
            let mut facts = Facts {
                lines: vec![LineFacts::default(); needs.len()],
                ..Facts::default()
            };
            tell(&catalogue, needs, &mut facts);
            facts
        };
        let facts = tell(&[need(&mug, 1, &own), need(&set, 1, &parts)]);
        assert!(facts.lines[0].requires.is_empty());
        let all = ["age_restricted", "cold_chain", "fragile", "oversize"];
        assert_eq!(facts.lines[1].requires, all);
        assert_eq!(facts.attributes, [vec![], vec!["gift=yes"]]);
        assert!(tell(&[need(&mug, 1, &own)]).attributes.is_empty());
    }

    /// Rows that were written before anything was particular about a product must be read for ever, so
    /// a change of these bytes is a change of the format.
    #[test]
    fn definitions_hold_still() {
        fn hex(value: &impl serde::Serialize) -> String {
            let bytes = consign_runtime::encode(value).expect("plain data");
            bytes.iter().map(|byte| format!("{byte:02x}")).collect()
        }
        let mug = Product {
            version: 2,
            ..product("mug", 350)
        };
        let product_hex = "036d75670761207468696e670000fb5e0102";
        let command = CatalogueCommand::PutProduct {
            product: mug.clone(),
            expected_version: Some(1),
        };
        assert_eq!(hex(&command), format!("0100{product_hex}0101"));
        let event = CatalogueEvent::ProductPut {
            product: mug.clone(),
        };
        assert_eq!(hex(&event), format!("0100{product_hex}"));
        let part = CataloguePart::Product(std::sync::Arc::new(mug.clone()));
        assert_eq!(hex(&part), format!("0101{product_hex}"));
        assert_eq!(hex(&CataloguePartKey::Product(sku("mug"))), "0101036d7567");
        // What came later.
        let traits = traits(&["cold"], &[("a", "b")]);
        let traits_hex = "0104636f6c640101610162";
        let command = CatalogueCommand::PutGoods {
            product: mug,
            traits: traits.clone(),
            expected_version: None,
        };
        assert_eq!(hex(&command), format!("0107{product_hex}{traits_hex}00"));
        let event = CatalogueEvent::ProductTraitsSet {
            sku: sku("mug"),
            traits: traits.clone(),
        };
        assert_eq!(hex(&event), format!("0106036d7567{traits_hex}"));
        let part = CataloguePart::Traits(sku("mug"), std::sync::Arc::new(traits));
        assert_eq!(hex(&part), format!("0106036d7567{traits_hex}"));
        assert_eq!(hex(&CataloguePartKey::Traits(sku("mug"))), "0106036d7567");
    }
}
