"""The reference folder: a wrong row is named by file, line and column, and changes nothing."""

import pytest
from running import SERVICES, TEAMS

from dagster_project.contracts import KPIS
from dagster_project.errors import ConfigurationError
from dagster_project.reference import load_reference


def write(settings, services=SERVICES + "web,shop,frontend,,,\n", teams=TEAMS + "shop,,Europe/Berlin\n"):
    (settings.reference_dir / "services.csv").write_text(services, encoding="utf-8")
    (settings.reference_dir / "teams.csv").write_text(teams, encoding="utf-8")


def refusal(connection, settings) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_reference(connection, settings.reference_dir)
    return str(caught.value)


def test_a_team_called_0012_stays_a_text(connection, settings):
    write(settings, SERVICES + "web,0012,frontend,,2024-01-01,\n", TEAMS + "0012,,UTC\n")
    rows = load_reference(connection, settings.reference_dir)
    assert (rows["services"], rows["teams"], rows["corrections"]) == (1, 1, 0)
    assert connection.sql("select team, valid_to from reference.services").fetchall() == [("0012", None)]


def test_the_tables_follow_the_files(connection, settings):
    load_reference(connection, settings.reference_dir)
    write(settings, SERVICES + "api,shop,node_service,,,\n")
    load_reference(connection, settings.reference_dir)
    assert connection.sql("select service from reference.services").fetchall() == [("api",)]


@pytest.mark.parametrize(
    ("services", "says"),
    [
        ("web,shop,robot,,,\n", "services.csv line 2: component_kind: not one of frontend, node_service, worker"),
        ("\nweb,shop,frontend,,soon,\n", "services.csv line 3: valid_from: not a date"),
        ("web,shop,frontend,,2024-02-01,2024-01-01\n", "services.csv line 2: valid_to is before valid_from"),
        (",shop,frontend,,,\n", "services.csv line 2: service: missing"),
        ("web,shop\n", "services.csv line 2: 2 values under 6 columns"),
        ("web,ship,frontend,,,\n", "services.csv line 2: team 'ship' is not in teams.csv"),
        ("web,shop,frontend,,,\nweb,shop,frontend,,2024-01-01,\n", "line 3: 'web' has two owners at once, see line 2"),
    ],
)
def test_a_wrong_service_is_named(connection, settings, services, says):
    load_reference(connection, settings.reference_dir)
    write(settings, SERVICES + services)
    assert says in refusal(connection, settings)
    assert connection.sql("select service from reference.services").fetchall() == [("web",)]


@pytest.mark.parametrize(
    ("teams", "says"),
    [
        ("shop,,Berlin\n", "teams.csv line 2: time_zone 'Berlin' is no IANA time zone"),
        ("shop,house,UTC\n", "teams.csv line 2: parent 'house' is no team of this file"),
        ("shop,house,UTC\nhouse,shop,UTC\n", "team 'shop' is above itself"),
        ("shop,,UTC\nshop,,UTC\n", "teams.csv line 3: has the team of line 2; keep one of them"),
    ],
)
def test_a_wrong_team_is_named(connection, settings, teams, says):
    write(settings, teams=TEAMS + teams)
    assert says in refusal(connection, settings)


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        ("web/** src/{a,b}", "services.csv line 3: paths: 'src/{a,b}' holds '{'; a glob knows"),
        ("web/?", "paths: 'web/?' holds '?'"),
        ("!web/**", "paths: '!web/**' holds '!'"),
        ("web\\a", r"paths: 'web\\a' holds '\\'"),
        ("web\tapi", r"paths: 'web\tapi' holds '\t'"),
        ("web/**.css", "paths: 'web/**.css' has `**` beside other characters"),
        ("/web/**", "paths: '/web/**' does not start at the root of the repository; write web/**"),
        ("./web", "paths: './web' does not start at the root of the repository; write web"),
        ("web/", "paths: 'web/' is a folder, and rules match files; write web/**"),
    ],
)
def test_a_wrong_glob_is_named(connection, settings, paths, says):
    rows = f'web,shop,frontend,\napi,shop,node_service,"{paths}"\n'
    write(settings, f"service,team,component_kind,paths\n{rows}")
    assert says in refusal(connection, settings)


