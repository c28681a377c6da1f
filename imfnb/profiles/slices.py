"""U, V <-> bytes: a slice of a plane of the main profile and its segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from ..entropy import decode_checked
from ..entropy.basis_update import decode_basis_update, encode_basis_update
from ..factorization import rdoq
from ..format.bytestream import Reader, put_varint
from ..format.container import Frame
from ..layout import Slice
from ..runtime.run import Run
from .stacks import ALL_PARTS, Parts

__all__ = ["coder_of", "decode_slice", "encode_slice", "helped", "read_update", "reduced"]


# Where the entropy coders of U are.
_HOMES = {"context": "entropy", "neural": "entropy.neural", "rans": "entropy.rans"}


def coder_of(name: str, run: Run) -> ModuleType:
    """An entropy coder of U."""
    return run.host_kernels(_HOMES[name])


def helped(coder: str, frame: Frame, sizes: Mapping[int, int] | Sequence[int]) -> bool:
    """Whether Cb is the companion of Cr, given the entropy coder and the sides of the patches of all planes."""
    return coder == "neural" and frame.array is None and frame.channels >= 3 and sizes[1] == sizes[2]


def encode_slice(
    factors: rdoq.Factors,
    part: Slice,
    coder: Any,
    parts: Parts = ALL_PARTS,
    companion: rdoq.Factors | None = None,
) -> bytes:
    """One segment: V where it may leave the DCT basis, then U, perhaps with the help of another plane."""
    p = part.grid.patch_size
    help_ = {} if companion is None else {"companion": (companion.padded, companion.ranks)}
    coded = coder.encode_factors(factors.padded, factors.ranks, *factors.grid, p, **help_)
    if not parts.adapts(part):
        return coded
    update = b"" if factors.basis_update is None else encode_basis_update(factors.basis_update, p)
    out = bytearray()
    put_varint(out, len(update))
    return bytes(out) + update + coded


def decode_slice(
    segment: Reader,
    part: Slice,
    max_rank: int | None,
    coder: Any,
    parts: Parts = ALL_PARTS,
    companion: rdoq.Factors | None = None,
) -> rdoq.Factors:
    """The inverse of :func:`encode_slice`."""
    update = read_update(segment, part, parts)
    data = bytes(segment.take(segment.left))
    help_ = None if companion is None else (companion.padded, companion.ranks)
    padded, ranks = decode_checked(coder, data, *part.patches, part.grid.coded_size, max_rank, help_)
    return rdoq.Factors(padded, ranks, part.patches, update)


def reduced(factors: rdoq.Factors, part: Slice) -> rdoq.Factors:
    """What is needed of factors of a slice for a smaller plane than is coded."""
    reduce = part.grid.reduce
    return factors if reduce == 1 else rdoq.reduced_factors(factors, part.grid.coded_size, reduce)


def read_update(segment: Reader, part: Slice, parts: Parts) -> np.ndarray | None:
    """How V differs from the DCT basis in a slice, None where it does not."""
    if not parts.adapts(part):
        return None
    data = bytes(segment.take(segment.varint()))
    return decode_basis_update(data, part.grid.coded_size) if data else None
