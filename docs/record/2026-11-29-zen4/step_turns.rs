//! A step of two cores in turn, a few at a time, so that both meet the same minutes of the machine:
//! `step_turns N D ROUNDS THREADS [e]`, with `e` all pairs in expectation. `SET=avx2|plain` holds both to that set.

macro_rules! side {
    ($m:ident, $c:ident) => {
        mod $m {
            use std::time::Instant;
            use $c::kernel::{Backend, BatchView, fast::Fast};
            use $c::*;
            pub struct Side {
                fast: Fast,
                rows: Vec<f32>,
                labels: Vec<u32>,
                betas: Vec<f32>,
                objective: Objective<f32>,
                draws: Vec<Draw<f32>>,
                dx: Vec<f32>,
                db: Vec<f32>,
                n: usize,
                dim: usize,
                s: u32,
                pub t: [Vec<f64>; 3],
            }
            impl Side {
                pub fn new(n: usize, dim: usize, threads: usize, rows: &[f32], expected: bool) -> Self {
                    let fast = match std::env::var("SET").as_deref() {
                        Ok("avx2") => {
                            Fast::with_instruction_set(threads, $c::kernel::fast::InstructionSet::Avx2)
                                .unwrap()
                        }
                        Ok(_) => Fast::with_instruction_set(threads, $c::kernel::fast::InstructionSet::Plain)
                            .unwrap(),
                        _ => Fast::new(threads).unwrap(),
                    };
                    let labels: Vec<u32> = (0..n).map(|i| (i / 4) as u32).collect();
                    let w =
                        Weighting::new(dim as f64, Cap::Near(0.5), FarCut::At(1.4), EmptyRow::Skip).unwrap();
                    let sampler = if expected { Sampler::Expected(w) } else { Sampler::DistanceWeighted(w) };
                    let objective = Objective::new(
                        Loss::Margin(Margin::new(0.2, 0.0).unwrap()),
                        sampler,
                        Reduction::MeanActive,
                    )
                    .unwrap();
                    let mut raw = rows.to_vec();
                    for r in raw.chunks_exact_mut(dim) {
                        let s = r.to_vec();
                        normalize_row(&s, r).unwrap();
                    }
                    Self {
                        fast,
                        rows: raw,
                        labels,
                        betas: vec![1.2; n],
                        objective,
                        draws: vec![],
                        dx: vec![0.0; n * dim],
                        db: vec![0.0; n],
                        n,
                        dim,
                        s: 0,
                        t: Default::default(),
                    }
                }
                pub fn step(&mut self, keep: bool) {
                    let Self { fast, rows, labels, betas, objective, draws, dx, db, n, dim, s, t } = self;
                    let view = BatchView {
                        embeddings: &*rows,
                        labels: &*labels,
                        betas: &*betas,
                        anchors: *n,
                        count: *n,
                        dim: *dim,
                    };
                    *s += 1;
                    let key = Key::new(5, Stream::Negatives, *s);
                    let (fast, objective) = (&*fast, &*objective);
                    let (t0, t1, t2) = fast.run(|| {
                        let t0 = Instant::now();
                        fast.draw(view, objective, key, draws).unwrap();
                        let t1 = Instant::now();
                        fast.loss(view, objective, draws, dx, db).unwrap();
                        let t2 = Instant::now();
                        (t0, t1, t2)
                    });
                    let k = [(t1 - t0).as_secs_f64(), (t2 - t1).as_secs_f64(), (t2 - t0).as_secs_f64()];
                    if keep {
                        for i in 0..3 {
                            t[i].push(k[i] * 1e6);
                        }
                    }
                }
                pub fn hash(&self) -> u64 {
                    let mut h = 1469598103934665603u64;
                    for d in &self.draws {
                        h = (h ^ u64::from(d.triplet.negative) ^ (u64::from(d.log_prob.to_bits()) << 20))
                            .wrapping_mul(1099511628211);
                    }
                    for x in &self.dx {
                        h = (h ^ u64::from(x.to_bits())).wrapping_mul(1099511628211);
                    }
                    h
                }
            }
        }
    };
}
side!(a, old);
side!(b, new);
fn main() {
    let v: Vec<String> = std::env::args().collect();
    let (n, dim, reps, threads): (usize, usize, usize, usize) =
        (v[1].parse().unwrap(), v[2].parse().unwrap(), v[3].parse().unwrap(), v[4].parse().unwrap());
    let exp = v.get(5).is_some();
    let key = old::Key::new(5, old::Stream::Init, 0);
    let rows: Vec<f32> = (0..n * dim)
        .map(|i| {
            let p = |at: u32| key.uniform((i / dim) as u32, 4 * (i % dim) as u32 + at) as f32;
            p(0) + p(1) + p(2) + p(3) - 2.0
        })
        .collect();
    let (mut a, mut b) =
        (a::Side::new(n, dim, threads, &rows, exp), b::Side::new(n, dim, threads, &rows, exp));
    let burst = (20_000_000 / (n * n * dim)).clamp(1, 8);
    for _ in 0..reps {
        for i in 0..burst {
            a.step(i > 0 || burst == 1);
        }
        for i in 0..burst {
            b.step(i > 0 || burst == 1);
        }
    }
    let f = |t: &mut [Vec<f64>; 3]| {
        for v in t.iter_mut() {
            v.sort_by(f64::total_cmp);
        }
        let q = |p: usize| [0, 1, 2].map(|k| t[k][t[k].len() * p / 100]);
        (q(1), q(10), q(50))
    };
    let same = a.hash() == b.hash();
    let (x, y) = (f(&mut a.t), f(&mut b.t));
    let r = |u: [f64; 3], w: [f64; 3]| {
        format!(
            "draw {:.1} -> {:.1}, loss {:.1} -> {:.1}, all {:.1} -> {:.1} ({:.3})",
            u[0],
            w[0],
            u[1],
            w[1],
            u[2],
            w[2],
            w[2] / u[2]
        )
    };
    println!("{n} x {dim} same {same}\n  1%: {}\n 10%: {}\n 50%: {}", r(x.0, y.0), r(x.1, y.1), r(x.2, y.2));
}
