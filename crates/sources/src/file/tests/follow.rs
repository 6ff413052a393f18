//! Tests of the mode `follow`: each look is taken by hand.

use std::fs::OpenOptions;

use super::*;
use crate::file::follow::Follower;
use crate::file::shard::KEPT;
use crate::suite::Sent;
use downspout_core::stage::checkpoint_key;
use downspout_core::store;

/// A follower over a folder, whose batches are acknowledged at once.
struct Following {
    bench: Bench,
    files: tempfile::TempDir,
    pattern: &'static str,
    follower: Follower,
}

impl Following {
    fn new(pattern: &'static str) -> Following {
        Following::over(tempfile::tempdir().unwrap(), pattern, false)
    }

    fn over(files: tempfile::TempDir, pattern: &'static str, from_end: bool) -> Following {
        let bench = Bench::new();
        let follower = follower(&bench, files.path(), pattern, from_end);
        Following { bench, files, pattern, follower }
    }

    fn restart(&mut self) {
        self.follower = follower(&self.bench, self.files.path(), self.pattern, true);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap().write_all(text.as_ref()).unwrap();
    }

    fn look(&mut self) -> Vec<Sent> {
        let mut batches = Vec::new();
        let store = Arc::clone(&self.bench.context.store);
        let mut emit = |batch: SourceBatch| {
            store
                .write_all(&[store::Write::set(checkpoint_key("in", &batch.shard), batch.checkpoint.clone())])
                .unwrap();
            batches.push(batch);
            Ok(())
        };
        self.follower.poll(&mut emit).unwrap();
        sent(&batches)
    }

    /// Looks, and joins the numbers of the records.
    fn numbers(&mut self) -> String {
        let number = |text: String| match serde_json::from_str::<Value>(&text) {
            Ok(record) => record["n"].to_string(),
            Err(_) => text,
        };
        self.look().into_iter().map(|(.., text)| number(text)).collect::<Vec<_>>().join(" ")
    }
}

fn follower(bench: &Bench, folder: &Path, pattern: &str, from_end: bool) -> Follower {
    let globs = Globs::new(vec![format!("{}/{pattern}", folder.display())], &[]).unwrap();
    let output = Output::new("in".into(), Arc::clone(&bench.context.store), tokio::sync::mpsc::channel(1).0);
    let listed = globs.list().files.iter().map(|(_, data)| FileId::of(data)).collect();
    let known = Known::load(&bench.context.store, "in", output.checkpoints().unwrap(), &listed, now()).unwrap();
    Follower::new(globs, SMALL, from_end, known, bench.context.clone())
}

#[test]
fn what_is_added_is_read_and_a_last_line_waits_for_its_newline() {
    let mut following = Following::new("*");
    assert_eq!(following.numbers(), "");
    following.append("a", lines(0, 2) + "{\"n\":");
    assert_eq!(following.numbers(), "0 1");
    assert_eq!(following.numbers(), "");
    following.append("a", "2");
    assert_eq!(following.numbers(), "");
    following.append("a", "}\n{\"n\":3}\n{");
    following.append("b", lines(10, 12));
    assert_eq!(following.numbers(), "2 3 10 11");
    following.restart();
    following.append("a", "\"n\":4}\n");
    assert_eq!(following.numbers(), "4");
}

#[test]
fn positions_go_on_over_looks_and_restarts() {
    let mut following = Following::new("*");
    let mut all = Vec::new();
    for n in 0..20 {
        following.append("a", &lines(n, n + 1)[..4]);
        all.extend(following.look());
        following.append("a", &lines(n, n + 1)[4..]);
        all.extend(following.look());
        if n % 3 == 0 {
            following.restart();
        }
    }
    let bench = Bench::new();
    let whole = sent(&bench.run(source_of(&bench, following.files.path()), Stop::AtEnd).batches);
    let positions = |sent: Vec<Sent>| sent.into_iter().map(|(_, position, text)| (position, text)).collect::<Vec<_>>();
    assert!(all.iter().all(|(shard, ..)| *shard == all[0].0));
    assert_eq!(positions(all), positions(whole));
}

#[test]
fn a_rotated_file_is_read_to_its_end_in_sight_or_out_of_sight() {
    for (pattern, rotated) in [("a*", "a.1"), ("a", "a.1"), ("a", "z")] {
        let mut following = Following::new(pattern);
        following.append("a", lines(0, 2));
        assert_eq!(following.numbers(), "0 1");
        following.append("a", lines(2, 3));
        fs::rename(following.path("a"), following.path(rotated)).unwrap();
        following.append("a", lines(5, 7));
        assert_eq!(following.numbers(), "2 5 6", "{pattern} {rotated}");
        // The writer goes on for a while.
        following.append(rotated, lines(3, 4));
        following.append("a", lines(7, 8));
        assert_eq!(following.numbers(), "3 7", "{pattern} {rotated}");
    }
}

#[test]
fn a_deleted_file_is_read_to_its_end_and_then_given_up_with_what_is_not_whole() {
    let mut following = Following::new("*");
    following.append("a", lines(0, 2) + "{\"n\":2");
    assert_eq!(following.numbers(), "0 1");
    fs::remove_file(following.path("a")).unwrap();
    let looks: Vec<String> = (0..100).map(|_| following.numbers()).filter(|numbers| !numbers.is_empty()).collect();
    assert_eq!(looks, ["{\"n\":2"]);
}

