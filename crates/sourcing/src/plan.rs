//! A plan: which location serves how much of what.

use crate::inputs::Inputs;

/// Units of a line from a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Allotment {
    /// Index of the line in the order.
    pub line: u32,
    /// The location's ordinal.
    pub ordinal: u32,
    /// Units.
    pub units: u32,
}

/// A plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sourced {
    /// By line, then in the order in which locations were preferred.
    pub allotments: Vec<Allotment>,
    /// (line index, units) that nobody has, or that the split policy forbids to take.
    pub short: Vec<(u32, u32)>,
    /// Ordinals of the locations that serve, by rising ordinal.
    pub locations: Vec<u32>,
}

impl Sourced {
    /// The plan that serves nothing.
    pub(crate) fn nothing(inputs: &Inputs) -> Sourced {
        let lines = inputs.lines.iter();
        let short = lines
            .filter(|line| line.units > 0)
            .map(|line| (line.line, line.units));
        Sourced {
            short: short.collect(),
            ..Sourced::default()
        }
    }
}
