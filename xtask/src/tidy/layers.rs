//! Rules about who may know whom: nouns in core, drivers outside of it, lints for every crate.

use super::{Source, Violation};

/// What each noun of core may import beside itself and the vocabulary.
const NOUNS: &[(&str, &[&str])] = &[
    ("queue", &[]),
    ("stock", &[]),
    ("payment", &[]),
    ("event", &[]),
    ("notice", &[]),
    ("coupon", &["stock", "event"]),
    ("order", &["stock", "payment", "event"]),
    ("waitlist", &["stock", "order", "event"]),
];

/// The words that every noun shares. They know each other and no noun, but for the settings, which hold the saga's policy.
const VOCABULARY: &[(&str, &[&str])] = &[
    ("config", &["order"]),
    ("discount", &[]),
    ("error", &[]),
    ("id", &[]),
    ("sale", &[]),
    ("time", &[]),
    ("trace", &[]),
    ("unit", &[]),
];

const CORE: &str = "flashsale-core/src/";

/// `queue`, `stock`, `payment`, `event` and `notice` import no noun, `coupon`, `order` and `waitlist` only what is listed; only the engine, the ports and
/// the memory backends see all.
pub(super) fn nouns_import_only_what_they_may(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in sources {
        let Some(inside) = source.path.strip_prefix(CORE) else { continue };
        let own = inside.split(['/', '.']).next().unwrap_or_default();
        let Some((_, allowed)) = NOUNS.iter().chain(VOCABULARY).find(|(name, _)| *name == own) else { continue };
        for (n, line) in source.code() {
            for (at, path) in line.match_indices("crate::") {
                let rest = &line[at + path.len()..];
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                let module = &rest[..end];
                let known = VOCABULARY.iter().any(|(name, _)| *name == module);
                if module != own && !known && !allowed.contains(&module) {
                    let says = match module.chars().next() {
                        Some(first) if first.is_lowercase() => format!("`{own}` may not import `{module}`"),
                        _ => format!("`{own}` must name the module that it imports from"),
                    };
                    found.push(Violation::at(source, n, says));
                }
            }
        }
    }
    found
}

/// Everything that core may depend on. A new name here is a decision: core has no driver and does no I/O.
const CORE_MAY: &[&str] = &[
    "async-trait",
    "futures-util",
    "hashbrown",
    "hmac",
    "jiff",
    "mockall",
    "rand",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
    "tokio",
    "tracing",
    "xxhash-rust",
];

/// Parts of tokio that do I/O.
const IO_FEATURES: &[&str] = &["\"net\"", "\"fs\"", "\"process\"", "\"signal\"", "\"full\"", "\"io-"];

/// Core depends on nothing that talks to the world.
pub(super) fn core_has_no_driver(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in sources {
        let core = source.path == "flashsale-core/Cargo.toml";
        if !core && source.path != "Cargo.toml" {
            continue;
        }
        let mut table = "";
        for (n, line) in source.text.lines().enumerate() {
            if line.starts_with('[') {
                table = line.trim_end();
            }
            let Some(name) = key(line) else { continue };
            // The workspace's own line for tokio is what core inherits.
            let inherited = !core && table == "[workspace.dependencies]" && name == "tokio";
            let own = core && table == "[dependencies]" && name == "tokio";
            let io = IO_FEATURES.iter().find(|feature| line.contains(**feature));
            if let (true, Some(feature)) = (inherited || own, io) {
                found.push(Violation::at(source, n + 1, format!("core would do I/O: tokio's {feature}")));
            }
            if core && table == "[dependencies]" && !CORE_MAY.contains(&name) {
                found.push(Violation::at(source, n + 1, format!("core may not depend on `{name}`")));
            }
        }
    }
    found
}

/// The name that a line of a manifest gives a value to.
pub(super) fn key(line: &str) -> Option<&str> {
    let name = line.split(['=', '.', ' ']).next()?;
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
    (plain && line.contains('=')).then_some(name)
}

/// Every crate has the workspace's lints, edition and license.
pub(super) fn crates_share_the_lints(sources: &[Source]) -> Vec<Violation> {
    let member = |source: &&Source| source.path.ends_with("/Cargo.toml");
    let mut found = Vec::new();
    for source in sources.iter().filter(member) {
        for line in ["[lints]\nworkspace = true", "edition.workspace = true", "license.workspace = true"] {
            if !source.text.contains(line) {
                found.push(Violation::at(source, 1, format!("lacks `{}`", line.replace('\n', " "))));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::{found, source};
    use super::*;

    #[test]
    fn a_noun_that_imports_a_foreign_one_is_found() {
        let text =
            "//! x\n// crate::order\nuse crate::order::Order;\nuse crate::id::OrderId;\nuse crate::stock::Hold;\n";
        let stock = source("flashsale-core/src/stock/mod.rs", text);
        assert_eq!(found(nouns_import_only_what_they_may, &[stock]), [("flashsale-core/src/stock/mod.rs".into(), 3)]);
        let engine = source("flashsale-core/src/engine/mod.rs", text);
        assert!(found(nouns_import_only_what_they_may, &[engine]).is_empty());
        let words = source("flashsale-core/src/id.rs", text);
        assert_eq!(found(nouns_import_only_what_they_may, &[words]).len(), 2);
    }

    #[test]
    fn a_noun_that_imports_through_the_root_is_found() {
        let text = "//! x\nuse crate::Order;\nuse crate::{Stock, Wallet};\n";
        let order = source("flashsale-core/src/coupon/mod.rs", text);
        assert_eq!(found(nouns_import_only_what_they_may, &[order]).len(), 2);
    }

    #[test]
    fn a_driver_in_core_is_found() {
        let manifest =
            "[dependencies]\nserde.workspace = true\nsqlx.workspace = true\n[dev-dependencies]\nhyper = \"1\"\n";
        let core = source("flashsale-core/Cargo.toml", manifest);
        assert_eq!(found(core_has_no_driver, &[core]), [("flashsale-core/Cargo.toml".into(), 3)]);
        let net = "[workspace.dependencies]\ntokio = { version = \"1\", features = [\"rt\", \"net\"] }\n";
        assert_eq!(found(core_has_no_driver, &[source("Cargo.toml", net)]), [("Cargo.toml".into(), 2)]);
    }

    #[test]
    fn a_crate_without_the_lints_is_found() {
        let bare = source("a/Cargo.toml", "[package]\nedition.workspace = true\nlicense.workspace = true\n");
        assert_eq!(found(crates_share_the_lints, &[bare]).len(), 1);
    }
}
