//! Bits as Parquet packs them: levels, and numbers of whole bytes, in the hybrid of runs and bit-packing.
//!
//! Format: Parquet's `Encodings.md`, "Run Length Encoding / Bit-Packing Hybrid". A page is written as one run if all
//! its values are equal and as one bit-packed stretch otherwise: what repeats inside, zstd finds.

/// Levels of one bit: definition or repetition levels of columns that are optional or repeat once. Equal levels follow
/// each other, so they are counted first and written as bits when another comes.
#[derive(Debug, Default)]
pub(super) struct Levels {
    words: Vec<u64>,
    /// Levels in `words`.
    written: usize,
    ones: usize,
    /// The levels that follow: so many times the same.
    level: bool,
    run: usize,
}

impl Levels {
    pub(super) fn clear(&mut self) {
        self.words.clear();
        *self = Levels { words: std::mem::take(&mut self.words), ..Levels::default() };
    }

    pub(super) fn len(&self) -> usize {
        self.written + self.run
    }

    /// How many levels are 0.
    pub(super) fn zeros(&self) -> usize {
        self.written - self.ones + if self.level { 0 } else { self.run }
    }

    #[inline]
    pub(super) fn push(&mut self, level: bool) {
        self.push_many(level, 1);
    }

    #[inline]
    pub(super) fn push_many(&mut self, level: bool, count: usize) {
        if level != self.level {
            self.write_run();
            self.level = level;
        }
        self.run += count;
    }

    fn write_run(&mut self) {
        if self.level {
            self.ones += self.run;
        }
        while self.run > 0 {
            let used = self.written % 64;
            if used == 0 {
                self.words.push(0);
            }
            let now = self.run.min(64 - used);
            if self.level
                && let Some(word) = self.words.last_mut()
            {
                *word |= (u64::MAX >> (64 - now)) << used;
            }
            self.written += now;
            self.run -= now;
        }
    }

    /// Appends the levels as data pages of version 1 hold them: behind their length in bytes.
    pub(super) fn write(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        if self.written == 0 {
            run(self.run, u32::from(self.level), 1, out);
        } else {
            self.write_run();
            let bytes = self.written.div_ceil(8);
            push_varint((bytes << 1 | 1) as u64, out);
            let end = out.len() + bytes;
            self.words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
            out.truncate(end);
        }
        let len = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    }
}

/// How many bytes tell `count` numbers apart.
pub(super) fn bytes_for(count: usize) -> usize {
    (usize::BITS - count.saturating_sub(1).leading_zeros()).div_ceil(8) as usize
}

/// Appends numbers, each as its lowest `bytes` bytes.
pub(super) fn pack(numbers: &[u32], bytes: usize, out: &mut Vec<u8>) {
    let Some(first) = numbers.first() else { return };
    if bytes == 0 || numbers.iter().all(|number| number == first) {
        return run(numbers.len(), *first, bytes, out);
    }
    let groups = numbers.len().div_ceil(8);
    push_varint((groups << 1 | 1) as u64, out);
    let end = out.len() + groups * 8 * bytes;
    out.reserve(end - out.len());
    match bytes {
        1 => out.extend(numbers.iter().map(|number| *number as u8)),
        2 => out.extend(numbers.iter().flat_map(|number| (*number as u16).to_le_bytes())),
        _ => numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()[..bytes])),
    }
    // A group is eight numbers, the last one filled up with zeros.
    out.resize(end, 0);
}

/// Appends `count` times the same number.
fn run(count: usize, number: u32, bytes: usize, out: &mut Vec<u8>) {
    push_varint((count << 1) as u64, out);
    out.extend_from_slice(&number.to_le_bytes()[..bytes]);
}

fn push_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads the hybrid back, by the words of the specification.
    fn unpack(mut bytes: &[u8], width: u32, count: usize) -> Vec<u32> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let (mut header, mut shift) = (0u64, 0);
            loop {
                header |= u64::from(bytes[0] & 0x7f) << shift;
                shift += 7;
                let more = bytes[0] & 0x80 != 0;
                bytes = &bytes[1..];
                if !more {
                    break;
                }
            }
            if header & 1 == 0 {
                let size = width.div_ceil(8) as usize;
                let value = bytes[..size].iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
                bytes = &bytes[size..];
                numbers.extend(std::iter::repeat_n(value, (header >> 1) as usize));
            } else {
                let size = (header >> 1) as usize * width as usize;
                for index in 0..(header >> 1) as usize * 8 {
                    let bit = |at: usize| u32::from(bytes[at / 8] >> (at % 8) & 1);
                    let first = index * width as usize;
                    numbers.push((0..width as usize).map(|n| bit(first + n) << n).sum());
                }
                bytes = &bytes[size..];
            }
        }
        assert!(bytes.is_empty());
        numbers.truncate(count);
        numbers
    }

    #[test]
    fn widths() {
        let widths = [0, 1, 2, 256, 257, 65_536, 65_537, 1 << 24].map(bytes_for);
        assert_eq!(widths, [0, 0, 1, 1, 2, 2, 3, 3]);
    }

    proptest! {
        #[test]
        fn numbers_come_back(bound in 1u32..100_000, seeds in prop::collection::vec(0u32..100_000, 1..200)) {
            let numbers: Vec<u32> = seeds.iter().map(|seed| seed % bound).collect();
            let bytes = bytes_for(bound as usize);
            let mut out = Vec::new();
            pack(&numbers, bytes, &mut out);
            prop_assert_eq!(unpack(&out, 8 * bytes as u32, numbers.len()), numbers);
        }

        #[test]
        fn levels_come_back(rows in prop::collection::vec((any::<bool>(), 0usize..200), 1..20)) {
            let mut levels = Levels::default();
            let mut expected = Vec::new();
            for (one, ones) in rows {
                levels.push(one);
                levels.push_many(true, ones);
                expected.push(u32::from(one));
                expected.extend(std::iter::repeat_n(1, ones));
            }
            prop_assert_eq!(levels.zeros(), expected.iter().filter(|level| **level == 0).count());
            let mut out = Vec::new();
            levels.write(&mut out);
            prop_assert_eq!(u32::from_le_bytes([out[0], out[1], out[2], out[3]]) as usize, out.len() - 4);
            prop_assert_eq!(unpack(&out[4..], 1, expected.len()), &expected[..]);
            prop_assert_eq!(levels.len(), expected.len());
            prop_assert_eq!(levels.zeros(), expected.iter().filter(|level| **level == 0).count());
        }
    }
}
