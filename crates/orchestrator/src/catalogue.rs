//! Definitions: put and read products, locations and carriers.

use consign_domain::catalogue::{
    CarrierDefinition, Catalogue, CatalogueCommand, CatalogueId, CatalogueReply,
    LocationDefinition, Product, Traits,
};
use consign_domain::ids::{CarrierId, LocationId, Sku};
use consign_runtime::{Asked, Wait};

use crate::error::ServiceError;
use crate::options::CallMeta;
use crate::service::Consign;
use crate::view::LOCATIONS_MAX;

/// A product, and what is particular about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goods {
    /// The product.
    pub product: Product,
    /// What is particular about it.
    pub traits: Traits,
}

impl Goods {
    fn of(catalogue: &Catalogue, product: &Product) -> Goods {
        Goods {
            product: product.clone(),
            traits: catalogue.traits(&product.sku).clone(),
        }
    }
}

/// What a put came to.
#[derive(Clone, Debug)]
pub struct Put<T> {
    /// The definition that stands now.
    pub definition: T,
    /// Whether it was not there before.
    pub created: bool,
    /// Whether anything changed.
    pub changed: bool,
    /// Whether this is the remembered answer of an earlier, equal command.
    pub replayed: bool,
}

impl Consign {
    /// Defines a product, or defines it anew, with all that is particular about it.
    ///
    /// # Errors
    /// What is wrong with it, or `VersionMismatch`.
    pub async fn put_product(
        &self,
        goods: Goods,
        call: CallMeta,
    ) -> Result<Put<Goods>, ServiceError> {
        let expected_version = call.expected_version;
        let Goods { product, traits } = goods;
        // Of ordinary products there is nothing to tell that releases before did not understand.
        let command = if traits.is_none() {
            CatalogueCommand::PutProduct {
                product,
                expected_version,
            }
        } else {
            CatalogueCommand::PutGoods {
                product,
                traits: traits.clone(),
                expected_version,
            }
        };
        match self.define(command, call).await? {
            (
                CatalogueReply::Product {
                    definition,
                    created,
                    changed,
                },
                replayed,
            ) => Ok(Put {
                definition: Goods {
                    product: definition,
                    traits,
                },
                created,
                changed,
                replayed,
            }),
            (other, _) => Err(ServiceError::strange(&other)),
        }
    }

    /// Defines a location, or defines it anew; its ordinal is assigned with the first definition.
    ///
    /// # Errors
    /// What is wrong with it, or `VersionMismatch`.
    pub async fn put_location(
        &self,
        location: LocationDefinition,
        call: CallMeta,
    ) -> Result<Put<LocationDefinition>, ServiceError> {
        let catalogue = self.inner.catalogue.load_full();
        let full = catalogue.locations().count() >= LOCATIONS_MAX as usize;
        if full && catalogue.location(&location.id).is_none() {
            return Err(consign_domain::catalogue::CatalogueRejection::Invalid {
                pointer: "/id".into(),
                code: "too_many_locations".into(),
            }
            .into());
        }
        let expected_version = call.expected_version;
        let command = CatalogueCommand::PutLocation {
            location,
            expected_version,
        };
        match self.define(command, call).await? {
            (
                CatalogueReply::Location {
                    definition,
                    created,
                    changed,
                },
                replayed,
            ) => Ok(Put {
                definition,
                created,
                changed,
                replayed,
            }),
            (other, _) => Err(ServiceError::strange(&other)),
        }
    }

    /// Defines a carrier, or defines it anew.
    ///
    /// # Errors
    /// What is wrong with it, or `VersionMismatch`.
    pub async fn put_carrier(
        &self,
        carrier: CarrierDefinition,
        call: CallMeta,
    ) -> Result<Put<CarrierDefinition>, ServiceError> {
        let expected_version = call.expected_version;
        let command = CatalogueCommand::PutCarrier {
            carrier,
            expected_version,
        };
        match self.define(command, call).await? {
            (
                CatalogueReply::Carrier {
                    definition,
                    created,
                    changed,
                },
                replayed,
            ) => Ok(Put {
                definition,
                created,
                changed,
                replayed,
            }),
            (other, _) => Err(ServiceError::strange(&other)),
        }
    }

    pub(crate) async fn define(
        &self,
        command: CatalogueCommand,
        call: CallMeta,
    ) -> Result<(CatalogueReply, bool), ServiceError> {
        // The definition's own version is judged by the catalogue, not the catalogue's by the runtime.
        let call = CallMeta {
            expected_version: None,
            ..call
        }
        .into_call(Wait::Durable);
        if let Some(key) = call.key {
            self.inner.definitions.claim(key, CatalogueId)?;
        }
        let Asked {
            reply, replayed, ..
        } = self
            .inner
            .definitions
            .ask(CatalogueId, command, call)
            .await?;
        Ok((reply, replayed))
    }

    /// A product.
    #[must_use]
    pub fn product(&self, sku: &Sku) -> Option<Goods> {
        let catalogue = self.inner.catalogue.load();
        let product = catalogue.product(sku)?;
        Some(Goods::of(&catalogue, product))
    }

    /// A location's definition.
    #[must_use]
    pub fn location(&self, id: &LocationId) -> Option<LocationDefinition> {
        self.inner.catalogue.load().location(id).cloned()
    }

    /// A carrier's definition.
    #[must_use]
    pub fn carrier(&self, id: &CarrierId) -> Option<CarrierDefinition> {
        self.inner.catalogue.load().carrier(id).cloned()
    }

    /// Products after `after` in byte order of their SKUs.
    #[must_use]
    pub fn products(&self, after: Option<&Sku>, limit: usize) -> Vec<Goods> {
        let catalogue = self.inner.catalogue.load();
        let products = catalogue.products_after(after).take(limit);
        products
            .map(|product| Goods::of(&catalogue, product))
            .collect()
    }

    /// Locations after `after` in byte order of their ids.
    #[must_use]
    pub fn locations(&self, after: Option<&LocationId>, limit: usize) -> Vec<LocationDefinition> {
        let catalogue = self.inner.catalogue.load();
        let later = |definition: &&LocationDefinition| after.is_none_or(|id| definition.id > *id);
        catalogue
            .locations()
            .filter(later)
            .take(limit)
            .cloned()
            .collect()
    }

    /// Carriers after `after` in byte order of their ids.
    #[must_use]
    pub fn carriers(&self, after: Option<&CarrierId>, limit: usize) -> Vec<CarrierDefinition> {
        let catalogue = self.inner.catalogue.load();
        let later = |definition: &&CarrierDefinition| after.is_none_or(|id| definition.id > *id);
        catalogue
            .carriers()
            .filter(later)
            .take(limit)
            .cloned()
            .collect()
    }
}
