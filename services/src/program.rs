//! The programs that the servers are made of: where they are, which version, and how what is missing is installed.
//!
//! Owns the names of programs and of Debian packages. Does not start servers.

use std::path::{Path, PathBuf};

use crate::error::StartError;

/// Finds a program on the search path, or where Debian puts those that it keeps off it.
///
/// # Errors
/// [`StartError::Missing`], with the package that has it.
pub fn find(name: &str, package: &'static str) -> Result<PathBuf, StartError> {
    let missing = || StartError::Missing { program: name.to_owned(), package };
    if name.contains('/') {
        return is_program(Path::new(name)).then(|| PathBuf::from(name)).ok_or_else(missing);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|program| is_program(program)).ok_or_else(missing)
}

fn is_program(path: &Path) -> bool {
    path.is_file()
}
