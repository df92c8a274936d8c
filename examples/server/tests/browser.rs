//! Pages in a real browser: they fit a small phone, and do the same with script and without.

mod common;

use std::sync::OnceLock;

use common::{Request, Shop};
use flashsale_services::browser::{Browser, Page, Script, Window};
use serde_json::json;

/// One browser for all tests; each takes windows of its own.
fn browser() -> &'static Browser {
    static BROWSER: OnceLock<Browser> = OnceLock::new();
    BROWSER.get_or_init(Browser::start)
}

/// Looks at pages of a shop, beside the threads that serve them.
async fn look(shop: &Shop, window: Window, script: Script, see: impl FnOnce(&Page<'_>, String) + Send + 'static) {
    let url = format!("http://{}", shop.at);
    let seen = tokio::task::spawn_blocking(move || see(&browser().page(window, script), url)).await;
    seen.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sale_page_fits_a_small_phone_and_sells_with_script_and_without() {
    let shop = Shop::open().await;
    for (script, member) in [(Script::On, "ann"), (Script::Off, "bob")] {
        look(&shop, Window::PHONE, script, move |page, url| {
            page.open(&format!("{url}/sales/drop-1"));
            assert_eq!(page.text("h1").as_deref(), Some("drop-1"));
            assert!(!page.scrolls_sideways(), "{script:?}, before a name is taken");
            page.write("input[name=member]", member);
            page.click("header button");
            assert!(page.text("[role=status]").unwrap().contains("open"));
            assert_eq!(page.count("[data-buy]:enabled"), 1);
            assert!(!page.scrolls_sideways(), "{script:?}, with the form");
            // Big enough for a thumb.
            assert!(page.evaluate("document.querySelector('[data-buy]').getBoundingClientRect().height >= 44") == true);
            page.click("[data-buy]");
            assert!(page.url().starts_with(&format!("{url}/orders/{member}~web-")), "{}", page.url());
            assert!(!page.scrolls_sideways(), "{script:?}, the order");
        })
        .await;
    }
    let orders: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM orders").fetch_one(&shop.rows).await.unwrap();
    assert_eq!(orders, 2);
    shop.close().await;
}

/// A sale of `total` units behind a room that lets one in at a time, and `ann` inside.
async fn behind_a_room(shop: &Shop, total: u64) {
    let items = json!([{ "id": "unit", "total": total, "price": 10_000, "per_buyer": 1 }]);
    let room = json!({ "open_above": 0, "admit_per_minute": 60_000, "capacity": 1, "turn_s": 600 });
    let made = shop.post("/v1/sales", "op", "-", json!({ "id": "drop", "items": items, "room": room })).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(shop.send(Request::bare("/v1/sales/drop/place").by("ann")).await.status, 201);
    while shop.send(Request::bare("/v1/sales/drop/admission").by("ann")).await.status != 200 {}
}

async fn leave(shop: &Shop, member: &str) {
    let left = shop.send(Request::get("/v1/sales/drop/place").method("DELETE").by(member)).await;
    assert_eq!(left.status, 204);
}

fn take_name(page: &Page<'_>, member: &str) {
    page.write("input[name=member]", member);
    page.click("header button");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_in_the_room_is_told_by_itself_when_it_is_his_turn_and_buys() {
    let shop = Shop::open().await;
    behind_a_room(&shop, 5).await;
    let at = shop.at;
    look(&shop, Window::PHONE, Script::On, move |page, url| {
        page.open(&format!("{url}/sales/drop"));
        take_name(page, "bob");
        // The press is no order: he is sent to the room, with a place.
        page.click("[data-buy]");
        assert_eq!(page.url(), format!("{url}/sales/drop/room"));
        assert_eq!(page.text("[role=status]").as_deref(), Some("You are next."));
        assert_eq!(page.text("[data-n=number]").as_deref(), Some("2"));
        assert_eq!(page.text("[data-n=wait]").as_deref(), Some("we do not know yet"));
        assert!(!page.scrolls_sideways(), "while he waits");
        // Another tab, a refresh: the same place.
        let tab = browser().page(Window::PHONE, Script::On);
        tab.open(&format!("{url}/sales/drop/room"));
        take_name(&tab, "bob");
        assert_eq!(tab.text("[data-n=number]").as_deref(), Some("2"));
        page.reload();
        assert_eq!(page.text("[data-n=number]").as_deref(), Some("2"));
        // She leaves; both tabs say so by themselves.
        let left = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let request = Request::get("/v1/sales/drop/place").method("DELETE").by("ann");
            runtime.block_on(common::send(at, request)).status
        });
        assert_eq!(left.join().unwrap(), 204);
        for page in [page, &tab] {
            page.until("document.querySelector('[data-go]') !== null");
            assert_eq!(page.text("[role=status]").as_deref(), Some("It is your turn."));
        }
        assert!(page.evaluate("document.activeElement === document.querySelector('[data-go]')") == true);
        assert!(page.evaluate("document.title.startsWith('It is your turn.')") == true);
        assert!(page.evaluate("document.querySelector('[data-go]').getBoundingClientRect().height >= 44") == true);
        assert!(!page.scrolls_sideways(), "when it is his turn");
        let until = page.evaluate("document.querySelector('[data-until]').dataset.until");
        page.click("[data-more]");
        assert!(page.evaluate("document.querySelector('[data-until]').dataset.until") != until, "he got more time");
        assert_eq!(page.count("[data-more]"), 0, "once");
        page.click("[data-go]");
        assert!(page.text("[data-room]").unwrap().contains("It is your turn."));
        page.click("[data-buy]");
        assert!(page.url().starts_with(&format!("{url}/orders/bob~web-")), "{}", page.url());
        // The turn is done, and every tab knows.
        tab.until("document.querySelector('[role=status]').textContent === 'You have what you came for.'");
    })
    .await;
    let orders: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM orders").fetch_one(&shop.rows).await.unwrap();
    assert_eq!(orders, 1);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_room_works_without_script() {
    let shop = Shop::open().await;
    behind_a_room(&shop, 5).await;
    let url = format!("http://{}", shop.at);
    let (first, second) = (url.clone(), url.clone());
    look(&shop, Window::PHONE, Script::Off, move |page, _| {
        page.open(&format!("{first}/sales/drop/room"));
        take_name(page, "bob");
        page.click("[data-join]");
        assert_eq!(page.text("[data-n=number]").as_deref(), Some("2"));
        assert_eq!(page.count("noscript meta[http-equiv=refresh], meta[http-equiv=refresh]"), 1);
        assert!(!page.scrolls_sideways());
        page.click("[data-leave]");
        assert_eq!(page.text("[role=status]").as_deref(), Some("You gave up your place."));
        page.click("[data-join]");
        assert_eq!(page.text("[data-n=number]").as_deref(), Some("3"), "at the end");
    })
    .await;
    leave(&shop, "ann").await;
    while shop.send(Request::bare("/v1/sales/drop/admission").by("bob")).await.status != 200 {}
    look(&shop, Window::PHONE, Script::Off, move |page, _| {
        page.open(&format!("{second}/sales/drop/room"));
        take_name(page, "bob");
        assert_eq!(page.text("[role=status]").as_deref(), Some("It is your turn."));
        page.click("[data-go]");
        page.click("[data-buy]");
        assert!(page.url().starts_with(&format!("{second}/orders/bob~web-")), "{}", page.url());
    })
    .await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_came_too_late_waits_on_the_sale_s_page_and_takes_the_offer() {
    let shop = Shop::open().await;
    shop.sale("drop", 1, 1).await;
    let bought = shop.order("drop", "unit", "ann", "ann-key-1").await.json();
    let order = bought["id"].as_str().unwrap().to_owned();
    shop.until(&order, "confirmed").await;
    let url = format!("http://{}", shop.at);
    for (script, member) in [(Script::On, "bob"), (Script::Off, "carl")] {
        let url = url.clone();
        look(&shop, Window::PHONE, script, move |page, _| {
            page.open(&format!("{url}/sales/drop"));
            take_name(page, member);
            // Figures are up to a second old.
            while page.count("[data-waitlist]:not([hidden])") == 0 {
                page.reload();
            }
            page.click("[data-wish-for]");
            let number = if member == "bob" {
                "You are number 1 in line, 0 before you."
            } else {
                "You are number 2 in line, 1 before you."
            };
            assert_eq!(page.text("[data-wish]").as_deref(), Some(number));
            assert!(!page.scrolls_sideways(), "{script:?}");
        })
        .await;
    }
    let path = format!("/v1/orders/{order}/return");
    assert_eq!(shop.send(Request::bare(&path).by("ann").keyed("return-key")).await.status, 202);
    let offer = loop {
        let offers = shop.send(Request::get("/v1/offers").by("bob")).await.json();
        if let Some(id) = offers["offers"][0]["id"].as_str() {
            break id.to_owned();
        }
    };
    let (page_of, first) = (format!("{url}/offers/{offer}"), url.clone());
    look(&shop, Window::PHONE, Script::On, move |page, _| {
        page.open(&first);
        take_name(page, "bob");
        page.open(&page_of);
        assert_eq!(page.text("[role=status]").as_deref(), Some("unit × 1 is held for you."));
        assert!(!page.scrolls_sideways());
        page.click("[data-decline]");
        assert_eq!(page.text("[role=status]").as_deref(), Some("It went on to the next in line."));
    })
    .await;
    let offer = loop {
        let offers = shop.send(Request::get("/v1/offers").by("carl")).await.json();
        if let Some(id) = offers["offers"][0]["id"].as_str() {
            break id.to_owned();
        }
    };
    look(&shop, Window::PHONE, Script::Off, move |page, _| {
        page.open(&url);
        take_name(page, "carl");
        page.open(&format!("{url}/offers/{offer}"));
        page.click("[data-take]");
        assert_eq!(page.url(), format!("{url}/orders/{offer}"));
        // Back, and again: it is taken, and says so.
        page.open(&format!("{url}/offers/{offer}"));
        assert_eq!(page.text("[role=status]").as_deref(), Some("You took it: it is an order now."));
    })
    .await;
    shop.close().await;
}
