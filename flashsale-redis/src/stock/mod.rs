//! `RedisStockGate`: each port method is one script call.
//!
//! Owns which script is run with which words. The decisions are in `lua/stock_*.lua`; how words are made and read is in `ask` and `tell`.

mod ask;
mod tell;

use std::sync::Arc;

use async_trait::async_trait;
use flashsale_core::id::SaleId;
use flashsale_core::stock::{
    Answers, Begun, Due, Level, Load, Nonce, Recalled, Reservation, Reserve, StockGate, Synced, Update,
};
use flashsale_core::{BackendError, Clock};
use redis::{Cmd, Value};

use crate::backend::RedisBackend;
use crate::config::RedisConfig;
use crate::key;
use crate::link::Link;
use crate::script::{self, Script};

/// The most holds that one `due` looks at, so that it does not keep the server from everybody else. A larger lapse takes several passes.
const LOOKED_AT: u32 = 20_000;

/// About how many orders are recalled at once.
const RECALLED: u32 = 1_000;

/// A [`StockGate`] on Redis. A clone is the same gate.
#[derive(Debug, Clone)]
pub struct RedisStockGate {
    link: Arc<Link>,
    prefix: Arc<str>,
    clock: Option<Arc<dyn Clock>>,
}

impl RedisStockGate {
    /// Connects with defaults: [`RedisBackend::connect`], and its gate.
    ///
    /// # Errors
    /// As [`RedisBackend::with`].
    pub async fn connect(url: &str) -> Result<Self, BackendError> {
        Ok(RedisBackend::connect(url).await?.gate())
    }

    pub(crate) fn over(link: Arc<Link>, config: &RedisConfig) -> Self {
        Self { link, prefix: config.prefix.as_str().into(), clock: None }
    }

    /// Takes the time from `clock` instead of from the server: for tests in which time is moved by hand. All nodes of a sale must
    /// have the same one.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..self }
    }

    async fn run(&self, script: &Script, sale: &SaleId, args: impl Fn(&mut Cmd)) -> Result<Value, BackendError> {
        self.link.run(script, &key::of_sale(&self.prefix, sale), args).await
    }

    /// The time to hand over: none, if the server's own counts.
    fn time(&self) -> String {
        self.clock.as_ref().map_or_else(String::new, |clock| clock.now().ms().to_string())
    }
}

#[async_trait]
impl StockGate for RedisStockGate {
    async fn begin(&self, sale: &SaleId, nonce: Nonce) -> Result<Begun, BackendError> {
        let told = self.run(&script::BEGIN, sale, |command| ask::nonce(command, nonce)).await?;
        tell::begun(&told)
    }

    async fn forget(&self, sale: &SaleId, nonce: Nonce) -> Result<(), BackendError> {
        self.run(&script::FORGET, sale, |command| ask::nonce(command, nonce)).await.map(|_| ())
    }

    async fn answers(&self, sale: &SaleId, nonce: Nonce, page: &Answers) -> Result<Synced, BackendError> {
        let told = self.run(&script::ANSWERS, sale, |command| ask::answers(command, nonce, page)).await?;
        tell::synced(script::ANSWERS.operation, &told)
    }

    async fn load(&self, sale: &SaleId, load: &Load) -> Result<Synced, BackendError> {
        let told = self.run(&script::LOAD, sale, |command| ask::load(command, load)).await?;
        tell::synced(script::LOAD.operation, &told)
    }

    async fn reserve(&self, sale: &SaleId, batch: &[Reserve]) -> Result<Reservation, BackendError> {
        let (time, shapes) = (self.time(), ask::shapes(batch));
        let told = self.run(&script::RESERVE, sale, |command| ask::reserve(command, &time, &shapes, batch)).await?;
        tell::reservation(batch, &told)
    }

    async fn due(&self, sale: &SaleId) -> Result<Option<Due>, BackendError> {
        let time = self.time();
        let told = self.run(&script::DUE, sale, |command| ask::due(command, &time, LOOKED_AT)).await?;
        tell::due(&told)
    }

    async fn sync(&self, sale: &SaleId, update: &Update) -> Result<Synced, BackendError> {
        let told = self.run(&script::SYNC, sale, |command| ask::sync(command, update)).await?;
        tell::synced(script::SYNC.operation, &told)
    }

    async fn level(&self, sale: &SaleId) -> Result<Level, BackendError> {
        let time = self.time();
        let told = self.run(&script::LEVEL, sale, |command| ask::time(command, &time)).await?;
        tell::level(&told)
    }

    async fn recall(&self, sale: &SaleId, cursor: u64) -> Result<Recalled, BackendError> {
        let told = self.run(&script::RECALL, sale, |command| ask::part(command, cursor, RECALLED)).await?;
        tell::recalled(&told)
    }
}
