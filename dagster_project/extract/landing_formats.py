"""Landing files → rows for load(): a fast way inside DuckDB, and a careful one that loses no good row of a bad file.

DuckDB's `ignore_errors` drops good neighbours of a bad line. So a file with any error is read again line by line: its
good lines stream through memory into the same load, its bad ones are rejected with their place.
"""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import json
import logging
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
import xxhash

from dagster_project.contracts import Table
from dagster_project.extract import faro, otlp
from dagster_project.extract.bodies import Adapter, beacons
from dagster_project.load import WITHHELD, Fingerprint, Rejected
from dagster_project.load_files import RowsAt

ENDINGS = {".ndjson": "ndjson", ".jsonl": "ndjson", ".csv": "csv", ".parquet": "parquet", ".json": "json"}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
UNCOMPRESSED = "uncompressed"
ALLOWED_ENDINGS = ".ndjson, .jsonl, .csv, each also with .gz or .zst behind it; .parquet"
# Folders of a table for files of another shape: what lies there are bodies as a collector receives them, one a line, or
# one a file that ends in .json.
BODIES: dict[tuple[str, str], Adapter] = {
    ("rum_events", "batch"): beacons,
    ("rum_events", "faro"): faro.events,
    ("rum_events", "otlp"): otlp.browser_events,
    ("requests", "otlp"): otlp.server_spans,
}
BODY_ENDINGS = (".json", ".ndjson", ".jsonl")
# Of files of one table; and of objects as other systems send them.
TABLE_FORMATS = {"ndjson", "csv", "parquet", *(name for _, name in BODIES)}
PAYLOAD_FORMATS = {"ndjson", "json"}
ALLOWED_PAYLOAD_ENDINGS = ".ndjson, .jsonl, .json, each also with .gz or .zst behind it"
# What DuckDB raises over the content of a file, by kind; anything else is a fault of ours.
CONTENT_ERRORS = (duckdb.InvalidInputException, duckdb.DataError, duckdb.OperationalError)
CHUNK_BYTES = 2**20
PIECE_BYTES = 2**17
ROWS_A_BATCH = 10_000
# Of a large file some rows from so many places are looked at, in each so many; of others, below so many rows for each
# place, all.
SAMPLED_PLACES = 2_000
SAMPLED_ROWS = 10
SAMPLED_FROM = 100
# DuckDB's default and least; the lines above maximum_line_bytes are found beforehand.
DUCKDB_OBJECT_BYTES = 16 * 2**20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Row = dict[str, str | None]
Found = TypeVar("Found", "Line", "Record", "BodyItem")

log = logging.getLogger(__name__)


class UnreadableError(Exception):
    """The file as a whole is not what its ending says; the text is the reason, without anything of its content."""


@dataclass(frozen=True)
class Survey:
    """What one pass over the bytes of a file tells: their XXH3 of 128 bits, whether each line is short enough, the
    number of lines, and how many of them end in each piece of so many bytes."""

    checksum: str
    has_short_lines: bool
    lines: int
    piece_bytes: int
    line_ends: list[int]


@dataclass(frozen=True)
class LandedFile:
    """A file to read: where it lies now, where it comes from, its name in places, and what it is."""

    path: Path
    origin: str
    name: str
    table: Table
    format: str
    compression: str
    maximum_line_bytes: int

    @property
    def columns(self) -> list[str]:
        return self.table.given_names

    @cached_property
    def survey(self) -> Survey:
        return survey(self.path, self.maximum_line_bytes)


@dataclass(frozen=True)
class Reading:
    """One way to read a file: arguments of load(); where that is cheap, the query that reads some rows again; and of a
    file with many rows the query for some from everywhere in it."""

    rows: str | pa.RecordBatchReader
    places: Callable[[Sequence[int]], list[str]] = lambda numbers: []
    rejected: list[Rejected] = field(default_factory=list)
    rows_at: RowsAt | None = None
    sample: Callable[[], str] | None = None


