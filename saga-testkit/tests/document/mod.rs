//! How a document's examples are held against the tests that they are parts of.

/// Every block of Rust in `docs/{name}` must stand in `source`, spaces aside.
pub(crate) fn assert_shown(name: &str, source: &str) {
    let path = format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(path).expect("the document can be read");
    let (source, mut examples) = (without_spaces(source), document.split("```rust\n").skip(1).peekable());
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
