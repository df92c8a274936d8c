//! Rules about the text of single files. Each word that a rule looks for is put together from parts, so that the rule
//! does not find itself.

use super::{Source, Violation};

/// The largest number of lines in a file: a longer one is two ideas.
const LINES_MAX: usize = 700;

/// Every source file opens with what it owns and what not.
pub(super) fn files_say_what_they_own(sources: &[Source]) -> Vec<Violation> {
    let rust = sources.iter().filter(|source| source.is_rust());
    rust.filter(|source| !source.text.starts_with("//! "))
        .map(|source| Violation::at(source, 1, "opens without `//!`: say what this file owns, and what not"))
        .collect()
}

/// No source file is longer than 700 lines.
pub(super) fn files_stay_short(sources: &[Source]) -> Vec<Violation> {
    let long = |source: &&Source| source.is_rust() && source.text.lines().count() > LINES_MAX;
    let says = |source: &Source| format!("{} lines; more than {LINES_MAX} are two ideas", source.text.lines().count());
    sources.iter().filter(long).map(|source| Violation::at(source, 1, says(source))).collect()
}

/// Words in type names that say nothing about the thing.
const EMPTY_WORDS: &[&str] = &["Manager", "Service", "Helper", "Helpers", "Util", "Utils", "Impl"];

/// No type is named after the role of being code.
pub(super) fn names_say_what_a_thing_is(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        for (n, line) in source.code() {
            let Some(name) = defined_type(line) else { continue };
            if let Some(word) = words(name).into_iter().find(|word| EMPTY_WORDS.contains(word)) {
                found.push(Violation::at(source, n, format!("`{word}` in the name `{name}` says nothing")));
            }
        }
    }
    found
}

/// The name in `pub struct Name`, and the like. An associated type has the name that its trait gave it.
fn defined_type(line: &str) -> Option<&str> {
    if line.starts_with("    type ") {
        return None;
    }
    let line = line.trim_start();
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')')?.1.trim_start(),
        Some(rest) => rest.trim_start(),
        None => line,
    };
    let rest = ["struct ", "enum ", "trait ", "union ", "type "].iter().find_map(|kind| line.strip_prefix(kind))?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    Some(&rest[..end])
}

/// The words of a name in camel case.
fn words(name: &str) -> Vec<&str> {
    let mut starts: Vec<usize> = name.char_indices().filter(|(_, c)| c.is_uppercase()).map(|(at, _)| at).collect();
    starts.push(name.len());
    starts.windows(2).map(|pair| &name[pair[0]..pair[1]]).collect()
}

/// A getter is named after what it gives.
pub(super) fn getters_have_no_prefix(sources: &[Source]) -> Vec<Violation> {
    every_line(sources, Source::is_rust, |source, n, line| {
        let named = line.split("fn get").nth(1).is_some_and(|rest| rest.starts_with('_'));
        (named && !is_comment(line)).then(|| Violation::at(source, n, "a getter is named after what it gives"))
    })
}

/// Nothing is left for later, and no test is switched off.
pub(super) fn nothing_is_unfinished(sources: &[Source]) -> Vec<Violation> {
    let marks = [
        concat!("to", "do!"),
        concat!("unimpl", "emented!"),
        concat!("db", "g!("),
        concat!("#[ig", "nore"),
        concat!("FIX", "ME"),
        concat!("TO", "DO"),
        concat!("XX", "X"),
    ];
    every_line(sources, Source::is_rust, |source, n, line| {
        let mark = marks.iter().find(|mark| line.contains(**mark))?;
        Some(Violation::at(source, n, format!("`{mark}`: finish it, or say in the documents what is missing")))
    })
}

/// A test waits for the condition or moves virtual time; it never sleeps.
pub(super) fn tests_wait_for_conditions(sources: &[Source]) -> Vec<Violation> {
    let sleeps = [concat!("thread::", "sleep"), concat!("time::", "sleep")];
    every_line(sources, Source::is_rust, |source, n, line| {
        let sleeping = !is_comment(line) && source.is_test(n) && sleeps.iter().any(|sleep| line.contains(sleep));
        sleeping.then(|| Violation::at(source, n, "a test sleeps: wait for the condition, or move virtual time"))
    })
}

