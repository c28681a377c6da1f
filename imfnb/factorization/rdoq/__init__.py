"""Rate-distortion factorization X ~ 2^-s U V^T of the main profile.

V starts from a prior that costs no bits: integer DCT columns of length 2^s times the step, in zig-zag order. With V
fixed, the closed-form update of column u_r (see :mod:`imfnb.factorization`) is the rounding of 2^s (X v_r) / |v_r|^2,
since the columns of the prior are orthogonal up to rounding. Each entry then takes the least of

    D + lambda * bits        among  round, one towards zero, zero

with the bits that its contexts give it in the factors of the previous sweep, and each patch ends where its remaining
components are not worth their bits. The contexts are two of those that the entropy coder mixes, their bits come from
frequencies counted over the plane. All quantities are exact integers.

On large planes :func:`find_v` lets V leave the prior. Since the prior is an orthogonal basis, X ~ U V^T is the
factorization of its coordinates Y = 2^s X V0 / |v0|^2 with right factor C = V0^T V / |v0|^2, which is the identity for
the prior. C takes the same closed-form column update as the baseline's V, and an entry keeps its move only where the
gain exceeds lambda times its bits. (Moving the pixels of v_r instead gave 50 to 90% of the gain on photographs, for up
to three times the bits. One orthogonal prior learned on bsd34 instead of the DCT: -0.02% on other pictures.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..._backend import kernels
from ...entropy.layout import component_table, padded_size
from ...entropy.mixing import COLUMNS, MIXING_BITS, MIXING_LIMIT, ROWS
from .basis import SCALE_BITS, dct_basis, mixed_basis, proxy_cosines, scale_bits
from .costs import (
    FIRST_CLASSES,
    FIRST_CONTEXTS,
    MAGNITUDE_CLASSES,
    MAGNITUDE_CONTEXTS,
    SPECTRUM_CLASSES,
    SPECTRUM_MODELS,
    SPECTRUM_PATCH,
    SPECTRUM_STEPS,
    cost_table,
    rank_costs,
)

__all__ = [
    "LARGEST_THRIFT",
    "PLAIN_THRIFT",
    "SPECTRUM_PATCH",
    "SPECTRUM_MODELS",
    "SPECTRUM_STEPS",
    "SWEEPS",
    "TRAIL",
    "Draft",
    "Factors",
    "blend",
    "draft",
    "estimate_cost",
    "factorize",
    "find_v",
    "finish",
    "magnitude_limit",
    "mixing_matrices",
    "multipliers",
    "reconstruct",
    "rows_of",
    "spectrum",
]

# lambda in units of the squared step, 1/65536 per bit: for the first component and for the others. With 0.085, 0.1 and
# 0.105 for these: +0.1, 0 and +0.05%.
_LAMBDA_FIRST = round(0.12 * 65536)
_LAMBDA = round(0.095 * 65536)

#: The unit of `thrift`, by which the lambda of the last choice is multiplied.
PLAIN_THRIFT = 256

#: Largest thrift.
LARGEST_THRIFT = 4096

#: Before the first sweep a patch's rank ends at its last coefficient of at least this many 1/256 steps.
TRAIL = 190

#: Sweeps over U.
# A third one: +-0.02%. BD-rate on bsd34 with steps of 4 to 13 / 14 to 34 / 22 to 54 / 34 to 85 / 54 to 130 / 90 to 240
# gray levels, against costs of the entropy coder's adaptive model in the second sweep and of one context in the first:
# -0.10 / -0.19 / -0.09 / +0.05 / +0.18 / -0.03%; that took 8 ms more for 768x512 at 0.5 bits per pixel. On a third of
# bsd34, from 14 gray levels on, one context in the second sweep, around or inside: +0.20 / +0.32 / +0.37 / +0.44% and
# +0.03 / +0.12 / +0.12 / +0.23%; three, four and six were no better than two.
SWEEPS = 2

# Rounds of U step and V step. BD-rate over steps of 20 to 140 gray levels against the prior, after 1, 2 and 3 rounds: a
# photograph of 3.4 megapixels -0.36, -0.47, -0.47%, a picture of bsd34 enlarged to 2.5 megapixels -1.43, -1.61, -1.44%.
_ROUNDS = 2

# V leaves the prior where the first V step takes at least this share from the squared error. In the first step's gain a
# photograph, enlarged pictures and a mosaic of bsd34 lie as far apart as in what both rounds and the entropy coder make
# of it. With 0.004, 0.008 and 0.012: the photograph -0.47, -0.47, -0.35%, enlarged with grain -1.08, -1.08, -0.92%.
_LEAST_GAIN = 0.008

# A V step knows its largest sum of squares to this many bits, so that its sums are exact in float64.
_SUM_BITS = 34

# Bounds of the entries of C.
_BOUNDS = -float(MIXING_LIMIT), 2.0**MIXING_BITS + MIXING_LIMIT

# Columns of U with a smaller sum of squares keep the prior.
_LEAST_ENERGY = 64

# The bits of an entry of V that has moved by 0, 1, 2, ... quanta, times what a bit is worth along the codec's
# rate-distortion curve, in squared steps.
_PRICE = 0.14 * np.array([0.1] + [8.0 + 2 * (m.bit_length() - 1) for m in range(1, MIXING_LIMIT + 1)])


@dataclass(frozen=True)
class Factors:
    """U and V of one band of a plane, laid out as the entropy coder wants them.

    Attributes
    ----------
    padded : ndarray of int16, shape (R, size)
        Component images with guards; see :mod:`imfnb.entropy.layout`.
    ranks : ndarray of int32, shape (size,)
        Active rank of every patch.
    grid : (int, int)
        Patches down and across.
    mixing : ndarray of int32, shape (mixing.ROWS, mixing.COLUMNS), or None
        How V differs from the prior, None where it does not; see :mod:`imfnb.entropy.mixing`.
    """

    padded: np.ndarray
    ranks: np.ndarray
    grid: tuple[int, int]
    mixing: np.ndarray | None = None


def _numerators(plane: np.ndarray, step: int, patch_size: int, device: str) -> tuple[np.ndarray, np.ndarray]:
    """X V in padded layout, int32 (N, size), and the squared lengths of the columns of V, int64 (N,)."""
    basis = dct_basis(patch_size, step)
    size, _ = padded_size(plane.shape[0] // patch_size, plane.shape[1] // patch_size)
    products = np.zeros((patch_size * patch_size, size), np.int32)
    kernels("factorization.rd", device).numerators(plane, patch_size, basis, products)
    return products, (basis.astype(np.int64) ** 2).sum(axis=0)


def _square(step: int) -> int:
    """Squared length of a column of the prior before rounding."""
    return (step << (scale_bits(step) - SCALE_BITS)) ** 2


def multipliers(step: int) -> tuple[int, int]:
    """Lambda of the first component and of the others.

    Parameters
    ----------
    step : int
        Step in 1/64 gray level.

    Returns
    -------
    (int, int)
        In units of the kernels: distortion for 2**16 times 1/256 bit.
    """
    square = _square(step)
    return _LAMBDA_FIRST * square >> 8, _LAMBDA * square >> 8


def magnitude_limit(step: int, patch_size: int) -> int:
    """Largest magnitude of U that `reconstruct` takes, larger ones are clamped to it.

    It is no more than three times what an 8-bit picture needs, which keeps the sums of hostile files inside int32.
    """
    return min(8191, 3 * 128 * 64 * patch_size // step + 1)


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


def spectrum(plane: np.ndarray, device: str) -> np.ndarray:
    """Count the coefficients of a plane by magnitude, for the models in SPECTRUM_MODELS.

    Parameters
    ----------
    plane : ndarray of int32, shape (H, W)
        Pre-filtered plane with four fractional bits; H and W are multiples of SPECTRUM_PATCH.
    device : {"cpu", "reference"}
        Which kernels to use.

    Returns
    -------
    ndarray of int64
        Counts, which may be added to those of other parts of the plane.
    """
    counts = np.zeros(SPECTRUM_CLASSES, np.int64)
    kernels("factorization.rd", device).spectrum(plane, proxy_cosines(SPECTRUM_PATCH), counts)
    return counts


@dataclass(frozen=True)
class Draft:
    """U before the last choice of its last sweep, and the arguments of that choice, whatever the thrift.

    Attributes
    ----------
    padded : ndarray of int16, shape (R, size)
        U so far.
    ranks : ndarray of int32, shape (size,)
        Active rank of every patch so far.
    grid : (int, int)
        Patches down and across.
    lam : int
        Lambda without thrift, in the unit of :func:`multipliers`.
    products, lengths, scale, contexts, prices, classes, rank_table
        As the kernel `choose` takes them.
    mixing : ndarray of int32, shape (mixing.ROWS, mixing.COLUMNS), or None
        How V differs from the prior, None where it does not.
    """

    padded: np.ndarray
    ranks: np.ndarray
    grid: tuple[int, int]
    lam: int
    products: np.ndarray
    lengths: np.ndarray
    scale: int
    contexts: np.ndarray
    prices: np.ndarray
    classes: np.ndarray
    rank_table: np.ndarray
    mixing: np.ndarray | None = None

    def choose(self, padded: np.ndarray, ranks: np.ndarray, device: str, thrift: int = PLAIN_THRIFT) -> None:
        """Make the choice in place."""
        lam = self.lam * thrift // PLAIN_THRIFT
        contexts, prices, classes, table = self.contexts, self.prices, self.classes, self.rank_table
        kernels("factorization.rd", device).choose(
            self.products, self.lengths, self.scale, lam, contexts, prices, classes, table, padded, ranks
        )


def factorize(
    plane: np.ndarray,
    step: int,
    patch_size: int,
    device: str,
    thrift: int = PLAIN_THRIFT,
    mixing: np.ndarray | None = None,
) -> Factors:
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
    thrift : int, default PLAIN_THRIFT
        Lambda of the last choice in 1/PLAIN_THRIFT of what is best: for a rate or an error that no step gives.
    mixing : ndarray of int32, shape (mixing.ROWS, mixing.COLUMNS), optional
        How V differs from the prior; see :func:`find_v`.

    Returns
    -------
    Factors
        U, the active ranks and V.
    """
    return finish(draft(plane, step, patch_size, device, mixing), device, thrift)