def test_globs_of_every_kind_of_name_are_taken(connection, settings):
    rules = "web/**  app/[slug]/(group)/*.$id.tsx **/+page.svelte README!"
    write(settings, f"service,team,component_kind,paths\nweb,shop,frontend,{rules}\n")
    load_reference(connection, settings.reference_dir)
    assert connection.sql("select paths from reference.services").fetchall() == [(rules,)]


def test_ownership_may_pass_from_one_team_to_another(connection, settings):
    moved = "web,shop,frontend,,,2024-01-01\nweb,pay,frontend,,2024-01-01,\n"
    write(settings, SERVICES + moved, TEAMS + "shop,,UTC\npay,,UTC\n")
    assert load_reference(connection, settings.reference_dir)["services"] == 2


def test_unknown_and_missing_columns_are_named(connection, settings):
    write(settings, "service,team,component_kind,colour\n")
    assert "services.csv line 1: unknown column 'colour'" in refusal(connection, settings)
    write(settings, "service,team\n")
    assert "services.csv line 1: column 'component_kind' is missing" in refusal(connection, settings)


def test_a_missing_file_is_named_with_its_header(connection, settings):
    (settings.reference_dir / "teams.csv").unlink()
    assert "teams.csv: missing; write it with the header team,parent,time_zone" in refusal(connection, settings)


@pytest.mark.parametrize(
    ("rotations", "says"),
    [
        ("eu,ship,,,,\n", "rotations.csv line 2: team 'ship' is not in teams.csv"),
        ("eu,shop,,Berlin,,\n", "rotations.csv line 2: time_zone 'Berlin' is no IANA time zone"),
        ("eu,shop,,,9:00,\n", "rotations.csv line 2: business_start is no time such as 09:00"),
        ("eu,shop,,,,0\n", "rotations.csv line 2: shift_hours: below 1"),
        ("eu,shop,web,,,\nus,shop,api web,,,\n", "line 3: service 'web' already belongs to the rotation of line 2"),
        (
            "eu,shop,,,,\nus,shop,,,,\n",
            "line 3: what team 'shop' has besides already belongs to the rotation of line 2",
        ),
        ("eu,shop,web,,,\neu,shop,api,,,\n", "rotations.csv line 3: rotation 'eu' stands in line 2 as well"),
    ],
)
def test_a_wrong_rotation_is_named(connection, settings, rotations, says):
    write(settings)
    header = "rotation,team,services,time_zone,business_start,shift_hours\n"
    (settings.reference_dir / "rotations.csv").write_text(header + rotations, encoding="utf-8")
    assert says in refusal(connection, settings)


KPI = "{},reliability,{},hours,lower,lead,{},examine,true,false,0.1,{},{},{},\n"


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (KPI.format("a", "velocity", "", "", "", ""), "kpis.csv line 2: measure: not one of deployments_per_day"),
        (KPI.format("a", "mttr_hours", "b", "", "", ""), "kpis.csv line 2: pair 'b' is no KPI of this file"),
        (KPI.format("a", "mttr_hours", "a", "", "", ""), "kpis.csv line 2: a KPI is no pair of itself"),
        (
            KPI.format("a", "mttr_hours", "", "5", "", "2026-02-01")
            + KPI.format("a", "mttr_hours", "", "4", "2026-01-01", ""),
            "kpis.csv line 3: 'a' has two definitions at once, see line 2",
        ),
        (
            KPI.format("a", "mttr_hours", "", "", "", "").replace("examine", "promotion"),
            "kpis.csv line 2: a KPI informs no decision about pay, promotion, dismissal or rank",
        ),
        (
            KPI.format("a", "mttr_hours", "", "", "", "").replace("examine", "examine guess"),
            "kpis.csv line 2: decisions: 'guess' is none; allowed: describe, examine, improve_delivery",
        ),
    ],
)
def test_a_wrong_kpi_is_named(connection, settings, rows, says):
    header = ",".join(column.name for column in KPIS.columns)
    (settings.reference_dir / "kpis.csv").write_text(f"{header}\n{rows}", encoding="utf-8")
    assert says in refusal(connection, settings)


