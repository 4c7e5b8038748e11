"""Outcome value of the demo organisation: who is in which team, scores, evidence logs, growth reviews, calibration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from random import Random

from dagster_project.contracts import KPIS, OV_DIMENSIONS
from dagster_project.extract.demo.delivery import Row
from dagster_project.extract.demo.organisation import TEAMS, Period, is_working_day
from dagster_project.reference import read_file
from dagster_project.settings import PROJECT_DIR

# Planted, team by team; the scores of all others are drawn alike.
UNANIMOUS_TEAM = "merchant-tools"  # everybody has a 5 in everything: its row would give every score away
LATE_EVIDENCE_TEAM = "checkout"  # writes its evidence logs in the last month of a quarter
CHANGED_TEAM = "platform"  # one leaves and one comes in the first quarter of 2026: its rows are carried forward
CHANGED_FROM = date(2026, 2, 2)

# Most people work as the rubric's middle level describes.
CHANCES = {1: 2, 2: 14, 3: 48, 4: 30, 5: 6}
EVIDENCE_KINDS = ("outcome", "incident", "decision", "peer_praise", "growth_moment")
WORKING_DAYS_PER_ENTRY = 3
LEADS_OF_GROUP = 6
PROJECTS = ("faster checkout", "search relevance", "price service", "one design system")
STAKEHOLDERS = ("merchants", "support", "buyers", "finance")
# Before the demo's as_of, so that its last quarter is closed, too.
CLOSED_AFTER = timedelta(days=6)

# Rows of decision_log.csv; change_failure_rate has informed one that it may not, slow_requests none at all.
DECISIONS_MADE = [
    (
        date(2026, month, day),
        team,
        kpi,
        kind,
        decision,
        "engineering manager",
        f"https://wiki.example/decisions/{number}",
    )
    for number, (month, day, team, kpi, kind, decision) in enumerate(
        (
            (2, 4, "discovery", "lead_time", "improve_delivery", "Review a pull request on the day it is opened."),
            (2, 11, None, "good_lcp", "prioritise_experience", "Product pages before the start page."),
            (3, 3, None, "error_free_sessions", "prioritise_experience", "A week for errors of the gallery."),
            (3, 17, "checkout", "mttr", "invest_in_reliability", "Every service gets a way back by flag."),
            (4, 8, "checkout", "deployment_frequency", "improve_delivery", "Deploy every merge."),
            (4, 9, None, "change_failure_rate", "plan_capacity", "One more engineer for checkout."),
            (
                4,
                21,
                "merchant-tools",
                "critical_path_coverage",
                "improve_delivery",
                "Test the main path of each service.",
            ),
            (
                5,
                5,
                "merchant-tools",
                "flaky_builds",
                "improve_delivery",
                "A flaky test is repaired or removed within a week.",
            ),
            (5, 19, None, "support_tickets", "prioritise_experience", "Answer the three most frequent questions."),
            (6, 2, None, "predictability", "plan_capacity", "Plan a tenth less, and finish it."),
            (6, 16, None, "actions_on_time", "plan_capacity", "A tenth of every sprint is for actions."),
        ),
        1,
    )
]
PILOT_TEAM = "discovery"
# Rows of audit_answers.csv; the last quarter's questions about the right behaviour are not answered yet.
AUDIT_ANSWERS_GIVEN = [
    (quarter, question, team, answer, why, "head of engineering", quarter + timedelta(days=98))
    for quarter, question, team, answer, why in (
        (date(2026, 1, 1), "gamed", None, "no", "No sign was found, and teams know of none."),
        (
            date(2026, 1, 1),
            "motivates_right_behaviour",
            None,
            "partly",
            "Reviews became a matter of speed in one team.",
        ),
        (date(2026, 1, 1), "measures_business_value", None, "partly", "Nothing speaks of merchants yet."),
        (date(2026, 1, 1), "rubric_clearer", PILOT_TEAM, "yes", "Fewer claims were challenged than before."),
        (
            date(2026, 1, 1),
            "reviews_more_actionable",
            PILOT_TEAM,
            "partly",
            "Half of the growth reviews name a next step.",
        ),
        (date(2026, 1, 1), "metrics_predictive", PILOT_TEAM, "partly", "Too early to tell."),
        (date(2026, 4, 1), "gamed", None, "yes", "One team cuts its work to deploy more often."),
        (date(2026, 4, 1), "measures_business_value", None, "yes", "Support tickets now lead to decisions."),
    )
]


# What its kpis.csv changes of the shipped one: it plans in sprints, and follows up incidents by the actions alone.
ITS_KPIS = {
    "incident_reviews": {"is_active": "false"},
    "predictability": {"is_active": "true"},
    "support_tickets": {"target": "3"},
}


def kpis() -> Iterator[tuple]:
    """Rows of kpis.csv."""
    for row in read_file(PROJECT_DIR / "seeds", KPIS).iter_rows(named=True):
        yield tuple((row | ITS_KPIS.get(row["kpi"], {}))[column.name] for column in KPIS.columns)


def outcomes(period: Period, seed: int) -> dict[str, list[Row]]:
    """Rows of the tables of outcome value, by table."""
    random = Random(f"{seed}/outcomes")
    memberships = list(_team_members(period, random))
    rows: dict[str, list[Row]] = {"team_members": memberships, "evidence": list(_evidence(memberships, period, random))}
    for table, produce in (
        ("assessments", _assessments),
        ("growth_reviews", _growth_reviews),
        ("calibration_sessions", _calibration_sessions),
    ):
        rows[table] = [row for first_day in _quarters(period) for row in produce(first_day, memberships, random)]
    return rows


def closed_quarters(period: Period) -> Iterator[tuple[date, datetime, str]]:
    """Rows of ov_quarters.csv."""
    for first_day in _quarters(period):
        yield first_day, datetime.combine(_quarter_after(first_day), time(17)) + CLOSED_AFTER, "head of engineering"


def _quarters(period: Period) -> list[date]:
    first_days = [date(year, month, 1) for year in range(2020, 2027) for month in (1, 4, 7, 10)]
    return [day for day in first_days if period.start.date() < _quarter_after(day) and day < period.end.date()]


def _quarter_after(first_day: date) -> date:
    return (first_day + timedelta(days=100)).replace(day=1)


def _team_members(period: Period, random: Random) -> Iterator[Row]:
    """Everybody stays but one of CHANGED_TEAM, for whom somebody else comes."""
    since = period.start.date()
    changed_on = CHANGED_FROM + timedelta(days=random.randint(0, 30))
    for team in TEAMS:
        for engineer in team.engineers:
            leaves = team.name == CHANGED_TEAM and engineer == team.engineers[0] and since < changed_on
            row = {"person_key": engineer, "team": team.name, "valid_from": since, "updated_at": period.start}
            yield row | {"valid_to": changed_on if leaves else None}
            if leaves:
                row = {"person_key": "engineer-who-came-later", "team": team.name, "valid_from": changed_on}
                yield row | {"valid_to": None, "updated_at": datetime.combine(changed_on, time(9))}


def _present(first_day: date, memberships: Iterable[Row]) -> dict[str, str]:
    """Person → team on the last day of the quarter."""
    last_day = _quarter_after(first_day) - timedelta(days=1)
    return {
        row["person_key"]: row["team"]
        for row in memberships
        if row["valid_from"] <= last_day and (row["valid_to"] is None or row["valid_to"] > last_day)
    }


def _assessments(first_day: date, memberships: Iterable[Row], random: Random) -> Iterator[Row]:
    """The manager's score of everybody in every dimension, their own, and now and then the panel's."""
    assessed_at = datetime.combine(_quarter_after(first_day), time(15)) - timedelta(days=5)
    for person, team in _present(first_day, memberships).items():
        group = next(each for each in TEAMS if each.name == team).parent or team
        for dimension in OV_DIMENSIONS:
            score = 5 if team == UNANIMOUS_TEAM else random.choices(list(CHANCES), CHANCES.values())[0]
            roles = {"manager": score, "self": min(5, score + random.randint(0, 1))}
            if random.random() < 0.1:
                roles["calibration_panel"] = score
            for role, given in roles.items():
                yield {
                    "person_key": person,
                    "quarter": first_day,
                    "dimension": dimension,
                    "score": given,
                    "assessor_role": role,
                    "assessor_group": group,
                    "assessor_key": person if role == "self" else f"{group}-lead-{random.randrange(LEADS_OF_GROUP)}",
                    "evidence_links": f"https://wiki.example/{random.randrange(10**6):06}",
                    "has_narrative": random.random() < 0.9,
                    "assessed_at": assessed_at + timedelta(minutes=random.randint(0, 4000)),
                    "updated_at": assessed_at + timedelta(days=3),
                }


def _evidence(memberships: Iterable[Row], period: Period, random: Random) -> Iterator[Row]:
    """Everybody's log; in LATE_EVIDENCE_TEAM it is written in the last month of a quarter."""
    number = 0
    for row in memberships:
        offset = random.randrange(WORKING_DAYS_PER_ENTRY)
        days = [(period.start + timedelta(days=day)).date() for day in range(period.days)]
        for place, today in enumerate(filter(is_working_day, days)):
            is_member = row["valid_from"] <= today and (row["valid_to"] is None or row["valid_to"] > today)
            is_late = row["team"] == LATE_EVIDENCE_TEAM
            every = WORKING_DAYS_PER_ENTRY * (1 if not is_late else 5 if today.month % 3 else 0.5)
            if not is_member or (place + offset) % max(1, int(every)):
                continue
            number += 1
            yield {
                "evidence_id": f"EV-{number:06}",
                "person_key": row["person_key"],
                "occurred_at": datetime.combine(today, time(random.randint(8, 17), random.randint(0, 59))),
                "evidence_kind": random.choice(EVIDENCE_KINDS),
                "dimension": OV_DIMENSIONS[number % len(OV_DIMENSIONS)],
                "project": random.choice(PROJECTS),
                "stakeholder": random.choice(STAKEHOLDERS),
                "is_next_level": random.random() < 0.07,
                "link": f"https://wiki.example/evidence/{number:06}",
                "updated_at": datetime.combine(today, time(18)),
            }


