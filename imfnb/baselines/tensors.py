"""Two low-rank tensor methods: truncated higher-order SVD and tensor train.

The patches of a plane, or of all three colours, form a tensor of modes (patch, plane, row, column). Its factors are
quantized by 8-bit uniform quantizers, one for each, and their columns deflated. The level says how many numbers are
stored: those that the truncated SVD has at the same level. Of all ranks that keep to it those with the least squared
error are taken.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import FormatError, OptionError
from ..format.bytestream import Reader, put_varint
from . import Codec
from .files import Block, check_settings, pack_file, quality_ranks, split, unpack_file
from .indices import decode_deflated, encode_deflated
from .quantizers import quantize, read_uniform, uniform

__all__ = ["hosvd", "tensor_train", "truncated_hosvd", "truncated_tensor_train"]

# Singular values below this share of the largest are noise beside the quantizers: dividing by them would blow it up.
_NOISE = 1e-6

_LEVELS = (0.5, 1.0, 1.6, 2.1, 2.6, 3.65, 4.7, 6.25, 8.3, 11.5, 15.6, 20.8)


def hosvd(*, color_space: str = "RGB", subsampling: str | None = None, patch_size: int | str = "auto") -> Codec:
    """Truncated higher-order SVD (De Lathauwer, De Moor and Vandewalle 2000)."""
    return _codec("hosvd", "truncated HOSVD", _encode_hosvd, _decode_hosvd, color_space, subsampling, patch_size)


def tensor_train(*, color_space: str = "RGB", subsampling: str | None = None, patch_size: int | str = "auto") -> Codec:
    """Tensor train by successive truncated SVDs (Oseledets 2011)."""
    return _codec("tt", "tensor train", _encode_train, _decode_train, color_space, subsampling, patch_size)


def _codec(
    name: str,
    method: str,
    encode_block: Callable[[np.ndarray, Block], bytes],
    decode_block: Callable[[Reader, Block], np.ndarray],
    color_space: str,
    subsampling: str | None,
    patch_size: int | str,
) -> Codec:
    options = check_settings(color_space=color_space, subsampling=subsampling, patch_size=patch_size)
    if patch_size is None:
        raise OptionError(f"patch_size is None; the codec {name!r} needs patches: expected 4, 8, 16 or 32")

    def encode(image: np.ndarray, level: float) -> bytes:
        matrices = split(image, options)
        return pack_file(name, matrices, quality_ranks(matrices, level), encode_block)

    def decode(data: bytes) -> np.ndarray:
        return unpack_file(name, data, decode_block)

    size = 8 if patch_size == "auto" else patch_size
    text = f"{method}, {color_space}, patch size {size}, 8-bit uniform quantizers, deflated columns"
    return Codec(name, text, _LEVELS, encode, decode, limits=(0.0, 100.0))


def truncated_hosvd(tensor: np.ndarray, budget: int) -> list[np.ndarray]:
    """Truncate a higher-order SVD to a number of stored values.

    Parameters
    ----------
    tensor : ndarray of float64, shape (M, C, P, P)
        The patches.
    budget : int
        Most values in all of core and factors. At least M + C^2 + C + 2 P, which the smallest ranks take.

    Returns
    -------
    list of ndarray
        Core, shape (R, C, S, S), and factors of shape (M, R), (C, C), (P, S), (P, S), all with orthonormal columns:
        the ranks R and S, that of both sides of a patch, with the least squared error. All of C is kept.
    """
    from scipy.linalg import svd

    count, planes, side, _ = tensor.shape
    factors, core = [], tensor
    for mode in range(4):
        unfolded = np.moveaxis(tensor, mode, 0).reshape(tensor.shape[mode], -1)
        # Of the short modes only the Gram matrix matters.
        square = unfolded if mode == 0 else unfolded @ unfolded.T
        factor = svd(square, full_matrices=False, check_finite=False)[0]
        factors.append(factor)
        core = np.moveaxis(np.tensordot(factor.T, core, (1, mode)), 0, mode)
    # With orthonormal factors the error is the energy of the core outside of what is kept.
    energy = np.cumsum(np.cumsum(np.cumsum(np.sum(core**2, axis=1), axis=0), axis=1), axis=2)
    best = max(
        (float(energy[rank - 1, short - 1, short - 1]), rank, short)
        for short in range(1, side + 1)
        for rank in [min((budget - 2 * side * short - planes**2) // (count + planes * short**2), len(core))]
        if rank >= 1
    )
    _, rank, short = best
    first, color, rows, columns = factors
    return [core[:rank, :, :short, :short], first[:, :rank], color, rows[:, :short], columns[:, :short]]


def truncated_tensor_train(tensor: np.ndarray, budget: int) -> list[np.ndarray]:
    """Truncate a tensor train to a number of stored values.

    Parameters
    ----------
    tensor : ndarray of float64, shape (M, C, P, P)
        The patches.
    budget : int
        Most values in all cores. At least M + C + 2 P, which the smallest ranks take.

    Returns
    -------
    list of ndarray
        Cores of shape (M, R1), (R1, C, R2), (R2, P, R3) and (R3, P) with the least squared error. The singular values
        of each cut are shared evenly between the cores beside it, so that all their entries matter about equally.
    """
    from scipy.linalg import svd

    count, planes, side, _ = tensor.shape
    u, s, vt = svd(tensor.reshape(count, -1), full_matrices=False, check_finite=False)
    total = float(s @ s)
    best = (-1.0, 1, 1, 1)
    for first in range(1, min(len(s), (budget - 2 * side) // count) + 1):
        second_s, second_vt = svd(
            (s[:first, None] * vt[:first]).reshape(first * planes, -1), full_matrices=False, check_finite=False
        )[1:]
        for third in range(1, side + 1):
            room = budget - first * count - third * side
            second = min(room // (first * planes + side * third), len(second_s))
            if second < 1 or third > second * side:
                continue
            rest = (second_s[:second, None] * second_vt[:second]).reshape(second * side, side)
            kept = np.linalg.eigvalsh(rest.T @ rest)[side - third :].sum()  # each cut is an orthogonal projection
            best = max(best, (float(kept), first, second, third))
    kept, *ranks = best
    if kept < 0 or not total:
        ranks = [1, 1, 1]
    cores, rest, scale = [], tensor.reshape(count, -1), np.ones(1)
    for rank, mode in zip(ranks, (count, planes, side), strict=True):
        u, s, vt = svd(rest.reshape(len(scale) * mode, -1), full_matrices=False, check_finite=False)
        rank = min(rank, max(1, int(np.count_nonzero(s > _NOISE * s[0]))))
        root = np.sqrt(np.where(s[:rank] > 0, s[:rank], 1.0))
        cores.append((u[:, :rank] * root).reshape(len(scale), mode, rank) / scale[:, None, None])
        rest, scale = s[:rank, None] * vt[:rank], root
    return [cores[0][0], cores[1], cores[2], rest / scale[:, None]]


def _put(out: bytearray, factor: np.ndarray) -> None:
    """Append a factor, quantized and with its columns deflated."""
    codebook = uniform(factor, 256)
    out += codebook[[0, -1]].astype("<f4").tobytes()
    out += encode_deflated((quantize(factor, codebook) - 128).astype(np.int8), (len(factor), 1))


def _take(reader: Reader, rows: int, columns: int) -> np.ndarray:
    """Read a factor, float32 of shape (rows, columns)."""
    codebook = read_uniform(reader, 256)
    indices = decode_deflated(reader, (rows, 1), columns, (-128, 127), np.int8)
    return codebook[indices.astype(np.int64) + 128]


def _take_rank(reader: Reader, largest: int) -> int:
    rank = reader.varint()
    if not 1 <= rank <= largest:
        raise FormatError(f"damaged file: rank {rank}; expected 1 to {largest}")
    return rank


def _budget(block: Block) -> int:
    return block.rank * sum(block.shape)


def _encode_hosvd(matrix: np.ndarray, block: Block) -> bytes:
    core, first, *others = truncated_hosvd(matrix.reshape(-1, *block.patch).astype(np.float64), _budget(block))
    # Shared as in the SVD: otherwise the quantizer of the core would serve its first slice only.
    norms = np.sqrt(np.linalg.norm(core.reshape(len(core), -1), axis=1))
    norms = np.where(norms > 0, norms, 1.0)
    out = bytearray()
    put_varint(out, len(core))
    put_varint(out, core.shape[2])
    for factor in (first * norms, (core.reshape(len(core), -1) / norms[:, None]).T, *others):
        _put(out, factor)
    return bytes(out)


def _decode_hosvd(reader: Reader, block: Block) -> np.ndarray:
    planes, side, _ = block.patch
    rank, short = _take_rank(reader, min(block.shape)), _take_rank(reader, side)
    first = _take(reader, block.shape[0], rank)
    core = _take(reader, planes * short * short, rank).T.reshape(rank, planes, short, short)
    color, rows, columns = (_take(reader, *shape) for shape in ((planes, planes), (side, short), (side, short)))
    right = np.einsum("rcij,dc,yi,xj->rdyx", core, color, rows, columns, optimize=True)
    return first @ right.reshape(rank, -1)


def _encode_train(matrix: np.ndarray, block: Block) -> bytes:
    cores = truncated_tensor_train(matrix.reshape(-1, *block.patch).astype(np.float64), _budget(block))
    out = bytearray()
    for core in cores[1:]:
        put_varint(out, core.shape[0])
    for core in (cores[0], cores[1].reshape(-1, cores[1].shape[2]), cores[2].reshape(-1, len(cores[3])), cores[3].T):
        _put(out, core)
    return bytes(out)


def _decode_train(reader: Reader, block: Block) -> np.ndarray:
    planes, side, _ = block.patch
    first = _take_rank(reader, min(block.shape))
    second = _take_rank(reader, min(first * planes, side * side))
    third = _take_rank(reader, side)
    left = _take(reader, block.shape[0], first)
    color = _take(reader, first * planes, second)
    rows = _take(reader, second * side, third)
    columns = _take(reader, side, third).T
    right = (color @ (rows @ columns).reshape(second, -1)).reshape(first, -1)
    return left @ right
