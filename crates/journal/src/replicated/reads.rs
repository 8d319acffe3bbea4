//! Rounds of questions that many readers share: who comes while one is under way waits for the next.

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Shares rounds; `T` is a round's outcome.
#[derive(Debug)]
pub(crate) struct Rounds<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    running: bool,
    waiting: Vec<oneshot::Sender<Told<T>>>,
}

#[derive(Debug)]
enum Told<T> {
    Outcome(T),
    /// The next round is yours.
    Lead,
}

impl<T> Default for Rounds<T> {
    fn default() -> Self {
        Rounds(Mutex::new(State {
            running: false,
            waiting: Vec::new(),
        }))
    }
}

impl<T: Clone> Rounds<T> {
    /// The outcome of a round that begins after this call. `None` when whoever led it was dropped.
    pub(crate) async fn join<F>(&self, round: impl FnOnce() -> F) -> Option<T>
    where
        F: Future<Output = T>,
    {
        let (tell, hear) = oneshot::channel();
        {
            let mut state = self.0.lock();
            if std::mem::replace(&mut state.running, true) {
                state.waiting.push(tell);
            } else {
                let _ = tell.send(Told::Lead);
            }
        }
        match hear.await.ok()? {
            Told::Outcome(outcome) => Some(outcome),
            Told::Lead => {
                let _leading = Leading(self);
                let others = std::mem::take(&mut self.0.lock().waiting);
                let outcome = round().await;
                for other in others {
                    let _ = other.send(Told::Outcome(outcome.clone()));
                }
                Some(outcome)
            }
        }
    }
}

/// Hands the next round over, also when whoever led this one was dropped in the middle of it.
struct Leading<'a, T>(&'a Rounds<T>);

impl<T> Drop for Leading<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        while let Some(next) = state.waiting.pop() {
            if next.send(Told::Lead).is_ok() {
                return;
            }
        }
        state.running = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_during_a_round_shares_the_next() {
        let rounds = Arc::new(Rounds::<u32>::default());
        let count = Arc::new(AtomicU32::new(0));
        let read = || {
            let (rounds, count) = (Arc::clone(&rounds), Arc::clone(&count));
            tokio::spawn(async move {
                let round = || async {
                    let nth = count.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                    nth
                };
                rounds.join(round).await
            })
        };
        let first = read();
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        let later: Vec<_> = (0..20).map(|_| read()).collect();
        assert_eq!(first.await.expect("runs"), Some(0));
        for reader in later {
            assert_eq!(reader.await.expect("runs"), Some(1));
        }
        assert_eq!(read().await.expect("runs"), Some(2));
    }
}
