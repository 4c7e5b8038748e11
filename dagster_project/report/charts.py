"""Where the marks of a small chart of months go: geometry alone; the template draws it as inline SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date

# The box of one chart, in SVG units, and the plot within it.
WIDTH, HEIGHT = 360, 120
LEFT, RIGHT, TOP, BOTTOM = 40, 356, 10, 100

# A short history keeps thin bars instead of a few wide ones.
FEWEST_SLOTS = 13


@dataclass(frozen=True)
class Point:
    """One month's value, with the ends of its interval if it has one. Only final months are joined and filled in."""

    month: date
    value: float
    is_final: bool
    tip: str
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Mark:
    """A point placed in the box; `low` and `high` are the heights of its interval's ends."""

    point: Point
    index: int
    left: float
    middle: float
    y: float
    low: float | None
    high: float | None
    is_beyond: bool


class Chart:
    """Months from `first` to `last` from left to right, values from 0 to `top` upwards.

    `step` is the width of a month. What lies beyond the top is drawn at it, and the mark says so.
    """

    def __init__(self, first: date, last: date, points: list[Point], top: float) -> None:
        self.first = month_number(first)
        self.months = month_number(last) - self.first + 1
        self.step = (RIGHT - LEFT) / max(self.months, FEWEST_SLOTS)
        self.top = top
        self.marks = [self._place(point) for point in points]

    def _x(self, index: float) -> float:
        return round(LEFT + self.step * index, 1)

    def _y(self, value: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * min(value / self.top, 1), 1)

    def _place(self, point: Point) -> Mark:
        index = month_number(point.month) - self.first
        low, high = map(self._y, point.bounds) if point.bounds else (None, None)
        return Mark(
            point=point,
            index=index,
            left=self._x(index),
            middle=self._x(index + 0.5),
            y=self._y(point.value),
            low=low,
            high=high,
            is_beyond=point.value > self.top,
        )

    @property
    def line(self) -> str:
        """An SVG path through neighbouring final months; a month without a value interrupts it."""
        parts, previous = [], None
        for mark in self.marks:
            if mark.point.is_final:
                parts.append(f"{'L' if previous == mark.index - 1 else 'M'}{mark.middle} {mark.y}")
                previous = mark.index
        return "".join(parts)

    @property
    def month_labels(self) -> list[tuple[float, str]]:
        """What to write below, and where: at most eight years, each under its January; up to two years, both ends."""
        if self.months <= 24:
            # Closer than three months, two labels would touch.
            ends = [0, self.months - 1] if self.months > 3 else [0]
            return [(self._x(index + 0.5), f"{_month(self.first + index):%b %Y}") for index in ends]
        januaries = [index for index in range(self.months) if _month(self.first + index).month == 1]
        shown = januaries[:: math.ceil(len(januaries) / 8)]
        return [(self._x(index + 0.5), str(_month(self.first + index).year)) for index in shown]


def highest_drawn(values: list[float]) -> float:
    """The value that the scale has to reach: the highest, unless it would flatten all others; 0 without values.

    An extreme month counts as such above twice the 95th percentile, so never in fewer than 20 months.
    """
    if not values:
        return 0
    usual = sorted(values)[math.ceil(0.95 * len(values)) - 1]
    return max(values) if max(values) <= 2 * usual else usual


def round_up(value: float) -> float:
    """The smallest round number that is at least `value`, which is above 0."""
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= value * (1 - 1e-9))


def month_number(month: date) -> int:
    """Months since the year 0, so that neighbours differ by 1."""
    return 12 * month.year + month.month - 1


def _month(number: int) -> date:
    return date(number // 12, number % 12 + 1, 1)
