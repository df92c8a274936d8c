//! What forms do: one call of the library each, then a page by GET (303), so that a refresh repeats nothing.
//!
//! A form's key was made when the form was drawn, so a double press, or a press after going back, is the same request.

use axum::body::Body;
use axum::extract::{Form, FromRequest, State};
use axum::http::header::{HOST, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use flashsale_axum::answers;
use flashsale_core::payment::WalletAct;
use flashsale_core::{
    BuyerId, CampaignId, CouponId, Error, ItemId, Key, Method, Money, OrderId, Quantity, SaleId, WaitingRoom, won,
};
use hyper::Request;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{COOKIE_NAME, problem_page, see};
use crate::app::App;
use crate::config::Switch;
use crate::extract::{self, Name, Object};
use crate::problem::Problem;
use crate::routes::orders::{LineBody, PlaceBody, load_own, purchase};
use crate::routes::rooms::{self, Halted};
use crate::routes::waitlist;

/// How much a press of the wallet's button puts in.
const POCKET_MONEY: Money = won(200_000);

/// A form that was sent: who, and what stands in it.
struct Sent<T> {
    who: BuyerId,
    form: T,
}

/// Reads a form of this very site.
async fn read<T: DeserializeOwned>(app: &App, request: Request<Body>) -> Result<T, Problem> {
    let (parts, body) = request.into_parts();
    own_origin(&parts.headers)?;
    let bytes = extract::bytes(app, body).await?;
    let whole = Request::from_parts(parts, Body::from(bytes));
    let form: Result<Form<T>, _> = Form::from_request(whole, &()).await;
    form.map(|Form(form)| form).map_err(|bad| Problem::invalid(bad.body_text()))
}

/// Reads a form of a member.
async fn sent<T: DeserializeOwned>(app: &App, request: Request<Body>) -> Result<Sent<T>, Problem> {
    let who = super::member(app, request.headers());
    let form = read(app, request).await?;
    let who = who.ok_or_else(|| Problem::new("member_missing", "take a name first"))?;
    Ok(Sent { who, form })
}

/// Another site's page must not press our buttons.
fn own_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match headers.get(ORIGIN) {
        None => Ok(()),
        Some(origin) if origin.to_str().is_ok_and(|o| o.split_once("://").is_some_and(|(_, at)| at == host)) => Ok(()),
        Some(_) => Err(Problem::new("origin", "this form is of another site")),
    }
}

/// A place on this site; anything else is the first page.
fn local(back: &str) -> &str {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/_.~:-".contains(&b);
    if back.starts_with('/') && !back.starts_with("//") && back.bytes().all(plain) { back } else { "/" }
}

