//! `/v1/me`: what a member says about himself: where he is told things, and in which language.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use hyper::Request;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, json};
use crate::app::App;
use crate::contacts::{self, Contact};
use crate::extract;
use crate::language::Language;
use crate::problem::Problem;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show, put, forget))
}

/// Where a member wants to be told things.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ContactBody {
    /// One plain address.
    email: String,
    /// en or ko.
    #[serde(default)]
    language: Language,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ContactView {
    /// Where he is told things; none: he is not told.
    email: Option<String>,
    /// In which language.
    language: Option<Language>,
}

impl From<Option<Contact>> for ContactView {
    fn from(contact: Option<Contact>) -> Self {
        let (email, language) = contact.map(|contact| (contact.email, contact.language)).unzip();
        Self { email, language }
    }
}

/// Shows where the member is told things.
#[utoipa::path(get, path = "/v1/me/contact", tag = "me", params(("Flashsale-Member" = String, Header)), responses((status = 200, body = ContactView)))]
async fn show(State(app): State<App>, headers: HeaderMap) -> Answer {
    let member = extract::member(&app, &headers)?;
    let contact = app.wired().contacts.of(std::slice::from_ref(&member)).await?.remove(&member);
    Ok(json(StatusCode::OK, &ContactView::from(contact)))
}

/// Writes where the member is told things: from now on, also what is still to be told.
#[utoipa::path(put, path = "/v1/me/contact", tag = "me", request_body = ContactBody, params(("Flashsale-Member" = String, Header)),
    responses((status = 200, body = ContactView), (status = 422, description = "invalid")))]
async fn put(State(app): State<App>, request: Request<Body>) -> Answer {
    let (parts, body) = request.into_parts();
    let member = extract::member(&app, &parts.headers)?;
    let ContactBody { email, language } = extract::json(&app, &parts.headers, body).await?;
    let email = contacts::email(&email).map_err(|why| Problem::invalid(format!("email: {why}")))?;
    let contact = Contact { email, language };
    app.wired().contacts.put(&member, &contact).await?;
    Ok(json(StatusCode::OK, &ContactView::from(Some(contact))))
}

/// Forgets where the member is told things: he is not told any more.
#[utoipa::path(delete, path = "/v1/me/contact", tag = "me", params(("Flashsale-Member" = String, Header)), responses((status = 200, body = ContactView)))]
async fn forget(State(app): State<App>, headers: HeaderMap) -> Answer {
    let member = extract::member(&app, &headers)?;
    app.wired().contacts.forget(&member).await?;
    Ok(json(StatusCode::OK, &ContactView::from(None)))
}
