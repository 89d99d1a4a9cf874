//! framelog itself, under a name of this package's own, so that tests can start and kill it.
fn main() -> std::process::ExitCode {
    framelog::main()
}
