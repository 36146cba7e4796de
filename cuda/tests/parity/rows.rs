//! Projection onto the sphere, its refusals, and memory.

use nearfar_core::BatchError;
use nearfar_core::kernel::{Backend, BatchView, HostBatch, scalar::Reference};
use nearfar_cuda::{Cuda, Error, Traffic};

use crate::batches::Batch;
use crate::bench::{Tolerance::Statistics, check, device, fresh, numbers, twice, up};

#[test]
fn rows_are_normalised_and_their_gradient_agrees() {
    let Some(cuda) = device() else { return };
    for (count, dim) in [(1, 1), (9, 3), (8, 32), (5, 33), (17, 70)] {
        let mut z = numbers(1, count * dim);
        // A row near the smallest numbers and one near the largest keep their direction.
        z[..dim].iter_mut().for_each(|v| *v *= 1e-41);
        z[(count - 1) * dim..].iter_mut().for_each(|v| *v *= 1e38);
        let dx = numbers(2, z.len());
        let (mut x, mut dz) = (vec![0.0; z.len()], vec![0.0; z.len()]);
        Reference.normalize(count, dim, &z, &mut x).unwrap();
        // Gradients of such rows overflow or vanish; those of ordinary rows are compared.
        let ordinary = numbers(3, z.len());
        let mut unit = vec![0.0; z.len()];
        Reference.normalize(count, dim, &ordinary, &mut unit).unwrap();
        Reference.normalize_backward(count, dim, &ordinary, &unit, &dx, &mut dz).unwrap();
        twice(|| {
            let (zs, ordinaries, units, dxs) =
                (up(cuda, &z), up(cuda, &ordinary), up(cuda, &unit), up(cuda, &dx));
            let (mut xs, mut dzs) = (fresh(cuda, x.len()), fresh(cuda, dz.len()));
            cuda.normalize(count, dim, &zs, &mut xs).unwrap();
            cuda.normalize_backward(count, dim, &ordinaries, &units, &dxs, &mut dzs).unwrap();
            vec![check("x", cuda, &xs, &x, Statistics), check("dz", cuda, &dzs, &dz, Statistics)]
        });
    }
}

#[test]
fn the_first_row_without_direction_is_named() {
    let Some(cuda) = device() else { return };
    let (count, dim) = (20, 5);
    let refused = |spoil: &dyn Fn(&mut [f32])| {
        let mut z = numbers(1, count * dim);
        spoil(&mut z);
        let (buffer, mut x) = (up(cuda, &z), fresh(cuda, z.len()));
        let want = Reference.normalize(count, dim, &z, &mut vec![0.0; z.len()]);
        let got = cuda.normalize(count, dim, &buffer, &mut x);
        assert_eq!(got, want.map_err(Error::from));
        got
    };
    let zero = |z: &mut [f32], row: usize| z[row * dim..][..dim].fill(0.0);
    assert_eq!(refused(&|z| zero(z, 0)), Err(BatchError::ZeroRow { row: 0 }.into()));
    assert_eq!(refused(&|z| z[17 * dim + 4] = f32::NAN), Err(BatchError::NotFinite { row: 17 }.into()));
    let both = |z: &mut [f32]| {
        z[12 * dim] = f32::NEG_INFINITY;
        zero(z, 9);
        zero(z, 19);
    };
    assert_eq!(refused(&both), Err(BatchError::ZeroRow { row: 9 }.into()));
    // The report of a bad batch does not outlive it.
    assert_eq!(refused(&|_| ()), Ok(()));
}

#[test]
fn memory_keeps_what_it_is_given() {
    let Some(cuda) = device() else { return };
    let mut buffer = cuda.zeros(7).unwrap();
    cuda.upload(&[1.0, f32::NAN, -0.0], &mut buffer).unwrap();
    let mut host = [9.0; 5];
    cuda.download(&buffer, &mut host).unwrap();
    assert_eq!(host.map(f32::to_bits), [1.0, f32::NAN, -0.0, 0.0, 0.0].map(f32::to_bits));
    let mut empty = cuda.zeros(0).unwrap();
    cuda.upload(&[], &mut empty).unwrap();
    cuda.download(&empty, &mut []).unwrap();
    cuda.indices(&[]).unwrap();
}

