//! What is particular about a product, as a client writes it: special handling and attributes.
//!
//! In: the members `handling` and `attributes` of a product's body. Out: the domain's traits, or
//! faults that point at each name and value that is wrong.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use consign_domain::catalogue::{
    ATTRIBUTE_VALUE_BYTES_MAX, ATTRIBUTES_MAX, HANDLING_MAX, TRAIT_NAME_BYTES_MAX, Traits,
    is_trait_name,
};

use crate::fields::{At, Faults};
use crate::problem::shown;

/// The traits; whole only when no fault was noted.
pub fn parse(
    faults: &mut Faults,
    root: &At<'_>,
    handling: Vec<CompactString>,
    attributes: BTreeMap<CompactString, CompactString>,
) -> Traits {
    let at = root.field("handling");
    if handling.len() > HANDLING_MAX {
        faults.add(&at, "too_many", format!("at most {HANDLING_MAX} names"));
    }
    let mut names = BTreeSet::new();
    for (nth, name) in handling.into_iter().enumerate() {
        let place = at.index(nth);
        check_name(faults, &place, &name);
        if !names.insert(name) {
            faults.add(&place, "duplicate", "is there twice; name each once");
        }
    }
    let at = root.field("attributes");
    if attributes.len() > ATTRIBUTES_MAX {
        let detail = format!("at most {ATTRIBUTES_MAX} attributes");
        faults.add(&at, "too_many", detail);
    }
    for (name, value) in &attributes {
        let place = at.field(name);
        if check_name(faults, &place, name) {
            faults.text(&place, value, ATTRIBUTE_VALUE_BYTES_MAX);
        }
    }
    Traits {
        handling: names,
        attributes,
    }
}

fn check_name(faults: &mut Faults, at: &At<'_>, name: &str) -> bool {
    let fits = is_trait_name(name);
    if !fits {
        let detail = format!(
            "a name must be 1 to {TRAIT_NAME_BYTES_MAX} lower-case letters, digits, _ and -, not \"{}\"",
            shown(name)
        );
        faults.add(at, "invalid_value", detail);
    }
    fits
}
