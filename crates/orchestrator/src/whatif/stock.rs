//! What each location may grant, in the recorded world and in the draft's.

/// Units by SKU and location.
#[derive(Clone, Debug, Default)]
pub(super) struct Levels(Vec<Vec<i64>>);

impl Levels {
    pub(super) fn add(&mut self, sku: u32, ordinal: u32, units: i64) {
        let (sku, at) = (sku as usize, ordinal as usize);
        if self.0.len() <= sku {
            self.0.resize_with(sku + 1, Vec::new);
        }
        let cells = &mut self.0[sku];
        if cells.len() <= at {
            cells.resize(at + 1, 0);
        }
        cells[at] += units;
    }

    pub(super) fn at(&self, sku: u32, ordinal: u32) -> i64 {
        let cells = self.0.get(sku as usize);
        let units = cells.and_then(|cells| cells.get(ordinal as usize));
        units.copied().unwrap_or(0)
    }

    fn is_zero(&self, sku: u32) -> bool {
        let cells = self.0.get(sku as usize);
        cells.is_none_or(|cells| cells.iter().all(|units| *units == 0))
    }
}

/// Both worlds: the recorded one, and by how much the draft's differs.
#[derive(Clone, Debug)]
pub(super) struct Worlds {
    recorded: Levels,
    difference: Levels,
}

impl Worlds {
    pub(super) fn new(recorded: Levels) -> Worlds {
        Worlds {
            recorded,
            difference: Levels::default(),
        }
    }

    /// Something that happened in both.
    pub(super) fn both(&mut self, sku: u32, ordinal: u32, units: i64) {
        self.recorded.add(sku, ordinal, units);
    }

    /// Something that happened in the recorded one only.
    pub(super) fn recorded_only(&mut self, sku: u32, ordinal: u32, units: i64) {
        self.recorded.add(sku, ordinal, units);
        self.difference.add(sku, ordinal, -units);
    }

    /// Something that happens in the draft's only.
    pub(super) fn draft_only(&mut self, sku: u32, ordinal: u32, units: i64) {
        self.difference.add(sku, ordinal, units);
    }

    /// The same of units of a line that are made of these: (SKU, pieces).
    pub(super) fn draft_units(&mut self, parts: &[(u32, u32)], ordinal: u32, units: i64) {
        for (sku, per_unit) in parts {
            self.draft_only(*sku, ordinal, units * i64::from(*per_unit));
        }
    }

    /// What may be granted in the draft's.
    pub(super) fn draft(&self, sku: u32, ordinal: u32) -> i64 {
        self.recorded.at(sku, ordinal) + self.difference.at(sku, ordinal)
    }

    /// Whether a location has the same of a SKU in both.
    pub(super) fn same_at(&self, sku: u32, ordinal: u32) -> bool {
        self.difference.at(sku, ordinal) == 0
    }

    /// Whether all locations have the same of a SKU in both.
    pub(super) fn same(&self, sku: u32) -> bool {
        self.difference.is_zero(sku)
    }
}
