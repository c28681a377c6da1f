"""U and V of planes on the host, and parts of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Factors", "rows_of", "splice"]


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
