"""The demo organisation: reproducible, true to the contracts, and with its planted truths in it and nowhere else."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest
from dbt_models import models
from pydantic import ValidationError

from dagster_project.contracts import CORRECTIONS, JOURNEYS, RAW_TABLES, SERVICES, TABLES, TEAMS
from dagster_project.extract.demo import PLANTED, extract, generate, organisation, write_installation
from dagster_project.reference import load_reference
from dagster_project.settings import DemoSource, load_settings
from dagster_project.warehouse import Warehouse

END = datetime(2026, 7, 1)
BAD_RELEASE = PLANTED["bad_release"]


# Events of pull requests, whose rows say all already.
NOT_FILLED = {"pull_request_events"}
FILLED = [table for table in RAW_TABLES if table.name not in NOT_FILLED]


def small(**options) -> DemoSource:
    return DemoSource(**{"kind": "demo", "days": 120, "sessions_per_day": 20, **options})


def digests(source: DemoSource) -> dict[str, str]:
    return {name: sha256(frame.hash_rows().to_numpy()).hexdigest() for name, frame in generate(source).items()}


def open_installation(folder: Path, source: DemoSource):
    settings = load_settings(write_installation(folder, source))
    return settings, Warehouse(settings)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The default organisation in a warehouse: (folder, connection, batches of its first extract)."""
    folder = tmp_path_factory.mktemp("demo")
    settings, warehouse = open_installation(folder, DemoSource(kind="demo"))
    with warehouse.connect() as connection:
        batches = extract(settings.sources[0], settings, connection)
    with warehouse.connect() as connection:
        yield folder, connection, batches


@pytest.fixture(scope="module")
def raw(demo):
    return demo[1]


def test_the_same_options_give_the_same_rows():
    assert digests(small()) == digests(small())


def test_another_seed_gives_other_rows_in_every_table():
    first, second = digests(small()), digests(small(seed=8))
    # Who is in which team belongs to the organisation, as its services do.
    assert [name for name in first if first[name] == second[name]] == ["team_members"]


def test_every_row_of_every_table_keeps_its_contract(demo):
    _, connection, batches = demo
    assert {batch.table for batch in batches} == {table.name for table in FILLED}
    for batch in batches:
        assert (batch.quarantined, batch.removed) == (0, 0), batch.table
        assert (batch.duplicate > 0) == (batch.table == "rum_events"), "beacons alone arrive twice"
        assert batch.loaded + batch.duplicate == batch.read > 0, batch.table
        stored = connection.sql(
            f"select count(*) from {TABLES[batch.table].qualified_name} where source = 'demo'"
        ).fetchone()[0]
        assert stored == batch.loaded, batch.table
    assert connection.sql("select count(*) from raw.quarantine").fetchone() == (0,)


def test_every_column_of_every_contract_is_filled_except_when_a_record_was_updated(raw):
    empty = {
        f"{table.name}.{column.name}"
        for table in FILLED
        for column in table.columns
        if raw.sql(f"select count({column.name}) from {table.qualified_name}").fetchone() == (0,)
    }
    assert empty == {
        f"{name}.updated_at"
        for name in (
            *("deployments", "pull_requests", "builds", "incidents", "operational_changes", "jobs"),
            *("post_incident_reviews", "post_incident_actions"),
            *("support_tickets", "active_users", "escaped_defects", "retrospectives", "planned_items"),
        )
    }


def test_the_same_options_are_not_loaded_again(demo):
    folder, connection, _ = demo
    settings = load_settings(folder / "plumbline.yaml")
    assert extract(settings.sources[0], settings, connection) == []
    assert connection.sql("select count(*) from raw.batches").fetchone() == (len(FILLED),)


def test_other_options_replace_the_organisation(tmp_path):
    settings, warehouse = open_installation(tmp_path, small(days=150))
    with warehouse.connect() as connection:
        extract(settings.sources[0], settings, connection)
        extract(small(seed=8), settings, connection)
        for name, frame in generate(small(seed=8)).items():
            person_or_hash = {column.name for column in TABLES[name].columns if column.person or column.type == "hash"}
            names = ", ".join(set(frame.columns) - {"source"} - person_or_hash)
            connection.register("expected", frame.unique().to_arrow())
            stored, expected = f"select {names} from {TABLES[name].qualified_name}", f"select {names} from expected"
            assert connection.sql(f"({stored}) except all ({expected})").fetchall() == [], name
            assert connection.sql(f"({expected}) except all ({stored})").fetchall() == [], name


