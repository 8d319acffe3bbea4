//! Random orders with everything that a plan must keep to, the same for the same seed.
//!
//! What a site costs is computed here from the documented formulas, not by the code under test.

use std::collections::BTreeMap;

use compact_str::{CompactString, format_compact};
use consign_domain::order::SplitPolicy;
use consign_sourcing::{
    Candidate, Compiled, Costs, Decided, Facts, InputLine, Inputs, KnownLocation, LineFacts,
    Profile, RULE_VERSION, Rule, SplitRule, Strategy, ZoneTable, decide,
};

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Random(pub u64);

impl Random {
    /// From 0 up to but not including `end`.
    pub fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % u64::from(end)) as u32
    }

    /// Once in so many times.
    pub fn once_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }
}

/// An order, what there is, and how it is sourced.
pub struct Instance {
    pub strategy: Strategy,
    pub inputs: Inputs,
}

/// How large, and how much that lines can take from each other.
struct Size {
    lines: u32,
    sites: u32,
    units: u32,
    coupled: bool,
}

impl Instance {
    /// Up to 6 lines at up to 20 locations.
    pub fn ordinary(random: &mut Random) -> Instance {
        let coupled = random.once_in(4);
        let size = Size {
            lines: 1 + random.below(if coupled { 4 } else { 6 }),
            sites: 2 + random.below(if coupled { 7 } else { 19 }),
            units: if coupled { 3 } else { 12 },
            coupled,
        };
        Instance::of(random, &size)
    }

    /// More lines or more locations than that.
    pub fn large(random: &mut Random) -> Instance {
        let size = Size {
            lines: 7 + random.below(3),
            sites: 12 + random.below(7),
            units: 8,
            coupled: false,
        };
        Instance::of(random, &size)
    }

    fn of(random: &mut Random, size: &Size) -> Instance {
        let skus = if size.coupled {
            size.lines.div_ceil(2)
        } else {
            size.lines
        };
        let line = |random: &mut Random, line: u32| {
            let sku = if size.coupled {
                random.below(skus)
            } else {
                line
            };
            let mut parts = vec![(sku, 1 + random.below(2))];
            if size.coupled && random.once_in(4) && skus > 1 {
                parts.push(((sku + 1) % skus, 1));
            }
            InputLine {
                line,
                units: 1 + random.below(size.units),
                parts,
                only: None,
            }
        };
        let lines: Vec<InputLine> = (0..size.lines).map(|nth| line(random, nth)).collect();
        let candidate = |random: &mut Random, ordinal| Candidate {
            ordinal,
            km: random.below(800),
            rate: (!random.once_in(10)).then(|| i64::from(300 + random.below(600))),
        };
        let candidates: Vec<Candidate> = (0..size.sites)
            .map(|ordinal| candidate(random, ordinal))
            .collect();
        let scarce = 1 + random.below(4);
        let cell = |random: &mut Random| match random.below(scarce + 1) {
            0 => 2 * size.units + random.below(size.units),
            1 => random.below(size.units + 1),
            _ => 0,
        };
        let available = (0..skus * size.sites).map(|_| cell(random)).collect();
        let split = match random.below(10) {
            0 => SplitPolicy::ShipComplete,
            1 => SplitPolicy::SingleLocation,
            _ => SplitPolicy::Allow,
        };
        let excluded = if random.once_in(4) {
            vec![(0, 0), (0, 1)]
        } else {
            Vec::new()
        };
        let facts = Facts {
            lines: line_facts(random, &lines),
            room: rooms(random, size),
            load_permille: figures(random, size.sites, 1_500),
            supply_tenths: figures(random, size.sites, 60),
            ..Facts::default()
        };
        Instance {
            strategy: strategy(random, size),
            inputs: Inputs {
                rule_version: RULE_VERSION,
                strategy: 0,
                split,
                lines,
                candidates,
                without_stock: Vec::new(),
                available,
                excluded,
                facts: Some(Box::new(facts)),
            },
        }
    }

