//! YAML (and so JSON) text as a small tree that knows where everything stands.
//!
//! Scalars are read as `kubectl` reads them: YAML 1.1 words such as `yes` are booleans, `0777` is octal. Everything is
//! bounded, because a manifest may come from anywhere: size, depth, and what aliases multiply.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, Tag};
use serde_json::{Map, Value as Json};

use super::problem::{Problem, quoted};
use super::scalar::scalar;

/// Longest document, in bytes.
pub const LONGEST: usize = 1 << 20;
/// Deepest nesting. The deepest honest field of a Pod lies at 16.
const DEEPEST: usize = 64;
/// What all nodes together may weigh, aliases counted as what they stand for.
const BUDGET: usize = 16 << 20;
/// Weight of a node without its text.
const NODE: usize = 64;
/// Weight of beginning anew behind a document of JSON: up to 1024 characters of the next have been scanned in vain.
const ANEW: usize = 16 << 10;

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// What a [`Node`] is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing at all.
    Null,
    /// A boolean, and how it was written.
    Bool(bool, String),
    /// A number: its value if it is written as an integer, and how it was written.
    Number(Option<i64>, String),
    /// Text.
    String(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in order, without duplicate keys.
    Map(Vec<Entry>),
}

/// One entry of a mapping; the place is the key's.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Line of the key.
    pub line: usize,
    /// Column of the key.
    pub column: usize,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The value of a field; `None` if it is absent or null, which is the same to Kubernetes.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let Value::Map(entries) = &self.value else { return None };
        entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
            .filter(|node| node.value != Value::Null)
    }

    /// The items of a list; none if it is something else.
    pub fn items(&self) -> &[Node] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// The entries of a mapping; none if it is something else.
    pub fn entries(&self) -> &[Entry] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// Text, if it is text.
    pub fn text(&self) -> Option<&str> {
        if let Value::String(text) = &self.value { Some(text) } else { None }
    }

    /// The integer, if it is one; `5.0` and `1e2` are, as for `kubectl`, which makes JSON of them first.
    pub fn integer(&self) -> Option<i64> {
        match &self.value {
            Value::Number(None, text) => {
                let number = text.parse().ok().filter(|number: &f64| number.fract() == 0.0);
                // As a float, the largest integer is one more than it is.
                number.filter(|number| number.abs() < i64::MAX as f64).map(|number| number as i64)
            }
            Value::Number(integer, _) => *integer,
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub fn boolean(&self) -> Option<bool> {
        if let Value::Bool(value, _) = self.value { Some(value) } else { None }
    }

    /// A scalar as it was written; `None` for lists, mappings and null.
    pub fn written(&self) -> Option<&str> {
        match &self.value {
            Value::Bool(_, text) | Value::Number(_, text) | Value::String(text) => Some(text),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// An error at this place.
    pub fn error(&self, message: impl Into<String>) -> Problem {
        Problem::error(self.line, self.column, message)
    }

    /// The same as JSON; fields that are null are left out.
    pub fn json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value, _) => Json::Bool(*value),
            Value::Number(_, text) => {
                // JSON has no infinity; what is too large stays as it was written.
                let float = || text.parse().ok().and_then(serde_json::Number::from_f64);
                let number = self.integer().map(Into::into).or_else(float);
                number.map_or(Json::String(text.clone()), Json::Number)
            }
            Value::String(text) => Json::String(text.clone()),
            Value::List(items) => items.iter().map(Node::json).collect(),
            Value::Map(entries) => {
                let set = entries.iter().filter(|entry| entry.value.value != Value::Null);
                Json::Object(set.map(|entry| (entry.key.clone(), entry.value.json())).collect::<Map<_, _>>())
            }
        }
    }

    /// What a person calls this kind of value.
    pub fn kind(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(_, text) => format!("the boolean {text}"),
            Value::Number(_, text) => format!("the number {text}"),
            Value::String(text) => format!("the string {}", quoted(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "an object".to_owned(),
        }
    }
}

/// Reads a stream of documents; empty ones are left out. The first thing wrong ends it. In a stream of JSON nothing needs to
/// stand between two documents.
pub fn parse(text: &str) -> Result<Vec<Node>, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > LONGEST {
        return Err(Problem::error(1, 1, format!("larger than {} KiB", LONGEST >> 10)));
    }
    refuse_bad_characters(text)?;
    let text = &join_surrogates(text);
    let mut builder =
        Builder { frames: Vec::new(), anchors: HashMap::new(), budget: BUDGET, documents: Vec::new() };
    let mut rest = Some((text.as_ref(), Marker::new(0, 1, 0)));
    while let Some((text, start)) = rest {
        rest = builder.read(text, start)?;
    }
    Ok(builder.documents)
}

