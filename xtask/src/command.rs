//! Starting other programs: cargo and what it built. Does not own what is started, nor in which order.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// Runs cargo in `root` and waits for it.
///
/// # Errors
/// A sentence with the command line, if it cannot be started or fails.
pub(crate) fn cargo(root: &Path, args: &[&str], env: &[(&str, &str)]) -> Result<(), String> {
    let mut command = start(root, args);
    command.envs(env.iter().copied());
    finish(command, &format!("cargo {}", args.join(" ")))
}

fn start(root: &Path, args: &[&str]) -> Command {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(program);
    command.args(args).current_dir(root);
    command
}

/// Runs a program that cargo built, in a folder, and waits for it.
///
/// # Errors
/// As [`cargo`].
pub(crate) fn program(path: &Path, args: &[&str], folder: &Path) -> Result<(), String> {
    let mut command = Command::new(path);
    // Whoever is run here was built with what it needs; it must not think that cargo runs it, and build again.
    command.args(args).current_dir(folder).env_remove("CARGO");
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    finish(command, &format!("{name} {}", args.join(" ")))
}

fn finish(mut command: Command, shown: &str) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{}` failed: {status}", shown.trim_end())),
        Err(error) => Err(format!("`{}` could not be started: {error}", shown.trim_end())),
    }
}

/// A release program of the workspace, run with a user's own arguments.
pub(crate) struct Cargo {
    args: Vec<String>,
}

impl Cargo {
    /// The only program of a package, as tests build it.
    pub(crate) fn plain(package: &str) -> Self {
        Self { args: ["run", "--quiet", "--locked", "-p", package].map(str::to_owned).to_vec() }
    }

    /// The only program of a package.
    pub(crate) fn release(package: &str) -> Self {
        Self { args: ["run", "--release", "--locked", "-p", package].map(str::to_owned).to_vec() }
    }

    /// One of its examples instead.
    pub(crate) fn example(mut self, name: &str) -> Self {
        self.args.extend(["--example".to_owned(), name.to_owned()]);
        self
    }

    /// Runs it.
    ///
    /// # Errors
    /// As [`cargo`].
    pub(crate) fn run(self, root: &Path, passed_on: &[String]) -> Result<(), String> {
        cargo(root, &self.line(passed_on), &[])
    }

    /// Becomes it, so that a signal to this process reaches it; comes back only to say why it could not.
    pub(crate) fn become_it(self, root: &Path, passed_on: &[String]) -> String {
        let error = start(root, &self.line(passed_on)).exec();
        format!("`cargo {}` could not be started: {error}", self.args.join(" "))
    }

    fn line<'a>(&'a self, passed_on: &'a [String]) -> Vec<&'a str> {
        self.args.iter().map(String::as_str).chain(["--"]).chain(passed_on.iter().map(String::as_str)).collect()
    }
}
