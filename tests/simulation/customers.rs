//! Clients that place orders, work on them, move stock and look at it, whatever happens to the nodes.
//!
//! In: a seed, nodes to ask. Out: a [`History`] of what was asked and answered. Whoever gets no answer
//! asks another node with the same key, for a while; after that nobody knows what became of it.

use std::collections::BTreeMap;
use std::time::Duration;

use consign_tests::{Client, Reply, Request, order};
use rand::Rng as _;
use rand::rngs::SmallRng;
use serde_json::{Value, json};

use crate::history::{History, Look, Move, Placed, Span};
use crate::network::client_of;

/// What is sold.
pub const SKUS: [&str; 3] = ["A", "B", "C"];
/// Where from.
pub const LOCATIONS: [&str; 3] = ["LONDON", "LEEDS", "PARIS"];
/// How long a customer tries before nobody knows.
const TRIES_FOR: Duration = Duration::from_secs(15);

/// One client.
pub struct Customer {
    name: String,
    chance: SmallRng,
    history: History,
    nodes: Vec<Client>,
    asked: u64,
    /// Orders it knows of, with the body they were placed with and their key.
    orders: Vec<(String, Value, String)>,
}

fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

impl Customer {
    /// A client of these nodes; to be made on a host.
    pub fn new(name: &str, chance: SmallRng, history: History, nodes: u64) -> Customer {
        Customer {
            name: name.to_owned(),
            chance,
            history,
            nodes: (1..=nodes).map(client_of).collect(),
            asked: 0,
            orders: Vec::new(),
        }
    }

    /// Does one thing.
    pub async fn act(&mut self) {
        let pause = self.chance.random_range(5..250);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        match self.chance.random_range(0..100) {
            0..30 => self.place().await,
            30..45 => self.move_stock().await,
            45..65 => self.look().await,
            65..75 => self.read_order().await,
            75..82 => self.cancel().await,
            82..88 => self.place_again().await,
            _ => self.work().await,
        }
    }

    fn key(&mut self) -> String {
        self.asked += 1;
        format!("{}-{}", self.name, self.asked)
    }

    /// Asks one node after another, until one says what it did. `None`: nobody knows.
    async fn ask(&mut self, what: &str, request: impl Fn(&Client) -> Request) -> Option<Reply> {
        let began = now();
        loop {
            let node = self.chance.random_range(0..self.nodes.len());
            let answer = request(&self.nodes[node]).try_send().await;
            let said = match &answer {
                Ok(reply) => reply.status.to_string(),
                Err(why) => why.clone(),
            };
            let line = format!("{} asks node {} {what}: {said}", self.name, node + 1);
            self.history.tell(now(), &line);
            match answer {
                Ok(reply) if ![429, 500, 503].contains(&reply.status) => {
                    self.history.records(|all| all.answered += 1);
                    return Some(reply);
                }
                Ok(reply) if reply.status == 500 => {
                    self.broken(&format!("an answer of 500: {reply}"));
                }
                _ => {}
            }
            if now() - began > TRIES_FOR {
                self.history.records(|all| all.unknown += 1);
                return None;
            }
            let pause = self.chance.random_range(20..400);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    fn broken(&self, what: &str) {
        self.history.tell(now(), &format!("BROKEN {what}"));
        self.history.records(|all| all.broken.push(what.to_owned()));
    }

    fn any<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.chance.random_range(0..of.len())]
    }

    async fn place(&mut self) {
        let mut units = BTreeMap::new();
        let mut lines = Vec::new();
        for _ in 0..self.chance.random_range(1..=2) {
            let (sku, count) = (self.any(&SKUS), self.chance.random_range(1..=3));
            *units.entry(sku.to_owned()).or_default() += u64::from(count);
            lines.push((sku, count, "2.55"));
        }
        let key = self.key();
        let mut body = order(&lines);
        body["external_id"] = json!(key);
        let asked = now();
        let span = Span {
            asked,
            answered: None,
        };
        let placed = Placed {
            id: None,
            units,
            span,
        };
        self.history
            .records(|all| all.placed.insert(key.clone(), placed));
        let reply = self
            .ask(&format!("to place {key}"), |node| {
                node.post("/v1/orders", &body).key(&key)
            })
            .await;
        let Some(reply) = reply else { return };
        if ![201, 202].contains(&reply.status) {
            return self.broken(&format!("an order was refused: {reply}"));
        }
        let id = text(&reply.json()["id"]);
        self.history.records(|all| {
            if let Some(placed) = all.placed.get_mut(&key) {
                placed.id = Some(id.clone());
                placed.span.answered = Some(now());
            }
        });
        self.orders.push((id, body, key));
    }

    /// The same order under the same key is the same order (L3).
    async fn place_again(&mut self) {
        let Some((id, body, key)) = self.any_order() else {
            return;
        };
        let again = self
            .ask(&format!("to place {key} again"), |node| {
                node.post("/v1/orders", &body).key(&key)
            })
            .await;
        if let Some(reply) = again
            && (![201, 202].contains(&reply.status) || text(&reply.json()["id"]) != id)
        {
            self.broken(&format!("L3: {key} was order {id} before: {reply}"));
        }
    }

