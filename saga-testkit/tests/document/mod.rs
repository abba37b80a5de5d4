//! How a document's examples are held against the tests that they are parts of.

#![expect(dead_code, reason = "each test binary needs one of them")]

/// Every block of Rust in `docs/{name}` must stand in `source`, spaces aside.
pub(crate) fn assert_shown(name: &str, source: &str) {
    assert_blocks_shown(name, "```rust\n", source);
}

/// The same of the blocks that are no programs by themselves, in a document whose others are.
pub(crate) fn assert_parts_shown(name: &str, source: &str) {
    assert_blocks_shown(name, "```rust,ignore\n", source);
}

fn assert_blocks_shown(name: &str, fence: &str, source: &str) {
    let path = format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(path).expect("the document can be read");
    let (source, mut examples) = (without_spaces(source), document.split(fence).skip(1).peekable());
    assert!(examples.peek().is_some(), "docs/{name} has examples");
    for example in examples {
        let example = example.split("```").next().unwrap_or_default();
        assert!(
            source.contains(&without_spaces(example)),
            "docs/{name} shows what is not tested:\n{example}"
        );
    }
}

fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}
