//! `/v1/campaigns` and `/v1/coupons`: windows, claims, and what a member has.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode, Uri};
use flashsale_core::engine::{CampaignView, TakenClaim};
use flashsale_core::order::Recorded;
use flashsale_core::sale::Window;
use flashsale_core::{BuyerId, Campaign, CampaignId, Coupon, CouponId, Method, Money, Quantity, Timestamp};
use hyper::Request;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::orders::{RECORDED, look_again_ms};
use super::sales::moment;
use super::{Answer, Given, json, page_size, with, written};
use crate::app::App;
use crate::config::Intake;
use crate::extract::{self, MEMBER, Name};
use crate::meters::Answered;
use crate::problem::{At, Problem};
use crate::routes::dev;

/// The most days, and months, that a coupon is valid.
const VALID_MAX: (u32, u32) = (3_660, 120);

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show))
        .routes(routes!(claim))
        .routes(routes!(coupons))
        .routes(routes!(coupon))
}

/// A campaign as it is shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignShown {
    /// Its name.
    id: String,
    /// open, not_open, ended.
    state: &'static str,
    /// When the window that is open opened.
    #[schema(value_type = Option<String>)]
    opens_at: Option<At>,
    /// When the next one opens.
    #[schema(value_type = Option<String>)]
    next_opens_at: Option<At>,
    /// How many members of a window get a coupon.
    cap: u32,
    /// How many of the open window are left.
    left: Option<u32>,
    /// What a coupon takes off.
    takes_off: u64,
    /// The smallest total on which it can be used.
    from: u64,
    /// The only way to pay with which it can be used.
    only_with: Option<String>,
    /// When these figures were true.
    #[schema(value_type = String)]
    at: At,
    /// The member's coupon of the open window.
    #[serde(skip_serializing_if = "Option::is_none")]
    mine: Option<String>,
    /// The server's time.
    #[schema(value_type = String)]
    server_time: At,
}

impl CampaignShown {
    fn of(view: &CampaignView, mine: Option<CouponId>) -> Self {
        let CampaignView { campaign, window, next_opens_at, left, now } = view;
        let state = match (window, next_opens_at) {
            (Some(_), _) => "open",
            (None, Some(_)) => "not_open",
            (None, None) => "ended",
        };
        let opened = window.as_ref().map(|window| window.opens_at).filter(|at| *at != Window::ALWAYS.opens_at);
        Self {
            id: campaign.id.to_string(),
            state,
            opens_at: opened.map(At),
            next_opens_at: next_opens_at.map(At),
            cap: campaign.cap.units(),
            // Before the first claim nobody has one.
            left: window.as_ref().map(|_| left.unwrap_or(campaign.cap.units())),
            takes_off: campaign.discount.takes_off.minor(),
            from: campaign.discount.from.minor(),
            only_with: campaign.discount.only_with.as_ref().map(ToString::to_string),
            at: At(*now),
            mine: mine.map(|id| id.to_string()),
            server_time: At(*now),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignList {
    /// In order of name.
    campaigns: Vec<CampaignShown>,
    /// The server's time.
    #[schema(value_type = String)]
    server_time: At,
}

fn unknown() -> Problem {
    Problem::new("unknown_campaign", "there is no such campaign")
}

/// The coupon that `member` has of the window that is open.
pub(crate) async fn mine(app: &App, view: &CampaignView, member: &BuyerId) -> Result<Option<CouponId>, Problem> {
    let Some(window) = &view.window else { return Ok(None) };
    let Ok(id) = CouponId::of(&view.campaign.id, &window.label, member) else { return Ok(None) };
    Ok(app.flash().coupons.coupon(member, &id).await?.map(|coupon| coupon.id))
}

/// Lists the campaigns.
#[utoipa::path(get, path = "/v1/campaigns", tag = "coupons", responses((status = 200, body = CampaignList)))]
async fn list(State(app): State<App>) -> Answer {
    let mut campaigns = Vec::new();
    for campaign in app.flash().coupons.campaigns().await? {
        let view = app.flash().coupons.view(&campaign.id).await?;
        campaigns.extend(view.map(|view| CampaignShown::of(&view, None)));
    }
    Ok(json(StatusCode::OK, &CampaignList { campaigns, server_time: At(app.now()) }))
}

/// Shows a campaign; to a member, also whether he has a coupon of the open window.
#[utoipa::path(get, path = "/v1/campaigns/{id}", tag = "coupons", params(("id" = String, Path)),
    responses((status = 200, body = CampaignShown), (status = 404, description = "unknown_campaign")))]
async fn show(State(app): State<App>, Name(id): Name, headers: HeaderMap) -> Answer {
    let id = CampaignId::new(&id).map_err(|_| unknown())?;
    let view = app.flash().coupons.view(&id).await?.ok_or_else(unknown)?;
    let own = match headers.contains_key(MEMBER) {
        true => mine(&app, &view, &extract::member(&app, &headers)?).await?,
        false => None,
    };
    Ok(json(StatusCode::OK, &CampaignShown::of(&view, own)))
}

/// The terms of a campaign.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CampaignBody {
    /// Its name: 1 to 48 characters.
    id: String,
    /// A window each day at `HH:MM`; without it, one window.
    daily_at: Option<String>,
    /// In this IANA zone; UTC without it.
    zone: Option<String>,
    /// From when it runs.
    #[serde(default, deserialize_with = "moment")]
    #[schema(value_type = Option<String>)]
    opens_at: Option<Timestamp>,
    /// Until when it runs.
    #[serde(default, deserialize_with = "moment")]
    #[schema(value_type = Option<String>)]
    closes_at: Option<Timestamp>,
    /// How many members of a window get a coupon.
    #[schema(value_type = u32)]
    cap: Quantity,
    /// What a coupon takes off.
    #[schema(value_type = u64)]
    takes_off: Money,
    /// The smallest total on which it can be used.
    #[schema(value_type = u64)]
    from: Money,
    /// Valid for so many calendar months from the claim.
    valid_months: Option<u32>,
    /// Valid for so many days from the claim; 30 where neither is said.
    valid_days: Option<u32>,
    /// The only way to pay with which it can be used.
    #[schema(value_type = Option<String>)]
    only_with: Option<Method>,
}

