//! Rules about documents and examples: what is stated must be so.

use super::{Source, Violation, layers};
use crate::words;

/// The page of stable words is the one that the sources give.
pub(super) fn words_are_on_their_page(sources: &[Source]) -> Vec<Violation> {
    let all = words::read(sources);
    if all.is_empty() {
        return Vec::new();
    }
    let page = sources.iter().find(|source| source.path == words::PAGE);
    let there = page.map_or("", |page| page.text.as_str());
    let mut found = Vec::new();
    for (word, _) in all.iter().flat_map(|words| &words.words) {
        if !there.contains(&format!("`{word}`")) {
            found.push(Violation::of(words::PAGE, format!("lacks `{word}`; `cargo xtask tidy --write` adds it")));
        }
    }
    if found.is_empty() && there != words::page(&all) {
        found.push(Violation::of(words::PAGE, "differs from the sources; run `cargo xtask tidy --write`"));
    }
    found
}

/// The examples that promise to be readable at a glance, and the bound.
const SMALL: &[&str] = &["quickstart", "units-alone", "coupons-alone", "room-alone"];
const SMALL_MAX: usize = 90;

/// The small examples have at most 90 lines of code.
pub(super) fn examples_stay_small(sources: &[Source]) -> Vec<Violation> {
    let small = |source: &&Source| SMALL.iter().any(|name| source.path == format!("examples/{name}/src/main.rs"));
    let lines = |source: &Source| source.code().filter(|(_, line)| !line.trim().is_empty()).count();
    let long = sources.iter().filter(small).filter(|source| lines(source) > SMALL_MAX);
    long.map(|source| Violation::at(source, 1, format!("{} lines of code, at most {SMALL_MAX}", lines(source))))
        .collect()
}

/// Every relative link of a document leads to a file or folder of the repository.
pub(super) fn links_lead_somewhere(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for page in sources.iter().filter(|source| source.path.ends_with(".md")) {
        let mut fenced = false;
        for (n, line) in page.text.lines().enumerate() {
            fenced ^= line.trim_start().starts_with("```");
            let targets = line.split("](").skip(1).filter(|_| !fenced).filter_map(|rest| rest.split_once(')'));
            for (target, _) in targets {
                let path = target.split('#').next().unwrap_or_default();
                if path.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                if !leads(sources, &page.path, path) {
                    found.push(Violation::at(page, n + 1, format!("the link `{target}` leads nowhere")));
                }
            }
        }
    }
    found
}

/// Files without a kind that `read` knows, to which a document may link.
const PLAIN: &[&str] = &["LICENSE-MIT", "LICENSE-APACHE"];

fn leads(sources: &[Source], page: &str, target: &str) -> bool {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return false;
                }
            }
            name => parts.push(name),
        }
    }
    let path = parts.join("/");
    let folder = format!("{path}/");
    PLAIN.contains(&path.as_str()) || sources.iter().any(|s| s.path == path || s.path.starts_with(&folder))
}

/// Where the reasons are.
const REASONS: &str = "docs/design/dependencies.md";

/// Every dependency of the workspace has a reason and is taken by a member, and every reason has a dependency.
pub(super) fn dependencies_have_a_reason(sources: &[Source]) -> Vec<Violation> {
    let Some(manifest) = sources.iter().find(|source| source.path == "Cargo.toml") else { return Vec::new() };
    let reasons = sources.iter().find(|source| source.path == REASONS).map_or("", |page| page.text.as_str());
    let mut table = "";
    let mut taken = Vec::new();
    for line in manifest.text.lines() {
        if line.starts_with('[') {
            table = line;
        }
        if table == "[workspace.dependencies]"
            && let Some(name) = layers::key(line)
            && !name.starts_with("flashsale")
        {
            taken.push(name);
        }
    }
    let reasoned: Vec<&str> =
        reasons.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name)).collect();
    let manifests: Vec<&Source> = sources.iter().filter(|source| source.path.ends_with("/Cargo.toml")).collect();
    let used = |name: &str| manifests.iter().any(|m| m.text.lines().any(|line| layers::key(line) == Some(name)));
    let idle = taken.iter().filter(|name| !used(name));
    let lacking = taken.iter().filter(|name| !reasoned.contains(name));
    let gone = reasoned.iter().filter(|name| !taken.contains(name));
    lacking
        .map(|name| Violation::of(REASONS, format!("gives no reason for `{name}`")))
        .chain(gone.map(|name| Violation::of(REASONS, format!("`{name}` is no dependency any more"))))
        .chain(idle.map(|name| Violation::of("Cargo.toml", format!("no member takes `{name}`"))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{found, source};
    use super::*;

    const CODE: &str = "impl No {\n    pub fn code(&self) -> &'static str {\n        match self {\n            Self::A => \"gone\",\n        }\n    }\n}\n";

    #[test]
    fn a_word_that_is_not_on_the_page_is_found() {
        let core = source("flashsale-core/src/x.rs", CODE);
        assert_eq!(found(words_are_on_their_page, std::slice::from_ref(&core)).len(), 1);
        let page = source(words::PAGE, &words::page(&words::read(std::slice::from_ref(&core))));
        assert!(found(words_are_on_their_page, &[core.clone(), page.clone()]).is_empty());
        let older = source(words::PAGE, &format!("{}| `old` | x |\n", page.text));
        assert_eq!(found(words_are_on_their_page, &[core, older]).len(), 1);
    }

    #[test]
    fn an_example_with_a_line_too_many_is_found() {
        let lines = |n: usize| format!("//! x\n\n// why\n{}", "f();\n".repeat(n));
        let fits = source("examples/quickstart/src/main.rs", &lines(90));
        let long = source("examples/units-alone/src/main.rs", &lines(91));
        let server = source("examples/server/src/main.rs", &lines(200));
        assert_eq!(found(examples_stay_small, &[fits, long, server]), [("examples/units-alone/src/main.rs".into(), 1)]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let text = "[a](../README.md#top) [b](design/x.md) [c](https://example.org/)\n[d](nowhere.md)\n```\n[e](code.md)\n```\n";
        let files = [source("README.md", ""), source("docs/design/x.md", ""), source("docs/a.md", text)];
        assert_eq!(found(links_lead_somewhere, &files), [("docs/a.md".into(), 2)]);
    }

    #[test]
    fn a_dependency_without_a_reason_is_found_and_a_reason_without_one() {
        let manifest = "[workspace.dependencies]\nflashsale-core = { path = \"x\" }\nserde = \"1\"\ntokio = \"1\"\n";
        let reasons = "| crate | reason |\n|---|---|\n| `serde` | rows |\n| `gone` | was nice |\n";
        let member = source("a/Cargo.toml", "[dependencies]\nserde.workspace = true\n");
        let files = [source("Cargo.toml", manifest), source(REASONS, reasons), member];
        let says: Vec<String> = dependencies_have_a_reason(&files).into_iter().map(|v| v.says).collect();
        let all = ["gives no reason for `tokio`", "`gone` is no dependency any more", "no member takes `tokio`"];
        assert_eq!(says, all);
    }
}
