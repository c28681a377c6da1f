"""The rows of `cuda_report` about decoding a batch, from the bytes of files to pixels: effort "fast" beside "normal".

Of "fast" the device takes the bytes and makes U itself. Of "normal" the threads of the host do, and U goes there.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from device_rows import Rows, pictures

import imfnb
from imfnb.codec import open_container
from imfnb.entropy import decode_checked
from imfnb.entropy.rans.cuda_stack import Segment, decode_stack
from imfnb.format.container import Container
from imfnb.profiles import main
from imfnb.profiles.slices import coder_of
from imfnb.runtime.cuda import SIMULATED, cuda
from imfnb.runtime.devices import resolve_threads
from imfnb.runtime.gpu import DeviceRun
from imfnb.runtime.memory import borrowed
from imfnb.runtime.run import HostRun, Run, Task

__all__ = ["decode_rows"]

# Pictures that differ; the batch has them over and over.
_DIFFERENT = 8


def segments_of(container: Container) -> list[Segment]:
    """The segments of the planes of a file."""
    found: list[Segment] = []
    for grid in container.parameters.grids(container.frame):
        for part in grid.slices:
            data = container.segment(len(found))
            found.append(Segment(bytes(data.take(data.left)), part.patches, grid.coded_size))
    return found


def decode_rows(rows: Rows) -> None:
    """Milliseconds of a batch at the default quality, pictures a second and where the time goes."""
    count, shape, threads = rows.sizes.batch, rows.sizes.kodak, resolve_threads(None)
    print(f"\nbytes to pixels: {count} files of {shape[0]} x {shape[1]}, {threads} CPU threads; ms, pictures a second")
    images = pictures(min(count, _DIFFERENT), shape)
    outs = [cuda.device_array((*shape, 3), np.uint8) for _ in range(count)]
    with ThreadPoolExecutor(threads) as pool, borrowed(threads) as slot:
        run = DeviceRun(slot, pool)
        for effort in ("normal", "fast"):
            some = imfnb.encode_batch(list(images), effort=effort, quality=50, patch_size=8, device="cpu")
            files = (some * count)[:count]
            containers = [open_container(data) for data in files]
            groups = [segments_of(container) for container in containers]
            factors = functools.partial(_to_factors, groups, effort, run)
            for name, work in (
                (
                    "bytes to factors, those of the host not uploaded" if effort == "normal" else "bytes to factors",
                    factors,
                ),
                (
                    "bytes to pixels on the device",
                    lambda c=containers: run.drive(main.decode_stack(c, outs, None, run)),
                ),
                ("bytes to pixels on the host", lambda f=files: imfnb.decode_batch(f, device="cuda")),
            ):
                seconds = rows.wall(work)
                figures = "ran" if SIMULATED else f"{seconds * 1e3:9.2f} {count / seconds:9.0f}"
                print(f"  {effort:7s} {name:50s} {figures}")


def _to_factors(files: list[list[Segment]], effort: str, run: DeviceRun) -> None:
    if effort == "fast":
        run.drive(_queued([list(group) for group in zip(*files, strict=True)], run))
        return
    coder = coder_of("context", HostRun("cpu", 1))

    def decode(segment: Segment) -> Any:
        return decode_checked(coder, segment.data, *segment.grid, segment.patch_size)

    list(run.pool.map(decode, [segment for file in files for segment in file]))


def _queued(groups: list[list[Segment]], run: Run) -> Task[None]:
    decode_stack(groups, run, "coded ")
    yield None
