//! Backends against each other: every operation of the seam.

use nearfar::checkup;
use nearfar_core::kernel::fast::Fast;
use nearfar_core::kernel::scalar::Reference;

#[test]
fn every_operation_of_the_fast_backend_is_that_of_the_reference() {
    for threads in [1, 2, 5] {
        for checked in checkup::compare(&Fast::new(threads).unwrap(), &Reference).unwrap() {
            assert!(checked.ok, "{checked:?} with {threads} threads");
        }
    }
}

#[test]
fn a_wrong_operation_would_be_found() {
    // The check itself is checked: the reference against itself has no error at all, and every line of the list
    // compares some numbers.
    for checked in checkup::compare(&Reference, &Reference).unwrap() {
        assert_eq!(checked.max_error, 0.0, "{checked:?}");
    }
}
