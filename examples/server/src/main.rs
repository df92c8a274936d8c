//! The command line of the server: `serve` (the default) and `config print`. Owns the process: arguments, log, signals.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use flashsale_server::config::{Config, ConfigError, FILE, Switch, TABLE, Values};

fn command() -> Command {
    let flags = TABLE.iter().map(|entry| {
        let help = format!("{} [default: {}]", entry.what, entry.default_shown());
        Arg::new(entry.key).long(entry.flag()).alias(entry.key).value_name("VALUE").help(help).global(true)
    });
    let file = Arg::new("config").long("config").value_name("FILE").value_parser(clap::value_parser!(PathBuf));
    Command::new("flashsale-server")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A complete first-come-first-served shop")
        .args(flags)
        .arg(file.help(format!("Read settings from FILE instead of {FILE}")).action(ArgAction::Set).global(true))
        .subcommand(Command::new("serve").about("Serve (the default)"))
        .subcommand(
            Command::new("config")
                .about("The settings")
                .subcommand_required(true)
                .subcommand(Command::new("print").about("Show the effective values and where they come from")),
        )
        .subcommand(Command::new("openapi").about("Print the document of the API"))
}

fn values(arguments: &ArgMatches) -> Result<Values, ConfigError> {
    let flags = TABLE.iter().filter_map(|entry| {
        let value = arguments.get_one::<String>(entry.key)?;
        Some((entry.flag(), value.clone()))
    });
    let file = arguments.get_one::<PathBuf>("config").map(PathBuf::as_path);
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Values::gather(file, environment, flags)
}

fn main() -> ExitCode {
    let arguments = command().get_matches();
    let done = match arguments.subcommand() {
        Some(("config", _)) => values(&arguments).and_then(|values| {
            values.config()?;
            say(&values.shown());
            Ok(ExitCode::SUCCESS)
        }),
        Some(("openapi", _)) => {
            say(&flashsale_server::openapi().to_pretty_json().unwrap_or_default());
            say("\n");
            Ok(ExitCode::SUCCESS)
        }
        _ => values(&arguments).and_then(|values| Ok(serve(values.config()?))),
    };
    done.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::from(2)
    })
}

/// Writes to standard output at once; whoever started us may be waiting for it.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // A reader that is gone does not hear it; serving goes on.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn serve(config: Config) -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.telemetry_log);
    let filter = match filter {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("telemetry.log: {error}");
            return ExitCode::from(2);
        }
    };
    let color = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(color).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(config)),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(3)
        }
    }
}

async fn run(config: Config) -> ExitCode {
    let (members, clock, database) = (config.dev_members, config.dev_clock, config.sql_url.clone());
    let running = match flashsale_server::start(config).await {
        Ok(running) => running,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(3);
        }
    };
    let url = format!("http://{}", running.address());
    say(&format!("listening on {url}\nopen {url}/ in a browser; {url}/docs describes the API\n"));
    say(&format!("the ledger is {database:?}\n"));
    if let Some(error) = running.gate_is_silent() {
        tracing::error!(%error, "REDIS DOES NOT ANSWER: nothing is sold until it does");
        say("REDIS DOES NOT ANSWER: purchases are answered 503 until it does\n");
    }
    for (name, switch, means) in [
        ("dev.members", members, "anybody can be any member, and anybody can write down sales and campaigns"),
        ("dev.clock", clock, "anybody can move the clock"),
    ] {
        if switch == Switch::On {
            tracing::warn!("{name} is ON: {means}. Never on a machine that others can reach");
            say(&format!("DEVELOPMENT SWITCH {name} IS ON: {means}\n"));
        }
    }
    told_to_stop().await;
    say("stopping: what is on its way is answered\n");
    running.stop().await;
    ExitCode::SUCCESS
}

/// Ends at SIGINT or SIGTERM.
async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                terminate.recv().await;
            }
            Err(error) => {
                tracing::warn!(%error, "SIGTERM is not heard");
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = terminate => {}
        heard = tokio::signal::ctrl_c() => {
            if let Err(error) = heard {
                tracing::warn!(%error, "SIGINT is not heard");
                std::future::pending::<()>().await;
            }
        }
    }
}