def draft(plane: np.ndarray, step: int, patch_size: int, device: str, mixing: np.ndarray | None = None) -> Draft:
    """Do the part of :func:`factorize` that does not depend on the thrift, most of it."""
    grid = plane.shape[0] // patch_size, plane.shape[1] // patch_size
    products, lengths = _numerators(plane, step, patch_size, device)
    if mixing is not None:
        scale, u, ranks = scale_bits(step), np.zeros(products.shape, np.int16), np.zeros(products.shape[1], np.int32)
        kernels("factorization.rd", device).quantize(products, lengths, scale, TRAIL, u, ranks)
        products, lengths = _mixed(products, lengths, u, mixing, step, device)
    return replace(_draft_u(products, lengths, step, patch_size, grid, SWEEPS, device), mixing=mixing)


def finish(draft: Draft, device: str, thrift: int = PLAIN_THRIFT) -> Factors:
    """Do the rest of :func:`factorize`; the draft stays as it is."""
    padded, ranks = draft.padded.copy(), draft.ranks.copy()
    draft.choose(padded, ranks, device, thrift)
    return Factors(padded[: int(ranks.max()) + 1], ranks, draft.grid, draft.mixing)


def blend(one: Factors, other: Factors, share: float) -> Factors:
    """Take a share of the patches from other factors of the same plane and step.

    Parameters
    ----------
    one, other : Factors
        What :func:`finish` made of one draft: given that, every patch has chosen for itself.
    share : float
        Share of the patches, the first ones, that come from `other`.

    Returns
    -------
    Factors
        U, the active ranks and V.
    """
    height, width = one.grid
    y, x = divmod(round(share * height * width), width)
    cut = (y + 2) * (width + 4) + x + 2
    ranks = np.concatenate([other.ranks[:cut], one.ranks[cut:]])
    padded = np.zeros((int(ranks.max()) + 1, ranks.size), np.int16)
    for source, columns in ((other, slice(cut)), (one, slice(cut, None))):
        count = min(len(padded), len(source.padded))
        padded[:count, columns] = source.padded[:count, columns]
    return Factors(padded, ranks, one.grid, one.mixing)


