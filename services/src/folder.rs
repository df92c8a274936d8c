//! A server's folder, and the user that it belongs to: PostgreSQL and MariaDB refuse to run as root.
//!
//! Owns who runs a server and the programs that prepare its folder. Where the starter is not root, everything is its own.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::StartError;
use crate::process::Launch;

/// A folder of its own, with the user that a server in it runs as.
#[derive(Debug)]
pub(crate) struct Folder {
    place: TempDir,
    user: Option<String>,
}

impl Folder {
    /// Makes a folder; if this is root, it belongs to `user`, which the server's Debian package brings.
    pub(crate) fn make(prefix: &str, user: &str) -> Result<Self, StartError> {
        let place = tempfile::Builder::new().prefix(prefix).tempdir().map_err(StartError::system("a folder"))?;
        if !rustix::process::geteuid().is_root() {
            return Ok(Self { place, user: None });
        }
        let known = std::fs::read_to_string("/etc/passwd").map_err(StartError::system("the list of users"))?;
        let (id, group) = ids(&known, user).ok_or_else(|| StartError::System {
            what: format!("the user `{user}`, as which the server runs where root starts it"),
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        std::os::unix::fs::chown(place.path(), Some(id), Some(group)).map_err(StartError::system("giving a folder"))?;
        Ok(Self { place, user: Some(user.to_owned()) })
    }

    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    /// A program in this folder, as its user.
    pub(crate) fn launch(&self, program: PathBuf, args: Vec<String>) -> Launch {
        Launch { program, args, folder: self.path().to_path_buf(), user: self.user.clone() }
    }

    /// Runs a program that prepares the folder, and waits for it.
    pub(crate) fn prepare(&self, program: PathBuf, args: Vec<String>) -> Result<(), StartError> {
        let name = program.display().to_string();
        let launch = self.launch(program, args);
        let status = launch.command()?.status().map_err(StartError::system(format!("starting {name}")))?;
        let ended = || StartError::Ended { program: name, said: launch.said() };
        status.success().then_some(()).ok_or_else(ended)
    }
}

/// The ids of a user and its group in the text of `/etc/passwd`.
fn ids(known: &str, user: &str) -> Option<(u32, u32)> {
    let line = known.lines().find(|line| line.split(':').next() == Some(user))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let known = "post:x:1:2::/:/bin/sh\npostgres:x:101:104::/:/bin/sh\nbroken:x\n";
        assert_eq!(ids(known, "postgres"), Some((101, 104)));
        assert_eq!(ids(known, "postgre"), None);
        assert_eq!(ids(known, "broken"), None);
    }
}