#[test]
fn a_truncated_file_is_read_from_its_start_as_another_shard() {
    let mut following = Following::new("*");
    following.append("a", lines(0, 5));
    let first = following.look();
    fs::write(following.path("a"), lines(7, 9)).unwrap();
    let second = following.look();
    assert_eq!((first.len(), second.len()), (5, 2));
    assert!(first[0].0 != second[0].0 && first[0].1 == second[0].1);
    // As long as before, but with another beginning.
    fs::write(following.path("a"), lines(3, 5)).unwrap();
    assert_eq!(following.numbers(), "3 4");
    fs::write(following.path("a"), "").unwrap();
    assert_eq!(following.numbers(), "");
    following.append("a", lines(0, 9));
    assert_eq!(following.numbers(), "0 1 2 3 4 5 6 7 8");
    following.restart();
    assert_eq!(following.numbers(), "");
    fs::write(following.path("a"), lines(1, 2)).unwrap();
    following.restart();
    assert_eq!(following.numbers(), "1");
}

#[test]
fn copytruncate_loses_nothing() {
    let mut following = Following::new("a");
    following.append("a", lines(0, 5));
    assert_eq!(following.numbers(), "0 1 2 3 4");
    fs::copy(following.path("a"), following.path("a.1")).unwrap();
    OpenOptions::new().write(true).truncate(true).open(following.path("a")).unwrap();
    following.append("a", lines(5, 6));
    assert_eq!(following.numbers(), "5");
}

#[test]
fn reading_from_the_end_passes_by_what_is_there_at_the_very_first_look() {
    let files = tempfile::tempdir().unwrap();
    fs::write(files.path().join("a"), lines(0, 20) + "{\"n\":").unwrap();
    fs::write(files.path().join("empty"), "").unwrap();
    let mut following = Following::over(files, "*", true);
    assert_eq!(following.numbers(), "");
    following.append("a", "20}\n");
    following.append("b", lines(30, 32));
    following.append("empty", lines(40, 41));
    assert_eq!(following.numbers(), "20 40 30 31");
    following.append("a", lines(21, 22));
    following.append("c", lines(50, 51));
    following.restart();
    assert_eq!(following.numbers(), "21 50");
}

#[test]
fn compressed_files_are_read_as_far_as_they_are_written() {
    let mut following = Following::new("*");
    let packed = gzip(&lines(0, 500));
    following.append("a.gz", &packed[..packed.len() / 2]);
    let first = following.look();
    following.append("a.gz", &packed[packed.len() / 2..]);
    let second = following.look();
    let records = |sent: &[Sent]| sent.iter().map(|(.., text)| text.clone() + "\n").collect::<String>();
    assert_eq!(records(&first) + &records(&second), lines(0, 500));
    assert!(first.len() > 50 && first[0].0 == second[0].0 && first.last().unwrap().1 < second[0].1);
    assert_eq!(following.numbers(), "");
    // Another member.
    following.append("a.gz", gzip(&lines(500, 502)));
    assert_eq!(following.numbers(), "500 501");
    following.restart();
    assert_eq!(following.numbers(), "");
}

#[test]
fn all_files_have_their_turn() {
    let mut following = Following::new("*");
    following.append("a", lines(0, 100));
    following.append("b", lines(200, 203));
    let found = following.numbers();
    assert_eq!(found.split(' ').count(), 103);
    assert!(found.find("202").unwrap() < found.find(" 99").unwrap());
}

#[test]
fn troubles_are_counted_once_and_the_others_are_read() {
    let mut following = Following::new("*");
    symlink(following.path("loop"), following.path("loop")).unwrap();
    following.append("a.csv", "RecordId,Operation\n1,2\n".repeat(5000));
    following.append("b", lines(0, 1));
    assert_eq!(following.numbers(), "0");
    following.append("a.csv", "3,4\n");
    following.append("b", lines(1, 2));
    assert_eq!(following.numbers(), "1");
    let bench = &following.bench;
    assert_eq!((bench.errors("unreadable_file"), bench.errors("unknown_format")), (1, 1));
}

#[test]
fn a_file_that_is_long_gone_is_forgotten() {
    let mut following = Following::new("*");
    for name in ["a", "b"] {
        following.append(name, lines(0, 9));
    }
    assert_eq!(following.look().len(), 18);
    fs::remove_file(following.path("a")).unwrap();
    // The writer may hold it open; then it is given up.
    for _ in 0..100 {
        assert_eq!(following.look(), []);
    }
    let store = Arc::clone(&following.bench.context.store);
    let kept = || store.list(&store::key(&[b"checkpoint", b"in"])).unwrap().len();
    following.follower.tidy(now() + KEPT - 60).unwrap();
    assert_eq!(kept(), 2);
    following.follower.tidy(now() + 2 * KEPT).unwrap();
    assert_eq!(kept(), 1);
    // With `read_from: end` a new file is no old one.
    fs::remove_file(following.path("b")).unwrap();
    for _ in 0..100 {
        assert_eq!(following.look(), []);
    }
    following.follower.tidy(now() + 4 * KEPT).unwrap();
    assert_eq!(kept(), 0);
    following.restart();
    following.append("c", lines(0, 3));
    assert_eq!(following.numbers(), "0 1 2");
}