def test_a_kpi_may_change_its_target_and_the_shipped_ones_hold(connection, settings):
    load_reference(connection, settings.reference_dir)
    assert 8 <= connection.sql("select count(*) from reference.kpis where is_active").fetchone()[0] <= 12
    layers = connection.sql("select distinct layer from reference.kpis where is_active").fetchall()
    assert len(layers) == len(KPIS.column("layer").allowed)
    header = ",".join(column.name for column in KPIS.columns)
    rows = KPI.format("a", "mttr_hours", "", "5", "", "2026-01-01") + KPI.format(
        "a", "mttr_hours", "", "4", "2026-01-01", ""
    )
    (settings.reference_dir / "kpis.csv").write_text(f"{header}\n{rows}", encoding="utf-8")
    assert load_reference(connection, settings.reference_dir)["kpis"] == 2


LOG = "decided_on,team,metric,decision_kind,decision,decided_by_role,link\n"
ANSWERS = "quarter,question,team,answer,why,answered_by_role,answered_on\n"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "decision_log",
            LOG + "2025-01-01,,speed,examine,Look,head,\n",
            "line 2: metric 'speed' is no KPI of kpis.csv",
        ),
        ("decision_log", LOG + "2025-01-01,ship,mttr,examine,Look,head,\n", "line 2: team 'ship' is not in teams.csv"),
        ("decision_log", LOG + "2025-01-01,,mttr,promotion,Up,head,\n", "line 2: decision_kind: not one of describe, "),
        (
            "audit_answers",
            ANSWERS + "2025-01-01,gamed,ship,no,Fine,head,2025-04-05\n",
            "audit_answers.csv line 2: team 'ship' is not in teams.csv",
        ),
        (
            "audit_answers",
            ANSWERS + "2025-02-01,gamed,,no,Fine,head,2025-04-05\n",
            "audit_answers.csv line 2: quarter is not the first day of a quarter",
        ),
        ("teams", TEAMS + "shop,,UTC\nall,,UTC\n", "teams.csv line 3: 'all' stands for all teams together"),
    ],
)
def test_a_wrong_row_of_the_audit_is_named(connection, settings, name, text, says):
    write(settings)
    (settings.reference_dir / f"{name}.csv").write_text(text, encoding="utf-8")
    assert says in refusal(connection, settings)


@pytest.mark.parametrize(
    ("indicators", "says"),
    [
        ("error_sessions,wep,0.01,\n", "degradation_indicators.csv line 2: service 'wep' is not in services.csv"),
        ("errors,,0.01,\n", "degradation_indicators.csv line 2: indicator: not one of"),
        ("slow_requests,web,0.001,\n", "degradation_indicators.csv line 2: slow_requests needs objective_ms"),
        (
            "error_sessions,web,0.01,\nerror_sessions,,0.01,\nerror_sessions,web,0.02,\n",
            "line 4: has the indicator, service of line 2; keep one of them",
        ),
        (
            "error_sessions,,0.01,\nerror_sessions,,0.02,\n",
            "line 3: has the indicator, service of line 2; keep one of them",
        ),
    ],
)
def test_a_wrong_indicator_is_named(connection, settings, indicators, says):
    write(settings)
    header = "indicator,service,least_rise,objective_ms\n"
    (settings.reference_dir / "degradation_indicators.csv").write_text(header + indicators, encoding="utf-8")
    assert says in refusal(connection, settings)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "ov_quarters",
            "quarter,closed_at,closed_by_role\n2026-01-01,2026-04-02T09:00:00Z,coach\n2026-01-01,2026-04-03T09:00:00Z,coach\n",
            "ov_quarters.csv line 3: has the quarter of line 2; keep one of them",
        ),
        (
            "journeys",
            "journey,service,position,step,step_kind,route\n"
            "checkout,web,1,cart,page_view,/cart\ncheckout,web,01,basket,page_view,/basket\n",
            "journeys.csv line 3: has the journey, position of line 2; keep one of them",
        ),
    ],
)
def test_a_row_with_the_key_of_another_is_named(connection, settings, name, text, says):
    write(settings)
    (settings.reference_dir / f"{name}.csv").write_text(text, encoding="utf-8")
    assert says in refusal(connection, settings)
