//! The languages of the shop, and the one table of what it says in them.
//!
//! Owns the words, in both languages side by side, and how numbers and times are shown. Who is told what is not here.

use flashsale_core::{Money, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A language that the shop speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
pub(crate) enum Language {
    /// English.
    #[default]
    #[serde(rename = "en")]
    English,
    /// 한국어.
    #[serde(rename = "ko")]
    Korean,
}

impl Language {
    /// Its tag, as in BCP 47.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Korean => "ko",
        }
    }

    /// The language of this tag.
    pub(crate) fn of_tag(tag: &str) -> Option<Self> {
        [Self::English, Self::Korean].into_iter().find(|language| language.tag() == tag)
    }

    /// An amount of won.
    pub(crate) fn money(self, amount: Money) -> String {
        let digits = amount.minor().to_string();
        let apart: Vec<&str> =
            digits.as_bytes().rchunks(3).rev().filter_map(|part| std::str::from_utf8(part).ok()).collect();
        match self {
            Self::English => format!("₩{}", apart.join(",")),
            Self::Korean => format!("{}원", apart.join(",")),
        }
    }

    /// A time, to the minute, with the zone that it is told in.
    pub(crate) fn time(self, at: Timestamp) -> String {
        let (zone, form) = match self {
            Self::English => ("UTC", "%Y-%m-%d %H:%M UTC"),
            Self::Korean => ("Asia/Seoul", "%Y년 %-m월 %-d일 %H:%M (한국 시간)"),
        };
        let shown = jiff::Timestamp::from_millisecond(at.ms()).and_then(|at| at.in_tz(zone));
        shown.map_or_else(|_| at.to_string(), |at| at.strftime(form).to_string())
    }
}

/// Declares the table: a phrase, in English, in Korean. `{}` stands for what is put in, in order.
macro_rules! phrases {
    ($($name:ident: $english:literal, $korean:literal;)*) => {
        /// Something that the shop says.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Phrase { $($name,)* }

        impl Phrase {
            #[cfg(test)]
            const ALL: &'static [Self] = &[$(Self::$name,)*];

            fn text(self, language: Language) -> &'static str {
                match (self, language) {
                    $((Self::$name, Language::English) => $english, (Self::$name, Language::Korean) => $korean,)*
                }
            }

            /// The phrase in a language, with these put in.
            pub(crate) fn say(self, language: Language, put_in: &[&str]) -> String {
                let mut parts = self.text(language).split("{}");
                let mut said = parts.next().unwrap_or_default().to_owned();
                for (n, part) in parts.enumerate() {
                    said.push_str(put_in.get(n).copied().unwrap_or_default());
                    said.push_str(part);
                }
                said
            }
        }
    };
}

phrases! {
    Automatic: "This message was sent by a program; nobody reads answers to it.", "이 메일은 자동으로 발송되었으며, 회신은 확인하지 않습니다.";
    SeeOrder: "See the order", "주문 보기";
    SeeShop: "See the shop", "쇼핑몰 보기";
    SeeOffer: "Take it or leave it", "지금 확인하기";
    AboutOrder: "Order {}", "주문 {}";
    AcceptedSubject: "We have your order", "주문이 접수되었습니다";
    Accepted: "Your order is accepted. It is yours once {} are paid.", "주문이 접수되었습니다. {} 결제가 끝나면 확정됩니다.";
    PayBy: "Please pay by {}.", "{}까지 결제해 주세요.";
    AcceptedFree: "Your order is accepted. There is nothing to pay.", "주문이 접수되었습니다. 결제할 금액이 없습니다.";
    ConfirmedSubject: "Your order is confirmed", "주문이 확정되었습니다";
    Confirmed: "{} are paid. The order is yours.", "{} 결제가 완료되어 주문이 확정되었습니다.";
    CancelledSubject: "Your order was cancelled", "주문이 취소되었습니다";
    Cancelled: "Your order was cancelled: {}. Whatever it held was given back.", "주문이 취소되었습니다: {}. 사용하신 쿠폰과 수량은 모두 되돌려졌습니다.";
    ReturnedSubject: "Your money is back", "환불이 완료되었습니다";
    Returned: "Your order was undone, and what you paid is back with you.", "주문이 취소되어 결제하신 금액이 환불되었습니다.";
    OfferSubject: "It is your turn: {} is held for you", "차례가 되었습니다: {} 상품을 잡아 두었습니다";
    Offer: "{} × {} came back, and you are next in line: it is held for you.", "{} {}개가 다시 나왔고 다음 차례이십니다. 지금 잡아 두었습니다.";
    OfferWithin: "It is held for {} minutes from this message on.", "이 메일을 보낸 때부터 {}분 동안 잡아 둡니다.";
    LapsedSubject: "The time for {} is over", "{} 구매 가능 시간이 지났습니다";
    Lapsed: "{} × {} went on to the next in line, because the time to take it is over.", "구매 가능 시간이 지나 {} {}개는 다음 분께 넘어갔습니다.";
    CouponSubject: "A coupon for you", "쿠폰이 발급되었습니다";
    Coupon: "You have a coupon of {}. It can be used until {}.", "{} 쿠폰이 발급되었습니다. {}까지 사용할 수 있습니다.";
    Declined: "the payment was declined", "결제가 거절되었습니다";
    Insufficient: "there was too little money in the wallet", "지갑 잔액이 부족합니다";
    BuyerLeft: "the payment page was left", "결제 화면을 나가셨습니다";
    Buyer: "you changed your mind", "고객님이 취소하셨습니다";
    Timeout: "it was not paid in time", "결제 시간이 지났습니다";
    Operator: "the shop undid it", "판매자가 취소했습니다";
    OtherReason: "it could not be completed", "주문을 완료할 수 없었습니다";
}

/// Why an order ended, from its stable word.
pub(crate) fn reason(code: &str) -> Phrase {
    match code {
        "declined" | "refused" => Phrase::Declined,
        "insufficient" => Phrase::Insufficient,
        "buyer_left" => Phrase::BuyerLeft,
        "buyer" => Phrase::Buyer,
        "timeout" => Phrase::Timeout,
        "operator" => Phrase::Operator,
        _ => Phrase::OtherReason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flashsale_core::won;

    #[test]
    fn both_languages_say_every_phrase_with_the_same_places_to_fill() {
        for phrase in Phrase::ALL {
            let places = |language| phrase.text(language).matches("{}").count();
            assert_eq!(places(Language::English), places(Language::Korean), "{phrase:?}");
            assert!(phrase.text(Language::English).is_ascii() || phrase.text(Language::English).contains('×'));
            assert!(phrase.text(Language::Korean).chars().any(|c| ('가'..='힣').contains(&c)), "{phrase:?}");
        }
    }

    #[test]
    fn numbers_and_times_are_told_as_the_language_does() {
        let shown =
            |language: Language| (language.money(won(1_129_000)), language.time(Timestamp::from_ms(1_800_000_000_000)));
        assert_eq!(shown(Language::English), ("₩1,129,000".to_owned(), "2027-01-15 08:00 UTC".to_owned()));
        assert_eq!(shown(Language::Korean), ("1,129,000원".to_owned(), "2027년 1월 15일 17:00 (한국 시간)".to_owned()));
        assert_eq!(Language::English.money(won(0)), "₩0");
    }

    #[test]
    fn what_is_put_in_is_put_in_order_and_never_read_as_a_place() {
        assert_eq!(
            Phrase::Lapsed.say(Language::Korean, &["{}", "2"]),
            "구매 가능 시간이 지나 {} 2개는 다음 분께 넘어갔습니다."
        );
    }
}
