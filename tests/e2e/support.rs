//! What every test needs: a folder of its own, the binary, records, and a reader of lakes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use tempfile::TempDir;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The real records, where they are.
pub(crate) fn corpus(file: &str) -> Option<PathBuf> {
    let path = root().join("../shared/corpora/ual").join(file);
    if !path.exists() {
        eprintln!("SKIPPED: the real records are not here ({file})");
        return None;
    }
    Some(path)
}

/// The binary of the same build as this test.
pub(crate) fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().unwrap().parent().unwrap().join("downspout");
    assert!(binary.exists(), "{} is missing: run `cargo test --workspace`, or `cargo build` first", binary.display());
    binary
}

/// A folder of a test's own, gone when the test ends.
pub(crate) struct Scratch(TempDir);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        Scratch(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// `downspout ARGUMENTS` in this folder.
    pub(crate) fn downspout(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    /// Writes a config and runs it to its end.
    pub(crate) fn run(&self, config: &str) -> Output {
        self.write("pipeline.yaml", config);
        self.downspout(&["run", "pipeline.yaml"]).output().unwrap()
    }

    /// As `run`, and everything must have been delivered.
    pub(crate) fn run_well(&self, config: &str) -> Output {
        let output = self.run(config);
        assert!(output.status.success(), "{}", stderr(&output));
        output
    }

    /// All dead letters, in the order of their files and lines.
    pub(crate) fn dead_letters(&self, data_dir: &str) -> Vec<serde_json::Value> {
        let Ok(folder) = fs::read_dir(self.path(data_dir).join("dead-letter")) else { return Vec::new() };
        let mut files: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
        texts
            .flat_map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>())
            .collect()
    }
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A record of an invented tenant; its id tells its number.
pub(crate) fn record(number: usize) -> String {
    let day = 1 + number % 3;
    let second = number % 60;
    format!(
        r#"{{"CreationTime":"2026-11-0{day}T10:00:{second:02}","Id":"00000000-0000-4000-8000-{number:012}","Operation":"New-InboxRule","OrganizationId":"11111111-2222-4333-8444-555555555555","RecordType":1,"ResultStatus":"True","UserId":"user{}@contoso.example","Workload":"Exchange","ClientIP":"192.0.2.{}:443","Parameters":[{{"Name":"ForwardTo","Value":"x=y@fabrikam.example"}},{{"Name":"Name","Value":"rule {number}"}}]}}"#,
        number % 40,
        number % 250,
    )
}

/// Many of them, a line each.
pub(crate) fn records(numbers: impl IntoIterator<Item = usize>) -> String {
    numbers.into_iter().map(|number| record(number) + "\n").collect()
}

/// The files of a lake that a reader would see.
pub(crate) fn lake_files(lake: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(lake) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with(['.', '_']) {
            continue;
        }
        if path.is_dir() {
            found.extend(lake_files(&path));
        } else if name.ends_with(".parquet") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The ids in a lake, sorted, doubles and all.
pub(crate) fn lake_ids(lake: &Path) -> Vec<String> {
    let mut ids = Vec::new();
    for file in lake_files(lake) {
        let reader = SerializedFileReader::new(File::open(&file).unwrap()).unwrap();
        let schema = reader.metadata().file_metadata().schema().clone();
        let id = schema.get_fields().iter().find(|field| field.name() == "id").unwrap().clone();
        let projection =
            parquet::schema::types::Type::group_type_builder(schema.name()).with_fields(vec![id]).build().unwrap();
        for row in reader.get_row_iter(Some(projection)).unwrap() {
            match row.unwrap().into_columns().remove(0).1 {
                Field::Str(id) => ids.push(id),
                other => panic!("an id that is no string: {other:?}"),
            }
        }
    }
    ids.sort();
    ids
}

/// Python with DuckDB, if the machine has both.
pub(crate) fn duckdb() -> Option<Command> {
    let probe = Command::new("python3").args(["-c", "import duckdb"]).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: python3 with duckdb is not here (pip install duckdb)");
        return None;
    }
    Some(Command::new("python3"))
}

/// A small random generator with a printed seed (xorshift64*), so that a failing run can be repeated.
pub(crate) struct Random(u64);

impl Random {
    /// Seeded from `DOWNSPOUT_TEST_SEED`, or from the clock.
    pub(crate) fn seeded() -> Random {
        let given = std::env::var("DOWNSPOUT_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1
        });
        eprintln!("DOWNSPOUT_TEST_SEED={seed}");
        Random(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}
