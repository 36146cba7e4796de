//! Every operation against the reference backend, on ragged sizes: values, places left alone, and the same bytes twice.
//!
//! Without a device the tests print why they were skipped; with `REQUIRE_GPU=1` they fail instead. The binary needs
//! nothing beside it and may be carried to a machine that has one.

mod batches;
mod bench;
mod boundaries;
// The list that `nearfar doctor` runs, compiled in here: it needs the core alone, and so this binary too.
#[allow(unreachable_pub, reason = "public where it lives")]
#[path = "../../../cli/src/checkup.rs"]
mod checkup;
mod draws;
mod formats;
mod layers;
mod losses;
mod products;
mod rows;
mod search;
mod shapes;
mod tensor;
mod whole;
