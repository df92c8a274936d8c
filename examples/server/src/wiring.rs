//! The ports: which backend serves which noun, over one gate and one ledger.
//!
//! Owns the wiring and the choice of a provider by the way to pay. Does not serve anything.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::engine::{Host, TokioHost, WalletGateway};
use flashsale_core::error::ErrorKind;
use flashsale_core::notice::{Notifier, Quiet};
use flashsale_core::order::Policy;
use flashsale_core::payment::{
    Capture, Chances, Charge, Fenced, Moved, Outcome, PaymentGateway, PaymentKey, Scripted, WalletLedger,
};
use flashsale_core::{
    BackendError, BuyerId, Clock, FlashSale, Method, Ports, Settings, Timestamp, VolatileLog, Wallet,
};

use crate::clock::ShiftedClock;
use crate::config::{Config, Intake, MailUrl, Switch};
use crate::contacts::Contacts;
use crate::events;
use crate::gate::{self, Kept};
use crate::ledger::{self, Ledger};
use crate::mail::Mailer;
use crate::own::Own;
use crate::rooms::RoomBook;
use crate::serve::StartError;

/// The account that gets the money of orders paid by wallet.
pub(crate) const SELLER: &str = "seller";
/// Orders paid from the buyer's wallet.
pub(crate) const WALLET: &str = "wallet";
/// Orders paid at the simulated provider: the default.
pub(crate) const CARD: &str = "card";

/// The wired system.
#[derive(Debug, Clone)]
pub(crate) struct Wired {
    pub(crate) flash: FlashSale,
    pub(crate) wallet: Wallet,
    pub(crate) clock: Arc<ShiftedClock>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) kept: Kept,
    pub(crate) own: Own,
    pub(crate) contacts: Contacts,
    pub(crate) book: RoomBook,
    /// Why the gate did not answer at the start.
    pub(crate) silent: Option<BackendError>,
}

/// Opens the ledger and wires everything over it.
pub(crate) async fn wire(config: &Config) -> Result<Wired, StartError> {
    let clock = ShiftedClock::shared();
    if config.dev_clock == Switch::On {
        clock.forward(Timestamp::from_ms(i64::try_from(config.dev_clock_at_ms).unwrap_or(i64::MAX)));
    }
    let shared: Arc<dyn Clock> = clock.clone();
    let gate::Opened { gate, rooms, kept, silent } = gate::open(config, &shared).await?;
    let ledger = ledger::open(&config.sql_url, &shared).await?;
    let host = TokioHost::with_clock(shared);
    let rows: Arc<dyn WalletLedger> = ledger.clone();
    let seller = BuyerId::new(SELLER).expect("a constant name");
    let payment = Tills { wallet: WalletGateway::new(&host, &rows, &seller), card: provider(config, &host) };
    let own = Own::open(&config.sql_url)?;
    let (contacts, book) = (Contacts::open(&own).await?, RoomBook::open(&own).await?);
    let events::Opened { sink, source, dead, intake } = events::open(config, ledger.clone()).await?;
    let ports = Ports {
        rooms,
        keys: book.keys(&*host).await?,
        host: host.clone(),
        gate,
        intake,
        ledger: ledger.clone(),
        coupons: ledger.clone(),
        waitlist: ledger.clone(),
        payment: Arc::new(payment),
        outbox: ledger.clone(),
        sink,
        source,
        dead,
        notices: notifier(config, &contacts),
        to_tell: ledger.clone(),
    };
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let settings = Settings {
        reserve_max: size(config.batch_reserve_max),
        accept_max: size(config.batch_accept_max),
        intake_max: size(config.batch_intake_max),
        payment_lanes: size(config.payment_lanes),
        policy: Policy { offer_within: Duration::from_secs(config.sale_offer_within_s), ..Policy::default() },
        keep_versions: days(config.retention_versions_d),
        volatile_log: match config.sale_intake {
            Intake::VolatileLog => VolatileLog::Allowed,
            Intake::Ledger | Intake::Log => VolatileLog::Refused,
        },
        keep_events: (config.retention_outbox_d > 0).then(|| days(config.retention_outbox_d)),
        ..Settings::default()
    };
    let flash = FlashSale::new(ports, settings)
        .map_err(|error| BackendError::new(ErrorKind::Misconfigured, "settings", error))?;
    let wallet = Wallet::new(host.clone(), rows);
    Ok(Wired { flash, wallet, clock, host, ledger, kept, own, contacts, book, silent })
}