impl CampaignBody {
    fn terms(self) -> Result<Campaign, Problem> {
        let bad = |bad: &dyn std::error::Error| Problem::new("terms", bad.to_string());
        let mut campaign = Campaign::named(&self.id).map_err(|e| bad(&e))?;
        if self.zone.is_some() && self.daily_at.is_none() {
            return Err(Problem::new("terms", "a zone is that of a daily window: daily_at is missing"));
        }
        if let Some(at) = &self.daily_at {
            campaign = campaign.daily_at(at, self.zone.as_deref().unwrap_or("UTC")).map_err(|e| bad(&e))?;
        }
        campaign.cap = self.cap;
        campaign = campaign.takes_off(self.takes_off).from(self.from);
        campaign = match (self.valid_months, self.valid_days) {
            (None, None) => campaign,
            (Some(months), None) if (1..=VALID_MAX.1).contains(&months) => campaign.valid_months(months),
            (None, Some(days)) if (1..=VALID_MAX.0).contains(&days) => campaign.valid_days(days),
            _ => return Err(Problem::new("terms", "valid for 1 to 120 months, or for 1 to 3660 days")),
        };
        if let Some(method) = self.only_with {
            campaign = campaign.only_with(method);
        }
        let (from, until) = (self.opens_at, self.closes_at);
        let always = Window::ALWAYS;
        campaign.runs(from.unwrap_or(always.opens_at), until.unwrap_or(always.closes_at)).map_err(|e| bad(&e))
    }
}

/// Writes down a campaign (development). New terms of a known one count from its next window on.
#[utoipa::path(post, path = "/v1/campaigns", tag = "coupons", request_body = CampaignBody,
    responses((status = 201, body = CampaignShown), (status = 403, description = "switched_off"), (status = 422, description = "terms, invalid")))]
async fn create(State(app): State<App>, request: Request<Body>) -> Answer {
    dev::switched_on(app.config().dev_members)?;
    let (parts, body) = request.into_parts();
    let body: CampaignBody = extract::json(&app, &parts.headers, body).await?;
    let campaign = body.terms()?;
    app.flash().coupons.open(std::slice::from_ref(&campaign)).await?;
    let view = app.flash().coupons.view(&campaign.id).await?.ok_or_else(unknown)?;
    let response = json(StatusCode::CREATED, &CampaignShown::of(&view, None));
    Ok(with(response, LOCATION, &format!("/v1/campaigns/{}", campaign.id)))
}

