"""Restoration stage: removes part of the quantization noise of decoded planes.

Every sample p falls into one of 25 classes (five activities by five directions, from second differences in a 5x5
window, relative to the step) and is corrected by its class's symmetric 7x7 diamond filter on clipped differences to its
neighbours; a second pass with a 5x5 diamond follows::

    out = p + sum_{k, m} c[class, m, k] (clip(p[+k] - p, +-l_m) + clip(p[-k] - p, +-l_m))

The short filter has one pass with a 5x5 diamond, and blocks of 4x4 samples share a class, by second differences in
every other row of the 8x8 window around them. That takes a quarter of the time.

The filters were learned by least squares (``benchmarks/train_restoration.py``), one set per range of the step for luma
and one for chroma; `format.restoration` has them. All arithmetic is integer: every backend gives the same samples.
"""

from __future__ import annotations

from ..format.restoration import PASSES, RADIUS, SHORT_BLOCK

__all__ = ["HALO", "SHORT_HALO"]

#: Rows, in either direction, on which a restored row depends.
HALO = PASSES * RADIUS

#: The same for the short filter, where rows begin and end with a block.
SHORT_HALO = SHORT_BLOCK