class Line(NamedTuple):
    """One line without its end; `problem` is what is wrong with it before anyone looks inside."""

    number: int
    offset: int
    content: bytes | Fingerprint
    problem: str | None = None


class Record(NamedTuple):
    """One CSV record; the header is number 0."""

    number: int
    content: bytes | Fingerprint
    values: list[str]
    problem: str | None = None


def format_of(name: str) -> tuple[str, str] | None:
    """(format, compression) by the folder and the ending of a name; None if the ending is not allowed."""
    path = Path(name.lower())
    compression = COMPRESSIONS.get(path.suffix, UNCOMPRESSED)
    ending = path.suffix if compression == UNCOMPRESSED else path.with_suffix("").suffix
    if len(path.parts) > 2 and path.parts[:2] in BODIES:
        return (path.parts[1], compression) if ending in BODY_ENDINGS else None
    if ending not in ENDINGS or (ending == ".parquet" and compression != UNCOMPRESSED):
        return None
    return ENDINGS[ending], compression


def readings(file: LandedFile, connection: duckdb.DuckDBPyConnection, spool: Path) -> Iterator[Reading]:
    """The ways to read a file, the fastest first; the next is for a file with which loading ended in CONTENT_ERRORS.

    spool: a private folder, for lines that are read again.

    Raises UnreadableError if the file is not what its ending says.
    """
    if file.path.stat().st_size == 0:
        yield nothing()
    elif file.format == "parquet":
        yield from _parquet(file, connection)
    elif file.format == "csv":
        yield from _csv(file)
    elif adapter := BODIES.get((file.table.name, file.format)):
        yield _careful(file, _BodyRows(file, adapter), _body_place)
    else:
        yield from _ndjson(file, spool)


def nothing(rejected: Sequence[Rejected] = ()) -> Reading:
    """A reading without a row."""
    return Reading("select null as source limit 0", rejected=list(rejected))


def _are_sampled(rows: int) -> bool:
    return rows > SAMPLED_FROM * SAMPLED_PLACES


def _careful(
    file: LandedFile,
    rows: Callable[[list[Rejected]], Iterator[tuple[Found, Row]]],
    place: Callable[[LandedFile, Found], str],
) -> Reading:
    """The good rows as a stream that fills `rejected` on its way."""
    rejected: list[Rejected] = []
    values = (row for _, row in rows(rejected))
    first = list(islice(values, 1))
    if not first:
        return nothing(rejected)
    schema = pa.schema([(name, pa.string()) for name in file.columns])

    def batches(values: Iterator[Row]) -> Iterator[pa.RecordBatch]:
        while some := list(islice(values, ROWS_A_BATCH)):
            yield pa.record_batch(
                [pa.array([row.get(name) for row in some], pa.string()) for name in schema.names], schema
            )

    return Reading(
        pa.RecordBatchReader.from_batches(schema, batches(chain(first, values))),
        lambda numbers: [place(file, found) for found in _nth((found for found, _ in rows([])), numbers)],
        rejected,
    )


def _nth(items: Iterator[Found], numbers: Sequence[int]) -> list[Found]:
    wanted = set(numbers)
    return [item for number, item in enumerate(islice(items, max(numbers, default=0)), start=1) if number in wanted]


def _duckdb_path(path: Path) -> str:
    return "'" + glob.escape(str(path)).replace("'", "''") + "'"


# NDJSON


def _ndjson(file: LandedFile, spool: Path) -> Iterator[Reading]:
    # DuckDB refuses a byte order mark.
    if _is_whole(file) and not _has_mark(file):
        lines = _LinesOfRows(file)
        yield Reading(
            _ndjson_query(file, file.path),
            lambda numbers: [json_place(file, line) for line in lines.numbered(numbers)],
            rows_at=lambda numbers, rows: _ndjson_query(file, lines.copied(numbers, rows, spool / "again.ndjson")),
            sample=(
                (lambda: _ndjson_query(file, lines.sampled(spool / "sample.ndjson")))
                if file.compression == UNCOMPRESSED and _are_sampled(file.survey.lines)
                else None
            ),
        )
    reading = _careful(file, partial(_json_rows, file), json_place)
    if isinstance(reading.rows, str):
        first = next(filled_lines(file), None)
        if first and not first.problem and not re.match(rb"\s*\{.", first.content):
            raise UnreadableError("not NDJSON: no line holds a JSON object; write one object a line")
    yield reading


