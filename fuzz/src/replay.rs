//! Every law against the kept inputs in `corpus/<law>/`, those inputs with some bytes changed, and random ones: the
//! laws without the fuzzer. `replay [random inputs a law]`.

use std::fs;
use std::path::Path;

use nearfar_core::{Key, Stream};
use nearfar_fuzz::LAWS;

fn main() {
    let count: u32 = std::env::args().nth(1).map_or(2000, |text| text.parse().expect("a count of inputs"));
    for (at, (name, law)) in LAWS.into_iter().enumerate() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut kept: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.expect("an entry of the corpus").path())
            .collect();
        kept.sort();
        assert!(!kept.is_empty(), "{} holds no input", folder.display());
        let kept: Vec<Vec<u8>> =
            kept.iter().map(|path| fs::read(path).expect("an input of the corpus")).collect();
        kept.iter().for_each(|input| law(input));
        let key = Key::new(at as u64, Stream::Init, 0);
        for i in 0..count {
            law(&(0..key.below(i, 0, 600) as u32)
                .map(|byte| key.below(i, 1 + byte, 256) as u8)
                .collect::<Vec<_>>());
            let mut changed = kept[key.below(i, 2000, kept.len())].clone();
            for change in 0..key.below(i, 2001, 6) as u32 {
                if !changed.is_empty() {
                    let place = key.below(i, 2002 + change, changed.len());
                    changed[place] = key.below(i, 3000 + change, 256) as u8;
                }
            }
            changed.truncate(changed.len() - key.below(i, 2002, 3).min(changed.len()));
            law(&changed);
        }
        println!("{name}: {} kept inputs, {} made from them or at random", kept.len(), 2 * count);
    }
}