def rows_of(factors: Factors, start: int, stop: int) -> Factors:
    """The factors of the rows of patches from `start` up to `stop`."""
    _, width = factors.grid
    places = slice(start * (width + 4), (stop + 3) * (width + 4))
    padded, ranks = np.ascontiguousarray(factors.padded[:, places]), factors.ranks[places]
    return Factors(padded, ranks, (stop - start, width), factors.mixing)


def _draft_u(
    products: np.ndarray,
    lengths: np.ndarray,
    step: int,
    patch_size: int,
    grid: tuple[int, int],
    sweeps: int,
    device: str,
) -> Draft:
    """The U step but for its last choice, from X V and the squared lengths of V's columns."""
    backend = kernels("factorization.rd", device)
    size = products.shape[1]
    scale = scale_bits(step)
    padded, ranks = np.zeros(products.shape, np.int16), np.zeros(size, np.int32)
    backend.quantize(products, lengths, scale, TRAIL, padded, ranks)
    first, others = multipliers(step)
    for sweep in range(sweeps):
        counts = np.zeros((FIRST_CONTEXTS, FIRST_CLASSES), np.int64)
        backend.first_counts(padded[0], *grid, counts)
        table = cost_table(counts)
        table[:, 1:] += 256  # the sign
        backend.choose_first(products[0], lengths[0], scale, first, table, *grid, padded[0])
        top = int(ranks.max()) + 1
        contexts = np.zeros((2, top, size), np.uint16)
        counts = np.zeros((MAGNITUDE_CONTEXTS, MAGNITUDE_CLASSES), np.int64)
        backend.count_magnitudes(padded, ranks, component_table(patch_size), grid[1] + 4, contexts, counts)
        prices = np.empty(counts.shape, np.uint16)
        backend.magnitude_prices(counts, prices)
        classes = np.zeros(size, np.int32)
        backend.rank_classes(ranks, *grid, classes)
        table = rank_costs(ranks, classes, *grid, top)
        draft = Draft(
            padded[:top], ranks, grid, others, products[:top], lengths, scale, contexts, prices, classes, table
        )
        if sweep < sweeps - 1:
            draft.choose(padded, ranks, device)
    return draft


