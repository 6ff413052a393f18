#!/usr/bin/env python3
"""What the lake should hold, computed from the input files without any code of the project.

    python3 tests/tools/expected.py [--keep-duplicates] FILE... > expected.ndjson

Reads NDJSON, JSON arrays, Graph and Azure pages (`value`, `records`, `decoratedAuditLogEntries`),
concatenated JSON and the CSV exports of the audit search; plain, gzip or zstd, told by content.
Prints one line for each record that must be in the lake, first by record id:

    {"file": ..., "raw": the record's text, "columns": {...}, "fields": {printed path: text}}

and a summary on stderr. Python's standard library only; zstd needs the package `zstandard` or the
command `zstd`. It is slow and plain on purpose: it is the judge, so it must be easy to believe.
"""

import argparse
import csv
import datetime
import gzip
import io
import ipaddress
import json
import re
import subprocess
import sys
import unicodedata

from columns import COLUMNS, feed_of

MAX_DEPTH = 128
PAGES = ("value", "records", "decoratedAuditLogEntries")
BLANKS = " \t\r\n"

# --------------------------------------------------------------------------------------------------
# JSON that keeps what Python's own reading loses: the text of numbers, members that stand twice.


class Number(str):
    """A number, as it was written."""


class Members(list):
    """An object: its (name, value) pairs in order."""


def mend(text):
    """Half a surrogate pair, which services leave when they cut a text, reads as U+FFFD."""
    if any("\ud800" <= c <= "\udfff" for c in text):
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def no_constant(name):
    raise ValueError(f"{name} is not JSON")


DECODER = json.JSONDecoder(object_pairs_hook=Members, parse_int=Number, parse_float=Number,
                           parse_constant=no_constant)


def read_at(text, at):
    """The JSON value that starts at `at`, and where it ends."""
    try:
        return DECODER.raw_decode(text, at)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def read_json(text):
    """The one JSON value in `text`, blanks around it allowed."""
    at = skip(text, 0)
    value, end = read_at(text, at)
    if skip(text, end) != len(text):
        raise ValueError("text behind the value")
    if depth_of(value) > MAX_DEPTH:
        raise ValueError("nested too deep")
    return value


def depth_of(value):
    """How many containers stand around the innermost place of `value`, itself included."""
    deepest, open_values = 0, [(value, 1)]
    while open_values:
        value, depth = open_values.pop()
        if isinstance(value, list):
            deepest = max(deepest, depth)
            inner = [v for _, v in value] if isinstance(value, Members) else value
            open_values.extend((v, depth + 1) for v in inner)
    return deepest


def skip(text, at):
    while at < len(text) and text[at] in BLANKS:
        at += 1
    return at


# --------------------------------------------------------------------------------------------------
# From files to the text of records.


def unpacked(path):
    """The bytes of a file, unpacked if its first bytes say that it is packed."""
    with open(path, "rb") as file:
        data = file.read()
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        try:
            import zstandard
        except ImportError:
            return subprocess.run(["zstd", "-dqc", path], check=True, capture_output=True).stdout
        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read()
    return data


def records_of(path):
    """Yields (text, None) for each record of a file and (None, reason) for each that cannot be read."""
    data = unpacked(path)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        data = data.decode("utf-16").encode()
    data = data.removeprefix(b"\xef\xbb\xbf")
    if data.lstrip()[:1] not in (b"{", b"["):
        yield from csv_records(data.decode("utf-8"))
        return
    first = data.lstrip().split(b"\n", 1)[0]
    try:
        read_json(first.decode())
    except ValueError:
        yield from stream_records(data.decode())
        return
    for line in data.split(b"\n"):
        if line.strip():
            try:
                yield from ((text, None) for text in unwrapped(line.decode()))
            except ValueError as error:
                yield None, str(error)


def csv_records(text):
    """The AuditData column of an audit-search export."""
    csv.field_size_limit(1 << 30)
    if text.startswith("#TYPE"):
        text = text.partition("\n")[2]
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    for row in csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter):
        try:
            yield from ((record, None) for record in unwrapped(row["AuditData"]))
        except ValueError as error:
            yield None, str(error)


def stream_records(text):
    """JSON values one behind the other, pretty-printed or not."""
    at = skip(text, 0)
    while at < len(text):
        _, end = read_at(text, at)
        yield from ((record, None) for record in unwrapped(text[at:end]))
        at = skip(text, end)


