//! Rows of campaigns and coupons (G4).

use flashsale_core::coupon::CouponLedger;
use flashsale_core::stock::StockLedger;
use flashsale_core::{Campaign, CampaignId, Coupon, CouponId, Timestamp};

use super::Coupons;
use crate::sample::{accept, amount, buyer, claim, coupon, order, sale, sale_id, wallet, with_coupon};
use crate::suite::stock_ledger::{Open, opened};

fn plant(name: &str) -> Campaign {
    Campaign::named(name).expect("a name").first(100).expect("a cap").takes_off(amount(3_000)).from(amount(10_000))
}

fn daily(name: &str) -> Campaign {
    plant(name).daily_at("13:00", "Asia/Seoul").expect("a time").only_with(wallet()).valid_months(1)
}

fn coupon_id(name: &str) -> CouponId {
    CouponId::new(name).expect("a coupon's name")
}

/// A window of ten coupons.
async fn window<F: Coupons>(fixture: &F) -> Open<F::Port> {
    opened(fixture, &sale("plant:w1", &[("coupon", 10, 0, 1)])).await
}

async fn one<P: CouponLedger>(ledger: &P, name: &str) -> Option<Coupon> {
    ledger.coupons(&[coupon_id(name)]).await.expect("coupons").remove(0)
}

/// All terms: window, zone, cap, discount, validity.
pub async fn a_campaign_comes_back_as_it_was_put(fixture: &impl Coupons) {
    let ledger = fixture.fresh().await;
    let runs = daily("runs").runs(Timestamp::from_ms(5), Timestamp::from_ms(500_000)).expect("a window");
    let all = [daily("daily"), plant("once"), plant("short").valid_days(3), runs];
    ledger.campaigns_put(&all).await.expect("put");
    for campaign in all {
        assert_eq!(ledger.campaign(&campaign.id).await.expect("campaign"), Some(campaign));
    }
}

/// In order of name, byte by byte.
pub async fn campaigns_are_listed_in_order_of_name(fixture: &impl Coupons) {
    let ledger = fixture.fresh().await;
    assert!(ledger.campaigns().await.expect("campaigns").is_empty());
    ledger.campaigns_put(&[plant("b"), plant("a"), plant("B")]).await.expect("put");
    ledger.campaigns_put(&[]).await.expect("put");
    let names: Vec<String> =
        ledger.campaigns().await.expect("campaigns").iter().map(|campaign| campaign.id.to_string()).collect();
    assert_eq!(names, ["B", "a", "b"]);
}

/// The terms of a known campaign are replaced; putting it twice makes no second one.
pub async fn a_campaign_put_again_is_replaced(fixture: &impl Coupons) {
    let ledger = fixture.fresh().await;
    ledger.campaigns_put(&[plant("a"), plant("b")]).await.expect("put");
    let richer = plant("a").takes_off(amount(5_000));
    ledger.campaigns_put(std::slice::from_ref(&richer)).await.expect("put");
    assert_eq!(ledger.campaigns().await.expect("campaigns"), [richer, plant("b")]);
}

/// A campaign that nobody put is none.
pub async fn an_unknown_campaign_is_none(fixture: &impl Coupons) {
    let ledger = fixture.fresh().await;
    let none = CampaignId::new("none").expect("a name");
    assert_eq!(ledger.campaign(&none).await.expect("campaign"), None);
}

/// The row is the coupon that the claim carried, unused.
pub async fn an_issued_coupon_is_a_row(fixture: &impl Coupons) {
    let window = window(fixture).await;
    let mine = coupon("plant~w1~ann", Timestamp::from_ms(1_900_000_000_000));
    assert_eq!(one(&window.ledger, "plant~w1~ann").await, None);
    window.take(claim("c", mine.clone())).await;
    assert_eq!(one(&window.ledger, "plant~w1~ann").await, Some(mine));
}

/// A member past the cap is not remembered as served.
pub async fn a_refused_claim_leaves_no_row(fixture: &impl Coupons) {
    let window = opened(fixture, &sale("plant:w1", &[("coupon", 1, 0, 1)])).await;
    window.take(claim("c", coupon("plant~w1~ann", Timestamp::FAR))).await;
    window.refusal(claim("c", coupon("plant~w1~bob", Timestamp::FAR))).await;
    assert_eq!(one(&window.ledger, "plant~w1~bob").await, None);
    assert!(window.ledger.coupons_of(&buyer("bob"), None, 9).await.expect("coupons").is_empty());
}

