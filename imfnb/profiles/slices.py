"""U, V <-> bytes: a slice of a plane of the main profile and its segment."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from ..entropy import decode_checked
from ..entropy.basis_update import decode_basis_update, encode_basis_update
from ..factorization import rdoq
from ..format.bytestream import Reader, put_varint
from ..layout import Slice
from ..runtime.run import Run
from .stacks import ALL_PARTS, Parts

__all__ = ["coder_of", "decode_slice", "encode_slice", "read_update"]


# Where the entropy coders of U are.
_HOMES = {"context": "entropy", "neural": "entropy"}


def coder_of(name: str, run: Run) -> ModuleType:
    """An entropy coder of U."""
    return run.host_kernels(_HOMES[name])


def encode_slice(factors: rdoq.Factors, part: Slice, coder: Any, parts: Parts = ALL_PARTS) -> bytes:
    """One segment: V where it may leave the DCT basis, then U."""
    p = part.grid.patch_size
    coded = coder.encode_factors(factors.padded, factors.ranks, *factors.grid, p)
    if not parts.adapts(part):
        return coded
    update = b"" if factors.basis_update is None else encode_basis_update(factors.basis_update, p)
    out = bytearray()
    put_varint(out, len(update))
    return bytes(out) + update + coded


def decode_slice(
    segment: Reader, part: Slice, max_rank: int | None, coder: Any, parts: Parts = ALL_PARTS
) -> rdoq.Factors:
    """The inverse of :func:`encode_slice`; of a smaller plane than is coded, what is needed for it."""
    update = read_update(segment, part, parts)
    data = bytes(segment.take(segment.left))
    (down, across), p, reduce = part.patches, part.grid.coded_size, part.grid.reduce
    padded, ranks = decode_checked(coder, data, down, across, p, max_rank)
    factors = rdoq.Factors(padded, ranks, part.patches, update)
    return factors if reduce == 1 else rdoq.reduced_factors(factors, p, reduce)


def read_update(segment: Reader, part: Slice, parts: Parts) -> np.ndarray | None:
    """How V differs from the DCT basis in a slice, None where it does not."""
    if not parts.adapts(part):
        return None
    data = bytes(segment.take(segment.varint()))
    return decode_basis_update(data, part.grid.coded_size) if data else None
