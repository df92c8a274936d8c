//! Balances while a transaction moves money: read once, moved in memory, written once, each movement with its entry and its fact.

use std::collections::{BTreeMap, BTreeSet};

use flashsale_core::event::{Event, Fact, WalletFact};
use flashsale_core::payment::{EntryKind, WalletEntry};
use flashsale_core::{BuyerId, Money, Timestamp};

use super::{minor, shown};
use crate::event;
use crate::tx::{Fault, Tx};
use crate::value::{Rows, Value};

const BALANCES: &str = "SELECT member, balance FROM wallet WHERE member {in} ORDER BY member{lock}";
const LAST: &str = "SELECT COALESCE(MAX(no), 0) FROM wallet_entry";
const NEW_WALLETS: &str =
    "INSERT INTO wallet (member, balance) SELECT r.member, r.balance FROM {rows member:text balance:int} r";
const WALLETS: &str =
    "UPDATE wallet SET balance = r.balance FROM {rows member:text balance:int} r WHERE wallet.member = r.member";
const ENTRIES: &str = "INSERT INTO wallet_entry (no, member, kind, amount, balance, cause, at) \
                       SELECT r.no, r.member, r.kind, r.amount, r.balance, r.cause, r.at \
                       FROM {rows no:int member:text kind:text amount:int balance:int cause:text at:int} r";

/// The account that pays for coupons. It alone may be in debt.
pub(super) fn platform() -> BuyerId {
    BuyerId::new("platform").expect("a constant id")
}

/// An account in the till.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    balance: i64,
    /// Whether it has a row.
    kept: bool,
    moved: bool,
}

/// The accounts of a batch.
#[derive(Debug)]
pub(super) struct Till {
    accounts: BTreeMap<BuyerId, Account>,
    last: u64,
    now: Timestamp,
    entries: Vec<WalletEntry>,
    /// The facts, in the order in which they became true.
    events: Vec<Event>,
}

impl Till {
    /// Reads the accounts of these members, and the platform's.
    pub(super) async fn open(tx: &mut Tx<'_>, members: Vec<BuyerId>) -> Result<Self, Fault> {
        let members: BTreeSet<BuyerId> = members.into_iter().chain([platform()]).collect();
        let list = Value::list(members.iter().map(BuyerId::as_str));
        let [rows, last] = tx.read([(BALANCES, vec![list]), (LAST, vec![])]).await?;
        let mut accounts: BTreeMap<BuyerId, Account> =
            members.into_iter().map(|member| (member, Account::default())).collect();
        for row in &rows {
            let mut row = row.fields();
            accounts.insert(row.id()?, Account { balance: row.int()?, kept: true, moved: false });
        }
        let last = last.first().map_or(Ok(0), |row| row.fields().number())?;
        Ok(Self { accounts, last, now: tx.now(), entries: Vec::new(), events: Vec::new() })
    }

    pub(super) fn balance(&self, member: &BuyerId) -> i64 {
        self.accounts.get(member).map_or(0, |account| account.balance)
    }

    pub(super) fn can_take(&self, member: &BuyerId, amount: Money) -> bool {
        self.balance(member).saturating_add(minor(amount)) <= minor(Money::MAX)
    }

    /// Moves money of one account. Nothing is no movement.
    pub(super) fn move_money(&mut self, member: &BuyerId, kind: EntryKind, amount: i64, cause: &str) {
        if amount == 0 {
            return;
        }
        let account = self.accounts.entry(member.clone()).or_default();
        account.balance = account.balance.saturating_add(amount);
        account.moved = true;
        let no = self.last + 1;
        self.last = no;
        let (balance, cause) = (shown(account.balance), cause.to_owned());
        let entry = WalletEntry { no, member: member.clone(), kind, amount, balance, cause, at: self.now };
        self.events.push(fact(&entry));
        self.entries.push(entry);
    }

    /// Tells a fact that is no movement, in its place among them.
    pub(super) fn tell(&mut self, subject: &str, version: u64, fact: Fact) {
        self.events.push(Event { subject: subject.to_owned(), version, sale: None, time: self.now, fact, trace: None });
    }

    /// Writes what moved.
    pub(super) fn close(self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let moved = |kept: bool| {
            let accounts = self.accounts.iter().filter(move |(_, account)| account.moved && account.kept == kept);
            Rows::of(accounts, |(member, account)| [member.as_str().into(), account.balance.into()])
        };
        tx.bulk_exactly(NEW_WALLETS, &[], moved(false), &[]);
        tx.bulk_exactly(WALLETS, &[], moved(true), &[]);
        let rows = Rows::of(&self.entries, |entry| {
            [
                entry.no.into(),
                entry.member.as_str().into(),
                entry.kind.code().into(),
                entry.amount.into(),
                minor(entry.balance).into(),
                entry.cause.as_str().into(),
                entry.at.into(),
            ]
        });
        tx.bulk_exactly(ENTRIES, &[], rows, &[]);
        event::tell(tx, &self.events)
    }
}

fn fact(entry: &WalletEntry) -> Event {
    let WalletEntry { no, member, kind, amount, balance, cause, at } = entry;
    let told = WalletFact { member: member.clone(), amount: *amount, balance: *balance, cause: cause.clone() };
    let fact = match kind {
        EntryKind::Charged => Fact::WalletCharged(told),
        EntryKind::Withdrawn => Fact::WalletWithdrawn(told),
        EntryKind::Paid => Fact::WalletPaid(told),
        EntryKind::Received => Fact::WalletReceived(told),
        EntryKind::Refunded => Fact::WalletRefunded(told),
        EntryKind::Funded => Fact::WalletFunded(told),
    };
    Event { subject: member.as_str().to_owned(), version: *no, sale: None, time: *at, fact, trace: None }
}
