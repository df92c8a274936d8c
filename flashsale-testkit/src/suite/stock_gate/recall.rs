//! What a gate remembers of what was decided, told after a loss of the ledger.

use std::collections::BTreeMap;

use flashsale_core::OrderId;
use flashsale_core::stock::{Answers, Nonce, OrderState, Settled, StockGate, Synced};

use super::{Gates, Loaded, deciding, opened};
use crate::sample::{self, level, settled};

/// Everything that the gate tells, the parts put together.
async fn all<P: StockGate>(gate: &P, sale: &flashsale_core::SaleId) -> BTreeMap<OrderId, Settled> {
    let (mut found, mut cursor) = (BTreeMap::new(), 0);
    for _ in 0..10_000 {
        let part = gate.recall(sale, cursor).await.expect("recall");
        found.extend(part.orders.into_iter().map(|order| (order.id.clone(), order)));
        match part.next {
            Some(next) => cursor = next,
            None => return found,
        }
    }
    panic!("it has no end");
}

/// Pages and syncs are told again, each order as it was copied last; a hold is no decision.
pub async fn every_answer_that_was_copied_is_recalled(fixture: &impl Gates) {
    let (gate, sale) = (fixture.fresh().await, sample::sale_id("drop"));
    gate.begin(&sale, Nonce(7)).await.expect("begin");
    let pages: Vec<Settled> =
        (0..2_500).map(|n| settled(&format!("b{n}~1"), &[("a", 1)], OrderState::Accepted, 1)).collect();
    for page in pages.chunks(1_000) {
        let page = Answers { orders: page.to_vec(), ..Answers::default() };
        assert_eq!(gate.answers(&sale, Nonce(7), &page).await.expect("answers"), Synced::Done);
    }
    let loaded = Loaded { gate, sale };
    let items = [level("a", 5, 5)];
    assert_eq!(loaded.gate.load(&loaded.sale, &sample::load(&items)).await.expect("load"), Synced::Done);
    loaded.hold("held~1", &[("a", 1)]).await;
    let later = [
        settled("b7~1", &[("a", 1)], OrderState::Cancelled, 2),
        settled("new~1", &[("a", 1)], OrderState::Accepted, 2),
    ];
    assert_eq!(loaded.sync(&deciding(1, &items, &later, &[])).await, Synced::Done);
    let mut expected: BTreeMap<OrderId, Settled> =
        pages.into_iter().chain(later).map(|order| (order.id.clone(), order)).collect();
    let found = all(&loaded.gate, &loaded.sale).await;
    assert_eq!(found.len(), expected.len());
    for (id, order) in found {
        assert_eq!(expected.remove(&id), Some(order));
    }
}

/// It answers also where it knows nothing.
pub async fn a_gate_that_knows_nothing_recalls_nothing(fixture: &impl Gates) {
    let drop = opened(fixture, &[level("a", 5, 5)]).await;
    drop.hold("ann~1", &[("a", 1)]).await;
    assert_eq!(all(&drop.gate, &drop.sale).await.len(), 0);
    assert_eq!(all(&drop.gate, &sample::sale_id("none")).await.len(), 0);
}
