//! What proves that a session of Search-UnifiedAuditLog gave everything.
//!
//! The cmdlet counts: every row says which one it is (`ResultIndex`) and how many there are (`ResultCount`). When the
//! service times out inside, it does not say so: it sends -1 or 0, skips, or stops early. So a session is believed
//! only while its counts add up, and thrown away with everything it counted once they do not.

use super::record::Row;

/// The most rows that a session gives; behind that it repeats itself.
pub(crate) const SESSION_ROWS: u64 = 50_000;

/// The most rows that a call gives.
pub(crate) const BLOCK_ROWS: u64 = 5_000;

/// How far a session has come.
#[derive(Debug, Default)]
pub(crate) struct Session {
    rows: u64,
    total: Option<u64>,
}

/// What a block of rows means for its session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The same call again gives the next block.
    More,
    /// That was everything.
    Done,
    /// The window holds more than a session can give: that many rows.
    TooLarge(u64),
    /// The service gave fewer rows than a block holds although there are more. Blocks of that size may work.
    Short(u64),
    /// The counts do not add up; the reason.
    Broken(String),
}

impl Session {
    /// How many rows the service says there are.
    pub(crate) fn total(&self) -> u64 {
        self.total.unwrap_or(0)
    }

    /// Judges the next block. `asked` is how many rows were asked for, `cut` whether the service says that it cut the
    /// block short.
    pub(crate) fn judge(&mut self, block: &[Row], asked: u64, cut: bool) -> Verdict {
        let Some(last) = block.last() else {
            return match self.total {
                // The first block: a window without records, or a time-out. A second pass tells.
                None => Verdict::Done,
                Some(total) if total == self.rows => Verdict::Done,
                Some(total) => Verdict::Broken(format!("the session ended after {} of {total} rows", self.rows)),
            };
        };
        if block.iter().any(|row| row.index == Some(-1)) {
            return Verdict::Broken("a ResultIndex of -1: the search timed out inside the service".to_owned());
        }
        let Some(total) = last.count.and_then(|count| u64::try_from(count).ok()).filter(|count| *count > 0) else {
            return Verdict::Broken("rows with a ResultCount of 0: the search timed out inside the service".to_owned());
        };
        if total > SESSION_ROWS {
            return Verdict::TooLarge(total);
        }
        if let Some(before) = self.total.replace(total)
            && before != total
        {
            return Verdict::Broken(format!("ResultCount changed from {before} to {total} inside the session"));
        }
        let rows = block.len() as u64;
        if cut && rows < asked && self.rows + rows < total {
            return Verdict::Short(rows);
        }
        self.rows += rows;
        let index = block.iter().filter_map(|row| row.index).max().unwrap_or(0);
        if u64::try_from(index).ok() != Some(self.rows) {
            return Verdict::Broken(format!("row {} of the session says that it is number {index}", self.rows));
        }
        match self.rows.cmp(&total) {
            std::cmp::Ordering::Less => Verdict::More,
            std::cmp::Ordering::Equal => Verdict::Done,
            std::cmp::Ordering::Greater => {
                Verdict::Broken(format!("the session gave {} rows and said there were {total}", self.rows))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows numbered `from..=to` of `count`.
    fn block(from: i64, to: i64, count: i64) -> Vec<Row> {
        let record = || super::super::record::found(Vec::new());
        (from..=to).map(|index| Row { record: record(), index: Some(index), count: Some(count) }).collect()
    }

    #[test]
    fn counts_that_add_up_are_believed() {
        let mut session = Session::default();
        assert_eq!(session.judge(&block(1, 5, 12), 5, true), Verdict::More);
        assert_eq!(session.judge(&block(6, 10, 12), 5, true), Verdict::More);
        assert_eq!(session.judge(&block(11, 12, 12), 5, false), Verdict::Done);
        assert_eq!(session.total(), 12);
        assert_eq!(Session::default().judge(&[], 5, false), Verdict::Done);
    }

    #[test]
    fn every_known_sign_of_loss_is_seen() {
        type Blocks = &'static [(i64, i64, i64)];
        let cases: &[(Blocks, &str)] = &[
            (&[(-1, -1, 0)], "ResultIndex of -1"),
            (&[(1, 2, 0)], "ResultCount of 0"),
            (&[(1, 5, 12), (6, 10, 13)], "changed from 12 to 13"),
            (&[(1, 5, 12), (7, 11, 12)], "row 10 of the session says that it is number 11"),
            (&[(1, 5, 12), (1, 0, 0)], "ended after 5 of 12"),
            (&[(1, 5, 3)], "gave 5 rows and said there were 3"),
        ];
        for (blocks, expected) in cases {
            let mut session = Session::default();
            let mut last = Verdict::More;
            for (from, to, count) in *blocks {
                last = session.judge(&block(*from, *to, *count), 5, false);
            }
            let Verdict::Broken(reason) = last else { panic!("{expected}: {last:?}") };
            assert!(reason.contains(expected), "{reason}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told_at_the_first_block() {
        assert_eq!(Session::default().judge(&block(1, 5, 50_001), 5, true), Verdict::TooLarge(50_001));
        assert_eq!(Session::default().judge(&block(1, 100, 812), 5_000, true), Verdict::Short(100));
    }
}
