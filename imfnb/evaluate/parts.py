"""Parts of the codec switched off, for studies only.

Nobody would want to live without these parts, so :func:`imfnb.encode` has no options for them. While
:func:`replaceable` is active, the functions that do the work look at a context variable first and step aside where
:func:`without` says so. The variable belongs to a thread, so several variants run side by side; a variant must then
encode and decode on one thread (``threads=1``). A file made so can only be decoded in the same way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import numpy as np

from .. import entropy, factorization, lapped, main, restoration
from .._backend import Run, serially
from ..baselines import Codec
from ..bytestream import Reader
from ..entropy import layout, states
from ..entropy.deflate import decode_columns, encode_columns
from ..errors import OptionError
from ..factorization import rd
from ..patches import from_blocks

__all__ = ["PARTS", "replaceable", "without"]

# The parts that are off on this thread.
_OFF: ContextVar[frozenset[str]] = ContextVar("imfnb_parts_off", default=frozenset())


def _copy(plane: np.ndarray, *_: Any, out: np.ndarray | None = None) -> np.ndarray:
    """A stage that does nothing: in the place of `lapped.forward`, `lapped.inverse` and `restoration.restore`.

    The encoder then finds no gain in restoration and leaves it off in the file, too.
    """
    if out is None:
        return plane.astype(np.int32)
    out[...] = plane
    return out


def _no_filter(plane: np.ndarray, patch_size: int, device: str, out: np.ndarray | None = None) -> np.ndarray:
    """In the place of `lapped.inverse`."""
    return _copy(plane, out=out)


def _no_restoration(
    plane: np.ndarray, step: int, chroma: bool, device: str, out: np.ndarray | None = None
) -> np.ndarray:
    """In the place of `restoration.restore`."""
    return _copy(plane, out=out)


def _nearest(
    products: np.ndarray,
    lengths: np.ndarray,
    step: int,
    patch_size: int,
    grid: tuple[int, int],
    sweeps: int,
    device: str,
) -> rd.Draft:
    """In the place of `rd._draft_u`: every entry rounded to the nearest integer, and bits that cost nothing."""
    size = products.shape[1]
    padded, ranks = np.zeros(products.shape, np.int16), np.zeros(size, np.int32)
    scale = rd.scale_bits(step)
    rd.kernels("factorization.rd", device).quantize(products, lengths, scale, 128, padded, ranks)
    contexts, prices = np.zeros((2, *products.shape), np.uint16), np.zeros((1, rd.MAGNITUDE_CLASSES), np.uint16)
    classes, table = np.zeros(size, np.int32), np.zeros((1, len(products)), np.int64)
    return rd.Draft(padded, ranks, grid, 0, products, lengths, scale, contexts, prices, classes, table)


def _one_sweep(draft_u: Callable) -> Callable:
    """`rd._draft_u` with one sweep."""

    def single(
        products: Any, lengths: Any, step: int, patch_size: int, grid: Any, sweeps: int, device: str
    ) -> rd.Draft:
        return draft_u(products, lengths, step, patch_size, grid, 1, device)

    return single


def _deflate(padded: np.ndarray, ranks: np.ndarray, grid_h: int, grid_w: int, patch_size: int, device: str) -> bytes:
    """In the place of `entropy.encode_factors`: deflated columns of one or two bytes, as in the baseline profile."""
    u = layout.unpad_factors(padded, grid_h, grid_w)
    out = bytes([len(padded) - 1])
    for columns in (u[:, :1], u[:, 1:]):
        wide = columns.size > 0 and not -128 <= columns.min() <= columns.max() <= 127
        out += bytes([wide]) + encode_columns(columns.astype(np.int16 if wide else np.int8))
    return out


def _inflate(
    data: bytes, grid_h: int, grid_w: int, patch_size: int, max_rank: int | None, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """In the place of `entropy.decode_factors`."""
    reader = Reader(memoryview(data))
    rank = reader.byte() + 1
    u = np.zeros((grid_h * grid_w, rank), np.int16)
    for part in (slice(0, 1), slice(1, rank)):
        dtype = np.int16 if reader.byte() else np.int8
        if part.start < part.stop:
            low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
            u[:, part] = decode_columns(reader, len(u), part.stop - part.start, low, high, dtype)
    padded = layout.pad_factors(np.ascontiguousarray(u[:, :max_rank]), grid_h, grid_w)
    return padded, layout.active_ranks(padded)


def _repeat_chroma(join: Callable) -> Callable:
    """`color.join_fine` with chroma repeated instead of interpolated."""

    def repeated(planes: list[np.ndarray], out: np.ndarray, device: str, above: int = 0) -> None:
        if len(planes) >= 3 and planes[1].shape != planes[0].shape:
            height, width = planes[0].shape
            wide = [p.repeat(2, axis=0).repeat(2, axis=1)[above : above + height, :width] for p in planes[1:3]]
            planes = [planes[0], *map(np.ascontiguousarray, wide), *planes[3:]]
        join(planes, out, device)

    return repeated


def _random_v(
    blocks: np.ndarray, rows: int, rank: int, bounds: tuple[int, int] | None, device: str, run: Run = serially
) -> np.ndarray:
    """In the place of `factorization.init_v`: integers drawn evenly from the bounds, the same in every run."""
    low, high = bounds or (-16, 15)
    return np.random.default_rng(0).integers(low, high, (blocks.shape[1], rank), endpoint=True).astype(np.float64)


def _dct_v(
    blocks: np.ndarray, rows: int, rank: int, bounds: tuple[int, int] | None, device: str, run: Run = serially
) -> np.ndarray:
    """In the place of `factorization.init_v`: the DCT vectors that hold most energy, as long as the SVD's would be."""
    from scipy.fft import dct

    count = blocks.shape[1]
    side = round(count**0.5)
    if side * side == count:
        line = dct(np.eye(side), axis=0, norm="ortho").T
        basis = np.kron(line, line)
    else:
        basis = dct(np.eye(count), axis=0, norm="ortho").T
    energy = np.square(from_blocks(blocks, rows).astype(np.float64) @ basis).sum(axis=0)
    best = np.argsort(-energy, kind="stable")[:rank]
    v = np.zeros((count, rank))
    v[:, : best.size] = basis[:, best] * energy[best] ** 0.25
    low, high = bounds or (-16, 15)
    v *= np.where(v.sum(axis=0) * (-1.0 if -low > high else 1.0) < 0, -1.0, 1.0)
    return np.clip(np.rint(v), low, high)


