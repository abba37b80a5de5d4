//! What a service of the shop keeps: where each thing is.

use std::collections::BTreeMap;

/// Things that are free, held for an order, or gone with one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Books {
    opening: u32,
    free: u32,
    held: BTreeMap<(u64, &'static str), u32>,
    gone: BTreeMap<(u64, &'static str), u32>,
    /// The first entry that makes no sense after the others.
    mistake: Option<String>,
}

impl Books {
    pub(crate) fn opened_with(opening: u32) -> Self {
        Books { opening, free: opening, held: BTreeMap::new(), gone: BTreeMap::new(), mistake: None }
    }

    /// Holds something for an order.
    pub(crate) fn hold(&mut self, order: u64, what: &'static str, count: u32) {
        self.free = self.free.wrapping_sub(count);
        if self.held.insert((order, what), count).is_some() {
            self.mistaken(format!("{what} held twice for order {order}"));
        }
    }

    /// Frees what is held for an order.
    pub(crate) fn free(&mut self, order: u64, what: &'static str) {
        match self.held.remove(&(order, what)) {
            Some(count) => self.free += count,
            None => self.mistaken(format!("{what} freed for order {order}, and not held")),
        }
    }

    /// Parts with what is held for an order.
    pub(crate) fn part_with(&mut self, order: u64, what: &'static str) {
        match self.held.remove(&(order, what)) {
            Some(count) => drop(self.gone.insert((order, what), count)),
            None => self.mistaken(format!("{what} gone with order {order}, and not held")),
        }
    }

    /// Parts with something at once.
    pub(crate) fn spend(&mut self, order: u64, what: &'static str, count: u32) {
        self.hold(order, what, count);
        self.part_with(order, what);
    }

    /// Gets back what was spent on an order.
    pub(crate) fn get_back(&mut self, order: u64, what: &'static str) {
        match self.gone.remove(&(order, what)) {
            Some(count) => self.free += count,
            None => self.mistaken(format!("{what} of order {order} got back, and not gone")),
        }
    }

    /// Whether something has gone with exactly these orders.
    pub(crate) fn is_gone_with(&self, what: &'static str, orders: impl IntoIterator<Item = u64>) -> bool {
        let mut orders: Vec<_> = orders.into_iter().collect();
        orders.sort_unstable();
        orders.into_iter().eq(self.orders_with(what))
    }

    /// The orders with which something has gone.
    pub(crate) fn orders_with(&self, what: &'static str) -> impl Iterator<Item = u64> {
        self.gone.keys().filter(move |(_, gone)| *gone == what).map(|(order, _)| *order)
    }

    fn mistaken(&mut self, what: String) {
        self.mistake.get_or_insert(what);
    }

    /// Whether nothing was lost or made, done twice, or undone without having been done.
    pub(crate) fn balance(&self) -> bool {
        let held: u32 = self.held.values().sum();
        let gone: u32 = self.gone.values().sum();
        self.mistake.is_none() && self.free.wrapping_add(held).wrapping_add(gone) == self.opening
    }

    pub(crate) fn nothing_is_held(&self) -> bool {
        self.held.is_empty()
    }
}
