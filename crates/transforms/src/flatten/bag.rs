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

/// What a member is in a name/value element. The number is the case: 0 `NewValue`, 1 `newValue`.
enum Role {
    Names(Bag, usize),
    Value(usize),
    Other,
}

fn role(key: &str) -> Role {
    match key {
        "Name" => Role::Names(Bag::Name, 0),
        "Key" => Role::Names(Bag::Key, 0),
        "DisplayName" => Role::Names(Bag::DisplayName, 0),
        "Value" | "NewValue" | "OldValue" => Role::Value(0),
        "name" => Role::Names(Bag::LowerName, 1),
        "key" => Role::Names(Bag::LowerKey, 1),
        "displayName" => Role::Names(Bag::LowerDisplayName, 1),
        "value" | "newValue" | "oldValue" => Role::Value(1),
        _ => Role::Other,
    }
}

/// Whether an object is a name/value element: its spelling, and the node of the member that names it.
///
/// It is one if exactly one member names it, by a string, and at least one member of the same case is a value.
pub(super) fn spelling(rewrite: &Rewrite<'_>, object: u32) -> Option<(Bag, u32)> {
    let end = rewrite.node(object).end;
    let mut named = None;
    let mut values = [false; 2];
    let mut key = object + 1;
    while key < end {
        match role(rewrite.node_text(rewrite.node(key))) {
            Role::Names(..) if named.is_some() => return None,
            Role::Names(bag, case) => named = Some((bag, case, key + 1)),
            Role::Value(case) => values[case] = true,
            Role::Other => {}
        }
        key = rewrite.node(key + 1).end;
    }
    let (bag, case, name) = named?;
    let string = matches!(rewrite.node(name).tag, Tag::String | Tag::EscapedString);
    (string && values[case]).then_some((bag, name))
}
