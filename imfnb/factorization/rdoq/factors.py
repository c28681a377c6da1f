"""U and V of planes on the host, and parts of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ...format.context_model import zigzag

__all__ = ["Factors", "kept_components", "needed_rank", "reduced_basis", "reduced_factors", "rows_of", "splice"]

# How many components are decoded for planes that are so many times smaller than those with patches of such a side: all
# whose two frequencies add up to no more than 7, 14, 2, 5, 0 and 2. One more took 5 to 10% of the time of a whole
# picture and brought quarters 1 to 2 dB nearer to means of the whole; without the last, they were 7 dB further away.
_NEEDED = {(8, 2): 36, (16, 2): 120, (8, 4): 6, (16, 4): 21, (8, 8): 1, (16, 8): 6}


@dataclass(frozen=True)
class Factors:
    """U and V of a slice of a plane, laid out as the entropy coder wants them.

    Attributes
    ----------
    padded : ndarray of int16, shape (R, size)
        Component images with guards; see :mod:`imfnb.entropy.layout`.
    ranks : ndarray of int32, shape (size,)
        Active rank of every patch.
    grid : (int, int)
        Patches down and across.
    basis_update : ndarray of int32, shape (ROWS, COLUMNS) of `format.basis_update`, or None
        How V differs from the DCT basis, None where it does not; see :mod:`imfnb.entropy.basis_update`.
    """

    padded: np.ndarray
    ranks: np.ndarray
    grid: tuple[int, int]
    basis_update: np.ndarray | None = None


def splice(one: Factors, other: Factors, share: float) -> Factors:
    """Take a share of the patches from other factors of the same plane and step.

    Parameters
    ----------
    one, other : Factors
        What :func:`imfnb.factorization.rdoq.choose_last` made of one `LastChoice`: given that, every patch has chosen
        for itself.
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
    return Factors(padded, ranks, one.grid, one.basis_update)


def rows_of(factors: Factors, start: int, stop: int) -> Factors:
    """The factors of the rows of patches from `start` up to `stop`."""
    _, width = factors.grid
    places = slice(start * (width + 4), (stop + 3) * (width + 4))
    padded, ranks = np.ascontiguousarray(factors.padded[:, places]), factors.ranks[places]
    return Factors(padded, ranks, (stop - start, width), factors.basis_update)


@lru_cache(maxsize=8)
def kept_components(patch_size: int, reduce: int) -> np.ndarray:
    """The components of a patch whose frequencies a patch has that is `reduce` times smaller, in its zig-zag order."""
    kept = np.flatnonzero(zigzag(patch_size).max(axis=1) < patch_size // reduce)
    kept.flags.writeable = False
    return kept


def needed_rank(patch_size: int, reduce: int) -> int | None:
    """How many components to decode for planes that are `reduce` times smaller; None for all."""
    return None if reduce == 1 else _NEEDED[patch_size, reduce]


def reduced_factors(factors: Factors, patch_size: int, reduce: int) -> Factors:
    """The factors of a plane that is `reduce` times smaller in each direction.

    Parameters
    ----------
    factors : Factors
        Of the plane, whose patches have sides of `patch_size`; components behind the last of
        :func:`kept_components` may be missing.
    patch_size, reduce : int
        Side of its patches, and how many times smaller those of the other plane are.

    Returns
    -------
    Factors
        U with the columns of :func:`kept_components`, and the same change of the larger V.
    """
    kept = kept_components(patch_size, reduce)
    # A rank is the number of the last component that is active.
    before = np.searchsorted(kept, np.arange(patch_size**2, dtype=np.int32), side="right").astype(np.int32) - 1
    padded = factors.padded[kept[kept < len(factors.padded)]]
    return Factors(padded, before[factors.ranks], factors.grid, factors.basis_update)


def reduced_basis(basis: np.ndarray, patch_size: int, reduce: int) -> np.ndarray:
    """V of a plane that is `reduce` times smaller: means over blocks of the columns of V, rounded half up.

    The product with U is the mean over blocks of U V^T but for what the other components contribute: every frequency
    beyond half of what the smaller patch samples comes back as a lower one, damped.

    Parameters
    ----------
    basis : ndarray of int32, shape (N, N)
        V of patches whose sides are `patch_size`.
    patch_size, reduce : int
        As in :func:`reduced_factors`.

    Returns
    -------
    ndarray of int32, shape (N / reduce**2, N / reduce**2)
        A row for each sample, a column for each of :func:`kept_components`.
    """
    kept, side = kept_components(patch_size, reduce), patch_size // reduce
    blocks = basis[:, kept].astype(np.int64).reshape(side, reduce, side, reduce, len(kept))
    sums = blocks.sum(axis=(1, 3)).reshape(side * side, len(kept))
    return ((sums + reduce * reduce // 2) // (reduce * reduce)).astype(np.int32)
