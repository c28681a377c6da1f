"""Compress an array that is larger than memory, on two worker processes, and read a window of what came of it.

    python -m pip install "imfnb[zarr,dask]"
    python examples/out_of_core.py [--gigabytes 0.05] [--max-error 8] [--folder FOLDER]

A Zarr array of four bands of 16 bits is made, which would be a scene of a satellite, and compressed into another one by
a cluster of Dask. No process ever holds more than a few chunks, however large the array is (--gigabytes 4): the largest
memory of each is printed at the end. For workers on other machines, give their scheduler's address with --scheduler,
and a --folder that all of them see.
"""

from __future__ import annotations

import argparse
import math
import pathlib
import resource
import sys
import tempfile
import time
from contextlib import ExitStack

import dask.array
import numpy as np
import zarr
from dask.distributed import Client, LocalCluster, progress

BANDS, CHUNK = 4, 512


def terrain(block_info: dict | None = None) -> np.ndarray:
    """A chunk of a scene: waves of many lengths that bands share, fields, and noise of the sensor."""
    (_, _), (top, bottom), (left, right) = block_info[None]["array-location"]
    y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
    rng = np.random.default_rng([top, left])
    shared = sum(2.0**k * np.sin(x / (5 * 2.2**k) + k) * np.cos(y / (4 * 2.1**k) - k) for k in range(8))
    fields = 200 * ((x // 173 * 7 + y // 131 * 13) % 11)
    bands = [(0.5 + 0.2 * b) * 9 * shared + (1 - 0.2 * b) * fields + rng.normal(0, 12, x.shape) for b in range(BANDS)]
    return np.clip(4000 + np.stack(bands), 0, 65535).astype(np.uint16)


def peak() -> float:
    """The most memory that this process has had, in megabytes."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / (2**20 if sys.platform == "darwin" else 2**10)


def megabytes(array: zarr.Array) -> float:
    """What an array takes in its store."""
    return array.nbytes_stored() / 2**20


def watched(client: Client, task: object) -> float:
    """Run a task on the workers with a bar of its progress, and say how many seconds it took."""
    begin = time.perf_counter()
    future = client.compute(task)
    progress(future, notebook=False)
    print(flush=True)
    future.result()
    return time.perf_counter() - begin


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=0.05, help="size of the array (default: %(default)s)")
    parser.add_argument("--max-error", type=float, default=8, help="largest error of a sample (default: %(default)s)")
    parser.add_argument("--folder", help="where both arrays go and stay; a temporary one by default")
    parser.add_argument("--scheduler", help="address of a cluster of Dask; two workers of its own by default")
    arguments = parser.parse_args()
    side = max(1, round(math.sqrt(arguments.gigabytes * 2**30 / 2 / BANDS) / CHUNK)) * CHUNK
    shape, chunks = (BANDS, side, side), (BANDS, CHUNK, CHUNK)

    with ExitStack() as stack:
        folder = pathlib.Path(arguments.folder or stack.enter_context(tempfile.TemporaryDirectory()))
        address = arguments.scheduler
        if address is None:  # memory_limit ends a worker that takes more
            settings = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": "1GiB", "dashboard_address": None}
            address = stack.enter_context(LocalCluster(**settings))
        client = stack.enter_context(Client(address))

        # The source, as it might have come from elsewhere.
        source = zarr.create_array(folder / "scene.zarr", shape=shape, chunks=chunks, dtype="uint16", overwrite=True)
        scene = dask.array.map_blocks(terrain, chunks=dask.array.core.normalize_chunks(chunks, shape), dtype="uint16")
        print(f"making {source.nbytes / 2**30:.2f} GiB in {source.nchunks} chunks of {CHUNK} x {CHUNK} x {BANDS}")
        watched(client, dask.array.store(scene, source, lock=False, compute=False))

        # The same chunks in both arrays: a worker reads one, encodes it, writes it, and forgets it.
        target = zarr.create_array(
            folder / "scene-imfnb.zarr",
            shape=shape,
            chunks=chunks,
            dtype="uint16",
            serializer={"name": "imfnb", "configuration": {"max_error": arguments.max_error, "axes": "CHW"}},
            compressors=None,
            overwrite=True,
        )
        blocks = dask.array.from_zarr(folder / "scene.zarr")
        print(f"compressing it so that no sample is off by more than {arguments.max_error:g}")
        seconds = watched(client, dask.array.store(blocks, target, lock=False, compute=False))
        bits = 8 * target.nbytes_stored() / source.size
        print(
            f"{source.nbytes / 2**20:.0f} MiB in {seconds:.0f} s: {megabytes(source):.0f} MiB with Zarr's compressor,"
        )
        print(f"{megabytes(target):.0f} MiB with imfnb, which is {bits:.2f} bits a sample")

        # A window: of hundreds of chunks, the four that it touches are read. The first time, kernels are loaded.
        found = zarr.open_array(folder / "scene-imfnb.zarr", mode="r")
        middle = max(CHUNK, side // 2 // CHUNK * CHUNK)
        window = (slice(None), slice(middle - 100, middle + 100), slice(middle - 150, middle + 150))
        for time_of in ("the first time", "once more"):
            begin = time.perf_counter()
            pixels = found[window]
            print(f"a window of {pixels.shape} in {1000 * (time.perf_counter() - begin):.0f} ms {time_of}")
        print(f"the largest error in it is {np.abs(pixels.astype(int) - source[window]).max()}")

        workers = ", ".join(f"{size:.0f}" for size in client.run(peak).values())
        print(f"largest memory: {workers} MiB of the workers, {peak():.0f} MiB of this process")


if __name__ == "__main__":
    main()
