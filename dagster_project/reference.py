"""The reference folder (services, SLOs, …) into schema `reference`: text, then cast; an error names file and line."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from zoneinfo import available_timezones

import duckdb
import polars as pl

from dagster_project.contracts import (
    AUDIT_ANSWERS,
    DECISION_LOG,
    DEGRADATION_INDICATORS,
    DORA_BANDS,
    KPIS,
    OV_DIMENSIONS,
    PROFILES,
    REFERENCE_TABLES,
    ROUTE_RULES,
    RUBRIC,
    SERVICES,
    SLO_TABLES,
    TEAMS,
    Table,
)
from dagster_project.errors import ConfigurationError
from dagster_project.guard.decisions import DECISIONS
from dagster_project.load import checked_rows
from dagster_project.routes import RouteRule
from dagster_project.settings import PROJECT_DIR
from dagster_project.slo.definitions import FOLDER, read_definitions, reference_rows, slo_files
from dagster_project.warehouse import transaction

REQUIRED_FILES = {SERVICES.name, TEAMS.name}
# Facts about the world, or a first proposal: a folder without the file has the one shipped here.
SHIPPED_FILES = {PROFILES.name, DORA_BANDS.name, DEGRADATION_INDICATORS.name, RUBRIC.name, KPIS.name}

# In published tables this is the team of a row about all of them.
ALL_TEAMS = "all"


def load_reference(connection: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, int]:
    """Replace every reference table by its file; returns rows a table.

    Raises ConfigurationError with one line for each wrong row (file, line, column), and changes nothing then.
    """
    definitions, problems = read_definitions(slo_files(folder))
    rows = {table.name: read_file(folder, table) for table in REFERENCE_TABLES if table not in SLO_TABLES}
    rows |= reference_rows(definitions)
    files = {table.name: reference_file(folder, table) for table in REFERENCE_TABLES}
    files |= dict.fromkeys([table.name for table in SLO_TABLES], folder / FOLDER)
    for table in REFERENCE_TABLES:
        problems += _faults_of_rows(connection, table, rows[table.name], files[table.name])
    problems += _inconsistencies(folder, rows)
    if problems:
        raise ConfigurationError("\n".join(problems))
    with transaction(connection):
        for table in REFERENCE_TABLES:
            names = ", ".join(column.name for column in table.columns)
            connection.execute(f"delete from {table.qualified_name}")
            connection.execute(f"insert into {table.qualified_name} ({names}) select {names} from checked_{table.name}")
    return {name: frame.height for name, frame in rows.items()}


def route_rules(connection: duckdb.DuckDBPyConnection, folder: Path) -> list[RouteRule]:
    """The templates of route_rules.csv, in its order. Raises ConfigurationError with one line for each wrong row."""
    frame = read_file(folder, ROUTE_RULES)
    if problems := _faults_of_rows(connection, ROUTE_RULES, frame, reference_file(folder, ROUTE_RULES)):
        raise ConfigurationError("\n".join(problems))
    return [RouteRule(row["service"] or None, row["template"]) for row in frame.iter_rows(named=True)]


def _faults_of_rows(connection: duckdb.DuckDBPyConnection, table: Table, frame: pl.DataFrame, file: Path) -> list[str]:
    """A line for each row that breaks its contract or has the key of one further up; the checked rows stay in the
    temporary table checked_<table>."""
    connection.register("frame", frame.to_arrow())
    checked = checked_rows(connection, table, "from frame")
    connection.execute(f"create or replace temp table checked_{table.name} as {checked}")
    broken = f"select rowid, reason from checked_{table.name} where reason is not null order by rowid"
    line = frame["line"]
    problems = [f"{file} line {line[row]}: {reason}" for row, reason in connection.sql(broken).fetchall()]
    # Of dated rows it matters whether they overlap; SLOs stand in files of another form, with checks of their own.
    if "valid_from" in table.key or table in SLO_TABLES:
        return problems
    key = ", ".join(table.key)
    repeated = f"""
        select rowid, first_row
        from (
            select rowid, min(rowid) over (partition by {key}) as first_row
            from checked_{table.name} where reason is null
        )
        where rowid > first_row order by rowid
    """
    return problems + [
        f"{file} line {line[row]}: has the {key} of line {line[first]}; keep one of them"
        for row, first in connection.sql(repeated).fetchall()
    ]


def reference_file(folder: Path, table: Table) -> Path:
    """The file that holds a reference table: the folder's own, else the shipped one, if there is one."""
    file = folder / f"{table.name}.csv"
    return PROJECT_DIR / "seeds" / file.name if table.name in SHIPPED_FILES and not file.exists() else file


