//! Inputs as they are stored with a decision: column by column, with runs of equal values as one.
//! Most candidates follow each other, ask the same rate and have enough of everything; so an order
//! against fifty locations takes a third of the room, and of the time to write it.

use compact_str::CompactString;
use consign_domain::money::Minor;
use consign_domain::order::SplitPolicy;
use serde::{Deserialize, Serialize, Serializer};

use crate::FIRST_RULE_VERSION;
use crate::facts::Facts;
use crate::inputs::{Candidate, InputLine, Inputs};

/// The stored forms. The first three are those of rule version 1, which began with the split policy
/// and named no version: their bytes are what they always were.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Stored {
    /// Rule version 1, any split.
    Allow(Columns),
    /// Rule version 1, all or none.
    ShipComplete(Columns),
    /// Rule version 1, one location.
    SingleLocation(Columns),
    /// Any later rule version.
    Ruled {
        rule_version: u32,
        strategy: u32,
        split: SplitPolicy,
        columns: Columns,
        facts: Option<Box<Facts>>,
    },
    /// As `Ruled`, with attributes of the lines, which came later.
    WithAttributes {
        rule_version: u32,
        strategy: u32,
        split: SplitPolicy,
        columns: Columns,
        facts: Box<Facts>,
        attributes: Vec<Vec<CompactString>>,
    },
}

/// The columns.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Columns {
    lines: Vec<InputLine>,
    /// (first, how many) that follow each other.
    ordinals: Vec<(u32, u32)>,
    km: Vec<u32>,
    /// (rate, how many).
    rates: Vec<(Option<Minor>, u32)>,
    without_stock: Vec<(u32, u32)>,
    /// (units, how many).
    available: Vec<(u32, u32)>,
    excluded: Vec<(u32, u32)>,
}

impl Serialize for Inputs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Stored::of(self).serialize(serializer)
    }
}

impl Stored {
    fn of(inputs: &Inputs) -> Stored {
        let columns = Columns::of(inputs);
        match inputs.split {
            SplitPolicy::Allow if inputs.is_first() => Stored::Allow(columns),
            SplitPolicy::ShipComplete if inputs.is_first() => Stored::ShipComplete(columns),
            SplitPolicy::SingleLocation if inputs.is_first() => Stored::SingleLocation(columns),
            split => Stored::ruled(inputs, split, columns),
        }
    }
}

impl Stored {
    fn ruled(inputs: &Inputs, split: SplitPolicy, columns: Columns) -> Stored {
        let (rule_version, strategy) = (inputs.rule_version, inputs.strategy);
        match &inputs.facts {
            Some(facts) if !facts.attributes.is_empty() => Stored::WithAttributes {
                rule_version,
                strategy,
                split,
                columns,
                attributes: facts.attributes.clone(),
                facts: facts.clone(),
            },
            facts => Stored::Ruled {
                rule_version,
                strategy,
                split,
                columns,
                facts: facts.clone(),
            },
        }
    }
}

impl Columns {
    fn of(inputs: &Inputs) -> Columns {
        let candidates = inputs.candidates.iter();
        let mut ordinals: Vec<(u32, u32)> = Vec::new();
        for ordinal in candidates.clone().map(|candidate| candidate.ordinal) {
            match ordinals.last_mut() {
                Some((first, count)) if first.checked_add(*count) == Some(ordinal) => *count += 1,
                _ => ordinals.push((ordinal, 1)),
            }
        }
        Columns {
            lines: inputs.lines.clone(),
            ordinals,
            km: candidates.clone().map(|candidate| candidate.km).collect(),
            rates: runs(candidates.map(|candidate| candidate.rate)),
            without_stock: inputs.without_stock.clone(),
            available: runs(inputs.available.iter().copied()),
            excluded: inputs.excluded.clone(),
        }
    }

    /// Inputs of the built-in strategy.
    fn inputs(self, rule_version: u32, split: SplitPolicy) -> Inputs {
        let follow = |(first, count): (u32, u32)| (0..count).map(move |nth| first + nth);
        let ordinals = self.ordinals.into_iter().flat_map(follow);
        let rates = self.rates.into_iter().flat_map(repeated);
        let candidate = |((ordinal, km), rate)| Candidate { ordinal, km, rate };
        Inputs {
            rule_version,
            strategy: 0,
            split,
            lines: self.lines,
            candidates: ordinals.zip(self.km).zip(rates).map(candidate).collect(),
            without_stock: self.without_stock,
            available: self.available.into_iter().flat_map(repeated).collect(),
            excluded: self.excluded,
            facts: None,
        }
    }
}

impl From<Stored> for Inputs {
    fn from(stored: Stored) -> Inputs {
        let first = |columns: Columns, split| columns.inputs(FIRST_RULE_VERSION, split);
        match stored {
            Stored::Allow(columns) => first(columns, SplitPolicy::Allow),
            Stored::ShipComplete(columns) => first(columns, SplitPolicy::ShipComplete),
            Stored::SingleLocation(columns) => first(columns, SplitPolicy::SingleLocation),
            Stored::Ruled {
                rule_version,
                strategy,
                split,
                columns,
                facts,
            } => Inputs {
                strategy,
                facts,
                ..columns.inputs(rule_version, split)
            },
            Stored::WithAttributes {
                rule_version,
                strategy,
                split,
                columns,
                facts,
                attributes,
            } => Inputs {
                strategy,
                facts: Some(Box::new(Facts {
                    attributes,
                    ..*facts
                })),
                ..columns.inputs(rule_version, split)
            },
        }
    }
}

