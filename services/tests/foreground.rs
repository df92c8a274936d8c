//! The servers of `cargo xtask services start` end with it, however it ends.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

/// The program, with the port and the folder of each server.
fn started(names: &[&str]) -> (Child, Vec<(u16, PathBuf)>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flashsale-services"));
    let mut child = command.arg("start").args(names).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let said: Vec<String> = lines.map(Result::unwrap).take_while(|line| !line.starts_with("Ctrl-C")).collect();
    let place = |line: &String| {
        let (port, rest) = line.split_once("port ")?.1.split_once(',')?;
        Some((port.parse().ok()?, PathBuf::from(rest.split_once(" in ")?.1)))
    };
    let places: Vec<(u16, PathBuf)> = said.iter().filter_map(place).collect();
    assert_eq!(places.len(), names.len(), "{said:?}");
    assert!(places.iter().all(|(port, folder)| answers(*port) && folder.is_dir()), "{said:?}");
    (child, places)
}

fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn gone(folder: &Path) -> bool {
    std::fs::remove_dir_all(folder).is_ok() || !folder.exists()
}

#[test]
fn a_signal_stops_the_servers_and_clears_their_folders() {
    let (mut child, places) = started(&["redis", "postgres", "mariadb", "kafka"]);
    let killed = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(killed.success());
    assert!(child.wait().unwrap().success());
    for (port, folder) in places {
        assert!(!answers(port));
        assert!(!folder.exists());
    }
}

#[test]
fn servers_die_with_their_starter_even_by_kill9() {
    let (mut child, places) = started(&["redis", "postgres", "mariadb"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let begun = Instant::now();
    for (port, folder) in places {
        while answers(port) || !gone(&folder) {
            assert!(begun.elapsed() < LONG, "the server on port {port} outlives its starter");
        }
    }
}
