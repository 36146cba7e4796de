//! A TOML text laid over a configuration, with every mistake in it found at once.
//!
//! The text's table is walked beside that of the configuration: a key which is not there is unknown, and a value is
//! tried in its place alone, so that the reader of the configuration itself judges its type and its name.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use toml::de::DeTable;
use toml::{Table, Value};

use crate::config::Config;

/// A configuration with a text laid over it.
#[derive(Clone, Debug)]
pub struct Overlay {
    /// What came out; where the text is mistaken, the value below it.
    pub config: Config,
    /// Keys that the text sets, as `loss.alpha`.
    pub named: Vec<String>,
    /// What is wrong with the text: unknown keys and values of the wrong type, each with its key and line.
    pub mistakes: Vec<String>,
}

impl Overlay {
    /// `base`, and `text` over it, which may name any part of it. Errors: a text that is not TOML at all.
    pub fn new(base: &Config, text: &str) -> Result<Self> {
        let not_toml = |error: toml::de::Error| {
            // The library shows the place over several lines; an error of this program is one.
            let line = error.span().map_or(1, |span| line_at(text, span.start));
            anyhow!("line {line} is not TOML: {}", error.message())
        };
        let over: Table = text.parse().map_err(not_toml)?;
        let lines = DeTable::parse(text).map_err(not_toml)?;
        let mut walk = Walk {
            text,
            tried: Table::try_from(base).context("a configuration is a table")?,
            named: Vec::new(),
            mistakes: Vec::new(),
        };
        walk.table(&mut Vec::new(), over, Some(lines.get_ref()));
        let config = walk.tried.try_into().context("a configuration with values of its types")?;
        walk.mistakes.sort_by_key(|&(line, _)| line);
        let mistakes = walk.mistakes.into_iter().map(|(line, what)| format!("line {line}: {what}")).collect();
        Ok(Self { config, named: walk.named, mistakes })
    }

    /// As [`new`](Self::new), from a file; every mistake names it.
    pub fn of_file(base: &Config, path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut overlay = Self::new(base, &text).with_context(|| format!("in {}", path.display()))?;
        for mistake in &mut overlay.mistakes {
            *mistake = format!("{}, {mistake}", path.display());
        }
        Ok(overlay)
    }

    /// Whether the text sets this key.
    #[must_use]
    pub fn names(&self, key: &str) -> bool {
        self.named.iter().any(|named| named == key)
    }
}

struct Walk<'a> {
    text: &'a str,
    /// The configuration with all good values so far.
    tried: Table,
    named: Vec<String>,
    mistakes: Vec<(usize, String)>,
}

impl Walk<'_> {
    /// Lays a table of the text over the one at `place`.
    fn table(&mut self, place: &mut Vec<String>, over: Table, lines: Option<&DeTable<'_>>) {
        for (key, value) in over {
            let found = lines.and_then(|lines| lines.get_key_value(key.as_str()));
            let line = found.map_or(1, |(key, _)| line_at(self.text, key.span().start));
            let known: Vec<String> = slot(&mut self.tried, place).keys().cloned().collect();
            place.push(key.clone());
            let path = place.join(".");
            let below = slot(&mut self.tried, &place[..place.len() - 1]).get(&key).cloned();
            match (below, value) {
                (None, _) => {
                    self.mistakes
                        .push((line, format!("{path} is not known (here are {})", known.join(", "))));
                }
                (Some(Value::Table(_)), Value::Table(inner)) => {
                    self.table(place, inner, found.and_then(|(_, value)| value.get_ref().as_table()));
                }
                (Some(Value::Table(inner)), _) => {
                    let keys: Vec<&str> = inner.keys().map(String::as_str).collect();
                    self.mistakes.push((line, format!("{path} is a table (of {})", keys.join(", "))));
                }
                (Some(below), value) => {
                    if let Err(problem) = self.leaf(place, &below, value) {
                        self.mistakes.push((line, format!("{path}: {problem}")));
                    }
                    self.named.push(path);
                }
            }
            place.pop();
        }
    }

    /// Tries one value in its place, the others as they are.
    fn leaf(&mut self, place: &[String], below: &Value, value: Value) -> Result<(), String> {
        let value = match (below, value) {
            // `rate = 1` means 1.0.
            (Value::Float(_), Value::Integer(value)) => Value::Float(value as f64),
            (_, value) => value,
        };
        let mut tried = self.tried.clone();
        let (key, folder) = place.split_last().expect("a leaf has a key");
        slot(&mut tried, folder).insert(key.clone(), value);
        match tried.clone().try_into::<Config>() {
            Ok(_) => {
                self.tried = tried;
                Ok(())
            }
            // A line break would split an error in two, and names of Rust's types are no business of a reader.
            Err(error) => Err(error
                .message()
                .trim_end()
                .replace('\n', " ")
                .replace("expected f64", "expected a number")),
        }
    }
}

