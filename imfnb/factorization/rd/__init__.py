"""Rate-distortion factorization X ~ 2^-s U V^T of the main profile.

V is a prior that costs no bits: integer DCT columns of length 2^s times the step, in zig-zag order. With V fixed, the
closed-form update of column u_r (see :mod:`imfnb.factorization`) is the rounding of 2^s (X v_r) / |v_r|^2, since the
columns of the prior are orthogonal up to rounding. Each entry then takes the least of

    D + lambda * bits        among  round, one towards zero, zero

with the bits that the entropy coder's own contexts give it in the factors of the previous sweep, and each patch ends
where its remaining components are not worth their bits. All quantities are exact integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ... import entropy
from ..._backend import kernels
from ...entropy.layout import GROUPS, component_table, padded_size
from .basis import SCALE_BITS, dct_basis, proxy_cosines, scale_bits
from .costs import FIRST_CLASSES, FIRST_CONTEXTS, MAGNITUDE_CLASSES, cost_table, magnitude_prices, rank_costs

__all__ = ["Factors", "estimate_cost", "factorize", "reconstruct"]

# lambda in units of the squared step, 1/65536 per bit: for the first component, for the others with costs of the
# entropy coder's model and with costs from frequencies, which are sharper than the coder can be (with 0.13 in the
# first sweep: +0.4%).
_LAMBDA_FIRST = round(0.12 * 65536)
_LAMBDA = round(0.117 * 65536)
_LAMBDA_STATIC = round(0.091 * 65536)

# Before the first sweep a patch's rank ends at its last coefficient of at least this many 1/256 steps.
_TRAIL = 190

# The first sweep takes its costs from frequencies counted over the plane, the second from the entropy coder's
# adaptive model. In BD-rate on a third of bsd34 against the adaptive model in both sweeps, with steps of 14 to 34 / 22
# to 54 / 34 to 85 / 54 to 130 gray levels: this +0.08 / +0.06 / +0.05 / +0.02%, frequencies in both +0.06 / +0.22 /
# +0.46 / +0.78%. At 0.5 bits per pixel an adaptive sweep takes 8 ms for 768x512, frequencies take 2. Changing between
# the two at some step makes the bytes jump by 3% there, which no search for a rate can bridge. A third sweep gains
# another 0.2%.
_SWEEPS = 2


@dataclass(frozen=True)
class Factors:
    """U of one band of a plane, laid out as the entropy coder wants it.

    Attributes
    ----------
    padded : ndarray of int16, shape (R, size)
        Component images with guards; see :mod:`imfnb.entropy.layout`.
    ranks : ndarray of int32, shape (size,)
        Active rank of every patch.
    grid : (int, int)
        Patches down and across.
    """

    padded: np.ndarray
    ranks: np.ndarray
    grid: tuple[int, int]


def _numerators(plane: np.ndarray, step: int, patch_size: int, device: str) -> tuple[np.ndarray, np.ndarray]:
    """X V in padded layout, int32 (N, size), and the squared lengths of the columns of V, int64 (N,)."""
    basis = dct_basis(patch_size, step)
    size, _ = padded_size(plane.shape[0] // patch_size, plane.shape[1] // patch_size)
    products = np.zeros((patch_size * patch_size, size), np.int32)
    kernels("factorization.rd", device).numerators(plane, patch_size, basis, products)
    return products, (basis.astype(np.int64) ** 2).sum(axis=0)


def estimate_cost(plane: np.ndarray, step: int, patch_size: int, device: str) -> int:
    """Estimate the rate-distortion cost of a plane without coding it, to compare patch sizes.

    Parameters
    ----------
    plane : ndarray of int32, shape (H, W)
        Pre-filtered plane with four fractional bits; H and W are multiples of `patch_size`.
    step : int
        Step in 1/64 gray level.
    patch_size : {8, 16}
        Side of a patch.
    device : {"cpu", "reference"}
        Which kernels to use.

    Returns
    -------
    int
        Cost in units of the squared step over 4096.
    """
    return int(kernels("factorization.rd", device).proxy(plane, proxy_cosines(patch_size), step))


def factorize(plane: np.ndarray, step: int, patch_size: int, device: str) -> Factors:
    """Find U for a plane.

    Parameters
    ----------
    plane : ndarray of int32, shape (H, W)
        Pre-filtered plane with four fractional bits; H and W are multiples of `patch_size`.
    step : int
        Step in 1/64 gray level, basis.STEP_MIN to basis.STEP_LIMIT.
    patch_size : {8, 16}
        Side of a patch.
    device : {"cpu", "reference"}
        Which kernels to use; both give the same factors.

    Returns
    -------
    Factors
        U and the active ranks.
    """
    backend = kernels("factorization.rd", device)
    grid = plane.shape[0] // patch_size, plane.shape[1] // patch_size
    products, lengths = _numerators(plane, step, patch_size, device)
    size = products.shape[1]
    scale = scale_bits(step)
    padded, ranks = np.zeros(products.shape, np.int16), np.zeros(size, np.int32)
    backend.quantize(products, lengths, scale, _TRAIL, padded, ranks)
    square = (step << (scale - SCALE_BITS)) ** 2
    classes = np.zeros(size, np.int32)
    for sweep in range(_SWEEPS):
        counts = np.zeros((FIRST_CONTEXTS, FIRST_CLASSES), np.int64)
        backend.first_counts(padded[0], *grid, counts)
        table = cost_table(counts)
        table[:, 1:] += 256  # the sign
        backend.choose_first(products[0], lengths[0], scale, _LAMBDA_FIRST * square >> 8, table, *grid, padded[0])
        rank_max = int(ranks.max()) + 1
        if sweep == 0:
            costs, contexts = np.zeros((3, 0, size), np.uint16), np.zeros((rank_max, size), np.uint16)
            counts = np.zeros((2 * GROUPS * 16, MAGNITUDE_CLASSES), np.int64)
            backend.count_magnitudes(padded, ranks, component_table(patch_size), grid[1] + 4, contexts, counts)
            prices, share = magnitude_prices(counts), _LAMBDA_STATIC
        else:
            costs, share = entropy.estimate_costs(padded, ranks, *grid, patch_size, device), _LAMBDA
            contexts, prices = np.zeros((0, size), np.uint16), np.zeros((0, MAGNITUDE_CLASSES), np.int32)
        backend.rank_classes(ranks, *grid, classes)
        rank_table = rank_costs(ranks, classes, *grid, rank_max)
        backend.choose(
            products, lengths, scale, share * square >> 8, costs, contexts, prices, classes, rank_table, padded, ranks
        )
    return Factors(padded[: int(ranks.max()) + 1].copy(), ranks, grid)


def reconstruct(
    factors: Factors, step: int, patch_size: int, out: np.ndarray, device: str
) -> None:
    """Multiply the factors: 2^-s U V^T, still pre-filtered.

    Parameters
    ----------
    factors : Factors
        U and the active ranks.
    step : int
        Step in 1/64 gray level.
    patch_size : {8, 16}
        Side of a patch.
    out : ndarray of int32, shape (H, W), C-contiguous
        Receives the plane.
    device : {"cpu", "reference"}
        Which kernels to use; both give the same samples.
    """
    columns = np.ascontiguousarray(dct_basis(patch_size, step).T)
    # No more than three times what an 8-bit picture needs, which keeps the sums of hostile files inside int32.
    limit = min(8191, 3 * 128 * 64 * patch_size // step + 1)
    backend = kernels("factorization.rd", device)
    backend.reconstruct(factors.padded, factors.ranks, columns, limit, scale_bits(step), patch_size, out)
