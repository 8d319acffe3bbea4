//! The invoices' country names as ISO 3166-1 codes.
//!
//! In: a name as the file spells it. Out: its code, or none. Names that are no country get a stated
//! choice: `European Community` is Belgium, `Unspecified` is the United Kingdom, where the seller is.

const CODES: [(&str, &str); 38] = [
    ("Australia", "AU"),
    ("Austria", "AT"),
    ("Bahrain", "BH"),
    ("Belgium", "BE"),
    ("Brazil", "BR"),
    ("Canada", "CA"),
    ("Channel Islands", "JE"),
    ("Cyprus", "CY"),
    ("Czech Republic", "CZ"),
    ("Denmark", "DK"),
    ("EIRE", "IE"),
    ("European Community", "BE"),
    ("Finland", "FI"),
    ("France", "FR"),
    ("Germany", "DE"),
    ("Greece", "GR"),
    ("Hong Kong", "HK"),
    ("Iceland", "IS"),
    ("Israel", "IL"),
    ("Italy", "IT"),
    ("Japan", "JP"),
    ("Lebanon", "LB"),
    ("Lithuania", "LT"),
    ("Malta", "MT"),
    ("Netherlands", "NL"),
    ("Norway", "NO"),
    ("Poland", "PL"),
    ("Portugal", "PT"),
    ("RSA", "ZA"),
    ("Saudi Arabia", "SA"),
    ("Singapore", "SG"),
    ("Spain", "ES"),
    ("Sweden", "SE"),
    ("Switzerland", "CH"),
    ("USA", "US"),
    ("United Arab Emirates", "AE"),
    ("United Kingdom", "GB"),
    ("Unspecified", "GB"),
];

/// The code of a country, if it is one of the file's.
pub(super) fn code(name: &str) -> Option<&'static str> {
    let nth = CODES.binary_search_by_key(&name, |(name, _)| name).ok()?;
    Some(CODES[nth].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_strange_ones_are_not() {
        assert!(CODES.is_sorted(), "the search needs an order");
        assert_eq!(code("EIRE"), Some("IE"));
        assert_eq!(code("European Community"), Some("BE"));
        assert_eq!(code("Unspecified"), Some("GB"));
        assert_eq!(code("Atlantis"), None);
    }
}
