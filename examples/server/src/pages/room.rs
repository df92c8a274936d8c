//! The waiting room's page: a place, how long it takes, the turn; and the line about the room on the sale's page.

use askama::Template;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use flashsale_axum::answers;
use flashsale_core::engine::PlaceView;
use flashsale_core::queue::{Chance, Ended, Mode, Phase, Standing, Wait};
use flashsale_core::{BuyerId, SaleId, Timestamp, WaitingRoom};

use super::show::drawn;
use super::{Asked, Frame, member, words};
use crate::app::App;
use crate::board::Standing as Sells;
use crate::extract::{self, Name};
use crate::language::{Language, Phrase};
use crate::routes::rooms;

/// When somebody who has no place looks again by himself.
const LOOK_AGAIN_MS: u128 = 5_000;

/// What the sale's page says of the room before it; nothing while nobody has to wait.
pub(super) struct RoomLine {
    pub(super) says: String,
    pub(super) turn: bool,
}

impl RoomLine {
    pub(super) async fn of(app: &App, sale: &SaleId, who: Option<&BuyerId>, language: Language) -> Option<Self> {
        let room = app.room(sale)?;
        let tick = room.ticks().borrow().clone();
        let tick = tick.filter(|tick| tick.door.is_open())?;
        // A store that is away is no reason not to show the sale.
        let view = match who {
            Some(who) => room.place(who).await.unwrap_or_default(),
            None => None,
        };
        let waiting = words::count(tick.waiting);
        Some(match view.map(|view| view.place.standing) {
            Some(Standing::Turn(_)) => Self { says: Phrase::YourTurn.say(language, &[]), turn: true },
            Some(Standing::Waiting { ahead } | Standing::Absent { ahead }) => {
                Self { says: magnitude(ahead, language), turn: false }
            }
            _ => Self { says: Phrase::RoomWaiting.say(language, &[&waiting]), turn: false },
        })
    }
}

/// How many are before one, told so that it changes seldom: who listens to a page is not told every step of the line.
fn magnitude(ahead: u64, language: Language) -> String {
    match [1, 10, 100, 1_000, 10_000].into_iter().find(|bound| ahead < *bound) {
        Some(1) => Phrase::AheadNone.say(language, &[]),
        Some(bound) => Phrase::AheadBelow.say(language, &[&words::count(bound)]),
        None => Phrase::AheadAbove.say(language, &[&words::count(10_000)]),
    }
}

/// Where the reader stands: what the page is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// He has no name yet.
    Unknown,
    /// Nobody has to wait.
    Closed,
    /// The sale is over.
    Over,
    /// He may take a place.
    Outside,
    /// Places are given later.
    Early,
    Waiting,
    Turn,
    /// His turn went by, he left, or is done.
    Ended,
}

#[derive(Template)]
#[template(path = "room.html")]
struct RoomPage {
    frame: Frame,
    sale: String,
    stands: Stands,
    /// What is announced: changes seldom.
    status: String,
    title: String,
    number: String,
    /// The number as a program reads it.
    no: u64,
    ahead: u64,
    ahead_text: String,
    wait: String,
    left: Option<String>,
    chance: Option<String>,
    none_left: bool,
    until: Option<Timestamp>,
    more_time: bool,
    message: Option<String>,
    refresh_ms: u128,
}

impl RoomPage {
    fn new(frame: Frame, sale: &SaleId, stands: Stands, status: String) -> Self {
        let title = format!("{status} · {sale}");
        Self {
            frame,
            sale: sale.to_string(),
            stands,
            status,
            title,
            number: String::new(),
            no: 0,
            ahead: 0,
            ahead_text: String::new(),
            wait: String::new(),
            left: None,
            chance: None,
            none_left: false,
            until: None,
            more_time: false,
            message: None,
            refresh_ms: LOOK_AGAIN_MS,
        }
    }

