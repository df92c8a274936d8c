//! The stable words of the project: read from the sources of core, written as `docs/reference/errors.md`.
//!
//! Owns the reading of `fn code` and of the docs beside the variants. It reads text, not types: it knows the shape in which
//! this project writes such a method, and the tests say which.

use std::fmt::Write as _;

use crate::tidy::Source;

/// Where the generated page is.
pub(crate) const PAGE: &str = "docs/reference/errors.md";

/// The words of one enum.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// The type that has the method.
    pub(crate) of: String,
    /// Each word with what it says.
    pub(crate) words: Vec<(String, String)>,
}

/// Reads every `fn code` of core, in order of path.
pub(crate) fn read(sources: &[Source]) -> Vec<Words> {
    let core: Vec<&Source> = sources.iter().filter(|s| s.path.starts_with("flashsale-core/src/")).collect();
    let docs: Vec<Variant> = core.iter().flat_map(|source| variants(&source.text)).collect();
    core.iter().flat_map(|source| methods(&source.text, &docs)).filter(|found| !found.words.is_empty()).collect()
}

/// The page, as it must stand in the repository.
pub(crate) fn page(all: &[Words]) -> String {
    let mut page = String::from(
        "# Stable words\n\nEvery refusal, state and reason has a word that does not change: it stands in answers, events, metrics and rows. \
         This page is generated from the sources of `flashsale-core` by `cargo xtask tidy --write`; `cargo xtask tidy` compares it.\n\
         Within a table the order is that of the code: where several refusals apply, the first is told.\n",
    );
    for words in all {
        let _ = write!(page, "\n## `{}`\n\n| word | says |\n|---|---|\n", words.of);
        for (word, says) in &words.words {
            let _ = writeln!(page, "| `{word}` | {} |", says.replace('|', "\\|"));
        }
    }
    page
}

/// A variant of an enum and the first line of its documentation.
struct Variant {
    of: String,
    name: String,
    says: String,
}

fn variants(text: &str) -> Vec<Variant> {
    let mut found = Vec::new();
    let mut of = None;
    let mut says = None;
    for line in text.lines() {
        let inner = line.trim_start();
        if let Some(name) = line.strip_prefix("pub enum ") {
            of = Some(word_at(name));
        } else if line == "}" {
            of = None;
        } else if let (Some(of), true) = (&of, line.starts_with("    ") && !line.starts_with("     ")) {
            if let Some(doc) = inner.strip_prefix("/// ") {
                says.get_or_insert_with(|| plain(doc));
            } else if inner.starts_with(char::is_uppercase) {
                let says = says.take().unwrap_or_default();
                found.push(Variant { of: of.clone(), name: word_at(inner), says });
            } else if !inner.starts_with('#') && !inner.starts_with("///") {
                says = None;
            }
        }
    }
    found
}

fn methods(text: &str, docs: &[Variant]) -> Vec<Words> {
    let mut found = Vec::new();
    let mut of = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("impl ") {
            of = word_at(rest);
        }
        if line.starts_with("    pub fn code(") {
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "    }").collect();
            found.push(Words { of: of.clone(), words: arms(&of, &body.join("\n"), docs) });
        }
    }
    found
}

/// The arms of a `match` whose value is a word. An arm that asks another type for its word has none here.
fn arms(of: &str, body: &str, docs: &[Variant]) -> Vec<(String, String)> {
    let pieces: Vec<&str> = body.split("=>").collect();
    let mut words = Vec::new();
    for pair in pieces.windows(2) {
        let Some(word) = literal(pair[1]) else { continue };
        let says = names(pair[0])
            .iter()
            .rev()
            .find_map(|(kind, name)| {
                docs.iter().find(|v| v.name == *name && (v.of == *kind || (*kind == "Self" && v.of == of)))
            })
            .map_or_else(String::new, |variant| variant.says.clone());
        words.push((word, says));
    }
    words
}

/// The first text in quotes on the first line.
fn literal(text: &str) -> Option<String> {
    let line = text.lines().next()?;
    line.split('"').nth(1).map(str::to_owned)
}

/// All `Kind::Name` in a pattern.
fn names(pattern: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for (at, _) in pattern.match_indices("::") {
        let kind = pattern[..at].rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let name = pattern[at + 2..].split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        found.push((kind, name));
    }
    found
}

fn word_at(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Rustdoc's links mean nothing on a page of their own.
fn plain(doc: &str) -> String {
    doc.replace("[`", "`").replace("`]", "`").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
pub enum Sorry {
    /// Nothing is left of [`Item`].
    /// More about it.
    #[error("gone")]
    Gone {
        /// Which.
        item: u8,
    },
    /// Another says it.
    Inner(Other),
    /// Never twice.
    Twice,
}

impl Sorry {
    /// The word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Gone { .. } | Self::Twice => "gone",
            Self::Inner(Other::Late) => "late",
            Self::Inner(other) => other.code(),
        }
    }
}

pub enum Other {
    /// Too late.
    Late,
}
"#;

    fn core(text: &str) -> Vec<Source> {
        vec![Source { path: "flashsale-core/src/x.rs".into(), text: text.into() }]
    }

    #[test]
    fn each_word_is_read_with_the_doc_of_its_variant() {
        let all = read(&core(TEXT));
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].of, "Sorry");
        let words: Vec<(&str, &str)> = all[0].words.iter().map(|(w, s)| (w.as_str(), s.as_str())).collect();
        assert_eq!(words, [("gone", "Never twice."), ("late", "Too late.")]);
    }

    #[test]
    fn the_page_has_a_row_for_each_word() {
        let page = page(&read(&core(TEXT)));
        assert!(page.contains("## `Sorry`"));
        assert!(page.contains("| `late` | Too late. |"), "{page}");
    }
}
