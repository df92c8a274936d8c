//! The languages of the shop, and the one table of what it says in them.
//!
//! Owns the words, in both languages side by side, and how numbers and times are shown. Who is told what is not here.

use std::time::Duration;

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

    /// The first language of an `Accept-Language` that the shop speaks; English if there is none. Weights are not looked at: browsers send the best first.
    pub(crate) fn asked(accept: &str) -> Self {
        let tags = accept.split(',').filter_map(|range| range.split([';', '-']).next());
        tags.map(str::trim).find_map(|tag| Self::of_tag(&tag.to_ascii_lowercase())).unwrap_or_default()
    }

    /// A length of time, rounded up: seconds below two minutes, minutes above.
    pub(crate) fn wait(self, wait: Duration) -> String {
        let seconds = wait.as_millis().div_ceil(1_000);
        match seconds {
            0..120 => Phrase::Seconds.say(self, &[&seconds.to_string()]),
            _ => Phrase::Minutes.say(self, &[&seconds.div_ceil(60).to_string()]),
        }
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

    ToContent: "To the content", "본문으로";
    DevLoud: "Development: dev.members is on. Anybody can be any member here.", "개발 모드: dev.members가 켜져 있어 누구나 어떤 회원도 될 수 있습니다.";
    MyOrders: "My orders", "내 주문";
    IAm: "I am", "회원 이름";
    AName: "a name", "이름";
    TakeName: "Take this name", "이 이름으로 하기";
    ChangeName: "Change", "바꾸기";
    AboutShop: "An example of the flashsale library. Units left are approximate by up to a second.", "flashsale 라이브러리의 예제입니다. 남은 수량은 최대 1초 늦을 수 있습니다.";
    ServerTime: "Server time", "서버 시각";
    NameFirst: "Take a name above first.", "먼저 위에서 이름을 정해 주세요.";
    ToSale: "To the sale", "판매 페이지로";
    Seconds: "{} s", "{}초";
    Minutes: "{} min", "{}분";

    Room: "Waiting room", "대기실";
    SaleOver: "The sale is over.", "판매가 끝났습니다.";
    RoomClosed: "Nobody has to wait right now.", "지금은 기다리지 않아도 됩니다.";
    RoomOpen: "Many people want this now. Take a place: all are let through in the order of arrival.", "지금 많은 분이 몰려 있습니다. 줄을 서시면 도착한 순서대로 들어가실 수 있습니다.";
    RoomWaiting: "{} people wait.", "{}명이 기다리고 있습니다.";
    TakePlace: "Take a place", "줄 서기";
    AheadNone: "You are next.", "다음 차례입니다.";
    AheadBelow: "You are waiting: fewer than {} before you.", "기다리는 중입니다. 앞에 {}명 미만이 있습니다.";
    AheadAbove: "You are waiting: {} or more before you.", "기다리는 중입니다. 앞에 {}명 이상 있습니다.";
    YourNumber: "Your number", "대기 번호";
    BeforeYou: "Before you, at most", "앞에 있는 분, 최대";
    WaitFor: "Wait", "예상 대기 시간";
    WaitUnknown: "we do not know yet", "아직 알 수 없습니다";
    WaitKnown: "about {}, at most {}", "약 {}, 길어도 {}";
    UnitsLeft: "Left, about", "남은 수량, 대략";
    ChanceLikely: "There is a good chance that something is left for your number.", "이 번호로 구매하실 가능성이 높습니다.";
    ChanceUnlikely: "Something is left for you only if some of those before you do not buy.", "앞에 계신 분 중 일부가 구매하지 않아야 차례가 옵니다.";
    ChanceNone: "Nothing is left for your number. What comes back goes to the waitlist.", "이 번호로 구매하실 수량이 남아 있지 않습니다. 취소된 수량은 대기 목록의 순서대로 드립니다.";
    ToWaitlist: "To the waitlist", "대기 목록으로";
    PlaceIsYours: "Keep this page open, or come back to it: the place is yours, in any tab.", "이 페이지를 열어 두시거나 나중에 다시 오세요. 자리는 어느 탭에서나 그대로입니다.";
    LeavePlace: "Give up my place", "자리 포기하기";
    WasAway: "You were away when your turn came. Your number is kept, and you stand at the head.", "차례가 왔을 때 자리에 안 계셨습니다. 번호는 그대로이며 맨 앞에 계십니다.";
    YourTurn: "It is your turn.", "지금 차례입니다.";
    LastsUntil: "It lasts until", "다음 시각까지입니다:";
    GoBuy: "Go and buy", "구매하러 가기";
    MoreTime: "I need more time", "시간이 더 필요합니다";
    OneMinute: "One minute left.", "1분 남았습니다.";
    TurnPassed: "Your turn went by. Its time was over, and others are waiting.", "차례가 지나갔습니다. 정해진 시간이 끝나 다음 분께 넘어갔습니다.";
    TakePlaceAgain: "Take a new place at the end", "맨 뒤에 다시 줄 서기";
    DoneHere: "You have what you came for.", "이용이 끝났습니다.";
    LeftRoom: "You gave up your place.", "자리를 포기하셨습니다.";
    StaleSince: "No connection. These figures are from", "연결이 끊겼습니다. 다음 시각의 정보입니다:";

    Waitlist: "Waitlist", "대기 목록";
    WaitlistSays: "All are taken. What comes back goes to those who wait, in order, before anybody else.", "모두 판매되었습니다. 취소된 수량은 대기하신 순서대로 가장 먼저 드립니다.";
    WaitForIt: "Wait for it", "대기하기";
    WishPlace: "You are number {} in line, {} before you.", "대기 번호 {}번, 앞에 {}명이 있습니다.";
    WaitNoLonger: "Wait no longer", "대기 그만하기";
    WishOffered: "It came back, and is held for you.", "다시 나온 상품을 잡아 두었습니다.";

    OfferTitle: "An offer for you", "구매 제안";
    OfferHeld: "{} × {} is held for you.", "{} {}개를 잡아 두었습니다.";
    OfferUntil: "It is held until", "다음 시각까지 잡아 둡니다:";
    OfferUntold: "Your time to take it begins when the message to you is out.", "알림을 보낸 때부터 시간이 시작됩니다.";
    OfferTake: "Take it for {}", "{}에 구매하기";
    OfferDecline: "No, thank you", "괜찮습니다";
    OfferTaken: "You took it: it is an order now.", "구매하셨습니다. 이제 주문입니다.";
    OfferGone: "It went on to the next in line.", "다음 분께 넘어갔습니다.";
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
    fn the_first_language_that_the_shop_speaks_is_taken() {
        for (accept, language) in [
            ("ko-KR,ko;q=0.9,en;q=0.8", Language::Korean),
            ("fr, KO;q=0.5", Language::Korean),
            ("en-GB,ko", Language::English),
            ("", Language::English),
            ("fr;q=1", Language::English),
        ] {
            assert_eq!(Language::asked(accept), language, "{accept}");
        }
    }

    #[test]
    fn a_wait_is_told_in_seconds_and_then_in_minutes() {
        let told = |ms| Language::English.wait(Duration::from_millis(ms));
        assert_eq!([0, 1, 119_000, 119_001, 121_000].map(told), ["0 s", "1 s", "119 s", "2 min", "3 min"]);
        assert_eq!(Language::Korean.wait(Duration::from_secs(60)), "60초");
    }

    #[test]
    fn what_is_put_in_is_put_in_order_and_never_read_as_a_place() {
        assert_eq!(
            Phrase::Lapsed.say(Language::Korean, &["{}", "2"]),
            "구매 가능 시간이 지나 {} 2개는 다음 분께 넘어갔습니다."
        );
    }
}
