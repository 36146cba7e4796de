//! Text that no compiler wrote: an error, never a panic, and never memory without end.

use ptx_sim::Device;

const TEXT: &str = include_str!("../../kernels/good.ptx");

fn load(text: &str) -> Result<(), ptx_sim::LoadError> {
    Device::new(1 << 20).load(text).map(|_| ())
}

#[test]
fn cut_text_is_an_error_or_a_shorter_module() {
    for end in (0..TEXT.len()).step_by(97) {
        _ = load(&TEXT[..end]);
    }
    load(TEXT).unwrap();
}

#[test]
fn changed_text_does_not_panic() {
    let marks = [
        ";",
        "{",
        "}",
        "[",
        "]",
        ",",
        "99999999999999999999",
        "-",
        "%r1",
        ".b8",
        "0f3F",
        "\"",
        ":",
        "é",
        "|",
    ];
    let mut state = 1u32;
    for round in 0..400 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mut bytes = TEXT.as_bytes()[..6000].to_vec();
        let at = state as usize % bytes.len();
        bytes.splice(at..(at + round % 9).min(6000), marks[round % marks.len()].bytes());
        _ = load(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn errors_name_the_line() {
    let body = |line: &str| format!(".version 8.0\n.visible .entry k()\n{{\n.reg .b32 %r<4>;\n{line}\n}}");
    for (line, words) in [
        ("wgmma.fence.sync.aligned;", "unknown instruction wgmma.fence.sync.aligned"),
        ("add.s32 %r1, %r2;", "takes 2 sources"),
        ("add.s32 %r1, %r2, %q;", "unknown name %q"),
        ("bra nowhere;", "unknown label nowhere"),
        ("mov.u32 5, %r1;", "a register is expected"),
        ("ld.global.f32 %r1, %r2;", "an address is expected"),
        ("call f, ();", "which has no body"),
        (".reg .b32 %x<99999999>;", "too many registers"),
        ("cp.async.cg.shared.global [%r1], [%r2], 8;", "cp.async.cg of 8 bytes"),
    ] {
        let error = load(&body(line)).unwrap_err();
        assert_eq!(error.line, 5, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
    let recursive = ".func f() { call f; ret; }";
    assert!(load(recursive).unwrap_err().message.contains("call themselves"));
}
