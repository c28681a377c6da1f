"""Spectra in plain NumPy."""

from __future__ import annotations

import numpy as np

from ..reference import transform

__all__ = ["spectrum"]


def spectrum(plane: np.ndarray, cosines: np.ndarray, counts: np.ndarray) -> None:
    """Count the coefficients of a plane by magnitude, an octave in eight classes.

    The first component counts by its change from the patch above. Class 0 is all below 16 of the transform's units,
    class 8 n + k + 1 begins at 2**(n + 1) (8 + k).

    Parameters
    ----------
    plane : ndarray of int32, shape (H, W)
        Pre-filtered plane of whole patches.
    cosines : ndarray of int32, shape (p, p)
        `basis.proxy_cosines`.
    counts : ndarray of int64, shape (SPECTRUM_CLASSES,)
        The counts are added to it.
    """
    (c,) = transform(plane[None], len(cosines))
    c[0, 0, 1:] -= c[0, 0, :-1].copy()
    c[0, 0, 0] = 0
    value = np.abs(c).ravel()
    octave = np.frexp(value.astype(float))[1]
    classes = np.where(octave < 5, 0, 8 * (octave - 5) + ((value >> np.maximum(octave - 4, 0)) & 7) + 1)
    counts += np.bincount(classes, minlength=len(counts))