/// `kubectl` takes for JSON what begins with a brace.
fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// A place in a text that itself begins at `start`.
fn from(start: Marker, place: Marker) -> Marker {
    let column = if place.line() == 1 { start.col() + place.col() } else { place.col() };
    Marker::new(start.index() + place.index(), start.line() + place.line() - 1, column)
}

fn at(place: Marker, message: impl Into<String>) -> Problem {
    Problem::error(place.line(), place.col() + 1, message)
}

/// What YAML does not allow, and what bytes that are not UTF-8 were turned into. The parser would take a NUL for the end.
fn refuse_bad_characters(text: &str) -> Result<(), Problem> {
    let (mut line, mut column, mut last) = (1, 1, ' ');
    for c in text.chars() {
        let message = match c {
            '\u{fffd}' => "not UTF-8".to_owned(),
            '\t' | '\n' | '\r' => String::new(),
            c if c.is_control() => format!("control character U+{:04X}", u32::from(c)),
            _ => String::new(),
        };
        if !message.is_empty() {
            return Err(Problem::error(line, column, message));
        }
        (line, column) = match c {
            '\n' if last == '\r' => (line, 1),
            '\n' | '\r' => (line + 1, 1),
            _ => (line, column + 1),
        };
        last = c;
    }
    Ok(())
}

/// JSON escapes what is beyond U+FFFF as two halves, which YAML does not know: `\ud83d\ude00` becomes `\U0001f600`.
/// What follows on the same line moves by two columns. A document that begins with a brace has no other kind of string
/// in which such an escape would be plain text.
fn join_surrogates(text: &str) -> Cow<'_, str> {
    const PAIR: usize = "\\ud83d\\ude00".len();
    if !is_json(text) || !text.contains("\\u") {
        return Cow::Borrowed(text);
    }
    let half = |at: usize| {
        let digits = text.get(at..at + PAIR / 2)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = 0;
    while let Some(found) = text[rest..].find('\\') {
        let at = rest + found;
        let pair = half(at).zip(half(at + PAIR / 2)).map(|(high, low)| [high, low]);
        let joined = pair.and_then(|pair| char::decode_utf16(pair).next()?.ok()).filter(|c| *c > '\u{ffff}');
        out.push_str(&text[rest..at]);
        rest = match joined {
            Some(joined) => {
                out.push_str(&format!("\\U{:08x}", u32::from(joined)));
                at + PAIR
            }
            // An escape of two characters, so that the second of `\\\\` does not begin another.
            None => {
                let end = text[at + 1..].chars().next().map_or(at + 1, |next| at + 1 + next.len_utf8());
                out.push_str(&text[at..end]);
                end
            }
        };
    }
    out.push_str(&text[rest..]);
    Cow::Owned(out)
}

/// A list or mapping that has begun.
struct Frame {
    place: Marker,
    anchor: usize,
    weight: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashSet<String>, key: Option<(String, Marker)>, merged: Vec<Entry> },
}

struct Builder {
    frames: Vec<Frame>,
    /// Finished anchored nodes and their weight.
    anchors: HashMap<usize, (Node, usize)>,
    budget: usize,
    documents: Vec<Node>,
}

