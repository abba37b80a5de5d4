//! The documents say what the code does: the examples of `docs/wire.md`, the fence's table in `docs/delivery.md`, and
//! every path that some document names.
//!
//! If the code is right and a document is not, write the document anew and read what changed:
//! `SAGA_UPDATE_DOCS=1 cargo test -p saga-core --test documents`
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod fence;
mod limits;
mod paths;
mod wire;

/// Compares the part of a document between the two marks of `name` with what it should be, or writes it anew.
fn assert_drawn(file: &str, name: &str, drawn: &str) {
    let path = format!("{}/../docs/{file}", env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {name}: drawn by a test -->\n"), format!("<!-- {name}: end -->"));
    let (before, rest) = document.split_once(&begin).expect("the document has the first mark");
    let (written, after) = rest.split_once(&end).expect("the document has the second mark");
    if std::env::var_os("SAGA_UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{begin}{drawn}{end}{after}")).unwrap();
    } else {
        assert_eq!(written, drawn, "{file} should say, under {name:?}:\n{drawn}");
    }
}
