"""Block coordinate descent on the device: factors of batches of equal-shaped matrices."""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np

from .._cuda import GRID_LIMIT
from ..errors import DeviceError
from ..factorization import cuda as kernels
from ..factorization import cuda_bytes
from ..factorization import energy, exact_in_float32, factor_dtype, init_v
from ..factorization.start import cuda as first
from ..factorization.start import limits, own, start_v
from ..patches import cuda as patches
from ..patches import to_blocks
from ..patches.cuda import padded
from . import streams
from .transfer import Half, copy_all

__all__ = ["descend", "factorize", "start"]

# Bytes of matrices that `factorize` hands over at a time, to each of two streams.
_CHUNK_BYTES = 1 << 25

# Rows and columns of a matrix, at most, since 32 bits number patches; and columns up to which X is turned around as a
# plane that is cut into its rows, which is fast, but whose grid is limited.
_LONGEST, _WIDEST = 1 << 28, 1 << 20


def start(
    xt: Any, count: int, rank: int, bounds: tuple[int, int] | None, half: Half, pool: Executor, name: str = ""
) -> streams.Task:
    """The first V of each matrix, as :func:`imfnb.factorization.init_v` finds it.

    Where its kernel has the memory, for bytes, nothing leaves the device. Elsewhere the Gram matrices are made here and
    go to the pool's threads, for the same call as on the CPU.

    Returns
    -------
    device array of float64, shape (B, N, R)
        Through the task.
    """
    images, pixels = xt.shape[0], xt.shape[1]
    small = xt.dtype == np.uint8
    v = half.array(f"{name}v", (images, pixels, rank), np.float64)
    if pixels <= count:
        gram = half.zeros(f"{name}gram", (images, pixels, pixels), np.float64)
        (cuda_bytes if small else kernels).gram(xt, count, gram, half.stream)
        if own(pixels, rank, small) and first.fits(pixels, rank):
            first.start_v(gram, rank, *limits(bounds), v, half.stream)
            return v
        matrices = half.download(f"{name}gram", gram)
        yield None
        futures = [pool.submit(start_v, matrices[i], small, rank, bounds) for i in range(images)]
    else:  # few patches: such a matrix is small, and its start needs the matrix itself
        x = half.download(f"{name}x", xt)
        yield None
        futures = [
            pool.submit(init_v, to_blocks(x[i, :, :count].T), count, rank, bounds, "cpu") for i in range(images)
        ]
    yield futures
    staging = half.pinned(f"{name}v", v.shape, v.dtype)
    for slot, future in zip(staging, futures, strict=True):
        slot[...] = future.result()
    v.copy_to_device(staging, stream=half.stream)
    return v


