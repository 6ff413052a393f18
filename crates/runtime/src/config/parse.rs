//! YAML text to tree, from the events of `saphyr-parser`.
//!
//! A config needs less than YAML offers. Left out on purpose, each with an error of its own: several documents
//! in a file, tags, keys that are not scalars, and the merge key `<<` (which is not part of YAML 1.2).

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span as Range, Tag};

use super::mask::is_secret_name;
use super::source::split_lines;
use super::text::clip;
use super::tree::{Entry, Scalar};
use super::{Diagnostic, Node, NodeValue, Span};

/// Lists and mappings inside of each other. Everything that walks the tree recurses this deep at most.
const DEEPEST: usize = 64;
/// Values of one file, those that aliases repeat included.
const MOST_NODES: usize = 200_000;
/// Text of all values of one file in bytes, that which aliases repeat included.
const MOST_TEXT: usize = 16 << 20;
/// Problems after which reading a file stops.
const MOST_PROBLEMS: usize = 100;

/// Reads the text of the file with index `source`.
///
/// # Errors
/// Every key that stands twice in its mapping; or the first place that is not YAML, or not supported.
pub(super) fn parse(source: usize, text: &str) -> Result<Node, Vec<Diagnostic>> {
    if let Some(problem) = control_character(source, text) {
        return Err(vec![problem]);
    }
    let mut builder = Builder::new(source);
    for event in Parser::new_from_str(text) {
        let step = match event {
            Ok((event, range)) => builder.event(event, range),
            Err(error) => Err(syntax_problem(source, text, &error)),
        };
        if let Err(problem) = step {
            builder.problems.push(problem);
            break;
        }
        if builder.problems.len() >= MOST_PROBLEMS {
            break;
        }
    }
    match builder.root {
        Some(root) if builder.problems.is_empty() => Ok(root),
        None if builder.problems.is_empty() => Ok(nothing(source)),
        _ => Err(builder.problems),
    }
}

/// What a file without content holds.
fn nothing(source: usize) -> Node {
    let span = Span { source, line: 1, column: 1, width: 1 };
    Node { span, value: NodeValue::Scalar(Scalar { text: String::new(), plain: true, secret: false }) }
}

/// YAML forbids them, and the parser takes a NUL for the end of the text.
fn control_character(source: usize, text: &str) -> Option<Diagnostic> {
    let is_bad = |c: char| c < ' ' && !matches!(c, '\t' | '\n' | '\r');
    let before = &text[..text.find(is_bad)?];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let span = Span {
        source,
        line: 1 + before.matches('\n').count(),
        column: 1 + before[line_start..].chars().count(),
        width: 1,
    };
    let message = "not valid YAML: a control character";
    let help = "remove it, or write it as an escape such as \"\\u0001\" in double quotes";
    Some(Diagnostic::new(message).at(span).help(help.to_owned()))
}

fn syntax_problem(source: usize, text: &str, error: &ScanError) -> Diagnostic {
    let marker = error.marker();
    let lines = split_lines(text);
    let line = lines.get(marker.line().saturating_sub(1)).copied().unwrap_or("");
    Diagnostic::new(format!("not valid YAML: {}", error.info()))
        .at(place(source, *marker, 1))
        .help(syntax_help(line, marker.col()).map(str::to_owned))
}

/// What is usually meant by the text that the parser stumbled over.
fn syntax_help(line: &str, column: usize) -> Option<&'static str> {
    let mut indentation = line.chars().take_while(|c| c.is_whitespace());
    let mut before = line.chars().take(column);
    match line.chars().nth(column)? {
        _ if indentation.any(|c| c == '\t') => Some("indent with blanks: YAML does not allow tabs"),
        '*' => Some("put quotes around a text that begins with `*`"),
        '@' | '`' | '%' => Some("put quotes around a text that begins with this character"),
        '{' if line.contains("${") => Some("put quotes around \"${...}\" inside of { } and [ ]"),
        ':' if before.any(|c| c == ':') => Some("put quotes around a text that contains `: `"),
        ':' => Some("a list or mapping further up may lack its `]` or `}`"),
        '"' if line.contains('\\') => {
            Some("in double quotes, `\\` begins an escape: write `\\\\`, or use single quotes")
        }
        '"' | '\'' => Some("the quote that begins here may lack its end"),
        _ => None,
    }
}

