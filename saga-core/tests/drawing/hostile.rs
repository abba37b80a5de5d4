//! What others say, and what a saga is called, stays within its label.

use saga_core::drawing::Drawing;
use saga_core::saga;

use crate::shop::{Approval, Order, Pay, Reserve, Silence};
use crate::tale::Tale;

/// What would end a label, a line or a subgraph, or begin a comment, a directive, an entity, HTML or Markdown.
const HOSTILE: [&str; 14] = [
    "\"",
    "\"]",
    "\"])\n    end\n    step0_0 --> step9",
    "\\",
    "\\\" shape=none]\n}\ndigraph evil {",
    "#quot;",
    "&quot;&#34;",
    "<script>alert(1)</script><br>",
    "%%{init: {\"theme\": \"dark\"}}%%",
    "%% nothing",
    "`**bold**`",
    "a\r\nb\tc\u{2028}d\u{0}e",
    ":::done; classDef done fill:#000",
    "[({|/\\|})]",
];

#[test]
fn hostile_reasons_refusals_and_panics_change_no_line_but_their_own() {
    let harmless = drawings("harmless");
    for hostile in HOSTILE {
        for (hostile, harmless) in drawings(hostile).iter().zip(&harmless) {
            assert_same(&hostile.mermaid(), &harmless.mermaid(), in_mermaid);
            assert_same(&hostile.dot(), &harmless.dot(), in_dot);
        }
    }
}

#[test]
fn what_is_escaped_reads_as_it_was_said() {
    let said = "a \"b\\c\" & <d>\n#e";
    let drawing = Tale::of(saga(1).step::<Reserve>().build(), &Order::default()).cancelled(said).drawing();
    let (mermaid, dot) = (drawing.mermaid(), drawing.dot());
    assert!(mermaid.contains("cancelled: a #34;b#92;c#34; #38; #60;d#62; #35;e\"])"), "{mermaid}");
    assert!(dot.contains(r#"cancelled: a \"b\\c\" &amp; <d> #e""#), "{dot}");
}

/// A saga that is cancelled for this reason, one that is parked, one that is refused, and one whose code panics.
fn drawings(text: &str) -> [Drawing; 4] {
    let definition = || saga(1).step::<Reserve>().wait::<Approval>().pivot::<Pay>().build();
    let tale = || Tale::of(definition(), &Order { silence: Silence::Panic(text.into()), ..Order::default() });
    [
        tale().cancelled(text),
        tale().undeliverable("reserve", text),
        tale().refused("reserve", text),
        tale().done(&["reserve"]),
    ]
    .map(|tale| tale.drawing())
}

fn assert_same(hostile: &str, harmless: &str, without_labels: fn(&str) -> Option<String>) {
    assert_eq!(hostile.lines().count(), harmless.lines().count(), "{hostile}");
    for (hostile, harmless) in hostile.lines().zip(harmless.lines()) {
        let skeleton = without_labels(hostile).unwrap_or_else(|| panic!("ends amid a label: {hostile}"));
        assert_eq!(Some(skeleton), without_labels(harmless), "{hostile}");
    }
}

/// A line without what stands between quotes, where a quote always is the end.
fn in_mermaid(line: &str) -> Option<String> {
    let parts: Vec<&str> = line.split('"').collect();
    let mut labels = parts.iter().skip(1).step_by(2);
    assert!(labels.all(|label| is_escaped(&label.replace("<br>", ""))), "{line}");
    (parts.len() % 2 == 1).then(|| parts.into_iter().step_by(2).collect())
}

/// Whether what is more than text to Mermaid stands there by its number, as `#34;`.
fn is_escaped(label: &str) -> bool {
    let is_plain = |text: &str| !text.contains(['<', '>', '&', '`', '%', ';', '\\', '[', '{', '|']);
    let is_number = |number: &str| number.parse::<u32>().is_ok();
    let mut parts = label.split('#');
    parts.next().is_some_and(is_plain)
        && parts.all(|part| {
            part.split_once(';').is_some_and(|(number, rest)| is_number(number) && is_plain(rest))
        })
}

/// A line without what stands between quotes, where a quote behind a backslash is none.
fn in_dot(line: &str) -> Option<String> {
    let (mut skeleton, mut is_label, mut letters) = (String::new(), false, line.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if is_label => drop(letters.next()),
            '"' => is_label = !is_label,
            _ if !is_label => skeleton.push(letter),
            _ => {}
        }
    }
    (!is_label).then_some(skeleton)
}
