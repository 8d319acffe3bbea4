//! What becomes of one order, in the recorded world and in the draft's.
//!
//! ```text
//! shared ──a plan comes out otherwise──► own
//! ```
//! While it is shared, everything recorded of it holds in both worlds. Then the recorded world goes on
//! as recorded, and in the draft's it holds what the draft's plans gave it.

use std::collections::BTreeMap;

use consign_domain::ids::LocationId;
use consign_domain::order::{Fulfilment, Header, NewLine};
use consign_domain::time::Timestamp;
use consign_sourcing::{Allotment, Candidate, Facts};

/// Units of a line at a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) line: u32,
    pub(super) ordinal: u32,
    pub(super) units: u32,
}

/// What an order has been given, wherever the units are by now.
#[derive(Clone, Debug, Default)]
pub(super) struct Holding(Vec<Held>);

impl Holding {
    pub(super) fn add(&mut self, line: u32, ordinal: u32, units: u32) {
        let same = |held: &&mut Held| (held.line, held.ordinal) == (line, ordinal);
        match self.0.iter_mut().find(same) {
            Some(held) => held.units += units,
            None => self.0.push(Held {
                line,
                ordinal,
                units,
            }),
        }
    }

    /// Takes units of a line from a location; says how many it had.
    pub(super) fn take(&mut self, line: u32, ordinal: u32, units: u32) -> u32 {
        let same = |held: &Held| (held.line, held.ordinal) == (line, ordinal);
        let Some(at) = self.0.iter().position(same) else {
            return 0;
        };
        let taken = units.min(self.0[at].units);
        self.0[at].units -= taken;
        if self.0[at].units == 0 {
            self.0.remove(at);
        }
        taken
    }

    /// Where the units of a line were given last.
    pub(super) fn last_of(&self, line: u32) -> Option<Held> {
        self.0.iter().rev().find(|held| held.line == line).copied()
    }

    pub(super) fn of_line(&self, line: u32) -> u32 {
        let own = self.0.iter().filter(|held| held.line == line);
        own.map(|held| held.units).sum()
    }

    pub(super) fn all(&self) -> &[Held] {
        &self.0
    }

    pub(super) fn has(&self, ordinal: u32) -> bool {
        self.0.iter().any(|held| held.ordinal == ordinal)
    }

    /// Locations, by rising ordinal.
    pub(super) fn locations(&self) -> Vec<u32> {
        let mut ordinals: Vec<u32> = self.0.iter().map(|held| held.ordinal).collect();
        ordinals.sort_unstable();
        ordinals.dedup();
        ordinals
    }

    pub(super) fn allotments(&self) -> Vec<Allotment> {
        let allotment = |held: &Held| Allotment {
            line: held.line,
            ordinal: held.ordinal,
            units: held.units,
        };
        self.0.iter().map(allotment).collect()
    }
}

/// A line, in both worlds.
#[derive(Clone, Debug)]
pub(super) struct LineCourse {
    pub(super) of: NewLine,
    /// What a unit is made of, by SKU number; nothing for what needs no location.
    pub(super) parts: Vec<(u32, u32)>,
    pub(super) cancelled_recorded: u32,
    pub(super) cancelled_draft: u32,
}

impl LineCourse {
    pub(super) fn new(of: NewLine, number: impl Fn(&consign_domain::ids::Sku) -> u32) -> Self {
        let parts = match &of.fulfilment {
            Fulfilment::Physical(parts) => parts.iter().map(|(sku, n)| (number(sku), *n)).collect(),
            Fulfilment::Virtual => Vec::new(),
        };
        LineCourse {
            of,
            parts,
            cancelled_recorded: 0,
            cancelled_draft: 0,
        }
    }
}

/// An order, in both worlds.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    /// Nothing of an order that was placed outside the window.
    pub(super) header: Option<Box<Header>>,
    pub(super) placed_nth: u32,
    pub(super) lines: Vec<LineCourse>,
    pub(super) is_own: bool,
    /// What waits of it waits for somebody, not for stock: in the draft's world nobody comes.
    pub(super) is_parked: bool,
    /// What locations have reserved for it in the recorded world: (SKU, ordinal, pieces).
    pub(super) taken: Vec<(u32, u32, i64)>,
    pub(super) recorded: Holding,
    /// Its own while it goes its own way; else what is recorded holds.
    pub(super) own: Holding,
    /// Where what it was ever given is, and what is asked there.
    pub(super) sites: BTreeMap<u32, Candidate>,
    pub(super) facts: Option<Box<Facts>>,
    pub(super) excluded: Vec<(u32, LocationId)>,
    /// When it was first given something at a location; only of limited ones.
    pub(super) given_at: BTreeMap<u32, Timestamp>,
    /// Units that its first decision left short, if there was one: recorded, and the draft's.
    pub(super) first_short: Option<[u32; 2]>,
}

impl Course {
    /// What it holds in the draft's world.
    pub(super) fn draft(&self) -> &Holding {
        match self.is_own {
            true => &self.own,
            false => &self.recorded,
        }
    }

    /// What a unit of a line is made of, by SKU number; nothing of a line that it does not have.
    pub(super) fn parts_of(&self, line: u32) -> &[(u32, u32)] {
        let line = self.lines.get(line as usize);
        line.map_or(&[], |line| &line.parts)
    }

    /// Takes note that a location reserves more or fewer pieces for it in the recorded world.
    pub(super) fn note_taken(&mut self, sku: u32, ordinal: u32, pieces: i64) {
        let same = |taken: &&mut (u32, u32, i64)| (taken.0, taken.1) == (sku, ordinal);
        match self.taken.iter_mut().find(same) {
            Some(taken) => taken.2 += pieces,
            None => self.taken.push((sku, ordinal, pieces)),
        }
    }

    /// Units of a line that have no location in the draft's world, if the line needs one.
    pub(super) fn waiting(&self, line: u32) -> u32 {
        let Some(of) = self.lines.get(line as usize) else {
            return 0;
        };
        if of.parts.is_empty() {
            return 0;
        }
        let settled = of.cancelled_draft + self.draft().of_line(line);
        of.of.quantity.saturating_sub(settled)
    }

    /// Lines that wait in the draft's world, and units of each.
    pub(super) fn all_waiting(&self) -> Vec<(u32, u32)> {
        let lines = 0..u32::try_from(self.lines.len()).unwrap_or(u32::MAX);
        let waiting = lines.map(|line| (line, self.waiting(line)));
        waiting.filter(|(_, units)| *units > 0).collect()
    }

    /// Units that have no location in the recorded world.
    pub(super) fn waiting_recorded(&self) -> u64 {
        let waiting = |(nth, line): (usize, &LineCourse)| {
            let settled = line.cancelled_recorded + self.recorded.of_line(nth as u32);
            u64::from(line.of.quantity.saturating_sub(settled))
        };
        let physical = self.lines.iter().enumerate();
        let physical = physical.filter(|(_, line)| !line.parts.is_empty());
        physical.map(waiting).sum()
    }
}
