//! A training step of a network by two cores in turn: `net_turns BATCH mlp|cnn f32|bf16 ROUNDS`.

macro_rules! side {
    ($m:ident, $c:ident) => {
        mod $m {
            use std::time::Instant;
            use $c::kernel::fast::Fast;
            use $c::net::*;
            use $c::{Key, Stream};
            pub struct Side {
                fast: &'static Fast,
                net: Network<'static, f32, Fast>,
                x: Vec<f32>,
                dx: Vec<f32>,
                n: usize,
                s: u64,
                pub t: [Vec<f64>; 4],
            }
            impl Side {
                pub fn new(n: usize, kind: &str, bf: bool) -> Self {
                    let fast = match std::env::var("SET").as_deref() {
                        Ok("avx2") => {
                            Fast::with_instruction_set(1, $c::kernel::fast::InstructionSet::Avx2).unwrap()
                        }
                        _ => Fast::new(1).unwrap(),
                    };
                    let fast: &'static Fast = Box::leak(Box::new(if bf { fast.with_bf16() } else { fast }));
                    let input = InputShape { height: 28, width: 28, channels: 1 };
                    let arch = if kind == "mlp" {
                        Architecture::mlp(input, &[512, 256], 128).unwrap()
                    } else {
                        Architecture::cnn(input, &[32, 64, 128], 1, 128).unwrap()
                    };
                    let key = Key::new(6, Stream::Init, 0);
                    let num = |len: usize, item: u32| -> Vec<f32> {
                        (0..len).map(|i| (key.uniform(item, i as u32) - 0.5) as f32).collect()
                    };
                    Self {
                        fast,
                        net: Network::new(fast, arch, n, 0).unwrap(),
                        x: num(n * 784, 0),
                        dx: num(n * 128, 1),
                        n,
                        s: 0,
                        t: Default::default(),
                    }
                }
                pub fn step(&mut self, keep: bool) {
                    let Self { fast, net, x, dx, n, s, t } = self;
                    let opt = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.0 };
                    *s += 1;
                    fast.run(|| {
                        let t0 = Instant::now();
                        net.forward(x, *n).unwrap();
                        let t1 = Instant::now();
                        net.backward(x, dx).unwrap();
                        let t2 = Instant::now();
                        net.update(opt, 1e-3, *s as _).unwrap();
                        let t3 = Instant::now();
                        if keep {
                            for (k, d) in [t1 - t0, t2 - t1, t3 - t2, t3 - t0].into_iter().enumerate() {
                                t[k].push(d.as_secs_f64() * 1e3);
                            }
                        }
                    });
                }
                pub fn hash(&mut self) -> u64 {
                    self.net.forward(&self.x, self.n).unwrap().iter().fold(1469598103934665603u64, |h, v| {
                        (h ^ u64::from(v.to_bits())).wrapping_mul(1099511628211)
                    })
                }
            }
        }
    };
}
side!(a, old);
side!(b, new);
fn main() {
    let v: Vec<String> = std::env::args().collect();
    let (n, kind, bf, reps): (usize, &str, bool, usize) =
        (v[1].parse().unwrap(), &v[2], v[3] == "bf16", v[4].parse().unwrap());
    let (mut a, mut b) = (a::Side::new(n, kind, bf), b::Side::new(n, kind, bf));
    let burst = if kind == "mlp" { 4 } else { 2 };
    for _ in 0..reps {
        for i in 0..burst {
            a.step(i > 0);
        }
        for i in 0..burst {
            b.step(i > 0);
        }
    }
    println!("{kind} {n} {} same {}", v[3], a.hash() == b.hash());
    let f = |t: &mut [Vec<f64>; 4], p: usize| -> [f64; 4] {
        for v in t.iter_mut() {
            v.sort_by(f64::total_cmp);
        }
        [0, 1, 2, 3].map(|k| t[k][t[k].len() * p / 100])
    };
    for p in [2, 10, 50] {
        let (u, w) = (f(&mut a.t, p), f(&mut b.t, p));
        println!(
            " {p:2}%: forward {:.3} -> {:.3}, backward {:.3} -> {:.3}, update {:.3} -> {:.3}, all {:.3} -> {:.3} ({:.3})",
            u[0],
            w[0],
            u[1],
            w[1],
            u[2],
            w[2],
            u[3],
            w[3],
            w[3] / u[3]
        );
    }
}
