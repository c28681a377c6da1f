"""The main profile's factorization of a stack of planes on the device: :mod:`imfnb.factorization.rd` for batches.

What crosses the bus, per sample of a plane of N-sample patches with largest active rank R (2 bytes an entry of U):

- the costs of the entropy coder's model for the second sweep, 6 R / N bytes up. That model adapts from one bin to the
  next and stays on the CPU, and it needs U: 2 bytes down before and after;
- nothing else. Frequencies become prices on the device, since numerators (4 bytes) would have to follow the choices,
  and a table per plane of 12 000 logarithms takes the CPU longer than all kernels together.

V leaves its prior in bands of a megapixel and more only; that is rare enough for the CPU (:func:`rd.refine`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import entropy
from .._backend import kernels, map_threads
from .._cuda import cuda
from ..entropy.layout import GROUPS, component_table, padded_size
from ..factorization import rd
from ..factorization.rd.basis import dct_basis, mixed_basis, scale_bits
from ..factorization.rd.costs import FIRST_CLASSES, FIRST_CONTEXTS, MAGNITUDE_CLASSES

__all__ = ["download", "factorize", "reconstruct", "upload"]

# Cost of a sign in 1/256 bit.
_SIGN = 256


def upload(array: np.ndarray, stream: Any) -> Any:
    """A copy on the device."""
    return cuda.to_device(np.ascontiguousarray(array), stream=stream)


def download(array: Any, stream: Any) -> np.ndarray:
    """A copy on the host, complete on return."""
    host = array.copy_to_host(stream=stream)
    if stream:
        stream.synchronize()
    return host


def factorize(
    planes: Any, step: int, patch_size: int, threads: int, stream: Any = 0
) -> tuple[Any, Any, list[rd.Factors]]:
    """Find U for a stack of planes, with V at the prior; the integers of :func:`rd.factorize`.

    Parameters
    ----------
    planes : device array of int32, shape (B, H, W)
        Pre-filtered planes of whole patches.
    step : int
        Step in 1/64 gray level.
    patch_size : {8, 16}
        Side of a patch.
    threads : int
        Largest number of threads for the coder's costs.
    stream : stream, optional
        Where to run.

    Returns
    -------
    padded : device array of int16, shape (B, N, size)
        U.
    ranks : device array of int32, shape (B, size)
        Active ranks.
    factors : list of Factors
        The same on the host, as the entropy coder wants them.
    """
    backend = kernels("factorization.rd", "cuda")
    count, components = len(planes), patch_size * patch_size
    grid = planes.shape[1] // patch_size, planes.shape[2] // patch_size
    size, _ = padded_size(*grid)
    scale = scale_bits(step)
    first, static, adaptive = rd.multipliers(step)

    def array(*shape: int, dtype: Any = np.int32) -> Any:
        return cuda.device_array((count, *shape), dtype, stream=stream)

    basis = dct_basis(patch_size, step)
    squares = (basis.astype(np.int64) ** 2).sum(axis=0)
    lengths, table = upload(squares, stream), upload(component_table(patch_size), stream)
    products, padded, ranks = array(components, size), array(components, size, dtype=np.int16), array(size)
    contexts, classes = array(components, size, dtype=np.uint16), array(size)
    first_counts, first_table = (array(FIRST_CONTEXTS, FIRST_CLASSES) for _ in range(2))
    counts, prices = (array(2 * GROUPS * 16, MAGNITUDE_CLASSES) for _ in range(2))
    rank_counts, rank_table = (array(backend.RANK_CLASSES, backend.RANK_CLASSES) for _ in range(2))

    backend.numerators(planes, patch_size, upload(basis, stream), products, stream)
    backend.quantize(products, lengths, scale, rd.TRAIL, grid, padded, ranks, stream)
    for sweep in range(rd.SWEEPS):
        backend.first_counts(padded, grid, first_counts, stream)
        backend.cost_table(first_counts, _SIGN, FIRST_CONTEXTS, first_table, stream)
        backend.choose_first(products, squares[0], scale, first, first_table, grid, padded, stream)
        if sweep == 0:
            backend.count_magnitudes(padded, ranks, table, grid, contexts, counts, stream)
            backend.cost_table(counts, _SIGN, GROUPS * 16, prices, stream)  # a last component is not zero
            bits = [np.empty(0, np.uint16)] * count
        else:
            bits = map_threads(
                lambda f: entropy.estimate_costs(f.padded, f.ranks, *grid, patch_size, "cpu").ravel(),
                _on_host(padded, ranks, grid, stream),
                threads,
            )
        starts = np.cumsum([0, *map(len, bits)], dtype=np.int64)
        backend.rank_classes(ranks, grid, classes, rank_counts, stream)
        backend.cost_table(rank_counts, 0, backend.RANK_CLASSES, rank_table, stream)
        backend.choose(
            products,
            lengths,
            scale,
            adaptive if sweep else static,
            upload(np.concatenate(bits), stream),
            upload(starts, stream),
            contexts,
            prices,
            classes,
            rank_table,
            grid,
            padded,
            ranks,
            stream,
        )
    return padded, ranks, _on_host(padded, ranks, grid, stream)


def _on_host(padded: Any, ranks: Any, grid: tuple[int, int], stream: Any) -> list[rd.Factors]:
    """Factors of every plane, up to its largest active rank."""
    ends = download(ranks, stream)
    images = download(padded, stream)
    return [rd.Factors(image[: int(end.max()) + 1], end, grid) for image, end in zip(images, ends, strict=True)]


def reconstruct(
    padded: Any, ranks: Any, mixing: np.ndarray | None, step: int, patch_size: int, out: Any, stream: Any = 0
) -> None:
    """Multiply factors on the device: the integers of :func:`rd.reconstruct`.

    Parameters
    ----------
    padded, ranks : device arrays of int16, shape (B, R, size), and of int32, shape (B, size)
        U and the active ranks.
    mixing : ndarray of int32 or None
        How V differs from the prior, the same for all planes.
    step : int
        Step in 1/64 gray level.
    patch_size : {8, 16}
        Side of a patch.
    out : device array of int32, shape (B, H, W)
        Receives the planes.
    stream : stream, optional
        Where to run.
    """
    columns = upload(mixed_basis(patch_size, step, mixing).T, stream)
    limit, scale = rd.magnitude_limit(step, patch_size), scale_bits(step)
    kernels("factorization.rd", "cuda").reconstruct(padded, ranks, columns, limit, scale, patch_size, out, stream)
