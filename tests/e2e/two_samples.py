"""Whether samples of times can be told apart: by rank (Mann-Whitney) and by shape (Kolmogorov).

A pair counts as told apart where a test says so after Bonferroni's correction for all that is
compared, and where the difference is also of a size that is stated: with enough samples everything
differs by something, and a machine that does other things as well is never quite fair.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from math import erfc, exp, sqrt

LEVEL = 0.01
"""How probable a false alarm may be, over all that is compared."""
LEAST_MICROSECONDS = 25.0
"""A smaller difference of medians or deciles is not held against the service."""
LEAST_SHARE = 0.06
"""Nor one in which the one is slower in this little more than half of all cases."""
LEAST_DISTANCE = 0.1
"""Nor one in which the distributions are nowhere further from each other."""

Sample = Sequence[float]


def slower_share(one: Sample, other: Sample) -> float:
    """Return how probable it is that *other* is slower than *one*; ties count half."""
    return 1.0 - _rank_sum_statistic(one, other) / (len(one) * len(other))


def rank_probability(one: Sample, other: Sample) -> float:
    """Return Mann and Whitney's two-sided probability of such ranks by chance, normal with ties."""
    n, m = len(one), len(other)
    total = n + m
    ties = sum(count**3 - count for count in _runs(sorted([*one, *other])))
    spread = sqrt(n * m / 12 * (total + 1 - ties / (total * (total - 1))))
    if not spread:
        return 1.0
    return erfc(abs(_rank_sum_statistic(one, other) - n * m / 2) / spread / sqrt(2))


def distance(one: Sample, other: Sample) -> float:
    """Return Kolmogorov and Smirnov's distance: the greatest of the two shares below a time."""
    first, second = sorted(one), sorted(other)
    return max(
        abs(bisect_right(first, at) / len(first) - bisect_right(second, at) / len(second))
        for at in {*first, *second}
    )


def distance_probability(one: Sample, other: Sample) -> float:
    """Return how probable such a distance is by chance; asymptotic, as for large samples."""
    n, m = len(one), len(other)
    scaled = distance(one, other) * sqrt(n * m / (n + m))
    if scaled < 0.3:  # the series does not converge; chance is certain there
        return 1.0
    terms = [exp(-2 * k * k * scaled * scaled) * (1 if k % 2 else -1) for k in range(1, 101)]
    return min(1.0, max(0.0, 2 * sum(terms)))


def told_apart(samples: Mapping[str, Sample]) -> list[str]:
    """Return every pair among *samples*, in microseconds, that can be told apart; in words."""
    pairs = list(combinations(sorted(samples), 2))
    level = LEVEL / (2 * len(pairs))
    found = []
    for first, second in pairs:
        one, other = samples[first], samples[second]
        share, gap = slower_share(one, other), _gap(one, other)
        by_rank = rank_probability(one, other) < level and abs(share - 0.5) > LEAST_SHARE
        apart = distance(one, other)
        by_shape = distance_probability(one, other) < level and apart > LEAST_DISTANCE
        if gap > LEAST_MICROSECONDS and (by_rank or by_shape):
            found.append(f"{first} | {second}: slower in {share:.0%}, {gap:.0f} µs, D {apart:.2f}")
    return found


def _gap(one: Sample, other: Sample) -> float:
    """Return the greatest difference of two deciles."""
    return max(abs(a - b) for a, b in zip(_deciles(one), _deciles(other), strict=True))


def _deciles(sample: Sample) -> list[float]:
    ordered = sorted(sample)
    return [ordered[len(ordered) * tenth // 10] for tenth in range(1, 10)]


def _rank_sum_statistic(one: Sample, other: Sample) -> float:
    """Return Mann and Whitney's U of *one*: in how many pairs it is the slower, ties by half."""
    ordered = sorted([*one, *other])
    ranks: dict[float, float] = {}
    at = 0
    for count in _runs(ordered):
        ranks[ordered[at]] = at + (count + 1) / 2
        at += count
    return sum(ranks[value] for value in one) - len(one) * (len(one) + 1) / 2


def _runs(ordered: Sample) -> list[int]:
    """Return how often each value stands in *ordered*."""
    if not ordered:
        return []
    bounds = [0, *(i for i, (a, b) in enumerate(pairwise(ordered), 1) if a != b), len(ordered)]
    return [end - start for start, end in pairwise(bounds)]
