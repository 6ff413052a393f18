//! A serde deserialiser over the tree, for plain structs with `#[serde(deny_unknown_fields)]`.
//!
//! What is asked for decides how a plain scalar is read: `tenant_id: 123` is a number for a `u64` and a text for
//! a `String`. Nothing else is converted: a quoted number is no number, one value is no list of one.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::de_error::{DeError, Step, describe};
use super::scalar::{Plain, classify};
use super::tree::{Entry, Scalar};
use super::{Node, NodeValue, Span};

type Result<T> = std::result::Result<T, DeError>;

/// Reads one value of the tree.
#[derive(Clone, Copy)]
pub(super) struct NodeDeserializer<'a> {
    node: &'a Node,
    taken: &'a [&'a str],
}

impl<'a> NodeDeserializer<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        Self { node, taken: &[] }
    }

    /// Leaves out keys of the mapping itself that the caller deals with.
    pub(super) fn without(node: &'a Node, taken: &'a [&'a str]) -> Self {
        Self { node, taken }
    }

    fn mismatch(self, expected: impl Into<String>) -> DeError {
        DeError::mismatch(expected, describe(self.node))
    }

    fn scalar(self) -> Option<&'a Scalar> {
        match &self.node.value {
            NodeValue::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// What the value is as an unquoted scalar; quoted ones are texts.
    fn plain(self) -> Plain {
        match self.scalar() {
            Some(scalar) if scalar.plain => classify(&scalar.text),
            _ => Plain::Text,
        }
    }

    /// Tells why a number or boolean in quotes is none.
    fn with_quote_help(self, error: DeError) -> DeError {
        let unquoted = match self.scalar() {
            Some(scalar) if !scalar.plain => classify(&scalar.text),
            _ => return error,
        };
        match unquoted {
            Plain::Bool(_) | Plain::Int(_) | Plain::Float(_) => {
                error.help("leave out the quotes: what stands in quotes is a string")
            }
            Plain::Null | Plain::Text => error,
        }
    }

    fn whole_number(self, min: i128, max: i128) -> Result<i128> {
        match self.plain() {
            Plain::Int(number) if number < min => Err(self.mismatch(format!("a whole number of at least {min}"))),
            Plain::Int(number) if number > max => Err(self.mismatch(format!("a whole number of at most {max}"))),
            Plain::Int(number) => Ok(number),
            _ => Err(self.with_quote_help(self.mismatch("a whole number"))),
        }
    }

    /// The visitors of the standard library's integers take any width that holds the number.
    fn unsigned<'de, V: Visitor<'de>>(self, max: u64, visitor: V) -> Result<V::Value> {
        let number = self.whole_number(0, max.into())?;
        visitor.visit_u64(u64::try_from(number).unwrap_or(max))
    }

    fn signed<'de, V: Visitor<'de>>(self, min: i64, max: i64, visitor: V) -> Result<V::Value> {
        let number = self.whole_number(min.into(), max.into())?;
        visitor.visit_i64(i64::try_from(number).unwrap_or(max))
    }

    fn number(self) -> Result<f64> {
        match self.plain() {
            Plain::Int(number) => Ok(number as f64),
            Plain::Float(number) => Ok(number),
            _ => Err(self.with_quote_help(self.mismatch("a number"))),
        }
    }

    fn text(self, expected: &str) -> Result<&'a str> {
        match self.scalar() {
            Some(scalar) if self.plain() != Plain::Null => Ok(&scalar.text),
            _ => Err(self.mismatch(expected)),
        }
    }

    fn items(self, expected: &str) -> Result<&'a [Node]> {
        match &self.node.value {
            NodeValue::Sequence(items) => Ok(items),
            NodeValue::Scalar(_) if self.plain() != Plain::Null => {
                Err(self.mismatch(expected).help("put it into brackets to make a list of one: [ ... ]"))
            }
            _ => Err(self.mismatch(expected)),
        }
    }

    fn entries(self) -> Result<&'a [Entry]> {
        match &self.node.value {
            NodeValue::Mapping(entries) => Ok(entries),
            _ => Err(self.mismatch("a mapping")),
        }
    }

    fn visit_items<'de, V: Visitor<'de>>(self, items: &'a [Node], visitor: V) -> Result<V::Value> {
        visitor.visit_seq(Items { items: items.iter().enumerate() })
    }

    fn visit_entries<'de, V: Visitor<'de>>(self, entries: &'a [Entry], visitor: V) -> Result<V::Value> {
        let mut access = Entries { entries: entries.iter(), current: None, last_key: None, taken: self.taken };
        let result = visitor.visit_map(&mut access);
        result.map_err(|error| error.at_repeated_key(access.last_key))
    }
}

