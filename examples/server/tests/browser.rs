//! Pages in a real browser: they fit a small phone, and do the same with script and without.

mod common;

use std::sync::OnceLock;

use common::Shop;
use flashsale_services::browser::{Browser, Page, Script, Window};

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
