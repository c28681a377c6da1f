"""The encoder's V of the spectral factorization: from eigenvectors to small integers.

V minimizes |X - U V^T|**2; all that X enters into is the covariance G of its bands, here that of their detail as well.
With U = X W, and W the pseudoinverse of V^T, a column of V has the closed form of the paper's update (equation 8, here
for V),

    v_r = round((X^T u_r - sum over k != r of v_k u_k^T u_r) / u_r^T u_r),

in multiples of the quantum of the column: X^T U is G W and U^T U is W^T G W. The quantum is what a bit is worth: an
error d of an entry costs d**2 times the energy of the column's plane, which the step must not make up for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..format.constants import SHIFT_MAX
from ..format.spectral import ENTRY_LIMIT
from .tuning import (
    CHUNK,
    DETAIL,
    ENTRY_BITS,
    LEAST_ENTRY_BITS,
    SAMPLED_PIXELS,
    SAMPLED_ROWS,
    SPREAD,
    SWEEPS,
    WEIGHT_BITS,
)

__all__ = ["Basis", "Statistics", "find_basis", "half_range", "measure"]


@dataclass(frozen=True)
class Statistics:
    """What the choice of V needs to know of an array.

    Attributes
    ----------
    pixels : int
        Number of pixels of the array.
    means : ndarray of float64, shape (C,)
        Mean of every band.
    vectors : ndarray of float64, shape (C, C)
        Orthonormal eigenvectors of `weighted` as columns, in the order of `variances`.
    variances : ndarray of float64, shape (C,)
        Variances of the projections of pixels on them, the largest first.
    weighted : ndarray of float64, shape (C, C)
        Covariance of the bands, and DETAIL times that of the differences of neighbours, both of trace one. Most bits
        are spent on detail, whose bands depend on each other in another way than those of areas.
    low, high : ndarray of float64, shape (C,)
        Smallest and largest projection of a pixel less the means on each.
    """

    pixels: int
    means: np.ndarray
    vectors: np.ndarray
    variances: np.ndarray
    weighted: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Basis:
    """V, and what planes are made with.

    Attributes
    ----------
    offsets : ndarray of int32, shape (C,)
        Offsets of the bands.
    matrix : ndarray of int32, shape (C, K)
        V.
    shift : int
        Fractional bits of V.
    weights : ndarray of int32, shape (C, K)
        W, the pseudoinverse of V^T.
    weight_shift : int
        Fractional bits of W.
    """

    offsets: np.ndarray
    matrix: np.ndarray
    shift: int
    weights: np.ndarray
    weight_shift: int


def measure(samples: np.ndarray) -> Statistics:
    """Measure an array.

    Parameters
    ----------
    samples : ndarray of integers, shape (H, W, C)
        The array.

    Returns
    -------
    Statistics
        By evenly spread rows with at least SAMPLED_PIXELS pixels, if there are so many; ranges by all pixels.
    """
    height, width, bands = samples.shape
    period = max(1, height * width // SAMPLED_PIXELS) * SAMPLED_ROWS
    means, covariance, details = np.zeros(bands), np.zeros((bands, bands)), np.zeros((bands, bands))
    blocks = [samples[top : top + SAMPLED_ROWS] for top in range((period - SAMPLED_ROWS) // 2, height, period)]
    if not blocks:
        blocks = [samples]
    count = sum(block.shape[0] for block in blocks) * width
    for block in blocks:
        means += block.sum(axis=(0, 1), dtype=np.float64) / count
    for block in blocks:
        centred = block - means
        covariance += _products(centred) / count
        details += _products(np.diff(centred, axis=0)) + _products(np.diff(centred, axis=1))
    weighted = _of_trace_one(covariance) + DETAIL * _of_trace_one(details)
    vectors = np.linalg.eigh(weighted)[1]
    variances = np.einsum("ik,ij,jk->k", vectors, covariance, vectors)
    order = np.argsort(variances)[::-1]
    vectors = vectors[:, order]
    low, high = np.zeros(bands), np.zeros(bands)
    rows = max(1, CHUNK // (width * bands))
    for top in range(0, height, rows):
        projected = (samples[top : top + rows].reshape(-1, bands) - means) @ vectors
        np.minimum(low, projected.min(axis=0), out=low)
        np.maximum(high, projected.max(axis=0), out=high)
    return Statistics(height * width, means, vectors, np.maximum(variances[order], 0.0), weighted, low, high)


def _products(centred: np.ndarray) -> np.ndarray:
    """Sums of products of bands over pixels, (C, C)."""
    flat = centred.reshape(-1, centred.shape[-1])
    return flat.T @ flat


def _of_trace_one(matrix: np.ndarray) -> np.ndarray:
    """A covariance less its scale; zeros where there is none."""
    trace = np.trace(matrix)
    return matrix / trace if trace > 0 else matrix


def half_range(found: Statistics) -> float:
    """Half of the range of the widest projection, in units of the data."""
    return max(float((found.high - found.low).max()) / 2, 0.5)


def find_basis(found: Statistics, step: float, unit: float) -> Basis:
    """Choose V for planes in a unit and coded with a step, both in units of the data.

    Columns whose entries of U would hardly ever leave zero are left out; at least one stays.
    """
    deviations = np.sqrt(found.variances)
    count = max(1, int(np.count_nonzero(deviations * SPREAD >= step)))
    vectors, variances = found.vectors[:, :count], found.variances[:count]
    middle = ((found.low + found.high) / 2)[:count]
    offsets = np.rint(found.means + vectors @ middle).astype(np.int32)
    # A unit of an entry is at most 2**-ENTRY_BITS of the length of a column.
    shift = min(max(ENTRY_BITS - math.floor(math.log2(unit)), 0), SHIFT_MAX)
    length = unit * 2.0**shift
    # What an error of the entries adds to the squared error of all pixels, against what a bit is worth.
    finest = np.log2(np.sqrt(found.pixels * np.maximum(variances, 1e-9)) / step)
    bits = np.clip(np.ceil(finest), LEAST_ENTRY_BITS, ENTRY_BITS)
    quanta = 2.0 ** np.maximum(np.round(math.log2(length) - bits), 0)
    matrix = np.rint(vectors * length / quanta) * quanta
    for _ in range(SWEEPS):
        matrix = _sweep(matrix, found.weighted, quanta)
    matrix = np.clip(matrix, -ENTRY_LIMIT, ENTRY_LIMIT)
    weights = np.linalg.pinv(matrix).T * 2.0**shift
    weight_shift = min(max(WEIGHT_BITS - math.ceil(math.log2(np.abs(weights).max())), 0), 40)
    found_weights = np.rint(weights * 2.0**weight_shift).astype(np.int32)
    return Basis(offsets, matrix.astype(np.int32), shift, found_weights, weight_shift)


def _sweep(matrix: np.ndarray, covariance: np.ndarray, quanta: np.ndarray) -> np.ndarray:
    """Update every column of V once."""
    new = matrix.copy()
    inverse = np.linalg.pinv(new).T
    projected = covariance @ inverse  # X^T U
    gram = inverse.T @ projected  # U^T U
    for r in range(new.shape[1]):
        if gram[r, r] <= 0:
            continue
        others = new @ gram[:, r] - new[:, r] * gram[r, r]
        column = np.rint((projected[:, r] - others) / gram[r, r] / quanta[r]) * quanta[r]
        if column.any():
            new[:, r] = column
    return new if np.linalg.matrix_rank(new) == new.shape[1] else matrix