@pytest.mark.parametrize("days", [120, 200])
def test_the_record_covers_the_asked_days_up_to_the_fixed_end(days):
    frames = generate(small(days=days))
    for table in FILLED:
        if table.event_time is None:
            continue
        first, last = (
            frames[table.name]
            .select(pl.col(table.event_time).min().alias("first"), pl.col(table.event_time).max().alias("last"))
            .row(0)
        )
        measured = min(days, 150) if table.is_event else days
        assert END - timedelta(days=measured) <= first < END - timedelta(days=measured - 8), table.name
        assert END - timedelta(days=4) < last < END, table.name
    for name, frame in frames.items():
        for column in frame.select(pl.col(pl.Datetime)):
            assert column.drop_nulls().filter(column.drop_nulls() >= END).is_empty(), (name, column.name)


@pytest.mark.parametrize("sessions_per_day", [20, 80])
def test_sessions_per_day_is_the_mean_over_all_front_ends(sessions_per_day):
    sessions = generate(small(sessions_per_day=sessions_per_day))["rum_events"]["session_id"].n_unique()
    assert sessions / 120 == pytest.approx(sessions_per_day, rel=0.1)


@pytest.mark.parametrize("wrong", [{"days": 30}, {"sessions_per_day": 0}, {"seed": -1}])
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        small(**wrong)


def test_no_login_stands_in_any_file(demo):
    folder, connection, _ = demo
    logins = sorted({*generate(DemoSource(kind="demo"))["changes"]["author_key"]})
    assert len(logins) > 20
    for table, column in (
        ("changes", "author_key"),
        ("pull_requests", "author_key"),
        ("incident_events", "responder_key"),
    ):
        keys = connection.sql(f"select distinct {column} from raw.{table} where {column} is not null").fetchall()
        assert all(re.fullmatch("[0-9a-f]{64}", key) for (key,) in keys), table
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert b"demo/storefront" in files[folder / "warehouse.duckdb"], "a text of the rows can be found in the file"
    for path, content in files.items():
        assert not any(login.encode() in content for login in logins), path


def test_the_installation_is_valid_and_the_same_bytes_each_time(tmp_path):
    source = small(seed=3)
    settings, warehouse = open_installation(tmp_path, source)
    assert settings.sources == (source,)
    assert (settings.data_dir, settings.reference_dir) == (tmp_path, tmp_path / "seeds")
    for table in (SERVICES, TEAMS, CORRECTIONS, JOURNEYS):
        with (settings.reference_dir / f"{table.name}.csv").open(encoding="utf-8") as file:
            assert next(csv.reader(file)) == [column.name for column in table.columns]
    first = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    write_installation(tmp_path, source)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == first
    with warehouse.connect() as connection:
        rows = load_reference(connection, settings.reference_dir)
        assert (rows["services"], rows["teams"], rows["corrections"], rows["journeys"]) == (9, 6, 2, 9)
        moved = connection.sql(
            "select team, valid_from, valid_to from reference.services as moved "
            "where (select count(*) from reference.services as other where other.service = moved.service) > 1 "
            "order by valid_from nulls first"
        ).fetchall()
    (before, since_ever, left), (after, joined, until_further_notice) = moved
    assert before != after
    assert left == joined
    assert (since_ever, until_further_notice) == (None, None)


def test_every_service_of_the_rows_is_in_the_reference_folder(demo):
    folder, connection, _ = demo
    with (folder / "seeds/services.csv").open(encoding="utf-8") as file:
        known = {row["service"] for row in csv.DictReader(file)}
    for table in (table.name for table in FILLED if any(column.name == "service" for column in table.columns)):
        assert {
            service for (service,) in connection.sql(f"select distinct service from raw.{table}").fetchall()
        } <= known


def test_commits_are_shipped_by_the_first_deployment_that_holds_them(raw):
    """Against a slow reference: a deployment holds what was merged up to its own commit."""
    merged = dict(raw.sql("select merge_commit_sha, any_value(merged_at) from raw.changes group by all").fetchall())
    commits = defaultdict(list)
    for repository, sha, at in raw.sql("select repository, commit_sha, merged_at from raw.changes").fetchall():
        commits[repository].append((sha, at))
    deployments = raw.sql(
        "select service, environment, deployment_id, commit_sha, commit_relation from raw.deployments "
        "where status = 'success' order by finished_at"
    ).fetchall()
    shipped, relations = set(), {}
    reached: dict[tuple[str, str], datetime] = {}
    running: dict[tuple[str, str], datetime] = {}
    for service, environment, deployment_id, sha, _ in deployments:
        line = (service, environment)
        at, before, now = merged[sha], reached.get(line, datetime.min), running.get(line)
        shipped |= {
            (deployment_id, commit) for commit, merged_at in commits[f"demo/{service}"] if before < merged_at <= at
        }
        relations[deployment_id] = (
            "new" if at > before else "same" if at == now else "ancestor" if at < now else "returned"
        )
        reached[line], running[line] = max(at, before), at
    assert set(raw.sql("select deployment_id, commit_sha from raw.deployment_changes").fetchall()) == shipped
    assert {deployment_id: relation for *_, deployment_id, _, relation in deployments} == relations
    assert {"new", "same", "ancestor", "returned"} <= set(relations.values())