def _ndjson_query(file: LandedFile, path: Path) -> str:
    columns = ", ".join(f"{name}: 'VARCHAR'" for name in file.columns)
    compression = file.compression if path == file.path else UNCOMPRESSED
    return (
        f"select * from read_json({_duckdb_path(path)}, format = 'newline_delimited', columns = {{{columns}}}, "
        f"compression = '{compression}', hive_partitioning = false, "
        f"maximum_object_size = {max(file.maximum_line_bytes, DUCKDB_OBJECT_BYTES)})"
    )


class _LinesOfRows:
    """The lines from which DuckDB made rows, by the number of the row."""

    def __init__(self, file: LandedFile) -> None:
        self._file = file
        self._numbered = _lines_numbered
        self._copied: dict[int, Line] = {}

    def numbered(self, numbers: Sequence[int]) -> list[Line]:
        """The lines of these rows; of those that were copied, nothing but their place."""
        others = [number for number in numbers if number not in self._copied]
        lines = self._copied | dict(zip(others, self._numbered(self._file, others), strict=True))
        return [lines[number] for number in numbers]

    def sampled(self, copy: Path) -> Path:
        """A file of lines from everywhere in the file, some in each place, since a place is what takes time."""
        places = np.linspace(1, self._file.survey.lines - SAMPLED_ROWS, SAMPLED_PLACES).astype(int).tolist()
        numbers = [first + number for first in places for number in range(SAMPLED_ROWS)]
        with copy.open("wb") as out:
            out.writelines(line.content for line in _lines_without_blanks(self._file, numbers))
        return copy

    def copied(self, numbers: Sequence[int], rows: int, copy: Path) -> Path:
        """A file of the lines of these rows alone; from then on it is known how many rows there are in all."""
        if self._file.compression == UNCOMPRESSED and rows == self._file.survey.lines:
            self._numbered = _lines_without_blanks
        lines = [*self._numbered(self._file, numbers)]
        with copy.open("wb") as out:
            out.writelines(line.content for line in lines)
        self._copied = {number: line._replace(content=b"") for number, line in zip(numbers, lines, strict=True)}
        return copy


def json_place(file: LandedFile, line: Line) -> str:
    return f"{file.name}:{line.number} (byte {line.offset})"


def _json_rows(file: LandedFile, rejected: list[Rejected]) -> Iterator[tuple[Line, Row]]:
    columns = set(file.columns)
    for line in filled_lines(file):
        try:
            if line.problem:
                raise ValueError(line.problem)
            row = _json_row(line.content, columns)
        except ValueError as error:
            rejected.append(Rejected(json_place(file, line), str(error), line.content))
        else:
            yield line, row


class _Pairs(list):
    """The pairs of a JSON object, so that a name given twice is seen."""


JSON = json.JSONDecoder(object_pairs_hook=_Pairs, parse_constant=str)
BODY_JSON = json.JSONDecoder(parse_constant=str)


