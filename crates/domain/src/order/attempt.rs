//! What an attempt still may and must do. Its figures only move one way (units down; picked, short,
//! shipped up), so answers that come late, twice or in another order change nothing (L3).

use super::logistics::Attempt;

impl Attempt {
    /// Units that staff did not find and the location has not confirmed yet.
    #[must_use]
    pub fn short_open(&self) -> u32 {
        self.short_target - self.short
    }

    /// Units that can no longer be taken away: staff say that they are picked, or not there.
    #[must_use]
    pub fn bound(&self) -> u32 {
        self.pick_target + self.short_open()
    }

    /// Units that staff may still pick: granted, not wanted back, not reported on yet.
    #[must_use]
    pub fn pickable(&self) -> u32 {
        if !self.granted {
            return 0;
        }
        self.units
            .min(self.keep.unwrap_or(u32::MAX))
            .saturating_sub(self.bound())
    }

    /// Units for which a cancellation may still be asked.
    #[must_use]
    pub fn cancellable(&self) -> u32 {
        self.units
            .saturating_sub(self.bound())
            .saturating_sub(self.cancel_requested)
    }

    /// Units that may still be wanted elsewhere.
    #[must_use]
    pub fn movable(&self) -> u32 {
        self.cancellable().saturating_sub(self.move_requested)
    }

    /// Whether a location has yet to say if it grants units that still count.
    #[must_use]
    pub fn is_reserving(&self) -> bool {
        !self.granted && self.units > 0
    }

    /// Whether picks or shorts are to be confirmed by the location.
    #[must_use]
    pub fn pick_open(&self) -> bool {
        self.pick_target > self.picked || self.short_target > self.short
    }

    /// Whether its location has nothing left to say: then it is forgotten.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.granted && self.units == self.shipped_confirmed
    }

    /// Brings wishes and targets in line with what the location has said. Pure in its fields.
    pub(super) fn normalise(&mut self) {
        if !self.granted {
            return;
        }
        self.picked = self.picked.min(self.units);
        self.pick_target = self.pick_target.max(self.picked);
        self.short_target = self.short_target.max(self.short);
        // With no unit left that is not picked, nothing more can be picked or missed.
        if self.picked == self.units {
            self.pick_target = self.picked;
            self.short_target = self.short;
        }
        let free = self.units.saturating_sub(self.bound());
        self.cancel_requested = self.cancel_requested.min(free);
        self.move_requested = self.move_requested.min(free - self.cancel_requested);
        let wanted = self.cancel_requested + self.move_requested;
        self.keep = (wanted > 0).then_some(self.units - wanted);
    }
}
