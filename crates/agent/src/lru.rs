//! A map that holds so much and no more: who was not asked for the longest makes room.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// A bounded map.
pub struct Lru<K, V> {
    most: usize,
    turn: u64,
    entries: HashMap<K, (u64, V)>,
    turns: BTreeMap<u64, K>,
}

impl<K: Clone + Eq + Hash, V> Lru<K, V> {
    /// An empty map for at most `most` entries.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), turn: 0, entries: HashMap::new(), turns: BTreeMap::new() }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is there for `key`, which was asked for just now.
    pub fn get(&mut self, key: &K) -> Option<&mut V> {
        let (turn, value) = self.entries.get_mut(key)?;
        self.turns.remove(turn);
        self.turn += 1;
        *turn = self.turn;
        self.turns.insert(self.turn, key.clone());
        Some(value)
    }

    /// What is there for `key`, which nobody asked for.
    #[must_use]
    pub fn peek<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// Puts `value` there; what was asked for longest ago goes if there is no room.
    pub fn put(&mut self, key: K, value: V) {
        self.remove(&key);
        while self.entries.len() >= self.most {
            let Some((_, oldest)) = self.turns.pop_first() else { break };
            self.entries.remove(&oldest);
        }
        self.turn += 1;
        self.turns.insert(self.turn, key.clone());
        self.entries.insert(key, (self.turn, value));
    }

    /// Takes out what is there for `key`.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (turn, value) = self.entries.remove(key)?;
        self.turns.remove(&turn);
        Some(value)
    }

    /// Keeps only what `is_kept` holds for.
    pub fn retain(&mut self, mut is_kept: impl FnMut(&K, &mut V) -> bool) {
        let turns = &mut self.turns;
        self.entries.retain(|key, (turn, value)| {
            let kept = is_kept(key, value);
            if !kept {
                turns.remove(turn);
            }
            kept
        });
    }

    /// Takes out everything.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.turns.clear();
    }

    /// Everything, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, (_, value))| (key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_longest_ago_makes_room() {
        let mut map = Lru::new(2);
        map.put("a", 1);
        map.put("b", 2);
        assert_eq!(map.get(&"a"), Some(&mut 1));
        map.put("c", 3);
        assert_eq!((map.peek(&"a"), map.peek(&"b"), map.peek(&"c")), (Some(&1), None, Some(&3)));
        map.put("c", 4);
        assert_eq!((map.len(), map.peek(&"a"), map.peek(&"c")), (2, Some(&1), Some(&4)));
    }

    #[test]
    fn what_was_taken_out_takes_no_room() {
        let mut map = Lru::new(2);
        for number in 0..100 {
            map.put(number, ());
            map.retain(|key, ()| key % 2 == 0);
        }
        assert_eq!((map.len(), map.peek(&98)), (1, Some(&())));
        assert_eq!(map.turns.len(), 1);
        map.clear();
        assert!(map.is_empty() && map.turns.is_empty());
    }
}
