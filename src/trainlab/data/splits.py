"""Cutting a split in two, class by class, with a seed of its own.

Both cuts draw each class's images in one fixed random order, so a larger cut of the same seed and the same
labels holds a smaller one wherever the classes' quotas grow (always for `level`).
"""

import zlib

import numpy as np

SplitRows = tuple[np.ndarray, np.ndarray]


def rng(seed: int, *purpose: str | int) -> np.random.Generator:
    """A generator for one purpose: the same seed gives unrelated streams to different purposes."""
    key = tuple(zlib.crc32(p.encode()) if isinstance(p, str) else p for p in purpose)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))


def stratified(y_N: np.ndarray, size: int, generator: np.random.Generator) -> SplitRows:
    """(cut, rest): positions of `size` examples with the class shares of all (to within one), and the others.

    The cut comes shuffled, the rest in its old order. 0 <= size <= N.
    """
    return _cut(y_N, stratified_quotas(np.bincount(y_N), size), generator)


def balanced(y_N: np.ndarray, size: int, generator: np.random.Generator) -> SplitRows:
    """(cut, rest) like `stratified`, with equally many of each class as far as they go (to within one)."""
    return _cut(y_N, balanced_quotas(np.bincount(y_N), size), generator)


def stratified_quotas(counts_K: np.ndarray, size: int) -> np.ndarray:
    """How many of each class make up `size` in proportion to the counts (largest remainders)."""
    exact_K = counts_K * size
    total = max(int(counts_K.sum()), 1)
    quotas_K = exact_K // total
    by_remainder = np.argsort(-(exact_K % total), kind="stable")
    quotas_K[by_remainder[: size - int(quotas_K.sum())]] += 1
    return quotas_K


def balanced_quotas(counts_K: np.ndarray, size: int) -> np.ndarray:
    """How many of each class make up `size` evenly; a class that runs out leaves its part to the others."""
    quotas_K = np.zeros_like(counts_K)
    while (left := size - int(quotas_K.sum())) > 0:
        open_classes = np.flatnonzero(quotas_K < counts_K)
        each = max(left // len(open_classes), 1)
        chosen = open_classes[:left]
        quotas_K[chosen] += np.minimum(each, counts_K[chosen] - quotas_K[chosen])
    return quotas_K


def _cut(y_N: np.ndarray, quotas_K: np.ndarray, generator: np.random.Generator) -> SplitRows:
    order = generator.permutation(len(y_N))
    y_shuffled_N = y_N[order]
    taken_N = np.zeros(len(y_N), dtype=bool)  # in shuffled order: the first `quota` of each class
    for label, quota in enumerate(quotas_K):
        taken_N[np.flatnonzero(y_shuffled_N == label)[:quota]] = True
    return order[taken_N], np.sort(order[~taken_N])
