"""The test of degraded deployments once more, slowly: loops for joins, sums and integrals for formulas."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from math import atan, comb, cos, exp, floor, inf, lgamma, log, log1p, pi, sqrt
from statistics import NormalDist, fmean

HOUR = timedelta(hours=1)
WINDOW_HOURS, BASELINE_DAYS = 24, 28
RISE, RISE_TO_FIND, LEVEL, LEAST_POWER = 0.2, 0.3, 0.001, 0.8
LOST_BELOW = 0.5
EPOCH = datetime(1970, 1, 1)
Row = dict


def t_tail(t: float, df: float) -> float:
    """P(T >= t) of Student's t, as an integral by Simpson's rule over the angle."""
    # With T = sqrt(df) tan(a) the density becomes cos(a) ** (df - 1).
    scale = exp(lgamma((df + 1) / 2) - lgamma(df / 2)) / sqrt(pi)
    low, high, steps = atan(t / sqrt(df)), pi / 2, 1000
    width = (high - low) / steps
    weights = (1 if n in (0, steps) else 4 if n % 2 else 2 for n in range(steps + 1))
    heights = (max(cos(low + n * width), 0.0) ** (df - 1) for n in range(steps + 1))
    return scale * width / 3 * sum(weight * height for weight, height in zip(weights, heights, strict=True))


@cache
def t_quantile(tail: float, df: float) -> float:
    """The t of an upper tail, by bisection."""
    low, high = 0.0, 1000.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tail(middle, df) > tail else (low, middle)
    return low


def binomial_tail(hits: int, cases: int, share: float) -> float:
    """P(Y >= hits) as the sum that it is."""
    return sum(comb(cases, k) * share**k * (1 - share) ** (cases - k) for k in range(hits, cases + 1))


def binomial_tail_between(hits: float, cases: float, share: float) -> float:
    """The same where neither need be whole: the incomplete beta function, as an integral by Simpson's rule."""
    a, b, steps = hits, cases - hits + 1, 2000
    scale = lgamma(a + b) - lgamma(a) - lgamma(b)

    def density(x: float) -> float:
        return exp(scale + (a - 1) * log(x) + (b - 1) * log1p(-x)) if 0 < x < 1 else 0.0

    # Over the logarithm of x, since the density is steep at 0.
    low, high = log(share) - 60 / a, log(share)
    width = (high - low) / steps
    heights = (density(exp(low + n * width)) * exp(low + n * width) for n in range(steps + 1))
    weights = (1 if n in (0, steps) else 4 if n % 2 else 2 for n in range(steps + 1))
    return width / 3 * sum(weight * height for weight, height in zip(weights, heights, strict=True))


def wilson(share: float, n: float, quantile: float) -> tuple[float, float]:
    z2 = quantile * quantile
    centre, half = share * n + z2 / 2, sqrt(z2 * n * share * (1 - share) + z2 * z2 / 4)
    return (centre - half) / (n + z2), (centre + half) / (n + z2)


@dataclass
class Cases:
    cases: int = 0
    bad: int = 0
    weight: float = 0.0
    bad_weight: float = 0.0
    squared: float = 0.0

    def add(self, row: Row) -> None:
        self.cases += row["cases"]
        self.bad += row["bad_cases"]
        self.weight += row["weight"]
        self.bad_weight += row["bad_weight"]
        self.squared += row["squared_weight"]

    @property
    def share(self) -> float:
        return self.bad_weight / self.weight

    @property
    def n(self) -> float:
        return self.weight**2 / self.squared / 1_000_000