def _always(function: Callable) -> Callable[[Callable], Callable]:
    """A replacement that does not need the original."""
    return lambda _: function


# For each part the functions to replace, as their callers look them up, and what makes the replacement of each.
_REPLACEMENTS: dict[str, tuple[tuple[Any, str, Callable[[Callable], Callable]], ...]] = {
    "lapped filter": ((lapped, "forward", _always(_copy)), (lapped, "inverse", _always(_no_filter))),
    "restoration": ((restoration, "restore", _always(_no_restoration)),),
    "rate term": ((rd, "_draft_u", _always(_nearest)),),
    "second sweep": ((rd, "_draft_u", _one_sweep),),
    "context coder": ((entropy, "encode_factors", _always(_deflate)), (entropy, "decode_factors", _always(_inflate))),
    "learned states": ((states, "learned_model", _always(states.untrained_model)),),
    "bilinear chroma": ((main, "join_fine", _repeat_chroma),),
    "free V": ((main, "_may_mix", _always(lambda shape: False)),),
    "SVD start: DCT": ((factorization, "init_v", _always(_dct_v)),),
    "SVD start: random": ((factorization, "init_v", _always(_random_v)),),
}

#: What can be switched off. The last two put another start of the baseline profile in the place of the SVD.
PARTS = tuple(_REPLACEMENTS)


@contextmanager
def replaceable() -> Iterator[None]:
    """While active, :func:`without` has an effect in this process; to be entered around all threads of a study."""

    def switched(part: str, original: Callable, replacement: Callable) -> Callable:
        @functools.wraps(original)
        def function(*args: Any, **options: Any) -> Any:
            return (replacement if part in _OFF.get() else original)(*args, **options)

        return function

    with ExitStack() as stack:
        for part, functions in _REPLACEMENTS.items():
            for home, name, make in functions:
                original = getattr(home, name)
                setattr(home, name, switched(part, original, make(original)))
                stack.callback(setattr, home, name, original)
        yield


def without(codec: Codec, *parts: str) -> Codec:
    """The codec with some of its parts switched off, where :func:`replaceable` is active.

    Parameters
    ----------
    codec : Codec
        "imf" or "imf-baseline" on one thread.
    *parts : str
        Some of :data:`PARTS`.

    Returns
    -------
    Codec
        Codec of the same name and levels.

    Raises
    ------
    OptionError
        If there is no such part.
    """
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise OptionError(f"{unknown[0]!r} is no part that can be switched off; expected some of {', '.join(PARTS)}")

    def switched(function: Callable) -> Callable:
        def call(*args: Any) -> Any:
            token = _OFF.set(frozenset(parts))
            try:
                return function(*args)
            finally:
                _OFF.reset(token)

        return call

    return replace(codec, encode=switched(codec.encode), decode=switched(codec.decode))