def _decoded(content: bytes, decoder: json.JSONDecoder = BODY_JSON) -> Any:
    """The JSON value that bytes hold. Raises ValueError with the reason why they hold none."""
    try:
        return decoder.decode(content.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"invalid UTF-8 at byte {error.start + 1} of the line") from None
    except json.JSONDecodeError as error:
        if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated"):
            raise ValueError("not a JSON object: the line breaks off") from None
        raise ValueError(f"not a JSON object: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("not a JSON object: nested too deeply") from None


def _json_row(content: bytes, columns: set[str]) -> Row:
    """The columns that a line holds. Raises ValueError with the reason why it is no row, without any of its content."""
    pairs = _decoded(content, JSON)
    if not isinstance(pairs, _Pairs):
        raise ValueError("not a JSON object")
    row: Row = {}
    for name, value in pairs:
        if name in columns:
            if name in row:
                raise ValueError(f"{name}: stands twice in the object")
            row[name] = json_text(value)
    if b"\\u" in content and not _is_unicode(row.values()):
        raise ValueError("not a JSON object: half a surrogate pair")
    return row


def json_text(value) -> str | None:
    """What DuckDB makes of a JSON value in a text column; of a structure only that it is one, since none is allowed."""
    match value:
        case None | str():
            return value
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case _:
            return "[]"


def _is_unicode(texts) -> bool:
    try:
        "".join(filter(None, texts)).encode()
    except UnicodeEncodeError:
        return False
    return True


# Bodies


class BodyItem(NamedTuple):
    """One item of a body: the line that holds the body, and its place there."""

    line: Line
    place: str


class _BodyRows:
    """The rows of a file of bodies; the first pass over them says how many items were no rows."""

    def __init__(self, file: LandedFile, adapter: Adapter) -> None:
        self._file = file
        self._adapter = adapter
        self._is_first_pass = True

    def __call__(self, rejected: list[Rejected]) -> Iterator[tuple[BodyItem, Row]]:
        is_first_pass, self._is_first_pass = self._is_first_pass, False
        left_out: Counter[str] = Counter()
        for line in self._lines():
            try:
                if line.problem:
                    raise ValueError(line.problem)
                for place, row in self._adapter(_decoded(line.content)):
                    if row is None:
                        left_out[re.sub(r"\W.*", "", place.rsplit(".", 1)[-1])] += 1
                    else:
                        yield BodyItem(line, place), {name: json_text(value) for name, value in row.items()}
            except ValueError as error:
                rejected.append(Rejected(json_place(self._file, line), str(error), line.content))
        if left_out and is_first_pass:
            counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(left_out.items()))
            log.info("%s: left out, since they are no %s: %s", self._file.origin, self._file.table.name, counts)

    def _lines(self) -> Iterator[Line]:
        if not _is_one_body(self._file):
            return filled_lines(self._file)
        with _open(self._file) as stream:
            return iter([Line(1, 0, stream.read())])


def _is_one_body(file: LandedFile) -> bool:
    """Whether a .json file is one document over many lines rather than one a line."""
    if not re.search(r"\.json(\.\w+)?$", file.name.lower()):
        return False
    with _open(file) as stream:
        content = stream.read(file.maximum_line_bytes + 1)
    if len(content) > file.maximum_line_bytes:
        return False
    try:
        json.loads(content)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        return not str(error).startswith("Extra data")
    return True


def _body_place(file: LandedFile, item: BodyItem) -> str:
    return f"{json_place(file, item.line)}, {item.place}"


# CSV


def _csv(file: LandedFile) -> Iterator[Reading]:
    """One dialect: commas, double quotes, a header row; blanks around a value are not part of it."""
    is_whole = _is_whole(file)
    first_line = next(_lines(file), None)
    header = next(_csv_records(file), None)
    if header is None:
        yield nothing()
        return
    if header.problem:
        raise UnreadableError(f"its first row, the header, cannot be read: {header.problem}")
    names = [name.strip() for name in header.values]
    known = _known_columns(file, names)
    # DuckDB takes the first line for the header, and an empty line for a row if there is but one column.
    if is_whole and first_line.content.strip() and len(names) > 1:
        columns = ", ".join(f"'{index}': 'VARCHAR'" for index in range(len(names)))
        values = ", ".join(f"trim(\"{names.index(name)}\", ' ') as {name}" for name in known)
        yield Reading(
            f"select {values} from read_csv({_duckdb_path(file.path)}, auto_detect = false, header = true, "
            f"delim = ',', quote = '\"', escape = '\"', columns = {{{columns}}}, compression = '{file.compression}', "
            "hive_partitioning = false)",
            partial(_row_places, file),
        )
    yield _careful(file, partial(_csv_rows, file, names, known), _csv_place)