def unwrapped(text):
    """The records in one JSON value: its elements, the elements of a page, or itself."""
    text = text.strip(BLANKS)
    value = read_json(text)
    if isinstance(value, Members):
        spans = member_spans(text)
        for page in PAGES:
            if page in spans and text[spans[page][0]] == "[":
                return list(elements(text[slice(*spans[page])]))
        for name in ("auditData", "AuditData"):
            if name in spans:
                inner = text[slice(*spans[name])]
                if inner[0] == '"':
                    inner = json.loads(inner)
                return unwrapped(inner)
        return [text]
    if isinstance(value, list):
        return list(elements(text))
    raise ValueError("a record must be an object")


def elements(text):
    """The text of each element of an array."""
    at = skip(text, 1)
    while text[at] != "]":
        _, end = read_at(text, at)
        yield from unwrapped(text[at:end])
        at = skip(text, end)
        if text[at] == ",":
            at = skip(text, at + 1)


def member_spans(text):
    """Where the value of each member of an object stands."""
    spans, at = {}, skip(text, 1)
    while text[at] != "}":
        name, end = read_at(text, at)
        at = skip(text, skip(text, end) + 1)
        _, end = read_at(text, at)
        spans.setdefault(name, (at, end))
        at = skip(text, end)
        if text[at] == ",":
            at = skip(text, at + 1)
    return spans


# --------------------------------------------------------------------------------------------------
# Flattening.

FOLDING = {
    frozenset(["Name", "Value"]): "Name",
    frozenset(["Key", "Value"]): "Key",
    frozenset(["key", "value"]): "key",
    frozenset(["Name", "NewValue"]): "Name",
    frozenset(["Name", "NewValue", "OldValue"]): "Name",
    frozenset(["displayName", "newValue", "oldValue"]): "displayName",
}
PARAMETER = re.compile(r"-([A-Za-z]\w*)")
NEXT_PARAMETER = re.compile(r"\s+(?=-[A-Za-z])|\s*$")


def printed(segments):
    """The printed form of a path."""
    text = ""
    for segment in segments:
        if segment == "" or any(c in ".[]\\" or unicodedata.category(c) == "Cc" for c in segment):
            text += "[" + re.sub(r"([\[\]\\])", r"\\\1", segment) + "]"
        else:
            text += ("." if text else "") + segment
    return text


class Flat:
    """The fields of one record: printed path -> list of (leaf, whether it lay in an array)."""

    def __init__(self, record):
        self.fields = {}
        self.top = set()
        for name, value in record:
            name = mend(name)
            self.top.add(printed([name]))
            if name == "Parameters" and isinstance(value, str) and PARAMETER.match(value):
                for parameter, argument in command_line(value):
                    self.walk(argument, [name, parameter], False, 2)
            else:
                self.walk(value, [name], False, 1)

    def walk(self, value, path, in_array, depth):
        if isinstance(value, Members) and value:
            for name, inner in value:
                self.walk(inner, path + [mend(name)], in_array, depth + 1)
        elif isinstance(value, list) and value and not isinstance(value, Members):
            for element in value:
                self.element(element, path, in_array, depth + 1)
        elif type(value) is str and (opened := opened_json(value, depth)) is not None:
            self.walk(opened, path, in_array, depth)
        else:
            self.fields.setdefault(printed(path), []).append((value, in_array))

    def element(self, element, path, in_array, depth):
        if isinstance(element, Members):
            members = dict(element)
            key = FOLDING.get(frozenset(members)) if len(members) == len(element) else None
            if key and type(members[key]) is str:
                path = path + [mend(members[key])]
                for name, value in element:
                    if name != key:
                        beneath = path if name.lower() == "value" else path + [name]
                        self.walk(value, beneath, in_array, depth + 1)
                return
        self.walk(element, path, True, depth)

    def print(self):
        """The `fields` map of the lake."""
        return {name: print_values(values) for name, values in self.fields.items()}


def opened_json(text, depth):
    """The object or array that a string holds, if it holds nothing else."""
    if text.lstrip(BLANKS)[:1] not in ("{", "["):
        return None
    try:
        value = read_json(text)
    except ValueError:
        return None
    return value if depth + depth_of(value) <= MAX_DEPTH else None


