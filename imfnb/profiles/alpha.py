"""Alpha in the main profile: how it may be coded, what it makes of the other samples, and back.

Fully transparent and fully opaque pixels stay what they are at every quality. Alpha is constant, a map of its values,
or a plane like the others with a map of the classes of its samples: only those in between come from the plane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..entropy.maps import decode_map_checked
from ..factorization import rdoq
from ..format.container import Container
from ..format.main_header import AlphaCoding, decode_palette, put_values, read_values
from ..layout import PatchGrid
from ..runtime.run import Run, Task
from . import decide
from .reducing import block_counts, block_means
from .tuning import ALPHA_STEP

__all__ = ["NO_ALPHA", "Alpha", "CodedAlpha", "analyse_alpha", "put_alpha", "stored_alpha", "visible"]

# Classes of samples, and their number: 0, in between, 255.
_BETWEEN, _OPAQUE, _CLASSES = 1, 2, 3


@dataclass(frozen=True)
class CodedAlpha:
    """Alpha but for its plane.

    Attributes
    ----------
    coding : AlphaCoding
        How it is coded.
    value : int
        All of it, if it is constant.
    segment : bytes
        The last segment, if it has one.
    """

    coding: AlphaCoding
    value: int = 0
    segment: bytes = b""


#: What images without alpha have.
NO_ALPHA = CodedAlpha(AlphaCoding.NONE)


@dataclass(frozen=True)
class Alpha:
    """What may become of the alpha of an image.

    Attributes
    ----------
    lossless : CodedAlpha
        Nothing is lost.
    lossy : CodedAlpha or None
        It is a plane; None if no sample is between 0 and 255.
    lossy_bytes : ndarray of float64
        Estimated bytes of the latter at each of rdoq.SPECTRUM_STEPS.
    """

    lossless: CodedAlpha
    lossy: CodedAlpha | None
    lossy_bytes: np.ndarray

    def coded(self, step: int, lossy: bool | None) -> CodedAlpha:
        """What becomes of it with a step, in 1/64 gray level; if `lossy` is None, it is what pays."""
        if self.lossy is None or lossy is False:
            return self.lossless
        if lossy or decide.lossy_alpha_pays(self._estimate(step), len(self.lossless.segment)):
            return self.lossy
        return self.lossless

    def estimated_bytes(self, step: int, lossy: bool | None) -> float:
        """About how many bytes :meth:`coded` and its plane take."""
        chosen = self.coded(step, lossy)
        return self._estimate(step) if chosen is self.lossy else len(chosen.segment)

    def _estimate(self, step: int) -> float:
        return float(np.interp(np.log2(step), np.log2(rdoq.SPECTRUM_STEPS), self.lossy_bytes))


# --------------------------------------------------------------------------------------------------------- encoding


def visible(image: np.ndarray) -> np.ndarray | None:
    """Which pixels of a picture (H, W, C) are not fully transparent; None if all."""
    if image.shape[2] not in (2, 4):
        return None
    mask = image[:, :, -1] > 0
    return None if mask.all() else mask


def analyse_alpha(image: np.ndarray, keep_hidden: bool, run: Run) -> tuple[np.ndarray, Alpha]:
    """What may become of the alpha of an image (H, W, C), and the image with the samples that are coded.

    Colours under an alpha of 0 continue those around them, unless they are to be kept, and so does alpha where the
    class of a sample tells it, if that is likely to be cheaper.
    """
    coder = run.host_kernels("entropy.maps")
    alpha = np.ascontiguousarray(image[:, :, -1])
    values = np.flatnonzero(np.bincount(alpha.reshape(-1), minlength=256)).tolist()
    if len(values) == 1:
        found = Alpha(CodedAlpha(AlphaCoding.CONSTANT, values[0]), None, np.zeros(0))
    else:
        table = np.zeros(256, np.uint8)
        table[values] = np.arange(len(values))
        segment = put_values(values) + coder.encode_map(table[alpha], len(values))
        found = Alpha(CodedAlpha(AlphaCoding.MAP, segment=segment), None, np.zeros(0))
    out, shown, fill = image, alpha > 0, run.host_kernels("fill").fill
    if not keep_hidden and not shown.all():
        out = image.copy()
        fill(out[:, :, :-1], shown)
    classes = _classes(alpha)
    if len(values) == 1 or not (classes == _BETWEEN).any():
        return out, found
    segment = coder.encode_map(classes, _CLASSES)
    planes = alpha, alpha.copy()
    fill(planes[1][:, :, None], classes == _BETWEEN)
    costs = [_plane_bytes(plane, run) + len(segment) for plane in planes]
    best = min((0, 1), key=lambda n: np.interp(ALPHA_STEP, rdoq.SPECTRUM_STEPS, costs[n]))
    if best:
        out = image.copy() if out is image else out
        out[:, :, -1] = planes[best]
    return out, Alpha(found.lossless, CodedAlpha(AlphaCoding.CLASSES, segment=segment), costs[best])


def _classes(alpha: np.ndarray) -> np.ndarray:
    """The class of every sample."""
    return (alpha > 0).astype(np.uint8) + (alpha == 255)


def _plane_bytes(plane: np.ndarray, run: Run) -> np.ndarray:
    """Estimated bytes of a plane of alpha at each of rdoq.SPECTRUM_STEPS."""
    p, counts = rdoq.SPECTRUM_PATCH, np.zeros((), np.int64)
    samples = plane[None].astype(np.int32) * 16 - 2048
    for rows in decide.estimated_rows(plane.shape):
        out = np.empty((1, *PatchGrid((rows.stop - rows.start, plane.shape[1]), p).extended), np.int32)
        run.host_kernels("lapped").forward(samples, p, out, np.zeros(1, np.int32), rows)
        counts = counts + rdoq.spectrum(out[0], run.host)
    return rdoq.SPECTRUM_MODELS[0].bits(counts) * plane.size / counts.sum() / 8


# --------------------------------------------------------------------------------------------------------- decoding


def stored_alpha(container: Container, run: Run, reduce: int = 1) -> np.ndarray:
    """What a file tells of alpha beside its plane: all of it, or the class of every sample; uint8 (H, W).

    All of it is averaged over blocks of `reduce` x `reduce`; classes are left to :func:`put_alpha`.
    """
    p, (height, width) = container.parameters, container.frame.shape[:2]
    if p.alpha is AlphaCoding.CONSTANT:
        return np.full(container.frame.reduced(reduce).shape[:2], p.alpha_value, np.uint8)
    segment = container.segment(len(container.sizes) - 1)
    if p.alpha is AlphaCoding.PALETTE:
        return _reduced(decode_palette(segment, (height, width)), reduce)
    coder = run.host_kernels("entropy.maps")
    values = read_values(segment) if p.alpha is AlphaCoding.MAP else np.arange(_CLASSES, dtype=np.uint8)
    found = values[decode_map_checked(coder, bytes(segment.take(segment.left)), height, width, len(values))]
    return found if p.alpha.lossy else _reduced(found, reduce)


def _reduced(alpha: np.ndarray, reduce: int) -> np.ndarray:
    """The means of alpha over blocks."""
    if reduce == 1:
        return alpha
    out = np.empty([-(-size // reduce) for size in alpha.shape], np.uint8)
    block_means(alpha[:, :, None], reduce, out[:, :, None])
    return out


def put_alpha(stored: Sequence[np.ndarray], images: Any, lossy: bool, run: Run, reduce: int = 1) -> Task[None]:
    """Complete the alpha of decoded images (B, H, W, C) with what :func:`stored_alpha` tells of each."""
    color, found, channel = run.kernels("color"), stored, images.shape[3] - 1
    if lossy:
        plane = color.take_channel(images, channel, run.array("alpha plane", images.shape[:3], np.uint8))
        (planes,) = yield from run.fetch("alpha plane", plane)
        found = [_completed(*pair, reduce) for pair in zip(planes, stored, strict=True)]
    color.put_channel(run.upload("alpha", found), channel, images)


def _completed(plane: np.ndarray, classes: np.ndarray, reduce: int) -> np.ndarray:
    """Alpha from its decoded plane and the class of every sample; of a smaller plane, of every sample of its blocks."""
    between = np.clip(plane, 1, 254)
    if reduce == 1:
        return np.where(classes == _BETWEEN, between, np.where(classes == _OPAQUE, np.uint8(255), np.uint8(0)))
    inside, opaque = (block_counts(classes == kind, reduce) for kind in (_BETWEEN, _OPAQUE))
    count = block_counts(classes < _CLASSES, reduce)
    return ((255 * opaque + inside * between.astype(np.int32) + count // 2) // count).astype(np.uint8)