def _known_columns(file: LandedFile, names: list[str]) -> list[str]:
    """The names that the table has. Raises UnreadableError if there is none of them, or one stands there twice."""
    known = [name for name in names if name in file.columns]
    if not known:
        raise UnreadableError(f"it names none of the columns of {file.table.qualified_name}: {', '.join(file.columns)}")
    if twice := [name for name in known if known.count(name) > 1]:
        raise UnreadableError(f"it names the column {twice[0]} twice")
    if unknown := sorted(set(names) - set(known)):
        # A name of other characters may be anything, in a file whose header is missing even a person.
        shown = [name if re.fullmatch(r"\w{1,63}", name) else WITHHELD for name in unknown]
        log.warning(
            "%s: columns ignored, since %s has none: %s", file.origin, file.table.qualified_name, ", ".join(shown)
        )
    return known


def _row_places(file: LandedFile, numbers: Sequence[int]) -> list[str]:
    return [f"{file.name}: row {number}" for number in numbers]


def _csv_place(file: LandedFile, record: Record) -> str:
    return _row_places(file, [record.number])[0]


def _csv_rows(
    file: LandedFile, names: list[str], known: list[str], rejected: list[Rejected]
) -> Iterator[tuple[Record, Row]]:
    positions = {name: names.index(name) for name in known}
    for record in islice(_csv_records(file), 1, None):
        if record.problem:
            rejected.append(Rejected(_csv_place(file, record), record.problem, record.content))
        else:
            yield record, {name: record.values[position].strip(" ") for name, position in positions.items()}


def _csv_records(file: LandedFile) -> Iterator[Record]:
    """Header and rows. Of a record that cannot be read only the first line is given up: a stray quote would else
    swallow the good lines after it."""
    lines = _lines(file)
    again: deque[Line] = deque()
    number, width = 0, None

    def texts(taken: list[Line]) -> Iterator[str]:
        while line := again.popleft() if again else next(lines, None):
            taken.append(line)
            if line.problem:
                return
            yield line.content.decode(errors="surrogateescape") + "\n"

    while True:
        taken: list[Line] = []
        values, problem = [], None
        try:
            values = next(csv.reader(texts(taken), strict=True, skipinitialspace=True), [])
        except csv.Error as error:
            problem = f"not CSV: {error}"
        if not taken:
            return
        if not any(values) and _is_blank(taken[0]):
            continue
        width = width or len(values)
        if len(values) == width + 1 and not values[-1]:
            values.pop()
        problem = (
            taken[0].problem
            or problem
            or (None if len(values) == width else f"{len(values)} fields under {width} columns")
            or (None if _is_unicode(values) else "invalid UTF-8")
        )
        if problem:
            again.extendleft(reversed(taken[1:]))
            taken = taken[:1]
        content = taken[0].content if len(taken) == 1 else b"\n".join(line.content for line in taken)
        yield Record(number, content, values, problem)
        number += 1


# Parquet


def _parquet(file: LandedFile, connection: duckdb.DuckDBPyConnection) -> Iterator[Reading]:
    table = f"read_parquet({_duckdb_path(file.path)}, binary_as_string = true, hive_partitioning = false)"
    try:
        names = [name for name, *_ in connection.sql(f"describe from {table}").fetchall()]
    except CONTENT_ERRORS:
        raise UnreadableError("not Parquet, or damaged") from None
    known = ", ".join(_known_columns(file, names))
    path = _duckdb_path(file.path)
    numbered = f"read_parquet({path}, binary_as_string = true, hive_partitioning = false, file_row_number = true)"
    (rows,) = connection.sql(f"select num_rows from parquet_file_metadata({path})").fetchone()
    of_places = f"file_row_number % {max(rows // SAMPLED_PLACES, 1)} < {SAMPLED_ROWS}"
    yield Reading(
        f"select {known} from {table}",
        partial(_row_places, file),
        rows_at=lambda numbers, _: (
            f"select {known} from {numbered} "
            f"where file_row_number in (select unnest({[number - 1 for number in numbers]}::bigint[])) "
            "order by file_row_number"
        ),
        sample=((lambda: f"select {known} from {numbered} where {of_places}") if _are_sampled(rows) else None),
    )
    try:
        connection.execute(f"select max(hash({known})) from {table}")
    except CONTENT_ERRORS:
        raise UnreadableError("damaged Parquet") from None


