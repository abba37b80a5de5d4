//! The language of Graphviz.

use std::fmt::Write as _;

use super::{Drawing, Group, Node, Oval};

pub(super) fn written(drawing: &Drawing) -> String {
    let mut text = format!("digraph {:?} {{\n", drawing.title);
    line(&mut text, "node [shape=box style=filled fillcolor=\"#ffffff\"]");
    drawing.start.iter().for_each(|start| line(&mut text, &oval(start)));
    drawing.groups.iter().enumerate().for_each(|(place, each)| group(&mut text, place, each));
    drawing.arrows().iter().for_each(|(from, to)| line(&mut text, &format!("{from} -> {to}")));
    drawing.outcome.iter().for_each(|outcome| line(&mut text, &oval(outcome)));
    text + "}\n"
}

fn group(text: &mut String, place: usize, group: &Group) {
    if !group.is_framed() {
        return group.nodes.iter().for_each(|one| line(text, &node(one)));
    }
    line(text, &format!("subgraph cluster{place} {{"));
    if !group.heading.is_empty() {
        line(text, &format!("    label=\"{}\"", label(&group.heading)));
    }
    group.nodes.iter().for_each(|one| line(text, &format!("    {}", node(one))));
    line(text, "}");
}

fn oval(oval: &Oval) -> String {
    format!("{} [label=\"{}\" shape=oval]", oval.id, label(&oval.lines))
}

fn node(node: &Node) -> String {
    let colour = node.mark.map(|mark| format!(" fillcolor=\"{}\"", mark.colour())).unwrap_or_default();
    format!("{} [label=\"{}\"{colour}]", node.id, label(&node.lines))
}

fn label(lines: &[String]) -> String {
    lines.iter().map(|line| escaped(line)).collect::<Vec<_>>().join("\\n")
}

/// A quote ends a label, a backslash begins what Graphviz replaces, and so does `&`.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '&' => escaped.push_str("&amp;"),
            _ if letter.is_whitespace() || letter.is_control() => escaped.push(' '),
            _ => escaped.push(letter),
        }
    }
    escaped
}

fn line(text: &mut String, content: &str) {
    let _ = writeln!(text, "    {content}");
}