def test_nothing_is_deployed_that_did_not_pass_its_build(raw):
    assert (
        raw.sql("""
        select deployments.deployment_id from raw.deployments
        where not exists (
            select 1 from raw.builds
            where builds.commit_sha = deployments.commit_sha and builds.status = 'success'
                and builds.finished_at <= deployments.started_at
        )
    """).fetchall()
        == []
    )


def test_some_builds_are_flaky_and_some_attempts_fail(raw):
    flaky = raw.sql("""
        select count(*) from (
            select commit_sha from raw.builds group by commit_sha, workflow
            having count(*) filter (status = 'failure') > 0 and count(*) filter (status = 'success') > 0
        )
    """).fetchone()[0]
    assert 0.02 < flaky / raw.sql("select count(distinct commit_sha) from raw.builds").fetchone()[0] < 0.1
    statuses = dict(raw.sql("select status, count(*) from raw.deployments group by all").fetchall())
    assert set(statuses) == {"success", "failure", "cancelled"}


def test_engineering_rests_at_weekends_and_holidays(raw):
    days = raw.sql("""
        select finished_at::date, count(*) from raw.deployments where finished_at > '2025-10-01 12:00' group by all
    """).fetchall()
    assert [day for day, _ in days if day.weekday() >= 5] == []
    assert [day for day, _ in days if "2025-12-24" <= str(day) <= "2026-01-02" or str(day) == "2026-04-06"] == []
    assert len(days) > 170


def test_logs_of_incidents_begin_with_the_trigger_and_end_with_the_resolution(raw):
    logs = defaultdict(list)
    for incident_id, event_type, _ in raw.sql(
        "select incident_id, event_type, occurred_at from raw.incident_events order by occurred_at, event_id"
    ).fetchall():
        logs[incident_id].append(event_type)
    resolved = raw.sql("select incident_id, resolved_at is not null from raw.incidents").fetchall()
    assert {incident_id for incident_id, _ in resolved} == set(logs)
    for incident_id, is_resolved in resolved:
        assert logs[incident_id][0] == "triggered"
        assert (logs[incident_id][-1] == "resolved") == is_resolved, incident_id
    seen = {event_type for log in logs.values() for event_type in log}
    assert seen >= {
        "acknowledged",
        "escalated",
        "mitigated",
        "reopened",
        "merged",
        "rollback",
        "hotfix",
        "flag_rollback",
    }


def test_incidents_name_their_deployment_its_version_its_commit_or_nothing(raw):
    by_id, by_version, by_commit, by_time, third_party = raw.sql("""
        select
            count(*) filter (deployment_id is not null),
            count(*) filter (version is not null),
            count(*) filter (commit_sha is not null),
            count(*) filter (is_change_related and deployment_id is null and version is null and commit_sha is null),
            count(*) filter (is_third_party)
        from raw.incidents
    """).fetchone()
    assert min(by_id, by_version, by_commit, by_time, third_party) >= 4
    assert (
        raw.sql("""
        select incident_id from raw.incidents left join raw.deployments using (deployment_id)
        where incidents.deployment_id is not null
            and (deployments.service is distinct from incidents.service or finished_at > incidents.started_at)
    """).fetchall()
        == []
    )


def test_sessions_run_the_release_that_was_live_when_they_began_except_by_a_wrong_clock(raw):
    sessions, two_releases, other_release = raw.sql("""
        with sessions as (
            select service, session_id, min(occurred_at) as began_at, any_value(release) as release,
                count(distinct release) as releases
            from raw.rum_events group by all
        ), live as (
            select service, version, finished_at from raw.deployments
            where environment = 'production' and status = 'success'
        )
        select count(*), count(*) filter (releases > 1),
            count(*) filter (sessions.release is distinct from live.version)
        from sessions asof left join live
            on sessions.service = live.service and sessions.began_at >= live.finished_at
    """).fetchone()
    assert two_releases == 0
    assert 0 < other_release < 0.002 * sessions


def test_requests_and_jobs_run_the_release_that_was_live(raw):
    for table, time in (("requests", "occurred_at"), ("jobs", "enqueued_at")):
        assert raw.sql(f"""
            with live as (
                select service, version, finished_at from raw.deployments
                where environment = 'production' and status = 'success'
            )
            select count(*) from raw.{table} as ran asof left join live
                on ran.service = live.service and ran.{time} >= live.finished_at
            where ran.release is distinct from live.version
        """).fetchone() == (0,), table


