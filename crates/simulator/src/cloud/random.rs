//! Chance without state: dice that depend on a seed and on what they are thrown for.
//!
//! A record's delay must not depend on when the server was asked, so there is no generator to advance; each throw is
//! a hash of its subject.

/// One step of SplitMix64: every bit of the result depends on every bit of the input.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number that follows from a seed and a text.
pub(crate) fn hash(seed: u64, text: &str) -> u64 {
    // FNV-1a spreads badly in its high bits; `mix` mends that.
    let sum = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325 ^ seed, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    mix(sum)
}

/// The number as a fraction in 0..1.
pub(crate) fn fraction(number: u64) -> f64 {
    // 53 bits are what a double can hold exactly.
    (number >> 11) as f64 / (1_u64 << 53) as f64
}

/// A GUID in its usual spelling that follows from a seed and a text.
pub(crate) fn guid(seed: u64, text: &str) -> String {
    let (high, low) = (hash(seed, text), hash(seed ^ 0x5555, text));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | (low >> 48) & 0x3fff,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throws_are_fair_enough_and_stable() {
        let hits = (0..10_000).filter(|n| fraction(hash(7, &format!("record {n}"))) < 0.1).count();
        assert!((900..1100).contains(&hits), "{hits}");
        assert_eq!(hash(1, "a"), hash(1, "a"));
        assert_ne!(hash(1, "a"), hash(2, "a"));
    }

    #[test]
    fn guids_look_like_guids() {
        let id = guid(1, "x");
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'), "{id}");
    }
}