class Judge:
    """One service; `counts` are rows of int_indicator_counts, `deployments` those of int_deployments in order."""

    def __init__(self, deployments: list[Row], counts: list[Row], floors: dict[str, float], as_of: datetime) -> None:
        self.deployments, self.floors, self.as_of = deployments, floors, as_of
        self.by_hour: dict[tuple[str, int], list[Row]] = defaultdict(list)
        for row in counts:
            self.by_hour[row["indicator"], row["hour_number"]].append(row)
        self.indicators = sorted({row["indicator"] for row in counts})
        releases = {row["release"] for row in counts if row["release"]}
        self.windows = cache(self._windows)
        self.ran = {
            release: {d["deployment_key"] for d in deployments if self._is_release(release, d)} for release in releases
        }

    @staticmethod
    def _is_release(release: str, deployment: Row) -> bool:
        commit = deployment["commit_sha"] or ""
        return release == deployment["version"] or (len(release) >= 7 and commit.startswith(release))

    def closes_at(self, n: int) -> datetime:
        following = self.deployments[n + 1]["finished_at"] if n + 1 < len(self.deployments) else datetime.max
        return min(self.deployments[n]["finished_at"] + WINDOW_HOURS * HOUR, following)

    def _windows(self, n: int, indicator: str) -> tuple[dict, dict[int, dict], dict[int, int]]:
        """Cases by stratum of the window, of each day before it, and all cases in whole hours by day."""
        key, begins = self.deployments[n]["deployment_key"], self.deployments[n]["finished_at"]
        ends = min(self.closes_at(n), self.as_of)
        after: dict = defaultdict(Cases)
        before: dict[int, dict] = defaultdict(lambda: defaultdict(Cases))
        telemetry: dict[int, int] = defaultdict(int)
        hour = EPOCH + floor((begins - EPOCH) / HOUR) * HOUR
        while hour < ends and begins < ends:
            number = (hour - EPOCH) // HOUR
            is_whole = begins <= hour and hour + HOUR <= ends
            for days in range(BASELINE_DAYS + 1):
                for row in self.by_hour.get((indicator, number - 24 * days), ()):
                    telemetry[days] += row["cases"] if is_whole else 0
                    stratum = row["device_class"], row["entry_route"]
                    if days:
                        before[days][stratum].add(row)
                    elif key in self.ran.get(row["release"], ()) or (
                        not self.ran.get(row["release"]) and begins <= hour
                    ):
                        after[stratum].add(row)
                    else:
                        after[stratum].add(dict.fromkeys(row, 0))
            hour += HOUR
        return after, before, telemetry

    def effect(self, n: int, indicator: str, left_out: set[int]) -> Row | None:
        after, before, telemetry = self.windows(n, indicator)
        before = {days: strata for days, strata in before.items() if days not in left_out}
        base: dict = defaultdict(Cases)
        for days, strata in before.items():
            for stratum, cases in strata.items():
                if days % 7 == 0:
                    for name in vars(cases):
                        setattr(base[stratum], name, getattr(base[stratum], name) + getattr(cases, name))
        if not after and not base:
            return None
        comparable = {stratum: cases for stratum, cases in after.items() if cases.weight and stratum in base}
        days = [day for day in before if day % 7 == 0]
        expected = sum(telemetry[day] for day in days) / len(days) if days else None
        row: Row = {
            "indicator": indicator,
            "deployment_key": self.deployments[n]["deployment_key"],
            "finished_at": self.deployments[n]["finished_at"],
            "cases": sum(each.cases for each in after.values()),
            "baseline_cases": sum(each.cases for each in base.values()),
            "baseline_days": len(days),
            "is_complete": self.closes_at(n) <= self.as_of,
            "telemetry_p": 1.0,
        }
        weekdays: dict[int, list[Cases]] = defaultdict(list)
        for day, strata in before.items():
            total = Cases()
            for cases in strata.values():
                for name in vars(cases):
                    setattr(total, name, getattr(total, name) + getattr(cases, name))
            weekdays[day % 7].append(total)
        df = sum(len(each) - 1 for each in weekdays.values())
        row["has_baseline"] = len(days) >= 2 and df >= 5
        row["is_comparable"] = bool(comparable) and row["has_baseline"]
        if row["has_baseline"] and telemetry[0] < LOST_BELOW * expected:
            roots: dict[int, list[float]] = defaultdict(list)
            for day in before:
                roots[day % 7].append(sqrt(telemetry[day]))
            squares = sum((root - fmean(each)) ** 2 for each in roots.values() for root in each)
            error = sqrt(max(squares / df, 0.25) * (1 + 1 / len(days)))
            row["telemetry_p"] = t_tail((fmean(roots[0]) - sqrt(telemetry[0])) / error, df)
        if not row["is_comparable"]:
            return row
        weight = sum(each.weight for each in comparable.values())
        p = sum(each.bad_weight for each in comparable.values()) / weight
        m = weight**2 / sum(each.squared for each in comparable.values()) / 1_000_000
        q = sum(each.weight / weight * base[stratum].share for stratum, each in comparable.items())
        k = 1 / sum((each.weight / weight) ** 2 / base[stratum].n for stratum, each in comparable.items())
        everything = [each for day in weekdays.values() for each in day]
        usual = sum(each.bad_weight for each in everything) / sum(each.weight for each in everything)
        squares = between = 0.0
        for each in weekdays.values():
            size = sum(day.n for day in each)
            mean = sum(day.n * day.share for day in each) / size
            squares += sum(day.n * (day.share - mean) ** 2 for day in each)
            between += size - sum(day.n**2 for day in each) / size
        extra = max(0.0, (squares - df * usual * (1 - usual)) / between) if between else 0.0
        pooled = (m * p + k * q) / (m + k)
        variance = pooled * (1 - pooled)
        m2 = 1 / (1 / m + extra / variance) if variance else m
        k2 = 1 / (1 / k + extra / len(days) / variance) if variance else k
        row |= {"bad_share": p, "baseline_bad_share": q, "rise": p - q, "ratio": p / q if q else None}
        p_value = 1.0
        if variance:
            p_value = t_tail((p - q) / sqrt(variance * (1 / m2 + 1 / k2)), df)
            hits, others = m2 * p, k2 * q
            if pooled < 0.1 and p > q and q > 0 and hits > 0.5:
                p_value = max(p_value, binomial_tail_between(hits, hits + others, m2 / (m2 + k2)))
            if q == 0:
                p_value = max(p_value, (m2 / (m2 + k2)) ** hits)
        quantile = t_quantile(0.025, df)
        (a, b), (c, d) = wilson(p, m2, quantile), wilson(q, k2, quantile)
        row |= {
            "p_value": p_value,
            "rise_low": p - q - sqrt((p - a) ** 2 + (d - q) ** 2),
            "rise_high": p - q + sqrt((b - p) ** 2 + (q - c) ** 2),
            "ratio_high": (p * q + sqrt((p * q) ** 2 - b * c * (2 * p - b) * (2 * q - c))) / (c * (2 * q - c))
            if c > 1e-9
            else None,
        }
        row["rise_to_find"] = min(1 - q, max(RISE_TO_FIND * q, self.floors[indicator]))
        found = q + row["rise_to_find"]
        pooled_found = (m * found + k * q) / (m + k)
        row["errors"] = (
            sqrt(pooled_found * (1 - pooled_found) * (1 / m + 1 / k) + extra * (1 + 1 / len(days))),
            sqrt(found * (1 - found) / m + q * (1 - q) / k + extra * (1 + 1 / len(days))),
        )
        row["df"] = df
        return row

    def effects(self, left_out: dict[tuple[str, str], set[int]]) -> list[list[Row]]:
        """By deployment, in order."""
        result = []
        for n, deployment in enumerate(self.deployments):
            key = deployment["deployment_key"]
            rows = [self.effect(n, each, left_out.get((key, each), set())) for each in self.indicators]
            rows = [row for row in rows if row]
            tried = sum(row["is_comparable"] for row in rows)
            seen = sum(row["has_baseline"] for row in rows)
            for row in rows:
                row["indicators_tried"] = tried
                row["is_telemetry_lost"] = row["has_baseline"] and row["telemetry_p"] * seen < LEVEL
                row["is_significant"] = row["is_comparable"] and row["p_value"] * tried < LEVEL
                row["is_degraded"] = bool(
                    row["is_significant"]
                    and not row["is_telemetry_lost"]
                    and round(row["rise"], 9) >= self.floors[row["indicator"]]
                    and (row["ratio"] is None or round(row["ratio"], 9) >= 1 + RISE)
                )
                if row["is_comparable"]:
                    critical = t_quantile(LEVEL / tried, row["df"])
                    unchanged, risen = row["errors"]
                    row["power"] = (
                        NormalDist().cdf((row["rise_to_find"] - critical * unchanged) / risen) if risen else 0.5
                    )
            result.append(rows)
        return result

    def beginnings(self, effects: list[list[Row]], indicator: str) -> list[tuple[int, datetime, datetime | None, bool]]:
        """(deployment, end, recovery, whether the replaced one was surely better) of what may begin a spell."""
        rows = [next((row for row in each if row["indicator"] == indicator), None) for each in effects]
        result = []
        for n, row in enumerate(rows):
            before = rows[n - 1].get("rise") if n and rows[n - 1] else None
            if not (row and row["is_degraded"] and (before is None or row["rise"] > before)):
                continue
            limit = row["finished_at"] + timedelta(days=BASELINE_DAYS)
            recovered = next(
                (
                    later["finished_at"]
                    for i, later in enumerate(rows)
                    if i > n
                    and later
                    and not later["is_degraded"]
                    and later["finished_at"] <= limit
                    and (
                        self.deployments[i]["blamed_deployment_key"] == row["deployment_key"]
                        or later.get("rise_high", inf) < row["rise"]
                    )
                ),
                None,
            )
            result.append((n, recovered or limit, recovered, before is None or row["rise_low"] > before))
        return result

    def spells(self, effects: list[list[Row]]) -> dict[str, list[tuple[int, datetime, datetime | None]]]:
        """Indicator → (first deployment, end, recovery) of each of its spells."""
        beginnings = {indicator: self.beginnings(effects, indicator) for indicator in self.indicators}
        result: dict[str, list] = {indicator: [] for indicator in self.indicators}
        for indicator, each in beginnings.items():
            spells = result[indicator]
            for n, end, recovered, is_new in each:
                begins = self.deployments[n]["finished_at"]
                is_within_another = any(
                    first < n and begins < other_end
                    for other, others in beginnings.items()
                    if other != indicator
                    for first, other_end, *_ in others
                )
                if is_within_another and not is_new:
                    continue
                if spells and begins < spells[-1][1]:
                    first, last_end, last_recovered = spells[-1]
                    spells[-1] = (first, *max((last_end, last_recovered), (end, recovered), key=lambda one: one[0]))
                else:
                    spells.append((n, end, recovered))
        return result

    def verdicts(self) -> dict[tuple[str, str], Row]:
        """(deployment, indicator) → its row with `verdict` and whom it blames."""
        left_out: dict[tuple[str, str], set[int]] = defaultdict(set)
        for indicator, spells in self.spells(self.effects({})).items():
            for first, end, _ in spells:
                begins = self.deployments[first]["finished_at"]
                for n in range(first + 1, len(self.deployments)):
                    opens, closes = self.deployments[n]["finished_at"], min(self.closes_at(n), self.as_of)
                    for days in range(1, BASELINE_DAYS + 1):
                        shift = timedelta(days=days)
                        if opens - shift < end and closes - shift > begins:
                            left_out[self.deployments[n]["deployment_key"], indicator].add(days)
        effects = self.effects(left_out)
        spells = self.spells(effects)
        for n, rows in enumerate(effects):
            for row in rows:
                row["first_degraded_deployment_key"] = self._blamed(row, n, spells) if row["is_degraded"] else None
                row["verdict"] = self._verdict(row)
        return {(row["deployment_key"], row["indicator"]): row for rows in effects for row in rows}

    def _blamed(self, row: Row, n: int, spells: dict[str, list[tuple[int, datetime, datetime | None]]]) -> str | None:
        """The first deployment of the indicator's own spell, else of the service's earliest."""
        running = [
            (indicator != row["indicator"], first)
            for indicator, each in spells.items()
            for first, end, _ in each
            if self.deployments[first]["finished_at"] <= row["finished_at"] < end
            and (indicator == row["indicator"] or first != n)
        ]
        return self.deployments[min(running)[1]]["deployment_key"] if running else None

    @staticmethod
    def _verdict(row: Row) -> str:
        if row["is_telemetry_lost"]:
            return "telemetry_lost"
        if blamed := row["first_degraded_deployment_key"]:
            return "degraded" if blamed == row["deployment_key"] else "still_degraded"
        if row["is_significant"] and (row["ratio_high"] is None or row["ratio_high"] >= 1 + RISE):
            return "suspected"
        return "ok" if row["is_complete"] and row.get("power", 0) >= LEAST_POWER else "insufficient_data"
