//! Lapse: offers whose time is over, for a waitlist without a saga of payments. Where there is one, *recover* does it.

use std::sync::Arc;

use async_trait::async_trait;

use crate::engine::drive::{Driven, Driver, Inbound};
use crate::engine::lane::Street;
use crate::engine::workers::{Board, Pass, Stop};
use crate::error::BackendError;
use crate::order::{Input, Order, OrderState};

pub(crate) struct Lapse {
    pub(crate) street: Arc<Street>,
    pub(crate) driver: Driver,
}

impl Lapse {
    async fn pass(&self) -> Result<u64, BackendError> {
        let (due, _) = self.driver.ledger().due(self.street.settings.events_max).await?;
        let offers = due.into_iter().filter(|order| order.state == OrderState::Offered);
        let lapses = |order: Arc<Order>| {
            let input = Input::Deadline { ver: order.ver };
            Inbound { order: order.id.clone(), input, trace: None }
        };
        let inputs: Vec<Inbound> = offers.map(lapses).collect();
        if inputs.is_empty() {
            return Ok(0);
        }
        let driven = self.driver.many(inputs).await?;
        Ok(driven.iter().filter(|driven| matches!(driven, Driven::Moved(_))).count() as u64)
    }
}

#[async_trait]
impl Pass for Lapse {
    fn name(&self) -> String {
        "lapse".to_owned()
    }

    async fn run(&self, stop: Stop, board: Board) {
        while !stop.asked() {
            let ran = self.pass().await;
            board.report("lapse", self.street.host.now(), ran.map_err(|error| error.to_string()));
            stop.rest(self.street.settings.recover_every).await;
        }
    }
}
