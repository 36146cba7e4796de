//! The cross-batch memory of a run, as the tensors of its state.

use anyhow::{Context, Result, ensure};
use nearfar_core::kernel::Backend;
use nearfar_core::net::Tensor;
use nearfar_core::{Memory, MemoryState};

/// Names in a saved state.
const ROWS: &str = "memory.rows";
const LABELS: &str = "memory.labels";
const STEPS: &str = "memory.steps";
const NEXT: &str = "memory.next";

/// The memory as tensors: `[len, dim]`, `[len, 2]`, `[len, 2]` and `[1, 2]`. Integers are two numbers each, of 16 bits,
/// which f32 holds exactly.
pub(crate) fn tensors<B: Backend<f32>>(memory: &Memory<'_, f32, B>, dim: usize) -> Result<Vec<Tensor<f32>>> {
    let MemoryState { rows, labels, steps, next } = memory.state()?;
    let tensor = |name: &str, width: usize, values: Vec<f32>| Tensor {
        name: name.into(),
        shape: vec![values.len() / width, width],
        values,
    };
    let halves =
        |words: &[u32]| words.iter().flat_map(|w| [w >> 16, w & 0xffff]).map(|half| half as f32).collect();
    Ok(vec![
        tensor(ROWS, dim, rows),
        tensor(LABELS, 2, halves(&labels)),
        tensor(STEPS, 2, halves(&steps)),
        tensor(NEXT, 2, halves(&[next])),
    ])
}

/// Sets what [`tensors`] gave. Errors: a tensor that is missing or that does not fit this memory.
pub(crate) fn restore<'t, B: Backend<f32>>(
    memory: &mut Memory<'_, f32, B>,
    mut find: impl FnMut(&str) -> Option<&'t Tensor<f32>>,
) -> Result<()> {
    let mut values = |name: &str| {
        Ok::<_, anyhow::Error>(&find(name).with_context(|| format!("the state has no {name}"))?.values)
    };
    let state = MemoryState {
        rows: values(ROWS)?.clone(),
        labels: words(LABELS, values(LABELS)?)?,
        steps: words(STEPS, values(STEPS)?)?,
        next: *words(NEXT, values(NEXT)?)?.first().context("the state's memory.next is empty")?,
    };
    ensure!(memory.restore(state)?, "the state's memory is of another size than this run's");
    Ok(())
}

/// Integers from their halves.
fn words(name: &str, halves: &[f32]) -> Result<Vec<u32>> {
    let (pairs, rest) = halves.as_chunks::<2>();
    let whole = |half: &f32| (0.0..65_536.0).contains(half) && half.fract() == 0.0;
    ensure!(rest.is_empty() && halves.iter().all(whole), "the state's {name} holds no integers");
    Ok(pairs.iter().map(|&[high, low]| ((high as u32) << 16) | low as u32).collect())
}

#[cfg(test)]
mod tests {
    use nearfar_core::kernel::fast::Fast;

    use super::*;

    #[test]
    fn a_memory_is_read_back_from_its_tensors_to_the_bit() {
        let fast = Fast::new(1).unwrap();
        let mut memory = Memory::new(&fast, 5, 2, 3).unwrap();
        for (step, label) in [(0, 9), (70_000, u32::MAX), (u32::MAX, 65_536)] {
            memory.push(&vec![0.6, 0.8, 1.0, 0.0, -0.0, 1.0], &[label, 3, label], step).unwrap();
            let saved = tensors(&memory, 2).unwrap();
            let mut again = Memory::new(&fast, 5, 2, 3).unwrap();
            restore(&mut again, |name| saved.iter().find(|tensor| tensor.name == name)).unwrap();
            assert_eq!(again.state().unwrap(), memory.state().unwrap());
        }
    }

    #[test]
    fn a_state_that_is_no_memory_is_refused() {
        let fast = Fast::new(1).unwrap();
        let mut memory = Memory::new(&fast, 5, 2, 3).unwrap();
        memory.push(&vec![0.0; 6], &[1, 2, 3], 4).unwrap();
        let saved = tensors(&memory, 2).unwrap();
        for (name, value, part) in [
            (LABELS, 0.5, "no integers"),
            (STEPS, -1.0, "no integers"),
            (NEXT, 65_536.0, "no integers"),
            (NEXT, 2.0, "another size"),
        ] {
            let mut wrong = saved.clone();
            wrong.iter_mut().find(|tensor| tensor.name == name).unwrap().values[0] = value;
            let error =
                restore(&mut memory, |name| wrong.iter().find(|tensor| tensor.name == name)).unwrap_err();
            assert!(error.to_string().contains(part), "{name}: {error}");
        }
        let error = restore(&mut memory, |_| None).unwrap_err();
        assert!(error.to_string().contains("no memory.rows"), "{error}");
    }
}
