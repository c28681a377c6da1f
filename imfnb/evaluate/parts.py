"""Parts of the codec switched off, for studies only.

Nobody would want to live without these parts, so :func:`imfnb.encode` has no options for them. A study encodes and
decodes with a runner of its own (see `imfnb.runtime.run`), which gives the pipelines other functions for some stages,
and tells a pipeline the rest (:class:`imfnb.profiles.stacks.Parts`, and the start of the baseline profile). A file made
so can only be decoded in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from ..baselines import Codec, codec
from ..codec import open_container
from ..entropy.deflate import decode_columns, encode_columns
from ..entropy.layout import active_ranks, pad_factors, unpad_factors
from ..entropy.model import untrained_model
from ..errors import OptionError
from ..factorization import rdoq
from ..factorization.init import init_v
from ..format.bytestream import Reader
from ..format.container import Frame
from ..lapped import continue_plane
from ..options import EncodeOptions, check_image
from ..patches import from_blocks
from ..profiles import baseline, main
from ..profiles.stacks import ALL_PARTS, Parts
from ..runtime.run import HostRun, Run, Task

__all__ = ["PARTS", "without"]

_PROFILES = {"imf": "main", "imf-psnr": "main", "imf-baseline": "baseline"}


def _continue(
    planes: np.ndarray, patch_size: int, out: np.ndarray, which: Sequence[int], rows: slice | None = None
) -> None:
    """In the place of the lapped filter: planes continued to whole patches."""
    for target, n in zip(out, which, strict=True):
        continue_plane(planes[n] if rows is None else planes[n, rows], target)


def _cut(planes: np.ndarray, patch_size: int, out: np.ndarray, which: Sequence[int]) -> None:
    """In the place of its inverse: what is visible of planes."""
    for plane, n in zip(planes, which, strict=True):
        out[n] = plane[: out.shape[1], : out.shape[2]]


def _leave(
    planes: np.ndarray, step: int, filters: Any, limits: Any, out: np.ndarray, which: Sequence[int], scratch: Any = None
) -> None:
    """In the place of restoration. The encoder finds that it changes nothing and leaves it off in the file, too."""
    out[...] = planes


def _deflate(padded: np.ndarray, ranks: np.ndarray, grid_h: int, grid_w: int, patch_size: int) -> bytes:
    """In the place of the context coder: deflated columns of one or two bytes, as in the baseline profile."""
    u = unpad_factors(padded, grid_h, grid_w)
    out = bytes([len(padded) - 1])
    for columns in (u[:, :1], u[:, 1:]):
        wide = columns.size > 0 and not -128 <= columns.min() <= columns.max() <= 127
        out += bytes([wide]) + encode_columns(columns.astype(np.int16 if wide else np.int8))
    return out


def _inflate(
    data: bytes, grid_h: int, grid_w: int, patch_size: int, max_rank: int | None = None
) -> tuple[np.ndarray, np.ndarray, bool]:
    """The inverse of :func:`_deflate`."""
    reader = Reader(memoryview(data))
    rank = reader.byte() + 1
    u = np.zeros((grid_h * grid_w, rank), np.int16)
    for part in (slice(0, 1), slice(1, rank)):
        dtype = np.int16 if reader.byte() else np.int8
        if part.start < part.stop:
            low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
            u[:, part] = decode_columns(reader, len(u), part.stop - part.start, low, high, dtype)
    padded = pad_factors(np.ascontiguousarray(u[:, :max_rank]), grid_h, grid_w)
    return padded, active_ranks(padded), False


def _untrained(coder: ModuleType) -> dict[str, Callable[..., Any]]:
    """A context coder that knows nothing at its start."""

    def encode_factors(*arguments: Any) -> bytes:
        return coder.encode_factors(*arguments, model=untrained_model())

    def decode_factors(*arguments: Any) -> tuple[np.ndarray, np.ndarray, bool]:
        return coder.decode_factors(*arguments, model=untrained_model())

    return {"encode_factors": encode_factors, "decode_factors": decode_factors}


def _repeated_chroma(color: ModuleType) -> dict[str, Callable[..., Any]]:
    """Chroma repeated instead of interpolated."""

    def q4_to_rgb(y: np.ndarray, cb: np.ndarray, cr: np.ndarray, out: np.ndarray, above: int = 0) -> None:
        if cb.shape != y.shape:
            rows, columns = slice(above, above + y.shape[1]), slice(y.shape[2])
            cb, cr = (np.ascontiguousarray(p.repeat(2, axis=1).repeat(2, axis=2)[:, rows, columns]) for p in (cb, cr))
        color.q4_to_rgb(y, cb, cr, out)

    return {"q4_to_rgb": q4_to_rgb}


def _random_v(
    x: np.ndarray, rows: int, rank: int, bounds: tuple[int, int] | None, run: Run, name: str
) -> Task[np.ndarray]:
    """In the place of the SVD's V: integers drawn evenly from the bounds, the same in every run."""
    low, high = bounds or (-16, 15)
    shape = len(x), x.shape[2], rank
    return np.random.default_rng(0).integers(low, high, shape, endpoint=True).astype(np.float64)
    yield


