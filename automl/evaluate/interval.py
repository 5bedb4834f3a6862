"""Confidence intervals of accuracies."""

from scipy.stats import binomtest


def wilson95(right: int, images: int) -> tuple[float, float]:
    """95% Wilson score interval of `right / images`, both ends in [0, 1] (Wilson 1927)."""
    interval = binomtest(right, images).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)