def test_robots_are_marked_and_restored_pages_paint_at_once(raw):
    bots, synthetic, restored, painted_late = raw.sql("""
        select count(distinct session_id) filter (device_class = 'bot') / count(distinct session_id),
            count(distinct session_id) filter (is_synthetic) / count(distinct session_id),
            count(*) filter (navigation_type = 'back-forward-cache' and metric_name = 'LCP'),
            count(*) filter (navigation_type = 'back-forward-cache' and metric_name = 'LCP' and metric_value > 200)
        from raw.rum_events
    """).fetchone()
    assert (bots, synthetic) == (pytest.approx(0.03, abs=0.005), pytest.approx(0.02, abs=0.005))
    assert restored > 500
    assert painted_late == 0


def test_every_payment_in_a_browser_has_its_write_in_the_same_trace_and_one_that_went_through_its_mail(raw):
    """Apart from a clock that is wrong, by which a payment can leave the period."""
    payments, written, mailed, paid = raw.sql("""
        select count(*), count(*) filter (request.trace_id is not null),
            count(*) filter (job.trace_id is not null), count(*) filter (is_success)
        from (select distinct trace_id, max(is_success) as is_success from raw.rum_events
            where event_type = 'payment' group by all) as payment
        left join (select distinct trace_id from raw.requests where route = '/payments') as request using (trace_id)
        left join (select distinct trace_id from raw.jobs) as job using (trace_id)
    """).fetchone()
    assert payments == written > mailed == paid > 0


def test_failed_payments_are_visible_or_not_and_the_client_is_told(raw):
    seen, unseen = raw.sql("""
        select count(*) filter (is_retry_visible), count(*) filter (not is_retry_visible)
        from raw.rum_events where event_type = 'payment' and not is_success
    """).fetchone()
    assert seen > unseen > 0
    assert raw.sql(
        "select count(*) from raw.requests where is_validation_error <> (status in (400, 402))"
    ).fetchone() == (0,)


def test_the_paints_of_a_page_are_in_order_and_the_last_report_of_a_metric_is_the_highest(raw):
    assert (
        raw.sql("""
        with finals as (
            select page_view_id, metric_name, metric_id, max_by(metric_value, occurred_at) as final,
                max(metric_value) as highest
            from raw.rum_events where event_type = 'vital' group by all
        )
        select page_view_id from finals group by all
        having max(final) filter (metric_name = 'TTFB') > max(final) filter (metric_name = 'FCP')
            or max(final) filter (metric_name = 'FCP') > max(final) filter (metric_name = 'LCP')
            or bool_or(final < highest) or count(*) <> count(distinct metric_name)
    """).fetchall()
        == []
    )
    repeated = raw.sql(
        "select count(*) from (select 1 from raw.rum_events where metric_id is not null group by metric_id "
        "having count(*) > 1)"
    ).fetchone()[0]
    assert repeated > 1000


def test_reviews_are_slow_for_the_planted_service_alone(raw):
    waits = dict(
        raw.sql("""
            select repository, median(epoch(first_review_at - ready_at)) / 3600 as hours
            from raw.pull_requests where merged_at is not null group by all
        """).fetchall()
    )
    slow = waits.pop(f"demo/{PLANTED['slow_review'].service}")
    assert slow > 48
    assert max(waits.values()) < 24
    to_merge, to_deployment = raw.sql(f"""
        select
            sum(epoch(changes.merged_at - first_commit_at)), sum(epoch(finished_at - changes.merged_at))
        from raw.deployment_changes
        join raw.deployments using (deployment_id)
        join raw.changes on changes.commit_sha = deployment_changes.commit_sha
        join raw.pull_requests using (repository, pull_request_number)
        where service = '{PLANTED["slow_review"].service}' and environment = 'production'
    """).fetchone()
    assert to_merge > 2 * to_deployment


def bounces(raw) -> pl.DataFrame:
    """Session: service, entry_route, began_at, is_bounce."""
    return raw.sql("""
        select service, min_by(route, occurred_at) as entry_route, min(occurred_at) as began_at,
            count(distinct page_view_id) = 1 and count(*) filter (event_type = 'interaction') = 0 as is_bounce
        from raw.rum_events where device_class <> 'bot' group by service, session_id
    """).pl()


