//! Pages without script: watch, take a name, buy, see the order to its end; one press or two, one order.

mod common;

use common::{Answer, Request, Shop};

fn field<'a>(page: &'a str, name: &str) -> &'a str {
    let mark = format!("name=\"{name}\" value=\"");
    let at = page.find(&mark).unwrap_or_else(|| panic!("no {name} in {page}")) + mark.len();
    page[at..].split('"').next().unwrap()
}

async fn look(shop: &Shop, path: &str) -> Answer {
    shop.send(Request::get(path).header("cookie", "member=ann").header("accept", "text/html")).await
}

async fn press(shop: &Shop, path: &str, form: &str) -> Answer {
    shop.send(Request::form(path, form).header("cookie", "other=1; member=ann")).await
}

#[tokio::test]
async fn a_person_takes_a_name_buys_and_sees_the_order_to_its_end() {
    let shop = Shop::open().await;
    let first = shop.get("/").await;
    assert!(first.text().contains("drop-1") && first.text().contains("dev.members is on"));
    let named = shop.send(Request::form("/member", "member=ann&back=/sales/drop-1")).await;
    assert_eq!((named.status, named.header("location")), (303, Some("/sales/drop-1")));
    let cookie = named.header("set-cookie").unwrap();
    assert!(cookie.starts_with("member=ann;") && cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"));

    let page = look(&shop, "/sales/drop-1").await.text();
    assert!(page.contains("role=\"status\"") && page.contains("sneaker-42") && page.contains("₩129,000"));
    let form = format!("key={}&item=sneaker-42&price=129000&quantity=1&method=card&coupon=", field(&page, "key"));
    let bought = press(&shop, "/sales/drop-1/orders", &form).await;
    let place = bought.header("location").unwrap().to_owned();
    assert!(bought.status == 303 && place.starts_with("/orders/ann~web-"), "{place}");
    let twice = press(&shop, "/sales/drop-1/orders", &form).await;
    assert_eq!(twice.header("location"), Some(place.as_str()), "a second press is the same order");
    let end = loop {
        let page = look(&shop, &place).await;
        assert_eq!(page.status, 200);
        if page.text().contains("data-moving=\"false\"") {
            break page.text();
        }
    };
    assert!(end.contains("Confirmed") && end.contains("Payment of ₩129,000 asked for"));
    let rows: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM orders").fetch_one(&shop.rows).await.unwrap();
    assert_eq!(rows, 1);
    assert!(look(&shop, "/orders").await.text().contains(&place));
    let foreign = shop.send(Request::get(&place).header("cookie", "member=bob")).await;
    assert_eq!(foreign.status, 404);
    shop.close().await;
}

#[tokio::test]
async fn what_was_refused_is_said_on_the_page_after_it() {
    let shop = Shop::open().await;
    for expected in ["/orders/ann~web-00000001", "/sales/drop-1?said=buyer_limit"] {
        let key = if expected.starts_with("/orders") { "web-00000001" } else { "web-00000002" };
        let form = format!("key={key}&item=sneaker-42&price=129000&quantity=1");
        let answer = press(&shop, "/sales/drop-1/orders", &form).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some(expected)));
    }
    let said = look(&shop, "/sales/drop-1?said=buyer_limit").await.text();
    assert!(said.contains("role=\"alert\"") && said.contains("You have as many as you may."));
    let kept = look(&shop, "/sales/drop-1?said=unavailable&key=web-00000009").await.text();
    assert_eq!(field(&kept, "key"), "web-00000009", "a 503 promised nothing, so the key is offered again");
    assert!(kept.contains("press the button again"));
    let other = press(&shop, "/sales/drop-1/orders", "key=web-00000003&item=sneaker-42&price=1&quantity=1").await;
    assert!(other.header("location").unwrap().contains("said="), "another price than the page showed is refused");
    shop.close().await;
}

#[tokio::test]
async fn a_coupon_is_claimed_and_money_put_in_by_pressing_buttons() {
    let shop = Shop::open().await;
    let form = "key=web-00000001&back=/sales/shop";
    let claimed = press(&shop, "/campaigns/plant-3000/coupons", form).await;
    assert_eq!(claimed.header("location"), Some("/sales/shop?said=claimed"));
    assert_eq!(press(&shop, "/wallet", form).await.header("location"), Some("/sales/shop?said=charged"));
    let page = look(&shop, "/sales/shop").await.text();
    let coupon = page.split("<option value=\"plant-3000~").nth(1).unwrap().split('"').next().unwrap();
    let buy = format!("key=web-00000002&item=fern&price=12000&quantity=1&method=wallet&coupon=plant-3000~{coupon}");
    let place = press(&shop, "/sales/shop/orders", &buy).await.header("location").unwrap().to_owned();
    while !look(&shop, &place).await.text().contains("Confirmed") {}
    assert!(look(&shop, &place).await.text().contains("less ₩3,000 by coupon"));
    let back = press(&shop, &format!("{place}/return"), "key=web-00000003").await;
    assert_eq!(back.header("location"), Some(place.as_str()));
    while !look(&shop, &place).await.text().contains("Refunded") {}
    shop.close().await;
}

#[tokio::test]
async fn nothing_that_somebody_wrote_becomes_markup_and_no_other_site_presses_buttons() {
    let shop = Shop::open().await;
    let before = shop.ledger().await;
    let page = look(&shop, "/sales/drop-1?said=%3Cscript%3Ealert(1)%3C/script%3E").await;
    assert!(!page.text().contains("alert(1)") && page.header("content-security-policy").is_some());
    let named = shop.send(Request::form("/member", "member=%3Cb%3E&back=/")).await;
    assert!(named.status == 400 && !named.text().contains("<b>\""));
    let away = shop.send(Request::form("/member", "member=ann&back=//evil.example")).await;
    assert_eq!(away.header("location"), Some("/"));
    let form = "key=web-00000001&item=sneaker-42&price=129000&quantity=1";
    let foreign = Request::form("/sales/drop-1/orders", form).header("cookie", "member=ann");
    assert_eq!(shop.send(foreign.header("origin", "https://evil.example")).await.status, 403);
    for bad in ["", "key=short&item=x", "key=web-00000001&item=sneaker-42&price=x&quantity=1", "a=1", "%ff%fe"] {
        let status = press(&shop, "/sales/drop-1/orders", bad).await.status;
        assert!((400..500).contains(&status), "{bad}: {status}");
    }
    for bad in ["quantity=0", "quantity=999999999999", "quantity=1&coupon=x"] {
        let answer =
            press(&shop, "/sales/drop-1/orders", &format!("key=web-00000001&item=sneaker-42&price=1&{bad}")).await;
        assert!(answer.header("location").unwrap().contains("said="), "{bad}");
    }
    assert_eq!(shop.ledger().await, before);
    shop.close().await;
}
