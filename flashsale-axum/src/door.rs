//! The door: whether a request is let through, by its admission or by the room.
//!
//! Owns the order in which a request's values are looked at. [`admitted`](crate::admitted) does it before whole routes; a service that learns only from a
//! request's body which room stands before it calls [`knock`] itself.

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

/// Lets a member through, or says why not. One without an admission enters the room: he is through if the door is closed or it is his turn.
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
    if let Some(token) = Carries::Admission.in_header(headers) {
        return match check(room, token, member, confirm).await {
            Ok(claim) => Ok(Through { claim, given: None }),
            Err(Error::Refused(refusal)) => Err(Stopped::Token(refusal)),
            Err(Error::Backend(error)) => Err(Stopped::Failed(error)),
        };
    }
    if let Some(token) = Carries::Admission.in_cookie(room.id(), headers)
        && let Ok(claim) = check(room, token, member, confirm).await
    {
        return Ok(Through { claim, given: None });
    }
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
    // It is his turn, and the admission was lost on the way, or this is another tab.
    if matches!(view.place.standing, Standing::Turn(_))
        && let Ok(admission) = room.admission(member).await
    {
        return Ok(given(admission));
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