def _dct_v(
    x: np.ndarray, rows: int, rank: int, bounds: tuple[int, int] | None, run: Run, name: str
) -> Task[np.ndarray]:
    """In the place of the SVD's V: the DCT vectors that hold most energy, as long as the SVD's would be."""
    return np.stack([_best_dct(from_blocks(blocks, rows), rank, bounds or (-16, 15)) for blocks in x])
    yield


def _best_dct(x: np.ndarray, rank: int, bounds: tuple[int, int]) -> np.ndarray:
    """The DCT vectors that hold most energy of a matrix (M, N), float64 (N, R)."""
    from scipy.fft import dct

    count = x.shape[1]
    side = round(count**0.5)
    if side * side == count:
        line = dct(np.eye(side), axis=0, norm="ortho").T
        basis = np.kron(line, line)
    else:
        basis = dct(np.eye(count), axis=0, norm="ortho").T
    energy = np.square(x.astype(np.float64) @ basis).sum(axis=0)
    best = np.argsort(-energy, kind="stable")[:rank]
    v = np.zeros((count, rank))
    v[:, : best.size] = basis[:, best] * energy[best] ** 0.25
    low, high = bounds
    v *= np.where(v.sum(axis=0) * (-1.0 if -low > high else 1.0) < 0, -1.0, 1.0)
    return np.clip(np.rint(v), low, high)


# For each part the stage whose functions are replaced, and from its module what replaces them.
_STAGES: dict[str, tuple[str, Callable[[ModuleType], dict[str, Callable[..., Any]]]]] = {
    "lapped filter": ("lapped", lambda _: {"forward": _continue, "inverse": _cut}),
    "restoration": ("restoration", lambda _: {"restore": _leave}),
    "context coder": ("entropy", lambda _: {"encode_factors": _deflate, "decode_factors": _inflate}),
    "learned states": ("entropy", _untrained),
    "bilinear chroma": ("color", _repeated_chroma),
}

# For others what the main profile is told, and what finds the first V of the baseline profile instead.
_TOLD: dict[str, Callable[[Parts], Parts]] = {
    "rate term": lambda parts: replace(parts, rdoq=rdoq.Settings(rate=False)),
    "second sweep": lambda parts: replace(parts, rdoq=rdoq.Settings(sweeps=1)),
    "free V": lambda parts: replace(parts, adapt_basis=False),
}
_STARTS = {"SVD start: DCT": _dct_v, "SVD start: random": _random_v}

#: What can be switched off. The last two put another start of the baseline profile in the place of the SVD.
PARTS = (*_STAGES, *_TOLD, *_STARTS)


class _PartialRun(HostRun):
    """A runner of one thread of the CPU that gives pipelines other functions for some stages."""

    def __init__(self, off: Sequence[str]) -> None:
        super().__init__("cpu", 1)
        self._off = [_STAGES[part] for part in off if part in _STAGES]

    def kernels(self, stage: str) -> Any:
        module = super().kernels(stage)
        changed = [make(module) for name, make in self._off if name == stage]
        if not changed:
            return module
        return SimpleNamespace(**{**vars(module), **{name: f for part in changed for name, f in part.items()}})

    def alone(self) -> HostRun:
        return self


def without(name: str, *off: str, **options: Any) -> Codec:
    """A codec of this library with some of its parts switched off, on one thread.

    Parameters
    ----------
    name : {"imf", "imf-psnr", "imf-baseline"}
        Which.
    *off : str
        Some of :data:`PARTS`.
    **options
        Those of the codec.

    Returns
    -------
    Codec
        Codec of the same name and levels.

    Raises
    ------
    OptionError
        If there is no such part.

    See Also
    --------
    imfnb.evaluate.ablation.variants : The codecs of the ablations.

    Examples
    --------
    >>> from imfnb.evaluate import parts
    >>> parts.without("imf", "restoration").name
    'imf'
    """
    unknown = sorted(set(off) - set(PARTS))
    if unknown:
        raise OptionError(f"{unknown[0]!r} is no part that can be switched off; expected some of {', '.join(PARTS)}")
    profile, parts = _PROFILES[name], ALL_PARTS
    for part in off:
        parts = _TOLD.get(part, lambda same: same)(parts)
    start = next((_STARTS[part] for part in off if part in _STARTS), init_v)

    tune = "psnr" if name == "imf-psnr" else None

    def encode(image: np.ndarray, level: float) -> bytes:
        pixels, channels = check_image(image)
        frame = Frame(profile, pixels.shape[0], pixels.shape[1], channels)
        settings = EncodeOptions(profile=profile, quality=float(level), tune=tune, **options)
        with _PartialRun(off) as run:
            if profile == "main":
                return main.encode_image(pixels, frame, settings, run, parts)
            return baseline.encode_image(pixels, frame, settings, run, start)

    def decode(data: bytes) -> np.ndarray:
        container = open_container(data)
        frame = container.frame
        out = np.empty((frame.height, frame.width, max(1, frame.channels)), np.uint8)
        with _PartialRun(off) as run:
            if profile == "main":
                run.drive(main.decode_stack([container], [out], None, run, parts))
            else:
                run.drive(baseline.decode_stack([container], [out], None, run))
        return out.reshape(frame.shape)

    return replace(codec(name, threads=1, **options), encode=encode, decode=decode)
