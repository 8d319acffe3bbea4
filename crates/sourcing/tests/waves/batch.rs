//! Random waves: orders of [`Instance`] that share locations, SKUs, stock and room.

use consign_domain::time::Timestamp;
use consign_sourcing::{
    Allotment, Decided, Wave, WaveOrder, WavePlan, WavePlans, WaveStock, decide, wave,
};
use proptest::prelude::*;

use crate::instance::{Instance, Random};

/// How large a wave is: from and to, both included.
pub struct Size {
    pub orders: (u32, u32),
    pub sites: (u32, u32),
    pub lines_max: usize,
}

/// A wave.
pub struct Batch {
    /// All by the same strategy. What is available in them is what the wave has, or less.
    pub orders: Vec<Instance>,
    /// The same as they wait.
    pub waiting: Vec<WaveOrder>,
    pub stock: WaveStock,
}

fn between(random: &mut Random, (from, to): (u32, u32)) -> u32 {
    from + random.below(to - from + 1)
}

/// Lines of a few units, so that often one site has all of a line, but not of all orders' lines.
fn with_fewer_units(mut instance: Instance) -> Instance {
    for line in 0..instance.lines() {
        let (each, fewer) = (instance.unit_value(line), 1 + instance.units(line) % 4);
        instance.inputs.lines[line].units = fewer;
        let facts = instance.inputs.facts.as_mut().expect("all have facts");
        facts.lines[line].value = each * i64::from(fewer);
    }
    instance
}

/// An order at so many sites.
fn order(random: &mut Random, sites: u32, lines_max: usize) -> Instance {
    loop {
        let instance = Instance::ordinary(random);
        if instance.sites() == sites as usize && instance.lines() <= lines_max {
            return with_fewer_units(instance);
        }
    }
}

impl Batch {
    pub fn of(random: &mut Random, size: &Size) -> Batch {
        let sites = between(random, size.sites);
        let count = between(random, size.orders);
        let mut orders: Vec<Instance> = (0..count)
            .map(|_| order(random, sites, size.lines_max))
            .collect();
        let skus = size.lines_max as u32 + random.below(2);
        // From a third of what is wanted to somewhat more.
        let each = 2 + random.below(3 * count);
        let cell = |random: &mut Random| {
            if random.once_in(3) {
                0
            } else {
                random.below(each)
            }
        };
        let available: Vec<u32> = (0..skus * sites).map(|_| cell(random)).collect();
        let mut room = Vec::new();
        if random.once_in(3) {
            room = (0..sites)
                .filter(|site| site % 2 == 0)
                .map(|site| (site, random.below(5 * count)))
                .collect();
        }
        let stock = WaveStock {
            locations: sites,
            available,
            room,
        };
        let strategy = orders[0].strategy.clone();
        let mut waiting = Vec::new();
        for order in &mut orders {
            order.strategy = strategy.clone();
            let first = random.below(skus);
            let own: Vec<u32> = (0..order.skus() as u32)
                .map(|sku| (first + sku) % skus)
                .collect();
            let limited = random.once_in(4);
            let all = own.iter().flat_map(|sku| {
                let from = (sku * sites) as usize;
                stock.available[from..from + sites as usize].to_vec()
            });
            let shown = all.map(|units| if limited { units.min(3) } else { units });
            order.inputs.available = shown.collect();
            waiting.push((own, random.below(2), random.below(3)));
        }
        let waiting = orders
            .iter()
            .zip(waiting)
            .map(|(order, (skus, priority, promise))| WaveOrder {
                inputs: order.inputs.clone(),
                skus,
                priority,
                promise: Timestamp(i64::from(promise)),
            });
        Batch {
            waiting: waiting.collect(),
            orders,
            stock,
        }
    }

    pub fn sites(&self) -> usize {
        self.stock.locations as usize
    }

    pub fn skus(&self) -> usize {
        self.stock.available.len() / self.sites()
    }

    pub fn wave(&self) -> Wave {
        wave(&self.orders[0].compiled(), &self.waiting, &self.stock)
    }

    pub fn room(&self, site: usize) -> Option<u32> {
        let known = self.stock.room.iter().find(|(of, _)| *of as usize == site);
        known.map(|(_, room)| *room)
    }

    /// Which of an order's SKUs is this one of the wave.
    pub fn own_sku(&self, order: usize, sku: usize) -> Option<usize> {
        let skus = &self.waiting[order].skus;
        skus.iter().position(|of| *of as usize == sku)
    }

    /// Pieces of a SKU of the wave that an order takes from a site.
    fn pieces(&self, order: usize, allotments: &[Allotment], sku: usize, site: usize) -> u32 {
        let Some(own) = self.own_sku(order, sku) else {
            return 0;
        };
        let from = allotments.iter().filter(|of| of.ordinal as usize == site);
        from.map(|of| of.units * self.orders[order].pieces(of.line as usize, own))
            .sum()
    }

