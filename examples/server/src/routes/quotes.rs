//! `/v1/quotes`: what a purchase would cost, and what would be in its way. Promises nothing.

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use flashsale_core::payment::Split;
use flashsale_core::sale::{Line, Lines};
use flashsale_core::{CouponId, Error, Method, Money, SaleId};
use hyper::Request;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::orders::LineBody;
use super::{Answer, json};
use crate::app::App;
use crate::board::Standing;
use crate::extract::{self, Object};
use crate::problem::{At, Problem, coupon_code};
use crate::wiring::{CARD, WALLET};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(quote))
}

/// What might be bought.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct QuoteBody {
    /// The sale; without it, the standing one.
    #[schema(value_type = Option<String>)]
    sale: Option<SaleId>,
    /// What.
    #[schema(value_type = Vec<LineBody>)]
    lines: Vec<Object<LineBody>>,
    /// The coupon to use.
    #[schema(value_type = Option<String>)]
    coupon: Option<CouponId>,
    /// `card` (the default) or `wallet`.
    #[schema(value_type = Option<String>)]
    method: Option<Method>,
}

/// What it would cost.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuoteView {
    /// The sum of the prices.
    list: u64,
    /// What the coupon takes off.
    discount: u64,
    /// What the buyer pays.
    buyer_pays: u64,
    /// What the platform pays.
    funded: u64,
    /// What would be in the way now.
    problems: Vec<InTheWay>,
    /// The server's time.
    #[schema(value_type = String)]
    server_time: At,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InTheWay {
    /// The code with which the order would be refused.
    code: &'static str,
    /// What it is.
    detail: String,
}

/// Says what a purchase would cost.
#[utoipa::path(post, path = "/v1/quotes", tag = "orders", request_body = QuoteBody, params(("Flashsale-Member" = String, Header)),
    responses((status = 200, body = QuoteView), (status = 404, description = "unknown_sale, unknown_item"), (status = 422, description = "lines, amount_too_large, method, invalid")))]
async fn quote(State(app): State<App>, request: Request<Body>) -> Answer {
    let (parts, body) = request.into_parts();
    let member = extract::member(&app, &parts.headers)?;
    let body: QuoteBody = extract::json(&app, &parts.headers, body).await?;
    let sale = body.sale.unwrap_or_else(|| app.config().sale_ordinary.clone());
    let face = app.face(&sale).await?.ok_or_else(|| Problem::new("unknown_sale", "there is no such sale"))?;
    let method = match body.method {
        None => Method::new(CARD).map_err(|bad| Problem::new("method", bad.to_string()))?,
        Some(method) if [CARD, WALLET].contains(&method.as_str()) => method,
        Some(_) => return Err(Problem::new("method", "an order is paid by card or wallet")),
    };
    let lines = body.lines.into_iter().map(|Object(line)| Line { item: line.item, units: line.quantity }).collect();
    let lines = Lines::new(lines).map_err(|bad| Problem::new("lines", bad.to_string()))?;
    let now = app.now();
    let mut problems = Vec::new();
    match face.standing(now) {
        Standing::Open | Standing::SoldOut => {}
        Standing::Scheduled => problems.push(("not_open", format!("it opens at {}", face.window.opens_at))),
        Standing::Paused => problems.push(("paused", "the sale is paused".to_owned())),
        Standing::Closed => problems.push(("closed", "the sale is closed".to_owned())),
    }
    let mut list = Money::ZERO;
    for line in lines.iter() {
        let price = face.price(&line.item);
        let price = price.ok_or_else(|| Problem::new("unknown_item", format!("the sale has no item {}", line.item)))?;
        let sum = price.times(line.units).and_then(|price| list.plus(price));
        list = sum.ok_or_else(|| Problem::new("amount_too_large", "the total is too large"))?;
        for item in face.items.iter().filter(|item| item.item == line.item) {
            if line.units.units() > item.limit {
                problems.push(("buyer_limit", format!("at most {} of {} per buyer", item.limit, item.item)));
            } else if line.units.units() > item.left {
                problems.push(("sold_out", format!("{} of {} are left", item.left, item.item)));
            }
        }
    }
    let mut split = Split::of(list, Money::ZERO);
    if let Some(coupon) = &body.coupon {
        match app.flash().coupons.quote(&member, coupon, list, Some(&method)).await {
            Ok(with_coupon) => split = with_coupon,
            Err(Error::Refused(refusal)) => problems.push((coupon_code(refusal), refusal.to_string())),
            Err(Error::Backend(error)) => return Err(error.into()),
        }
    }
    let view = QuoteView {
        list: list.minor(),
        discount: split.funded.minor(),
        buyer_pays: split.buyer_pays.minor(),
        funded: split.funded.minor(),
        problems: problems.into_iter().map(|(code, detail)| InTheWay { code, detail }).collect(),
        server_time: At(now),
    };
    Ok(json(StatusCode::OK, &view))
}
