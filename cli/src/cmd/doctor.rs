//! `doctor`: what this machine has, and every kernel of the backends that run here against the reference.

use anyhow::{Result, ensure};
use nearfar_core::kernel::fast::Fast;
use nearfar_core::kernel::scalar::Reference;
use nearfar_cuda::{Cuda, driver_version};
use serde_json::json;

use super::{Answer, threads};
use crate::args::{Common, Device};
use crate::checkup::{self, Checked};

pub(super) fn run(common: &Common) -> Result<Answer> {
    let failed = anyhow::Error::from_boxed;
    let fast = Fast::new(threads(common))?;
    let mut kernels = checkup::compare(&fast, &Reference).map_err(failed)?;
    let gpu = match common.device {
        Device::Cpu => Err("not looked for: --device cpu".to_owned()),
        Device::Auto => Cuda::new(0).map_err(|error| error.to_string()),
        // One that was asked for and is not there is an error, as everywhere.
        Device::Cuda(ordinal) => Ok(Cuda::new(ordinal)?),
    };
    if let Ok(cuda) = &gpu {
        let checked = checkup::compare(cuda, &Reference).map_err(failed)?;
        // Which GPU it is stands above.
        kernels.extend(checked.into_iter().map(|row| Checked { backend: "cuda".into(), ..row }));
    }
    let driver = driver_version()
        .filter(|_| common.device != Device::Cpu)
        .map(|(major, minor)| format!("CUDA {major}.{minor}"));
    let mut features = cpu_features();
    if fast.with_bf16().tile_units() {
        features.push("amx-bf16");
    }
    let mut text = format!(
        "cpu       {} threads; {}\ngpu       {}\n\n{:<27}{:<10}{:>10}\n",
        threads(common),
        if features.is_empty() { "no vector extension detected".to_owned() } else { features.join(" ") },
        match &gpu {
            Ok(cuda) =>
                format!("{}, {}; {}", cuda.name(), cuda.device(), driver.as_deref().unwrap_or("no driver")),
            Err(reason) => format!("none: {reason}"),
        },
        "kernel",
        "backend",
        "max error"
    );
    for kernel in &kernels {
        let verdict = if kernel.ok { "" } else { "  BAD" };
        text += &format!("{:<27}{:<10}{:>10.1e}{verdict}\n", kernel.name, kernel.backend, kernel.max_error);
    }
    let sick = kernels.iter().filter(|kernel| !kernel.ok).count();
    ensure!(sick == 0, "{sick} kernels differ from the reference:\n{text}");
    let kernels: Vec<_> = kernels
        .iter()
        .map(|k| json!({ "name": k.name, "backend": k.backend, "ok": k.ok, "max_error": k.max_error }))
        .collect();
    let json = json!({
        "cpu": { "features": features, "threads": threads(common) },
        "gpu": {
            "present": gpu.is_ok(),
            "name": gpu.as_ref().ok().map(Cuda::device),
            "driver": driver,
            "reason": gpu.as_ref().err(),
        },
        "kernels": kernels,
    });
    Ok(Answer { text, json })
}

/// Vector extensions that the kernels may use.
fn cpu_features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        let all = [
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
            ("avx512bf16", std::arch::is_x86_feature_detected!("avx512bf16")),
        ];
        all.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
    }
    #[cfg(target_arch = "aarch64")]
    {
        vec!["neon"]
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        Vec::new()
    }
}
