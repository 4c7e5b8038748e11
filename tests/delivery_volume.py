"""A delivery history of any size, made by DuckDB in seconds: the raw tables of twenty services over two years.

Everything follows from row numbers and their hashes, so that the same size gives the same rows.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from dagster_project.contracts import RAW_TABLES, Table
from dagster_project.load import new_batch_id
from dagster_project.warehouse import BUILD_FILE_OPTIONS, create_tables, transaction

PULL_REQUESTS = 100_000
DAYS = 730
SERVICES = 20

# The macros give the same value for the same row and salt. A merged pull request is squashed (40 of 95), merged with
# eight commits and a merge commit (35), or rebased as six commits (20): with direct pushes five commits a pull request.
HISTORY = """
create schema given;
create macro pick(number, salt, choices) as cast(hash(number, salt) % choices as bigint);
create macro moment(day) as timestamp '2024-01-01' + to_microseconds(cast(day * 86400e6 as bigint));
create macro sha(kind, number) as md5(kind || number) || left(md5(number || kind), 8);

create macro known_at() as moment(getvariable('days'));
create macro is_corrected() as getvariable('is_corrected');

create table planned as
select
    number,
    pick(number, 'service', {services}) as service,
    day,
    moment(day) as created_at,
    moment(day + (2 + pick(number, 'open', 60)) / 24) as closed_at,
    case
        when pick(number, 'kind', 100) < 40 then 'squash'
        when pick(number, 'kind', 100) < 75 then 'merge'
        when pick(number, 'kind', 100) < 95 then 'rebase'
    end as merge_method
from (select range as number, range * {days} / {pull_requests} as day from range({pull_requests_planned}));

create table merges as
select
    *,
    case merge_method when 'squash' then 1 when 'merge' then 9 when 'rebase' then 6 end as commits,
    row_number() over (partition by service order by closed_at, number) as place
from planned
where merge_method is not null;

create table line as
select
    *,
    sha('c', number * 16) as head_sha,
    cast(sum(if(merge_method = 'rebase', commits, 1)) over (partition by service order by place) as bigint) as position
from merges;

create table attempts as
select
    attempt.*,
    line.head_sha as commit_sha,
    line.place,
    if(pick(attempt.number, 'status', 100) < 5, 'failure', 'success') as status,
    pick(attempt.number, 'kind', 100) as kind
from (
    select
        range as number,
        range % {services} as service,
        moment((range + 0.5 + pick(range, 'at', 1000) / 1000 * {services}) * {days} / {deployments}) as finished_at
    from range({deployments_planned})
) as attempt
asof join line on attempt.service = line.service and attempt.finished_at >= line.closed_at;

create table shipped as
select line.*, attempts.number as deployment
from line
asof join (from attempts where status = 'success') as attempts
    on line.service = attempts.service and line.closed_at <= attempts.finished_at;

create table given.pull_requests as
select
    'acme' as source,
    'repository-' || service as repository,
    number + 1 as pull_request_number,
    created_at,
    created_at - to_hours(1 + pick(number, 'coding', 50)) as first_commit_at,
    case when pick(number, 'draft', 5) = 0 then created_at + interval 30 minute end as ready_at,
    created_at + interval 1 hour as first_review_at,
    created_at + interval 90 minute as approved_at,
    case when merge_method is not null then closed_at end as merged_at,
    closed_at,
    case when merge_method is not null then sha('c', number * 16) end as merge_commit_sha,
    merge_method,
    'person-' || pick(number, 'author', 200) as author_key,
    pick(number, 'reviews', 4) as review_count,
    pick(number, 'files', 30) as files_changed,
    pick(number, 'added', 300) as lines_added,
    pick(number, 'deleted', 200) as lines_deleted,
    closed_at as updated_at
from planned;

