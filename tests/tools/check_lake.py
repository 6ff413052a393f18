#!/usr/bin/env python3
"""Compare a lake with what expected.py computes from the same input files.

    pip install duckdb
    python3 tests/tools/check_lake.py LAKE_FOLDER FILE...
    python3 tests/tools/check_lake.py LAKE_FOLDER --expected expected.ndjson

The lake is read with DuckDB, so nothing of the project judges itself. Checked are: each record is
there exactly once and nothing else is, every common column, every entry of `fields` (what transforms
add stands under `geo.` and is left out), and `raw`, character by character.

Prints `ok N records` and exits 0; otherwise prints what differs, first 20, and exits 1.
"""

import argparse
import collections
import json
import pathlib
import sys

import duckdb
import expected

SHOWN = 20


def lake_rows(folder, columns):
    """The rows of all Parquet files below `folder`, as dictionaries of texts."""
    if not any(pathlib.Path(folder).rglob("*.parquet")):
        return
    pattern = str(pathlib.Path(folder) / "**" / "*.parquet")
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    source = "read_parquet(?, hive_partitioning = true, hive_types_autocast = false, union_by_name = true)"
    present = {row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {source}", [pattern]).fetchall()}
    for column in columns:
        if column not in present:
            raise SystemExit(f"the lake has no column `{column}`; it has {', '.join(sorted(present))}")
    columns = [*columns, "date"] if "date" in present else columns
    selected = ", ".join(
        "strftime(time, '%Y-%m-%dT%H:%M:%S.%fZ') AS time" if column == "time" else f'"{column}"' for column in columns
    )
    cursor = connection.execute(f"SELECT {selected} FROM {source}", [pattern])
    while rows := cursor.fetchmany(1000):
        for row in rows:
            yield dict(zip(columns, row))


def same_values(wanted, found):
    """Whether two printed values are equal; lists may differ in how JSON text is spelled."""
    if wanted == found:
        return True
    if not (isinstance(found, str) and wanted.startswith("[") and found.startswith("[")):
        return False
    try:
        wanted, found = expected.read_json(wanted), expected.read_json(found)
    except ValueError:
        return False
    # The kinds are compared too: the number 1 is not the text "1".
    return list(map(kind, wanted)) == list(map(kind, found))


def kind(leaf):
    return (type(leaf), str(leaf))


def differences(wanted, row, additions):
    """The differences between an expected record and the row that should hold it."""
    for column, value in wanted["columns"].items():
        if row[column] != value:
            yield f"column {column}: expected {value!r}, found {row[column]!r}"
    day = (wanted["columns"]["time"] or "")[:10]
    if "date" in row and day and row["date"] != day:
        yield f"partition date: expected {day}, found {row['date']!r}"
    if "fields" in row:
        fields = dict(row["fields"] or {})
        for name, value in wanted["fields"].items():
            if name not in fields:
                yield f"field {name!r}: missing, expected {value!r}"
            elif not same_values(value, fields[name]):
                yield f"field {name!r}: expected {value!r}, found {fields[name]!r}"
        for name in fields.keys() - wanted["fields"].keys():
            if not name.startswith(additions):
                yield f"field {name!r}: not expected, found {fields[name]!r}"
    if "raw" in row and (row["raw"] or "").strip(expected.BLANKS) != wanted["raw"]:
        yield f"raw: expected {wanted['raw']!r}, found {row['raw']!r}"


def check(records, rows, additions=("geo.",)):
    """The differences between expected records and the rows of a lake, and how many records there are."""
    by_key = collections.defaultdict(list)
    count = 0
    for record in records:
        count += 1
        by_key[record["columns"]["id"] or record["raw"]].append(record)
    found = []
    for row in rows:
        key = row["id"] or (row.get("raw") or "").strip(expected.BLANKS)
        waiting = by_key.get(key)
        if waiting is None:
            found.append(f"{key[:120]}: in the lake, but in no input file")
        elif not waiting:
            found.append(f"{key[:120]}: more than once in the lake")
        else:
            wanted = waiting.pop()
            found.extend(f"{key[:120]} ({wanted['file']}): {text}" for text in differences(wanted, row, additions))
    for key, waiting in by_key.items():
        found.extend(f"{key[:120]} ({record['file']}): not in the lake" for record in waiting)
    return found, count


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("lake", help="the folder that the parquet sink writes")
    parser.add_argument("files", nargs="*", metavar="FILE", help="the input files, in the order they were read")
    parser.add_argument("--expected", metavar="FILE", help="what expected.py printed before, instead of input files")
    parser.add_argument("--keep-duplicates", action="store_true", help="for a pipeline without dedupe")
    parser.add_argument("--without", default="", help="columns that the lake leaves out, such as raw,fields")
    parser.add_argument("--additions", default="geo.", help="prefixes of fields that transforms add, by comma")
    options = parser.parse_args()
    if bool(options.files) == bool(options.expected):
        parser.error("give either input files or --expected")

    if options.expected:
        with open(options.expected, encoding="utf-8") as file:
            records = [json.loads(line) for line in file]
    else:
        records = expected.expected(options.files, options.keep_duplicates)
    left_out = set(options.without.split(","))
    columns = [column for column in [*expected.COLUMNS, "fields", "raw"] if column not in left_out]
    found, count = check(records, lake_rows(options.lake, columns), tuple(options.additions.split(",")))
    for text in found[:SHOWN]:
        print(text)
    if found:
        print(f"{len(found)} differences; {count} records expected")
        return 1
    print(f"ok {count} records")
    return 0


if __name__ == "__main__":
    sys.exit(main())
