//! What is ordered: SKUs by a Zipf distribution, one to four lines, the same for the same seed.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::SimulateOptions;

/// Where locations and customers lie: along a line from Cornwall to Caithness, so that every
/// location is the nearest of some.
pub(super) const FROM: (f64, f64) = (50.1, -5.3);
/// The line's other end.
pub(super) const TO: (f64, f64) = (58.4, -3.1);

/// A generator of orders.
#[derive(Debug)]
pub(super) struct Workload {
    pub(super) skus: u32,
    pub(super) locations: u32,
    pub(super) stock: u32,
    /// Whether later runs find what this one seeds.
    pub(super) lasting: bool,
    shop: String,
    run: String,
    seed: u64,
    lines: (u32, u32),
    hot: bool,
    zipf: Zipf,
}

/// One order.
#[derive(Debug)]
pub(super) struct GeneratedOrder {
    /// Its idempotency key.
    pub(super) key: String,
    /// Its JSON.
    pub(super) body: String,
}

impl Workload {
    pub(super) fn new(options: &SimulateOptions) -> Workload {
        let (skus, locations) = if options.hot_sku {
            (1, 1)
        } else {
            (options.skus, options.locations)
        };
        // Runs on one server must not meet each other's keys, nor by chance each other's stock.
        let run = format!("{:x}-{:08x}", options.seed, rand::random::<u32>());
        let shop = options.shop.clone().unwrap_or_else(|| run.clone());
        Workload {
            skus,
            locations,
            stock: options.stock,
            lasting: options.shop.is_some(),
            shop,
            run,
            seed: options.seed,
            lines: options.lines,
            hot: options.hot_sku,
            zipf: Zipf::new(skus, options.skew),
        }
    }

    pub(super) fn sku(&self, nth: u32) -> String {
        format!("S{nth}-{}", self.shop)
    }

    pub(super) fn location(&self, nth: u32) -> String {
        format!("L{nth}-{}", self.shop)
    }

    /// A product that is there when the shop has all its stock.
    pub(super) fn opening(&self) -> String {
        format!("OPEN-{}", self.shop)
    }

    /// The key of a request that seeds the shop.
    pub(super) fn key(&self, what: &str) -> String {
        format!("{}-{what}", self.shop)
    }

    /// The `nth` order of this run; the same for the same seed.
    pub(super) fn order(&self, nth: u64) -> GeneratedOrder {
        let mut random =
            SmallRng::seed_from_u64(self.seed ^ nth.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let along = random.random::<f64>();
        let latitude = FROM.0 + along * (TO.0 - FROM.0);
        let longitude = FROM.1 + along * (TO.1 - FROM.1);
        let customer = random.random_range(0..1_000_000_u32);
        let mut lines = String::with_capacity(256);
        let count = if self.hot {
            1
        } else {
            random.random_range(self.lines.0..=self.lines.1)
        };
        for line in 0..count {
            let sku = if self.hot {
                0
            } else {
                self.zipf.draw(random.random::<f64>())
            };
            let quantity = if self.hot {
                1
            } else {
                random.random_range(1..=3)
            };
            if line > 0 {
                lines.push(',');
            }
            let sku = self.sku(sku);
            lines.push_str(&format!(
                r#"{{"sku":"{sku}","quantity":{quantity},"unit_price":"19.99"}}"#
            ));
        }
        let body = format!(
            r#"{{"channel":"web","currency":"EUR","customer":{{"id":"c{customer}"}},"ship_to":{{"country":"GB","latitude":{latitude:.4},"longitude":{longitude:.4}}},"service_level":"standard","lines":[{lines}]}}"#
        );
        GeneratedOrder {
            key: format!("{}-o{nth}", self.run),
            body,
        }
    }
}

/// Zipf numbers by Gray's method ("Quickly generating billion-record synthetic databases", 1994),
/// as the PostgreSQL peer draws them.
#[derive(Debug)]
struct Zipf {
    n: f64,
    theta: f64,
    zeta_n: f64,
    alpha: f64,
    eta: f64,
}

impl Zipf {
    fn new(n: u32, theta: f64) -> Zipf {
        let count = f64::from(n.max(1));
        let zeta_n: f64 = (1..=n.max(1)).map(|i| 1.0 / f64::from(i).powf(theta)).sum();
        let zeta_2 = 1.0 + 0.5_f64.powf(theta);
        Zipf {
            n: count,
            theta,
            zeta_n,
            alpha: 1.0 / (1.0 - theta),
            eta: (1.0 - (2.0 / count).powf(1.0 - theta)) / (1.0 - zeta_2 / zeta_n),
        }
    }

    /// A number from 0 to n − 1 for a uniform `u` in 0..1.
    fn draw(&self, u: f64) -> u32 {
        let z = u * self.zeta_n;
        let rank = if z < 1.0 {
            0.0
        } else if z < 1.0 + 0.5_f64.powf(self.theta) {
            1.0
        } else {
            (self.n * (self.eta * u - self.eta + 1.0).powf(self.alpha)).floor()
        };
        rank.min(self.n - 1.0) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sku_has_its_share_and_all_are_in_range() {
        let zipf = Zipf::new(10_000, 0.99);
        let mut random = SmallRng::seed_from_u64(7);
        let drawn: Vec<u32> = (0..100_000).map(|_| zipf.draw(random.random())).collect();
        let first = drawn.iter().filter(|n| **n == 0).count();
        // 1 / ζ(10,000; 0.99) = 9.8 %.
        assert!((9_300..10_300).contains(&first), "{first}");
        assert!(drawn.iter().all(|n| *n < 10_000));
    }

    #[test]
    fn the_same_seed_gives_the_same_orders() {
        let options = SimulateOptions::new("http://127.0.0.1:1");
        let (a, b) = (Workload::new(&options), Workload::new(&options));
        let plain = |w: &Workload, n| w.order(n).body.replace(&w.run, "");
        assert_eq!(plain(&a, 5), plain(&b, 5));
        assert_ne!(plain(&a, 5), plain(&a, 6));
    }
}