    fn any_order(&mut self) -> Option<(String, Value, String)> {
        if self.orders.is_empty() {
            return None;
        }
        let nth = self.chance.random_range(0..self.orders.len());
        Some(self.orders[nth].clone())
    }

    async fn move_stock(&mut self) {
        let (location, sku) = (self.any(&LOCATIONS), self.any(&SKUS));
        let key = self.key();
        let adjusts = self.chance.random_ratio(1, 5);
        let units: i64 = if adjusts {
            -self.chance.random_range(1..=2)
        } else {
            self.chance.random_range(1..=6)
        };
        let path = if adjusts {
            "/v1/inventory/adjustments"
        } else {
            "/v1/inventory/receipts"
        };
        let body = json!({"location": location, "sku": sku, "quantity": units, "reference": key});
        let asked = now();
        let moved = Move {
            location: location.to_owned(),
            sku: sku.to_owned(),
            units,
            span: Span {
                asked,
                answered: None,
            },
        };
        self.history
            .records(|all| all.moves.insert(key.clone(), moved));
        let reply = self
            .ask(&format!("to move {units} {sku} at {location}"), |node| {
                node.post(path, &body).key(&key)
            })
            .await;
        match reply {
            Some(reply) if reply.status == 200 => self.history.records(|all| {
                if let Some(moved) = all.moves.get_mut(&key) {
                    moved.span.answered = Some(now());
                }
            }),
            // Nothing was there to take away: it is known that nothing was done.
            Some(_) => drop(self.history.records(|all| all.moves.remove(&key))),
            None => {}
        }
    }

    async fn look(&mut self) {
        let sku = self.any(&SKUS);
        // Each attempt is a look of its own: only the one that was answered counts.
        let node = self.chance.random_range(0..self.nodes.len());
        let asked = now();
        let request = self.nodes[node].get(format!("/v1/inventory/{sku}"));
        let reply = request.try_send().await;
        let answered = now();
        let Ok(reply) = reply.map_err(|_| ()) else {
            return;
        };
        let line = format!("{} looks at {sku}: {}", self.name, reply.status);
        self.history.tell(answered, &line);
        if reply.status != 200 {
            return;
        }
        let found = reply.json();
        for at in found["locations"].as_array().into_iter().flatten() {
            let look = Look {
                location: text(&at["location"]),
                sku: sku.to_owned(),
                on_hand: at["on_hand"].as_i64().unwrap_or(i64::MIN),
                reserved: at["reserved"].as_i64().unwrap_or(i64::MIN),
                asked,
                answered,
            };
            self.history.records(|all| all.looks.push(look));
        }
    }

    /// What it was told of is there (L2), on every node.
    async fn read_order(&mut self) {
        let Some((id, ..)) = self.any_order() else {
            return;
        };
        let reply = self
            .ask(&format!("for {id}"), |node| {
                node.get(format!("/v1/orders/{id}"))
            })
            .await;
        if let Some(reply) = reply
            && reply.status != 200
        {
            self.broken(&format!("L2: order {id} was acknowledged: {reply}"));
        }
    }

    async fn cancel(&mut self) {
        let Some((id, ..)) = self.any_order() else {
            return;
        };
        let key = self.key();
        let body = json!({"reason": "customer"});
        let reply = self
            .ask(&format!("to cancel {id}"), |node| {
                node.post(format!("/v1/orders/{id}/cancel"), &body)
                    .key(&key)
            })
            .await;
        let Some(reply) = reply else { return };
        match reply.status {
            200 | 202 => self
                .history
                .records(|all| *all.cancelled.entry(id).or_default() += 1),
            404 => self.broken(&format!("L2: order {id} was acknowledged: {reply}")),
            _ => {}
        }
    }

    /// Takes an order's first open fulfillment order one step further.
    async fn work(&mut self) {
        let Some((id, ..)) = self.any_order() else {
            return;
        };
        let seen = self
            .ask(&format!("what {id} needs"), |node| {
                node.get(format!("/v1/orders/{id}"))
            })
            .await;
        let Some(seen) = seen.filter(|seen| seen.status == 200) else {
            return;
        };
        let seen = seen.json();
        let Some((of, step)) = next_step(&seen, &mut self.chance) else {
            return;
        };
        let key = self.key();
        let mut body = json!({});
        if step == "ship" {
            body["tracking_number"] = json!(format!("T{key}"));
        }
        self.ask(&format!("to {step} {of}"), |node| {
            node.post(format!("/v1/fulfillment-orders/{of}/{step}"), &body)
                .key(&key)
        })
        .await;
    }
}

/// The first fulfillment order that is open, and what may be done about it.
fn next_step(order: &Value, chance: &mut SmallRng) -> Option<(String, &'static str)> {
    let all = order["fulfillment_orders"].as_array()?;
    all.iter().find_map(|one| {
        let step = match one["status"].as_str()? {
            "open" => "accept",
            // What comes too early is refused.
            "in_progress" => ["pick", "pack", "ship"][chance.random_range(0..3)],
            _ => return None,
        };
        Some((text(&one["id"]), step))
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