    /// The plan.
    pub fn decided(&self) -> Decided {
        decide(&self.compiled(), &self.inputs)
    }

    pub fn compiled(&self) -> Compiled {
        let known = |ordinal| KnownLocation {
            id: id(ordinal),
            ordinal,
            zone: ZoneTable::default(),
        };
        let known: Vec<KnownLocation> = (0..self.sites() as u32).map(known).collect();
        self.strategy.compiled(&known).expect("a sane strategy")
    }

    pub fn lines(&self) -> usize {
        self.inputs.lines.len()
    }
    pub fn sites(&self) -> usize {
        self.inputs.candidates.len()
    }
    pub fn skus(&self) -> usize {
        self.inputs.available.len() / self.sites()
    }
    pub fn units(&self, line: usize) -> u32 {
        self.inputs.lines[line].units
    }
    pub fn stock(&self, sku: usize, site: usize) -> u32 {
        self.inputs.available[sku * self.sites() + site].saturating_sub(self.held(site))
    }
    pub fn held(&self, site: usize) -> u32 {
        self.profile(site).map_or(0, |profile| profile.safety_stock)
    }
    /// Pieces of a SKU in one unit of a line.
    pub fn pieces(&self, line: usize, sku: usize) -> u32 {
        let parts = self.inputs.lines[line].parts.iter();
        parts
            .filter(|(of, _)| *of as usize == sku)
            .map(|(_, per)| per)
            .sum()
    }
    pub fn could(&self, line: usize, site: usize) -> u32 {
        let ordinal = site as u32;
        if self.inputs.excluded.contains(&(line as u32, ordinal)) {
            return 0;
        }
        let parts = self.inputs.lines[line].parts.iter();
        let most = parts
            .map(|(sku, per)| self.stock(*sku as usize, site) / per)
            .min();
        most.unwrap_or(0)
            .min(self.units(line))
            .min(self.room(site).unwrap_or(u32::MAX))
    }
    pub fn room(&self, site: usize) -> Option<u32> {
        find(&self.facts().room, site)
    }
    fn facts(&self) -> &Facts {
        self.inputs.facts.as_ref().expect("all have facts")
    }
    fn profile(&self, site: usize) -> Option<&Profile> {
        self.strategy.locations.get(&id(site as u32))
    }
    fn costs(&self) -> &Costs {
        &self.strategy.rules[0].costs
    }
    fn rule(&self) -> &SplitRule {
        &self.strategy.rules[0].split
    }
    pub fn split(&self) -> i64 {
        self.costs().split
    }
    pub fn whole(&self) -> bool {
        self.rule().complete || self.inputs.split != SplitPolicy::Allow
    }
    pub fn by_item(&self) -> bool {
        self.rule().by_item
    }
    pub fn value_min(&self) -> i64 {
        self.rule().shipment_value_min
    }
    pub fn unit_value(&self, line: usize) -> i64 {
        self.facts().lines[line].value / i64::from(self.units(line))
    }
    pub fn shipments_max(&self) -> u32 {
        let single = self.inputs.split == SplitPolicy::SingleLocation;
        let most = self.rule().shipments_max.unwrap_or(u32::MAX);
        if single { 1 } else { most }.min(self.sites() as u32)
    }
    pub fn groups(&self) -> Vec<Vec<usize>> {
        let mut groups: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (line, facts) in self.facts().lines.iter().enumerate() {
            if let Some(group) = facts.keep_with {
                groups.entry(group).or_default().push(line);
            }
        }
        groups
            .into_values()
            .filter(|lines| lines.len() > 1)
            .collect()
    }
    pub fn shipment(&self, site: usize) -> i64 {
        let (costs, candidate) = (self.costs(), &self.inputs.candidates[site]);
        let permille = i64::from(costs.rate_permille);
        let rate = candidate.rate.map(|rate| (rate * permille + 500) / 1_000);
        let distance = (i64::from(candidate.km) * costs.per_100_km + 50) / 100;
        let priority = self
            .profile(site)
            .map_or(0, |profile| i64::from(profile.priority));
        let load = find(&self.facts().load_permille, site).unwrap_or(0);
        rate.unwrap_or(costs.no_rate)
            + distance
            + costs.handling_order
            + priority * costs.per_priority
            + (i64::from(load) * costs.per_full_load + 500) / 1_000
    }
    pub fn per_line(&self, site: usize) -> i64 {
        let own = self.profile(site).and_then(|profile| profile.handling_line);
        own.unwrap_or(self.costs().handling_line)
    }
    pub fn per_unit(&self, site: usize) -> i64 {
        let Some(supply) = find(&self.facts().supply_tenths, site) else {
            return 0;
        };
        let missing = self.costs().supply_target_tenths.saturating_sub(supply);
        (i64::from(missing) * self.costs().per_missing_week + 5) / 10
    }
}