def descend(
    xt: Any,
    count: int,
    rank: int,
    bounds: tuple[int, int] | None,
    iterations: int,
    half: Half,
    pool: Executor,
    name: str = "",
    history: list[tuple[np.ndarray, ...]] | None = None,
) -> streams.Task:
    """Factorize matrices; twin of :func:`imfnb.factorization.bcd` for a batch.

    Parameters
    ----------
    xt : device array of uint8 or float64, shape (B, N, S)
        X^T.
    count : int
        Number of patches M.
    rank, bounds, iterations
        As in :func:`imfnb.factorization.bcd`.
    half : Half
        Stream and memory.
    pool : Executor
        Threads for a start that is found on the host.
    name : str
        Prefix of the names of the memory.
    history : list, optional
        Receives X^T U, U^T U and the new V after every sweep, each with a leading axis B.

    Returns
    -------
    ut : device array of integer, shape (B, R, S)
        U^T, through the task; zero in the columns from M on.
    v : device array of float64, shape (B, N, R)
        V, integers.
    """
    images, pixels, stride = xt.shape
    low, high = limits(bounds)
    dtype = np.dtype(factor_dtype(bounds))
    stream = half.stream
    v = yield from start(xt, count, rank, bounds, half, pool, name)
    ut = half.zeros(f"{name}u", (images, rank, stride), dtype)
    small = xt.dtype == np.uint8 and dtype == np.int8 and exact_in_float32(pixels, rank, bounds)
    if small and history is None and cuda_bytes.warps_for(pixels, rank) is not None:
        sums = half.zeros(f"{name}sums", (images, pixels + rank, rank), np.int64)
        tickets = half.zeros(f"{name}tickets", (images,), np.int32)
        words, factors = xt.view(np.uint32), half.array(f"{name}u", (images, rank, stride // 4), np.uint32)
        cuda_bytes.sweep(words, v, factors, sums, tickets, count, low, high, iterations, stream)
    else:
        for _ in range(iterations):
            xtu, utu = kernels.update_u(xt, v, ut, count, low, high, stream)
            kernels.update_columns(xtu, utu, v, low, high, stream)
            if history is not None:
                parts = {"xtu": xtu, "utu": utu, "v": v}
                copies = [half.download(f"{name}{key} out", part) for key, part in parts.items()]
                yield None
                history.append(tuple(copy.copy() for copy in copies))
    return ut, v


def factorize(
    x: np.ndarray, rank: int, bounds: tuple[int, int] | None, iterations: int, threads: int, cost: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Factorize a stack of matrices; where the memory is full, fewer at a time.

    Parameters
    ----------
    x : ndarray of uint8 or float64, shape (B, M, N)
        The matrices.
    rank, bounds, iterations
        As in :func:`imfnb.factorization.bcd`.
    threads : int
        Largest number of threads, for copies and for starts that are found on the host.
    cost : ndarray of float64, shape (B, iterations), or None
        Receives |X - U V^T|^2 after every sweep.

    Returns
    -------
    u : ndarray of integer, shape (B, M, R)
        Left factors.
    v : ndarray of integer, shape (B, N, R)
        Right factors.

    Raises
    ------
    DeviceError
        If a single matrix does not fit the memory, or has more rows or columns than kernels count.
    """
    if max(x.shape[1:]) > _LONGEST:
        raise DeviceError(f"X has shape {x.shape[1:]}; the GPU takes {_LONGEST} rows and columns: use device='cpu'")
    dtype = factor_dtype(bounds)
    images, rows, columns = x.shape
    u, v = np.empty((images, rows, rank), dtype), np.empty((images, columns, rank), dtype)

    def task(chunk: range, half: Half) -> streams.Task:
        part = slice(chunk.start, chunk.stop)
        history: list[tuple[np.ndarray, ...]] | None = None if cost is None else []
        staging = half.pinned("x", x[part].shape, x.dtype)
        yield from copy_all([staging], [x[part]], half.threads)
        there = half.array("x", staging.shape, x.dtype)
        there.copy_to_device(staging, stream=half.stream)
        xt = half.array("xt", (len(staging), columns, padded(rows)), x.dtype)
        if x.dtype == np.uint8 and columns <= _WIDEST:
            patches.patchify(there, 1, columns, xt, 0, half.stream)
        else:
            kernels.transpose(there, xt, half.stream)
        factors = yield from descend(xt, rows, rank, bounds, iterations, half, pool, history=history)
        turned = half.array("u turned", (len(staging), rows, rank), dtype)
        kernels.transpose(factors[0], turned, half.stream)
        found = half.download("u", turned), half.download("v", factors[1])
        yield None
        yield from copy_all([u[part]], [found[0]], half.threads)
        v[part] = found[1]
        for i, index in enumerate(chunk if history else ()):
            for k, (xtu, utu, new) in enumerate(history):
                model = np.sum(utu[i] * (new[i].T @ new[i]))
                cost[index, k] = max(0.0, float(energy(to_blocks(x[index])) - 2.0 * np.sum(xtu[i] * new[i]) + model))

    parts = -(-images // min(max(1, _CHUNK_BYTES // x[0].nbytes), GRID_LIMIT))
    each = -(-images // parts)  # of about equal size
    chunks = [range(i, min(i + each, images)) for i in range(0, images, each)]
    with ThreadPoolExecutor(threads) as pool:
        streams.run(chunks, task, lambda chunk, result: None, threads)
    return u, v
