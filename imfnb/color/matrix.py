"""Pixels to planes: coefficients of JPEG's YCbCr transform in 1/2**16, the inverse of `format.color`.

Each row sums to exactly 1 (luma) or 0 (chroma) so that gray stays gray. |sum| < 2**16 * 256 * 4 = 2**26 (four pixels at
a time).
"""

from __future__ import annotations

Y_R, Y_G, Y_B = 19595, 38470, 7471
CB_R, CB_G, CB_B = -11058, -21710, 32768
CR_R, CR_G, CR_B = 32768, -27439, -5329