def command_line(text):
    """The parameters of a Security & Compliance cmdlet, which its records carry as one text.

    Microsoft quotes values but does not escape the quotes inside, so a value ends at the quote
    behind which the next parameter begins.
    """
    at = 0
    while at < len(text):
        name = PARAMETER.match(text, at)
        if not name:
            return
        at = name.end()
        if text[at:at + 1] == ":":
            at += 1
        else:
            at += len(text[at:]) - len(text[at:].lstrip())
            if PARAMETER.match(text, at):
                yield name[1], ""
                continue
        closing = '")' if text.startswith('("', at) else '"' if text.startswith('"', at) else ""
        end = next_end(text, at + len(closing), closing) if closing else NEXT_PARAMETER.search(text, at).start()
        value = text[at:end]
        if closing and len(value) >= 2 * len(closing) and value.endswith(closing):
            inside = value[len(closing):-len(closing)]
            if not re.search(r'"\s*,\s*"', inside):
                value = inside
        yield name[1], value
        at = end + len(text[end:]) - len(text[end:].lstrip())


def next_end(text, at, closing):
    """Behind the first `closing` at which a value can end; the end of the text if there is none."""
    while (at := text.find(closing, at)) >= 0:
        if NEXT_PARAMETER.match(text, at + len(closing)):
            return at + len(closing)
        at += 1
    return len(text)


def scalar(value):
    """The text of a leaf."""
    if isinstance(value, str):
        return mend(value)
    if isinstance(value, list):
        return "{}" if isinstance(value, Members) else "[]"
    return {None: "null", True: "true", False: "false"}[value]


def print_values(values):
    if len(values) == 1 and not values[0][1]:
        return scalar(values[0][0])
    leaves = (json.dumps(mend(leaf), ensure_ascii=False) if type(leaf) is str else scalar(leaf) for leaf, _ in values)
    return "[" + ",".join(leaves) + "]"


# --------------------------------------------------------------------------------------------------
# The columns.

TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?")


def canonical_time(text):
    """RFC 3339 in UTC with microseconds, cut and not rounded; None if the text is not a time."""
    match = TIME.fullmatch(text)
    if not match:
        return None
    day, clock, fraction, zone = match.groups()
    fraction = ((fraction or "") + "000000")[:6]
    try:
        zone = "+00:00" if zone in (None, "Z") else zone
        time = datetime.datetime.fromisoformat(f"{day}T{clock}.{fraction}{zone}")
        return time.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except (ValueError, OverflowError):
        return None


def canonical_address(text):
    """(address, port or None) of any form in which Microsoft writes addresses; None for other text."""
    text = text.strip()
    port = None
    if match := re.fullmatch(r"\[([^\]]*)\](?::([0-9]{1,5}))?", text):
        text, port = match[1], match[2]
        if ":" not in text:
            return None
    elif match := re.fullmatch(r"([0-9.]+):([0-9]{1,5})", text):
        text, port = match[1], match[2]
    if port is not None and int(port) > 65535:
        return None
    try:
        address = ipaddress.ip_address(text.split("%")[0] if ":" in text else text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address), None if port is None else int(port)


def columns_of(flat):
    """The values of the common columns."""
    feed = feed_of(flat.top | set(flat.fields))
    columns = dict.fromkeys(COLUMNS)

    def candidates(column):
        for path in feed.get(column, []):
            if path.startswith("="):
                yield path[1:]
            for leaf, _ in flat.fields.get(path, []):
                if not isinstance(leaf, list) and leaf is not None and leaf != "":
                    yield scalar(leaf)

    for column in COLUMNS:
        columns[column] = next(candidates(column), None)
    columns["time"] = next(filter(None, map(canonical_time, candidates("time"))), None)
    found = next(filter(None, map(canonical_address, candidates("client_ip"))), None)
    columns["client_ip"], columns["client_port"] = found or (None, None)
    return columns


def expected(paths, keep_duplicates=False, counts=None):
    """Yields what the lake must hold. `counts` (a dict) is given the numbers of the summary."""
    counts = {} if counts is None else counts
    counts.update(records=0, rejected=0, duplicates=0, kept=0)
    seen = set()
    for path in paths:
        for text, reason in records_of(path):
            if text is None:
                counts["rejected"] += 1
                print(f"rejected: {path}: {reason}", file=sys.stderr)
                continue
            counts["records"] += 1
            flat = Flat(read_json(text))
            columns = columns_of(flat)
            if columns["id"] is not None and not keep_duplicates:
                if columns["id"] in seen:
                    counts["duplicates"] += 1
                    continue
                seen.add(columns["id"])
            counts["kept"] += 1
            yield {"file": str(path), "raw": text, "columns": columns, "fields": flat.print()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keep-duplicates", action="store_true", help="for a pipeline without dedupe")
    parser.add_argument("files", nargs="+", metavar="FILE")
    options = parser.parse_args()
    counts = {}
    for record in expected(options.files, options.keep_duplicates, counts):
        print(json.dumps(record, ensure_ascii=False))
    print(json.dumps(counts), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
