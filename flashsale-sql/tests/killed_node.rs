//! A node on SQLite that is killed: what it told is there.
#![cfg(feature = "sqlite")]

mod audit;
mod kill;
mod servers;
mod shared;

/// Is nothing but the process that the test below kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node() {
    kill::node().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_survives_kill9() {
    let this = std::env::current_exe().unwrap();
    let command = || {
        let mut command = std::process::Command::new(&this);
        command.args(["--exact", "the_node", "--nocapture"]);
        command
    };
    assert!(kill::kill_a_node(command, kill::CYCLES, |_, _| ()).await > 0);
}
