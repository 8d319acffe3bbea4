//! What follows when units find no location: the after-action of a rule, and what is bought again.
//!
//! In: the rules that were tried on an order. Out: what the order is told about what is short. The
//! last rule tried speaks: each one before it left the matter to the next.

use std::fmt;

use compact_str::CompactString;
use consign_domain::order::{HoldReason, ShortageAction, ShortageRule};
use serde::de::value::StrDeserializer;
use serde::de::{self, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Compiled, Rule};
use crate::engine::Decided;

/// What follows when some units find no location under a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterAction {
    /// The plan stands; what is short is backordered or cancelled as the order says.
    #[default]
    AsOrderSays,
    /// The next rule is tried. The plan that leaves the fewest units short stands, the earliest of
    /// those. Without a next rule, as the order says.
    NextRule,
    /// What is short is backordered, whatever the order says.
    Backorder,
    /// What is short is cancelled; all of the order, if the order says so.
    Cancel,
    /// What is short waits until somebody releases the order.
    Park,
    /// What is short is backordered, and the order held for this reason.
    Hold(HoldReason),
}

/// A word, or `{ hold = REASON }`. Written out, since what serde derives does not say what is wrong
/// with a number or a list.
impl<'de> Deserialize<'de> for AfterAction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AfterAction, D::Error> {
        const WORDS: &[&str] = &["as_order_says", "next_rule", "backorder", "cancel", "park"];
        struct Word;
        impl<'de> Visitor<'de> for Word {
            type Value = AfterAction;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "one of {WORDS:?}, or a table with `hold`")
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<AfterAction, E> {
                Ok(match word {
                    "as_order_says" => AfterAction::AsOrderSays,
                    "next_rule" => AfterAction::NextRule,
                    "backorder" => AfterAction::Backorder,
                    "cancel" => AfterAction::Cancel,
                    "park" => AfterAction::Park,
                    other => return Err(E::unknown_variant(other, WORDS)),
                })
            }
            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<AfterAction, A::Error> {
                #[derive(Deserialize)]
                #[serde(rename_all = "snake_case")]
                enum Key {
                    Hold,
                }
                let Some(Key::Hold) = table.next_key()? else {
                    return Err(de::Error::missing_field("hold"));
                };
                let reason: CompactString = table.next_value()?;
                let reason: StrDeserializer<'_, A::Error> = reason.as_str().into_deserializer();
                let reason = HoldReason::deserialize(reason)?;
                match table.next_key::<Key>()? {
                    None => Ok(AfterAction::Hold(reason)),
                    Some(Key::Hold) => Err(de::Error::duplicate_field("hold")),
                }
            }
        }
        deserializer.deserialize_any(Word)
    }
}

impl AfterAction {
    fn for_the_order(self) -> ShortageAction {
        match self {
            AfterAction::AsOrderSays | AfterAction::NextRule => ShortageAction::AsOrderSays,
            AfterAction::Backorder => ShortageAction::Backorder,
            AfterAction::Cancel => ShortageAction::Cancel,
            AfterAction::Park => ShortageAction::Park,
            AfterAction::Hold(reason) => ShortageAction::Hold(reason),
        }
    }
}

/// What is always bought again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Restock {
    /// SKUs. What is short of them waits for stock, and is asked for.
    pub common: Vec<CompactString>,
}

impl Restock {
    pub(super) fn is_empty(&self) -> bool {
        self.common.is_empty()
    }
}

/// What followed because units were short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AfterReport {
    /// The rule that says so: the last one tried.
    pub rule: CompactString,
    /// What became of the units.
    pub action: ShortageAction,
    /// Whether staff were told.
    pub alert: bool,
}

impl fmt::Display for AfterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "By the rule \"{}\", what is short ", self.rule)?;
        match self.action {
            ShortageAction::AsOrderSays => {
                f.write_str("waits or is cancelled as the order says")?
            }
            ShortageAction::Backorder => f.write_str("waits for stock")?,
            ShortageAction::Cancel => f.write_str("is cancelled")?,
            ShortageAction::Park => f.write_str("waits until the order is released")?,
            ShortageAction::Hold(reason) => {
                let reason = match reason {
                    HoldReason::AwaitingPayment => "awaiting_payment",
                    HoldReason::HighRiskOfFraud => "high_risk_of_fraud",
                    HoldReason::IncorrectAddress => "incorrect_address",
                    HoldReason::OutOfStock => "out_of_stock",
                    HoldReason::AwaitingReturnItems => "awaiting_return_items",
                    HoldReason::ManualReview => "manual_review",
                    HoldReason::Other => "other",
                };
                write!(f, "waits for stock, and the order is held: {reason}")?;
            }
        }
        f.write_str(if self.alert { "; staff are told." } else { "." })
    }
}

/// Takes note that a rule was tried; the alerts of all that were count.
pub(crate) fn tried(decided: &mut Decided, nth: usize, rule: &Rule) {
    decided.last_tried = Some(nth);
    decided.alert |= rule.alert;
}

impl Compiled {
    /// What becomes of units that a decision leaves short, by the rules that were tried.
    #[must_use]
    pub fn after(&self, decided: &Decided) -> Option<AfterReport> {
        let last = &self.rules.get(decided.last_tried?)?.rule;
        Some(AfterReport {
            rule: last.name.clone(),
            action: last.when_short.for_the_order(),
            alert: decided.alert,
        })
    }

    /// The same as an order is told it. `skus` are what the order wants.
    #[must_use]
    pub fn shortage<'s>(
        &self,
        decided: &Decided,
        skus: impl Iterator<Item = &'s consign_domain::ids::Sku>,
    ) -> ShortageRule {
        let common = skus.filter(|sku| self.common.contains(sku)).cloned();
        let after = self.after(decided);
        ShortageRule {
            common: common.collect(),
            action: after.as_ref().map_or_else(Default::default, |it| it.action),
            alert: decided.alert,
            rule: after.map_or_else(Default::default, |it| it.rule),
        }
    }
}
