//! `export`: the trained network in a form that other programs run.

use anyhow::{Context, Result};
use serde_json::json;

use super::Answer;
use super::embed::model_path;
use crate::args::ExportArgs;
use crate::model::ModelFile;
use crate::onnx;
use crate::write::{ensure_writable, replace_file};

pub(super) fn run(args: &ExportArgs) -> Result<Answer> {
    ensure_writable([args.out.as_path()])?;
    let path = model_path(&args.run);
    let model = ModelFile::load(&path)?;
    let bytes = onnx::encode(&model).with_context(|| format!("cannot export {}", path.display()))?;
    replace_file(&args.out, &bytes)?;
    let architecture = &model.card.architecture;
    let input = onnx::input_sizes(architecture);
    let dim = architecture.dim();
    let text = format!(
        "{}: {} bytes, opset {}; `input` f32 [batch, {}], raw as `embed` takes them; `embedding` f32 [batch, {dim}]\n",
        args.out.display(),
        bytes.len(),
        onnx::OPSET,
        input.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    );
    let json = json!({
        "bytes": bytes.len(),
        "opset": onnx::OPSET,
        "input": input,
        "dim": dim,
        "parameters": architecture.parameter_count(),
    });
    Ok(Answer { text, json })
}
