//! `figures`: why sampling matters, in pictures and in csv.

use std::fs;

use anyhow::{Context, Result};
use serde_json::json;

use super::{Answer, ensure_cpu};
use crate::args::{Common, FiguresArgs};
use crate::config::Config;
use crate::figures::{self, Run};
use crate::recipe::Recipe;
use crate::write::{ensure_vacant, replace_file};

pub(super) fn run(args: &FiguresArgs, common: &Common) -> Result<Answer> {
    ensure_cpu(common)?;
    ensure_vacant(&args.out)?;
    let runs = Run::read(&args.run)?;
    fs::create_dir_all(&args.out).with_context(|| format!("cannot create {}", args.out.display()))?;
    let seed = common.seed.unwrap_or(Config::recipe(Recipe::Best).seed);
    let drawn = figures::draw(seed, &runs)?;
    let mut text = String::new();
    let mut files = Vec::new();
    for (name, bytes) in &drawn.files {
        let path = args.out.join(name);
        replace_file(&path, bytes)?;
        text += &format!("{}\n", path.display());
        files.push(path);
    }
    for line in &drawn.left_out {
        text += &format!("{line}\n");
    }
    let json = json!({ "out": args.out, "seed": seed, "files": files, "left_out": drawn.left_out });
    Ok(Answer { text, json })
}
