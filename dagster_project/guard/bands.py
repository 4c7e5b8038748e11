"""What is published of a mean, of a number of people, of a share: bands, never the number itself."""

from __future__ import annotations

LOWEST_SCORE, HIGHEST_SCORE = 1, 5
SCORES = range(LOWEST_SCORE, HIGHEST_SCORE + 1)
# The mean in bands of 0.5, by their lower ends; the last one holds 5 as well.
MEAN_BANDS = tuple(1 + half / 2 for half in range(8))

# From a sum to another, both possible.
Sums = tuple[int, int]


def mean_band(total: int, people: int) -> float:
    """The lower end of the band that a mean lies in, in whole numbers: no sum lies on the wrong side of an end."""
    return min(1 + (2 * (total - people) // people) / 2, MEAN_BANDS[-1])


def sums_of(band: float, people: int) -> Sums | None:
    """The sums of so many scores whose mean lies in a band; None if there is none."""
    halves = round(2 * band)
    lowest = -(-halves * people // 2)
    highest = HIGHEST_SCORE * people if band == MEAN_BANDS[-1] else -(-(halves + 1) * people // 2) - 1
    return (lowest, highest) if lowest <= highest else None


def people_band(people: int) -> str:
    return "5-7" if people < 8 else "8-11" if people < 12 else "12+"


def share_band(part: int, whole: int) -> str:
    return "80%+" if 5 * part >= 4 * whole else "50-79%" if 2 * part >= whole else "<50%"


def recency_band(recent: int, entries: int) -> str:
    """Of evidence from the last of three months: a third is what an even record has."""
    return "over_half" if 2 * recent > entries else "about_a_third" if 6 * recent >= entries else "under_a_sixth"
