//! `cargo xtask tidy`: the rules of the house that no compiler knows.
//!
//! Owns what is read and how violations are told. A rule is a plain function from the sources to violations; each has a
//! test that plants one. Formatting, warnings and broken links in rustdoc are other steps' business.

mod layers;
mod pages;
mod promises;
mod text;

use std::fmt;
use std::path::Path;

use crate::words;

/// A text file of the repository; the path is relative, with `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether a line of this file is test code: a file of tests, the testkit, or what follows `mod tests`.
    fn is_test(&self, line: usize) -> bool {
        self.path.contains("/tests/")
            || self.path.starts_with("flashsale-testkit/src/")
            || self.test_module().is_some_and(|first| line >= first)
    }

    /// The number of the line where the module of tests begins, from 1.
    fn test_module(&self) -> Option<usize> {
        let mut marked = false;
        for (n, line) in self.text.lines().enumerate() {
            if marked && line.starts_with("mod ") {
                return Some(n + 1);
            }
            marked = line.starts_with("#[cfg(test)]") || (marked && line.starts_with('#'));
        }
        None
    }

    /// The lines that are not comments, with their numbers from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(n, line)| (n + 1, line)).filter(|(_, line)| !is_comment(line))
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// A rule that is broken, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    path: String,
    line: usize,
    says: String,
}

impl Violation {
    fn at(source: &Source, line: usize, says: impl Into<String>) -> Self {
        Self { path: source.path.clone(), line, says: says.into() }
    }

    fn of(path: &str, says: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: 1, says: says.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.says)
    }
}

type Rule = fn(&[Source]) -> Vec<Violation>;

const RULES: &[Rule] = &[
    text::files_say_what_they_own,
    text::files_stay_short,
    text::names_say_what_a_thing_is,
    text::getters_have_no_prefix,
    text::nothing_is_unfinished,
    text::tests_wait_for_conditions,
    text::nothing_names_a_machine,
    layers::nouns_import_only_what_they_may,
    layers::core_has_no_driver,
    layers::crates_share_the_lints,
    promises::promises_are_told_kept_and_tested,
    pages::words_are_on_their_page,
    pages::examples_stay_small,
    pages::links_lead_somewhere,
    pages::dependencies_have_a_reason,
];

/// Checks all rules, or first writes the generated page.
///
/// # Errors
/// How many violations were printed.
pub(crate) fn run(root: &Path, write: bool) -> Result<(), String> {
    let sources = read(root)?;
    if write {
        let page = words::page(&words::read(&sources));
        std::fs::write(root.join(words::PAGE), page).map_err(|error| format!("{}: {error}", words::PAGE))?;
        return run(root, false);
    }
    let violations = check(&sources);
    for violation in &violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => Ok(()),
        n => Err(format!("{n} violations of the rules of the house")),
    }
}

fn check(sources: &[Source]) -> Vec<Violation> {
    RULES.iter().flat_map(|rule| rule(sources)).collect()
}

/// Folders that hold nothing of the project's own.
const FOREIGN: &[&str] = &["target", ".git", "flashsale-data"];
/// Kinds of files that are read.
const KINDS: &[&str] = &["rs", "md", "toml", "lock", "sql", "html", "css", "js", "sh", "yml", "yaml", "json", "lua"];

/// Reads every text file of the repository, in order of path.
fn read(root: &Path) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let told = |error: std::io::Error| format!("{}: {error}", folder.display());
        for entry in std::fs::read_dir(&folder).map_err(told)? {
            let path = entry.map_err(told)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !FOREIGN.contains(&name.as_str()) {
                    folders.push(path);
                }
                continue;
            }
            let kind = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            if !KINDS.contains(&kind.as_str()) && name != "run" {
                continue;
            }
            let relative = path.strip_prefix(root).unwrap_or(&path);
            let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
            let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", parts.join("/")))?;
            sources.push(Source { path: parts.join("/"), text });
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A file for a rule's test.
    pub(crate) fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    /// Where and in which line a rule finds something.
    pub(crate) fn found(rule: Rule, sources: &[Source]) -> Vec<(String, usize)> {
        rule(sources).into_iter().map(|v| (v.path, v.line)).collect()
    }

    #[test]
    fn this_repository_is_tidy() {
        let mut root = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        root.pop();
        let violations = check(&read(&root).unwrap());
        let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "{}", lines.join("\n"));
    }

    #[test]
    fn tests_begin_where_their_module_does() {
        let file = source("a/src/x.rs", "//! x\n#[cfg(test)]\nuse y;\nfn a() {}\n#[cfg(test)]\nmod tests {\n}\n");
        assert_eq!(file.test_module(), Some(6));
        assert!(!file.is_test(5));
        assert!(file.is_test(6));
    }
}
