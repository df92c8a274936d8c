//! `/ops/v1/sales/{sale}/items/{item}/adjustments`: more or fewer units, once per key.

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use flashsale_core::stock::{Change, ChangeRefusal};
use flashsale_core::{Error, ItemId, SaleId};
use hyper::Request;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, dev, json};
use crate::app::App;
use crate::extract::{self, Names};
use crate::problem::{At, Problem};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(adjust))
}

/// By how many units, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AdjustBody {
    /// Positive restocks, negative shrinks: not below what is ordered.
    by: i64,
    /// One line, for the log.
    reason: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AdjustedView {
    /// The sale.
    sale: String,
    /// The item.
    item: String,
    /// How many units there are now.
    total: u32,
    /// How many of them are ordered or sold.
    allocated: u32,
    /// The server's time.
    #[schema(value_type = String)]
    server_time: At,
}

/// Adds units to an item or takes some away: first in the ledger, then at the gate. A repeat under the same key changes nothing.
#[utoipa::path(post, path = "/ops/v1/sales/{sale}/items/{item}/adjustments", tag = "operation", request_body = AdjustBody,
    params(("sale" = String, Path), ("item" = String, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 200, body = AdjustedView), (status = 403, description = "switched_off"), (status = 404, description = "unknown_sale, unknown_item"),
        (status = 410, description = "closed"), (status = 422, description = "key_reused; terms: with what is possible; invalid")))]
async fn adjust(State(app): State<App>, Names(sale, item): Names, request: Request<Body>) -> Answer {
    dev::switched_on(app.config().dev_members)?;
    let (parts, body) = request.into_parts();
    let key = extract::key(&parts.headers)?;
    let AdjustBody { by, reason } = extract::json(&app, &parts.headers, body).await?;
    if reason.trim().is_empty() || reason.contains(char::is_control) {
        return Err(Problem::invalid("reason: one line that says why"));
    }
    let unknown = || Problem::new("unknown_sale", "there is no such sale");
    let sale = SaleId::new(&sale).map_err(|_| unknown())?;
    app.face(&sale).await?.ok_or_else(unknown)?;
    let no_item = || Problem::new("unknown_item", "the sale has no such item");
    let item = ItemId::new(&item).map_err(|_| no_item())?;
    match app.flash().stock.change(&sale, &key, &Change::Adjust { item: item.clone(), by }).await {
        Err(Error::Refused(ChangeRefusal::Conflict)) => {
            return Err(Problem::new("key_reused", "this key was used for another change"));
        }
        done => done?,
    }
    tracing::info!(%sale, %item, by, reason, key = key.as_str(), "an adjustment is made, once for its key");
    let totals = app.flash().stock.totals(&sale).await?.ok_or_else(unknown)?;
    let row = totals.items.into_iter().find(|row| row.item == item).ok_or_else(no_item)?;
    let (total, allocated) = (row.total, row.allocated);
    let view = AdjustedView { sale: sale.into(), item: item.into(), total, allocated, server_time: At(app.now()) };
    Ok(json(StatusCode::OK, &view))
}
