//! The rules of [`CouponLedger`]: rows of campaigns and coupons. How coupons are issued, used
//! and restored are rules of the stock and order ledgers; here they are seen in the rows.

pub mod rows;

use flashsale_core::coupon::CouponLedger;
use flashsale_core::stock::StockLedger;

use crate::Fixture;
use crate::suite::suite;

suite! {
    $
    /// Makes a test of each rule of a coupon ledger: `coupon_ledger_suite!(fixture)`.
    coupon_ledger_suite = coupon_ledger {
        rows:
            a_campaign_comes_back_as_it_was_put
            campaigns_are_listed_in_order_of_name
            a_campaign_put_again_is_replaced
            an_unknown_campaign_is_none
            an_issued_coupon_is_a_row
            a_refused_claim_leaves_no_row
            coupons_come_in_the_order_asked_for
            a_used_coupon_names_its_order
            a_coupon_whose_order_is_undone_is_unused
            a_members_coupons_are_paged_in_order_of_name
            a_members_coupons_are_his_alone;
    }
}

/// A fixture of coupon ledgers: campaigns and coupons beside the stock of one database.
pub trait Coupons: Fixture<Port: CouponLedger + StockLedger> {}
impl<T: Fixture<Port: CouponLedger + StockLedger>> Coupons for T {}
