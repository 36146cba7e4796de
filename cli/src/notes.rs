//! The run file explained: every key of a recipe with what it means, for `nearfar train --show-config`.

use crate::config::Config;

/// What each key means. Names that a value may have are those of the option of the same meaning.
const NOTES: [(&str, &str); 56] = [
    ("seed", "of every random number"),
    ("data.source", "kana, or a path"),
    ("data.validation", "share of the training classes held out for validation, where the data do not say"),
    ("data.test", "share of all classes held out for testing, where the data do not say"),
    ("data.split_seed", "of these two choices"),
    (
        "data.resize",
        "side that pictures are resized to; 0: as they are, known sets of photographs as in the paper",
    ),
    ("data.crop", "side of the part that is shown, in training at random places; 0 shows all"),
    ("data.mirror", "mirror pictures half of the time in training"),
    ("data.boxes", "take the box around the object alone, where the data have boxes"),
    ("model.kind", "mlp or cnn; inputs that are no images get an mlp"),
    ("model.dim", "numbers in an embedding, D"),
    ("model.hidden", "widths of the hidden layers of an mlp"),
    ("model.channels", "channels of the blocks of a cnn"),
    ("model.depth", "convolutions in each of these blocks"),
    (
        "model.views",
        "views of a picture that its embedding is made of: 1; their mean, moved by a pixel, 5 or 9; turned and mirrored, \
         joined by a map, 8; 0: 5 of small pictures, else 1",
    ),
    ("model.whiten", "shrinkage of the whitening within classes after training; 0: none"),
    ("batch.classes", "classes in a batch; fewer where the data have fewer"),
    ("batch.per_class", "samples of each class, m"),
    ("batch.near_classes", "classes of a batch that lie near each other, in groups of this many; 1: chance"),
    ("batch.small_classes", "what a class with fewer does: skip, take or error"),
    ("loss.kind", "contrastive, triplet, triplet-l2, margin, npair, quadruplet, lifted or multi-similarity"),
    ("loss.alpha", "margin"),
    ("loss.alpha2", "second margin of the quadruplet loss"),
    ("loss.scale", "of the cosines of the N-pair loss"),
    ("loss.nu", "boundary penalty of the margin loss"),
    ("loss.penalty", "batch: nu beta of each tuple, inside the mean; paper: nu beta once, beside it"),
    ("loss.reduction", "mean-active, mean or sum"),
    ("boundary.start", "beta0 at the start"),
    ("boundary.mode", "fixed, gradient or exact: to the best boundary of each batch"),
    ("boundary.rate", "learning rate, or share of the way"),
    ("boundary.momentum", "of the gradient"),
    ("boundary.per_class", "a part for each class"),
    ("boundary.per_image", "a part for each image"),
    (
        "sampler.kind",
        "uniform, hard, semihard, semihard-band, distance-weighted, expected (the same law, undrawn) or all",
    ),
    ("sampler.dimension", "whose density is inverted: ambient (D), effective, fitted or a number"),
    ("sampler.near", "distance whose weight caps all others"),
    ("sampler.far", "where candidates end: none, active (alpha + beta) or a distance"),
    ("sampler.empty", "what an anchor without candidates does: skip, nearest or uniform"),
    ("memory.size", "embeddings of earlier batches that are negatives too; 0 for none"),
    ("memory.warmup", "steps before which they are gathered and not used"),
    ("optimizer.kind", "adam or sgd"),
    ("optimizer.rate", "largest learning rate"),
    ("optimizer.warmup", "steps of linear growth to it"),
    ("optimizer.floor", "share of it left at the end of a cosine; 1 keeps it constant"),
    ("optimizer.momentum", "or first-moment decay of adam"),
    ("optimizer.beta2", "second-moment decay of adam"),
    ("optimizer.decay", "of weights"),
    ("augment.shift", "whole pixels, each way"),
    ("augment.rotation", "degrees, each way"),
    ("augment.scale", "0.1 is 10 % up or down"),
    ("augment.shear", "0.1 moves the top by a tenth of the height"),
    ("augment.elastic", "0.1 pulls parts of the image apart by a tenth of its side; auto: by passes"),
    ("augment.share", "of samples that are turned, scaled, sheared and distorted; the others stay sharp"),
    ("augment.symmetry", "share of classes turned or mirrored as wholes: new classes"),
    ("train.steps", "0 chooses them by the number of training samples"),
    ("train.every", "steps between two looks; 0 looks six times"),
];

/// The text of a configuration, with a note behind each key.
#[must_use]
pub fn explained(config: &Config) -> String {
    let mut table = String::new();
    let mut text = String::new();
    for line in config.to_toml().lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = format!("{name}.");
        }
        let key = line.split_once(" = ").map(|(key, _)| format!("{table}{key}"));
        match key.and_then(|key| NOTES.iter().find(|(known, _)| *known == key)) {
            Some((_, note)) => text += &format!("{line:<34}# {note}\n"),
            None => text += &format!("{line}\n"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    #[test]
    fn every_key_has_a_note_and_the_text_is_the_same_configuration() {
        let config = Config::recipe(Recipe::Paper);
        let text = explained(&config);
        let keys = text.lines().filter(|line| line.contains(" = ")).count();
        assert_eq!(keys, NOTES.len());
        assert!(text.lines().filter(|line| line.contains(" = ")).all(|line| line.contains("# ")), "{text}");
        assert_eq!(Config::recipe(Recipe::Best).overlay(&text).unwrap(), config);
    }
}
