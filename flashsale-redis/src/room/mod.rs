//! `RedisRoomStore`: each port method is one script call.
//!
//! Owns which script is run with which words. The decisions are in `lua/room_*.lua`; how words are made and read is in `ask` and `tell`.

mod ask;
mod tell;

use std::sync::Arc;

use async_trait::async_trait;
use flashsale_core::error::ErrorKind;
use flashsale_core::id::{BuyerId, RoomId};
use flashsale_core::queue::{
    Admitted, Enter, Entered, Expired, GRANTS_MAX, Levels, Places, RoomChange, RoomStore, Terms,
};
use flashsale_core::{BackendError, Clock};
use redis::{Cmd, Value};

use crate::backend::RedisBackend;
use crate::config::RedisConfig;
use crate::key;
use crate::link::Link;
use crate::script::{self, Script};

/// The most places or turns that one `admit` or `expire` looks at, whatever it is asked for, so that it does not keep the server from everybody
/// else. More takes several passes.
const LOOKED_AT: usize = 10_000;

/// A [`RoomStore`] on Redis. A clone is the same store.
#[derive(Debug, Clone)]
pub struct RedisRoomStore {
    link: Arc<Link>,
    prefix: Arc<str>,
    clock: Option<Arc<dyn Clock>>,
}

impl RedisRoomStore {
    /// Connects with defaults: [`RedisBackend::connect`], and its rooms.
    ///
    /// # Errors
    /// As [`RedisBackend::with`].
    pub async fn connect(url: &str) -> Result<Self, BackendError> {
        Ok(RedisBackend::connect(url).await?.rooms())
    }

    pub(crate) fn over(link: Arc<Link>, config: &RedisConfig) -> Self {
        Self { link, prefix: config.prefix.as_str().into(), clock: None }
    }

    /// Takes the time from `clock` instead of from the server: for tests in which time is moved by hand. All nodes of a room must
    /// have the same one.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..self }
    }

    async fn run(&self, script: &Script, room: &RoomId, args: impl Fn(&mut Cmd)) -> Result<Value, BackendError> {
        self.link.run(script, &key::of_room(&self.prefix, room), args).await
    }

    /// Asks about members.
    async fn ask(&self, script: &Script, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        let time = self.time();
        let told = self.run(script, room, |command| ask::members(command, &time, members)).await?;
        tell::places(script.operation, members.len(), &told)
    }

    /// The time to hand over: none, if the server's own counts.
    fn time(&self) -> String {
        self.clock.as_ref().map_or_else(String::new, |clock| clock.now().ms().to_string())
    }
}

fn checked(operation: &'static str, terms: &Terms) -> Result<(), BackendError> {
    terms.check().map_err(|bad| BackendError::new(ErrorKind::Data, operation, bad))
}

#[async_trait]
impl RoomStore for RedisRoomStore {
    async fn open(&self, room: &RoomId, terms: &Terms) -> Result<Levels, BackendError> {
        checked(script::ROOM_OPEN.operation, terms)?;
        let time = self.time();
        let told = self.run(&script::ROOM_OPEN, room, |command| ask::open(command, &time, terms)).await?;
        tell::opened(script::ROOM_OPEN.operation, &told)
    }

    async fn change(&self, room: &RoomId, change: &RoomChange) -> Result<Option<Levels>, BackendError> {
        // The terms that are there are within their bounds, and a change keeps none of the bounds between two of them.
        if let Err(bad) = checked(script::ROOM_CHANGE.operation, &change.to(&Terms::default())) {
            return self.levels(room).await?.map_or(Ok(None), |_| Err(bad));
        }
        let time = self.time();
        let told = self.run(&script::ROOM_CHANGE, room, |command| ask::change(command, &time, change)).await?;
        tell::levels(script::ROOM_CHANGE.operation, &told)
    }

    async fn enter(&self, room: &RoomId, batch: &[Enter]) -> Result<Option<Entered>, BackendError> {
        let time = self.time();
        let told = self.run(&script::ROOM_ENTER, room, |command| ask::enter(command, &time, batch)).await?;
        tell::entered(script::ROOM_ENTER.operation, batch.len(), &told)
    }

    async fn place(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        self.ask(&script::ROOM_PLACE, room, members).await
    }

    async fn admit(&self, room: &RoomId, most: usize) -> Result<Option<Admitted>, BackendError> {
        let (time, most) = (self.time(), most.min(LOOKED_AT));
        let told = self.run(&script::ROOM_ADMIT, room, |command| ask::admit(command, &time, most, GRANTS_MAX)).await?;
        tell::admitted(script::ROOM_ADMIT.operation, &told)
    }

    async fn extend(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        self.ask(&script::ROOM_EXTEND, room, members).await
    }

    async fn finish(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        self.ask(&script::ROOM_FINISH, room, members).await
    }

    async fn leave(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        self.ask(&script::ROOM_LEAVE, room, members).await
    }

    async fn expire(&self, room: &RoomId, most: usize) -> Result<Option<Expired>, BackendError> {
        let (time, most) = (self.time(), most.min(LOOKED_AT));
        let told = self.run(&script::ROOM_EXPIRE, room, |command| ask::expire(command, &time, most)).await?;
        tell::expired(script::ROOM_EXPIRE.operation, &told)
    }

    async fn levels(&self, room: &RoomId) -> Result<Option<Levels>, BackendError> {
        let time = self.time();
        let told = self.run(&script::ROOM_LEVELS, room, |command| ask::time(command, &time)).await?;
        tell::levels(script::ROOM_LEVELS.operation, &told)
    }

    async fn forget(&self, room: &RoomId) -> Result<(), BackendError> {
        self.run(&script::ROOM_FORGET, room, |_| ()).await.map(|_| ())
    }
}
