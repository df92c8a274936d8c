//! Members are told by mail: an address book, letters in their language, and no address anywhere else.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{Request, Shop};
use serde_json::json;

/// A shop whose letters are files, and their folder.
async fn posting(more: &[(&str, &str)]) -> (Shop, std::path::PathBuf) {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let folder = directory.path().join("outbox");
    let url = format!("file://{}", folder.display());
    let own = [("mail.url", url.as_str()), ("http.public-url", "https://shop.example.org/")];
    (Shop::over(directory, &[own.as_slice(), more].concat()).await, folder)
}

async fn contact(shop: &Shop, member: &str, body: serde_json::Value) -> common::Answer {
    shop.send(Request::post("/v1/me/contact", &body.to_string()).method("PUT").by(member)).await
}

/// The letter of this name, once it is there.
async fn letter(folder: &Path, name: &str) -> String {
    loop {
        if let Ok(letter) = std::fs::read_to_string(folder.join(name)) {
            return letter;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gave_an_address_is_told_in_his_language_and_nobody_else_is() {
    let (shop, folder) = posting(&[]).await;
    shop.sale("drop", 10, 2).await;
    assert_eq!(contact(&shop, "ann", json!({ "email": "ann@example.org", "language": "ko" })).await.status, 200);
    assert_eq!(contact(&shop, "bob", json!({ "email": "bob@example.org" })).await.status, 200);
    for member in ["eve", "ann", "bob"] {
        assert_eq!(shop.order("drop", "unit", member, "key-0001").await.status, 202);
        shop.until(&format!("{member}~key-0001"), "confirmed").await;
    }
    let korean = letter(&folder, "ann~key-0001+3+order.confirmed.eml").await;
    assert!(korean.contains("Content-Language: ko") && korean.contains("To: ann@example.org"), "{korean}");
    let english = letter(&folder, "bob~key-0001+1+order.accepted.eml").await;
    assert!(english.contains("Subject: We have your order"), "{english}");
    assert!(english.contains("https://shop.example.org/orders/bob~key-0001"), "{english}");
    letter(&folder, "ann~key-0001+1+order.accepted.eml").await;
    letter(&folder, "bob~key-0001+3+order.confirmed.eml").await;
    let names = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.contains("eve")).count(), 0);
    // Addresses are in the book alone.
    for text in
        ["SELECT COUNT(*) FROM outbox WHERE fact LIKE '%@%'", "SELECT COUNT(*) FROM notice WHERE body LIKE '%@%'"]
    {
        let found: i64 = sqlx::query_scalar(text).fetch_one(&shop.rows).await.unwrap();
        assert_eq!(found, 0, "{text}");
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_is_a_members_own_and_can_be_changed_and_forgotten() {
    let (shop, _) = posting(&[]).await;
    let show = async |member: &str| shop.send(Request::get("/v1/me/contact").by(member)).await.json();
    assert_eq!(show("ann").await, json!({ "email": null, "language": null }));
    contact(&shop, "ann", json!({ "email": "ann@example.org", "language": "ko" })).await;
    contact(&shop, "ann", json!({ "email": "ann@example.com", "language": "en" })).await;
    assert_eq!(show("ann").await, json!({ "email": "ann@example.com", "language": "en" }));
    assert_eq!(show("Ann").await, json!({ "email": null, "language": null }), "another member");
    let gone = shop.send(Request::get("/v1/me/contact").method("DELETE").by("ann")).await;
    assert_eq!((gone.status, show("ann").await), (200, json!({ "email": null, "language": null })));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_none_is_refused() {
    let (shop, _) = posting(&[]).await;
    for body in [
        json!({ "email": "ann" }),
        json!({ "email": "ann@example.org\r\nBcc: eve@example.org" }),
        json!({ "email": "Ann <ann@example.org>" }),
        json!({ "email": "ann@example.org, eve@example.org" }),
        json!({ "email": "ann@example.org", "language": "de" }),
        json!({ "email": "ann@example.org", "name": "Ann" }),
        json!({ "language": "ko" }),
    ] {
        assert_eq!(contact(&shop, "ann", body.clone()).await.problem(), (422, "invalid".to_owned()), "{body}");
    }
    let nobody = Request::post("/v1/me/contact", r#"{"email":"ann@example.org"}"#).method("PUT");
    assert_eq!(shop.send(nobody).await.problem().1, "member_missing");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_written_holds_no_order_up() {
    // A file is where the folder should be.
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let blocked = directory.path().join("blocked");
    std::fs::write(&blocked, "").unwrap();
    let url = format!("file://{}", blocked.display());
    let shop = Shop::over(directory, &[("mail.url", &url)]).await;
    shop.sale("drop", 10, 2).await;
    contact(&shop, "ann", json!({ "email": "ann@example.org" })).await;
    assert_eq!(shop.order("drop", "unit", "ann", "key-0001").await.status, 202);
    shop.until("ann~key-0001", "confirmed").await;
    let waiting = "SELECT COUNT(*) FROM notice WHERE tries > 0";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&shop.rows).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    shop.close().await;
}