fn id(ordinal: u32) -> CompactString {
    format_compact!("L{ordinal:03}")
}

fn find(list: &[(u32, u32)], site: usize) -> Option<u32> {
    let known = list.iter().find(|(of, _)| *of as usize == site);
    known.map(|(_, figure)| *figure)
}

fn line_facts(random: &mut Random, lines: &[InputLine]) -> Vec<LineFacts> {
    let together = lines.len() > 2 && random.once_in(5);
    let facts = |line: &InputLine| LineFacts {
        value: i64::from(line.units) * i64::from(100 + random.below(2_000)),
        requires: Vec::new(),
        keep_with: (together && line.line < 2).then_some(7),
    };
    lines.iter().map(facts).collect()
}

fn rooms(random: &mut Random, size: &Size) -> Vec<(u32, u32)> {
    if size.coupled && random.once_in(3) {
        (0..size.sites / 2)
            .map(|site| (site, random.below(6)))
            .collect()
    } else {
        Vec::new()
    }
}

fn figures(random: &mut Random, sites: u32, end: u32) -> Vec<(u32, u32)> {
    (0..sites)
        .filter_map(|site| {
            if random.once_in(3) {
                None
            } else {
                Some((site, random.below(end)))
            }
        })
        .collect()
}

fn strategy(random: &mut Random, size: &Size) -> Strategy {
    let costs = Costs {
        rate_permille: [1_000, 1_000, 850][random.below(3) as usize],
        no_rate: 1_200,
        handling_order: i64::from(random.below(100)),
        handling_line: i64::from(random.below(60)),
        split: [0, 150, 500, 2_000][random.below(4) as usize],
        per_100_km: i64::from(random.below(80)),
        per_priority: i64::from(random.below(60)),
        per_full_load: i64::from(random.below(200)),
        supply_target_tenths: 40,
        per_missing_week: i64::from(random.below(12)),
        ..Costs::default()
    };
    let split = SplitRule {
        complete: random.once_in(10),
        by_item: random.once_in(6),
        shipments_max: random.once_in(6).then(|| 1 + random.below(3)),
        shipment_value_min: if size.coupled && random.once_in(4) {
            2_500
        } else {
            0
        },
    };
    let profile = |random: &mut Random| Profile {
        priority: random.below(4),
        safety_stock: random.below(3),
        handling_line: random.once_in(4).then(|| i64::from(random.below(90))),
        ..Profile::default()
    };
    let locations = (0..size.sites).filter_map(|site| {
        let named = random.once_in(2);
        named.then(|| (id(site), profile(random)))
    });
    Strategy {
        restock: consign_sourcing::Restock::default(),
        name: "random".into(),
        locations: locations.collect(),
        rules: vec![Rule {
            name: "only".into(),
            costs,
            split,
            ..Rule::default()
        }],
        groups: BTreeMap::new(),
        transit: None,
    }
}
