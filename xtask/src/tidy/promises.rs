//! The promises G1 to G11: each that is due is told in core's documentation, kept in code, proven by a test.
//!
//! Owns the list of what is due. Does not own whether the test proves it: that is for people to read.

use super::{Source, Violation, is_comment};

/// The promises that the nouns of today must keep. G11 comes with the waitlist.
const DUE: std::ops::RangeInclusive<u32> = 1..=10;

/// Each promise stands in core's docs, beside code of any crate, and in a test.
pub(super) fn promises_are_told_kept_and_tested(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for number in DUE {
        let promise = format!("G{number}");
        let mut told = false;
        let mut kept = false;
        let mut tested = false;
        for source in sources.iter().filter(|source| source.is_rust() && !source.path.starts_with("xtask/")) {
            for (n, line) in source.text.lines().enumerate() {
                if !cites(line, &promise) {
                    continue;
                }
                let test = source.is_test(n + 1);
                let told_here = line.trim_start().starts_with("//!") && source.path.starts_with("flashsale-core/src/");
                tested |= test;
                told |= !test && told_here;
                // A noun's own page tells; what stands at an item, or in an adapter's file, keeps.
                kept |= !test && !told_here;
            }
        }
        let lacks = [
            (told, "is not told in the module documentation of core"),
            (kept, "stands beside no code that keeps it"),
            (tested, "stands in no test"),
        ];
        for (_, says) in lacks.iter().filter(|(there, _)| !there) {
            found.push(Violation::of("flashsale-core/src", format!("{promise} {says}")));
        }
    }
    found
}

/// Whether a line names a promise: as `G1` in a comment or text, or as `g1_` in the name of a test.
fn cites(line: &str, promise: &str) -> bool {
    let alone = |at: usize, word: &str| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_') && !after.is_some_and(|c| c.is_ascii_digit())
    };
    let small = promise.to_lowercase();
    line.match_indices(promise).any(|(at, word)| alone(at, word) && (is_comment(line) || line.contains('"')))
        || line.match_indices(&small).any(|(at, word)| alone(at, word) && line[..at].ends_with("fn "))
}

#[cfg(test)]
mod tests {
    use super::super::tests::source;
    use super::*;

    fn says(sources: &[Source]) -> Vec<String> {
        promises_are_told_kept_and_tested(sources).into_iter().map(|v| v.says).collect()
    }

    #[test]
    fn a_promise_that_is_only_told_is_found() {
        let all: String = DUE.map(|n| format!("//! **G{n}**\n")).collect();
        let kept: String = DUE.map(|n| format!("    /// Keeps G{n}.\n")).collect();
        let tested: String = DUE.map(|n| format!("fn g{n}_holds() {{}}\n")).collect();
        let told = source("flashsale-core/src/stock/mod.rs", &all);
        let code = source("flashsale-sql/src/stock.rs", &kept);
        let tests = source("flashsale-core/tests/all.rs", &tested);
        assert!(says(&[told.clone(), code.clone(), tests.clone()]).is_empty());
        assert_eq!(says(&[told.clone(), code.clone()]).len(), DUE.count());
        assert_eq!(says(&[told, tests.clone()]).len(), DUE.count());
        assert_eq!(says(&[code, tests]).len(), DUE.count());
    }

    #[test]
    fn a_longer_number_is_another_promise() {
        assert!(cites("/// **G1**: x", "G1"));
        assert!(!cites("/// **G10**: x", "G1"));
        assert!(!cites("/// PAGG1", "G1"));
        assert!(!cites("let x: G1 = y;", "G1"));
    }
}
