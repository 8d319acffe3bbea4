//! What a strategy wants to know beyond distances, rates and stock: about the order, its lines, and
//! how busy locations are.

use compact_str::CompactString;
use consign_domain::money::Minor;
use consign_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A line, as a strategy sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineFacts {
    /// What all units of it are worth, in minor units.
    pub value: Minor,
    /// Special handling that it needs: `hazardous`, `fragile`, `cold_chain`, or a word of the
    /// retailer's own.
    pub requires: Vec<CompactString>,
    /// Lines with the same number come from one location together, or not at all.
    pub keep_with: Option<u32>,
}

/// What a strategy wants to know. Lists of (ordinal, figure) name only the locations of which a
/// figure is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// When the decision is made.
    pub now: Timestamp,
    /// Where the order came from.
    pub channel: CompactString,
    /// The retailer's own word for it.
    pub order_type: Option<CompactString>,
    /// The customer's group.
    pub customer_group: Option<CompactString>,
    /// ISO 3166-1 alpha-2 of the destination.
    pub country: CompactString,
    /// `standard`, `express`, `same_day`, `pickup`.
    pub service_level: CompactString,
    /// Line by line, as in [`crate::Inputs::lines`].
    pub lines: Vec<LineFacts>,
    /// Units that a location may still take on.
    pub room: Vec<(u32, u32)>,
    /// Work waiting at a location, in thousandths of what it can do.
    pub load_permille: Vec<(u32, u32)>,
    /// How long a location's stock of what is wanted lasts, in tenths of a week.
    pub supply_tenths: Vec<(u32, u32)>,
    /// The retailer's own attributes of the lines, as in [`Facts::lines`], each as `season=summer`;
    /// empty when no line has any. Stored beside the facts, whose bytes were there before it.
    #[serde(skip)]
    pub attributes: Vec<Vec<CompactString>>,
}

impl Facts {
    /// What the whole order is worth, in minor units.
    #[must_use]
    pub fn value(&self) -> Minor {
        let values = self.lines.iter().map(|line| line.value);
        values.fold(0, Minor::saturating_add)
    }

    /// Attributes of a line, each as `season=summer`.
    pub(crate) fn attributes_of(&self, line: usize) -> &[CompactString] {
        self.attributes.get(line).map_or(&[], Vec::as_slice)
    }
}

/// The figure of a location, if it is known.
pub(crate) fn figure(list: &[(u32, u32)], ordinal: u32) -> Option<u32> {
    let known = list.iter().find(|(of, _)| *of == ordinal);
    known.map(|(_, figure)| *figure)
}