/// Nothing in the repository knows a machine's folders or a package source of its own.
pub(super) fn nothing_names_a_machine(sources: &[Source]) -> Vec<Violation> {
    let folders = [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
    let mut found = every_line(
        sources,
        |_| true,
        |source, n, line| {
            // `../work/x` and `a/home/b` are parts of a relative path or of a URL; a folder of a machine begins the path.
            let begins = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}".contains(c));
            let folder = folders.iter().find(|folder| line.match_indices(**folder).any(|(at, _)| begins(at)))?;
            Some(Violation::at(source, n, format!("`{folder}` is a folder of one machine")))
        },
    );
    let crates_io = "registry+https://github.com/rust-lang/crates.io-index";
    found.extend(every_line(
        sources,
        |s| s.path.ends_with("Cargo.lock"),
        |source, n, line| {
            let from = line.strip_prefix("source = \"")?;
            (!from.starts_with(crates_io)).then(|| Violation::at(source, n, "a package that is not from crates.io"))
        },
    ));
    found.extend(every_line(
        sources,
        |s| s.path.starts_with(".cargo/"),
        |source, n, line| {
            let keys = ["[source", "[registries", "[registry", "replace-with"];
            let named = keys.iter().any(|key| line.trim_start().starts_with(key));
            named.then(|| Violation::at(source, n, "a package source of one machine"))
        },
    ));
    found
}

fn is_comment(line: &str) -> bool {
    super::is_comment(line)
}

fn every_line(
    sources: &[Source],
    of: impl Fn(&Source) -> bool,
    rule: impl Fn(&Source, usize, &str) -> Option<Violation>,
) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| of(source)) {
        found.extend(source.text.lines().enumerate().filter_map(|(n, line)| rule(source, n + 1, line)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::{found, source};
    use super::*;

    #[test]
    fn a_file_that_does_not_say_what_it_owns_is_found() {
        let files = [source("a/src/x.rs", "use y;\n"), source("a/src/z.rs", "//! Owns z.\n")];
        assert_eq!(found(files_say_what_they_own, &files), [("a/src/x.rs".to_owned(), 1)]);
    }

    #[test]
    fn the_line_after_the_seven_hundredth_is_found() {
        let files = [source("a.rs", &"\n".repeat(700)), source("b.rs", &"\n".repeat(701))];
        assert_eq!(found(files_stay_short, &files), [("b.rs".to_owned(), 1)]);
    }

    #[test]
    fn empty_words_in_type_names_are_found_and_others_are_not() {
        let bad = "//! x\npub struct StockManager;\npub(crate) enum UtilKind {}\ntrait GateImpl {}\n";
        let good = "//! x\npub struct Implicit;\nuse tower::Service;\n// struct BadHelper\nimpl Layer<X> for Y {\n    type Service = Z;\n}\n";
        let files = [source("a.rs", bad), source("b.rs", good)];
        let lines: Vec<usize> = found(names_say_what_a_thing_is, &files).into_iter().map(|(_, n)| n).collect();
        assert_eq!(lines, [2, 3, 4]);
    }

    #[test]
    fn a_getter_with_a_prefix_is_found() {
        let text = concat!("//! x\npub fn get", "_price() {}\npub fn getter() {}\n");
        assert_eq!(found(getters_have_no_prefix, &[source("a.rs", text)]), [("a.rs".to_owned(), 2)]);
    }

    #[test]
    fn what_is_unfinished_or_switched_off_is_found() {
        for mark in [concat!("to", "do!()"), concat!("#[ig", "nore]"), concat!("// FIX", "ME")] {
            let text = format!("//! x\n{mark}\n");
            assert_eq!(found(nothing_is_unfinished, &[source("a.rs", &text)]).len(), 1, "{mark}");
        }
    }

    #[test]
    fn a_sleep_is_found_in_tests_and_allowed_elsewhere() {
        let sleep = concat!("tokio::time::", "sleep(x);");
        let plain = source("a/src/x.rs", &format!("//! x\n{sleep}\n"));
        let module = source("a/src/y.rs", &format!("//! x\n{sleep}\n#[cfg(test)]\nmod tests {{\n{sleep}\n}}\n"));
        let file = source("a/tests/z.rs", &format!("//! x\n{sleep}\n"));
        let places = found(tests_wait_for_conditions, &[plain, module, file]);
        assert_eq!(places, [("a/src/y.rs".to_owned(), 5), ("a/tests/z.rs".to_owned(), 2)]);
    }

    #[test]
    fn folders_and_package_sources_of_a_machine_are_found() {
        let folder = source("docs/a.md", concat!("see /ro", "ot/x\nsee ../wo", "rk/x and a/ho", "me/b\n"));
        assert_eq!(found(nothing_names_a_machine, &[folder]), [("docs/a.md".to_owned(), 1)]);
        let lock = source("Cargo.lock", "source = \"registry+https://example.org/index\"\n");
        let config = source(".cargo/config.toml", "[source.crates-io]\nreplace-with = \"x\"\n");
        assert_eq!(found(nothing_names_a_machine, &[lock, config]).len(), 3);
    }
}
