//! Mermaid's language.

use std::fmt::Write as _;

use super::{Drawing, Group, Mark, Node, Oval};

pub(super) fn written(drawing: &Drawing) -> String {
    let mut text = format!("---\ntitle: {:?}\n---\nflowchart TD\n", drawing.title);
    drawing.start.iter().for_each(|start| line(&mut text, &oval(start)));
    drawing.groups.iter().enumerate().for_each(|(place, each)| group(&mut text, place, each));
    drawing.arrows().iter().for_each(|(from, to)| line(&mut text, &format!("{from} --> {to}")));
    drawing.outcome.iter().for_each(|outcome| line(&mut text, &oval(outcome)));
    if drawing.outcome.is_some() {
        let class = |mark: Mark| format!("classDef {} fill:{}", mark.name(), mark.colour());
        Mark::ALL.into_iter().for_each(|mark| line(&mut text, &class(mark)));
    }
    text
}

fn group(text: &mut String, place: usize, group: &Group) {
    if !group.is_framed() {
        return group.nodes.iter().for_each(|one| line(text, &node(one)));
    }
    // Without a text the frame would be headed by its id.
    let heading = if group.heading.is_empty() { " ".into() } else { label(&group.heading) };
    line(text, &format!("subgraph group{place}[\"{heading}\"]"));
    group.nodes.iter().for_each(|one| line(text, &format!("    {}", node(one))));
    line(text, "end");
}

fn oval(oval: &Oval) -> String {
    format!("{}([\"{}\"])", oval.id, label(&oval.lines))
}

fn node(node: &Node) -> String {
    let class = node.mark.map(|mark| format!(":::{}", mark.name())).unwrap_or_default();
    format!("{}[\"{}\"]{class}", node.id, label(&node.lines))
}

fn label(lines: &[String]) -> String {
    lines.iter().map(|line| escaped(line)).collect::<Vec<_>>().join("<br>")
}

/// What Mermaid could take for more than text is written by its number: quotes end a label, `#` and `<` begin what
/// stands for something else, backquotes make it Markdown, and `%` a directive wherever it stands.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            _ if letter.is_alphanumeric() || PLAIN.contains(letter) => escaped.push(letter),
            _ if letter.is_whitespace() || letter.is_control() => escaped.push(' '),
            _ => _ = write!(escaped, "#{};", u32::from(letter)),
        }
    }
    escaped
}

fn line(text: &mut String, content: &str) {
    let _ = writeln!(text, "    {content}");
}

/// What stands for itself within quotes, besides letters and digits.
const PLAIN: &str = " .,:/()'+-_";
