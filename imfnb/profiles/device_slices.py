"""Slices of files decoded where the kernels read them: bytes -> U on the GPU, of all planes of a stack at once.

Only the coder in lanes can do that. Nothing of U comes to the host, but whether segments end too early.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..entropy import DAMAGED
from ..errors import FormatError
from ..factorization import rdoq
from ..format.bytestream import Reader
from ..layout import Slice
from ..runtime.run import Run, Task
from .slices import read_update
from .stacks import Parts

__all__ = ["DeviceSlices", "decode_on_device", "decodes_on_device"]


def decodes_on_device(coder: str, max_rank: int | None, reduce: int, run: Run) -> bool:
    """Whether slices can be decoded where the kernels read them; previews and smaller pictures go through the host."""
    return run.device == "cuda" and coder == "rans" and max_rank is None and reduce == 1


@dataclass(frozen=True)
class DeviceSlices:
    """Slices whose factors are where the kernels read them.

    Attributes
    ----------
    factors : list of Factors
        Of every slice: U, ranks and V of all its planes.
    overruns : array of int32
        For every plane of every slice 1 if its segment ends too early.
    """

    factors: list[rdoq.Factors]
    overruns: Any

    def check(self, run: Run) -> Task[None]:
        """Wait for all that is queued.

        Raises
        ------
        FormatError
            If bytes end before the factors do; U has been decoded from zeros then.
        """
        (overruns,) = yield from run.fetch("overruns", self.overruns)
        if overruns.any():
            raise FormatError(DAMAGED)


def decode_on_device(
    slices: Sequence[tuple[Slice, Sequence[Callable[[], Reader]]]], parts: Parts, run: Run
) -> Task[DeviceSlices]:
    """Decode the segments of slices.

    Parameters
    ----------
    slices : sequence of (Slice, sequence of callable)
        Slices, with what opens the segment of each of their planes.
    parts : Parts
        What the files were made with.
    run : Run
        Where to work.

    Returns
    -------
    DeviceSlices
        Through the task; decoding may only be queued.
    """
    from ..entropy.rans.cuda_stack import Segment, decode_stack

    def opened(item: tuple[Slice, Callable[[], Reader]]) -> tuple[Segment, np.ndarray | None]:
        part, segment_of = item
        segment = segment_of()
        update = read_update(segment, part, parts)
        return Segment(bytes(segment.take(segment.left)), part.patches, part.grid.coded_size), update

    items = [(part, segment_of) for part, segments in slices for segment_of in segments]
    found = iter((yield from run.wait(run.submit_all(opened, items))))
    groups = [[next(found) for _ in segments] for _, segments in slices]
    stacks, overruns = decode_stack([[segment for segment, _ in group] for group in groups], run, "coded ")
    # Planes whose V may leave the DCT basis go alone.
    factors = [
        rdoq.Factors(u, ranks, part.patches, group[0][1])
        for (part, _), group, (u, ranks) in zip(slices, groups, stacks, strict=True)
    ]
    return DeviceSlices(factors, overruns)