/// Equal neighbours as one, with how many they are.
fn runs<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<(T, u32)> {
    let mut runs: Vec<(T, u32)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((known, count)) if *known == value => *count += 1,
            _ => runs.push((value, 1)),
        }
    }
    runs
}

fn repeated<T: Copy>((value, count): (T, u32)) -> impl Iterator<Item = T> {
    std::iter::repeat_n(value, count as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What rule version 1 stored, field by field.
    #[derive(Serialize)]
    struct First {
        split: SplitPolicy,
        lines: Vec<InputLine>,
        ordinals: Vec<(u32, u32)>,
        km: Vec<u32>,
        rates: Vec<(Option<Minor>, u32)>,
        without_stock: Vec<(u32, u32)>,
        available: Vec<(u32, u32)>,
        excluded: Vec<(u32, u32)>,
    }

    fn bytes(value: &impl Serialize) -> Vec<u8> {
        bincode::serde::encode_to_vec(value, bincode::config::standard()).expect("plain data")
    }

    fn back(bytes: &[u8]) -> Inputs {
        let config = bincode::config::standard();
        bincode::serde::decode_from_slice(bytes, config)
            .expect("its own bytes")
            .0
    }

    fn inputs(rule_version: u32, split: SplitPolicy) -> Inputs {
        let candidate = |ordinal, km| Candidate {
            ordinal,
            km,
            rate: Some(395),
        };
        Inputs {
            rule_version,
            strategy: 0,
            split,
            lines: vec![InputLine {
                line: 1,
                units: 2,
                parts: vec![(0, 1)],
                only: Some(4),
            }],
            candidates: vec![candidate(3, 12), candidate(4, 700)],
            without_stock: vec![(5, 6)],
            available: vec![2, 2],
            excluded: vec![(1, 3)],
            facts: None,
        }
    }

    #[test]
    fn decisions_of_the_first_rule_keep_their_bytes() {
        let policies = [
            SplitPolicy::Allow,
            SplitPolicy::ShipComplete,
            SplitPolicy::SingleLocation,
        ];
        for split in policies {
            let inputs = inputs(FIRST_RULE_VERSION, split);
            let first = First {
                split,
                lines: inputs.lines.clone(),
                ordinals: vec![(3, 2)],
                km: vec![12, 700],
                rates: vec![(Some(395), 2)],
                without_stock: vec![(5, 6)],
                available: vec![(2, 2)],
                excluded: vec![(1, 3)],
            };
            assert_eq!(bytes(&inputs), bytes(&first));
            assert_eq!(back(&bytes(&first)), inputs);
        }
    }

    /// A change of these bytes is a change of the format.
    #[test]
    fn stored_forms_hold_still() {
        let facts = Facts {
            channel: "web".into(),
            lines: vec![crate::LineFacts {
                value: 255,
                requires: vec!["fragile".into()],
                keep_with: Some(1),
            }],
            room: vec![(3, 9)],
            ..Facts::default()
        };
        let plain = inputs(2, SplitPolicy::ShipComplete);
        let full = Inputs {
            strategy: 7,
            facts: Some(Box::new(facts)),
            ..plain.clone()
        };
        let hex = |inputs: &Inputs| -> String {
            bytes(inputs)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        };
        let facts_hex = "00037765620000000001fbfe01010766726167696c6501010103090000";
        let columns = "0101020100010104010302020cfbbc020101fb160302010506010202010103";
        assert_eq!(hex(&inputs(1, SplitPolicy::Allow)), format!("00{columns}"));
        assert_eq!(hex(&plain), format!("03020001{columns}00"));
        assert_eq!(hex(&full), format!("03020701{columns}01{facts_hex}"));
        assert_eq!(back(&bytes(&full)), full);
        let mut named = full;
        let facts = named.facts.as_mut().expect("they have some");
        facts.attributes = vec![vec!["a=b".into()]];
        let attributes = "010103613d62";
        assert_eq!(
            hex(&named),
            format!("04020701{columns}{facts_hex}{attributes}")
        );
        assert_eq!(back(&bytes(&named)), named);
    }

    proptest! {
        #[test]
        fn inputs_come_back(
            ordinals in proptest::collection::btree_set(0..40_u32, 0..20),
            figures in proptest::collection::vec((0..3_u32, proptest::option::of(0..2_i64), 0..3_u32), 40),
            without_stock in proptest::collection::vec((100..200_u32, 1..5_u32), 0..3),
            excluded in proptest::collection::vec((0..4_u32, 0..40_u32), 0..3),
        ) {
            let candidate = |(ordinal, (km, rate, _)): (u32, &(u32, Option<i64>, u32))| Candidate {
                ordinal,
                km: *km,
                rate: *rate,
            };
            let inputs = Inputs {
                rule_version: FIRST_RULE_VERSION + u32::from(excluded.len() > 1),
                strategy: 3 * u32::from(excluded.len() > 1),
                facts: None,
                split: SplitPolicy::Allow,
                lines: vec![InputLine { line: 1, units: 2, parts: vec![(0, 1)], only: None }],
                available: figures.iter().take(ordinals.len()).map(|(.., units)| *units).collect(),
                candidates: ordinals.into_iter().zip(&figures).map(candidate).collect(),
                without_stock,
                excluded,
            };
            prop_assert_eq!(Inputs::from(Stored::of(&inputs)), inputs);
        }
    }
}
