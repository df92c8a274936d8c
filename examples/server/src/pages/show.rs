//! What pages show: the sales, one sale live, orders and one order to its end.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use flashsale_core::engine::CampaignView;
use flashsale_core::order::{OrderQuery, OrderState};
use flashsale_core::waitlist::{Place, WishState};
use flashsale_core::{BuyerId, Coupon, Money, Order, OrderId, SaleId, Timestamp};

use super::room::RoomLine;
use super::{Asked, Frame, form_key, fresh_key, member, page, problem_page, words};
use crate::app::App;
use crate::board::{Face, Standing};
use crate::extract::{self, Name};
use crate::language::{Language, Phrase};
use crate::problem::Problem;
use crate::routes::{campaigns, orders};

/// The most units that a page offers at once.
const CHOICES: u32 = 10;
/// The most coupons that a page offers, and the most orders that it lists.
const ROWS: usize = 50;

struct SaleCard {
    id: String,
    mark: &'static str,
    words: &'static str,
    buyable: bool,
    opens_at: Option<String>,
    closes_at: Option<String>,
    items: Vec<ItemCard>,
}

struct ItemCard {
    name: String,
    price: u64,
    price_text: String,
    limit: u32,
    choices: Vec<u32>,
    left: u32,
    held: u32,
    sold: u32,
    key: String,
    /// Whether somebody may want to wait for it.
    gone: bool,
    wish: Option<WishCard>,
}

/// Where the member stands in the line of an item.
struct WishCard {
    says: String,
    offer: Option<String>,
    waits: bool,
}

impl WishCard {
    /// Of one who waits, or has an offer.
    fn of(place: &Place, language: Language) -> Option<Self> {
        let offered = place.wish.state == WishState::Offered;
        let says = match place.wish.state {
            WishState::Waiting => {
                Phrase::WishPlace.say(language, &[&place.wish.number.to_string(), &place.ahead.to_string()])
            }
            WishState::Offered => Phrase::WishOffered.say(language, &[]),
            WishState::Accepted | WishState::Declined | WishState::Lapsed | WishState::Left => return None,
        };
        Some(Self { says, offer: offered.then(|| place.wish.offer.to_string()), waits: !offered })
    }
}

impl SaleCard {
    fn of(face: &Face, now: Timestamp, key: impl Fn() -> String) -> Self {
        let standing = face.standing(now);
        let (mark, words) = words::standing(standing);
        let items = face.items.iter().map(|item| ItemCard {
            name: item.item.to_string(),
            price: item.price.minor(),
            price_text: words::money(item.price),
            limit: item.limit,
            choices: (1..=item.limit.min(CHOICES)).collect(),
            left: item.left,
            held: item.held,
            sold: item.sold,
            key: key(),
            gone: standing != Standing::Closed && item.sold >= item.total,
            wish: None,
        });
        Self {
            id: face.id.to_string(),
            mark,
            words,
            // What is sold out on the page may have come back.
            buyable: matches!(standing, Standing::Open | Standing::SoldOut),
            opens_at: face.opens_at().filter(|at| *at > now).map(|at| at.to_string()),
            closes_at: face.closes_at().filter(|at| *at > now).map(|at| at.to_string()),
            items: items.collect(),
        }
    }
}

struct CampaignCard {
    id: String,
    mark: &'static str,
    words: &'static str,
    open: bool,
    cap: u32,
    left: Option<u32>,
    off: String,
    from: String,
    only_with: Option<String>,
    next_opens_at: Option<String>,
    mine: Option<String>,
    key: String,
}

impl CampaignCard {
    fn of(view: &CampaignView, mine: Option<String>, key: String) -> Self {
        let cap = view.campaign.cap.units();
        let open = view.window.is_some();
        let left = view.window.as_ref().map(|_| view.left.unwrap_or(cap));
        let (mark, words) = match (open, left, view.next_opens_at) {
            (true, Some(0), _) => ("■", "all given out"),
            (true, ..) => ("●", "open"),
            (false, _, Some(_)) => ("◷", "not open yet"),
            (false, ..) => ("✕", "over"),
        };
        let discount = &view.campaign.discount;
        Self {
            id: view.campaign.id.to_string(),
            mark,
            words,
            open,
            cap,
            left,
            off: words::money(discount.takes_off),
            from: words::money(discount.from),
            only_with: discount.only_with.as_ref().map(ToString::to_string),
            next_opens_at: view.next_opens_at.map(|at| at.to_string()),
            mine,
            key,
        }
    }
}

