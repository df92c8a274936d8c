//! Why a server is not there. Owns the sentences; what is done about them is the caller's.

use std::io;

/// Says why a server could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The program is not installed. A test that needs it fails; it is never skipped.
    #[error("{program} is missing: run cargo xtask services install (Debian: apt-get install -y {package})")]
    Missing {
        /// The program that was looked for.
        program: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// The server ended before it answered.
    #[error("{program} ended before it answered; it said:\n{said}")]
    Ended {
        /// The program.
        program: String,
        /// The end of its log.
        said: String,
    },
    /// The server runs and did not become ready in time.
    #[error("{program} was not ready in time: {awaited}; it said:\n{said}")]
    Late {
        /// The program.
        program: String,
        /// What was waited for.
        awaited: String,
        /// The end of its log.
        said: String,
    },
    /// The operating system refused something: a folder, a file, a process.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

impl StartError {
    /// Makes the error of a system call that was tried for `what`.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}
