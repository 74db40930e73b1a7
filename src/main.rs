//! The command `lockstep`: one file a verb, each thin: arguments, a library call, text or JSON. Settings come from
//! flags, the environment or a file (`config`); exit codes are decided in one place (`exit`).

mod bench;
mod certs;
mod cli;
mod clock;
mod completions;
mod config;
mod connect;
mod console;
mod delete;
mod doctor;
mod drain;
mod emr;
mod exit;
mod explain;
mod extend;
mod faults;
mod follow;
mod guard;
mod journal;
mod lab;
mod output;
mod parent;
mod park;
mod pipeline;
mod producer;
mod queue;
mod reader;
mod receive;
mod redrive;
mod security;
mod send;
mod sender;
mod serve;
mod simulate;
mod tag;
mod tail;
mod verify;
mod worker;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

use cli::{Cli, LogFormat, Verb};

/// The broker's messages come from one thread and go in another, for hours: the system's allocator spends a fifth of the
/// broker's time on that, and of the client's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    match parse(&arguments).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::say(&format!("lockstep: {error:#}"));
            ExitCode::from(exit::code(&error))
        }
    }
}

fn parse(arguments: &[std::ffi::OsString]) -> anyhow::Result<Cli> {
    let command = config::configured(Cli::command(), arguments)?;
    // clap prints help and usage errors itself, and ends with 0 and 2.
    let matches = command.get_matches_from(arguments);
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    // With `global = true` a flag is known to the verb that it follows as well.
    let source = matches.subcommand().and_then(|(_, verb)| verb.value_source("endpoint"));
    let default = source.is_none_or(|source| source == clap::parser::ValueSource::DefaultValue);
    cli.global.endpoint_given = !default || cli.global.endpoint != cli::DEFAULT_ENDPOINT;
    Ok(cli)
}

fn run(cli: Cli) -> anyhow::Result<()> {
    if let Verb::Completions(args) = cli.verb {
        return completions::run(&args);
    }
    log_to_stderr(&cli.global.log, cli.global.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(dispatch(cli));
    // A blocking read of stdin may still be under way; nothing waits for it.
    runtime.shutdown_background();
    result
}

async fn dispatch(cli: Cli) -> anyhow::Result<()> {
    let global = cli.global;
    match cli.verb {
        Verb::Serve(args) => serve::run(args, &global).await,
        Verb::Queue(args) => queue::run(args, &global).await,
        Verb::Send(args) => send::run(args, &global).await,
        Verb::Receive(args) => receive::run(args, &global).await,
        Verb::Delete(args) => delete::run(args, &global).await,
        Verb::Extend(args) => extend::run(args, &global).await,
        Verb::Tag(args) => tag::run(args, &global).await,
        Verb::Tail(args) => tail::run(args, &global).await,
        Verb::Doctor(args) => doctor::run(args, &global).await,
        Verb::Drain(args) => drain::run(args, &global).await,
        Verb::Explain(args) => explain::run(args, &global).await,
        Verb::Redrive(args) => redrive::run(args, &global).await,
        Verb::Park(args) => park::park(args, &global).await,
        Verb::Unpark(args) => park::unpark(args, &global).await,
        Verb::Reader(args) => reader::run(args, &global).await,
        Verb::Bench(args) => Box::pin(bench::run(args, &global)).await,
        Verb::Certs(args) => certs::run(&args, &global),
        Verb::Clock(args) => clock::run(args, &global).await,
        Verb::Pipeline(args) => Box::pin(pipeline::run(args, &global)).await,
        Verb::Journal(args) => journal::run(args, &global).await,
        Verb::Lab(args) => Box::pin(lab::run(args, &global)).await,
        Verb::Verify(args) => verify::run(&args, &global),
        Verb::Simulate(args) => simulate::run(&args, &global),
        Verb::Emr(args) => Box::pin(emr::run(args, &global)).await,
        Verb::Worker(args) => worker::run(args, &global).await,
        Verb::Producer(args) => producer::run(args, &global).await,
        Verb::PipelineProducer(args) => sender::run(args).await,
        Verb::LabProducer(args) => lab::produce(args).await,
        Verb::LabMapper(args) => lab::map(&args),
        Verb::MapperGuard(args) => guard::run(&args),
        Verb::Completions(args) => completions::run(&args),
    }
}

fn log_to_stderr(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::builder()
        .parse(filter)
        .map_err(|error| exit::Usage(format!("--log {filter}: {error}")))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
    }
    Ok(())
}
