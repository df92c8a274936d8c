//! The page of an offer, to which a letter leads: take it, let it go, or learn what became of it.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use flashsale_core::order::OrderState;

use super::show::drawn;
use super::{Asked, Frame, member};
use crate::app::App;
use crate::extract::{self, Name};
use crate::language::Phrase;
use crate::problem::Problem;
use crate::routes::waitlist::{own_offer, was_taken};

/// What became of an offer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Taken,
    Gone,
}

#[derive(Template)]
#[template(path = "offer.html")]
struct OfferPage {
    frame: Frame,
    id: String,
    sale: String,
    fate: Fate,
    status: String,
    until: Option<String>,
    take: String,
}

/// One offer of the member.
pub(super) async fn page(State(app): State<App>, Name(id): Name, headers: HeaderMap, uri: Uri) -> Response {
    let view = async {
        let asked: Asked = extract::query(&uri)?;
        let frame = Frame::of(&app, &headers, &uri, &asked);
        let who = member(&app, &headers).ok_or_else(Problem::not_found)?;
        let (order, _) = app.flash().orders.load(&own_offer(&who, &id)?).await?;
        let order = order.ok_or_else(Problem::not_found)?;
        let line = order.lines.iter().next().ok_or_else(Problem::not_found)?;
        let (fate, status) = match order.state {
            OrderState::Offered => {
                let held = Phrase::OfferHeld.say(frame.language, &[line.item.as_str(), &line.units.to_string()]);
                (Fate::Open, held)
            }
            OrderState::Cancelled | OrderState::Refused if !was_taken(&app, &order).await? => {
                (Fate::Gone, frame.say(Phrase::OfferGone))
            }
            _ => (Fate::Taken, frame.say(Phrase::OfferTaken)),
        };
        Ok(OfferPage {
            id: order.id.to_string(),
            sale: order.sale.to_string(),
            fate,
            status,
            until: order.pay_by.map(|at| at.to_string()),
            take: Phrase::OfferTake.say(frame.language, &[&frame.language.money(order.amounts.pays)]),
            frame,
        })
    };
    drawn(&app, &headers, &uri, view).await
}