/// One answer per id, at its place.
pub async fn coupons_come_in_the_order_asked_for(fixture: &impl Coupons) {
    let window = window(fixture).await;
    let (ann, bob) = (coupon("plant~w1~ann", Timestamp::FAR), coupon("plant~w1~bob", Timestamp::FAR));
    window.batch(&[claim("c", ann.clone()), claim("c", bob.clone())]).await;
    let asked = ["plant~w1~bob", "plant~w1~none", "plant~w1~ann", "plant~w1~bob"].map(coupon_id);
    let rows = window.ledger.coupons(&asked).await.expect("coupons");
    assert_eq!(rows, [Some(bob.clone()), None, Some(ann), Some(bob)]);
}

async fn used<F: Coupons>(fixture: &F) -> Open<F::Port> {
    let window = window(fixture).await;
    window.take(claim("c", coupon("plant~w1~ann", Timestamp::FAR))).await;
    window.ledger.open(&sale("drop", &[("a", 9, 10_000, 9)])).await.expect("open").expect("new");
    let drop = Open { ledger: window.ledger, sale: sale_id("drop") };
    drop.take(with_coupon("plant~w1~ann", accept("ann~1", &[("a", 1)]))).await;
    drop
}

/// I5: `used_by` names the order that uses it; a refused second one changes nothing.
pub async fn a_used_coupon_names_its_order(fixture: &impl Coupons) {
    let drop = used(fixture).await;
    let row = one(&drop.ledger, "plant~w1~ann").await.expect("a row");
    assert_eq!(row.used_by, Some(order("ann~1")));
    drop.refusal(with_coupon("plant~w1~ann", accept("ann~2", &[("a", 1)]))).await;
    let row = one(&drop.ledger, "plant~w1~ann").await.expect("a row");
    assert_eq!(row.used_by, Some(order("ann~1")));
}

/// I5: undone order, unused coupon; the next order that uses it is named, and undoing the first again changes nothing.
pub async fn a_coupon_whose_order_is_undone_is_unused(fixture: &impl Coupons) {
    let drop = used(fixture).await;
    drop.cancel("ann~1").await;
    assert_eq!(one(&drop.ledger, "plant~w1~ann").await.expect("a row").used_by, None);
    drop.take(with_coupon("plant~w1~ann", accept("ann~2", &[("a", 1)]))).await;
    drop.cancel("ann~1").await;
    assert_eq!(one(&drop.ledger, "plant~w1~ann").await.expect("a row").used_by, Some(order("ann~2")));
}

/// Pages of a member's coupons follow each other without gap or overlap.
pub async fn a_members_coupons_are_paged_in_order_of_name(fixture: &impl Coupons) {
    let window = opened(fixture, &sale("plant:w1", &[("coupon", 10, 0, 9)])).await;
    let names = ["plant~w3~ann", "plant~w1~ann", "extra~w9~ann", "plant~w2~ann"];
    for (n, name) in names.iter().enumerate() {
        window.take(claim(&format!("c{n}"), coupon(name, Timestamp::FAR))).await;
    }
    let (mut seen, mut after) = (Vec::new(), None);
    for _ in 0..4 {
        let page = window.ledger.coupons_of(&buyer("ann"), after.as_ref(), 3).await.expect("coupons");
        assert!(page.len() <= 3);
        seen.extend(page.iter().map(|coupon| coupon.id.to_string()));
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
    }
    assert_eq!(seen, ["extra~w9~ann", "plant~w1~ann", "plant~w2~ann", "plant~w3~ann"]);
}

/// Nobody sees another's coupons, however alike the names are.
pub async fn a_members_coupons_are_his_alone(fixture: &impl Coupons) {
    let window = window(fixture).await;
    for name in ["ann", "Ann", "ann-1", "an"] {
        window.take(claim("c", coupon(&format!("plant~w1~{name}"), Timestamp::FAR))).await;
    }
    let his = window.ledger.coupons_of(&buyer("ann"), None, 9).await.expect("coupons");
    assert_eq!(his.iter().map(|coupon| coupon.id.as_str()).collect::<Vec<_>>(), ["plant~w1~ann"]);
}
