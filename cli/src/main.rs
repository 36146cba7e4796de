//! The program `nearfar`.

fn main() {}
