//! Members added to a JSON object without touching what is there.

/// `object` with these members behind its own; each value is JSON.
pub(crate) fn splice(object: &[u8], additions: &[(&str, &[u8])]) -> Vec<u8> {
    let text = object.trim_ascii();
    let Some(body) = text.strip_suffix(b"}") else { return text.to_vec() };
    let body = body.trim_ascii_end();
    let mut spliced =
        Vec::with_capacity(text.len() + additions.iter().map(|(_, value)| value.len() + 32).sum::<usize>());
    spliced.extend_from_slice(body);
    let mut first = body.ends_with(b"{");
    for (name, value) in additions {
        if !std::mem::take(&mut first) {
            spliced.push(b',');
        }
        spliced.push(b'"');
        spliced.extend_from_slice(name.as_bytes());
        spliced.extend_from_slice(b"\":");
        spliced.extend_from_slice(value);
    }
    spliced.push(b'}');
    spliced
}

/// A list of JSON values as one.
pub(crate) fn array<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> Vec<u8> {
    let mut array = vec![b'['];
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            array.push(b',');
        }
        array.extend_from_slice(value);
    }
    array.push(b']');
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays_as_it_is() {
        for (object, expected) in [
            (r#"{"id": 1.50 }"#, r#"{"id": 1.50,"a":[1,{}],"b":true}"#),
            ("{}", r#"{"a":[1,{}],"b":true}"#),
            (" { } ", r#"{"a":[1,{}],"b":true}"#),
        ] {
            let list = array([b"1".as_slice(), b"{}"]);
            let spliced = splice(object.as_bytes(), &[("a", &list), ("b", b"true")]);
            let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&spliced).unwrap(), expected);
        }
        assert_eq!(splice(b"7", &[("a", b"1")]), b"7");
        assert_eq!(array([]), b"[]");
    }
}