/// A coupon, as it was issued and as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CouponView<'a> {
    /// Its name.
    id: &'a str,
    /// The campaign.
    campaign: &'a str,
    /// The window in which it was issued.
    window: &'a str,
    /// What it takes off.
    takes_off: u64,
    /// The smallest total on which it can be used.
    from: u64,
    /// The only way to pay with which it can be used.
    only_with: Option<&'a str>,
    /// The first moment at which it is no longer valid.
    #[schema(value_type = String)]
    expires_at: At,
    /// The order or trade that uses it. Not told by the answer to a claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    used_by: Option<&'a str>,
    /// Whether it can be used now. Not told by the answer to a claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    usable: Option<bool>,
    /// The server's time. Not told by the answer to a claim, which is the same at every repeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    server_time: Option<At>,
}

impl<'a> CouponView<'a> {
    fn issued(coupon: &'a Coupon) -> Self {
        Self {
            id: coupon.id.as_str(),
            campaign: coupon.campaign.as_str(),
            window: &coupon.window,
            takes_off: coupon.discount.takes_off.minor(),
            from: coupon.discount.from.minor(),
            only_with: coupon.discount.only_with.as_ref().map(Method::as_str),
            expires_at: At(coupon.expires_at),
            used_by: None,
            usable: None,
            server_time: None,
        }
    }

    fn now(coupon: &'a Coupon, now: Timestamp) -> Self {
        Self {
            used_by: coupon.used_by.as_ref().map(flashsale_core::OrderId::as_str),
            usable: Some(usable(coupon, now)),
            server_time: Some(At(now)),
            ..Self::issued(coupon)
        }
    }
}

/// A claim that is held and recorded, and not decided yet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClaimRecorded<'a> {
    /// The name of the coupon that it becomes.
    id: &'a str,
    /// `recorded`: not issued. The ledger decides it, in the order of the log; it may still refuse.
    status: &'static str,
    /// Its place in the order of arrival.
    #[serde(skip_serializing_if = "Option::is_none")]
    no: Option<u64>,
    /// When to look again.
    refresh_after_ms: u64,
}

impl<'a> ClaimRecorded<'a> {
    fn of(id: &'a CouponId, record: &Recorded) -> Self {
        let no = record.no().map(|no| no.0);
        Self { id: id.as_str(), status: RECORDED, no, refresh_after_ms: look_again_ms(record) }
    }
}

/// Whether a coupon can be used at all at `now`.
fn usable(coupon: &Coupon, now: Timestamp) -> bool {
    coupon.used_by.is_none() && now < coupon.expires_at
}

/// Claims the coupon of the window that is open.
///
/// While `sale.intake` is `log`, 202 with the status `recorded` means held and recorded, not issued: the claim is decided a moment later, and a
/// repeat under the same key tells how.
#[utoipa::path(post, path = "/v1/campaigns/{id}/coupons", tag = "coupons",
    params(("id" = String, Path), ("Flashsale-Member" = String, Header), ("Idempotency-Key" = String, Header)),
    responses((status = 201, body = CouponView), (status = 202, description = "Recorded, to be decided", body = ClaimRecorded), (status = 403, description = "not_open (with opens_at)"), (status = 404, description = "unknown_campaign"),
        (status = 409, description = "already_claimed (with coupon, counted)"), (status = 410, description = "ended"), (status = 429, description = "exhausted, all_held; with Retry-After")))]