def _mixed(
    products: np.ndarray, lengths: np.ndarray, padded: np.ndarray, mixing: np.ndarray, step: int, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """X V less what the other columns of U stand for, and the squared lengths, of a V that has left the prior V0.

    From X V0, the squared lengths of V0's columns, and a U whose guards are zero.
    """
    right, gram = mixing_matrices(mixing, step)
    mixed, mixed_lengths = np.empty_like(products), lengths.copy()
    kernels("factorization.rd", device).mix(products, padded, right, gram, MIXING_BITS, scale_bits(step), mixed)
    mixed_lengths[:ROWS] = np.diagonal(gram)
    return mixed, mixed_lengths


def mixing_matrices(mixing: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """V in terms of the prior, as the kernel `mix` takes it.

    Parameters
    ----------
    mixing : ndarray of int32, shape (mixing.ROWS, mixing.COLUMNS)
        How V differs from the prior.
    step : int
        Step in 1/64 gray level.

    Returns
    -------
    right : ndarray of int64, shape (mixing.ROWS, mixing.COLUMNS)
        C of the columns that may move, in 1/2**MIXING_BITS.
    gram : ndarray of int64, shape (mixing.ROWS, mixing.ROWS)
        V^T V of the columns that others may take up.
    """
    right = np.eye(ROWS, dtype=np.int64) << MIXING_BITS
    right[:, :COLUMNS] += mixing
    return np.ascontiguousarray(right[:, :COLUMNS]), (right.T @ right * _square(step)) >> (2 * MIXING_BITS)


def find_v(plane: np.ndarray, step: int, patch_size: int, device: str, weight: int = 1) -> np.ndarray | None:
    """Find a V that serves a plane better than the prior.

    Parameters
    ----------
    plane : ndarray of int32, shape (H, W)
        Pre-filtered plane with four fractional bits; H and W are multiples of `patch_size`.
    step : int
        Step in 1/64 gray level.
    patch_size : {8, 16}
        Side of a patch.
    device : {"cpu", "reference"}
        Which kernels to use; both give the same V.
    weight : int, default 1
        How many times as large the plane is of which this one is a sample: V serves all of it and costs its bits once.

    Returns
    -------
    ndarray of int32, shape (mixing.ROWS, mixing.COLUMNS), or None
        How V differs from the prior; None where too little is gained.
    """
    grid = plane.shape[0] // patch_size, plane.shape[1] // patch_size
    scale = scale_bits(step)
    square = _square(step)
    prior, prior_lengths = _numerators(plane, step, patch_size, device)
    products, lengths, mixing = prior, prior_lengths, None
    for number in range(_ROUNDS):
        factors = finish(_draft_u(products, lengths, step, patch_size, grid, 1, device), device)
        mixing = _update_v(prior, factors.padded, square, scale, mixing, weight, device)
        if number == 0:
            errors = [_error(plane, factors, step, patch_size, v, device) for v in (None, mixing)]
            if not errors[0] - errors[1] > _LEAST_GAIN * errors[0]:
                return None
        if number < _ROUNDS - 1:
            products, lengths = _mixed(prior, prior_lengths, factors.padded, mixing, step, device)
    return mixing


def _error(
    plane: np.ndarray, factors: Factors, step: int, patch_size: int, mixing: np.ndarray | None, device: str
) -> int:
    """Squared error of U with another V."""
    product = np.empty_like(plane)
    reconstruct(replace(factors, mixing=mixing), step, patch_size, product, device)
    product -= plane
    return sum(int(np.square(row, dtype=np.int64).sum()) for row in product)


def _update_v(
    products: np.ndarray,
    padded: np.ndarray,
    square: int,
    scale: int,
    mixing: np.ndarray | None,
    weight: int,
    device: str,
) -> np.ndarray:
    """The V step: how V differs from the prior, int32 (ROWS, COLUMNS), given X V0, U and the previous difference."""
    count = min(COLUMNS, len(padded))
    a, b = np.empty((ROWS, count), np.int64), np.empty((ROWS, count), np.int64)
    backend = kernels("factorization.rd", device)
    backend.moments(products, padded, a, b)
    a *= weight
    b *= weight
    energy = np.diagonal(b).copy()
    shift = max(0, int(energy.max()).bit_length() - _SUM_BITS)
    b >>= shift
    # Y^T U in units of 2^-MIXING_BITS, less what the columns of V beyond those that may move stand for.
    target = np.rint(a * (2.0 ** (scale + MIXING_BITS - shift) / square))
    target[count:] -= b[count:] << MIXING_BITS
    prior = np.eye(ROWS, count) * 2.0**MIXING_BITS
    factor = prior.copy() if mixing is None else prior + mixing[:, :count]
    # A quantum costs about what its bits are worth: one to two times the step of U over |u_r|.
    quanta = np.array([2.0 ** max(0, MIXING_BITS + 1 - (int(e).bit_length() + 1) // 2) for e in energy])
    quanta[(energy < _LEAST_ENERGY) | (quanta > MIXING_LIMIT // 2)] = 0
    price = _PRICE * 2.0 ** (2 * MIXING_BITS - shift)
    backend.update_v(target, b[:count].astype(np.float64), factor, prior, quanta, price, *_BOUNDS)
    out = np.zeros((ROWS, COLUMNS), np.int32)
    out[:, :count] = factor - prior
    return out


def reconstruct(
    factors: Factors, step: int, patch_size: int, out: np.ndarray, device: str
) -> None:
    """Multiply the factors: 2^-s U V^T, still pre-filtered.

    Parameters
    ----------
    factors : Factors
        U, the active ranks and V.
    step : int
        Step in 1/64 gray level.
    patch_size : {8, 16}
        Side of a patch.
    out : ndarray of int32, shape (H, W), C-contiguous
        Receives the plane.
    device : {"cpu", "reference"}
        Which kernels to use; both give the same samples.
    """
    columns = np.ascontiguousarray(mixed_basis(patch_size, step, factors.mixing).T)
    limit = magnitude_limit(step, patch_size)
    backend = kernels("factorization.rd", device)
    backend.reconstruct(factors.padded, factors.ranks, columns, limit, scale_bits(step), patch_size, out)