def test_the_bad_release_raises_the_bounce_rate_of_one_route_until_it_is_repaired(raw):
    sessions = bounces(raw)
    during = pl.col("began_at").is_between(BAD_RELEASE.begins, BAD_RELEASE.ends, closed="left")
    hurt = (pl.col("service") == BAD_RELEASE.service) & (pl.col("entry_route") == BAD_RELEASE.route)

    def rate(condition: pl.Expr) -> float:
        return sessions.filter(condition)["is_bounce"].mean()

    assert rate(hurt & ~during) == pytest.approx(0.32, abs=0.02)
    assert rate(hurt & during) > 1.5 * rate(hurt & ~during)
    assert rate(~hurt & during) < 1.2 * rate(~hurt & ~during)
    week = timedelta(days=7)
    after = pl.col("began_at").is_between(BAD_RELEASE.ends, BAD_RELEASE.ends + week)
    assert rate(hurt & after) < 1.2 * rate(hurt & ~during)


def test_the_bad_release_slows_the_largest_paint_of_that_route_alone(raw):
    medians = raw.sql(f"""
        select route = '{BAD_RELEASE.route}',
            median(metric_value) filter (is_bad) / median(metric_value) filter (not is_bad)
        from (
            select rum_events.*, release = (
                select version from raw.deployments
                where service = '{BAD_RELEASE.service}' and finished_at = '{BAD_RELEASE.begins}'
            ) as is_bad
            from raw.rum_events
            where service = '{BAD_RELEASE.service}' and metric_name = 'LCP' and navigation_type <> 'back-forward-cache'
        ) group by all
    """).fetchall()
    assert dict(medians)[True] > 1.4
    assert dict(medians)[False] == pytest.approx(1.0, abs=0.25)


def test_every_front_end_bounces_at_a_usual_rate_in_every_month(raw):
    rates = bounces(raw).group_by("service", pl.col("began_at").dt.month()).agg(pl.col("is_bounce").mean())
    assert rates.height == 3 * 5
    assert rates["is_bounce"].is_between(0.2, 0.4).all()


def test_the_pager_is_noisy_for_the_planted_service_alone(raw):
    alarms = raw.sql("""
        select service, alert_key, count(*) as alarms, count(*) filter (is_false_positive) as false_ones
        from raw.incidents group by all order by alarms desc
    """).fetchall()
    noisy = PLANTED["noisy_pager"]
    (service, alert_key, count, false_ones), *others = alarms
    assert (service, alert_key) == (noisy.service, noisy.alert_key)
    assert count == false_ones > 200
    assert max(false_ones for *_, false_ones in others) < 5
    assert raw.sql(f"""
        select count(*) filter (responder_key is not null), count(*) filter (event_type = 'resolved')
        from raw.incident_events join raw.incidents using (source, incident_id) where alert_key = '{noisy.alert_key}'
    """).fetchone() == (0, count)


def test_one_team_reviews_in_silence_and_stays_away_from_its_retrospectives(raw):
    truth = PLANTED["silent"]
    silent = dict(
        raw.sql(f"""
            select repository = 'demo/{truth.service}' and {around("silent", "submitted_at")},
                avg((comments = 0)::integer)
            from raw.pull_requests join restricted.review_activity using (repository, pull_request_number) group by all
        """).fetchall()
    )
    assert silent[True] > 0.8 > 0.4 > silent[False]
    present = dict(
        raw.sql(f"""
            select team = '{truth.team}' and {around("silent", "held_at")}, sum(people_present) / sum(people_invited)
            from raw.retrospectives group by all
        """).fetchall()
    )
    assert present[True] < 0.55 < 0.8 < present[False]


def test_coverage_rises_for_one_service_by_tests_that_are_flaky(raw):
    truth = PLANTED["over_reported"]
    coverage = dict(
        raw.sql(f"""
            select service = '{truth.service}' and measured_at >= '{truth.begins}',
                sum(lines_covered) / sum(lines_total)
            from raw.critical_path_coverage group by all
        """).fetchall()
    )
    assert (coverage[True], coverage[False]) == (pytest.approx(0.9, abs=0.01), pytest.approx(0.7, abs=0.01))
    flaky = dict(
        raw.sql(f"""
            select service = '{truth.service}' and started_at >= '{truth.begins}', avg((builds > 1)::integer)
            from (
                select service, min(started_at) as started_at, count(*) as builds
                from raw.builds group by service, commit_sha
            )
            group by all
        """).fetchall()
    )
    assert flaky[True] > 0.25 > 0.1 > flaky[False]


def test_one_team_says_that_it_is_slow(raw):
    truth = PLANTED["perception_gap"]
    answers = raw.sql(f"""
        select team = '{truth.team}' and question = 'perceived_speed' and answered_at >= '{truth.begins}', avg(answer)
        from restricted.survey_responses group by all
    """).fetchall()
    assert dict(answers) == {True: pytest.approx(1.8, abs=0.3), False: pytest.approx(3.7, abs=0.1)}


