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

    /// Writes the idempotency key of the `nth` order.
    pub(super) fn write_key(&self, nth: u64, into: &mut String) {
        into.push_str(&self.run);
        into.push_str("-o");
        push_number(into, nth);
    }

    /// Writes the `nth` order of this run, all of its JSON but the opening brace; it is the same for
    /// the same seed.
    pub(super) fn write_order(&self, nth: u64, into: &mut String) {
        let mut random = self.random(nth);
        let (latitude, longitude) = place(&mut random);
        let customer = random.random_range(0..1_000_000_u32);
        into.push_str(r#""channel":"web","currency":"EUR","customer":{"id":"c"#);
        push_number(into, u64::from(customer));
        into.push_str(r#""},"ship_to":{"country":"GB","latitude":"#);
        push_degrees(into, latitude);
        into.push_str(r#","longitude":"#);
        push_degrees(into, longitude);
        into.push_str(r#"},"service_level":"standard","lines":["#);
        let count = if self.hot {
            1
        } else {
            random.random_range(self.lines.0..=self.lines.1)
        };
        for line in 0..count {
            let (sku, quantity) = if self.hot {
                (0, 1)
            } else {
                let sku = self.zipf.draw(random.random::<f64>());
                (sku, random.random_range(1..=3_u32))
            };
            into.push_str(if line > 0 {
                r#",{"sku":"S"#
            } else {
                r#"{"sku":"S"#
            });
            push_number(into, u64::from(sku));
            into.push('-');
            into.push_str(&self.shop);
            into.push_str(r#"","quantity":"#);
            push_number(into, u64::from(quantity));
            into.push_str(r#","unit_price":"19.99"}"#);
        }
        into.push_str("]}");
    }

    /// Writes the path of the `nth` product page's question; SKUs are drawn as for orders.
    pub(super) fn write_page(&self, nth: u64, into: &mut String) {
        let mut random = self.random(nth);
        let (latitude, longitude) = place(&mut random);
        let sku = self.zipf.draw(random.random::<f64>());
        into.push_str("/v1/availability?sku=S");
        push_number(into, u64::from(sku));
        into.push('-');
        into.push_str(&self.shop);
        into.push_str("&destination=GB,");
        push_degrees(into, latitude);
        into.push(',');
        push_degrees(into, longitude);
    }

    /// What the `nth` customer draws from.
    fn random(&self, nth: u64) -> SmallRng {
        SmallRng::seed_from_u64(self.seed ^ nth.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

/// Where a customer lives: latitude and longitude.
fn place(random: &mut SmallRng) -> (f64, f64) {
    let along = random.random::<f64>();
    let between = |from: f64, to: f64| from + along * (to - from);
    (between(FROM.0, TO.0), between(FROM.1, TO.1))
}

/// Writes a number; the general way of formatting costs several times as much.
fn push_number(into: &mut String, number: u64) {
    let mut digits = [b'0'; 20];
    let (mut from, mut left) = (digits.len(), number);
    loop {
        from -= 1;
        digits[from] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    digits[from..]
        .iter()
        .for_each(|digit| into.push(char::from(*digit)));
}

/// Writes degrees to four digits behind the point.
fn push_degrees(into: &mut String, degrees: f64) {
    let parts = (degrees.abs() * 1e4).round() as u64;
    if degrees < 0.0 {
        into.push('-');
    }
    push_number(into, parts / 10_000);
    into.push('.');
    // The leading one keeps zeros, and is passed over.
    let mut behind = String::new();
    push_number(&mut behind, 10_000 + parts % 10_000);
    into.push_str(&behind[1..]);
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
        let plain = |w: &Workload, n| {
            let mut order = String::from("{");
            w.write_order(n, &mut order);
            order.replace(&w.run, "")
        };
        assert_eq!(plain(&a, 5), plain(&b, 5));
        assert_ne!(plain(&a, 5), plain(&a, 6));
        let order: serde_json::Value = serde_json::from_str(&plain(&a, 5)).expect("JSON");
        assert!(order["lines"][0]["quantity"].is_u64(), "{order}");
        let (mut key, mut other) = (String::new(), String::new());
        a.write_key(10, &mut key);
        a.write_key(100, &mut other);
        assert!(key.ends_with("-o10") && key != other, "{key}");
    }

    #[test]
    fn numbers_and_degrees_are_written_as_by_the_standard_library() {
        let written = |write: &dyn Fn(&mut String)| {
            let mut text = String::new();
            write(&mut text);
            text
        };
        for number in [0, 7, 10, 90_909, u64::MAX] {
            let text = written(&|into| push_number(into, number));
            assert_eq!(text, number.to_string());
        }
        for degrees in [50.1, -3.1, -0.00061, 0.0004, 58.4, -5.299_96] {
            let text = written(&|into| push_degrees(into, degrees));
            assert_eq!(text, format!("{degrees:.4}"));
        }
    }
}
