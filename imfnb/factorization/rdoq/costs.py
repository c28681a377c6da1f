"""Static models of the encoder: frequencies counted over the previous sweep as bits, spectra as rates and errors."""

from __future__ import annotations

import math

import numpy as np

from ...entropy.layout import GROUPS
from ...entropy.tables import log2_fixed

__all__ = [
    "FIRST_CLASSES",
    "FIRST_CONTEXTS",
    "INSIDE_CONTEXTS",
    "MAGNITUDE_CLASSES",
    "MAGNITUDE_CONTEXTS",
    "MANTISSAS",
    "PRIOR",
    "PROXY_COSTS",
    "PROXY_FIRST",
    "SPECTRUM_CLASSES",
    "SPECTRUM_MODELS",
    "SPECTRUM_PATCH",
    "SPECTRUM_STEPS",
    "cost_table",
    "log2",
    "rank_costs",
]

#: Contexts and residual classes of the first component's cost model.
FIRST_CONTEXTS = 12
FIRST_CLASSES = 64


#: Magnitudes that the cost model of the components from 1 on tells apart; the last stands for all that are larger.
MAGNITUDE_CLASSES = 16

#: Contexts of a magnitude inside its patch: 12 levels of the magnitudes so far, 10 of the number of components to come,
#: 6 rings of frequencies. Zero to come: the last component, whose zero flag is not coded.
INSIDE_CONTEXTS = 12 * 10 * 6

#: Contexts of both kinds. Those around it, second: the last component or not, 24 groups of components, 16 levels of the
#: magnitudes around it and of its relatives.
MAGNITUDE_CONTEXTS = INSIDE_CONTEXTS + 2 * GROUPS * 16

#: Observations that the frequencies of all contexts together are worth in each of them. BD-rate on a third of bsd34
#: with 0, 8, 16 and 32, mean of four ranges of steps: +0.06, 0, -0.02 and 0%.
PRIOR = 16

#: round(256 log2(1 + k / 4096)), uint16.
MANTISSAS = (log2_fixed(4096 + np.arange(4096, dtype=np.int64)) - (12 << 8)).astype(np.uint16)


def log2(values: np.ndarray) -> np.ndarray:
    """256 log2 of positive integers below 2**52, from their leading 13 bits: integers that are at most one too small.

    `log2_fixed` took a tenth of an encoding.
    """
    mantissa, octave = np.frexp(values.astype(np.float64))
    return (octave.astype(np.int64) - 1) * 256 + MANTISSAS[((2 * mantissa - 1) * 4096).astype(np.int64)]


def cost_table(counts: np.ndarray) -> np.ndarray:
    """Return -log2 of the (smoothed) relative frequencies of each row, in 1 / 256 bit, int32 like counts."""
    c = 16 * counts + 1
    return (log2(c.sum(axis=1, keepdims=True)) - log2(c)).astype(np.int32)


def rank_costs(ranks: np.ndarray, classes: np.ndarray, grid_h: int, grid_w: int, rank_max: int) -> np.ndarray:
    """Return the cost of every rank given the class of its neighbours, 1 / 256 bit, int64 (9, rank_max).

    The bit length costs what its frequency says, each further bit one bit.
    """
    lengths = np.array([int(k).bit_length() for k in range(rank_max)])
    inside = (slice(2, 2 + grid_h), slice(2, 2 + grid_w))
    shape = (grid_h + 3, grid_w + 4)
    q = classes.reshape(shape)[inside].ravel()
    k = lengths[ranks.reshape(shape)[inside].ravel()]
    counts = np.bincount(q * 9 + k, minlength=81).reshape(9, 9)
    return cost_table(counts)[:, lengths] + 256 * np.maximum(lengths - 1, 0)


def _proxy_tables() -> tuple[np.ndarray, np.ndarray]:
    """Return the costs (unit: step**2 / 4096) of a coefficient and of a step of component 0, index in 1 / 16.

    A coefficient c is dropped for c**2 or kept for 0.08 + 0.13 (6 + 2 log2(1 + c)); a change e of component 0 between
    two patches costs 0.13 (2 + 1.5 log2(1 + e)).
    """
    c = np.arange(1024, dtype=np.int64)
    log = log2_fixed(16 + c) - (4 << 8)
    kept = 4096 * 8 // 100 + 4096 * 13 * (6 * 256 + 2 * log) // 25600
    return np.minimum(16 * c * c, kept), 4096 * 13 * (4 * 256 + 3 * log) // 51200


PROXY_COSTS, PROXY_FIRST = _proxy_tables()


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
