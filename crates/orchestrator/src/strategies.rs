//! The retailer's sourcing strategies: drafted, activated on every node at once, rolled back.
//!
//! In: a [`Strategy`] as a client wrote it. Out: numbered versions in the catalogue, as JSON texts, of
//! which one is active. A draft that could not decide is refused with the place and the reason; so
//! whatever is in the catalogue can be compiled, and orders never wait for a strategy.

use std::collections::HashMap;

use compact_str::CompactString;
use consign_domain::catalogue::{
    BUILT_IN, Catalogue, CatalogueCommand, CatalogueReply, LocationDefinition, Strategies,
    StrategyVersion,
};
use consign_domain::time::Timestamp;
use consign_sourcing::{Compiled, KnownLocation, Strategy, StrategyError, ZoneTable};

use crate::error::ServiceError;
use crate::options::CallMeta;
use crate::service::Consign;

/// Until when the changes of a zone's clocks are known: 2100, in seconds since 1970.
const ZONES_KNOWN_UNTIL: i64 = 4_102_444_800;

/// A version of the strategy, without what it says.
#[derive(Clone, Debug)]
pub struct StrategyHead {
    /// From 1; 0 for the one that is built in.
    pub number: u32,
    /// Its name for people.
    pub name: CompactString,
    /// When it was drafted; nothing for the one that is built in.
    pub drafted_at: Option<Timestamp>,
    /// By whom.
    pub drafted_by: CompactString,
    /// Its last activation, while it decides.
    pub active_since: Option<Timestamp>,
    /// Whether it decides.
    pub is_active: bool,
    /// Counts every draft, activation and rollback, of any version.
    pub revision: u64,
}

/// A version of the strategy, whole.
#[derive(Clone, Debug)]
pub struct StrategyStands {
    /// Which.
    pub head: StrategyHead,
    /// What it says.
    pub strategy: Strategy,
}

/// What a change of strategies came to.
#[derive(Clone, Debug)]
pub struct StrategyChange {
    /// The version that it is about.
    pub stands: StrategyStands,
    /// Whether this is the remembered answer of an earlier, equal command.
    pub replayed: bool,
}

impl Consign {
    /// Keeps a strategy as the next version. It decides nothing until it is activated.
    ///
    /// # Errors
    /// `Strategy` with the place and the reason when it cannot decide; as for other definitions.
    pub async fn draft_strategy(
        &self,
        strategy: &Strategy,
        call: CallMeta,
    ) -> Result<StrategyChange, ServiceError> {
        // Locations that were acknowledged elsewhere may be named in it.
        self.read().await?;
        let catalogue = self.inner.catalogue.load_full();
        strategy.compiled(&known_locations(&catalogue, strategy))?;
        let text = serde_json::to_string(strategy).map_err(ServiceError::storage)?;
        let command = CatalogueCommand::DraftStrategy {
            name: strategy.name.clone(),
            text: text.into(),
            expected_version: call.expected_version,
        };
        self.change_strategies(command, call).await
    }

    /// Lets a version decide from now on, 0 for the one that is built in. Nodes take it up when they
    /// hear of it; each decision names the version that it was made by.
    ///
    /// # Errors
    /// `NotFound` when there is no such version.
    pub async fn activate_strategy(
        &self,
        number: u32,
        call: CallMeta,
    ) -> Result<StrategyChange, ServiceError> {
        self.read().await?;
        if number != BUILT_IN && self.strategies().version(number).is_none() {
            return Err(unknown(number));
        }
        let command = CatalogueCommand::ActivateStrategy {
            number,
            expected_version: call.expected_version,
        };
        self.change_strategies(command, call).await
    }

    /// Lets the version decide again that did before the last activation.
    ///
    /// # Errors
    /// A rejection when nothing was activated.
    pub async fn roll_back_strategy(&self, call: CallMeta) -> Result<StrategyChange, ServiceError> {
        let expected_version = call.expected_version;
        let command = CatalogueCommand::RollBackStrategy { expected_version };
        self.change_strategies(command, call).await
    }

    async fn change_strategies(
        &self,
        command: CatalogueCommand,
        call: CallMeta,
    ) -> Result<StrategyChange, ServiceError> {
        match self.define(command, call).await? {
            (CatalogueReply::Strategy { number, .. }, replayed) => Ok(StrategyChange {
                stands: self.strategy(number)?,
                replayed,
            }),
            (other, _) => Err(ServiceError::strange(&other)),
        }
    }

    /// A version of the strategy.
    ///
    /// # Errors
    /// `NotFound` when there is no such version.
    pub fn strategy(&self, number: u32) -> Result<StrategyStands, ServiceError> {
        let strategies = self.strategies();
        if number == BUILT_IN {
            return Ok(StrategyStands {
                head: head(&strategies, None),
                strategy: Strategy::built_in(),
            });
        }
        let version = strategies.version(number).ok_or_else(|| unknown(number))?;
        Ok(StrategyStands {
            head: head(&strategies, Some(version)),
            strategy: parsed(version)?,
        })
    }