/// Draws a page, or the problem that kept it from being drawn.
pub(super) async fn drawn<T: Template>(
    app: &App,
    headers: &HeaderMap,
    uri: &Uri,
    view: impl Future<Output = Result<T, Problem>>,
) -> Response {
    match view.await {
        Ok(view) => page(StatusCode::OK, &view),
        Err(problem) => problem_page(app, headers, uri, &problem),
    }
}

async fn campaign_cards(app: &App, who: Option<&BuyerId>) -> Result<Vec<CampaignCard>, Problem> {
    let mut cards = Vec::new();
    for campaign in app.flash().coupons.campaigns().await? {
        let Some(view) = app.flash().coupons.view(&campaign.id).await? else { continue };
        let mine = match who {
            Some(who) => campaigns::mine(app, &view, who).await?.map(|id| id.to_string()),
            None => None,
        };
        cards.push(CampaignCard::of(&view, mine, fresh_key(app)));
    }
    Ok(cards)
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
    sales: Vec<SaleCard>,
    campaigns: Vec<CampaignCard>,
}

/// All sales and campaigns.
pub(super) async fn home(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    let view = async {
        let asked: Asked = extract::query(&uri)?;
        let who = member(&app, &headers);
        let (now, no_key) = (app.now(), String::new);
        Ok(HomePage {
            frame: Frame::of(&app, &headers, &uri, &asked),
            sales: app.board().all().iter().map(|face| SaleCard::of(face, now, no_key)).collect(),
            campaigns: campaign_cards(&app, who.as_ref()).await?,
        })
    };
    drawn(&app, &headers, &uri, view).await
}

struct CouponChoice {
    id: String,
    text: String,
}

impl CouponChoice {
    fn of(coupon: &Coupon) -> Self {
        let off = words::money(coupon.discount.takes_off);
        Self { id: coupon.id.to_string(), text: format!("{off} off ({} {})", coupon.campaign, coupon.window) }
    }
}

#[derive(Template)]
#[template(path = "sale.html")]
struct SalePage {
    frame: Frame,
    sale: SaleCard,
    campaigns: Vec<CampaignCard>,
    coupons: Vec<CouponChoice>,
    balance: String,
    prefers_wallet: bool,
    wallet_key: String,
    room: Option<RoomLine>,
}

/// One sale, live, with what is needed to buy.
pub(super) async fn sale(State(app): State<App>, Name(id): Name, headers: HeaderMap, uri: Uri) -> Response {
    let view = async {
        let asked: Asked = extract::query(&uri)?;
        let unknown = || Problem::new("unknown_sale", "there is no such sale");
        let id = SaleId::new(&id).map_err(|_| unknown())?;
        let face = app.face(&id).await?.ok_or_else(unknown)?;
        let who = member(&app, &headers);
        let now = app.now();
        let (mut coupons, mut balance) = (Vec::new(), Money::ZERO);
        if let Some(who) = &who {
            let rows = app.flash().coupons.list(who, None, ROWS).await?;
            coupons = rows.into_iter().filter(|row| row.used_by.is_none() && now < row.expires_at).collect();
            balance = app.wallet().balance(who).await?;
        }
        let several = face.items.len() > 1;
        let frame = Frame::of(&app, &headers, &uri, &asked);
        // Forms of several items have keys of their own, so a key that promised nothing is offered again only for one.
        let mut sale = SaleCard::of(&face, now, || if several { fresh_key(&app) } else { form_key(&app, &asked) });
        if let Some(who) = &who {
            let wishes = app.flash().waitlist.wishes(who, ROWS).await?;
            let open = wishes.into_iter().filter(|wish| wish.sale == id && wish.state.is_open());
            for wish in open {
                let place = app.flash().waitlist.place(&id, &wish.item, who).await?;
                let card = sale.items.iter_mut().find(|card| card.name == wish.item.as_str());
                if let (Some(card), Some(place)) = (card, place) {
                    card.wish = WishCard::of(&place, frame.language);
                }
            }
        }
        Ok(SalePage {
            room: RoomLine::of(&app, &id, who.as_ref(), frame.language).await,
            frame,
            sale,
            campaigns: campaign_cards(&app, who.as_ref()).await?,
            coupons: coupons.iter().map(CouponChoice::of).collect(),
            balance: words::money(balance),
            prefers_wallet: balance > Money::ZERO,
            wallet_key: fresh_key(&app),
        })
    };
    drawn(&app, &headers, &uri, view).await
}