def test_work_rests_on_two_people_of_one_team_for_a_quarter(raw):
    truth = PLANTED["concentrated"]
    owned = tuple(
        each.repository for each in organisation.SERVICES if each.team_at(truth.begins.date()).name == truth.team
    )
    shares = raw.sql(f"""
        with given as (
            select repository, 'author' as part, author_key as person, created_at as happened_at from raw.pull_requests
            union all
            select repository, 'reviewer', reviewer_key, submitted_at from restricted.review_activity
        ),
        counted as (
            select repository in {owned} and {around("concentrated", "happened_at")} as planted,
                repository, part, person, count(*) as items
            from given group by all
        )
        select planted, repository, part, max(items) / sum(items), count(*)
        from counted group by planted, repository, part
    """).fetchall()
    assert sum(planted for planted, *_ in shares) == 2 * len(owned)
    for planted, *where, share, people in shares:
        assert people >= 5, where
        assert (share > 0.6) == planted, where


def test_a_module_is_touched_by_what_fails_and_by_little_else(raw):
    truth = PLANTED["risky_module"]
    touched = dict(
        raw.sql(f"""
            with harmful as (
                select commit_sha from raw.deployment_changes
                where deployment_id in (select deployment_id from raw.incidents where is_change_related)
            )
            select commit_sha in (from harmful), avg(starts_with(path, '{truth.component}/')::integer)
            from raw.change_paths join raw.changes using (commit_sha)
            where repository = 'demo/{truth.service}' group by all
        """).fetchall()
    )
    assert touched[True] > 0.4 > 0.2 > touched[False] > 0
    elsewhere = raw.sql(f"""
        select count(*) from raw.change_paths join raw.changes using (commit_sha)
        where starts_with(path, '{truth.component}/') and repository <> 'demo/{truth.service}'
    """)
    assert elsewhere.fetchone() == (0,)


def test_teams_do_in_time_four_fifths_of_what_they_plan(raw):
    planned = raw.sql("""
        select team, count(*), avg((coalesce(completed_at::date <= due_on, false))::integer)
        from raw.planned_items where committed_at::date <= starts_on group by all
    """).fetchall()
    assert len(planned) == len(organisation.TEAMS)
    assert all(count > 100 and 0.7 < share < 0.9 for _, count, share in planned)


def test_delivery_improves_for_the_planted_service_alone_and_is_gamed_in_another(raw):
    thirds = raw.sql("""
        with bounds as (select timestamp '2025-10-01' as first, timestamp '2026-07-01' as last),
        shipped as (
            select service, deployment_id, finished_at,
                epoch(finished_at - if(merge_method = 'squash', first_commit_at, authored_at)) as span
            from raw.deployments
            join raw.deployment_changes using (source, deployment_id)
            join raw.changes on changes.commit_sha = deployment_changes.commit_sha
            left join raw.pull_requests using (repository, pull_request_number)
            where environment = 'production' and not is_merge
        )
        select service, least(floor(3 * (epoch(finished_at - first) / epoch(last - first))), 2)::int as third,
            median(span) / 3600 as hours, count(distinct deployment_id) as deployments
        from shipped, bounds group by all
    """).pl()
    first, last = (
        thirds.filter(pl.col("third") == third).sort("service").select("service", "hours", "deployments")
        for third in (0, 2)
    )
    change = first.join(last, on="service", suffix="_last").select(
        "service",
        (pl.col("hours_last") / pl.col("hours")).alias("lead_time"),
        (pl.col("deployments_last") / pl.col("deployments")).alias("deployments"),
    )
    improved = pl.col("service") == PLANTED["improvement"].service
    ((_, lead_time, deployments),) = change.filter(improved).rows()
    assert lead_time < 0.5
    assert deployments > 1.5
    gamed = pl.col("service") == PLANTED["gamed"].service
    assert change.filter(gamed)["deployments"].item() > 2
    control = change.filter(~improved & ~gamed)
    assert control.height == 6
    assert control["lead_time"].is_between(0.7, 1.45).all()
    assert control["deployments"].is_between(0.7, 1.45).all()


def around(name: str, time: str = "occurred_at") -> str:
    """Whether a row lies within a planted truth, in SQL."""
    truth = PLANTED[name]
    return f"({time} >= '{truth.begins}' and {time} < '{truth.ends}')"