def read_file(folder: Path, table: Table) -> pl.DataFrame:
    """One reference file as text columns plus `line`, its line number; an absent optional file has no rows.

    Raises ConfigurationError for a missing required file, an unknown or missing column, a row of another width.
    """
    file = reference_file(folder, table)
    columns = [column.name for column in table.columns]
    empty = pl.DataFrame(schema={"line": pl.Int64} | dict.fromkeys(columns, pl.String))
    if not file.exists():
        if table.name in REQUIRED_FILES:
            raise ConfigurationError(f"{file}: missing; write it with the header {','.join(columns)}")
        return empty
    try:
        with file.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.reader(handle, strict=True)
            header = next(reader, [])
            required = [column.name for column in table.columns if column.required]
            if unknown := [name for name in header if name not in columns]:
                raise ConfigurationError(f"{file} line 1: unknown column {unknown[0]!r}; allowed: {', '.join(columns)}")
            if missing := [name for name in required if name not in header]:
                raise ConfigurationError(f"{file} line 1: column {missing[0]!r} is missing; it is required")
            records = []
            for values in reader:
                if not values:
                    continue
                if len(values) != len(header):
                    raise ConfigurationError(
                        f"{file} line {reader.line_num}: {len(values)} values under {len(header)} columns"
                    )
                records.append({"line": reader.line_num, **dict(zip(header, values, strict=True))})
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{file}: not a CSV file in UTF-8: {error}") from None
    return (
        pl.concat([empty, pl.DataFrame(records, schema_overrides=empty.schema)], how="diagonal") if records else empty
    )


def path_rules(folder: Path) -> dict[str, list[list[str]]]:
    """The globs in each row of services.csv, by service; none without that file."""
    rules: dict[str, list[list[str]]] = {}
    if (folder / f"{SERVICES.name}.csv").exists():
        for service, paths in read_file(folder, SERVICES).select("service", "paths").iter_rows():
            rules.setdefault(service, []).append(globs_of(paths))
    return rules


def globs_of(paths: str | None) -> list[str]:
    """The globs of a cell of path rules."""
    return [glob for glob in (paths or "").split(" ") if glob]


def _glob_fault(glob: str) -> str | None:
    """What is wrong with a glob, if anything is: it means more elsewhere than here, or would match nothing."""
    if found := re.search(r"[?{}\\\s]|^!", glob):
        return f"{glob!r} holds {found.group()!r}; a glob knows `*` and `**` alone, and globs are separated by spaces"
    if any("**" in part and part != "**" for part in glob.split("/")):
        return f"{glob!r} has `**` beside other characters; it stands for whole folders, as in web/**/*.css"
    if glob.startswith(("/", "./")):
        return f"{glob!r} does not start at the root of the repository; write {glob.lstrip('./')}"
    if glob.endswith("/"):
        return f"{glob!r} is a folder, and rules match files; write {glob}**"
    return None


def _inconsistencies(folder: Path, rows: dict[str, pl.DataFrame]) -> list[str]:
    """What no single row shows: unknown teams, circles in the tree, overlapping ownership."""
    services, teams = rows["services"].to_dicts(), rows["teams"].to_dicts()
    parents = {team["team"]: team["parent"] or None for team in teams}
    zones = available_timezones()
    problems = []
    for team in teams:
        place = f"{folder / 'teams.csv'} line {team['line']}"
        if team["team"] == ALL_TEAMS:
            problems.append(f"{place}: {ALL_TEAMS!r} stands for all teams together; give the team another name")
        if team["parent"] and team["parent"] not in parents:
            problems.append(f"{place}: parent {team['parent']!r} is no team of this file")
        if team["time_zone"] and team["time_zone"] not in zones:
            problems.append(f"{place}: time_zone {team['time_zone']!r} is no IANA time zone, such as Europe/Berlin")
        ancestor, seen = parents.get(team["team"]), {team["team"]}
        while ancestor and ancestor not in seen:
            seen.add(ancestor)
            ancestor = parents.get(ancestor)
        if ancestor == team["team"]:
            problems.append(f"{place}: team {team['team']!r} is above itself; correct the column parent")
    owned: dict[str, list[dict]] = {}
    for service in services:
        place = f"{folder / 'services.csv'} line {service['line']}"
        if service["team"] and service["team"] not in parents:
            problems.append(f"{place}: team {service['team']!r} is not in teams.csv")
        problems += [f"{place}: paths: {fault}" for fault in filter(None, map(_glob_fault, globs_of(service["paths"])))]
        for other in owned.get(service["service"], []):
            if _overlap(service, other):
                problems.append(f"{place}: {service['service']!r} has two owners at once, see line {other['line']}")
        owned.setdefault(service["service"], []).append(service)
    return (
        problems
        + _rotation_faults(folder / "rotations.csv", rows["rotations"].to_dicts(), set(parents), zones)
        + _indicator_faults(
            reference_file(folder, DEGRADATION_INDICATORS), rows["degradation_indicators"].to_dicts(), set(owned)
        )
        + _gaps_of_the_rubric(reference_file(folder, RUBRIC), rows["rubric"].to_dicts())
        + _kpi_faults(reference_file(folder, KPIS), rows["kpis"].to_dicts())
        + _audit_faults(folder, rows, set(parents))
    )