    /// The page of one who has a place.
    fn of(frame: Frame, sale: &SaleId, room: &WaitingRoom, view: PlaceView) -> Self {
        let language = frame.language;
        let say = |phrase: Phrase| phrase.say(language, &[]);
        let (stands, status) = match view.place.standing {
            Standing::Waiting { ahead } => (Stands::Waiting, magnitude(ahead, language)),
            Standing::Absent { .. } => (Stands::Waiting, say(Phrase::WasAway)),
            Standing::Turn(_) => (Stands::Turn, say(Phrase::YourTurn)),
            Standing::Ended(Ended::Passed) => (Stands::Ended, say(Phrase::TurnPassed)),
            Standing::Ended(Ended::Finished) => (Stands::Ended, say(Phrase::DoneHere)),
            Standing::Ended(Ended::Left) => (Stands::Ended, say(Phrase::LeftRoom)),
        };
        let mut page = Self::new(frame, sale, stands, status);
        let (ahead, tick) = (view.ahead(), room.ticks().borrow().clone());
        (page.no, page.number) = (view.place.number.no, words::count(view.place.number.no));
        (page.ahead, page.ahead_text) = (ahead, words::count(ahead));
        page.wait = match view.wait {
            Wait::Unknown => say(Phrase::WaitUnknown),
            Wait::Measured { about, at_most } => {
                Phrase::WaitKnown.say(language, &[&language.wait(about), &language.wait(at_most)])
            }
        };
        page.left = tick.and_then(|tick| tick.left).map(words::count);
        page.chance = view.chance.map(|chance| {
            say(match chance {
                Chance::Likely => Phrase::ChanceLikely,
                Chance::Unlikely => Phrase::ChanceUnlikely,
                Chance::NoneLeft => Phrase::ChanceNone,
            })
        });
        page.none_left = view.chance == Some(Chance::NoneLeft);
        if stands == Stands::Waiting {
            page.title = format!("({}) {} · {sale}", page.ahead_text, say(Phrase::Room));
        }
        if let Standing::Turn(turn) = view.place.standing {
            page.until = Some(turn.until);
            page.more_time = turn.extensions_left > 0;
        }
        page.message = view.message;
        page.refresh_ms = view.refresh_after.as_millis();
        page
    }

    /// What makes it look another way to its reader.
    fn shows(&self) -> String {
        let Self { status, number, ahead, wait, left, chance, until, more_time, message, .. } = self;
        format!("{status}|{number}|{ahead}|{wait}|{left:?}|{chance:?}|{until:?}|{more_time}|{message:?}")
    }

    /// What the page refreshes by itself after, without script.
    fn refresh_s(&self) -> u128 {
        self.refresh_ms.div_ceil(1_000).max(1)
    }
}

/// The room before a sale, for whoever looks.
pub(super) async fn page(State(app): State<App>, Name(id): Name, headers: HeaderMap, uri: Uri) -> Response {
    let mut ticket = None;
    let view = async {
        let asked: Asked = extract::query(&uri)?;
        let frame = Frame::of(&app, &headers, &uri, &asked);
        let (sale, room) = rooms::before(&app, &id).await?;
        let say = |phrase: Phrase| phrase.say(frame.language, &[]);
        let face = app.face(&sale).await?;
        if face.is_some_and(|face| face.standing(app.now()) == Sells::Closed) {
            let status = say(Phrase::SaleOver);
            return Ok(RoomPage::new(frame, &sale, Stands::Over, status));
        }
        let Some(room) = room else {
            let status = say(Phrase::RoomClosed);
            return Ok(RoomPage::new(frame, &sale, Stands::Closed, status));
        };
        let Some(who) = member(&app, &headers) else {
            let status = say(Phrase::Room);
            return Ok(RoomPage::new(frame, &sale, Stands::Unknown, status));
        };
        if let Some(view) = room.place(&who).await? {
            // It brings the place back if the room's store loses it.
            ticket = answers::ticket_cookie(&room, &view);
            let waits = matches!(view.place.standing, Standing::Waiting { .. } | Standing::Absent { .. });
            // Taken out of the way: who waits is through as well.
            if waits && !room.was_open() {
                let status = say(Phrase::RoomClosed);
                return Ok(RoomPage::new(frame, &sale, Stands::Closed, status));
            }
            return Ok(RoomPage::of(frame, &sale, &room, view));
        }
        let levels = room.levels().await?;
        let early = matches!(levels.terms.phase(levels.now), Phase::Before { .. });
        let (stands, status) = match levels.terms.mode {
            Mode::Off => (Stands::Closed, Phrase::RoomClosed),
            Mode::Auto | Mode::Hold if early => (Stands::Early, Phrase::Room),
            Mode::Auto | Mode::Hold if levels.door.is_open() => (Stands::Outside, Phrase::RoomOpen),
            Mode::Auto | Mode::Hold => (Stands::Closed, Phrase::RoomClosed),
        };
        let status = say(status);
        let mut page = RoomPage::new(frame, &sale, stands, status);
        if let Phase::Before { places_from } = levels.terms.phase(levels.now) {
            page.until = Some(places_from);
        }
        page.message = levels.terms.message.clone();
        Ok(page)
    };
    let mut response = drawn(&app, &headers, &uri, view).await;
    if let Some(ticket) = ticket {
        response.headers_mut().append(SET_COOKIE, ticket);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_changes_with_the_magnitude_only() {
        let said = |ahead| magnitude(ahead, Language::English);
        assert_eq!(said(0), "You are next.");
        assert_eq!(said(1), said(9));
        assert_ne!(said(9), said(10));
        assert_eq!(said(999), "You are waiting: fewer than 1,000 before you.");
        assert_eq!(said(20_000), "You are waiting: 10,000 or more before you.");
    }
}