/// Whether `work` panics.
fn panics(mut work: impl FnMut()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut work)).is_err()
}

#[test]
fn a_batch_comes_in_one_copy_and_its_parts_keep_to_themselves() {
    if device().is_none() {
        return;
    }
    // Its own, since other tests copy meanwhile.
    let cuda = Cuda::new(0).unwrap();
    let mut there = None;
    // Smaller than the batch before, larger, and as large.
    for (seed, (anchors, count, size)) in (30..).zip([(20, 47, 5), (1, 1, 1), (33, 83, 7), (33, 83, 7)]) {
        let host = Batch::new(seed, count, 8, 4).of_anchors(anchors);
        let (inputs, labels) = (&numbers(seed, anchors * size)[..], &host.labels[..]);
        let parts = &(0..anchors as u32).map(|i| (i % 3, i)).collect::<Vec<_>>()[..];
        let (x, betas) = (up(&cuda, &host.x), up(&cuda, &host.betas));
        let before = cuda.traffic();
        let came = cuda.upload_batch(HostBatch { inputs, labels, anchors, parts }, &mut there).unwrap();
        // Of each row its class, and six words of where the others of its class are; of each anchor two words of what its
        // boundary is made of.
        let words = inputs.len() + 7 * count + 2 * anchors;
        let wanted = Traffic { uploads: 1, uploaded: 4 * words as u64, ..Traffic::default() };
        assert_eq!(cuda.traffic().since(before), wanted);

        let read = |buffer, len: usize| {
            let mut host = vec![0.0; len];
            cuda.download(buffer, &mut host).unwrap();
            host
        };
        assert_eq!(read(&came.inputs, inputs.len()), inputs);
        let view = BatchView { embeddings: &x, labels: &came.labels, betas: &betas, anchors, count, dim: 8 };
        let (got, want) = (cuda.negative_moments(view), Reference.negative_moments(host.host()));
        assert_eq!(got.unwrap().pairs, want.unwrap().pairs);
        assert!(panics(|| drop(read(&came.inputs, inputs.len() + 1))));
        let came = there.as_mut().unwrap();
        assert!(panics(|| cuda.upload(&[0.5], &mut came.inputs).unwrap()));
    }
}

#[test]
fn more_memory_than_there_is_is_an_error_with_its_size() {
    let Some(cuda) = device() else { return };
    match cuda.zeros(1 << 50) {
        Err(Error::OutOfMemory { bytes }) => assert_eq!(bytes, 4 << 50),
        other => panic!("{other:?}"),
    }
}

#[test]
fn arrays_of_another_backend_on_the_same_device_are_refused() {
    let Some(cuda) = device() else { return };
    let other = Cuda::new(0).unwrap();
    let (theirs, mut ours) = (other.zeros(4).unwrap(), cuda.zeros(4).unwrap());
    assert!(panics(|| cuda.relu(4, &theirs, &mut ours).unwrap()));
    assert!(panics(|| cuda.download(&theirs, &mut [0.0; 4]).unwrap()));
    assert!(panics(|| other.upload(&[0.0; 4], &mut ours).unwrap()));
    assert!(!panics(|| cuda.download(&ours, &mut [0.0; 4]).unwrap()));
}

#[test]
fn a_buffer_that_is_too_short_is_refused() {
    let Some(cuda) = device() else { return };
    let (x, mut y) = (cuda.zeros(8).unwrap(), cuda.zeros(7).unwrap());
    assert!(panics(|| cuda.relu(8, &x, &mut y).unwrap()));
}