# Bytes


class _Content(io.RawIOBase):
    """The decompressed bytes of a file up to its end, or to where compressed data break off: then `breaks_off`."""

    def __init__(self, file: LandedFile) -> None:
        self.breaks_off = False
        self._file = file
        self._position = 0
        self._largest_piece = CHUNK_BYTES
        self._stream = self._open()

    def _open(self) -> pa.NativeFile:
        compression = None if self._file.compression == UNCOMPRESSED else self._file.compression
        return pa.input_stream(str(self._file.path), compression=compression)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        try:
            piece = self._stream.read(min(len(buffer), self._largest_piece))
        except OSError as error:
            if "Truncated" not in str(error):
                raise
            if self._largest_piece == 1:
                self.breaks_off = True
                return 0
            # Arrow drops what it has decoded of the piece in which the input ends: go there again, byte by byte.
            self._largest_piece = 1
            self._stream = self._open()
            for start in range(0, self._position, CHUNK_BYTES):
                self._stream.read(min(CHUNK_BYTES, self._position - start))
            return self.readinto(buffer)
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _open(file: LandedFile) -> io.BufferedReader:
    return io.BufferedReader(_Content(file), CHUNK_BYTES)


def _has_mark(file: LandedFile) -> bool:
    with _open(file) as stream:
        return stream.read(len(BYTE_ORDER_MARK)) == BYTE_ORDER_MARK


def survey(path: Path, maximum_line_bytes: int) -> Survey:
    piece_bytes = min(PIECE_BYTES, maximum_line_bytes)
    digest, line_ends, length, has_short_lines = xxhash.xxh3_128(), [], 0, True
    # One piece of memory for all, and numpy's count: three quarters of the time that read() and bytes.count() take.
    piece = bytearray(piece_bytes)
    octets, view = np.frombuffer(piece, np.uint8), memoryview(piece)
    with path.open("rb") as stream:
        while size := stream.readinto(piece):
            digest.update(view[:size])
            line_ends.append(int(np.count_nonzero(octets[:size] == ord("\n"))))
            # Only a line that crosses the border of two pieces can be longer than a piece.
            end = piece.find(b"\n", 0, size)
            has_short_lines &= length + (size if end < 0 else end) <= maximum_line_bytes
            length = length + size if end < 0 else size - piece.rfind(b"\n", 0, size) - 1
    lines = sum(line_ends) + (length > 0)
    return Survey(digest.hexdigest(), has_short_lines, lines, piece_bytes, line_ends)


def _is_whole(file: LandedFile) -> bool:
    """Whether no line is too long and compressed data do not break off, which DuckDB takes for the end of the file.

    Raises UnreadableError for compressed data that are damaged.
    """
    if file.compression == UNCOMPRESSED:
        return file.survey.has_short_lines
    length = 0
    with _open(file) as stream:
        try:
            # Only a line that crosses the border of two pieces can be longer than a piece.
            while piece := stream.read(min(CHUNK_BYTES, file.maximum_line_bytes)):
                end = piece.find(b"\n")
                if length + (len(piece) if end < 0 else end) > file.maximum_line_bytes:
                    return False
                length = length + len(piece) if end < 0 else len(piece) - piece.rfind(b"\n") - 1
        except OSError as error:
            if error.errno is not None:
                raise
            raise UnreadableError(f"not {file.compression}, or damaged") from None
        return not stream.raw.breaks_off


def filled_lines(file: LandedFile) -> Iterator[Line]:
    return (line for line in _lines(file) if not _is_blank(line))


