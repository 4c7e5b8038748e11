"""Real-user monitoring of any size, made by DuckDB in seconds: sessions on three front ends, and the API they write to.

Everything follows from row numbers and their hashes, so that the same size gives the same rows.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from dagster_project.contexts import insert_rows
from dagster_project.contracts import TABLES
from dagster_project.load import new_batch_id
from dagster_project.warehouse import BUILD_FILE_OPTIONS, create_tables

# Beacons of a session, on the average of the choices below.
BEACONS_A_SESSION = 22.75
FIRST_DAY = "2025-01-01"

# A session has one to five page views; each sends itself, five vitals (one in ten reported twice), two interactions,
# and one in fifty an uncaught error. The macros give the same value for the same row and salt.
SESSIONS = """
create or replace temp macro pick(number, salt, choices) as cast(hash(number, salt) % choices as bigint);
create or replace temp macro id(kind, number) as hash(kind, number);

create or replace temp view sessions as
select
    range as number,
    timestamp '{first_day}' + to_microseconds(cast(86400e6 * {days} * (range - {first}) / {sessions} as bigint))
    + to_microseconds(cast(86400e6 * {first_number} as bigint)) as started_at,
    1 + pick(range, 'service', 3) as front_end,
    case when pick(range, 'bounce', 10) < 3 then 1 else 2 + pick(range, 'views', 4) end as views,
    ['desktop', 'mobile', 'mobile', 'tablet'][1 + pick(range, 'device', 4)] as device_class,
    ['DE', 'FR', 'SE'][1 + pick(range, 'country', 3)] as country
from range({first}, {first} + {sessions});

create or replace temp view page_views as
select
    sessions.*,
    sessions.number * 8 + view as page_view,
    view,
    started_at + to_milliseconds(view * (20000 + pick(sessions.number * 8 + view, 'dwell', 60000))) as viewed_at,
    case front_end
        when 1 then ['/', '/products/:slug', '/search', '/collections/:name', '/help'][1 + pick(page_view, 'r', 5)]
        when 2 then ['/cart', '/checkout/shipping', '/checkout/payment', '/checkout/confirmation', '/cart'][1 + view]
        else ['/overview', '/orders/:id', '/reports/:report'][1 + pick(page_view, 'r', 3)]
    end as route
from sessions, range(5) as numbers (view)
where view < views;

create or replace temp view events as
select
    page_views.*,
    part,
    case
        when part = 0 then if(view = 0, 'page_view', 'route_change')
        when part < 9 then 'vital'
        when part < 11 then 'interaction'
        else 'error'
    end as event_type,
    case when part between 1 and 8
        then ['LCP', 'LCP', 'CLS', 'CLS', 'INP', 'INP', 'FCP', 'TTFB'][part] end as metric_name,
    viewed_at + to_milliseconds(part * 1500) as occurred_at,
    pick(page_view, 'quick' || part // 2, 1000) / 1000.0 as chance
from page_views, range(12) as parts (part)
where
    (part not in (2, 4, 6) or pick(page_view, part, 10) = 0)
    and (part < 9 or views > 1)
    and (part < 11 or pick(page_view, 'error', 50) = 0);
"""

BEACONS = """
select
    'browser' as source,
    id('event', page_view * 16 + part) as event_id,
    ['shop', 'checkout', 'dashboard'][front_end] as service,
    occurred_at,
    event_type,
    id('session', number) as session_id,
    id('view', page_view) as page_view_id,
    case when route = '/checkout/payment' and part = 9 then id('trace', page_view) end as trace_id,
    route,
    '1.' || cast(epoch(started_at) as bigint) // 86400 as release,
    device_class,
    country,
    number % 5 = 0 as is_authenticated,
    if(part < 9, 'navigate', null) as navigation_type,
    metric_name,
    case when metric_name is not null then id(metric_name, page_view) end as metric_id,
    case metric_name
        when 'LCP' then round(800 + 3000 * chance * chance * chance + part, 1)
        when 'CLS' then if(chance < 0.4, 0, round(chance * chance / 4, 4))
        when 'INP' then round(30 + 400 * chance * chance)
        when 'FCP' then round(500 + 2000 * chance * chance, 1)
        when 'TTFB' then round(80 + 900 * chance * chance, 1)
    end as metric_value,
    case when event_type = 'route_change' then true end as is_success,
    case when event_type = 'interaction' then if(route = '/checkout/payment', 'pay', 'open') end as step,
    1.0 as sample_rate
from events
"""

REQUESTS = """
select
    'gateway' as source,
    id('request', page_view) as request_id,
    'payments-api' as service,
    occurred_at + interval 100 millisecond as occurred_at,
    '/payments' as route,
    'POST' as method,
    if(pick(page_view, 'fails', 50) = 0, 503, 201) as status,
    120.0 as duration_ms,
    id('trace', page_view) as trace_id
from events
where route = '/checkout/payment' and part = 9
"""

REFERENCE = """
delete from reference.services;
delete from reference.teams;
delete from reference.journeys;
insert into reference.services by name
select unnest(['shop', 'checkout', 'dashboard', 'payments-api']) as service, 'web' as team,
    unnest(['frontend', 'frontend', 'frontend', 'node_service']) as component_kind;
insert into reference.teams by name select 'web' as team, 'UTC' as time_zone;
insert into reference.journeys
    (journey, service, position, step, step_kind, route, action, api_service, method)
values
    ('checkout', 'checkout', 1, 'cart', 'page_view', '/cart', null, null, null),
    ('checkout', 'checkout', 2, 'shipping', 'page_view', '/checkout/shipping', null, null, null),
    ('checkout', 'checkout', 3, 'payment', 'action', '/checkout/payment', 'pay', null, null),
    ('checkout', 'checkout', 4, 'write', 'api_write', '/payments', null, 'payments-api', 'POST'),
    ('checkout', 'checkout', 5, 'confirmation', 'page_view', '/checkout/confirmation', null, null, null);
"""


class Traffic:
    """Front ends with so many beacons a day, about; load() adds days to a build file."""

    def __init__(self, beacons_a_day: int) -> None:
        self.sessions_a_day = int(beacons_a_day / BEACONS_A_SESSION)

    def load(self, file: Path, days: int, first_day: int = 0) -> int:
        """Add these days, as one batch; returns the number of beacons."""
        with duckdb.connect(file, config=BUILD_FILE_OPTIONS) as connection:
            create_tables(connection)
            connection.execute(REFERENCE)
            connection.execute("set preserve_insertion_order = false")
            connection.execute(
                SESSIONS.format(
                    first_day=FIRST_DAY,
                    days=days,
                    first=first_day * self.sessions_a_day,
                    sessions=days * self.sessions_a_day,
                    first_number=first_day,
                )
            )
            counts = {}
            for table, query in (("rum_events", BEACONS), ("requests", REQUESTS)):
                batch_id = new_batch_id()
                insert_rows(
                    connection,
                    TABLES[table],
                    f"select *, now()::timestamp as loaded_at, '{batch_id}' as batch_id from ({query})",
                )
                (counts[table],) = connection.execute(
                    f"select count(*) from raw.{table} where batch_id = ?", [batch_id]
                ).fetchone()
                connection.execute(
                    "insert into raw.batches values (?, 'volume', 'volume', ?, now()::timestamp, ?, ?, 0, 0, 0)",
                    [batch_id, table, counts[table], counts[table]],
                )
        return counts["rum_events"]
