//! The program as the tests start it: Cargo tells a suite where the binaries of its own package lie.

fn main() -> std::process::ExitCode {
    nearfar::cmd::main()
}