def _growth_reviews(first_day: date, memberships: Iterable[Row], random: Random) -> Iterator[Row]:
    reviewed_at = datetime.combine(_quarter_after(first_day), time(10)) - timedelta(days=4)
    for person in _present(first_day, memberships):
        yield {
            "person_key": person,
            "quarter": first_day,
            "current_level": random.choice(("engineer", "senior engineer", "staff engineer")),
            "growth_signal": random.choice(("none", "emerging", "emerging", "clear")),
            "reviewed_at": reviewed_at,
            "updated_at": reviewed_at,
        }


def _calibration_sessions(first_day: date, _: Iterable[Row], random: Random) -> Iterator[Row]:
    held_at = datetime.combine(_quarter_after(first_day), time(13)) - timedelta(days=2)
    for group in sorted({team.parent or team.name for team in TEAMS}):
        reviewed, challenged = 5 * 21, random.randint(10, 30)
        changed = random.randint(3, challenged)
        yield {
            "session_id": f"{group}-{first_day}",
            "quarter": first_day,
            "held_at": held_at,
            "assessor_group": group,
            "claims_reviewed": reviewed,
            "claims_challenged": challenged,
            "claims_changed": changed,
            "changes_with_evidence": random.randint(changed // 2, changed),
            "updated_at": held_at,
        }
