//! What is particular about products: put with them, in one version; gone when put without.

use compact_str::CompactString;
use consign_domain::catalogue::{
    CatalogueCommand, CatalogueRejection, CatalogueReply, Product, ProductKind, Traits,
};
use consign_domain::entity::Entity;
use proptest::prelude::*;

use crate::catalogue::{Book, pointer, product, sku};

fn traits(handling: &[&str], attributes: &[(&str, &str)]) -> Traits {
    let pair = |(name, value): &(&str, &str)| ((*name).into(), (*value).into());
    Traits {
        handling: handling.iter().map(|name| (*name).into()).collect(),
        attributes: attributes.iter().map(pair).collect(),
    }
}

fn goods(product: &Product, traits: &Traits, expected_version: Option<u64>) -> CatalogueCommand {
    CatalogueCommand::PutGoods {
        product: product.clone(),
        traits: traits.clone(),
        expected_version,
    }
}

/// The version that stands after a put, and whether it changed anything.
fn stands(reply: Result<CatalogueReply, CatalogueRejection>) -> (u64, bool) {
    match reply {
        Ok(CatalogueReply::Product {
            definition,
            changed,
            ..
        }) => (definition.version, changed),
        other => panic!("{other:?}"),
    }
}

#[test]
fn traits_share_the_version_of_their_product() {
    let mut book = Book::new();
    let cod = product("cod", ProductKind::Stocked, &[]);
    let cold = traits(&["cold_chain", "fragile"], &[("season", "winter")]);
    assert_eq!(stands(book.put(&goods(&cod, &cold, Some(0)))), (1, true));
    assert_eq!(*book.catalogue.traits(&cod.sku), cold);
    let events = book.catalogue.version();
    assert_eq!(stands(book.put(&goods(&cod, &cold, None))), (1, false));
    assert_eq!(
        book.catalogue.version(),
        events,
        "the same again is no event"
    );
    // Something else about it, and nothing else about the product.
    let colder = traits(&["cold_chain"], &[]);
    let stale = book.put(&goods(&cod, &colder, Some(0)));
    assert_eq!(
        stale,
        Err(CatalogueRejection::VersionMismatch { current: 1 })
    );
    assert_eq!(stands(book.put(&goods(&cod, &colder, Some(1)))), (2, true));
    let version = |book: &Book| book.catalogue.product(&cod.sku).map(|it| it.version);
    assert_eq!(version(&book), Some(2));
    // Put without any, it has none.
    assert!(book.catalogue.has_traits());
    assert_eq!(stands(book.product(&cod)), (3, true));
    assert!(book.catalogue.traits(&cod.sku).is_none());
    assert!(!book.catalogue.has_traits());
    assert_eq!(stands(book.product(&cod)), (3, false));
    assert!(book.catalogue.traits(&sku("unknown")).is_none());
}

#[test]
fn wrong_traits_are_named_and_change_nothing() {
    let mut book = Book::new();
    let cod = product("cod", ProductKind::Stocked, &[]);
    let long = "x".repeat(65);
    let many: Vec<String> = (0..33).map(|nth| format!("a{nth}")).collect();
    let handling: Vec<&str> = many.iter().take(17).map(String::as_str).collect();
    let attributes: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "x")).collect();
    for (wrong, at) in [
        (traits(&["Cold"], &[]), "/handling"),
        (traits(&["a=b"], &[]), "/handling"),
        (traits(&handling, &[]), "/handling"),
        (traits(&[], &[("", "x")]), "/attributes"),
        (traits(&[], &[("season", "")]), "/attributes"),
        (traits(&[], &[("season", &long)]), "/attributes"),
        (traits(&[], &attributes), "/attributes"),
    ] {
        assert_eq!(pointer(book.put(&goods(&cod, &wrong, None))), at);
    }
    assert_eq!(book.catalogue.version(), 0);
}

fn any_traits() -> impl Strategy<Value = Traits> {
    let handling = proptest::sample::subsequence(vec!["fragile", "cold_chain", "oversize"], 0..=3);
    let attributes = proptest::sample::subsequence(vec![("season", "x"), ("size", "y")], 0..=2);
    (handling, attributes).prop_map(|(handling, attributes)| traits(&handling, &attributes))
}

proptest! {
    /// What was put last stands, its version counts what changed, and the stored parts are the whole
    /// of it, which the book checks after each put.
    #[test]
    fn what_was_put_last_stands(
        puts in proptest::collection::vec((0..3_usize, any_traits(), 0..2_u32), 1..40),
    ) {
        let mut book = Book::new();
        let mut expected: [Option<(Traits, u32, u64)>; 3] = [None, None, None];
        for (nth, traits, weight_grams) in puts {
            let name = ["a", "b", "c"][nth];
            let put = Product { weight_grams, ..product(name, ProductKind::Stocked, &[]) };
            let before = expected[nth].take();
            let same = before.as_ref().is_some_and(|(old, weight, _)| *old == traits && *weight == weight_grams);
            let version = before.map_or(0, |(.., version)| version) + u64::from(!same);
            prop_assert_eq!(stands(book.put(&goods(&put, &traits, None))), (version, !same));
            prop_assert_eq!(book.catalogue.traits(&put.sku), &traits);
            expected[nth] = Some((traits, weight_grams, version));
        }
        let words: Vec<CompactString> = book.catalogue.traits(&sku("a")).attribute_words().collect();
        prop_assert!(words.iter().all(|word| word == "season=x" || word == "size=y"));
    }
}