def test_every_planted_deployment_is_on_record_alone_around_and_repaired_as_declared(raw):
    for name, truth in PLANTED.items():
        if truth.verdict is None:
            continue
        [deployment] = raw.sql(
            "select deployment_id from raw.deployments where environment = 'production' and status = 'success' "
            f"and service = '{truth.service}' and finished_at = '{truth.begins}'"
        ).fetchall()
        if truth.repair is None:
            assert around_another(truth), name
            continue
        others = raw.sql(
            f"select finished_at, is_rollback, is_hotfix, repairs_deployment_id from raw.deployments "
            f"where environment = 'production' and service = '{truth.service}' and deployment_id <> '{deployment[0]}' "
            f"and finished_at >= '{truth.begins - timedelta(days=1)}' and finished_at <= '{truth.ends}' "
            "order by finished_at"
        ).fetchall()
        *between, repair = others
        assert [at for at, *_ in between] == [
            other.begins
            for other in PLANTED.values()
            if other.verdict == "still_degraded" and truth.covers(other.begins) and other.service == truth.service
        ], name
        is_hotfix = truth.repair == "hotfix"
        assert repair == (
            truth.ends,
            None if is_hotfix else True,
            is_hotfix or None,
            deployment[0] if is_hotfix else None,
        )
        incidents = raw.sql(
            f"select count(*) from raw.incidents where service = '{truth.service}' "
            f"and started_at = '{truth.begins + timedelta(minutes=4)}'"
        ).fetchone()[0]
        assert incidents == truth.is_noticed, name


def around_another(truth) -> bool:
    return any(
        other.repair and other.service == truth.service and other.covers(truth.begins) for other in PLANTED.values()
    )


def test_the_bad_release_throws_errors_in_one_component(raw):
    errors = dict(
        raw.sql(f"""
            select component, count(*) from raw.rum_events
            where event_type = 'error' and service = '{BAD_RELEASE.service}' and {around("bad_release")} group by all
        """).fetchall()
    )
    assert errors.pop(BAD_RELEASE.component) > 2 * sum(errors.values())


def test_the_broken_step_loses_shoppers_while_it_lasts(raw):
    truth = PLANTED["broken_step"]
    rates = dict(
        raw.sql(f"""
            select {around("broken_step")}, avg((final)::integer) from (
                select min(occurred_at) as occurred_at, bool_or(route = '/checkout/payment') as final
                from raw.rum_events where service = '{truth.service}'
                group by session_id having bool_or(route = '{truth.route}')
            ) group by all
        """).fetchall()
    )
    assert rates[True] < 0.2 < 0.8 < rates[False]


def test_the_white_screen_sends_nothing(raw):
    truth = PLANTED["white_screen"]
    day = timedelta(days=7)
    release = (
        f"select version from raw.deployments where service = '{truth.service}' and finished_at = '{truth.begins}'"
    )
    assert raw.sql(f"select count(*) from raw.rum_events where release = ({release})").fetchone() == (0,)
    usual = raw.sql(
        f"select count(distinct session_id) from raw.rum_events where service = '{truth.service}' "
        f"and occurred_at between '{truth.begins - day}' and '{truth.ends - day}'"
    ).fetchone()[0]
    assert usual > 30


def test_the_api_fails_ten_times_as_often_while_its_bad_release_runs(raw):
    rates = {
        (service, during): rate
        for service, during, rate in raw.sql(f"""
            select service, {around("server_errors")}, avg((status >= 500)::integer)
            from raw.requests where not is_synthetic group by all
        """).fetchall()
    }
    service = PLANTED["server_errors"].service
    assert rates.pop((service, True)) == pytest.approx(0.01, rel=0.4)
    assert max(rate for (_, during), rate in rates.items() if not during) < 0.002


def test_instances_crash_in_the_loop_and_hardly_ever_else(raw):
    service = PLANTED["crash_loop"].service
    crashes = dict(
        raw.sql(f"""
            select {around("crash_loop")}, count(*) from raw.process_samples
            where sample_kind = 'crash' and service = '{service}' group by all
        """).fetchall()
    )
    assert crashes[True] > 100
    assert crashes[False] < 15


def test_memory_grows_with_uptime_in_the_leaking_service_alone(raw):
    truth = PLANTED["memory_leak"]
    slopes = {
        (service, during): slope
        for service, during, slope in raw.sql(f"""
            select service, occurred_at >= '{truth.begins + timedelta(days=4)}' as during,
                regr_slope(heap_used_bytes, uptime_seconds / 3600) / 1048576
            from raw.process_samples where sample_kind = 'sample' and uptime_seconds > 6 * 3600 group by all
        """).fetchall()
    }
    assert slopes.pop((truth.service, True)) == pytest.approx(6, abs=0.5)
    assert max(map(abs, slopes.values())) < 0.5


