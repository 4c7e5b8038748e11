"""SLOs by plain Python over lists of events, one definition, day and slice at a time: slow, and not as the models do.

A definition is the content of its YAML file. A unit is when it counts and its events: one, or those of a session.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
MINUTES = {"m": 1, "h": 60, "d": 1440, "w": 10080}
MONTHS = {"M": 1, "Q": 3, "Y": 12}
UTC = ZoneInfo("UTC")


def meets(event: dict[str, Any], conditions: list[dict[str, Any]]) -> bool:
    def one(condition: dict[str, Any]) -> bool:
        known, value = event.get(condition["column"]), condition["value"]
        match condition["operator"]:
            case "is_present":
                return (known is not None) == value
            case "ne":
                return known is None or known != value
            case "not_in":
                return known is None or known not in value
        if known is None:
            return False
        match condition["operator"]:
            case "eq":
                return known == value
            case "in":
                return known in value
            case "lt":
                return known < value
            case "lte":
                return known <= value
            case "gt":
                return known > value
            case "gte":
                return known >= value
        raise AssertionError(condition)

    return all(one(condition) for condition in conditions)


def is_counted(unit: list[dict[str, Any]], spec: dict[str, Any]) -> bool:
    """Whether an event, or one of the events of a session, meets `where`, and none a group of `none_of`."""
    return any(meets(event, spec.get("where", [])) for event in unit) and not any(
        meets(event, group) for event in unit for group in spec.get("none_of", [])
    )


def counts(
    definition: dict[str, Any], units: dict[str, list[tuple[datetime, list[dict]]]]
) -> dict[datetime, list[int]]:
    """Minute → good and total. `units` has, by source and deadline, when each unit counts and its events."""
    minutes: dict[datetime, list[int]] = defaultdict(lambda: [0, 0])
    indicator = definition["spec"]["indicator"]["spec"]

    def of(spec: dict[str, Any]) -> list[tuple[datetime, list[dict]]]:
        deadline = spec.get("deadline_seconds")
        return units[f"{spec['source']}/{deadline}" if deadline else spec["source"]]

    if "thresholdMetric" in indicator:
        spec = indicator["thresholdMetric"]["metricSource"]["spec"]
        objective = definition["spec"]["objectives"][0]
        compared = {"column": spec["value"], "operator": objective["op"], "value": objective["value"]}
        for at, unit in of(spec):
            if is_counted(unit, spec) and unit[0].get(spec["value"]) is not None:
                minutes[at.replace(second=0, microsecond=0)][1] += 1
                minutes[at.replace(second=0, microsecond=0)][0] += meets(unit[0], [compared])
        return minutes
    ratio = indicator["ratioMetric"]
    total = ratio["total"]["metricSource"]["spec"]
    kind = "good" if "good" in ratio else "bad"
    part = ratio[kind]["metricSource"]["spec"]
    for at, unit in of(total):
        if is_counted(unit, total):
            minute = minutes[at.replace(second=0, microsecond=0)]
            minute[1] += 1
            if kind == "bad":
                minute[0] += 1
            if "source" not in part and is_counted(unit, part):
                minute[0] += 1 if kind == "good" else -1
    if "source" in part:
        for at, unit in of(part):
            if is_counted(unit, part):
                minutes[at.replace(second=0, microsecond=0)][0] += 1 if kind == "good" else -1
    return minutes


def plus_months(at: datetime, months: int) -> datetime:
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    last = (datetime(year + month // 11, (month + 1) % 12 + 1, 1) - DAY).day
    return at.replace(year=year, month=month + 1, day=min(at.day, last))


def utc(local: datetime, zone: ZoneInfo) -> datetime:
    return local.replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None)


class Reference:
    """One definition over its minutes of good and total, judged at the end of every day up to now."""

    def __init__(self, definition: dict[str, Any], minutes: dict[datetime, list[int]], now: datetime) -> None:
        self.spec, self.minutes, self.sorted = definition["spec"], minutes, sorted(minutes)
        self.now = now - timedelta(minutes=now.minute % 5, seconds=now.second, microseconds=now.microsecond)
        self.now += timedelta(minutes=5) if self.now < now else timedelta()
        window = self.spec["timeWindow"][0]
        self.number, self.unit = int(window["duration"][:-1]), window["duration"][-1]
        calendar = window.get("calendar")
        self.zone = ZoneInfo(calendar["timeZone"]) if calendar else UTC
        self.anchor = calendar["startTime"] if calendar else None
        self.clock = self.anchor.time() if calendar else time()

    def day_bounds(self, day: date) -> tuple[datetime, datetime]:
        return tuple(utc(datetime.combine(each, self.clock), self.zone) for each in (day, day + DAY))

    def window(self, day: date) -> tuple[datetime, datetime]:
        """Start and end of the window that a day ends, or lies in."""
        end = min(self.day_bounds(day)[1], self.now)
        if not self.anchor:
            return end - timedelta(minutes=self.number * MINUTES[self.unit]), end
        before, position = None, 0
        while True:
            if self.unit in MONTHS:
                start = utc(plus_months(self.anchor, position * self.number * MONTHS[self.unit]), self.zone)
            elif self.unit in "dw":
                start = utc(self.anchor + position * self.number * MINUTES[self.unit] * MINUTE, self.zone)
            else:
                start = utc(self.anchor, self.zone) + position * self.number * MINUTES[self.unit] * MINUTE
            if start >= end:
                return before, start
            before, position = start, position + 1

    def units(self, objective: dict[str, Any], start: datetime, end: datetime) -> list[tuple[Fraction, int, bool, int]]:
        """Good units, units, contradiction, and events, of all that begins and ends between two times."""
        if self.spec["budgetingMethod"] == "Occurrences":
            slots: dict[datetime, list[int]] = defaultdict(lambda: [0, 0])
            for at in self.between(start, end):
                slot = slots[at - timedelta(minutes=at.minute % 5)]
                slot[0], slot[1] = slot[0] + self.minutes[at][0], slot[1] + self.minutes[at][1]
            return [(Fraction(good), total, good > total or good < 0, total) for good, total in slots.values()]
        length = objective["timeSliceWindow"]
        length = int(length[:-1]) * MINUTES[length[-1]] * MINUTE
        slices: dict[tuple[datetime, datetime], list[int]] = defaultdict(lambda: [0, 0])
        for at in self.between(start, end):
            begins, ends = self.day_bounds(self.day_of(at))
            slice_start = begins + (at - begins) // length * length
            counted = slices[slice_start, min(slice_start + length, ends)]
            counted[0], counted[1] = counted[0] + self.minutes[at][0], counted[1] + self.minutes[at][1]
        return [
            (self.slice(objective, good, total), int(total > 0), good > total or good < 0, total)
            for (slice_start, slice_end), (good, total) in slices.items()
            if start <= slice_start and slice_end <= end
        ]

    def day_of(self, at: datetime) -> date:
        local = at.replace(tzinfo=UTC).astimezone(self.zone).replace(tzinfo=None)
        return (local - (datetime.combine(date.min, self.clock) - datetime.combine(date.min, time()))).date()

    def between(self, start: datetime, end: datetime) -> list[datetime]:
        return self.sorted[bisect_left(self.sorted, start) : bisect_left(self.sorted, end)]

    def slice(self, objective: dict[str, Any], good: int, total: int) -> Fraction:
        if not total:
            return Fraction(0)
        share = Fraction(good, total)
        if self.spec["budgetingMethod"] == "RatioTimeslices":
            return share
        return Fraction(int(share >= Fraction(str(objective["timeSliceTarget"]))))

    def judged(self, day: date, objective: dict[str, Any]) -> dict[str, Any]:
        start, window_end = self.window(day)
        end = min(self.day_bounds(day)[1], self.now)
        units = self.units(objective, start, end)
        good, total = sum(unit[0] for unit in units), sum(unit[1] for unit in units)
        target = Fraction(str(objective["target"]))
        consumed = Fraction(total - good, total) / (1 - target) if total else None
        return {
            "window_starts_at": start,
            "evaluated_at": end,
            "window_hours": (window_end - start) / timedelta(hours=1),
            "window_total": sum(unit[3] for unit in units),
            "attainment_rate": float(good / total) if total else None,
            "budget_total": float(total * (1 - target)),
            "budget_consumed": float(total - good),
            "budget_consumed_rate": float(consumed) if total else None,
            "contradicts": any(unit[2] for unit in units),
        }

    def burn(self, objective: dict[str, Any], minutes: int) -> float | None:
        units = self.units(objective, self.now - minutes * MINUTE, self.now)
        good, total = sum(unit[0] for unit in units), sum(unit[1] for unit in units)
        return float(Fraction(total - good, total) / (1 - Fraction(str(objective["target"])))) if total else None

    def days(self) -> list[date]:
        if not self.minutes:
            return []
        day, days = self.day_of(self.sorted[0]), []
        while day <= self.day_of(self.now - timedelta(microseconds=1)):
            if not self.anchor or datetime.combine(day, self.clock) >= self.anchor:
                days.append(day)
            day += DAY
        return days
