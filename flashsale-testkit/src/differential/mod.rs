//! Two backends are told the same random steps and must give the same answers. A failing run names its seed and step.

mod gate;
mod ledger;
mod room;

pub use gate::gates;
pub use ledger::{FullLedger, ledgers};
pub use room::rooms;

/// How often each kind of answer was seen: a run that met only refusals has compared little.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen(std::collections::BTreeMap<&'static str, u64>);

impl Seen {
    /// How often.
    #[must_use]
    pub fn times(&self, answer: &str) -> u64 {
        self.0.get(answer).copied().unwrap_or(0)
    }

    /// Adds what another run saw.
    pub fn add(&mut self, other: &Self) {
        for (answer, times) in &other.0 {
            *self.0.entry(answer).or_default() += times;
        }
    }

    pub(crate) fn note(&mut self, answer: &'static str) {
        *self.0.entry(answer).or_default() += 1;
    }
}

/// A small generator of choices (SplitMix64): a seed gives the same ones again.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to `sides - 1`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.word() % sides.max(1)
    }

    /// True once in `n`.
    pub(crate) fn once_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }

    /// One of these.
    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        let at = usize::try_from(self.roll(of.len() as u64)).unwrap_or(0);
        of[at].clone()
    }
}