def _lines_numbered(file: LandedFile, numbers: Sequence[int]) -> list[Line]:
    """The filled lines of these numbers among them, with their ends, without a look at each line on the way."""
    found: list[Line] = []
    with _open(file) as stream:
        lines = filled = offset = 0
        while len(found) < len(numbers) and (piece := stream.read(CHUNK_BYTES) + stream.readline()):
            octets = np.frombuffer(piece, np.uint8)
            starts = np.append(0, np.flatnonzero(octets == ord("\n")) + 1)
            starts = starts[starts < len(piece)]
            is_filled = np.ones(len(starts), bool)
            for index in np.flatnonzero(np.isin(octets[starts], np.frombuffer(b" \t\n\r\v\f", np.uint8))):
                end = starts[index + 1] if index + 1 < len(starts) else len(piece)
                is_filled[index] = bool(piece[starts[index] : end].strip())
            places = np.flatnonzero(is_filled)
            wanted = [number - filled - 1 for number in numbers[len(found) :] if number - filled <= len(places)]
            ends = np.append(starts[1:], len(piece))
            found += [
                Line(lines + int(at) + 1, offset + int(starts[at]), piece[starts[at] : ends[at]])
                for at in places[wanted]
            ]
            lines, filled, offset = lines + len(starts), filled + len(places), offset + len(piece)
    return found


def _lines_without_blanks(file: LandedFile, numbers: Sequence[int]) -> Iterator[Line]:
    """The lines of these numbers, with their ends; only the pieces of the file are read in which they begin."""
    ends = np.cumsum(file.survey.line_ends)
    pieces = np.searchsorted(ends, np.asarray(numbers) - 1)
    known = -1
    # Not mapped into memory: the pages of a large file, touched all over it, count as this process's.
    with file.path.open("rb") as stream:
        for number, piece in zip(numbers, pieces.tolist(), strict=True):
            start = 0
            if number > 1:
                if piece != known:
                    known, first = piece, piece * file.survey.piece_bytes
                    stream.seek(first)
                    octets = np.frombuffer(stream.read(file.survey.piece_bytes), np.uint8)
                    starts = np.flatnonzero(octets == ord("\n")) + first + 1
                start = int(starts[number - 2 - (ends[piece - 1] if piece else 0)])
            stream.seek(start)
            yield Line(number, start, stream.readline())


def _is_blank(line: Line) -> bool:
    return line.problem is None and not line.content.strip()


def whole(file: LandedFile) -> Line:
    """The file as one line. Raises UnreadableError if it is longer than a line may be, or damaged."""
    with _open(file) as stream:
        try:
            content = stream.read(file.maximum_line_bytes + 1)
        except OSError as error:
            if error.errno is not None:
                raise
            raise UnreadableError(f"not {file.compression}, or damaged") from None
        if len(content) > file.maximum_line_bytes:
            raise UnreadableError(f"longer than {file.maximum_line_bytes:,} bytes; write one object a line, as .ndjson")
        problem = "the compressed file breaks off here" if stream.raw.breaks_off else None
    return Line(1, 0, content.removeprefix(BYTE_ORDER_MARK), problem)


def _lines(file: LandedFile) -> Iterator[Line]:
    """All lines. Of one that is too long, only the fingerprint is kept."""
    maximum = file.maximum_line_bytes
    with _open(file) as stream:
        number = offset = 0
        piece = b"\n"
        while piece.endswith(b"\n"):
            piece = stream.readline(maximum + 1)
            length, problem = len(piece), None
            content: bytes | Fingerprint = piece.removesuffix(b"\n")
            if len(content) > maximum:
                digest = hashlib.sha256(content)
                while piece and not piece.endswith(b"\n"):
                    piece = stream.readline(CHUNK_BYTES)
                    digest.update(piece.removesuffix(b"\n"))
                    length += len(piece)
                content = Fingerprint(length - piece.endswith(b"\n"), digest.hexdigest())
                problem = f"longer than {maximum:,} bytes"
            elif stream.raw.breaks_off and not piece.endswith(b"\n"):
                problem = "the compressed file breaks off here"
            elif not piece:
                return
            number += 1
            if number == 1 and isinstance(content, bytes):
                content = content.removeprefix(BYTE_ORDER_MARK)
            yield Line(number, offset, content, problem)
            offset += length
