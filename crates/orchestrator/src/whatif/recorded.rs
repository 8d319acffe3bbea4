//! A recording, read and brought into the order of time.

use std::collections::HashMap;

use compact_str::CompactString;
use consign_domain::catalogue::{Catalogue, CatalogueEvent, CatalogueId};
use consign_domain::entity::{Entity, Stamp};
use consign_domain::ids::{LocationId, OrderId, Sku};
use consign_domain::location::CapacityLimits;
use consign_domain::order::{Assignment, OrderEvent};
use consign_domain::time::Timestamp;
use consign_sourcing::Inputs;
use foldhash::fast::RandomState;

use super::stock::Levels;
use crate::recording::{RECORDING_FORMAT, Recorded, Window};

/// Why a recording cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// It begins with something else.
    #[error("this is no recording: its first line is no head")]
    NoHead,
    /// Another release made it.
    #[error("its format is {found}, and this release reads {RECORDING_FORMAT}: make it anew")]
    Format {
        /// Its format.
        found: u32,
    },
    /// It was cut off.
    #[error("it was cut off: {found} lines of {expected}")]
    CutOff {
        /// Lines that are there.
        found: u64,
        /// Lines that there were; 0 when the last one is missing.
        expected: u64,
    },
    /// It names a location of which it holds no definition.
    #[error("there is no definition of location {0} in it")]
    Unknown(LocationId),
}

/// Something that happened, with names as numbers.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) at: Timestamp,
    pub(super) what: What,
}

/// What happened.
#[derive(Debug)]
pub(super) enum What {
    /// Stock rose or fell.
    Stock {
        ordinal: u32,
        /// Whose reservation it was.
        order: Option<u32>,
        /// (SKU, units).
        changes: Vec<(u32, i64)>,
    },
    /// A location was limited.
    Limited {
        ordinal: u32,
        limits: CapacityLimits,
    },
    /// Something about an order.
    Order { order: u32, event: Box<OrderEvent> },
    /// A decision.
    Decided {
        order: u32,
        assignments: Vec<Assignment>,
        inputs: Box<Inputs>,
    },
}

/// A recording in the order of time.
#[derive(Debug)]
pub struct Recording {
    pub(super) window: Window,
    pub(super) catalogue: Catalogue,
    pub(super) entries: Vec<Entry>,
    pub(super) orders: Vec<OrderId>,
    pub(super) skus: HashMap<Sku, u32, RandomState>,
    /// What there was before the first entry.
    pub(super) levels: Levels,
}

/// A recording being read.
#[derive(Debug)]
pub(super) struct Reading {
    recording: Recording,
    order_numbers: HashMap<OrderId, u32, RandomState>,
    /// Up to which of a location's events what it stands at counts.
    stands_at: HashMap<u32, u64>,
    lines: u64,
    ended: Option<u64>,
}

impl Recording {
    /// Reads a recording from its lines.
    ///
    /// # Errors
    /// When it is none, is of another format, was cut off, or contradicts itself.
    pub fn read(lines: impl IntoIterator<Item = Recorded>) -> Result<Recording, RecordingError> {
        let mut lines = lines.into_iter();
        let Some(Recorded::Head {
            format,
            since,
            until,
            ..
        }) = lines.next()
        else {
            return Err(RecordingError::NoHead);
        };
        if format != RECORDING_FORMAT {
            return Err(RecordingError::Format { found: format });
        }
        let mut reading = Reading::new(Window { since, until });
        for line in lines {
            reading.take(line)?;
        }
        reading.finish()
    }

    /// When the orders were placed that it is about: from the first moment, before the second.
    #[must_use]
    pub fn window(&self) -> (Timestamp, Timestamp) {
        (self.window.since, self.window.until)
    }

    /// A version of the strategy that was drafted where it was made: its name and its JSON text.
    #[must_use]
    pub fn strategy(&self, number: u32) -> Option<(&CompactString, &str)> {
        let version = self.catalogue.strategies().version(number)?;
        Some((&version.name, version.text.as_str()))
    }

    /// How many things it says happened.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn ordinal(&self, id: &LocationId) -> Result<u32, RecordingError> {
        let location = self.catalogue.location(id);
        let ordinal = location.map(|definition| definition.ordinal);
        ordinal.ok_or_else(|| RecordingError::Unknown(id.clone()))
    }
}

