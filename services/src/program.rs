//! The programs that the servers are made of: where they are, which version, and how what is missing is installed.
//!
//! Owns the names of programs and of Debian packages. Does not start servers.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::StartError;

/// A program that a server or its tests need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// Its name on the search path.
    pub name: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
    /// What it is needed for.
    pub purpose: &'static str,
}

/// Everything that tests need beside the toolchain.
pub const PROGRAMS: &[Program] = &[
    Program { name: "redis-server", package: "redis-server", purpose: "Redis, its cluster and its Sentinels" },
    Program { name: "redis-cli", package: "redis-tools", purpose: "a look from outside, in tests and by hand" },
    Program { name: "postgres", package: "postgresql", purpose: "PostgreSQL" },
    Program { name: "mariadbd", package: "mariadb-server", purpose: "MariaDB" },
    Program { name: "java", package: "openjdk-17-jre-headless", purpose: "Apache Kafka" },
    Program { name: "mvn", package: "maven", purpose: "fetching Apache Kafka" },
    Program { name: "openssl", package: "openssl", purpose: "certificates for one run" },
    Program { name: "chromium", package: "chromium", purpose: "a look at pages, as members see them" },
    Program { name: "setpriv", package: "util-linux", purpose: "no server outlives its test" },
];

/// Where a package would start a server of its own as soon as it is installed.
const SYSTEMD: &str = "/run/systemd/system";

impl Program {
    /// What systemd would start when the package is installed.
    fn unit(&self) -> Option<&'static str> {
        match self.package {
            "redis-server" => Some("redis-server"),
            "postgresql" => Some("postgresql"),
            "mariadb-server" => Some("mariadb"),
            _ => None,
        }
    }

    /// Says which version is there, or `missing`.
    #[must_use]
    pub fn version(&self) -> String {
        let Ok(path) = find(self.name, self.package) else { return "missing".to_owned() };
        let arguments: &[&str] = match self.name {
            "openssl" => &["version"],
            // Otherwise in colours; it begins with the end of them all the same.
            "mvn" => &["-B", "--version"],
            _ => &["--version"],
        };
        let said = Command::new(path).args(arguments).output();
        let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        // What follows says how it was built.
        let first = said.lines().next().unwrap_or("there, of unknown version").trim_start_matches("\u{1b}[0m");
        first.split([';', '(']).next().unwrap_or(first).split(" sha=").next().unwrap_or(first).trim().to_owned()
    }
}

/// Finds a program on the search path, or where Debian puts those that it keeps off it.
///
/// # Errors
/// [`StartError::Missing`], with the package that has it.
pub fn find(name: &str, package: &'static str) -> Result<PathBuf, StartError> {
    let missing = || StartError::Missing { program: name.to_owned(), package };
    if name.contains('/') {
        return Path::new(name).is_file().then(|| PathBuf::from(name)).ok_or_else(missing);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.chain(postgres()).map(|folder| folder.join(name)).find(|program| program.is_file()).ok_or_else(missing)
}

/// The folders of the installed versions of PostgreSQL, the newest first.
fn postgres() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|version| Some((version.file_name().to_str()?.parse().ok()?, version.path().join("bin"))))
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

/// Gives a line for each program: its name, its version or `missing`, and what it is for.
#[must_use]
pub fn table(programs: &[Program]) -> String {
    let mut table = String::new();
    for program in programs {
        let _ = writeln!(table, "{:<14} {} ({})", program.name, program.version(), program.purpose);
    }
    table
}

/// Installs the packages of those programs that are missing; does nothing if all are there.
///
/// The servers that Debian's packages would start on their usual ports stay off: in a container, where a package asks for
/// the run level, it is told that of a single user. Under systemd a package does not ask, so nothing is installed there, unless
/// `CI` is set: a machine that lives for one run may start what it likes.
///
/// # Errors
/// The exact command for a person to run, where this one cannot.
pub fn install(programs: &[Program]) -> Result<(), String> {
    let missing: Vec<&Program> =
        programs.iter().filter(|program| find(program.name, program.package).is_err()).collect();
    let Some(arguments) = arguments(&missing) else { return Ok(()) };
    let names: Vec<&str> = missing.iter().map(|program| program.name).collect();
    let by_hand = |why: &str| {
        let units = missing.iter().filter(|_| Path::new(SYSTEMD).exists()).filter_map(|program| program.unit());
        let switch_off: String = units.map(|unit| format!(" && systemctl disable --now {unit}")).collect();
        format!("{} missing, and {why}. Run as root: apt-get {}{switch_off}", names.join(", "), arguments.join(" "))
    };
    if find("apt-get", "apt").is_err() {
        return Err(by_hand("there is no apt-get; other systems have packages of similar names"));
    }
    if Path::new(SYSTEMD).exists() && std::env::var_os("CI").is_none() {
        return Err(by_hand("the package would start a server of its own on this machine"));
    }
    let root = rustix::process::geteuid().is_root();
    if !root && find("sudo", "sudo").is_err() {
        return Err(by_hand("this is not root and there is no sudo"));
    }
    // Package lists may be absent or older than the packages.
    if apt_get(root, &arguments) || (apt_get(root, &["update"]) && apt_get(root, &arguments)) {
        return Ok(());
    }
    Err(by_hand("apt-get failed"))
}

/// What apt-get is told, if anything is to be installed.
fn arguments(missing: &[&Program]) -> Option<Vec<&'static str>> {
    let mut packages: Vec<&str> = missing.iter().map(|program| program.package).collect();
    packages.sort_unstable();
    packages.dedup();
    (!packages.is_empty()).then(|| ["install", "-y", "--no-install-recommends"].into_iter().chain(packages).collect())
}

fn apt_get(root: bool, arguments: &[&str]) -> bool {
    let mut command = if root { Command::new("env") } else { Command::new("sudo") };
    if !root {
        command.arg("env");
    }
    command.args(["RUNLEVEL=1", "DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(arguments);
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_installed_and_each_package_once() {
        let [redis, cli, .., openssl, _, _] = PROGRAMS else { panic!("{PROGRAMS:?}") };
        assert_eq!(arguments(&[]), None);
        let all = arguments(&[redis, openssl, cli, openssl]).unwrap();
        let packages = ["install", "-y", "--no-install-recommends", "openssl", "redis-server", "redis-tools"];
        assert_eq!(all, packages);
        assert_eq!(install(&[]), Ok(()));
    }

    #[test]
    fn a_missing_program_is_listed_as_missing() {
        let nobody = Program { name: "program-of-nobody", package: "nothing", purpose: "a test" };
        assert_eq!(table(&[nobody]), "program-of-nobody missing (a test)\n");
        let there = table(PROGRAMS);
        assert!(there.contains("Redis server v="), "{there}");
        assert!(!there.contains("missing"), "{there}");
    }
}
