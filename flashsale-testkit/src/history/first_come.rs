//! G6 by its formula: who was refused for want of units stands before whoever is held as many of them later, unless some came back
//! in between. Protocol 3.1: `W.hold_no <= L.after`.
//!
//! The formula speaks of orders that were accepted; here it is asked of every hold, which is more. Owns the formula. Does not own
//! the order of steps: the search found it.

use std::collections::BTreeMap;

use flashsale_core::ItemId;
use flashsale_core::stock::{HoldNo, Reservation, Reserve, ReserveRefusal, Reserved};

use super::check::{Broken, Violation};
use super::place::place;
use super::witness::Witness;
use super::{Asked, Call, History, Told};
use crate::model::ModelSale;

/// What the formula was asked of.
#[derive(Debug, Default)]
pub(super) struct FirstCome {
    shelves: BTreeMap<ItemId, Shelf>,
    /// Pairs of a refusal and a later hold (or an earlier one, with the least number after it) that were compared.
    pub(super) pairs: u64,
}

/// An item since capacity last came back.
#[derive(Debug, Default)]
struct Shelf {
    /// Per number of units asked for and refused: the least `after`.
    refused: BTreeMap<u32, HoldNo>,
    /// Per number of units held: the largest number.
    held: BTreeMap<u32, HoldNo>,
}

impl FirstCome {
    /// Somebody was refused so many units of an item.
    pub(super) fn refused(&mut self, item: &ItemId, units: u32, after: HoldNo) -> Result<(), String> {
        let shelf = self.shelves.entry(item.clone()).or_default();
        for (more, no) in shelf.held.range(units..) {
            self.pairs += 1;
            if *no > after {
                return Err(says(item, units, after, *more, *no));
            }
        }
        let least = shelf.refused.entry(units).or_insert(after);
        *least = (*least).min(after);
        Ok(())
    }

    /// Somebody was held so many units of an item.
    pub(super) fn held(&mut self, item: &ItemId, units: u32, no: HoldNo) -> Result<(), String> {
        let shelf = self.shelves.entry(item.clone()).or_default();
        for (fewer, after) in shelf.refused.range(..=units) {
            self.pairs += 1;
            if no > *after {
                return Err(says(item, *fewer, *after, units, no));
            }
        }
        let most = shelf.held.entry(units).or_insert(no);
        *most = (*most).max(no);
        Ok(())
    }

    /// Capacity of an item came back: what was before is not compared with what comes.
    pub(super) fn came_back(&mut self, item: &ItemId) {
        self.shelves.remove(item);
    }
}

fn says(item: &ItemId, refused: u32, after: HoldNo, held: u32, no: HoldNo) -> String {
    format!(
        "{refused} of {item} were refused after number {}, and {held} of it held under number {}, and none had come back",
        after.0, no.0
    )
}

/// Walks the order that the search found; how many pairs were compared.
pub(super) fn walk(
    history: &History,
    calls: &[&Call],
    order: &[usize],
    witness: &Witness<'_>,
) -> Result<u64, Violation> {
    let mut model = super::search::loaded(history);
    let mut formula = FirstCome::default();
    for n in order {
        let call = calls[*n];
        let next = model.next();
        let levels = matches!(call.asked, Asked::Sync(_)).then(|| available(&model));
        // The search placed it here; the model takes the same step again.
        let _ = place(&mut model, call, *n, witness);
        model.settle();
        if let Some(before) = levels {
            for (item, now) in available(&model) {
                if before.get(&item).is_none_or(|before| now > *before) {
                    formula.came_back(&item);
                }
            }
        }
        if let (Asked::Reserve(batch), Some((_, Told::Reserve(Reservation::Answers(answers))))) =
            (&call.asked, call.told())
        {
            for (request, answer) in batch.iter().zip(answers) {
                ask(&mut formula, request, answer, next).map_err(|says| Violation::new(Broken::FirstCome, says))?;
            }
        }
    }
    Ok(formula.pairs)
}

fn available(model: &ModelSale) -> BTreeMap<ItemId, i64> {
    model.available().map(|(item, units)| (item.clone(), units)).collect()
}

fn ask(
    formula: &mut FirstCome,
    request: &Reserve,
    answer: &Result<Reserved, ReserveRefusal>,
    next: HoldNo,
) -> Result<(), String> {
    match answer {
        Ok(Reserved::Held(hold)) if hold.no >= next => {
            request.lines.iter().try_for_each(|line| formula.held(&line.item, line.units.units(), hold.no))
        }
        Err(ReserveRefusal::SoldOut { item, after } | ReserveRefusal::AllHeld { item, after }) => {
            let lines = request.lines.iter().filter(|line| line.item == *item);
            lines.map(|line| line.units.units()).try_for_each(|units| formula.refused(item, units, *after))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::item;

    #[test]
    fn g6_nobody_passes_one_who_was_refused() {
        let mut formula = FirstCome::default();
        formula.held(&item("a"), 1, HoldNo(1)).expect("the first");
        formula.refused(&item("a"), 2, HoldNo(1)).expect("after the first");
        formula.held(&item("a"), 1, HoldNo(2)).expect("fewer units may be there");
        let late = formula.held(&item("a"), 2, HoldNo(3)).unwrap_err();
        assert!(late.contains("2 of a were refused after number 1, and 2 of it held under number 3"), "{late}");
    }

    #[test]
    fn g6_a_refusal_names_the_last_number_before_it() {
        let mut formula = FirstCome::default();
        formula.held(&item("a"), 2, HoldNo(5)).expect("the first");
        assert!(formula.refused(&item("a"), 1, HoldNo(4)).is_err());
    }

    #[test]
    fn g6_what_came_back_may_be_held_by_anybody() {
        let mut formula = FirstCome::default();
        formula.refused(&item("a"), 1, HoldNo(3)).expect("the first");
        formula.came_back(&item("a"));
        formula.held(&item("a"), 1, HoldNo(4)).expect("it came back");
        formula.held(&item("b"), 1, HoldNo(5)).expect("another item");
    }
}
