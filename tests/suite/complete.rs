//! Lists are complete: a loss, sampler, layer or operation without its proofs fails here.

use clap::ValueEnum;
use nearfar::checkup;
use nearfar::config::{Config, LossKind, SamplerKind};
use nearfar::plan;
use nearfar::recipe::Recipe;
use nearfar_core::Reduction;
use nearfar_core::kernel::scalar::Reference;
use nearfar_core::net::LayerSpec;
use nearfar_tests::vectors;

use crate::{losses, memory, net, sampling};

fn name<V: ValueEnum>(value: &V) -> String {
    value.to_possible_value().expect("no value is hidden").get_name().to_owned()
}

#[test]
fn every_loss_has_vectors_of_autodiff_and_so_a_gradient_check() {
    let vectors: losses::Vectors = vectors::read("losses");
    for kind in LossKind::value_variants() {
        let name = name(kind);
        assert!(vectors.cases.iter().any(|case| case.loss == name), "no vectors for {name}");
    }
}

#[test]
fn every_sampler_stands_in_the_table_of_laws() {
    let table: Vec<&str> = sampling::samplers::<f64>(16).into_iter().map(|(name, _)| name).collect();
    for kind in SamplerKind::value_variants() {
        assert!(table.contains(&name(kind).as_str()), "no law for {}", name(kind));
    }
}

#[test]
fn every_loss_is_proved_with_a_memory_by_every_sampler_that_it_goes_with() {
    let proved = memory::objectives::<f64>(Reduction::Mean);
    for (loss, sampler) in LossKind::value_variants()
        .iter()
        .flat_map(|loss| SamplerKind::value_variants().iter().map(move |sampler| (loss, sampler)))
    {
        let mut config = Config::recipe(Recipe::Best);
        (config.loss.kind, config.sampler.kind) = (*loss, *sampler);
        let pair = (name(loss), name(sampler));
        let stands = proved.iter().any(|(loss, sampler, _)| *loss == pair.0 && *sampler == pair.1);
        assert_eq!(plan::check(&config).is_ok(), stands, "{pair:?}");
    }
}

#[test]
fn every_layer_stands_in_the_checked_chain() {
    // Counted by hand in one place only: the match below does not compile without a new layer.
    let index = |layer: &LayerSpec| match layer {
        LayerSpec::Conv { .. } => 0,
        LayerSpec::Norm => 1,
        LayerSpec::Relu => 2,
        LayerSpec::MaxPool => 3,
        LayerSpec::MeanPool => 4,
        LayerSpec::Linear { .. } => 5,
        LayerSpec::Normalize => 6,
        other => panic!("{other:?} is not in this list"),
    };
    let chain = net::every_layer();
    for wanted in 0..7 {
        assert!(chain.iter().any(|layer| index(layer) == wanted), "layer {wanted} is not in the chain");
    }
    let source = std::fs::read_to_string(crate::tidy::root().join("core/src/net/architecture.rs")).unwrap();
    let body = source.split("pub enum LayerSpec {").nth(1).unwrap().split("\n}").next().unwrap();
    let variants = body
        .lines()
        .filter(|line| line.starts_with("    ") && line.trim_start().starts_with(char::is_uppercase));
    assert_eq!(variants.count(), 7, "a layer was added: put it into the chain and into the list above");
}

#[test]
fn every_operation_of_the_seam_is_compared() {
    let source = std::fs::read_to_string(crate::tidy::root().join("core/src/kernel/mod.rs")).unwrap();
    let body = source.split("pub trait Backend").nth(1).unwrap();
    // Memory is exercised by every operation, and names are names.
    let memory = ["name", "zeros", "upload", "download", "indices", "download_draws", "upload_draws"];
    let checked: Vec<&str> =
        checkup::compare(&Reference, &Reference).unwrap().into_iter().map(|checked| checked.name).collect();
    let mut count = 0;
    for line in body.lines().filter_map(|line| line.strip_prefix("    fn ")) {
        let operation = line.split(['(', '<']).next().unwrap();
        let known = |name: &&str| name.split(' ').next() == Some(operation);
        assert!(memory.contains(&operation) || checked.iter().any(known), "{operation} is not in checkup.rs");
        count += 1;
    }
    assert!(count > 25, "the trait was not found: {count} operations");
}

#[test]
fn every_vector_file_is_read_by_a_suite() {
    let root = crate::tidy::root().join("tests");
    let suites: String = std::fs::read_dir(root.join("suite"))
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    for entry in std::fs::read_dir(root.join("vectors")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "json") {
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(suites.contains(&format!("read(\"{stem}\")")), "nobody reads {stem}.json");
        }
    }
}
