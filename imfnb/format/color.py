"""Planes to pixels: JPEG's YCbCr (ITU-R BT.601, full range) in 16-bit fixed point. FORMAT.md, 4.4 and 12.

|sum| < 2**17 * 2**8 + 2**24 < 2**26.
"""

from __future__ import annotations

BITS = 16

R_CR = 91881
G_CB, G_CR = -22554, -46802
B_CB = 116130

# Planes of the main profile are centred and keep FRACTION bits below the integer: sample * 16 - 2048. Luma and chroma
# are then within +-2048. The decoder clamps to twice that, so that back in RGB the sum is below
# 2**16 * 2**12 + B_CB * 2**12 < 2**30.
FRACTION = 4
CENTRE = 128 << FRACTION
LIMIT = 2 * CENTRE
