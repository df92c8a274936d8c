//! Something to buy at a first look: the standing sale, a drop with a waiting room before it, and a coupon campaign. What is there already stays.

use std::time::Duration;

use flashsale_core::coupon::CampaignError;
use flashsale_core::sale::TermsError;
use flashsale_core::{BackendError, Campaign, Error, Item, Method, Sale, won};

use crate::config::Config;
use crate::rooms;
use crate::wiring::{WALLET, Wired};

/// The seeded drop.
pub(crate) const DROP: &str = "drop-1";
/// The seeded campaign.
pub(crate) const CAMPAIGN: &str = "plant-3000";

fn sales(config: &Config) -> Result<Vec<Sale>, TermsError> {
    let item = |name, units, price, per_buyer| {
        Item::named(name)?.units(units).map(|item| item.price(won(price)))?.per_buyer(per_buyer)
    };
    let terms = |name: &str| {
        let sale = Sale::named(name)?.hold(Duration::from_millis(config.sale_hold_ms));
        Ok::<_, TermsError>(sale.pay_within(Duration::from_secs(config.sale_pay_within_s)))
    };
    let shop = terms(config.sale_ordinary.as_str())?
        .item(item("fern", 10_000, 12_000, 100)?)
        .item(item("clay-pot", 10_000, 8_000, 100)?);
    let drop = terms(DROP)?.item(item("sneaker-42", 100, 129_000, 1)?);
    Ok(if config.sale_ordinary.as_str() == DROP { vec![drop] } else { vec![shop, drop] })
}

fn campaign() -> Result<Campaign, CampaignError> {
    let wallet = Method::new(WALLET).map_err(CampaignError::Id)?;
    let daily = Campaign::named(CAMPAIGN)?.daily_at("13:00", "Asia/Seoul")?.first(100)?;
    Ok(daily.takes_off(won(3_000)).from(won(10_000)).valid_months(1).only_with(wallet))
}

/// Writes down what is not there.
pub(crate) async fn plant(wired: &Wired, config: &Config) -> Result<(), BackendError> {
    let flash = &wired.flash;
    let known = flash.stock.sales().await?;
    let terms = sales(config).map_err(|bad| BackendError::corrupt("seed.sales", bad))?;
    for sale in terms.into_iter().filter(|sale| !known.contains(&sale.id)) {
        if sale.id.as_str() == DROP {
            wired.book.add(&sale.id, &rooms::terms(config, sale.window)).await?;
        }
        match flash.stock.open(&sale).await {
            Ok(()) => tracing::info!(sale = %sale.id, "seeded"),
            // Another process was first.
            Err(Error::Refused(refusal)) => tracing::info!(sale = %sale.id, %refusal, "not seeded"),
            Err(Error::Backend(error)) => return Err(error),
        }
    }
    let campaign = campaign().map_err(|bad| BackendError::corrupt("seed.campaign", bad))?;
    if flash.coupons.campaigns().await?.iter().all(|known| known.id != campaign.id) {
        tracing::info!(campaign = %campaign.id, "seeded");
        flash.coupons.open(&[campaign]).await?;
    }
    Ok(())
}
