"""Spectra of planes, from which a search guesses rates and errors before it tries a step; on the host only."""

from __future__ import annotations

import math

import numpy as np

from ....runtime.run import HostRun
from ..basis import proxy_cosines

__all__ = [
    "SPECTRUM_CLASSES",
    "SPECTRUM_MODELS",
    "SPECTRUM_PATCH",
    "SPECTRUM_STEPS",
    "Clustered",
    "Scattered",
    "spectrum",
]

#: Classes of magnitudes of a spectrum, see `reference.spectrum`.
SPECTRUM_CLASSES = 8 * 28 + 1

#: Side of the patches of a spectrum.
SPECTRUM_PATCH = 8

#: Middle of each class in 1/64 gray level.
_MIDDLES = np.array([0.0, *(2.0 ** (n + 1) * (8.5 + k) for n in range(28) for k in range(8))]) / (32 * SPECTRUM_PATCH)

#: Steps in 1/64 gray level for which the models speak, eighths of an octave apart.
SPECTRUM_STEPS = 64 * 2.0 ** (np.arange(65) / 8)

#: log2 of the middles in steps, float64 (steps, classes). The models have no thresholds: with one they would jump.
_OCTAVES = np.log2(np.maximum(_MIDDLES, _MIDDLES[1])) - np.log2(SPECTRUM_STEPS)[:, None]

_SQUARES = 4.0**_OCTAVES


class Clustered:
    """Model of photographs, where large coefficients keep together and the coder's contexts know where."""

    _BITS = np.clip(_OCTAVES + 1, 0, 1) * np.maximum(_OCTAVES + 4, 0) + 0.002
    _KEPT = np.clip(_OCTAVES, 0, 1)
    _ERRORS = np.minimum(1.5 * _SQUARES, 1) * (1 - _KEPT) + 0.2 * _KEPT

    @classmethod
    def bits(cls, counts: np.ndarray) -> np.ndarray:
        """Estimate the bits that a plane takes with each of SPECTRUM_STEPS.

        A coefficient c, in steps, takes 4 + log2(c) from 1 on and, between 1/2 and 1, a growing share of that. Over
        every third image of bsd34 and steps of 1.5 to 180 gray levels that is off by 5% (one standard deviation).
        """
        return cls._BITS @ counts

    @classmethod
    def error(cls, counts: np.ndarray) -> np.ndarray:
        """Estimate the squared error of a plane with each of SPECTRUM_STEPS in squared gray levels.

        What is dropped costs its square, a kept coefficient a fifth of a squared step, with an octave between the two.
        Off by 0.9 dB on the same images, most of it the same for all steps of an image.
        """
        return (cls._ERRORS @ counts) * (SPECTRUM_STEPS / 64) ** 2


class Scattered:
    """Model of noise, whose coefficients tell nothing of each other: each kept one costs what its rarity says.

    Dearer coefficients are rarer, and rarer ones dearer: the sweeps follow that down the cliff of the rate. Noise of 3
    to 50 gray levels and uniform noise take 0.93 to 1.14 times these bits above 0.3 bits per pixel, and their PSNR is
    0.5 dB less to 0.8 dB more.
    """

    @staticmethod
    def _keep(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Share of each class that is kept after two sweeps, log2 of the threshold in steps, bits of one just kept."""
        threshold, total = np.full(len(_OCTAVES), math.log2(0.6)), max(counts.sum(), 1)
        for weight in (0.08, 0.1, 0.0):
            kept = np.clip(4 * (_OCTAVES - threshold[:, None]) + 0.5, 0, 1)
            bits = 2.5 - np.log2(np.maximum((kept @ counts) / total, 1e-7))
            if weight:
                threshold = np.log2((1 + weight * bits) / 2)
        return kept, threshold, bits

    @staticmethod
    def bits(counts: np.ndarray) -> np.ndarray:
        """As `Clustered.bits`."""
        kept, threshold, bits = Scattered._keep(counts)
        return (kept * (bits[:, None] + np.maximum(_OCTAVES - threshold[:, None], 0))) @ counts

    @staticmethod
    def error(counts: np.ndarray) -> np.ndarray:
        """As `Clustered.error`."""
        kept, _, _ = Scattered._keep(counts)
        return ((_SQUARES * (1 - kept) + 0.09 * kept) @ counts) * (SPECTRUM_STEPS / 64) ** 2


#: Models of rates and errors, the most likely one first.
SPECTRUM_MODELS = Clustered, Scattered


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
    ndarray of int64, shape (SPECTRUM_CLASSES,)
        Counts, which may be added to those of other parts of the plane.
    """
    counts = np.zeros(SPECTRUM_CLASSES, np.int64)
    kernels = HostRun(device, 1).kernels("factorization.rdoq.spectra")
    kernels.spectrum(plane, proxy_cosines(SPECTRUM_PATCH), counts)
    return counts
