"""What the encoder chooses: constants of the rate-distortion factorization, each with what was measured."""

from __future__ import annotations

import numpy as np

from ...format.basis_update import UPDATE_LIMIT

__all__ = [
    "INVERSE_BITS",
    "LAMBDA",
    "LAMBDA_FIRST",
    "LAMBDA_LARGEST",
    "LAMBDA_ONE",
    "LEAST_ENERGY",
    "LEAST_GAIN",
    "PRICE",
    "PRIOR",
    "ROUNDS",
    "SWEEPS",
    "TRAIL",
]

# lambda in units of the squared step, 1/65536 per bit: for the first component and for the others. With 0.085, 0.1 and
# 0.105 for these: +0.1, 0 and +0.05%.
LAMBDA_FIRST = round(0.12 * 65536)
LAMBDA = round(0.095 * 65536)

#: The unit of `lambda_scale`, by which the lambda of the last choice is multiplied.
LAMBDA_ONE = 256

#: Largest `lambda_scale`.
LAMBDA_LARGEST = 4096

#: Before the first sweep a patch's rank ends at its last coefficient of at least this many 1/256 steps.
TRAIL = 190

#: Sweeps over U.
# A third one: +-0.02%. BD-rate on bsd34 with steps of 4 to 13 / 14 to 34 / 22 to 54 / 34 to 85 / 54 to 130 / 90 to 240
# gray levels, against costs of the entropy coder's adaptive model in the second sweep and of one context in the first:
# -0.10 / -0.19 / -0.09 / +0.05 / +0.18 / -0.03%; that took 8 ms more for 768x512 at 0.5 bits per pixel. On a third of
# bsd34, from 14 gray levels on, one context in the second sweep, around or inside: +0.20 / +0.32 / +0.37 / +0.44% and
# +0.03 / +0.12 / +0.12 / +0.23%; three, four and six were no better than two.
SWEEPS = 2

#: Observations that the frequencies of all contexts together are worth in each of them. BD-rate on a third of bsd34
#: with 0, 8, 16 and 32, mean of four ranges of steps: +0.06, 0, -0.02 and 0%.
PRIOR = 16

#: Fractional bits of the inverse of a patch's step.
INVERSE_BITS = 14

# Rounds of U step and V step. BD-rate over steps of 20 to 140 gray levels against the DCT basis, after 1, 2 and 3
# rounds: a photograph of 3.4 megapixels -0.36, -0.47, -0.47%, a picture of bsd34 enlarged to 2.5 megapixels -1.43,
# -1.61, -1.44%.
ROUNDS = 2

# V leaves the DCT basis where the first V step takes at least this share from the squared error. In the first step's
# gain a photograph, enlarged pictures and a mosaic of bsd34 lie as far apart as in what both rounds and the entropy
# coder make of it. With 0.004, 0.008 and 0.012: the photograph -0.47, -0.47, -0.35%, enlarged with grain -1.08, -1.08,
# -0.92%.
LEAST_GAIN = 0.008

# Columns of V whose column of U has a smaller sum of squares stay in the DCT basis.
LEAST_ENERGY = 64

# The bits of an entry of V that has moved by 0, 1, 2, ... quanta, times what a bit is worth along the codec's
# rate-distortion curve, in squared steps.
PRICE = 0.14 * np.array([0.1] + [8.0 + 2 * (m.bit_length() - 1) for m in range(1, UPDATE_LIMIT + 1)])