    /// Versions before `before`, newest first; the one that is built in is the last.
    #[must_use]
    pub fn strategy_heads(&self, before: Option<u32>, limit: usize) -> Vec<StrategyHead> {
        let strategies = self.strategies();
        let drafted = strategies.versions().rev().map(Some);
        let all = drafted.chain([None]).map(|it| head(&strategies, it));
        all.filter(|head| before.is_none_or(|before| head.number < before))
            .take(limit)
            .collect()
    }

    fn strategies(&self) -> Strategies {
        self.inner.catalogue.load().strategies().clone()
    }
}

fn unknown(number: u32) -> ServiceError {
    ServiceError::NotFound {
        kind: "strategy".into(),
        name: compact_str::format_compact!("{number}"),
    }
}

fn head(strategies: &Strategies, version: Option<&StrategyVersion>) -> StrategyHead {
    let number = version.map_or(BUILT_IN, |version| version.number);
    let is_active = strategies.active() == number;
    let record = strategies.record();
    let last = record.activations.last();
    StrategyHead {
        number,
        name: version.map_or_else(|| Strategy::built_in().name, |it| it.name.clone()),
        drafted_at: version.map(|version| version.drafted_at),
        drafted_by: version.map_or_else(CompactString::default, |it| it.drafted_by.clone()),
        active_since: last.filter(|_| is_active).map(|last| last.at),
        is_active,
        revision: record.revision,
    }
}

fn parsed(version: &StrategyVersion) -> Result<Strategy, ServiceError> {
    serde_json::from_str(&version.text).map_err(ServiceError::storage)
}

/// A version of the strategy, ready to decide.
///
/// # Errors
/// Why it cannot; drafts like that are refused, so only another release may have made one.
pub(crate) fn compiled(catalogue: &Catalogue, number: u32) -> Result<Compiled, ServiceError> {
    if number == BUILT_IN {
        return Ok(Compiled::default());
    }
    let version = catalogue.strategies().version(number);
    let strategy = parsed(version.ok_or_else(|| unknown(number))?)?;
    Ok(strategy.compiled(&known_locations(catalogue, &strategy))?)
}

/// The version that is active, ready to decide. One that cannot is reported, and the built-in one
/// decides: orders go on.
pub(crate) fn active(catalogue: &Catalogue) -> (u32, Compiled) {
    let number = catalogue.strategies().active();
    match compiled(catalogue, number) {
        Ok(compiled) => (number, compiled),
        Err(error) => {
            tracing::error!(
                number,
                %error,
                "the active strategy cannot decide; the built-in one does"
            );
            (BUILT_IN, Compiled::default())
        }
    }
}

/// All locations; with their clocks, those of which the strategy knows more than the name, and all
/// where it promises dates.
pub(crate) fn known_locations(catalogue: &Catalogue, strategy: &Strategy) -> Vec<KnownLocation> {
    let mut zones: HashMap<CompactString, ZoneTable> = HashMap::new();
    let known = |location: &LocationDefinition| {
        let id: CompactString = location.id.as_str().into();
        let has_clock = strategy.transit.is_some() || strategy.locations.contains_key(&id);
        let zone = has_clock.then(|| {
            let zone = zones.entry(location.time_zone.clone());
            zone.or_insert_with_key(|name| zone_table(name)).clone()
        });
        KnownLocation {
            id,
            ordinal: location.ordinal,
            zone: zone.unwrap_or_default(),
        }
    };
    catalogue.locations().map(known).collect()
}

/// When the clocks of a zone change, and to what; UTC where nobody knows it.
fn zone_table(name: &str) -> ZoneTable {
    let epoch = jiff::Timestamp::UNIX_EPOCH;
    let Ok(zone) = jiff::tz::TimeZone::get(name) else {
        return ZoneTable::default();
    };
    let first = (epoch.as_second(), zone.to_offset(epoch).seconds());
    let later = zone
        .following(epoch)
        .map(|change| (change.timestamp().as_second(), change.offset().seconds()))
        .take_while(|(at, _)| *at < ZONES_KNOWN_UNTIL);
    ZoneTable([first].into_iter().chain(later).collect())
}

impl From<StrategyError> for ServiceError {
    fn from(error: StrategyError) -> ServiceError {
        ServiceError::Strategy {
            place: error.place,
            reason: error.reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_of_london_change_twice_a_year() {
        let table = zone_table("Europe/London");
        // 2011-03-27 and 2011-10-30, both at 01:00 UTC.
        for change in [(1_301_187_600, 3_600), (1_319_936_400, 0)] {
            assert!(table.0.contains(&change), "{change:?}");
        }
        assert!(table.0.is_sorted());
        assert_eq!(zone_table("Nowhere/At all"), ZoneTable::default());
    }
}