struct OrderCard {
    id: String,
    sale: String,
    mark: &'static str,
    words: &'static str,
    explained: String,
    lines: Vec<String>,
    pays: String,
    list: String,
    off: Option<String>,
    no: Option<u64>,
    pay_by: Option<String>,
    stuck: Option<String>,
    action: Option<String>,
    /// It can be taken or declined on a page of its own.
    offered: bool,
    moving: bool,
    cancellable: bool,
    returnable: bool,
}

impl OrderCard {
    fn of(order: &Order) -> Self {
        let (mark, words, explained) = words::state(order.state, order.reason);
        let unpaid = matches!(order.state, OrderState::Accepted | OrderState::Paying);
        Self {
            id: order.id.to_string(),
            sale: order.sale.to_string(),
            mark,
            words,
            explained,
            lines: order.lines.iter().map(|line| format!("{} × {}", line.units, line.item)).collect(),
            pays: words::money(order.amounts.pays),
            list: words::money(order.amounts.list),
            off: Some(order.amounts.discount).filter(|off| *off > Money::ZERO).map(words::money),
            no: order.hold.map(|(_, no)| no.0),
            pay_by: order.pay_by.filter(|_| unpaid).map(|at| at.to_string()),
            stuck: order.stuck.clone(),
            action: order.action.clone(),
            offered: order.state == OrderState::Offered,
            moving: orders::on_its_way(order),
            cancellable: unpaid,
            returnable: order.state == OrderState::Confirmed,
        }
    }
}

struct Step {
    words: String,
    at: String,
}

#[derive(Template)]
#[template(path = "order.html")]
struct OrderPage {
    frame: Frame,
    order: OrderCard,
    line: Option<String>,
    key: String,
    steps: Vec<Step>,
}

/// One order, to its end.
pub(super) async fn order(State(app): State<App>, Name(id): Name, headers: HeaderMap, uri: Uri) -> Response {
    let view = async {
        let asked: Asked = extract::query(&uri)?;
        let who = member(&app, &headers).ok_or_else(Problem::not_found)?;
        let (order, now) = orders::load_own(&app, &who, &id).await?;
        let events = orders::history(&app, &order.id).await?;
        let steps = events.iter().map(|event| Step { words: words::fact(event), at: event.time.to_string() });
        Ok(OrderPage {
            frame: Frame::of(&app, &headers, &uri, &asked),
            order: OrderCard::of(&order),
            line: app.board().pay_place(&order, now).map(words::pay_place),
            key: fresh_key(&app),
            steps: steps.collect(),
        })
    };
    drawn(&app, &headers, &uri, view).await
}

#[derive(Template)]
#[template(path = "orders.html")]
struct OrdersPage {
    frame: Frame,
    orders: Vec<OrderCard>,
}

/// The latest orders of the member.
pub(super) async fn orders(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    let view = async {
        let asked: Asked = extract::query(&uri)?;
        let mut cards = Vec::new();
        if let Some(buyer) = member(&app, &headers) {
            let rows = app.flash().orders.list(&OrderQuery { buyer, after: None, limit: ROWS }).await?;
            let bought = |id: &OrderId| orders::is_purchase(id);
            cards = rows.iter().filter(|order| bought(&order.id)).map(|order| OrderCard::of(order)).collect();
        }
        Ok(OrdersPage { frame: Frame::of(&app, &headers, &uri, &asked), orders: cards })
    };
    drawn(&app, &headers, &uri, view).await
}
