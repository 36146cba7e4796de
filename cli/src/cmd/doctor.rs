//! `doctor`: what this machine has, and every kernel of the backend that runs here against the reference.

use anyhow::Result;
use nearfar_core::kernel::scalar::Reference;
use serde_json::json;

use super::{Answer, backend, threads};
use crate::args::Common;
use crate::checkup;

pub(super) fn run(common: &Common) -> Result<Answer> {
    let backend = backend(common)?;
    let kernels = checkup::compare(&backend, &Reference).map_err(anyhow::Error::from_boxed)?;
    let features = cpu_features();
    let sick = kernels.iter().filter(|kernel| !kernel.ok).count();
    let mut text = format!(
        "cpu       {} threads; {}\ngpu       none: this build has no CUDA layer\n\n{:<22}{:<10}{:>12}\n",
        threads(common),
        if features.is_empty() { "no vector extension detected".to_owned() } else { features.join(" ") },
        "kernel",
        "backend",
        "max error"
    );
    for kernel in &kernels {
        let verdict = if kernel.ok { "" } else { "  BAD" };
        text += &format!("{:<22}{:<10}{:>12.1e}{verdict}\n", kernel.name, kernel.backend, kernel.max_error);
    }
    anyhow::ensure!(sick == 0, "{sick} kernels differ from the reference:\n{text}");
    let kernels: Vec<_> = kernels
        .iter()
        .map(|k| json!({ "name": k.name, "backend": k.backend, "ok": k.ok, "max_error": k.max_error }))
        .collect();
    let json = json!({
        "cpu": { "features": features, "threads": threads(common) },
        "gpu": { "present": false, "name": null, "driver": null, "reason": "this build has no CUDA layer" },
        "kernels": kernels,
    });
    Ok(Answer { text, json })
}

/// Vector extensions that the products may use.
fn cpu_features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        let all = [
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
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