create table given.changes as
select
    'acme' as source,
    sha('c', number * 16 + part) as commit_sha,
    'repository-' || service as repository,
    if(merge_method = 'squash' or part = 0, closed_at, created_at - to_hours(part)) as authored_at,
    if(merge_method = 'merge' and part > 0, created_at, closed_at) as committed_at,
    closed_at as merged_at,
    if(merge_method = 'rebase', sha('c', number * 16 + part), head_sha) as merge_commit_sha,
    if(merge_method = 'rebase', position - part, position) as mainline_position,
    merge_method = 'merge' and part = 0 as is_merge,
    number + 1 as pull_request_number,
    'person-' || pick(number, 'author', 200) as author_key,
    ['feat', 'fix', 'chore', null][1 + pick(number, 'type', 4)] as change_type,
    pick(number, 'revert', 200) = 0 and part = 0 as is_revert,
    if(pick(number, 'revert', 200) = 0 and part = 0, sha('c', (number - 40) * 16), null) as reverts_commit_sha,
    pick(number + part, 'files', 9) as files_changed,
    pick(number + part, 'added', 90) as lines_added,
    pick(number + part, 'deleted', 60) as lines_deleted
from line, range(9) as parts (part)
where part < commits;

insert into given.changes
select
    'acme', sha('p', number), 'repository-' || service, closed_at, closed_at, closed_at, sha('p', number), position,
    false, null, 'person-' || pick(number, 'author', 200), 'fix', false, null, 1, 5, 5
from shipped
where number % 4 = 0;

create table given.deployments as
select
    'acme' as source,
    'd' || number as deployment_id,
    'service-' || service as service,
    'production' as environment,
    status,
    finished_at - interval 10 minute as started_at,
    finished_at,
    commit_sha,
    'v' || place as version,
    case when kind < 4 then 'ancestor' when place is distinct from lag(place) over line then 'new' else 'same' end
    as commit_relation,
    kind < 2 as is_rollback,
    kind between 90 and 95 as is_hotfix,
    'push' as trigger,
    finished_at as updated_at
from attempts
window line as (partition by service, status order by finished_at);

create table given.deployment_changes as
select 'acme' as source, 'd' || deployment as deployment_id, sha('c', number * 16 + part) as commit_sha
from shipped, range(9) as parts (part)
where part < commits
union all
select 'acme', 'd' || deployment, sha('p', number) from shipped where number % 4 = 0;

create table given.builds as
select
    'acme' as source,
    'b' || number || '-' || attempt as build_id,
    'repository-' || service as repository,
    null as service,
    'build' as workflow,
    head_sha as commit_sha,
    if(attempt = 0, 'success', 'failure') as status,
    closed_at + to_minutes(12 - 11 * attempt) as started_at,
    closed_at + to_minutes(22 - 12 * attempt) as finished_at,
    closed_at + interval 22 minute as updated_at
from line, range(2) as attempts (attempt)
where attempt = 0 or pick(number, 'failed', 10) < 4;

create table given.incidents as
select
    'acme' as source,
    'i' || number as incident_id,
    'service-' || pick(number, 'service', {services}) as service,
    'sev' || (1 + pick(number, 'severity', 5)) as severity,
    moment(day) as started_at,
    moment(day) + interval 1 hour as mitigated_at,
    moment(day) + to_hours(2 + pick(number, 'length', 20)) as resolved_at,
    'alert-' || number % 50 as alert_key,
    case when number % 3 = 0 then 'd' || cast(floor(day * {deployments} / {days}) as bigint) end as deployment_id,
    null as version,
    null as commit_sha,
    number % 20 = 0 as is_false_positive,
    number % 30 = 0 as is_third_party,
    null as is_change_related,
    moment(day) + interval 1 day as updated_at
from (select range as number, (range + 1) * {days} / {incidents} as day from range({incidents_planned}));

create table given.incident_events as
select
    'acme' as source,
    incident_id || '-' || event as event_id,
    incident_id,
    event as event_type,
    started_at + to_minutes(part * 15) as occurred_at,
    'person-' || part as responder_key
from given.incidents,
    (select unnest(['triggered', 'acknowledged', 'mitigated', 'resolved']) as event, unnest(range(4)) as part);