impl Builder {
    /// Reads the documents of a text that begins at `start`. Gives the rest, and where it begins, when another document of
    /// JSON follows one without a mark between them, of which YAML knows nothing.
    fn read<'a>(&mut self, text: &'a str, start: Marker) -> Result<Option<(&'a str, Marker)>, Problem> {
        let (json, mut rest, mut passed) = (is_json(text), text.chars(), 0);
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| at(from(start, *error.marker()), error.info()))?;
            let is_end = event == Event::MappingEnd;
            self.take(event, from(start, span.start))?;
            if json && is_end && self.frames.is_empty() {
                rest.by_ref().take(span.end.index().saturating_sub(passed)).for_each(drop);
                passed = span.end.index();
                if is_json(rest.as_str()) {
                    let end = from(start, span.end);
                    self.spend(ANEW, end)?;
                    return Ok(Some((rest.as_str(), end)));
                }
            }
        }
        Ok(None)
    }

    fn take(&mut self, event: Event, place: Marker) -> Result<(), Problem> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag.as_deref()).map_err(|message| at(place, message))?;
                self.finish(value, place, anchor, NODE + text.len())
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(place, anchor, tag.as_deref(), "seq", Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let content =
                    Content::Map { entries: vec![], seen: HashSet::new(), key: None, merged: vec![] };
                self.open(place, anchor, tag.as_deref(), "map", content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(place),
            Event::Alias(anchor) => {
                let Some((node, weight)) = self.anchors.get(&anchor).cloned() else {
                    return Err(at(place, "an alias inside of what it stands for"));
                };
                self.spend(weight, place)?;
                self.add(node, place, weight)
            }
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn spend(&mut self, weight: usize, place: Marker) -> Result<(), Problem> {
        self.budget = self.budget.checked_sub(weight).ok_or_else(|| {
            at(place, "too much: anchors and aliases (or far too many values) make this manifest larger than any Pod is")
        })?;
        Ok(())
    }

    fn open(
        &mut self,
        place: Marker,
        anchor: usize,
        tag: Option<&Tag>,
        kind: &str,
        content: Content,
    ) -> Result<(), Problem> {
        if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && tag.suffix == kind)
        {
            return Err(at(place, format!("tag {} is not supported", quoted(&tag.to_string()))));
        }
        if self.frames.len() == DEEPEST {
            return Err(at(place, format!("nested deeper than {DEEPEST} levels")));
        }
        self.frames.push(Frame { place, anchor, weight: 0, content });
        Ok(())
    }

    fn close(&mut self, place: Marker) -> Result<(), Problem> {
        let Some(Frame { place, anchor, weight, content }) = self.frames.pop() else {
            return Err(at(place, "an end without a beginning"));
        };
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map { mut entries, seen, merged, .. } => {
                // `<<: *anchor`: what is written here wins, then the first of the merged mappings.
                let mut seen = seen;
                entries.extend(merged.into_iter().filter(|entry| seen.insert(entry.key.clone())));
                Value::Map(entries)
            }
        };
        self.finish_weighed(value, place, anchor, NODE, weight)
    }

    fn finish(&mut self, value: Value, place: Marker, anchor: usize, own: usize) -> Result<(), Problem> {
        self.finish_weighed(value, place, anchor, own, 0)
    }

    /// A node is complete: pays for it, remembers it if it has an anchor, and adds it to what it stands in.
    fn finish_weighed(
        &mut self,
        value: Value,
        place: Marker,
        anchor: usize,
        own: usize,
        below: usize,
    ) -> Result<(), Problem> {
        self.spend(own, place)?;
        let weight = own + below;
        let node = Node { value, line: place.line(), column: place.col() + 1 };
        if anchor > 0 {
            self.spend(weight, place)?; // the copy that is kept for aliases
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        self.add(node, place, weight)
    }

    fn add(&mut self, mut node: Node, place: Marker, weight: usize) -> Result<(), Problem> {
        let Some(frame) = self.frames.last_mut() else {
            if node.value != Value::Null {
                self.documents.push(node);
            }
            return Ok(());
        };
        frame.weight += weight;
        match &mut frame.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, seen, key, merged } => match key.take() {
                None => {
                    // As in JSON, a key is text; `1:` and `true:` are taken as written.
                    let Some(text) = node.written() else {
                        return Err(at(place, format!("a key is {}, not a name", node.kind())));
                    };
                    if text != "<<" && !seen.insert(text.to_owned()) {
                        return Err(at(place, format!("duplicate key {}", quoted(text))));
                    }
                    *key = Some((text.to_owned(), place));
                }
                Some((name, _)) if name == "<<" => merge(node, place, merged)?,
                Some((key, key_place)) => {
                    let (line, column) = (key_place.line(), key_place.col() + 1);
                    if node.value == Value::Null {
                        (node.line, node.column) = (line, column); // nothing stands nowhere: point at its key
                    }
                    entries.push(Entry { key, line, column, value: node });
                }
            },
        }
        Ok(())
    }
}

/// The value of a `<<` key: a mapping, or a list of them.
fn merge(node: Node, place: Marker, merged: &mut Vec<Entry>) -> Result<(), Problem> {
    match node.value {
        Value::Map(entries) => merged.extend(entries),
        Value::List(items) if items.iter().all(|item| matches!(item.value, Value::Map(_))) => {
            merged.extend(items.iter().flat_map(|item| item.entries().to_vec()));
        }
        _ => return Err(at(place, "the value of a merge key << is a mapping or a list of mappings")),
    }
    Ok(())
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
