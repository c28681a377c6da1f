"""Integer rotations of the lapped filter.

The filter is the orthogonal member of the time-domain lapped transforms of Tran, Liang and Tu (2003): across every
patch border, p samples x are split into pairs (l_i, r_i) at equal distance from the border, and with
s = l + r, d = l - r it computes d' = V d, l' = (s + d') / 2, r' = (s - d') / 2. V = J C2^T C4 J with the orthonormal
DCT matrices of types II and IV of size p / 2 (J reverses the order), which is orthogonal, and so the filter is too.
(Its gain for an AR(1) source of correlation 0.95 is 9.22 dB at p = 8, plain blocks have 8.83; 9.76 and 9.46 at 16.)

Ranges, all in int32. A centred sample with F = 4 fractional bits is within +-2048. The absolute row sums of one pass
are at most 2.64 (p = 16; transposed 2.58), so both passes of `forward` stay within 2048 * 2.64**2 < 2**14.
`inverse` clamps its input to +-(2**14 - 1): one pass gives at most 43 200, the second 113 900. Inside the second pass
|d| <= 86 400 and sum |V| <= 2.16 with ROTATION_BITS = 13 bound the accumulator by 1.53e9 < 2**31, and the sum before
the last shift is the output times 2**14, at most 1.87e9 < 2**31.
"""

from __future__ import annotations

import numpy as np

#: Fractional bits of the rotation entries (14 would overflow int32 in the second pass of a hostile `inverse`).
ROTATION_BITS = 13
#: `inverse` clamps its input to +-INPUT_LIMIT; `forward` never leaves that range for 8-bit samples.
INPUT_LIMIT = (1 << 14) - 1

ROTATION_8 = np.array(
    [[6613, 4582, 1177, 998], [-4684, 5728, 3452, 667], [998, -3640, 7045, 1797], [-667, -234, -2042, 7902]], np.int32
)

ROTATION_16 = np.array(
    [
        [5968, 5049, 1552, 1454, 762, 697, 465, 442],
        [-5082, 3968, 4740, 798, 1300, 470, 605, 402],
        [1567, -4803, 4665, 4249, 457, 1096, 347, 489],
        [-1484, 778, -4340, 5623, 3594, 278, 851, 355],
        [722, -1343, 380, -3710, 6531, 2801, 207, 572],
        [-639, 318, -1152, 112, -2938, 7276, 1900, 272],
        [244, -532, 20, -916, -106, -2053, 7800, 927],
        [-161, -72, -403, -260, -644, -348, -1088, 8070],
    ],
    np.int32,
)

#: For `inverse` in pictures that are decoded at a smaller size, whose patches may be as small as these; no file depends
#: on them. They bring the result nearest to the means of the samples of the whole picture, for an AR(1) source of
#: correlation 0.95: by 1.8 dB (p = 2) and 0.3 dB (p = 4) nearer than the formula above. (For 8 that is as good as the
#: best.)
ROTATION_2 = np.array([[7250]], np.int32)
ROTATION_4 = np.array([[7135, 3110], [-2750, 7170]], np.int32)

_ROTATIONS = {rotation.shape[0] * 2: rotation for rotation in (ROTATION_2, ROTATION_4, ROTATION_8, ROTATION_16)}


def rotation(patch_size: int) -> np.ndarray:
    """Return V of the given patch size (2 to 16) in 1 / 2**ROTATION_BITS, int32 of shape (p / 2, p / 2)."""
    return _ROTATIONS[patch_size]