"""

# What is known of a table at a moment; on the day after the two years a few old rows are corrected too.
KNOWN = {
    "pull_requests": """
        select * replace (
            case when merged_at < known_at() then merged_at end as merged_at,
            case when closed_at < known_at() then closed_at end as closed_at,
            case when merged_at < known_at() then merge_commit_sha end as merge_commit_sha,
            case when merged_at < known_at() then merge_method end as merge_method,
            review_count + cast(is_corrected() and pull_request_number % 5000 = 7 as bigint) as review_count
        ) from given.pull_requests where created_at < known_at()
    """,
    "changes": """
        select * replace (
            authored_at - to_hours(cast(is_corrected() and commit_sha like '%7777' as bigint)) as authored_at
        ) from given.changes where merged_at < known_at()
    """,
    "deployments": """
        select * replace (
            finished_at + to_hours(cast(is_corrected() and deployment_id like '%777' as bigint)) as finished_at
        ) from given.deployments where finished_at < known_at()
    """,
    "deployment_changes": """
        select * from given.deployment_changes
        where deployment_id in (select deployment_id from given.deployments where finished_at < known_at())
    """,
    "builds": """
        select * replace (
            finished_at + to_minutes(cast(is_corrected() and build_id like '%7777-0' as bigint)) as finished_at
        ) from given.builds where finished_at < known_at()
    """,
    "incidents": """
        select * replace (
            case when resolved_at < known_at() then resolved_at end as resolved_at,
            mitigated_at - to_minutes(cast(is_corrected() and incident_id like '%77' as bigint)) as mitigated_at
        ) from given.incidents where started_at < known_at()
    """,
    "incident_events": "select * from given.incident_events where occurred_at < known_at()",
}

REFERENCE = f"""
delete from warehouse.reference.services;
delete from warehouse.reference.teams;
insert into warehouse.reference.services by name
select 'service-' || range as service, 'team-' || range % 6 as team, 'node_service' as component_kind,
    'repository-' || range as repository
from range({SERVICES});
insert into warehouse.reference.teams by name select 'team-' || range as team, 'UTC' as time_zone from range(6);
"""


class History:
    """The history in memory; load() brings a build file up to a day."""

    def __init__(self, pull_requests: int = PULL_REQUESTS) -> None:
        planned = pull_requests * (DAYS + 2) // DAYS
        self.connection = duckdb.connect()
        self.connection.execute(
            HISTORY.format(
                pull_requests=pull_requests,
                pull_requests_planned=planned,
                deployments=pull_requests // 5,
                deployments_planned=planned // 5,
                incidents=pull_requests // 50,
                incidents_planned=planned // 50,
                days=DAYS,
                services=SERVICES,
            )
        )

    def load(self, file: Path, days: int = DAYS, is_corrected: bool = False) -> dict[str, int]:
        """Bring a build file to what is known after so many days; returns the rows of each table that are new.

        is_corrected: with corrections of old rows all over the history, of one in some thousand.
        """
        with duckdb.connect(file, config=BUILD_FILE_OPTIONS) as connection:
            create_tables(connection)
        self.connection.execute("set variable days = ?", [days])
        self.connection.execute("set variable is_corrected = ?", [is_corrected])
        self.connection.execute(f"attach '{file}' as warehouse")
        with transaction(self.connection):
            self.connection.execute(REFERENCE)
            rows = {table.name: self._upsert(table) for table in RAW_TABLES if table.name in KNOWN}
        self.connection.execute("detach warehouse")
        return rows

    def _upsert(self, table: Table) -> int:
        stored, key, batch_id = f"warehouse.{table.qualified_name}", ", ".join(table.key), new_batch_id()
        known = KNOWN[table.name]
        columns = ", ".join(name for name, *_ in self.connection.sql(f"describe {known}").fetchall())
        self.connection.execute(
            f"create or replace temp table incoming as ({known}) except (select {columns} from {stored})"
        )
        self.connection.execute(f"delete from {stored} where ({key}) in (select ({key}) from incoming)")
        (rows,) = self.connection.execute(
            f"insert into {stored} by name select *, now()::timestamp as loaded_at, ? as batch_id from incoming",
            [batch_id],
        ).fetchone()
        self.connection.execute(
            "insert into warehouse.raw.batches values (?, 'acme', 'volume', ?, now()::timestamp, ?, ?, 0, 0, 0)",
            [batch_id, table.name, rows, rows],
        )
        return rows