impl Reading {
    fn new(window: Window) -> Reading {
        Reading {
            recording: Recording {
                window,
                catalogue: Catalogue::empty(CatalogueId),
                entries: Vec::new(),
                orders: Vec::new(),
                skus: HashMap::default(),
                levels: Levels::default(),
            },
            order_numbers: HashMap::default(),
            stands_at: HashMap::new(),
            lines: 1,
            ended: None,
        }
    }

    fn take(&mut self, line: Recorded) -> Result<(), RecordingError> {
        if !matches!(line, Recorded::End { .. }) {
            self.lines += 1;
        }
        match line {
            Recorded::Head { .. } => return Err(RecordingError::NoHead),
            Recorded::End { lines } => self.ended = Some(lines),
            Recorded::Definition(event) => self.define(&event),
            Recorded::Stands {
                location,
                version,
                available,
            } => {
                let ordinal = self.recording.ordinal(&location)?;
                self.stands_at.insert(ordinal, version);
                for (sku, units) in available {
                    let sku = self.sku(&sku);
                    self.recording.levels.add(sku, ordinal, units);
                }
            }
            Recorded::Stock {
                at,
                location,
                version,
                order,
                changes,
            } => self.stock((at, &location, version), order, &changes)?,
            Recorded::Limited {
                at,
                location,
                limits,
            } => {
                let ordinal = self.recording.ordinal(&location)?;
                self.note(at, What::Limited { ordinal, limits });
            }
            Recorded::Order { at, order, event } => {
                let order = self.order(&order);
                self.note(at, What::Order { order, event });
            }
            Recorded::Decided {
                at,
                order,
                assignments,
                inputs,
                ..
            } => {
                let order = self.order(&order);
                let decided = What::Decided {
                    order,
                    assignments,
                    inputs,
                };
                self.note(at, decided);
            }
        }
        Ok(())
    }

    fn define(&mut self, event: &CatalogueEvent) {
        let stamp = Stamp {
            recorded_at: Timestamp::ZERO,
            occurred_at: Timestamp::ZERO,
            by: CompactString::default(),
        };
        self.recording.catalogue.apply(event, &stamp);
    }

    /// What a location stands at counts all of its events up to a version: going back through them
    /// gives what there was before.
    fn stock(
        &mut self,
        (at, location, version): (Timestamp, &LocationId, u64),
        order: Option<OrderId>,
        changes: &[(Sku, i64)],
    ) -> Result<(), RecordingError> {
        let ordinal = self.recording.ordinal(location)?;
        let order = order.map(|order| self.order(&order));
        let counted = self
            .stands_at
            .get(&ordinal)
            .is_some_and(|at| version <= *at);
        let mut numbered = Vec::with_capacity(changes.len());
        for (sku, units) in changes {
            let sku = self.sku(sku);
            if counted {
                self.recording.levels.add(sku, ordinal, -units);
            }
            numbered.push((sku, *units));
        }
        let stock = What::Stock {
            ordinal,
            order,
            changes: numbered,
        };
        self.note(at, stock);
        Ok(())
    }

    fn note(&mut self, at: Timestamp, what: What) {
        self.recording.entries.push(Entry { at, what });
    }

    fn order(&mut self, id: &OrderId) -> u32 {
        if let Some(number) = self.order_numbers.get(id) {
            return *number;
        }
        let number = u32::try_from(self.recording.orders.len()).unwrap_or(u32::MAX);
        self.recording.orders.push(id.clone());
        self.order_numbers.insert(id.clone(), number);
        number
    }

    fn sku(&mut self, sku: &Sku) -> u32 {
        let next = u32::try_from(self.recording.skus.len()).unwrap_or(u32::MAX);
        if let Some(number) = self.recording.skus.get(sku) {
            return *number;
        }
        self.recording.skus.insert(sku.clone(), next);
        next
    }

    fn finish(mut self) -> Result<Recording, RecordingError> {
        if self.ended != Some(self.lines) {
            let (found, expected) = (self.lines, self.ended.unwrap_or(0));
            return Err(RecordingError::CutOff { found, expected });
        }
        // Within one entity lines are in order already, and a stable sort keeps that.
        self.recording.entries.sort_by_key(|entry| entry.at);
        Ok(self.recording)
    }
}