/// The table at a place that is known to be one.
fn slot<'t>(table: &'t mut Table, place: &[String]) -> &'t mut Table {
    place.iter().fold(table, |table, key| {
        table.get_mut(key).and_then(Value::as_table_mut).expect("only places of tables are walked")
    })
}

fn line_at(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at.min(text.len())].iter().filter(|&&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Dimension;
    use crate::recipe::Recipe;

    fn overlay(text: &str) -> Overlay {
        Overlay::new(&Config::recipe(Recipe::Best), text).unwrap()
    }

    #[test]
    fn a_recipe_survives_its_own_text() {
        for recipe in [Recipe::Best, Recipe::Paper] {
            let config = Config::recipe(recipe);
            let back = overlay(&config.to_toml());
            assert_eq!((back.config, back.mistakes), (config, vec![]));
        }
    }

    #[test]
    fn an_overlay_changes_what_it_names() {
        let over = overlay("[sampler]\ndimension = 16\n[loss]\nalpha = 1");
        assert_eq!(over.config.sampler.dimension, Dimension::Number(16.0));
        assert_eq!(over.config.loss.alpha, 1.0);
        assert_eq!(over.config.model, Config::recipe(Recipe::Best).model);
        assert!(over.names("loss.alpha") && over.names("sampler.dimension") && !over.names("loss.kind"));
    }

    #[test]
    fn every_mistake_is_found_with_its_key_and_line() {
        let text = "seed = -1\nmodel = { kind = \"mlb\", hidden = [1, \"x\"] }\n[loss]\nalfa = 1.0\nalpha = \"a\"\n\
                    nu = 0.5\n[sampler]\ndimension = \"ambiant\"\nfar = true\n[bach]\nclasses = 3\n[batch]\n\
                    per_class = 2.5\n";
        let over = overlay(text);
        let parts = [
            "line 1: seed: ",
            "line 2: model.kind: unknown variant `mlb`",
            "line 2: model.hidden: ",
            "line 4: loss.alfa is not known (here are alpha, alpha2, kind",
            "line 5: loss.alpha: ",
            "line 8: sampler.dimension: ambient, effective, fitted or a number",
            "line 9: sampler.far: none, active or a distance",
            "line 10: bach is not known",
            "line 13: batch.per_class: ",
        ];
        for part in parts {
            assert!(
                over.mistakes.iter().any(|mistake| mistake.starts_with(part)),
                "{part}: {:?}",
                over.mistakes
            );
        }
        assert_eq!(over.mistakes.len(), parts.len(), "{:?}", over.mistakes);
        assert!(over.mistakes.iter().all(|mistake| !mistake.contains('\n')));
        // What is right counts all the same.
        assert_eq!(over.config.loss.nu, 0.5);
        assert!(overlay("loss = 3").mistakes[0].contains("loss is a table (of alpha"));
    }
}
