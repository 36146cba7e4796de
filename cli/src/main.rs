//! The program `nearfar`: parse, do, say.

use std::process::ExitCode;

use clap::Parser;
use nearfar::args::Cli;
use nearfar::cmd;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cmd::run(&cli) {
        Ok(answer) => {
            if cli.common.json {
                println!("{}", answer.json);
            } else {
                print!("{}", answer.text);
            }
            ExitCode::SUCCESS
        }
        // The whole chain on one line: what could not be done, and why.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
