//! What a field holds: slices into a batch's texts, and the trail that says where in nested arrays they stood.

use crate::field::FieldId;
use crate::json::Home;

/// A value as a reader sees it. It borrows from the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it was written.
    Number(&'a str),
    /// A string, unescaped.
    String(&'a str),
    /// `{}`
    EmptyObject,
    /// `[]`
    EmptyArray,
    /// An object or array that nobody has opened (no `flatten`, or its budget was spent): its JSON text.
    Json(&'a str),
}

impl<'a> Value<'a> {
    /// The text that stands for the value where only text fits: strings and numbers as they are, the rest as JSON.
    pub fn text(self) -> &'a str {
        match self {
            Value::Null => "null",
            Value::Bool(true) => "true",
            Value::Bool(false) => "false",
            Value::Number(text) | Value::String(text) | Value::Json(text) => text,
            Value::EmptyObject => "{}",
            Value::EmptyArray => "[]",
        }
    }

    /// The text of a string; `None` for every other kind.
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Appends the value as JSON, in one line.
    pub fn write_json(self, out: &mut Vec<u8>) {
        match self {
            Value::String(text) => crate::json::write_string(text, out),
            Value::Json(text) => write_in_a_line(text, out),
            other => out.extend_from_slice(other.text().as_bytes()),
        }
    }
}

/// Appends the text of JSON with its bare newlines as blanks. JSON allows them between tokens only, so nothing else
/// changes.
pub(crate) fn write_in_a_line(json: &str, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(json.as_bytes());
    for byte in &mut out[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    True,
    False,
    Number,
    String,
    EmptyObject,
    EmptyArray,
    Json,
}

impl Kind {
    /// Whether it is a container without members.
    pub(crate) fn is_empty(self) -> bool {
        matches!(self, Kind::EmptyObject | Kind::EmptyArray)
    }
}

/// A value as a batch stores it: twelve bytes, whatever its length.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    pub(crate) kind: Kind,
    pub(crate) home: Home,
    /// An original that was opened beneath: kept so that the record can be rebuilt, left out of printed forms.
    pub(crate) opened: bool,
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Slot {
    /// Whether it is a string.
    pub fn is_string(self) -> bool {
        self.kind == Kind::String
    }

    /// Whether it is an object or array nobody has opened.
    pub fn is_json(self) -> bool {
        self.kind == Kind::Json
    }

    /// How many bytes of text it points to.
    pub fn size(self) -> u32 {
        self.len
    }

    /// A string that is a part of this one. `range` counts bytes and lies inside, on character borders.
    pub fn part(self, range: std::ops::Range<usize>) -> Slot {
        Slot { start: self.start + range.start as u32, len: range.len() as u32, ..self }
    }

    /// Whether it is a scalar that says something: neither null nor the empty string, and no object or array.
    #[inline]
    pub fn is_telling(self) -> bool {
        match self.kind {
            Kind::Number | Kind::String => self.len > 0,
            Kind::True | Kind::False => true,
            Kind::Null | Kind::EmptyObject | Kind::EmptyArray | Kind::Json => false,
        }
    }

    /// Whether it is an original whose content follows opened.
    #[inline]
    pub fn is_opened(self) -> bool {
        self.opened
    }

    /// The same value, marked as an original whose content follows opened.
    pub fn opened(self) -> Slot {
        Slot { opened: true, ..self }
    }
}

/// A trail's number in its batch; 0 is the empty trail.
pub type TrailId = u32;

/// One field of an event.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Which field.
    pub field: FieldId,
    /// Where in arrays it stood.
    pub trail: TrailId,
    /// What it holds.
    pub slot: Slot,
}

/// How the elements of a name/value array spell their members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bag {
    /// `Name`, `Value`
    Name,
    /// `Key`, `Value`
    Key,
    /// `DisplayName`, `Value`
    DisplayName,
    /// `name`, `value`
    LowerName,
    /// `key`, `value`
    LowerKey,
    /// `displayName`, `value`
    LowerDisplayName,
}

impl Bag {
    /// The member that names the element.
    pub fn name(self) -> &'static str {
        match self {
            Bag::Name => "Name",
            Bag::Key => "Key",
            Bag::DisplayName => "DisplayName",
            Bag::LowerName => "name",
            Bag::LowerKey => "key",
            Bag::LowerDisplayName => "displayName",
        }
    }

    /// The member whose value stands for the element itself; others stand beneath the element's name.
    pub fn value(self) -> &'static str {
        match self {
            Bag::Name | Bag::Key | Bag::DisplayName => "Value",
            Bag::LowerName | Bag::LowerKey | Bag::LowerDisplayName => "value",
        }
    }
}

/// What happened to the path at one depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The segments above lead to an array; this is its element of that index.
    Element(u32),
    /// As `Element`, and the next segment is the name that the element gave itself.
    Named(u32, Bag),
    /// The segments above lead to an element that named itself; this is its value, an object.
    Value,
    /// The segments above lead to a string; what follows was read out of it.
    Opened,
}

/// One step through arrays on the way to a value, linked to the steps before it.
///
/// Paths alone do not tell `[{"a":1},{"a":2}]` from `{"a":[1,2]}`, and names must not carry indexes (a mailbox
/// record with 500 items would make 500 names). So the indexes stand beside the path.
#[derive(Debug, Clone, Copy)]
pub struct Trail {
    /// The steps before this one.
    pub parent: TrailId,
    /// How many segments stand above the step.
    pub depth: u32,
    /// The step.
    pub step: Step,
    /// Whether this step or one before it is an `Element`: then the field may have several values in the event.
    pub repeats: bool,
}

impl Trail {
    /// The empty trail, number 0 of every batch.
    pub(crate) const ROOT: Trail = Trail { parent: 0, depth: 0, step: Step::Opened, repeats: false };
}
