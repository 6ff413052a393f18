//! How often trouble is told, and how loudly: once when it begins, louder when it lasts, and again every hour.

use std::time::Duration;

use jiff::Timestamp;
use tracing::Level;

use crate::clock::between;

/// Trouble that passes is an error only when it has lasted for so long.
const PATIENCE: Duration = Duration::from_secs(900);

/// Trouble that goes on is told so often.
const AGAIN: Duration = Duration::from_secs(3600);

/// Somebody's trouble, and what of it was told.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    since: Option<Timestamp>,
    told: Option<(Timestamp, Level)>,
}

impl Telling {
    /// How a failure is told; `None`: not again, for it is told already. `stopped`: it does not pass by itself, and is
    /// told every time. `awaited`: so is this one, for somebody waits for the end.
    pub(crate) fn tell(&mut self, now: Timestamp, stopped: bool, awaited: bool) -> Option<Level> {
        let since = *self.since.get_or_insert(now);
        let level = if stopped || between(since, now) >= PATIENCE { Level::ERROR } else { Level::WARN };
        let is_known = |(at, told)| told == level && between(at, now) < AGAIN;
        if !stopped && !awaited && self.told.is_some_and(is_known) {
            return None;
        }
        self.told = Some((now, level));
        Some(level)
    }

    /// It got somewhere meanwhile.
    pub(crate) fn pass(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_that_passes_is_no_error_at_once() {
        let at = |minutes: i64| Timestamp::from_second(1_767_571_200 + minutes * 60).unwrap();
        let mut trouble = Telling::default();
        for (minute, stopped, told) in [
            (0, false, Some(Level::WARN)),
            (14, false, None),
            (15, false, Some(Level::ERROR)),
            (70, false, None),
            (75, false, Some(Level::ERROR)),
            (76, true, Some(Level::ERROR)),
            (77, true, Some(Level::ERROR)),
        ] {
            assert_eq!(trouble.tell(at(minute), stopped, false), told, "{minute}");
        }
        trouble.pass();
        assert_eq!(trouble.tell(at(200), false, false), Some(Level::WARN));
        assert_eq!(trouble.tell(at(201), false, false), None);
        assert_eq!(trouble.tell(at(201), false, true), Some(Level::WARN));
    }
}
