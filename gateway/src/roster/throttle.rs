//! Lets something happen at most once per key and interval, in a bounded map.
//!
//! Keys are hashes of names from the network under a random key, so that nobody can fill the
//! map with collisions; when it is full of keys that still count, new ones are refused.

use core::hash::{BuildHasher, Hash};
use core::time::Duration;
use std::collections::HashMap;
use std::hash::RandomState;

use crate::clock::Moment;

/// Remembers when something last happened for each of a bounded number of keys.
#[derive(Debug)]
pub struct Throttle {
    interval: Duration,
    keys_max: usize,
    hasher: RandomState,
    last: HashMap<u64, Moment>,
}

impl Throttle {
    /// Lets one happen per key and interval, for at most so many keys at once.
    pub fn new(interval: Duration, keys_max: usize) -> Self {
        Self {
            interval,
            keys_max,
            hasher: RandomState::new(),
            last: HashMap::new(),
        }
    }

    /// Log lines about one node: one a minute and reason.
    pub fn for_log() -> Self {
        Self::new(Duration::from_mins(1), 4096)
    }

    /// Whether it may happen for this key now; if so, it is remembered.
    pub fn admit<K: Hash>(&mut self, now: Moment, key: K) -> bool {
        let key = self.hasher.hash_one(key);
        if let Some(last) = self.last.get(&key)
            && now < *last + self.interval
        {
            return false;
        }
        if self.last.len() >= self.keys_max && !self.last.contains_key(&key) {
            let interval = self.interval;
            self.last.retain(|_, last| now < *last + interval);
            if self.last.len() >= self.keys_max {
                return false;
            }
        }
        self.last.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_admitted_once_per_interval() {
        let mut throttle = Throttle::new(Duration::from_secs(10), 8);
        assert!(throttle.admit(Moment(0), "attic"));
        assert!(!throttle.admit(Moment(9_999), "attic"));
        assert!(throttle.admit(Moment(9_999), "cellar"));
        assert!(throttle.admit(Moment(10_000), "attic"));
    }

    #[test]
    fn a_flood_of_keys_is_bounded_and_passes() {
        let mut throttle = Throttle::new(Duration::from_secs(10), 100);
        let admitted = (0..10_000)
            .filter(|key| throttle.admit(Moment(0), key))
            .count();
        assert_eq!(admitted, 100);
        assert_eq!(throttle.last.len(), 100);
        assert!(throttle.admit(Moment(10_000), 10_001));
        assert_eq!(throttle.last.len(), 1);
    }
}
