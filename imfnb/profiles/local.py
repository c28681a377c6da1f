"""Steps of patches of their own, in the main profile: from what luma masks to a map in the file, and back."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..entropy.maps import decode_map_checked
from ..format.container import Container
from ..format.masking import FACTORS, map_shape, steps_of_patches
from ..layout import PlaneSpec
from ..masking.tuning import CELL
from ..runtime.run import Run, Task
from .synthesis import Unit

__all__ = ["LocalMap", "find_maps", "read_map", "with_local"]


@dataclass(frozen=True)
class LocalMap:
    """The map of an image.

    Attributes
    ----------
    bits : int
        Binary logarithm of the side of a block, in samples of luma.
    symbols : ndarray of uint8
        A symbol for every block.
    segment : Future of bytes
        Its segment.
    """

    bits: int
    symbols: np.ndarray
    segment: Future[bytes]


def find_maps(luma: Any, bits: int, run: Run) -> Task[list[LocalMap]]:
    """The maps of images, from their planes of luma (P, H, W)."""
    count, height, width = luma.shape
    symbols = run.array("symbols", (count, *map_shape(height, width, bits)), np.int32)
    scratch = run.array("cells", (count, 2, -(-height // CELL), -(-width // CELL)), np.int64)
    run.kernels("masking").classify(luma, bits, scratch, symbols)
    (found,) = yield from run.fetch("symbols", symbols)
    images = list(found.astype(np.uint8))
    coder = run.host_kernels("entropy.maps")
    segments = run.submit_all(lambda image: coder.encode_map(image, len(FACTORS)), images)
    return [LocalMap(bits, *pair) for pair in zip(images, segments, strict=True)]


def read_map(container: Container, run: Run) -> np.ndarray:
    """The symbols of a file that has steps of patches of their own."""
    frame, p = container.frame, container.parameters
    segment = container.segment(p.slices(frame))
    shape = map_shape(frame.height, frame.width, p.local_bits)
    data = bytes(segment.take(segment.left))
    return decode_map_checked(run.host_kernels("entropy.maps"), data, *shape, len(FACTORS))


def with_local(
    parts: Sequence[Unit], spec: PlaneSpec, symbols: Sequence[np.ndarray], bits: int, run: Run
) -> list[Unit]:
    """Units of the planes of a stack, given the symbols of the image of each plane, with the steps of their patches."""
    found = []
    for unit in parts:
        steps = [steps_of_patches(symbols[n], bits, spec, unit.grid) for n in unit.which]
        found.append(replace(unit, local=run.upload(f"{unit.name}local {unit.which[0]}", steps)))
    return found
