"""What is published of a mean, of a number of people, of a share: bands, never the number itself."""

from __future__ import annotations

from dataclasses import dataclass

# From a sum to another, both possible.
Sums = tuple[int, int]


@dataclass(frozen=True)
class Measure:
    """A number of each person, and what may be told of the sum of several: a band."""

    lowest: int
    highest: int
    # Every other person keeps so many numbers, whichever two put together what they know.
    fewest_feasible: int

    def bands_of(self, people: int) -> list[float]:
        """All bands that the sum of so many people can lie in."""
        raise NotImplementedError

    def sums_of(self, band: float, people: int) -> Sums:
        """The least and the largest sum of so many people in one of these bands."""
        raise NotImplementedError

    def is_shown(self, band: float, people: int) -> bool:
        """Whether the band may be told of so many people at all."""
        return True


class MeanScore(Measure):
    """Scores of 1 to 5, of which the mean is told in bands of 0.5, by their lower ends; the last one holds 5, too."""

    def bands_of(self, people: int) -> list[float]:
        return [band for band in MEAN_BANDS if self.sums_of(band, people)[0] <= self.sums_of(band, people)[1]]

    def sums_of(self, band: float, people: int) -> Sums:
        halves = round(2 * band)
        last = self.highest * people if band == MEAN_BANDS[-1] else -(-(halves + 1) * people // 2) - 1
        return -(-halves * people // 2), last


class Count(Measure):
    """Something that is true of a person (1) or not (0), and how many they are; not where that is few or nearly all."""

    def bands_of(self, people: int) -> list[float]:
        return list(range(people + 1))

    def sums_of(self, band: float, people: int) -> Sums:
        return int(band), int(band)

    def is_shown(self, band: float, people: int) -> bool:
        return FEWEST_COUNTED <= band <= people - FEWEST_COUNTED


MEAN_BANDS = tuple(1 + half / 2 for half in range(8))
# A count of fewer people, or of all but fewer, would tell of one.
FEWEST_COUNTED = 3
MEAN_SCORE = MeanScore(lowest=1, highest=5, fewest_feasible=3)
COUNT = Count(lowest=0, highest=1, fewest_feasible=2)


def mean_band(total: int, people: int) -> float:
    """The lower end of the band that a mean lies in, in whole numbers: no sum lies on the wrong side of an end."""
    return min(1 + (2 * (total - people) // people) / 2, MEAN_BANDS[-1])


def people_band(people: int) -> str:
    return "5-7" if people < 8 else "8-11" if people < 12 else "12+"


def share_band(part: int, whole: int) -> str:
    return "80%+" if 5 * part >= 4 * whole else "50-79%" if 2 * part >= whole else "<50%"


def recency_band(recent: int, entries: int) -> str:
    """Of evidence from the last of three months: a third is what an even record has."""
    return "over_half" if 2 * recent > entries else "about_a_third" if 6 * recent >= entries else "under_a_sixth"
