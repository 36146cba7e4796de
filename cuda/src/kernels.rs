//! The PTX that travels with the library, and what it says of its kernels.

/// Every PTX file, made by `kernels/build.sh`.
pub(crate) const FILES: [&str; 16] = [
    include_str!("../kernels/boundary.ptx"),
    include_str!("../kernels/conv.ptx"),
    include_str!("../kernels/conv_bf16.ptx"),
    include_str!("../kernels/conv_tf32.ptx"),
    include_str!("../kernels/draw.ptx"),
    include_str!("../kernels/linear.ptx"),
    include_str!("../kernels/linear_bf16.ptx"),
    include_str!("../kernels/linear_tf32.ptx"),
    include_str!("../kernels/norm.ptx"),
    include_str!("../kernels/normalize.ptx"),
    include_str!("../kernels/pairs.ptx"),
    include_str!("../kernels/pointwise.ptx"),
    include_str!("../kernels/pool.ptx"),
    include_str!("../kernels/rows.ptx"),
    include_str!("../kernels/search.ptx"),
    include_str!("../kernels/tuples.ptx"),
];

/// What a kernel takes at one place of its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An array on the device.
    Pointer,
    /// A count.
    Count,
    /// A number.
    Number,
}

/// A kernel as its PTX declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declaration {
    /// Index of its file in [`FILES`].
    pub(crate) file: usize,
    /// Its arguments in order.
    pub(crate) signature: Vec<Kind>,
    /// Most threads of a block.
    pub(crate) threads: u32,
}

/// Looks a kernel up by name.
///
/// Panics on a name or a parameter type that no kernel of ours has: both are fixed when the library is built, and a
/// test walks all of them.
pub(crate) fn declaration(name: &str) -> Declaration {
    let entry = format!(".entry {name}(");
    let (file, from) = FILES
        .iter()
        .enumerate()
        .find_map(|(file, text)| text.find(&entry).map(|at| (file, &text[at..])))
        .unwrap_or_else(|| panic!("no kernel is named {name}"));
    let head = &from[..from.find('{').expect("a kernel has a body")];
    let signature = head
        .split(".param ")
        .skip(1)
        .map(|parameter| match parameter.split_whitespace().next() {
            Some(".u64") => Kind::Pointer,
            Some(".u32") => Kind::Count,
            Some(".f32") => Kind::Number,
            other => panic!("{name} has a parameter of type {other:?}"),
        })
        .collect();
    let threads = head
        .split(".maxntid ")
        .nth(1)
        .and_then(|text| text.split(',').next()?.trim().parse().ok())
        .unwrap_or_else(|| panic!("{name} does not bound its threads"));
    Declaration { file, signature, threads }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_declares_what_the_door_checks() {
        let mut count = 0;
        for text in FILES {
            assert!(text.contains(".version 8.0\n.target sm_80\n"), "a file is not PTX 8.0 for sm_80");
            for part in text.split(".entry ").skip(1) {
                let name = part.split('(').next().unwrap();
                assert!(!declaration(name).signature.is_empty(), "{name}");
                count += 1;
            }
        }
        assert!(count > 50, "{count} kernels");
    }

    #[test]
    fn a_signature_is_read_in_order() {
        use Kind::{Count, Number, Pointer};
        let norm = declaration("norm_statistics");
        assert_eq!(norm.signature, [Pointer, Pointer, Pointer, Pointer, Count, Count, Count, Number, Number]);
        assert_eq!(norm.threads, 256);
    }
}
