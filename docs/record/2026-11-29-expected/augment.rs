//! What it takes to vary inputs: `augment`, and a hash of all that was made.

use nearfar_core::{Key, Stream};
use new::config::{AugmentConfig, Elastic};
use new::data::augment::Augmentation;
fn main() {
    let mut h = 1469598103934665603u64;
    for (shape, scale) in
        [([28usize, 28, 1], 0.1), ([12, 9, 3], 0.9999999), ([21, 21, 1], 0.3), ([105, 105, 1], 0.1)]
    {
        let n = shape.iter().product::<usize>();
        let raw: Vec<f32> = (0..n).map(|p| ((p * 7919) % 256) as f32).collect();
        let mut out = vec![0.0; n];
        for share in [0.0, 0.5, 1.0] {
            let c = AugmentConfig {
                shift: 4,
                rotation: 30.0,
                scale,
                shear: 0.2,
                elastic: Elastic::Number(0.1),
                share,
                symmetry: 0.5,
            };
            let a = Augmentation::new(&c, shape).unwrap();
            let t = std::time::Instant::now();
            let reps = 400;
            for i in 0..reps {
                a.apply(Key::new(5, Stream::Augment, 1), [i, i % 7], &raw, &mut out);
                for v in &out {
                    h = (h ^ u64::from(v.to_bits())).wrapping_mul(1099511628211);
                }
            }
            eprintln!(
                "{shape:?} {share} {:.1} ns a pixel",
                t.elapsed().as_secs_f64() * 1e9 / (reps as f64 * n as f64)
            );
        }
    }
    println!("{h:x}");
}
