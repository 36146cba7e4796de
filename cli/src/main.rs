//! The program `nearfar`.

fn main() -> std::process::ExitCode {
    nearfar::cmd::main()
}