async fn claim(State(app): State<App>, Name(id): Name, request: Request<Body>) -> Answer {
    let (parts, body) = request.into_parts();
    let claimed = async {
        let member = extract::member(&app, &parts.headers)?;
        let key = extract::key(&parts.headers)?;
        extract::nothing(&app, &parts.headers, body).await?;
        let id = CampaignId::new(&id).map_err(|_| unknown())?;
        let coupons = &app.flash().coupons;
        let coupons = match extract::trace(&parts.headers) {
            Some(trace) => &coupons.traced(trace),
            None => coupons,
        };
        let claimed = match app.config().sale_intake {
            Intake::Ledger => coupons.claim(&id, &member, key).await.map(TakenClaim::Claimed),
            Intake::Log | Intake::VolatileLog => coupons.record(&id, &member, key).await,
        };
        claimed.map_err(|error| Problem::of_claim(&error, app.now()))
    };
    match claimed.await {
        Ok(TakenClaim::Recorded(id, record)) => {
            app.meters().claimed(Answered::Recorded);
            let response = json(StatusCode::ACCEPTED, &ClaimRecorded::of(&id, &record));
            Ok(with(response, LOCATION, &format!("/v1/coupons/{id}")))
        }
        Ok(TakenClaim::Claimed(claimed)) => {
            let given = Given::from(claimed.answer);
            app.meters().claimed(if given == Given::First { Answered::First } else { Answered::Replayed });
            let response = written(StatusCode::CREATED, &CouponView::issued(&claimed.coupon), given);
            Ok(with(response, LOCATION, &format!("/v1/coupons/{}", claimed.coupon.id)))
        }
        Err(problem) => {
            app.meters().claimed(Answered::Refused(problem.no()));
            Err(problem)
        }
    }
}

/// Which coupons.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CouponQuery {
    usable: Option<bool>,
    after: Option<CouponId>,
    limit: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CouponPage<'a> {
    /// In order of name.
    coupons: Vec<CouponView<'a>>,
    /// Where the next page begins: hand it back as `after`.
    next: Option<&'a str>,
    /// The server's time.
    #[schema(value_type = String)]
    server_time: At,
}

/// Lists the member's coupons.
#[utoipa::path(get, path = "/v1/coupons", tag = "coupons",
    params(("usable" = Option<bool>, Query), ("after" = Option<String>, Query), ("limit" = Option<u64>, Query, description = "1 to 100"), ("Flashsale-Member" = String, Header)),
    responses((status = 200, body = CouponPage)))]
async fn coupons(State(app): State<App>, uri: Uri, headers: HeaderMap) -> Answer {
    let member = extract::member(&app, &headers)?;
    let query: CouponQuery = extract::query(&uri)?;
    let limit = page_size(query.limit)?;
    let rows = app.flash().coupons.list(&member, query.after.as_ref(), limit).await?;
    let now = app.now();
    let next = rows.last().map(|coupon| coupon.id.as_str()).filter(|_| rows.len() == limit);
    let wanted = |coupon: &&Coupon| query.usable.is_none_or(|wanted| usable(coupon, now) == wanted);
    let coupons = rows.iter().filter(wanted).map(|coupon| CouponView::now(coupon, now)).collect();
    Ok(json(StatusCode::OK, &CouponPage { coupons, next, server_time: At(now) }))
}

/// Shows a coupon.
#[utoipa::path(get, path = "/v1/coupons/{id}", tag = "coupons", params(("id" = String, Path), ("Flashsale-Member" = String, Header)),
    responses((status = 200, body = CouponView), (status = 202, description = "Its claim is recorded, to be decided", body = ClaimRecorded),
        (status = 404, description = "not_found: missing or somebody else's")))]
async fn coupon(State(app): State<App>, Name(id): Name, headers: HeaderMap) -> Answer {
    let member = extract::member(&app, &headers)?;
    let id = CouponId::new(&id).map_err(|_| Problem::not_found())?;
    if let Some(coupon) = app.flash().coupons.coupon(&member, &id).await? {
        return Ok(json(StatusCode::OK, &CouponView::now(&coupon, app.now())));
    }
    let record = app.flash().coupons.recorded(&id).filter(|record| record.id().buyer_str() == member.as_str());
    let record = record.ok_or_else(Problem::not_found)?;
    match app.flash().orders.load(record.id()).await? {
        (None, _) => Ok(json(StatusCode::ACCEPTED, &ClaimRecorded::of(&id, &record))),
        // It is decided: refused, or issued this moment.
        (Some(_), _) => match app.flash().coupons.coupon(&member, &id).await? {
            Some(coupon) => Ok(json(StatusCode::OK, &CouponView::now(&coupon, app.now()))),
            None => Err(Problem::not_found()),
        },
    }
}
