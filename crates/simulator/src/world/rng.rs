//! Chance from a seed. A generator of its own (SplitMix64), for a library's may change its stream with a version, and
//! then every world would be another one.

/// A stream of numbers that follows from its seed alone.
#[derive(Debug, Clone)]
pub(super) struct Rng(u64);

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// One number from two, well mixed: for values that must follow from a name instead of a stream.
pub(super) fn mix(a: u64, b: u64) -> u64 {
    finish(a.wrapping_add(b.wrapping_mul(GOLDEN)).wrapping_add(GOLDEN))
}

/// One number from a text.
pub(super) fn hash(seed: u64, text: &str) -> u64 {
    text.bytes().fold(mix(seed, text.len() as u64), |state, byte| mix(state, u64::from(byte)))
}

fn finish(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Rng {
    pub(super) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        finish(self.0)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        scale(self.next(), bound as u64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn range(&mut self, low: i64, high: i64) -> i64 {
        low + scale(self.next(), high.saturating_sub(low).max(0) as u64 + 1) as i64
    }

    /// True in `percent` of 100 cases.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent as usize
    }

    /// One of `all`, which must not be empty.
    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// A number from 0 to below 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Brings a random number below `bound`.
pub(super) fn scale(random: u64, bound: u64) -> u64 {
    ((u128::from(random) * u128::from(bound)) >> 64) as u64
}

const HEX: &[u8; 16] = b"0123456789abcdef";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends a random (version 4) UUID made of two numbers.
pub(super) fn push_uuid(out: &mut String, high: u64, low: u64) {
    let high = (high & !0xF000) | 0x4000;
    let low = (low & !(0b11 << 62)) | (0b10 << 62);
    let mut text = [b'-'; 36];
    let bits = (u128::from(high) << 64) | u128::from(low);
    let mut place = 0;
    for digit in 0..32 {
        if matches!(place, 8 | 13 | 18 | 23) {
            place += 1;
        }
        text[place] = HEX[((bits >> (124 - 4 * digit)) & 15) as usize];
        place += 1;
    }
    // The digits are ASCII, so this never fails.
    out.push_str(std::str::from_utf8(&text).unwrap_or_default());
}

/// A UUID that follows from a number.
pub(super) fn uuid_of(seed: u64) -> String {
    let mut out = String::with_capacity(36);
    push_uuid(&mut out, mix(seed, 1), mix(seed, 2));
    out
}

/// Appends `digits` hexadecimal digits.
pub(super) fn push_hex(out: &mut String, rng: &mut Rng, digits: u32) {
    let mut bits = 0;
    for digit in 0..digits {
        if digit % 16 == 0 {
            bits = rng.next();
        }
        out.push(char::from(HEX[(bits & 15) as usize]));
        bits >>= 4;
    }
}

/// Appends `length` characters of the base64 alphabet.
pub(super) fn push_base64(out: &mut String, rng: &mut Rng, length: u32) {
    let mut bits = 0;
    for place in 0..length {
        if place % 10 == 0 {
            bits = rng.next();
        }
        out.push(char::from(BASE64[(bits & 63) as usize]));
        bits >>= 6;
    }
}

/// Appends a number in decimal digits.
pub(super) fn push_number(out: &mut String, number: i64) {
    let mut digits = [0u8; 20];
    let mut place = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        place -= 1;
        digits[place] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push('-');
    }
    // The digits are ASCII, so this never fails.
    out.push_str(std::str::from_utf8(&digits[place..]).unwrap_or_default());
}