    /// All orders together take no more than there is.
    pub fn check_supply(&self, plans: &WavePlans) -> Result<(), TestCaseError> {
        let each = || {
            plans
                .plans
                .iter()
                .map(|plan| &plan.decided.plan.allotments)
                .enumerate()
        };
        for site in 0..self.sites() {
            for sku in 0..self.skus() {
                let taken = each().map(|(order, of)| self.pieces(order, of, sku, site));
                let there = self.stock.available[sku * self.sites() + site];
                let held = self.orders[0].held(site);
                prop_assert!(taken.sum::<u32>() <= there.saturating_sub(held));
            }
            let all = each()
                .flat_map(|(_, of)| of)
                .filter(|of| of.ordinal as usize == site);
            let units: u32 = all.map(|of| of.units).sum();
            prop_assert!(self.room(site).is_none_or(|room| units <= room));
        }
        Ok(())
    }

    /// An order takes no more than stands in its own inputs, and is shown no more.
    pub fn check_own_supply(&self, order: usize, plan: &WavePlan) -> Result<(), TestCaseError> {
        let instance = &self.orders[order];
        let pairs = plan.inputs.available.iter().zip(&instance.inputs.available);
        for (shown, own) in pairs {
            prop_assert!(shown <= own);
        }
        let allotments = &plan.decided.plan.allotments;
        for site in 0..self.sites() {
            let units: u32 = allotments
                .iter()
                .filter(|of| of.ordinal as usize == site)
                .map(|of| of.units)
                .sum();
            prop_assert!(instance.room(site).is_none_or(|room| units <= room));
        }
        Ok(())
    }

    /// An order's plan keeps to what the order and the strategy say.
    pub fn check_policy(&self, order: usize, decided: &Decided) -> Result<(), TestCaseError> {
        let (instance, plan) = (&self.orders[order], &decided.plan);
        let from = |line: usize, site: usize| -> u32 {
            let all = plan
                .allotments
                .iter()
                .filter(|of| of.line as usize == line && of.ordinal as usize == site);
            all.map(|of| of.units).sum()
        };
        let lines = 0..instance.lines();
        let serves = |site: &usize| lines.clone().any(|line| from(line, *site) > 0);
        let sites: Vec<usize> = (0..self.sites()).filter(serves).collect();
        prop_assert!(sites.len() <= instance.shipments_max() as usize);
        prop_assert!(!instance.whole() || plan.short.is_empty() || plan.allotments.is_empty());
        let mut cost = if sites.is_empty() {
            0
        } else {
            -instance.split()
        };
        for line in lines.clone() {
            let sources = sites.iter().filter(|site| from(line, **site) > 0).count();
            prop_assert!(!instance.by_item() || sources <= 1);
            for site in &sites {
                prop_assert!(from(line, *site) <= instance.could(line, *site));
            }
        }
        for site in &sites {
            let worth: i64 = lines
                .clone()
                .map(|line| instance.unit_value(line) * i64::from(from(line, *site)))
                .sum();
            prop_assert!(sites.len() == 1 || worth >= instance.value_min());
            for group in instance.groups() {
                let some = group.iter().any(|line| from(*line, *site) > 0);
                let whole = group
                    .iter()
                    .all(|line| from(*line, *site) == instance.units(*line));
                prop_assert!(!some || whole);
            }
            cost += instance.shipment(*site) + instance.split();
            for line in lines.clone().filter(|line| from(*line, *site) > 0) {
                cost += instance.per_line(*site)
                    + instance.per_unit(*site) * i64::from(from(line, *site));
            }
        }
        prop_assert_eq!(cost, decided.cost);
        Ok(())
    }

    /// One after the other, each with what those before it left.
    pub fn one_by_one(&self, sequence: &[usize]) -> WavePlans {
        let mut stock = self.stock.clone();
        let mut plans: Vec<Option<WavePlan>> = vec![None; self.orders.len()];
        let (mut short, mut cost) = (0, 0);
        for order in sequence {
            let waiting = &self.waiting[*order];
            let mut inputs = waiting.inputs.clone();
            for (own, sku) in waiting.skus.iter().enumerate() {
                for site in 0..self.sites() {
                    let there = stock.available[*sku as usize * self.sites() + site];
                    let shown = &mut inputs.available[own * self.sites() + site];
                    *shown = there.min(*shown);
                }
            }
            let facts = inputs.facts.as_mut().expect("all have facts");
            if !stock.room.is_empty() {
                let own = std::mem::take(&mut facts.room);
                for site in 0..self.stock.locations {
                    let of = |list: &[(u32, u32)]| {
                        list.iter()
                            .find(|(of, _)| *of == site)
                            .map(|(_, room)| *room)
                    };
                    let least = of(&own).into_iter().chain(of(&stock.room)).min();
                    facts.room.extend(least.map(|room| (site, room)));
                }
            }
            let decided = decide(&self.orders[0].compiled(), &inputs);
            let allotments = &decided.plan.allotments;
            for sku in 0..self.skus() {
                for site in 0..self.sites() {
                    stock.available[sku * self.sites() + site] -=
                        self.pieces(*order, allotments, sku, site);
                }
            }
            for (site, room) in &mut stock.room {
                let from = allotments.iter().filter(|of| of.ordinal == *site);
                *room -= from.map(|of| of.units).sum::<u32>();
            }
            short += decided
                .plan
                .short
                .iter()
                .map(|(_, units)| u64::from(*units))
                .sum::<u64>();
            cost += decided.cost;
            plans[*order] = Some(WavePlan { inputs, decided });
        }
        WavePlans {
            plans: plans
                .into_iter()
                .map(|plan| plan.expect("each was decided"))
                .collect(),
            short,
            cost,
        }
    }
}