def test_jobs_wait_for_hours_in_the_stuck_queue_alone(raw):
    truth = PLANTED["stuck_queue"]
    late = {
        (queue, during): rate
        for queue, during, rate in raw.sql(f"""
            select queue, {around("stuck_queue", "enqueued_at")},
                avg((finished_at > enqueued_at + interval 2 minute)::integer)
            from raw.jobs group by all
        """).fetchall()
    }
    assert late.pop((truth.queue, True)) == 1
    usual = [rate for (_, during), rate in late.items() if not during]
    assert 0 < max(usual) < 0.05


@pytest.fixture(scope="module")
def judged(demo):
    """The marts that tell which deployments of the default organisation did harm, and where."""
    folder, connection, _ = demo
    load_reference(connection, folder / "seeds")
    models().build(connection, "fct_degradations", "degradation_contributions", "fct_deployment_failures")
    return connection


# Truths that the measurement of a deployment's effect has to find, by what it hurts.
HARM = {
    "bad_release": {"bounced_sessions", "error_sessions", "poor_lcp_page_loads", "not_good_lcp_page_loads"},
    "broken_step": {"incomplete_journeys"},
    "server_errors": {"failed_requests"},
    "crash_loop": {"process_restarts"},
}


def verdicts(judged, truth) -> dict[str, set[str]]:
    """Verdict → indicators of the deployment that a truth is about."""
    found = defaultdict(set)
    for verdict, indicator in judged.execute(
        "select verdict, indicator from marts.fct_degradations where service = ? and finished_at = ?",
        [truth.service, truth.begins],
    ).fetchall():
        found[verdict].add(indicator)
    return found


def test_every_planted_degradation_is_found_and_no_other_deployment_is_flagged(judged):
    flagged = judged.sql("""
        select distinct service, finished_at from marts.fct_degradations
        where verdict in ('degraded', 'still_degraded', 'suspected', 'telemetry_lost')
    """).fetchall()
    truths = {name: truth for name, truth in PLANTED.items() if truth.verdict}
    assert set(flagged) == {(truth.service, truth.begins) for truth in truths.values()}
    for name, truth in truths.items():
        assert verdicts(judged, truth)[truth.verdict], name
    assert {name for name, truth in truths.items() if truth.verdict == "degraded"} == set(HARM)
    for name, indicators in HARM.items():
        assert verdicts(judged, truths[name])["degraded"] == indicators, name


def test_a_white_screen_lost_its_telemetry_by_every_indicator_that_had_enough_before(judged):
    found = verdicts(judged, PLANTED["white_screen"])
    assert found["telemetry_lost"] >= {"bounced_sessions", "error_sessions", "not_good_lcp_page_loads"}
    assert found.keys() == {"telemetry_lost", "insufficient_data"}


def test_the_healthy_release_blames_the_bad_one_until_its_hotfix_and_is_no_failure(judged):
    healthy = PLANTED["healthy_release"]
    assert verdicts(judged, healthy)["still_degraded"] == HARM["bad_release"]
    assert not verdicts(judged, healthy)["degraded"]
    blamed = judged.execute(
        """
        select distinct first.finished_at
        from marts.fct_degradations as later
        inner join marts.fct_degradations as first on later.first_degraded_deployment_key = first.deployment_key
        where later.service = ? and later.finished_at = ? and later.verdict = 'still_degraded'
        """,
        [healthy.service, healthy.begins],
    ).fetchall()
    assert blamed == [(BAD_RELEASE.begins,)]
    failures = judged.sql("""
        select service, failed_at, recovered_at from marts.fct_deployment_failures
        where cause = 'degradation' and attribution = 'inferred'
    """).fetchall()
    assert set(failures) == {(PLANTED[name].service, PLANTED[name].begins, PLANTED[name].ends) for name in HARM}


def test_a_degradation_leads_to_its_route_its_component_and_its_step(judged):
    def largest(name: str, indicator: str, dimension: str) -> str:
        truth = PLANTED[name]
        (found,) = judged.execute(
            """
            select dimension_value from marts.degradation_contributions
            inner join marts.fct_degradations using (deployment_key, indicator)
            where fct_degradations.service = ? and finished_at = ? and indicator = ? and dimension = ?
                and contribution_rank = 1 and contribution > 0.5 * change_rate
            """,
            [truth.service, truth.begins, indicator, dimension],
        ).fetchone()
        return found

    for indicator in HARM["bad_release"]:
        assert largest("bad_release", indicator, "route") == BAD_RELEASE.route, indicator
    assert largest("bad_release", "error_sessions", "component") == BAD_RELEASE.component
    assert largest("broken_step", "incomplete_journeys", "step") == f"checkout/{PLANTED['broken_step'].step}"