/// Leads to `place`, or back with what was in the way. A 503 promised nothing, so its key is handed back to be used again.
fn led(done: Result<String, Problem>, back: &str, key: &str) -> Response {
    match done {
        Ok(place) => see(&place),
        Err(problem) if problem.status().as_u16() == 503 && !key.is_empty() => {
            see(&format!("{back}?said={}&key={key}", problem.code()))
        }
        Err(problem) => see(&format!("{back}?said={}", problem.code())),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberForm {
    member: String,
    back: String,
}

/// Takes a name.
pub(super) async fn member(State(app): State<App>, request: Request<Body>) -> Response {
    let (headers, uri) = (request.headers().clone(), request.uri().clone());
    let taken = async {
        if app.config().dev_members == Switch::Off {
            return Err(Problem::new("switched_off", "dev.members is off"));
        }
        let form: MemberForm = read(&app, request).await?;
        Ok((extract::named_member(form.member.trim())?, form.back))
    };
    match taken.await {
        Ok((who, back)) => {
            let mut response = see(local(&back));
            let cookie = format!("{COOKIE_NAME}={who}; Path=/; HttpOnly; SameSite=Lax; Max-Age=2592000");
            // A member's name is of letters that a header can carry.
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                response.headers_mut().insert(SET_COOKIE, cookie);
            }
            response
        }
        Err(problem) => problem_page(&app, &headers, &uri, &problem),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BuyForm {
    key: String,
    item: ItemId,
    /// The price that the buyer saw.
    price: u64,
    quantity: u64,
    method: Option<Method>,
    coupon: Option<String>,
}

impl BuyForm {
    /// The same order as the API takes.
    fn body(self, sale: SaleId) -> Result<PlaceBody, Problem> {
        let quantity = Quantity::new(self.quantity).map_err(|bad| Problem::invalid(bad.to_string()))?;
        let price = Money::new(self.price).map_err(|bad| Problem::invalid(bad.to_string()))?;
        let coupon = self.coupon.filter(|text| !text.is_empty());
        let coupon = coupon.map(|text| CouponId::new(&text)).transpose();
        let coupon = coupon.map_err(|_| Problem::new("coupon_unknown", "there is no such coupon"))?;
        // With a coupon the page does not show a total; what the coupon says is taken off.
        let expected_total = price.times(quantity).filter(|_| coupon.is_none());
        let lines = vec![Object(LineBody { item: self.item, quantity })];
        Ok(PlaceBody { sale: Some(sale), lines, coupon, address: None, method: self.method, expected_total })
    }
}

/// Buys.
pub(super) async fn buy(State(app): State<App>, Name(id): Name, request: Request<Body>) -> Response {
    let (headers, uri) = (request.headers().clone(), request.uri().clone());
    let (who, form, sale) = match sent::<BuyForm>(&app, request).await {
        Ok(Sent { who, form }) => match SaleId::new(&id) {
            Ok(sale) => (who, form, sale),
            Err(_) => {
                let problem = Problem::new("unknown_sale", "there is no such sale");
                return problem_page(&app, &headers, &uri, &problem);
            }
        },
        Err(problem) => return problem_page(&app, &headers, &uri, &problem),
    };
    let key = form.key.clone();
    let bought = async {
        let body = form.body(sale.clone())?;
        let purchase = purchase(&app, &who, extract::named_key(&key)?, body).await?;
        match rooms::let_through(&app, &headers, &purchase).await {
            Ok(()) => {}
            Err(Halted::Waits(_)) => return Ok(format!("/sales/{sale}/room")),
            Err(Halted::Told(problem)) => return Err(problem),
        }
        match app.flash().orders.place(&purchase).await {
            Ok(placed) => Ok(format!("/orders/{}", placed.order.id)),
            Err(error) => Err(Problem::of_order(&error, app.now())),
        }
    };
    led(bought.await, &format!("/sales/{sale}"), &key)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyForm {
    key: String,
    back: Option<String>,
}

/// What a form with nothing but a key does.
async fn keyed<F, T>(app: App, request: Request<Body>, what: F) -> Response
where
    F: FnOnce(App, BuyerId, Key) -> T,
    T: Future<Output = Result<Option<String>, Problem>>,
{
    let (headers, uri) = (request.headers().clone(), request.uri().clone());
    match sent::<KeyForm>(&app, request).await {
        Ok(Sent { who, form }) => {
            let back = local(form.back.as_deref().unwrap_or("/")).to_owned();
            let done = match extract::named_key(&form.key) {
                Ok(key) => what(app, who, key).await.map(|place| place.unwrap_or_else(|| back.clone())),
                Err(problem) => Err(problem),
            };
            led(done.map(|place| place.replace("{back}", &back)), &back, &form.key)
        }
        Err(problem) => problem_page(&app, &headers, &uri, &problem),
    }
}

/// Claims a coupon.
pub(super) async fn claim(State(app): State<App>, Name(id): Name, request: Request<Body>) -> Response {
    keyed(app, request, |app, who, key| async move {
        let unknown = || Problem::new("unknown_campaign", "there is no such campaign");
        let id = CampaignId::new(&id).map_err(|_| unknown())?;
        let claimed = app.flash().coupons.claim(&id, &who, key).await;
        claimed.map_err(|error| Problem::of_claim(&error, app.now()))?;
        Ok(Some("{back}?said=claimed".to_owned()))
    })
    .await
}

/// Puts money in.
pub(super) async fn wallet(State(app): State<App>, request: Request<Body>) -> Response {
    keyed(app, request, |app, who, key| async move {
        app.wallet().act(&who, &key, WalletAct::Charge { amount: POCKET_MONEY }).await?;
        Ok(Some("{back}?said=charged".to_owned()))
    })
    .await
}

/// Cancels an order.
pub(super) async fn cancel(State(app): State<App>, Name(id): Name, request: Request<Body>) -> Response {
    on_order(app, id, request, |app, id| async move {
        app.flash().orders.cancel(&id).await?;
        Ok(())
    })
    .await
}

/// Returns an order.
pub(super) async fn take_back(State(app): State<App>, Name(id): Name, request: Request<Body>) -> Response {
    on_order(app, id, request, |app, id| async move {
        app.flash().orders.take_back(&id).await?;
        Ok(())
    })
    .await
}

/// A form without a word of its own: who sent it is all that it says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {}

/// What a form in a room does, and back to the room's page.
async fn in_room<F, T>(app: App, name: String, request: Request<Body>, what: F) -> Response
where
    F: FnOnce(WaitingRoom, BuyerId) -> T,
    T: Future<Output = Result<(), Problem>>,
{
    let (headers, uri) = (request.headers().clone(), request.uri().clone());
    let found = async {
        let Sent { who, form: Plain {} } = sent(&app, request).await?;
        Ok((who, rooms::before(&app, &name).await?))
    };
    match found.await {
        Ok((_, (sale, None))) => see(&format!("/sales/{sale}")),
        Ok((who, (sale, Some(room)))) => {
            let page = format!("/sales/{sale}/room");
            led(what(room, who).await.map(|()| page.clone()), &page, "")
        }
        Err(problem) => problem_page(&app, &headers, &uri, &problem),
    }
}

/// Takes a place; where nobody has to wait, the way leads on to the sale.
pub(super) async fn join(State(app): State<App>, Name(id): Name, request: Request<Body>) -> Response {
    let (headers, now) = (request.headers().clone(), app.now());
    in_room(app, id, request, |room, who| async move {
        match room.enter(&who, answers::ticket(&room, &headers)).await {
            Ok(_) => Ok(()),
            Err(Error::Backend(error)) => Err(error.into()),
            Err(Error::Refused(refusal)) => {
                Err(Problem::new(refusal.code(), refusal.to_string()).retry_after(refusal.retry_after(now)))
            }
        }
    })
    .await
}

/// Gives a place or a turn up.
pub(super) async fn leave(State(app): State<App>, Name(id): Name, request: Request<Body>) -> Response {
    in_room(app, id, request, |room, who| async move { Ok(room.leave(&who).await.map(drop)?) }).await
}

/// Makes a turn longer.
pub(super) async fn extend(State(app): State<App>, Name(id): Name, request: Request<Body>) -> Response {
    in_room(app, id, request, |room, who| async move {
        match room.extend(&who).await {
            Ok(_) => Ok(()),
            Err(Error::Backend(error)) => Err(error.into()),
            Err(Error::Refused(refusal)) => Err(Problem::new(refusal.code(), refusal.to_string())),
        }
    })
    .await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WishForm {
    item: ItemId,
    quantity: Option<u64>,
}

/// What a form about the waitlist of an item does, and back to the sale.
async fn on_waitlist<F, T>(app: App, name: String, request: Request<Body>, what: F) -> Response
where
    F: FnOnce(App, SaleId, BuyerId, WishForm) -> T,
    T: Future<Output = Result<(), Problem>>,
{
    let (headers, uri) = (request.headers().clone(), request.uri().clone());
    let found = async {
        let Sent { who, form } = sent::<WishForm>(&app, request).await?;
        let (sale, _) = rooms::before(&app, &name).await?;
        Ok((sale, who, form))
    };
    match found.await {
        Ok((sale, who, form)) => {
            let page = format!("/sales/{sale}");
            led(what(app, sale, who, form).await.map(|()| page.clone()), &page, "")
        }
        Err(problem) => problem_page(&app, &headers, &uri, &problem),
    }
}

/// Joins a waitlist.
pub(super) async fn wish(State(app): State<App>, Name(id): Name, request: Request<Body>) -> Response {
    on_waitlist(app, id, request, |app, sale, who, form| async move {
        let units = Quantity::new(form.quantity.unwrap_or(1)).map_err(|bad| Problem::invalid(bad.to_string()))?;
        waitlist::wish(&app, &sale, &form.item, &who, units).await.map(drop)
    })
    .await
}

/// Leaves a waitlist.
pub(super) async fn unwish(State(app): State<App>, Name(id): Name, request: Request<Body>) -> Response {
    on_waitlist(app, id, request, |app, sale, who, form| async move {
        Ok(app.flash().waitlist.leave(&sale, &form.item, &who).await.map(drop)?)
    })
    .await
}

/// What a form on an offer does, and where it leads.
async fn on_offer<F, T>(app: App, name: String, request: Request<Body>, what: F) -> Response
where
    F: FnOnce(App, OrderId) -> T,
    T: Future<Output = Result<String, Problem>>,
{
    let (headers, uri) = (request.headers().clone(), request.uri().clone());
    let found = async {
        let Sent { who, form: Plain {} } = sent(&app, request).await?;
        waitlist::own_offer(&who, &name)
    };
    match found.await {
        Ok(offer) => led(what(app, offer.clone()).await, &format!("/offers/{offer}"), ""),
        Err(problem) => problem_page(&app, &headers, &uri, &problem),
    }
}

/// Takes an offer.
pub(super) async fn take(State(app): State<App>, Name(id): Name, request: Request<Body>) -> Response {
    on_offer(app, id, request, |app, offer| async move {
        waitlist::taken(&app, &offer).await?;
        Ok(format!("/orders/{offer}"))
    })
    .await
}

/// Lets an offer go.
pub(super) async fn decline(State(app): State<App>, Name(id): Name, request: Request<Body>) -> Response {
    on_offer(app, id, request, |app, offer| async move {
        app.flash().waitlist.decline(&offer).await?;
        Ok(format!("/offers/{offer}"))
    })
    .await
}

/// What a form on an order does, and back to the order.
async fn on_order<F, T>(app: App, name: String, request: Request<Body>, what: F) -> Response
where
    F: FnOnce(App, OrderId) -> T,
    T: Future<Output = Result<(), Problem>>,
{
    let (headers, uri) = (request.headers().clone(), request.uri().clone());
    let found = async {
        let Sent { who, form } = sent::<KeyForm>(&app, request).await?;
        extract::named_key(&form.key)?;
        let (order, _) = load_own(&app, &who, &name).await?;
        Ok((order.id.clone(), form.key))
    };
    match found.await {
        Ok((id, key)) => {
            let place = format!("/orders/{id}");
            led(what(app, id).await.map(|()| place.clone()), &place, &key)
        }
        Err(problem) => problem_page(&app, &headers, &uri, &problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_of_this_site_are_led_back_to() {
        assert_eq!(local("/sales/drop-1"), "/sales/drop-1");
        assert_eq!(local("/orders/ann~k"), "/orders/ann~k");
        for foreign in ["//evil.example", "https://evil.example", "", "sales", "/a\r\nb", "/a?b=//c"] {
            assert_eq!(local(foreign), "/", "{foreign}");
        }
    }

    #[test]
    fn a_form_of_another_site_is_refused() {
        let headers = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("127.0.0.1:8080"));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            own_origin(&headers).is_ok()
        };
        assert!(headers(None) && headers(Some("http://127.0.0.1:8080")));
        assert!(!headers(Some("http://evil.example")) && !headers(Some("null")));
    }
}
