//! The door: whether a request is let through, by its admission or by the room.
//!
//! Owns the order in which a request's values are looked at. [`admitted`](crate::admitted) does it before whole routes; a service that learns only from a
//! request's body which room stands before it calls [`knock`] itself, or its two halves.

use axum::http::HeaderMap;
use flashsale_core::engine::{Admission, Entrance, PlaceView};
use flashsale_core::error::Error;
use flashsale_core::queue::{Claim, EnterRefusal, Standing, TokenRefusal};
use flashsale_core::{BackendError, BuyerId, WaitingRoom};

use crate::token::Carries;

/// Whether an admission is checked here alone, or with the store as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Confirm {
    /// The signature, the end, and what was used on this server: without asking anybody.
    #[default]
    Here,
    /// The store as well: one that was used on another server is refused.
    WithTheStore,
}

/// Who is through.
#[derive(Debug, Clone)]
pub struct Through {
    /// By which place, and until when.
    pub claim: Claim,
    /// The admission that he got just now, if he came without one.
    pub given: Option<Admission>,
}

/// Why a request is not let through, in precedence order.
#[derive(Debug, Clone)]
pub enum Stopped {
    /// The admission in its header is worth nothing. One in a cookie that is worth nothing is as none.
    Token(TokenRefusal),
    /// The room lets nobody in.
    Refused(EnterRefusal),
    /// The member has a place, and it is not his turn.
    Waits(Box<PlaceView>),
    /// The room cannot be asked: nobody is let through.
    Failed(BackendError),
}

/// Lets a member through, or says why not: by the admission that came with his request ([`shown`]), else by the room ([`entered`]).
///
/// # Errors
/// [`Stopped`].
///
/// # Cancel safety
/// Dropping the future tears nothing; a repeat finds the place.
pub async fn knock(
    room: &WaitingRoom,
    member: &BuyerId,
    headers: &HeaderMap,
    confirm: Confirm,
) -> Result<Through, Stopped> {
    match shown(room, member, headers, confirm).await? {
        Some(claim) => Ok(Through { claim, given: None }),
        None => entered(room, member, headers).await,
    }
}

/// The admission that came with a request, if it is worth something; `None` if none came. The room is not entered.
///
/// # Errors
/// [`Stopped::Token`] for one in the header that is worth nothing; one in the cookie like that is as none. [`Stopped::Failed`].
pub async fn shown(
    room: &WaitingRoom,
    member: &BuyerId,
    headers: &HeaderMap,
    confirm: Confirm,
) -> Result<Option<Claim>, Stopped> {
    if let Some(token) = Carries::Admission.in_header(headers) {
        return match check(room, token, member, confirm).await {
            Ok(claim) => Ok(Some(claim)),
            Err(Error::Refused(refusal)) => Err(Stopped::Token(refusal)),
            Err(Error::Backend(error)) => Err(Stopped::Failed(error)),
        };
    }
    let Some(token) = Carries::Admission.in_cookie(room.id(), headers) else { return Ok(None) };
    Ok(check(room, token, member, confirm).await.ok())
}

/// Has a member without an admission enter the room: he is through if the door is closed or it is his turn.
///
/// # Errors
/// [`Stopped`].
///
/// # Cancel safety
/// Dropping the future tears nothing; a repeat finds the place.
pub async fn entered(room: &WaitingRoom, member: &BuyerId, headers: &HeaderMap) -> Result<Through, Stopped> {
    let given = |admission: Admission| {
        let (number, until) = (admission.number, admission.until);
        let claim = Claim { room: room.id().clone(), member: member.clone(), number, until };
        Through { claim, given: Some(admission) }
    };
    let view = match room.enter(member, Carries::Ticket.found(room.id(), headers)).await {
        Ok(Entrance::Through(admission)) => return Ok(given(admission)),
        Ok(Entrance::New(view) | Entrance::Same(view)) => view,
        Err(Error::Refused(refusal)) => return Err(Stopped::Refused(refusal)),
        Err(Error::Backend(error)) => return Err(Stopped::Failed(error)),
    };
    if matches!(view.place.standing, Standing::Turn(_)) {
        // The admission was lost on the way, or this is another tab.
        match room.admission(member).await {
            Ok(admission) => return Ok(given(admission)),
            Err(Error::Backend(error)) => return Err(Stopped::Failed(error)),
            // It went by in between.
            Err(Error::Refused(_)) => {}
        }
    }
    Err(Stopped::Waits(Box::new(view)))
}

async fn check(
    room: &WaitingRoom,
    token: &str,
    member: &BuyerId,
    confirm: Confirm,
) -> Result<Claim, Error<TokenRefusal>> {
    match confirm {
        Confirm::Here => room.check(token, member).map_err(Error::Refused),
        Confirm::WithTheStore => room.confirm(token, member).await,
    }
}
