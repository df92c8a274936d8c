//! Which admissions were used on this server: remembered until they end by themselves, and no more than a bound.

use std::collections::{HashMap, VecDeque};

use crate::id::BuyerId;
use crate::queue::Number;
use crate::time::Timestamp;

/// The most that are remembered; the oldest is forgotten first. At ten finished turns a second this is two hours.
const USED_MAX: usize = 65_536;

/// Numbers whose admissions are used, by member.
#[derive(Debug, Default)]
pub(super) struct Used {
    numbers: HashMap<BuyerId, (Number, Timestamp)>,
    order: VecDeque<(Timestamp, BuyerId)>,
}

impl Used {
    /// Remembers it until `until`.
    pub(super) fn note(&mut self, member: &BuyerId, number: Number, until: Timestamp, now: Timestamp) {
        while self.order.len() >= USED_MAX || self.order.front().is_some_and(|(until, _)| *until <= now) {
            let Some((until, member)) = self.order.pop_front() else { break };
            if self.numbers.get(&member).is_some_and(|(_, newest)| *newest == until) {
                self.numbers.remove(&member);
            }
        }
        self.numbers.insert(member.clone(), (number, until));
        self.order.push_back((until, member.clone()));
    }

    /// Whether an admission of this number was used: that of an earlier place, too.
    pub(super) fn knows(&self, member: &BuyerId, number: Number) -> bool {
        number.no > 0 && self.numbers.get(member).is_some_and(|(used, _)| number <= *used)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::queue::Generation;

    #[test]
    fn what_is_used_is_remembered_until_its_end_and_within_a_bound() {
        let number = |no| Number { generation: Generation(1), no };
        let (now, mut used) = (Timestamp::from_ms(0), Used::default());
        let ann = BuyerId::new("ann").unwrap();
        used.note(&ann, number(5), now.after(Duration::from_secs(1)), now);
        assert!(used.knows(&ann, number(5)) && used.knows(&ann, number(3)));
        assert!(!used.knows(&ann, number(6)) && !used.knows(&ann, number(0)));
        for n in 0..USED_MAX {
            used.note(&BuyerId::new(&format!("m{n}")).unwrap(), number(1), now.after(Duration::from_secs(9)), now);
        }
        assert!(used.order.len() <= USED_MAX && used.numbers.len() <= USED_MAX);
        used.note(&ann, number(7), now.after(Duration::from_secs(20)), now.after(Duration::from_secs(10)));
        assert_eq!(used.numbers.len(), 1);
    }
}
