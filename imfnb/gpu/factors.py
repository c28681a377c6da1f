"""The main profile's factorization of a stack of planes on the device: :mod:`imfnb.factorization.rd` for batches.

Between the planes and U nothing crosses the bus: frequencies become prices on the device, since a table per plane of
24 000 logarithms takes the CPU longer than all kernels together.

V leaves its prior in planes of a megapixel and more only; the CPU searches it, on a part of them (:func:`rd.find_v`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..entropy.layout import component_table, padded_size
from ..entropy.mixing import MIXING_BITS
from ..factorization import rd
from ..factorization.rd import cuda as kernels
from ..factorization.rd.basis import dct_basis, mixed_basis, scale_bits
from ..factorization.rd.costs import FIRST_CLASSES, FIRST_CONTEXTS, MAGNITUDE_CLASSES, MAGNITUDE_CONTEXTS
from . import streams
from .transfer import Half, copy_all

__all__ = ["constant", "factorize", "multiply", "reconstruct"]

# Cost of a sign in 1/256 bit.
_SIGN = 256


def constant(half: Half, name: str, array: np.ndarray) -> Any:
    """An array on the device, in memory of this name."""
    return half.upload(name, [array]).reshape(array.shape)


def factorize(
    planes: Any, step: int, patch_size: int, half: Half, name: str, mixing: np.ndarray | None = None
) -> streams.Task:
    """Find U for a stack of planes; the integers of :func:`rd.factorize`.

    Parameters
    ----------
    planes : device array of int32, shape (B, H, W)
        Pre-filtered planes of whole patches.
    step : int
        Step in 1/64 gray level.
    patch_size : {8, 16}
        Side of a patch.
    half : Half
        Stream and memory.
    name : str
        Prefix of the names of the memory.
    mixing : ndarray of int32, optional
        How V of all of them differs from the prior.

    Returns
    -------
    padded : device array of int16, shape (B, N, size)
        Through the task: U.
    ranks : device array of int32, shape (B, size)
        Active ranks.
    factors : list of Factors
        The same on the host, as the entropy coder wants them.
    """
    stream = half.stream
    count, components = len(planes), patch_size * patch_size
    grid = planes.shape[1] // patch_size, planes.shape[2] // patch_size
    size, _ = padded_size(*grid)
    scale = scale_bits(step)
    first, others = rd.multipliers(step)

    def array(key: str, *shape: int, dtype: Any = np.int32) -> Any:
        return half.array(name + key, (count, *shape), dtype)

    v = dct_basis(patch_size, step)
    squares = (v.astype(np.int64) ** 2).sum(axis=0)
    basis, lengths = constant(half, name + "basis", kernels.fragments(v.T)), constant(half, name + "lengths", squares)
    table = constant(half, name + "table", component_table(patch_size))
    products, ranks = array("products", components, size), array("ranks", size)
    padded, classes = array("padded", components, size, dtype=np.int16), array("classes", size)
    contexts = array("contexts", 2, components, size, dtype=np.uint16)
    first_counts, first_table = (array(f"first {i}", FIRST_CONTEXTS, FIRST_CLASSES) for i in range(2))
    counts = array("counts", MAGNITUDE_CONTEXTS, MAGNITUDE_CLASSES)
    prices = array("prices", MAGNITUDE_CONTEXTS, MAGNITUDE_CLASSES, dtype=np.uint16)
    rank_counts, rank_table = (array(f"ranks {i}", kernels.RANK_CLASSES, kernels.RANK_CLASSES) for i in range(2))

    kernels.numerators(planes, patch_size, basis, products, stream)
    kernels.quantize(products, lengths, scale, rd.TRAIL, grid, padded, ranks, stream)
    if mixing is not None:
        right, gram = rd.mixing_matrices(mixing, step)
        squares[: len(gram)] = np.diagonal(gram)
        prior, products = products, array("mixed", components, size)
        matrices = constant(half, name + "right", right), constant(half, name + "gram", gram)
        kernels.mix(prior, padded, *matrices, MIXING_BITS, scale, grid, products, stream)
        lengths = constant(half, name + "mixed lengths", squares)
        kernels.quantize(products, lengths, scale, rd.TRAIL, grid, padded, ranks, stream)
    for _ in range(rd.SWEEPS):
        kernels.first_counts(padded, grid, first_counts, stream)
        kernels.cost_table(first_counts, _SIGN, first_table, stream)
        kernels.choose_first(products, squares[0], scale, first, first_table, grid, padded, stream)
        kernels.count_magnitudes(padded, ranks, table, grid, contexts, counts, stream)
        kernels.magnitude_prices(counts, prices, stream)
        kernels.rank_classes(ranks, grid, classes, rank_counts, stream)
        kernels.cost_table(rank_counts, 0, rank_table, stream)
        numbers = products, lengths, scale, others
        kernels.choose(*numbers, contexts, prices, classes, rank_table, grid, padded, ranks, stream)
    images, ends = half.download(name + "padded", padded), half.download(name + "ranks", ranks)
    yield None
    used = [image[: int(end.max()) + 1] for image, end in zip(images, ends, strict=True)]
    kept = [np.empty_like(image) for image in used]  # the half's memory is about to be used again
    yield from copy_all(kept, used, half.threads)
    factors = [rd.Factors(image, end.copy(), grid, mixing) for image, end in zip(kept, ends, strict=True)]
    return padded, ranks, factors


def reconstruct(
    padded: Any,
    ranks: Any,
    mixing: np.ndarray | None,
    step: int,
    patch_size: int,
    out: Any,
    half: Half,
    name: str,
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
    half : Half
        Stream and memory.
    name : str
        Prefix of the names of the memory.
    """
    weights = constant(half, name + "weights", kernels.fragments(mixed_basis(patch_size, step, mixing)))
    limit, scale = rd.magnitude_limit(step, patch_size), scale_bits(step)
    kernels.reconstruct(padded, ranks, weights, limit, scale, patch_size, out, half.stream)


def multiply(
    factors: Sequence[rd.Factors], step: int, patch_size: int, out: Any, half: Half, name: str
) -> streams.Task:
    """Multiply factors from the host; where V has left its prior there is only one plane.

    Parameters
    ----------
    factors : sequence of Factors
        U of each plane, as the entropy decoder gives it.
    step, patch_size, out, half, name
        As in :func:`reconstruct`.

    Returns
    -------
    None
        Through the task, when all is queued.
    """
    count, size = len(factors), factors[0].padded.shape[1]
    deepest = max(len(f.padded) for f in factors)
    # Memory for all components, so that the next chunk finds it whatever its ranks.
    whole = half.pinned(name + "u", (count * patch_size * patch_size * size,), np.int16)
    target = half.array(name + "u", whole.shape, np.int16)
    used = count * deepest * size
    staging = whole[:used].reshape(count, deepest, size)
    slots = [slot[: len(f.padded)] for slot, f in zip(staging, factors, strict=True)]
    yield from copy_all(slots, [f.padded for f in factors], half.threads)
    target[:used].copy_to_device(whole[:used], stream=half.stream)
    # A preview has fewer components than the ranks say; what follows them in the memory is not its own.
    ranks = half.upload(name + "ends", [np.minimum(f.ranks, len(f.padded) - 1) for f in factors])
    padded = target[:used].reshape(count, deepest, size)
    reconstruct(padded, ranks, factors[0].mixing, step, patch_size, out, half, name)
