"""Coefficients of JPEG's YCbCr transform (ITU-R BT.601, full range) in 16-bit fixed point.

Each row of the forward transform sums to exactly 1 (luma) or 0 (chroma) so that gray stays gray.
Forward: |sum| < 2**16 * 256 * 4 = 2**26 (four pixels at a time); inverse: < 2**17 * 2**8 + 2**24 < 2**26.
"""

from __future__ import annotations

BITS = 16

Y_R, Y_G, Y_B = 19595, 38470, 7471
CB_R, CB_G, CB_B = -11058, -21710, 32768
CR_R, CR_G, CR_B = 32768, -27439, -5329

R_CR = 91881
G_CB, G_CR = -22554, -46802
B_CB = 116130

# Planes of the main profile are centred and keep FRACTION bits below the integer: sample * 16 - 2048. Luma and chroma
# are then within +-2048. The decoder clamps to twice that, so that back in RGB the sum is below
# 2**16 * 2**12 + B_CB * 2**12 < 2**30.
FRACTION = 4
CENTRE = 128 << FRACTION
LIMIT = 2 * CENTRE