impl<'de> Deserializer<'de> for NodeDeserializer<'_> {
    type Error = DeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let scalar = match &self.node.value {
            NodeValue::Scalar(scalar) => scalar,
            NodeValue::Sequence(items) => return self.visit_items(items, visitor),
            NodeValue::Mapping(entries) => return self.visit_entries(entries, visitor),
        };
        match self.plain() {
            Plain::Null => visitor.visit_unit(),
            Plain::Bool(value) => visitor.visit_bool(value),
            Plain::Int(number) => match (u64::try_from(number), i64::try_from(number)) {
                (Ok(unsigned), _) => visitor.visit_u64(unsigned),
                (_, Ok(signed)) => visitor.visit_i64(signed),
                _ => visitor.visit_f64(number as f64),
            },
            Plain::Float(number) => visitor.visit_f64(number),
            Plain::Text => visitor.visit_str(&scalar.text),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.plain() {
            Plain::Bool(value) => visitor.visit_bool(value),
            _ => Err(self.with_quote_help(self.mismatch("`true` or `false`"))),
        }
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.signed(i8::MIN.into(), i8::MAX.into(), visitor)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.signed(i16::MIN.into(), i16::MAX.into(), visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.signed(i32::MIN.into(), i32::MAX.into(), visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.signed(i64::MIN, i64::MAX, visitor)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.unsigned(u8::MAX.into(), visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.unsigned(u16::MAX.into(), visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.unsigned(u32::MAX.into(), visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.unsigned(u64::MAX, visitor)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_f64(self.number()?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_f64(self.number()?)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_str(self.text("a character")?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_str(self.text("a string")?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.plain() {
            Plain::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.plain() {
            Plain::Null => visitor.visit_unit(),
            _ => Err(self.mismatch("nothing")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.visit_items(self.items("a list")?, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        let expected = format!("a list of {length} values");
        let items = self.items(&expected)?;
        if items.len() != length {
            return Err(DeError::mismatch(expected, items.len().to_string()));
        }
        self.visit_items(items, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.visit_entries(self.entries()?, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        if let Ok(text) = self.text("") {
            return visitor.visit_enum(StrDeserializer::new(text));
        }
        match self.node.entries() {
            [entry] => visitor.visit_enum(Variant { entry }),
            _ => Err(self.mismatch(format!("one of {}", variants.join(", ")))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }
}

/// The items of a list.
struct Items<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = DeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some((index, item)) = self.items.next() else {
            return Ok(None);
        };
        seed.deserialize(NodeDeserializer::new(item))
            .map(Some)
            .map_err(|error| error.at(item).below(Step::Index(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The entries of a mapping, without those that the caller has taken.
struct Entries<'a> {
    entries: std::slice::Iter<'a, Entry>,
    current: Option<&'a Entry>,
    last_key: Option<Span>,
    taken: &'a [&'a str],
}

impl<'de> MapAccess<'de> for &mut Entries<'_> {
    type Error = DeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let taken = self.taken;
        self.current = self.entries.find(|entry| !taken.contains(&entry.key.as_str()));
        let Some(entry) = self.current else {
            return Ok(None);
        };
        self.last_key = Some(entry.key_span);
        read_key(entry, seed).map(Some).map_err(|error| error.also_known(taken))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        match self.current.take() {
            Some(entry) => read_value(entry, seed),
            None => Err(serde::de::Error::custom("a value was asked for before its key")),
        }
    }
}

/// A mapping with one key: the variant of an enum that carries data.
struct Variant<'a> {
    entry: &'a Entry,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = DeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        Ok((read_key(self.entry, seed)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = DeError;

    fn unit_variant(self) -> Result<()> {
        read_value(self.entry, std::marker::PhantomData::<()>)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        read_value(self.entry, seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        NodeDeserializer::new(&self.entry.value)
            .deserialize_tuple(length, visitor)
            .map_err(|error| below(self.entry, error))
    }

    fn struct_variant<V: Visitor<'de>>(self, _fields: &'static [&'static str], visitor: V) -> Result<V::Value> {
        NodeDeserializer::new(&self.entry.value).deserialize_map(visitor).map_err(|error| below(self.entry, error))
    }
}

/// A key is read like a plain scalar, except that it is never null.
fn read_key<'de, K: DeserializeSeed<'de>>(entry: &Entry, seed: K) -> Result<K::Value> {
    let text = entry.key.as_str();
    let result = match classify(text) {
        Plain::Null | Plain::Text => seed.deserialize(text.into_deserializer()),
        _ => {
            let scalar = Scalar { text: text.to_owned(), plain: true, secret: false };
            let node = Node { span: entry.key_span, value: NodeValue::Scalar(scalar) };
            seed.deserialize(NodeDeserializer::new(&node))
        }
    };
    result.map_err(|error| error.at_key(entry.key_span))
}

fn read_value<'de, V: DeserializeSeed<'de>>(entry: &Entry, seed: V) -> Result<V::Value> {
    seed.deserialize(NodeDeserializer::new(&entry.value)).map_err(|error| below(entry, error))
}

fn below(entry: &Entry, error: DeError) -> DeError {
    error.at(&entry.value).below(Step::Key(entry.key.clone()))
}
