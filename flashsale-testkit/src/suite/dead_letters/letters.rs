//! Burying, listing, settling.

use flashsale_core::Timestamp;
use flashsale_core::event::{DeadLetter, DeadLetters, Event, Fact, Replay, Why};

use super::Letters;
use crate::sample::{order, sale_id, trace};

fn letter(consumer: &str, id: &str, at: i64) -> DeadLetter {
    let fact = Fact::PaymentUnknown { order: order(id), attempt: 1 };
    DeadLetter {
        consumer: consumer.to_owned(),
        reason: "it would not be taken up: \"why?\"".to_owned(),
        tries: 5,
        at: Timestamp::from_ms(at),
        event: Event {
            subject: id.to_owned(),
            version: 1,
            sale: Some(sale_id("drop")),
            time: Timestamp::from_ms(5),
            fact,
            trace: None,
        },
    }
}

fn discarded() -> Replay {
    Replay::Discarded(Why::new("asked for twice, see \"mail\"").expect("a reason"))
}

async fn open<P: DeadLetters>(dead: &P) -> Vec<DeadLetter> {
    dead.letters(100).await.expect("letters")
}

async fn settle<P: DeadLetters>(dead: &P, letter: &DeadLetter, how: Replay) -> Option<DeadLetter> {
    dead.settle(&letter.consumer, &letter.event.id(), how).await.expect("settle")
}

/// Consumer, reason, tries, time, and the event with its id and its trace as it was.
pub async fn a_buried_letter_is_kept_whole(fixture: &impl Letters) {
    let dead = fixture.fresh().await;
    assert!(open(&dead).await.is_empty());
    let mut one = letter("saga", "ann~1", 10);
    one.event.trace = Some(trace());
    dead.bury(std::slice::from_ref(&one)).await.expect("bury");
    assert_eq!(open(&dead).await, [one]);
    dead.bury(&[]).await.expect("bury");
}

/// A consumer that dies after burying, before it keeps its place, buries it again: one letter.
pub async fn a_letter_is_kept_once_per_consumer_and_event(fixture: &impl Letters) {
    let dead = fixture.fresh().await;
    let one = letter("saga", "ann~1", 10);
    dead.bury(&[one.clone(), one.clone()]).await.expect("bury");
    dead.bury(&[DeadLetter { tries: 9, at: Timestamp::from_ms(99), ..one.clone() }]).await.expect("bury");
    assert_eq!(open(&dead).await, [one], "the first stays");
}

/// The same event may fail for several consumers.
pub async fn consumers_have_letters_of_their_own(fixture: &impl Letters) {
    let dead = fixture.fresh().await;
    let (saga, mail) = (letter("saga", "ann~1", 10), letter("mail", "ann~1", 11));
    dead.bury(&[saga.clone(), mail.clone()]).await.expect("bury");
    assert_eq!(open(&dead).await, [saga.clone(), mail.clone()]);
    assert_eq!(settle(&dead, &saga, Replay::Replayed).await, Some(saga));
    assert_eq!(open(&dead).await, [mail]);
}

/// The oldest first, whatever the order of arrival.
pub async fn letters_come_oldest_first_and_no_more_than_asked_for(fixture: &impl Letters) {
    let dead = fixture.fresh().await;
    let letters = [("ann~1", 30), ("bob~1", 10), ("cid~1", 20)].map(|(id, at)| letter("saga", id, at));
    dead.bury(&letters).await.expect("bury");
    let at = |letters: Vec<DeadLetter>| letters.iter().map(|letter| letter.at.ms()).collect::<Vec<_>>();
    assert_eq!(at(open(&dead).await), [10, 20, 30]);
    assert_eq!(at(dead.letters(2).await.expect("letters")), [10, 20]);
    assert!(dead.letters(0).await.expect("letters").is_empty());
}

/// Who settles it gets it, to replay it or to look at it.
pub async fn a_settled_letter_is_told_and_gone(fixture: &impl Letters) {
    let dead = fixture.fresh().await;
    let letters = [letter("saga", "ann~1", 10), letter("saga", "bob~1", 20)];
    dead.bury(&letters).await.expect("bury");
    assert_eq!(settle(&dead, &letters[0], Replay::Replayed).await.as_ref(), Some(&letters[0]));
    assert_eq!(settle(&dead, &letters[1], discarded()).await.as_ref(), Some(&letters[1]));
    assert!(open(&dead).await.is_empty());
}

