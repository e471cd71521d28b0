# SPDX-License-Identifier: MIT
"""Medians, ratios to the best peer, geometric means and bootstrap intervals.

Pure functions over plain dictionaries, so that the unit test can check each figure by hand.
"""
import math
import random


def median(values):
    """The median; the mean of the middle two of an even number. None of none."""
    ordered = sorted(values)
    if not ordered:
        return None
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def geomean(values):
    """The geometric mean of positive numbers. None of none."""
    values = list(values)
    if not values:
        return None
    if any(value <= 0 for value in values):
        raise ValueError('a geometric mean needs positive numbers')
    return math.exp(sum(math.log(value) for value in values) / len(values))


def best_peer(by_allocator, peers):
    """(name, value) of the peer with the smallest value, (None, None) when no peer has one.

    Of equal ones the first in the order of `peers` wins.
    """
    best = (None, None)
    for name in peers:
        value = by_allocator.get(name)
        if value is not None and (best[1] is None or value < best[1]):
            best = (name, value)
    return best


def ratios(by_allocator, peers, floor=0.0):
    """Each allocator's value over the best peer's. Values below `floor` count as `floor` on both sides.

    An allocator without a value has no ratio; without any peer nobody has one.
    """
    held = {name: max(value, floor) for name, value in by_allocator.items() if value is not None}
    _, best = best_peer(held, peers)
    if best is None:
        return {}
    if best <= 0:
        return {name: 1.0 if value <= 0 else math.inf for name, value in held.items()}
    return {name: value / best for name, value in held.items()}


def summary(ratio_table, allocator):
    """{'geomean', 'worst', 'worst_program', 'count'} of one allocator over a table {program: {allocator:
    ratio}}."""
    held = {
        program: row[allocator]
        for program, row in ratio_table.items()
        if allocator in row and math.isfinite(row[allocator])
    }
    if not held:
        return {'geomean': None, 'worst': None, 'worst_program': None, 'count': 0}
    worst = max(held, key=lambda program: held[program])
    return {
        'geomean': geomean(held.values()),
        'worst': held[worst],
        'worst_program': worst,
        'count': len(held),
    }


def rotated(items, by):
    """The list begun at another place: every item comes first once in len(items) rounds."""
    items = list(items)
    if not items:
        return items
    by %= len(items)
    return items[by:] + items[:by]


def bootstrap_ratio(a_values, b_values, draws=4000, confidence=0.95, seed=1):
    """(ratio, low, high): median(b) over median(a), with a percentile bootstrap interval.

    Both samples are drawn again with replacement, each by itself. The seed makes the interval repeatable.
    """
    a_values, b_values = list(a_values), list(b_values)
    if not a_values or not b_values:
        raise ValueError('a ratio needs at least one value on each side')
    rng = random.Random(seed)
    drawn = sorted(
        median(rng.choices(b_values, k=len(b_values))) / median(rng.choices(a_values, k=len(a_values)))
        for _ in range(draws)
    )
    cut = (1.0 - confidence) / 2.0
    low = drawn[int(cut * (draws - 1))]
    high = drawn[math.ceil((1.0 - cut) * (draws - 1))]
    return median(b_values) / median(a_values), low, high


def bootstrap_median(values, draws=4000, confidence=0.95, seed=1):
    """(low, high) of the median: a percentile bootstrap interval. The seed makes it repeatable."""
    values = list(values)
    if not values:
        raise ValueError('a median needs at least one value')
    rng = random.Random(seed)
    drawn = sorted(median(rng.choices(values, k=len(values))) for _ in range(draws))
    cut = (1.0 - confidence) / 2.0
    return drawn[int(cut * (draws - 1))], drawn[math.ceil((1.0 - cut) * (draws - 1))]
