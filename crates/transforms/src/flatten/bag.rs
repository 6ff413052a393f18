//! Name/value elements: `{"Name":"ForwardTo","Value":"eve@example.org"}` and its kin.
//!
//! Microsoft's schemas carry what should have been an object as an array of such elements, in several spellings:
//! `Name`/`Value` (Exchange, Entra, SharePoint), `Name`/`NewValue`/`OldValue` (what was modified), `Key`/`Value`
//! (Teams), `key`/`value` and `displayName`/`newValue`/`oldValue` (Graph). An element is told by its own members,
//! whatever the array is called, so that a schema that nobody has seen yet is read as well.
//!
//! `ID`/`Type` (`Actor`, `Target`) is not one of them: the ID is the datum, not the datum's name.

use downspout_core::json::Tag;
use downspout_core::rewrite::Rewrite;
use downspout_core::value::Bag;

/// How an element is spelt. Members are given by the nodes of their names.
pub(super) struct Spelling {
    pub(super) bag: Bag,
    /// The member that names the element.
    pub(super) name: u32,
    /// The member whose value stands for the element itself; 0 if there is none.
    pub(super) value: u32,
}

/// What a member is in a name/value element.
enum Role {
    Names(Bag),
    Value(Case),
    /// `NewValue`, `OldValue`
    Changed(Case),
    Other,
}

#[derive(Clone, Copy, PartialEq)]
enum Case {
    Upper,
    Lower,
}

fn role(key: &[u8]) -> Role {
    match key {
        b"Name" => Role::Names(Bag::Name),
        b"Key" => Role::Names(Bag::Key),
        b"DisplayName" => Role::Names(Bag::DisplayName),
        b"Value" => Role::Value(Case::Upper),
        b"NewValue" | b"OldValue" => Role::Changed(Case::Upper),
        b"name" => Role::Names(Bag::LowerName),
        b"key" => Role::Names(Bag::LowerKey),
        b"displayName" => Role::Names(Bag::LowerDisplayName),
        b"value" => Role::Value(Case::Lower),
        b"newValue" | b"oldValue" => Role::Changed(Case::Lower),
        _ => Role::Other,
    }
}

fn case(bag: Bag) -> Case {
    match bag {
        Bag::Name | Bag::Key | Bag::DisplayName => Case::Upper,
        Bag::LowerName | Bag::LowerKey | Bag::LowerDisplayName => Case::Lower,
    }
}

/// Whether an object is a name/value element, and how it is spelt.
///
/// It is one if exactly one member names it, by a string, and at least one member of the same case is a value.
pub(super) fn spelling(rewrite: &mut Rewrite<'_>, object: u32) -> Option<Spelling> {
    let nodes = rewrite.nodes_of(object);
    let mut named = None;
    let mut values = [0; 2];
    let mut changed = [false; 2];
    let mut key = 1;
    while let Some([name, value, ..]) = nodes.get(key..) {
        match role(rewrite.node_bytes(*name)) {
            Role::Names(_) if named.is_some() => return None,
            Role::Names(bag) => named = Some((bag, key, value.tag)),
            Role::Value(case) => values[case as usize] = object + key as u32,
            Role::Changed(case) => changed[case as usize] = true,
            Role::Other => {}
        }
        key = (value.end - object) as usize;
    }
    let (bag, name, tag) = named?;
    let case = case(bag) as usize;
    if values[case] == 0 && !changed[case] {
        return None;
    }
    if !matches!(tag, Tag::String | Tag::EscapedString) {
        rewrite.depends_on_values();
        return None;
    }
    Some(Spelling { bag, name: object + name as u32, value: values[case] })
}