/// A second click replays nothing.
pub async fn a_letter_is_settled_once(fixture: &impl Letters) {
    let dead = fixture.fresh().await;
    let one = letter("saga", "ann~1", 10);
    dead.bury(std::slice::from_ref(&one)).await.expect("bury");
    assert!(settle(&dead, &one, discarded()).await.is_some());
    assert_eq!(settle(&dead, &one, Replay::Replayed).await, None);
    assert_eq!(settle(&dead, &one, discarded()).await, None);
}

/// Neither another consumer's, nor another event's.
pub async fn an_unknown_letter_is_not_settled(fixture: &impl Letters) {
    let dead = fixture.fresh().await;
    let one = letter("saga", "ann~1", 10);
    dead.bury(std::slice::from_ref(&one)).await.expect("bury");
    assert_eq!(settle(&dead, &letter("mail", "ann~1", 10), Replay::Replayed).await, None);
    assert_eq!(settle(&dead, &letter("saga", "ann~2", 10), Replay::Replayed).await, None);
    assert_eq!(open(&dead).await, [one]);
}

/// Two operators at the same moment: one of them replays it.
pub async fn of_two_who_settle_at_once_one_does(fixture: &impl Letters) {
    let dead = fixture.fresh().await;
    let one = letter("saga", "ann~1", 10);
    dead.bury(std::slice::from_ref(&one)).await.expect("bury");
    let told = crate::together((0..6).map(|_| settle(&dead, &one, Replay::Replayed))).await;
    assert_eq!(told.iter().flatten().count(), 1);
}

/// What was replayed and failed again must be seen again, with what happened this time.
pub async fn a_replayed_letter_that_fails_again_is_open_again(fixture: &impl Letters) {
    let dead = fixture.fresh().await;
    let one = letter("saga", "ann~1", 10);
    dead.bury(std::slice::from_ref(&one)).await.expect("bury");
    settle(&dead, &one, Replay::Replayed).await.expect("a letter");
    let again = DeadLetter { reason: "again".to_owned(), tries: 6, at: Timestamp::from_ms(50), ..one };
    dead.bury(std::slice::from_ref(&again)).await.expect("bury");
    assert_eq!(open(&dead).await, std::slice::from_ref(&again));
    assert_eq!(settle(&dead, &again, discarded()).await, Some(again));
}

/// A person said never; a late copy of the event does not bring it back.
pub async fn a_discarded_letter_stays_discarded(fixture: &impl Letters) {
    let dead = fixture.fresh().await;
    let one = letter("saga", "ann~1", 10);
    dead.bury(std::slice::from_ref(&one)).await.expect("bury");
    settle(&dead, &one, discarded()).await.expect("a letter");
    dead.bury(std::slice::from_ref(&one)).await.expect("bury");
    assert!(open(&dead).await.is_empty());
}

/// An operator looks at one: as it was buried, and how it was dealt with, with his reason.
pub async fn a_letter_is_found_by_its_name_whatever_became_of_it(fixture: &impl Letters) {
    let dead = fixture.fresh().await;
    let letters = ["ann~1", "bob~1", "cid~1"].map(|id| letter("saga", id, 10));
    let two_lines = DeadLetter { reason: "one\ntwo".to_owned(), ..letters[1].clone() };
    dead.bury(&[letters[0].clone(), two_lines.clone(), letters[2].clone()]).await.expect("bury");
    settle(&dead, &letters[0], Replay::Replayed).await.expect("a letter");
    settle(&dead, &two_lines, discarded()).await.expect("a letter");
    let found =
        async |consumer: &str, letter: &DeadLetter| dead.letter(consumer, &letter.event.id()).await.expect("letter");
    assert_eq!(found("saga", &letters[0]).await, Some((letters[0].clone(), Some(Replay::Replayed))));
    assert_eq!(found("saga", &two_lines).await, Some((two_lines.clone(), Some(discarded()))));
    assert_eq!(found("saga", &letters[2]).await, Some((letters[2].clone(), None)));
    assert_eq!(found("mail", &letters[2]).await, None);
    assert_eq!(found("saga", &letter("saga", "dan~1", 10)).await, None);
}
