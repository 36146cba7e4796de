//! How fast the interpreter is: a tiled product on one core and on all, in thread instructions a second.

use std::time::Instant;

use ptx_sim::{Device, Size};

fn main() {
    let side = 256usize;
    for cores in [1, std::thread::available_parallelism().map_or(1, usize::from)] {
        let mut device = Device::new(64 << 20);
        device.cores = cores;
        let module = device.load(include_str!("../kernels/good.ptx")).expect("the kernels load");
        let kernel = module.kernel("product_tiled").expect("it is there").clone();
        let mut parameters = Vec::new();
        for _ in 0..3 {
            let address = device.allocate(4 * side * side).expect("there is room");
            device.fill(address, &1f32.to_le_bytes(), side * side).expect("it fits");
            parameters.extend_from_slice(&address.to_le_bytes());
        }
        (0..3).for_each(|_| parameters.extend_from_slice(&(side as i32).to_le_bytes()));
        let blocks = side as u32 / 16;
        let size = Size { grid: [blocks, blocks, 1], block: [16, 16, 1], shared: 0 };
        let start = Instant::now();
        let count = device.launch(&module, &kernel, size, &parameters, 0).expect("it runs");
        let time = start.elapsed().as_secs_f64();
        println!("{cores} cores: {count} instructions, {:.1} million a second", count as f64 / time / 1e6);
    }
}