/// Whoever tells members what concerns them.
fn notifier(config: &Config, contacts: &Contacts) -> Arc<dyn Notifier> {
    let Some(MailUrl { carrier, .. }) = &config.mail_url else { return Arc::new(Quiet) };
    Arc::new(Mailer {
        contacts: contacts.clone(),
        carrier: carrier.clone().greeting(config.mail_from.0.email.domain()),
        from: config.mail_from.0.clone(),
        public_url: config.http_public_url.0.clone(),
        timeout: Duration::from_millis(config.mail_timeout_ms),
        lanes: usize::try_from(config.mail_lanes).unwrap_or(usize::MAX),
    })
}

fn provider(config: &Config, host: &Arc<dyn Host>) -> Scripted {
    let chances = Chances {
        decline: config.payment_decline_rate.0,
        leave: config.payment_leave_rate.0,
        unknown: config.payment_unknown_rate.0,
        latency: Duration::from_millis(config.payment_latency_ms),
        seed: config.payment_seed,
    };
    let host = host.clone();
    Scripted::with(chances, move |wait| host.sleep(wait))
}

/// The gateways by the way to pay: the wallet, and the simulated provider for all else.
///
/// A key that does not tell its method is asked of both: fenced and refunded at both, looked up where it is known.
#[derive(Debug)]
struct Tills {
    wallet: WalletGateway,
    card: Scripted,
}

/// Where a key leads.
enum Till<'a> {
    One(&'a dyn PaymentGateway),
    Both,
}

impl Tills {
    fn of(&self, key: &PaymentKey) -> Till<'_> {
        match key.method.as_ref().map(Method::as_str) {
            Some(WALLET) => Till::One(&self.wallet),
            Some(_) => Till::One(&self.card),
            None => Till::Both,
        }
    }
}

#[async_trait]
impl PaymentGateway for Tills {
    async fn authorize(&self, charge: &Charge) -> Result<Outcome, BackendError> {
        match self.of(&charge.key) {
            Till::One(till) => till.authorize(charge).await,
            Till::Both => self.card.authorize(charge).await,
        }
    }

    async fn lookup(&self, key: &PaymentKey) -> Result<Option<Outcome>, BackendError> {
        match self.of(key) {
            Till::One(till) => till.lookup(key).await,
            Till::Both => match self.wallet.lookup(key).await? {
                Some(outcome) => Ok(Some(outcome)),
                None => self.card.lookup(key).await,
            },
        }
    }

    async fn cancel(&self, key: &PaymentKey) -> Result<Fenced, BackendError> {
        match self.of(key) {
            Till::One(till) => till.cancel(key).await,
            Till::Both => Ok(match (self.wallet.cancel(key).await?, self.card.cancel(key).await?) {
                (approved @ Fenced::Approved { .. }, _) | (_, approved @ Fenced::Approved { .. }) => approved,
                (Fenced::Cancelled, Fenced::Cancelled) => Fenced::Cancelled,
                _ => Fenced::Unknown,
            }),
        }
    }

    async fn capture(&self, capture: &Capture) -> Result<Moved, BackendError> {
        match self.of(&capture.key) {
            Till::One(till) => till.capture(capture).await,
            Till::Both => self.card.capture(capture).await,
        }
    }

    async fn refund(&self, key: &PaymentKey) -> Result<Moved, BackendError> {
        match self.of(key) {
            Till::One(till) => till.refund(key).await,
            Till::Both => Ok(match (self.wallet.refund(key).await?, self.card.refund(key).await?) {
                (Moved::Done, Moved::Done) => Moved::Done,
                _ => Moved::Unknown,
            }),
        }
    }
}
