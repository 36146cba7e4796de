//! The interpreter against Rust's own arithmetic, kernels with known results, planted faults and hostile text.

mod atomics;
mod faults;
mod hostile;
mod kernels;
mod rounding;
mod semantics;
mod shipped;
mod tensor;

use ptx_sim::{Device, LaunchError, Module, Size};

/// A device with a module.
struct Bench {
    device: Device,
    module: Module,
}

/// A value of a parameter.
enum Value {
    Pointer(u64),
    Int(i32),
}

impl Bench {
    fn new(text: &str) -> Self {
        let mut device = Device::new(64 << 20);
        let module = device.load(text).unwrap();
        Self { device, module }
    }

    /// New device memory with a content.
    fn put<T: Copy, const N: usize>(&mut self, values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Value {
        let data: Vec<u8> = values.iter().flat_map(|&value| bytes(value)).collect();
        let address = self.device.allocate(data.len()).unwrap();
        self.device.write(address, &data).unwrap();
        Value::Pointer(address)
    }

    fn floats(&mut self, values: &[f32]) -> Value {
        self.put(values, f32::to_le_bytes)
    }

    /// New device memory that was never written.
    fn room(&mut self, size: usize) -> Value {
        Value::Pointer(self.device.allocate(size).unwrap())
    }

    fn get<T, const N: usize>(&self, from: &Value, count: usize, of: impl Fn([u8; N]) -> T) -> Vec<T> {
        let Value::Pointer(address) = from else { panic!("not a pointer") };
        let mut data = vec![0; count * N];
        self.device.read(*address, &mut data).unwrap();
        data.chunks_exact(N).map(|chunk| of(chunk.try_into().unwrap())).collect()
    }

    fn floats_of(&self, from: &Value, count: usize) -> Vec<f32> {
        self.get(from, count, f32::from_le_bytes)
    }

    fn run(
        &mut self,
        kernel: &str,
        grid: [u32; 3],
        block: [u32; 3],
        values: &[&Value],
    ) -> Result<u64, LaunchError> {
        let kernel = self.module.kernel(kernel).unwrap().clone();
        let mut parameters = vec![0; kernel.parameters.last().map_or(0, |(at, size)| at + size)];
        assert_eq!(values.len(), kernel.parameters.len());
        for (value, &(at, size)) in values.iter().zip(&kernel.parameters) {
            match value {
                Value::Pointer(address) => parameters[at..at + size].copy_from_slice(&address.to_le_bytes()),
                Value::Int(value) => parameters[at..at + size].copy_from_slice(&value.to_le_bytes()),
            }
        }
        self.device.launch(&self.module, &kernel, Size { grid, block, shared: 0 }, &parameters, 48 << 10)
    }
}

/// Numbers that repeat, from -1 to 1.
fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}
