"""What users and teams say: tickets, defects, coverage of critical paths, reviews, retrospectives, plans, surveys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, time, timedelta
from random import Random

from dagster_project.extract.demo.delivery import WORK_OF_ONE_IN, Delivery, Row
from dagster_project.extract.demo.organisation import (
    CONCENTRATED,
    OVER_REPORTED,
    PERCEPTION_GAP,
    SERVICES,
    SILENT,
    TEAMS,
    Period,
    Service,
    is_working_day,
)

USERS_OF_A_WORKING_DAY, USERS_OF_ANOTHER_DAY = 420, 260
TICKETS_PER_USER = 0.004
DEFECT_TICKET_RATE = 0.4
ESCAPED_DEFECTS_PER_DAY = 0.12
LINES_OF_A_PATH = 2400
COVERAGE, COVERAGE_OVER_REPORTED = 0.7, 0.9
SILENT_REVIEW_RATE, SILENT_REVIEW_RATE_SILENT = 0.3, 0.9
PARTICIPATION, PARTICIPATION_SILENT = 0.85, 0.3
SPRINT = timedelta(days=14)
ITEMS_OF_A_SPRINT = (8, 14)
TAKEN_ON_LATER, DONE_IN_TIME, DONE_LATER = 0.15, 0.8, 0.9
# Each week a quarter of everybody is asked.
WEEKS_BETWEEN_QUESTIONS = 4
QUESTIONS = ("perceived_speed", "perceived_reliability", "psychological_safety", "sustainable_workload")
USUAL_ANSWERS = {1: 2, 2: 8, 3: 25, 4: 45, 5: 20}
ANSWERS_OF_THE_SLOW = {1: 35, 2: 50, 3: 15}


def feedback(deliveries: Iterable[Delivery], period: Period, seed: int) -> dict[str, list[Row]]:
    """Rows of each of these tables, by table; each draws from a stream of its own."""
    rows = {
        produce.__name__.removeprefix("_"): list(produce(period, Random(f"{seed}/{produce.__name__}")))
        for produce in (
            _active_users,
            _critical_path_coverage,
            _escaped_defects,
            _retrospectives,
            _planned_items,
            _survey_responses,
        )
    }
    rows["support_tickets"] = list(_support_tickets(rows["active_users"], period, Random(f"{seed}/tickets")))
    rows["review_activity"] = [row for delivery in deliveries for row in _reviews(delivery, seed)]
    return rows


def _front_ends() -> list[Service]:
    return [service for service in SERVICES if service.component_kind == "frontend"]


def _active_users(period: Period, random: Random) -> Iterator[Row]:
    for service in _front_ends():
        for number in range(period.days):
            day = (period.start + timedelta(days=number)).date()
            usual = USERS_OF_A_WORKING_DAY if is_working_day(day) else USERS_OF_ANOTHER_DAY
            yield {"service": service.name, "day": day, "users": round(usual * random.lognormvariate(0, 0.1))}


def _support_tickets(users: Iterable[Row], period: Period, random: Random) -> Iterator[Row]:
    number = 0
    for row in users:
        for _ in range(sum(random.random() < TICKETS_PER_USER for _ in range(row["users"]))):
            number += 1
            opened_at = period.start + timedelta(days=(row["day"] - period.start.date()).days)
            opened_at += timedelta(seconds=random.randrange(6 * 3600, 22 * 3600))
            yield {
                "ticket_id": f"T-{number:05}",
                "service": row["service"],
                "opened_at": opened_at,
                "closed_at": period.before_end(opened_at + timedelta(minutes=random.randint(20, 4000))),
                "is_defect": random.random() < DEFECT_TICKET_RATE,
            }


def _critical_path_coverage(period: Period, random: Random) -> Iterator[Row]:
    """Every service measures once a week."""
    for service in SERVICES:
        for weeks in range(period.days // 7 + 1):
            at = period.end - timedelta(weeks=weeks, hours=random.randint(2, 22))
            if at < period.start:
                break
            is_over_reported = service.name == OVER_REPORTED.service and at >= OVER_REPORTED.begins
            share = COVERAGE_OVER_REPORTED if is_over_reported else COVERAGE
            yield {
                "service": service.name,
                "critical_path": f"{service.name} main path",
                "measured_at": at,
                "lines_total": LINES_OF_A_PATH,
                "lines_covered": round(LINES_OF_A_PATH * (share + random.uniform(-0.01, 0.01))),
            }


def _escaped_defects(period: Period, random: Random) -> Iterator[Row]:
    number = 0
    for service in SERVICES:
        seconds = random.expovariate(ESCAPED_DEFECTS_PER_DAY / 86400)
        while seconds < period.days * 86400:
            number += 1
            found_at = period.start + timedelta(seconds=round(seconds))
            yield {
                "defect_id": f"D-{number:05}",
                "service": service.name,
                "found_at": found_at,
                "version": f"{found_at - timedelta(days=random.randint(1, 20)):%Y.%m}"
                if random.random() < 0.5
                else None,
                "severity": random.choice(("sev2", "sev3", "sev3", "sev4")),
            }
            seconds += random.expovariate(ESCAPED_DEFECTS_PER_DAY / 86400)


def _retrospectives(period: Period, random: Random) -> Iterator[Row]:
    """Every team every two weeks, half of them in one week and half in the other."""
    for place, team in enumerate(TEAMS):
        for weeks in range(place % 2, period.days // 7 + 1, 2):
            held_at = period.end - timedelta(weeks=weeks, hours=random.randint(8, 14))
            if held_at < period.start:
                break
            is_silent = SILENT.holds_for(team, held_at)
            participation = PARTICIPATION_SILENT if is_silent else PARTICIPATION
            agreed = random.randint(0, 4)
            yield {
                "retrospective_id": f"{team.name}/{held_at.date()}",
                "team": team.name,
                "held_at": held_at,
                "people_invited": len(team.engineers),
                "people_present": sum(random.random() < participation for _ in team.engineers),
                "actions_agreed": agreed,
                "actions_done": random.randint(0, agreed),
            }


def _planned_items(period: Period, random: Random) -> Iterator[Row]:
    """Every team plans sprints of two weeks; some items are taken on later, and some are done late or never."""
    for team in TEAMS:
        for number in range(period.days // SPRINT.days):
            after = period.end - number * SPRINT
            starts_on = (after - SPRINT).date()
            for item in range(random.randint(*ITEMS_OF_A_SPRINT)):
                planned_at = datetime.combine(starts_on, time(9))
                added_at = planned_at + timedelta(days=random.randint(1, 8))
                is_in_time, is_done = random.random() < DONE_IN_TIME, random.random() < DONE_LATER
                done_at = after + timedelta(hours=random.randint(-100, -10) if is_in_time else random.randint(10, 200))
                yield {
                    "plan_id": f"{team.name}/{starts_on}",
                    "item_id": f"{item + 1}",
                    "team": team.name,
                    "starts_on": starts_on,
                    "due_on": (after - timedelta(days=1)).date(),
                    "committed_at": added_at if random.random() < TAKEN_ON_LATER else planned_at,
                    "completed_at": period.before_end(done_at) if is_in_time or is_done else None,
                }


def _survey_responses(period: Period, random: Random) -> Iterator[Row]:
    for team in TEAMS:
        for place, _ in enumerate(team.engineers):
            for week in range(place % WEEKS_BETWEEN_QUESTIONS, period.days // 7 + 1, WEEKS_BETWEEN_QUESTIONS):
                at = period.end - timedelta(weeks=week, minutes=random.randint(600, 4000))
                if at < period.start:
                    break
                is_slow = PERCEPTION_GAP.holds_for(team, at)
                for question in QUESTIONS:
                    answers = ANSWERS_OF_THE_SLOW if is_slow and question == "perceived_speed" else USUAL_ANSWERS
                    yield {
                        "response_id": f"{team.name}/{place}/{week}",
                        "team": team.name,
                        "answered_at": at,
                        "question": question,
                        "answer": random.choices(list(answers), answers.values())[0],
                    }


def _reviews(delivery: Delivery, seed: int) -> Iterator[Row]:
    """The first review of every pull request that has one, and the approval of those that were approved later."""
    random = Random(f"{seed}/{delivery.service.name}/reviews")
    seen = delivery.period.before_end
    for request in delivery.pull_requests:
        for at in filter(None, dict.fromkeys((seen(request.first_review_at), seen(request.approved_at)))):
            team = delivery.service.team_at(at.date())
            is_silent = SILENT.holds_for(team, at)
            says_nothing = random.random() < (SILENT_REVIEW_RATE_SILENT if is_silent else SILENT_REVIEW_RATE)
            is_approval = at == request.approved_at
            reviewer = random.choice([each for each in team.engineers if each != request.author])
            if CONCENTRATED.holds_for(team, at) and request.number % WORK_OF_ONE_IN:
                reviewer = team.engineers[1 if request.author != team.engineers[1] else 0]
            yield {
                "review_id": f"{delivery.service.name}/{request.number}/{int(is_approval)}",
                "repository": delivery.service.repository,
                "pull_request_number": request.number,
                "reviewer_key": reviewer,
                "submitted_at": at,
                "verdict": "approved" if is_approval else random.choice(("commented", "changes_requested")),
                "comments": 0 if says_nothing else random.randint(1, 8),
            }
