//! A wave as a mixed-integer program, made from what the documents say, solved by a solver that shares
//! no code with ours.

use good_lp::{
    Constraint, Expression, ProblemVariables, Solution, SolverModel, Variable, constraint, microlp,
    variable,
};

use crate::batch::Batch;
use crate::instance::Instance;

/// What a unit short weighs; more than any wave's plans cost here.
const SHORT_WEIGHT: f64 = 1_000_000.0;

fn sum(terms: impl Iterator<Item = Expression>) -> Expression {
    terms.fold(Expression::from(0.0), |sum, term| sum + term)
}

/// One order's variables.
struct Part {
    /// Units of a line from a site.
    units: Vec<Vec<Variable>>,
    /// Whether a line comes from a site.
    served: Vec<Vec<Variable>>,
    /// Whether a site serves.
    open: Vec<Variable>,
    /// Whether any does.
    any: Variable,
    /// Whether at most one does.
    alone: Variable,
    /// Whether all lines of a group come from a site.
    together: Vec<Vec<Variable>>,
}

impl Part {
    fn of(instance: &Instance, variables: &mut ProblemVariables) -> Part {
        let (lines, sites) = (instance.lines(), instance.sites());
        let mut units = Vec::new();
        for line in 0..lines {
            let of = |site| {
                let most = f64::from(instance.could(line, site));
                variables.add(variable().integer().min(0).max(most))
            };
            units.push((0..sites).map(of).collect());
        }
        let mut binaries = |rows: usize| -> Vec<Vec<Variable>> {
            let mut row = || variables.add_vector(variable().binary(), sites);
            (0..rows).map(|_| row()).collect()
        };
        Part {
            units,
            served: binaries(lines),
            open: binaries(1).remove(0),
            together: binaries(instance.groups().len()),
            any: variables.add(variable().binary()),
            alone: variables.add(variable().binary()),
        }
    }

    fn placed(&self) -> Expression {
        sum(self.units.iter().flatten().map(|of| Expression::from(*of)))
    }

    fn cost(&self, instance: &Instance) -> Expression {
        let mut cost = -(instance.split() as f64) * self.any;
        for site in 0..instance.sites() {
            let shipment = instance.shipment(site) + instance.split();
            cost += shipment as f64 * self.open[site];
            for line in 0..instance.lines() {
                cost += instance.per_line(site) as f64 * self.served[line][site];
                cost += instance.per_unit(site) as f64 * self.units[line][site];
            }
        }
        cost
    }

    /// What the order and the strategy say.
    fn policy(&self, instance: &Instance, wanted: f64) -> Vec<Constraint> {
        let sites = instance.sites() as f64;
        let opened = || sum(self.open.iter().map(|open| Expression::from(*open)));
        let mut all = vec![
            constraint!(self.any <= opened()),
            constraint!(opened() <= f64::from(instance.shipments_max())),
            constraint!(opened() + sites * self.alone <= 1.0 + sites),
        ];
        if instance.whole() {
            all.push(constraint!(self.placed() >= wanted * self.any));
            all.push(constraint!(self.placed() <= wanted * self.any));
        }
        for line in 0..instance.lines() {
            let units = sum(self.units[line].iter().map(|of| Expression::from(*of)));
            all.push(constraint!(units <= f64::from(instance.units(line))));
            if instance.by_item() {
                let served = sum(self.served[line].iter().map(|of| Expression::from(*of)));
                all.push(constraint!(served <= 1.0));
            }
            for site in 0..instance.sites() {
                let (units, served) = (self.units[line][site], self.served[line][site]);
                let most = f64::from(instance.could(line, site));
                all.push(constraint!(units <= most * served));
                all.push(constraint!(served <= self.open[site]));
            }
        }
        for (group, members) in instance.groups().iter().enumerate() {
            for site in 0..instance.sites() {
                for line in members {
                    let whole = f64::from(instance.units(*line)) * self.together[group][site];
                    all.push(constraint!(self.units[*line][site] == whole));
                }
            }
        }
        all
    }

    /// What its own inputs and the value of a shipment allow at a site.
    fn limits(&self, instance: &Instance, site: usize) -> Vec<Constraint> {
        let mut all = Vec::new();
        for sku in 0..instance.skus() {
            let there = f64::from(instance.stock(sku, site));
            all.push(constraint!(self.pieces(instance, sku, site) <= there));
        }
        if let Some(room) = instance.room(site) {
            all.push(constraint!(self.from(site) <= f64::from(room)));
        }
        if instance.value_min() > 0 {
            let lines = 0..instance.lines();
            let least = instance.value_min() as f64;
            let worth = lines.map(|line| instance.unit_value(line) as f64 * self.units[line][site]);
            all.push(constraint!(
                sum(worth) >= least * self.open[site] - least * self.alone
            ));
        }
        all
    }

    fn pieces(&self, instance: &Instance, sku: usize, site: usize) -> Expression {
        let pieces = |line| f64::from(instance.pieces(line, sku)) * self.units[line][site];
        sum((0..instance.lines()).map(pieces))
    }

    fn from(&self, site: usize) -> Expression {
        sum(self.units.iter().map(|line| Expression::from(line[site])))
    }
}

/// Units short and cost of the best plans that leave no order more units short than its claim.
pub fn best(batch: &Batch, claims: &[u64]) -> (u64, i64) {
    let mut variables = ProblemVariables::new();
    let mut parts = Vec::new();
    for order in &batch.orders {
        parts.push(Part::of(order, &mut variables));
    }
    let each = || batch.orders.iter().zip(&parts);
    let wanted = |order: &Instance| -> f64 {
        (0..order.lines())
            .map(|line| f64::from(order.units(line)))
            .sum()
    };
    let cost = sum(each().map(|(order, part)| part.cost(order)));
    let all: f64 = batch.orders.iter().map(wanted).sum();
    let short = all - sum(parts.iter().map(Part::placed));
    let mut limits = Vec::new();
    for ((order, part), claim) in each().zip(claims) {
        limits.extend(part.policy(order, wanted(order)));
        limits.push(constraint!(part.placed() >= wanted(order) - *claim as f64));
        limits.extend((0..batch.sites()).flat_map(|site| part.limits(order, site)));
    }
    for site in 0..batch.sites() {
        for sku in 0..batch.skus() {
            let there = batch.stock.available[sku * batch.sites() + site];
            let there = there.saturating_sub(batch.orders[0].held(site));
            let pieces = each().enumerate().filter_map(|(nth, (order, part))| {
                Some(part.pieces(order, batch.own_sku(nth, sku)?, site))
            });
            limits.push(constraint!(sum(pieces) <= f64::from(there)));
        }
        if let Some(room) = batch.room(site) {
            let units = sum(parts.iter().map(|part| part.from(site)));
            limits.push(constraint!(units <= f64::from(room)));
        }
    }
    let program = variables
        .minimise(cost.clone() + SHORT_WEIGHT * short.clone())
        .using(microlp);
    let program = limits.into_iter().fold(program, SolverModel::with);
    let solved = program.solve().expect("one by one is a plan");
    (
        solved.eval(short).round() as u64,
        solved.eval(cost).round() as i64,
    )
}
