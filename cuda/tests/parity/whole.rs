//! The program's own comparison of a backend with another, which covers every operation of the seam.

use nearfar_core::kernel::scalar::Reference;

use crate::bench::device;
use crate::checkup;

#[test]
fn every_operation_of_the_seam_is_that_of_the_reference() {
    let Some(cuda) = device() else { return };
    let list = checkup::compare(cuda, &Reference).unwrap();
    let worst: Vec<_> = list.iter().filter(|checked| !checked.ok).collect();
    assert!(worst.is_empty() && list.len() > 20, "{worst:?}");
    assert!(list.iter().all(|checked| checked.backend == "cuda:0"));
}