def _rotation_faults(file: Path, rotations: list[dict], teams: set[str], zones: set[str]) -> list[str]:
    """Unknown teams and time zones, and incidents that two rotations of a team would take."""
    problems = []
    for index, rotation in enumerate(rotations):
        place = f"{file} line {rotation['line']}"
        if rotation["team"] and rotation["team"] not in teams:
            problems.append(f"{place}: team {rotation['team']!r} is not in teams.csv")
        if rotation["time_zone"] and rotation["time_zone"] not in zones:
            problems.append(f"{place}: time_zone {rotation['time_zone']!r} is no IANA time zone, such as Europe/Berlin")
        services = set((rotation["services"] or "").split()) or {None}
        for other in rotations[:index]:
            if not _overlap(rotation, other):
                continue
            if rotation["rotation"] == other["rotation"]:
                problems.append(f"{place}: rotation {rotation['rotation']!r} stands in line {other['line']} as well")
            elif rotation["team"] == other["team"]:
                for taken in services & (set((other["services"] or "").split()) or {None}):
                    what = f"service {taken!r}" if taken else f"what team {rotation['team']!r} has besides"
                    problems.append(f"{place}: {what} already belongs to the rotation of line {other['line']}")
    return problems


def _kpi_faults(file: Path, kpis: list[dict]) -> list[str]:
    """KPIs with two definitions at once, and pairs that no row defines."""
    problems = []
    names = {kpi["kpi"] for kpi in kpis}
    for index, kpi in enumerate(kpis):
        place = f"{file} line {kpi['line']}"
        if kpi["pair"] and kpi["pair"] not in names:
            problems.append(f"{place}: pair {kpi['pair']!r} is no KPI of this file")
        if unknown := sorted(set((kpi["decisions"] or "").split(" ")) - {"", *DECISIONS}):
            problems.append(f"{place}: decisions: {unknown[0]!r} is none; allowed: {', '.join(DECISIONS)}")
        for other in kpis[:index]:
            if kpi["kpi"] == other["kpi"] and _overlap(kpi, other):
                problems.append(f"{place}: {kpi['kpi']!r} has two definitions at once, see line {other['line']}")
    return problems


def _audit_faults(folder: Path, rows: dict[str, pl.DataFrame], teams: set[str]) -> list[str]:
    """Decisions and answers about teams or KPIs that the other files do not name."""
    kpis = set(rows[KPIS.name]["kpi"])
    problems = []
    for table in (DECISION_LOG, AUDIT_ANSWERS):
        for row in rows[table.name].iter_rows(named=True):
            place = f"{folder / table.name}.csv line {row['line']}"
            if row["team"] and row["team"] not in teams:
                problems.append(f"{place}: team {row['team']!r} is not in teams.csv")
            if row.get("metric") and row["metric"] not in kpis:
                problems.append(f"{place}: metric {row['metric']!r} is no KPI of kpis.csv")
    return problems


def _indicator_faults(file: Path, indicators: list[dict], services: set[str]) -> list[str]:
    """Unknown services."""
    return [
        f"{file} line {row['line']}: service {row['service']!r} is not in services.csv"
        for row in indicators
        if row["service"] and row["service"] not in services
    ]


def _gaps_of_the_rubric(file: Path, wordings: list[dict]) -> list[str]:
    """Levels without exactly one descriptor on a day on which the rubric changes."""
    days = sorted({wording[end] or "" for wording in wordings for end in ("valid_from", "valid_to")})
    problems = []
    for dimension in OV_DIMENSIONS if wordings else ():
        for level in map(str, range(1, 6)):
            own = [each for each in wordings if (each["dimension"], each["level"]) == (dimension, level)]
            for day in days:
                valid = [each for each in own if (each["valid_from"] or "") <= day < (each["valid_to"] or "9999")]
                if len(valid) != 1:
                    found = (
                        f"lines {', '.join(str(each['line']) for each in valid)} say it" if valid else "no line says it"
                    )
                    when = f" on {day}" if day else " at first"
                    problems.append(f"{file}: {dimension} level {level} needs one descriptor{when}; {found}")
                    break
    return problems


def _overlap(one: dict, other: dict) -> bool:
    """Whether two dated rows hold on one day."""
    return (one["valid_from"] or "") < (other["valid_to"] or "9999") and (other["valid_from"] or "") < (
        one["valid_to"] or "9999"
    )
