//! The servers of `cargo xtask services start` end with it, however it ends.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

struct Started {
    child: Child,
    port: u16,
    folder: PathBuf,
}

fn started() -> Started {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flashsale-services"));
    let mut child = command.arg("start").stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let said: Vec<String> = lines.map(Result::unwrap).take_while(|line| !line.starts_with("Ctrl-C")).collect();
    let said = said.join("\n");
    let after = |word: &str| said.split(word).nth(1).unwrap_or_else(|| panic!("{said}")).lines().next().unwrap();
    let port = after("--redis.url redis://127.0.0.1:").parse().unwrap();
    let folder = PathBuf::from(after(" in "));
    Started { child, port, folder }
}

impl Started {
    fn answers(&self) -> bool {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port, "PING"]).output().unwrap();
        output.stdout == b"PONG\n"
    }
}

#[test]
fn a_signal_stops_the_server_and_clears_its_folder() {
    let mut started = started();
    assert!(started.answers());
    let killed = Command::new("kill").arg(started.child.id().to_string()).status().unwrap();
    assert!(killed.success());
    assert!(started.child.wait().unwrap().success());
    assert!(!started.answers());
    assert!(!started.folder.exists());
}

#[test]
fn a_server_dies_with_its_starter_even_by_kill9() {
    let mut started = started();
    assert!(started.answers());
    started.child.kill().unwrap();
    started.child.wait().unwrap();
    let begun = Instant::now();
    while started.answers() {
        assert!(begun.elapsed() < LONG, "the server outlives its starter");
    }
    std::fs::remove_dir_all(&started.folder).unwrap();
}
