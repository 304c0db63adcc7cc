"""How far a score may have changed in the population, from the changes on some samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

# Index matrices of the bootstrap are made in blocks of about so many entries.
_BLOCK = 1 << 22
# Up to so many different changes, resampling counts of them is the same as resampling the samples, and far faster.
_FEW = 64
_MOST_SAMPLES = 10**12


@dataclass(frozen=True, kw_only=True)
class Change:
    """The mean change of a score from one solver to another, paired by sample.

    Attributes:
        mean: over the samples.
        low, high: ends of the interval of the population's mean.
    """

    mean: float
    low: float
    high: float

    def inside(self, threshold: float) -> bool:
        """Whether the whole interval lies between -threshold and threshold."""
        return -threshold < self.low and self.high < threshold

    def outside(self, threshold: float) -> bool:
        """Whether the whole interval lies beyond -threshold, or beyond threshold."""
        return self.high < -threshold or self.low > threshold


def paired_change(
    own: np.ndarray, other: np.ndarray, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Change:
    """The mean of other - own, with an interval that also holds where few samples changed, or none.

    The interval is the smallest one that holds both the percentile interval of a bootstrap over samples and one that does not
    shrink to a point where the samples hardly differ, as a bootstrap does:

    * where all scores are 0 or 1, Tango's score interval for paired proportions; with no change at all among n samples it is
      ± z² / (n + z²), ± 3.84 / (n + 3.84) at 95 %, so that a hundred unchanged answers prove less than 4 points;
    * elsewhere Student's interval; and where not one sample changed, the exact upper bound of Clopper and Pearson for the share
      of changed ones, 1 - (α/2)^(1/n), times the range of the scores.

    A sample that fails under both solvers has not changed; one that fails under one of them changed by infinity.

    Args:
        own, other: scores of the same samples, `(samples,)`.
        level: of the interval.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Sources: B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3; T. Tango, "Equivalence test and
    confidence interval for the difference in proportions for the paired-sample design", Statistics in Medicine 17, 1998,
    pages 891-908; C. J. Clopper, E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26, 1934, pages 404-413.
    """
    own, other = (np.asarray(scores, dtype=np.float64) for scores in (own, other))
    changes = _changes(own, other)
    mean = _mean(changes)
    failed = ~np.isfinite(changes)
    if failed.any():
        # A mean that is infinite is so in every resample that holds such a sample: are nearly all of them?
        certain = not math.isnan(mean) and (1.0 - failed.mean()) ** len(changes) <= (1.0 - level) / 2
        return Change(mean=mean, low=mean if certain else -math.inf, high=mean if certain else math.inf)
    low, high = _bootstrap(changes, level, resamples, seed)
    spread = _Spread(own, other)
    other_low, other_high = spread.interval(len(own), level)
    return Change(mean=mean, low=min(low, other_low), high=max(high, other_high))


def samples_needed(own: np.ndarray, other: np.ndarray, threshold: float, *, level: float = 0.95) -> int | None:
    """How many samples, changing as these do, would bring the interval wholly inside ± threshold or wholly outside.

    Computed by the interval that stands beside the bootstrap in `paired_change`, with the shares and the spread as measured.
    None where no number would: the change is as large as the threshold, or not finite.
    """
    own, other = (np.asarray(scores, dtype=np.float64) for scores in (own, other))
    if not np.isfinite(_changes(own, other)).all():
        return None
    spread = _Spread(own, other)

    def decides(samples: int) -> bool:
        low, high = spread.interval(samples, level)
        change = Change(mean=0.0, low=low, high=high)
        return change.inside(threshold) or change.outside(threshold)

    low, high = 0, 2
    while not decides(high):
        low, high = high, 2 * high
        if high > _MOST_SAMPLES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high


def tango_interval(gains: float, losses: float, samples: float, level: float = 0.95) -> tuple[float, float]:
    """Ends of Tango's score interval for (gains - losses) / samples.

    Args:
        gains: samples that were wrong and are right.
        losses: samples that were right and are wrong.
        samples: all of them.
        level: of the interval.

    Source: Tango 1998, see `paired_change`.
    """
    z = stats.norm.ppf(0.5 + level / 2)

    def score(difference: float) -> float:
        a = 2.0 * samples
        b = -gains - losses + (2.0 * samples - gains + losses) * difference
        c = -losses * difference * (1.0 - difference)
        share = (math.sqrt(max(b * b - 4.0 * a * c, 0.0)) - b) / (2.0 * a)
        variance = samples * (2.0 * share + difference * (1.0 - difference))
        return (gains - losses - samples * difference) / math.sqrt(variance) if variance > 0 else math.inf

    estimate = (gains - losses) / samples
    return _crossing(lambda d: score(d) > z, -1.0, estimate), _crossing(lambda d: score(d) >= -z, estimate, 1.0)


def _crossing(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Where a condition that holds at `low` and not at `high` ceases to, by bisection."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return (low + high) / 2


class _Spread:
    """How scores change, as shares and a standard deviation: what an interval needs to know besides the number of samples."""

    def __init__(self, own: np.ndarray, other: np.ndarray) -> None:
        self.binary = bool((np.isin(own, (0.0, 1.0)) & np.isin(other, (0.0, 1.0))).all())
        changes = _changes(own, other)
        self.gains, self.losses = (changes > 0).mean(), (changes < 0).mean()
        self.mean = changes.mean()
        self.deviation = changes.std(ddof=1) if len(changes) > 1 else math.inf
        self.changed = bool((changes != 0).any())
        scores = np.concatenate((own, other))
        scores = scores[np.isfinite(scores)]
        self.range = float(np.ptp(scores)) if len(scores) else 0.0

    def interval(self, samples: int, level: float) -> tuple[float, float]:
        """The interval of so many samples that change in this way."""
        if self.binary:
            return tango_interval(self.gains * samples, self.losses * samples, samples, level)
        if samples < 2:
            return -math.inf, math.inf
        if self.changed:
            half = float(stats.t.ppf(0.5 + level / 2, samples - 1)) * self.deviation / math.sqrt(samples)
        else:
            half = self.range * (1.0 - ((1.0 - level) / 2) ** (1.0 / samples))
        return self.mean - half, self.mean + half


def _changes(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    own, other = (np.where(np.isfinite(scores), scores, -np.inf) for scores in (own, other))
    with np.errstate(invalid="ignore"):
        return np.where(own == other, 0.0, other - own)


def _mean(changes: np.ndarray) -> float:
    if np.isposinf(changes).any() and np.isneginf(changes).any():
        return math.nan
    return float(changes.mean())


def _bootstrap(changes: np.ndarray, level: float, resamples: int, seed: int) -> tuple[float, float]:
    """Percentiles of the means of resampled changes."""
    generator = np.random.default_rng(seed)
    samples = len(changes)
    values, counts = np.unique(changes, return_counts=True)
    if len(values) <= _FEW:
        means = generator.multinomial(samples, counts / samples, size=resamples) @ values / samples
    else:
        height = max(1, _BLOCK // samples)
        blocks = [
            changes[generator.integers(0, samples, (min(height, resamples - done), samples))].mean(axis=1)
            for done in range(0, resamples, height)
        ]
        means = np.concatenate(blocks)
    low, high = np.quantile(means, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)
