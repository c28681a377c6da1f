"""Restoration network: predicts from decoded planes what quantization took from them.

A small convolutional network in integers, in place of the filter of :mod:`imfnb.restoration`. It sees cells of 2 x 2
samples, whose four samples are inputs of their own, in units of the step: layers of 3 x 3 cells, with activations
between 0 and 255. Luma is corrected from luma alone; Cb and Cr from both of them and from restored luma. The weights
were learned (``benchmarks/train_network.py``); `format.network` has them. Every backend gives the same samples.
"""

from __future__ import annotations

from ..format.network import HIDDEN

__all__ = ["HALO", "halo"]


def halo(planes: int) -> int:
    """Rows, in either direction of cells, on which the corrected rows of a cell depend, by the number of input planes.

    Rows from an even one on, up to an even one or the last of the plane, depend on so many above and below.
    """
    return 2 * (HIDDEN[planes] + 2)


#: The larger of both.
HALO = max(halo(planes) for planes in HIDDEN)