fn place(source: usize, marker: Marker, width: usize) -> Span {
    Span { source, line: marker.line(), column: marker.col() + 1, width }
}

/// A list or mapping that is not complete yet.
struct Open {
    span: Span,
    anchor: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, seen: HashMap<String, Span>, key: Option<(String, Span)> },
}

struct Builder {
    source: usize,
    documents: usize,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    nodes: usize,
    text: usize,
    root: Option<Node>,
    problems: Vec<Diagnostic>,
}

impl Builder {
    fn new(source: usize) -> Self {
        Self {
            source,
            documents: 0,
            open: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            text: 0,
            root: None,
            problems: Vec::new(),
        }
    }

    fn event(&mut self, event: Event<'_>, range: Range) -> Result<(), Diagnostic> {
        let span = self.span(range);
        match event {
            Event::DocumentStart(_) => self.document(span),
            Event::Scalar(text, style, anchor, tag) => {
                reject_tag(tag.as_deref(), span)?;
                let scalar = Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain, secret: false };
                if self.expects_key() {
                    return self.key(scalar, span);
                }
                self.charge(1, scalar.text.len(), span)?;
                let value = NodeValue::Scalar(scalar);
                self.complete(Node { span, value }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                reject_tag(tag.as_deref(), span)?;
                self.begin(span, anchor, Content::Sequence(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                reject_tag(tag.as_deref(), span)?;
                let content = Content::Mapping { entries: Vec::new(), seen: HashMap::new(), key: None };
                self.begin(span, anchor, content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn span(&self, range: Range) -> Span {
        let one_line = range.start.line() == range.end.line();
        let width = range.end.col().saturating_sub(range.start.col());
        place(self.source, range.start, if one_line { width.max(1) } else { 1 })
    }

    fn document(&mut self, span: Span) -> Result<(), Diagnostic> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        Err(Diagnostic::new("a second document begins in the same file")
            .at(span)
            .help("remove the `---`, or split the file: several config files are merged".to_owned()))
    }

    fn expects_key(&self) -> bool {
        let innermost = self.open.last().map(|open| &open.content);
        matches!(innermost, Some(Content::Mapping { key: None, .. }))
    }

    /// Counts what is about to be kept, so that aliases cannot multiply a small file into a huge tree.
    fn charge(&mut self, nodes: usize, text: usize, span: Span) -> Result<(), Diagnostic> {
        self.nodes = self.nodes.saturating_add(nodes);
        self.text = self.text.saturating_add(text);
        if self.nodes <= MOST_NODES && self.text <= MOST_TEXT {
            return Ok(());
        }
        let text_limit = MOST_TEXT >> 20;
        let message = format!("the config has more than {MOST_NODES} values or {text_limit} MiB of text");
        Err(Diagnostic::new(message).at(span).help("aliases (`*name`) count as often as they are used".to_owned()))
    }

    fn key(&mut self, scalar: Scalar, span: Span) -> Result<(), Diagnostic> {
        self.charge(0, scalar.text.len(), span)?;
        if scalar.plain && scalar.text == "<<" {
            return Err(Diagnostic::new("the merge key `<<` is not supported")
                .at(span)
                .help("write the keys out, or use an alias for a whole value".to_owned()));
        }
        if scalar.plain && scalar.text.is_empty() {
            return Err(Diagnostic::new("a key is missing before the `:`").at(span));
        }
        if let Some(Open { content: Content::Mapping { key, seen, .. }, .. }) = self.open.last_mut() {
            if let Some(first) = seen.get(&scalar.text) {
                let name = clip(&scalar.text);
                self.problems.push(
                    Diagnostic::new(format!("the key `{name}` stands twice in the same mapping"))
                        .at(span)
                        .also(*first, "first here"),
                );
            } else {
                seen.insert(scalar.text.clone(), span);
            }
            *key = Some((scalar.text, span));
        }
        Ok(())
    }

    fn begin(&mut self, span: Span, anchor: usize, content: Content) -> Result<(), Diagnostic> {
        if self.expects_key() {
            return Err(Diagnostic::new("a key must be a text, not a list or mapping").at(span));
        }
        if self.open.len() >= DEEPEST {
            let message = format!("values are nested deeper than {DEEPEST} levels");
            return Err(Diagnostic::new(message).at(span));
        }
        self.charge(1, 0, span)?;
        // The range of the event may cover an anchor, or the blank behind the bracket.
        let span = Span { width: 1, ..span };
        self.open.push(Open { span, anchor, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Diagnostic> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let value = match open.content {
            Content::Sequence(items) => NodeValue::Sequence(items),
            Content::Mapping { entries, .. } => NodeValue::Mapping(entries),
        };
        let node = Node { span: open.span, value };
        self.complete(node, open.anchor)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Diagnostic> {
        if self.expects_key() {
            return Err(Diagnostic::new("a key must be a text, not an alias").at(span));
        }
        let Some(target) = self.anchors.get(&anchor).map(Rc::clone) else {
            return Err(Diagnostic::new("an alias inside of the value that it stands for").at(span));
        };
        if self.open.len() + depth(&target) > DEEPEST {
            let message = format!("values are nested deeper than {DEEPEST} levels");
            return Err(Diagnostic::new(message).at(span));
        }
        let (nodes, text) = size(&target);
        self.charge(nodes, text, span)?;
        let value = target.value.clone();
        self.attach(Node { span, value });
        Ok(())
    }

    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Diagnostic> {
        if anchor > 0 {
            let (nodes, text) = size(&node);
            self.charge(nodes, text, node.span)?;
            self.anchors.insert(anchor, Rc::new(node.clone()));
        }
        self.attach(node);
        Ok(())
    }

    fn attach(&mut self, mut node: Node) {
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::Sequence(items)) => items.push(node),
            Some(Content::Mapping { entries, key, .. }) => {
                let Some((key, key_span)) = key.take() else {
                    return;
                };
                let below_key = node.span.line > key_span.line;
                let scalar = matches!(node.value, NodeValue::Scalar(_));
                if (below_key && !scalar) || is_left_out(&node) {
                    node.span = key_span;
                }
                if is_secret_name(&key) {
                    node.mark_secret();
                }
                entries.push(Entry { key, key_span, value: node });
            }
        }
    }
}

fn is_left_out(node: &Node) -> bool {
    matches!(&node.value, NodeValue::Scalar(scalar) if scalar.plain && scalar.text.is_empty())
}

fn reject_tag(tag: Option<&Tag>, span: Span) -> Result<(), Diagnostic> {
    let Some(tag) = tag else {
        return Ok(());
    };
    let name = match tag.is_yaml_core_schema() {
        true => format!("!!{}", tag.suffix),
        false => format!("{}{}", tag.handle, tag.suffix),
    };
    Err(Diagnostic::new(format!("the tag `{}` is not supported", clip(&name)))
        .at(span)
        .help("leave it out; quotes make a value a string".to_owned()))
}

/// Values inside of a value, itself included, and the bytes of their texts and keys.
fn size(node: &Node) -> (usize, usize) {
    match &node.value {
        NodeValue::Scalar(scalar) => (1, scalar.text.len()),
        NodeValue::Sequence(items) => items.iter().map(size).fold((1, 0), add),
        NodeValue::Mapping(entries) => {
            entries.iter().map(|entry| add(size(&entry.value), (0, entry.key.len()))).fold((1, 0), add)
        }
    }
}

fn add(a: (usize, usize), b: (usize, usize)) -> (usize, usize) {
    (a.0.saturating_add(b.0), a.1.saturating_add(b.1))
}

/// How many lists and mappings deep a value is.
fn depth(node: &Node) -> usize {
    let inner = match &node.value {
        NodeValue::Scalar(_) => return 0,
        NodeValue::Sequence(items) => items.iter().map(depth).max(),
        NodeValue::Mapping(entries) => entries.iter().map(|entry| depth(&entry.value)).max(),
    };
    1 + inner.unwrap_or(0)
}
