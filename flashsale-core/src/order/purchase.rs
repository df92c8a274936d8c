//! What a buyer asks for: the input of a placed order, and its fingerprint.

use crate::id::ItemId;
use crate::id::{BuyerId, ContentHash, CouponId, Key, Method, OrderId, SaleId};
use crate::sale::{Line, Lines, TermsError};
use crate::stock::Note;
use crate::trace::TraceParent;
use crate::unit::{Money, Quantity};

/// Whether the buyer saw a total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Priced {
    /// He takes the price as it is at acceptance.
    AsItIs,
    /// He saw this total, the coupon taken off; another one is refused.
    At(Money),
}

/// A purchase: who, under which key, what, and for how much.
///
/// ```
/// use flashsale_core::{won, BuyerId, Key, Purchase, SaleId};
/// let ann = BuyerId::new("ann")?;
/// let purchase = Purchase::of(&SaleId::new("drop-1")?, &ann, Key::new("k-0001")?)
///     .line("sneaker-42", 1)?
///     .total(won(129_000));
/// assert_eq!(purchase.id().as_str(), "ann~k-0001");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purchase {
    /// The sale.
    pub sale: SaleId,
    /// Who buys.
    pub buyer: BuyerId,
    /// The key that makes repeats the same purchase.
    pub key: Key,
    /// What.
    pub lines: Vec<Line>,
    /// For how much.
    pub priced: Priced,
    /// The coupon to use.
    pub coupon: Option<CouponId>,
    /// How it is paid.
    pub method: Option<Method>,
    /// The embedder's own text, such as an address.
    pub note: Option<Note>,
    /// The trace of the request, for the facts that it causes. No part of the fingerprint.
    pub trace: Option<TraceParent>,
}

impl Purchase {
    /// A purchase of nothing yet.
    #[must_use]
    pub fn of(sale: &SaleId, buyer: &BuyerId, key: Key) -> Self {
        Self {
            sale: sale.clone(),
            buyer: buyer.clone(),
            key,
            lines: vec![],
            priced: Priced::AsItIs,
            coupon: None,
            method: None,
            note: None,
            trace: None,
        }
    }

    /// Adds a line.
    ///
    /// # Errors
    /// [`TermsError::Id`], [`TermsError::Unit`], in this order.
    pub fn line(mut self, item: &str, units: u64) -> Result<Self, TermsError> {
        self.lines.push(Line { item: ItemId::new(item)?, units: Quantity::new(units)? });
        Ok(self)
    }

    /// States the total that the buyer saw, the coupon taken off. Another one is refused as `price_changed`.
    #[must_use]
    pub fn total(self, pays: Money) -> Self {
        Self { priced: Priced::At(pays), ..self }
    }

    /// Uses a coupon.
    #[must_use]
    pub fn coupon(self, coupon: CouponId) -> Self {
        Self { coupon: Some(coupon), ..self }
    }

    /// Says how it is paid.
    #[must_use]
    pub fn method(self, method: Method) -> Self {
        Self { method: Some(method), ..self }
    }

    /// Attaches the embedder's own text.
    #[must_use]
    pub fn note(self, note: Note) -> Self {
        Self { note: Some(note), ..self }
    }

    /// Says in which trace the request stands: the facts of the order carry it.
    #[must_use]
    pub fn trace(self, trace: TraceParent) -> Self {
        Self { trace: Some(trace), ..self }
    }

    /// The name of the order that it becomes.
    #[must_use]
    pub fn id(&self) -> OrderId {
        OrderId::of(&self.buyer, &self.key)
    }

    /// The lines, checked.
    ///
    /// # Errors
    /// [`TermsError::Lines`], [`TermsError::Twice`], in this order.
    pub fn checked_lines(&self) -> Result<Lines, TermsError> {
        Lines::new(self.lines.clone())
    }

    /// The fingerprint of everything that the buyer stated. The order of lines does not matter.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        let mut lines: Vec<String> = self.lines.iter().map(|line| format!("{}={}", line.item, line.units)).collect();
        lines.sort_unstable();
        let total = match self.priced {
            Priced::AsItIs => String::new(),
            Priced::At(pays) => pays.to_string(),
        };
        let rest = [
            self.sale.as_str(),
            &total,
            self.coupon.as_ref().map_or("", CouponId::as_str),
            self.method.as_ref().map_or("", Method::as_str),
            self.note.as_ref().map_or("", Note::as_str),
        ];
        ContentHash::over(rest.into_iter().chain(lines.iter().map(String::as_str)).map(str::as_bytes))
    }
}
