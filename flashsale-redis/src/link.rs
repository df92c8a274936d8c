//! A connection that is replaced when it breaks, and a deadline for each call.
//!
//! A socket whose other end vanished without a word stays open for minutes: the driver would wait on it, and keep it after its own
//! timeouts. Here a call that is late leaves the connection, and the next call dials.

use std::fmt;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use flashsale_core::BackendError;
use redis::{Cmd, Value};
use tokio::time::Instant;

use crate::config::RedisConfig;
use crate::dial::{self, Wire};
use crate::fault::{self, Wired};
use crate::script::Script;

/// How long the failure of a dial is told to callers before it is tried again: a server that is down is not stormed.
const DIAL_AGAIN: Duration = Duration::from_millis(100);

/// The way to Redis.
pub(crate) struct Link {
    config: RedisConfig,
    live: RwLock<Option<Live>>,
    /// At most one dial at a time; what the last one failed with.
    dialing: tokio::sync::Mutex<Dialing>,
}

#[derive(Default)]
struct Dialing {
    dials: u64,
    failed: Option<(Instant, BackendError)>,
}

/// A connection and which one it is.
#[derive(Clone)]
struct Live {
    number: u64,
    wire: Wire,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.config).finish()
    }
}

impl Link {
    pub(crate) fn new(config: RedisConfig) -> Self {
        Self { config, live: RwLock::default(), dialing: tokio::sync::Mutex::default() }
    }

    /// Dials now if there is no connection.
    pub(crate) async fn check(&self) -> Result<(), BackendError> {
        self.live().await.map(|_| ())
    }

    /// Runs a script on the sale whose keys these are. `args` is asked for its words again if the server does not know the script.
    pub(crate) async fn run(
        &self,
        script: &Script,
        keys: &[String],
        args: impl Fn(&mut Cmd),
    ) -> Result<Value, BackendError> {
        let command = |verb: &str, body: &str| {
            let mut command = redis::cmd(verb);
            command.arg(body).arg(keys.len()).arg(keys);
            args(&mut command);
            command
        };
        let Live { number, mut wire } = self.live().await?;
        let deadline = Instant::now() + self.config.response_timeout;
        let mut answer = tokio::time::timeout_at(deadline, wire.ask(&command("EVALSHA", &script.sha))).await;
        if matches!(&answer, Ok(Err(error)) if error.code() == Some("NOSCRIPT")) {
            answer = tokio::time::timeout_at(deadline, wire.ask(&command("EVAL", script.source))).await;
        }
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                let (error, wired) = fault::of_call(script.operation, &error, wire.attempts());
                if wired == Wired::Broken {
                    self.leave(number, &error);
                }
                Err(error)
            }
            Err(_) => {
                let error = BackendError::unknown(script.operation, "no answer within the response timeout");
                self.leave(number, &error);
                Err(error)
            }
        }
    }

    fn known(&self) -> Option<Live> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The connection, or a new one.
    async fn live(&self) -> Result<Live, BackendError> {
        if let Some(live) = self.known() {
            return Ok(live);
        }
        let mut dialing = self.dialing.lock().await;
        // Somebody else may have dialed while this one waited.
        if let Some(live) = self.known() {
            return Ok(live);
        }
        if let Some((at, error)) = &dialing.failed
            && at.elapsed() < DIAL_AGAIN
        {
            return Err(error.clone());
        }
        match dial::dial(&self.config).await {
            Ok(wire) => {
                dialing.dials += 1;
                dialing.failed = None;
                let live = Live { number: dialing.dials, wire };
                *self.live.write().unwrap_or_else(PoisonError::into_inner) = Some(live.clone());
                Ok(live)
            }
            Err(error) => {
                dialing.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Gives a connection up, unless it was replaced already.
    fn leave(&self, number: u64, why: &BackendError) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        if live.as_ref().is_some_and(|live| live.number == number) {
            tracing::warn!(error = %why, "the connection to Redis is given up");
            *live = None;
        }
    }
}
