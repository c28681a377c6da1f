"""Arrays without a lossy layer: integers divided by a unit and coded losslessly.

Where bits are many, a prediction from samples around and in earlier bands beats a transform: at the same error by 4% on
ten-metre bands of Sentinel-2 at 2.7 bits a sample, by 18% on Landsat 8 at 2.4 and by half on resampled bands; below
about a bit a sample the transform wins.
"""

from __future__ import annotations

import itertools
import math
from contextlib import suppress
from dataclasses import replace

import numpy as np

from ..errors import OptionError
from ..format.constants import RESIDUAL_SAMPLES
from ..format.container import Frame, pack
from ..format.main_header import ArrayParameters, serialize
from ..layout import row_slices
from ..rasters import Raster
from ..runtime.run import Run
from .missing import encode_missing
from .scaling import peak_of, scaled, squared_error, to_integers, to_samples
from .tuning import DIRECT_BITS, DIRECT_MARGIN, DIRECT_SAMPLES, DIRECT_TRIALS

__all__ = ["better_directly", "by_bands", "encode_directly", "encode_residuals", "psnr_directly", "shorter_directly"]


def encode_directly(image: Raster, frame: Frame, run: Run) -> bytes:
    """The file of an array whose fields are known, the unit among them."""
    array = frame.samples
    base = np.full((1, 1, 1), array.low + (array.unit or 1) // 2, np.int32)
    segments = [] if image.missing is None else [encode_missing(image.missing, run)]
    segments += encode_residuals(to_integers(image.samples, array), base, image.missing, frame, run)
    return pack(frame, serialize(ArrayParameters(()), frame), segments)


def encode_residuals(
    integers: np.ndarray, base: np.ndarray, missing: np.ndarray | None, frame: Frame, run: Run
) -> list[bytes]:
    """The segments of a residual layer: n - base in units, of (H, W, C) and a base of that shape or (1, 1, 1)."""
    coder, unit = run.host_kernels("entropy.residual"), frame.samples.unit or 1

    def encode(rows: slice) -> bytes:
        below = base[rows] if base.shape[0] > 1 else base
        steps = (integers[rows] - below + unit // 2) // unit
        valid = None if missing is None else by_bands(~missing[rows])
        return coder.encode_residual(np.ascontiguousarray(np.moveaxis(steps, 2, 0)), valid)

    height, width, bands = integers.shape
    futures = run.submit_all(encode, row_slices(height, width * bands, RESIDUAL_SAMPLES))
    return [future.result() for future in futures]


def by_bands(valid: np.ndarray) -> np.ndarray:
    """Which samples have data, as the residual coder takes it: (H, W) or (C, H, W)."""
    return np.ascontiguousarray(np.moveaxis(valid, 2, 0) if valid.ndim == 3 else valid)


def psnr_directly(image: Raster, frame: Frame, psnr: float, run: Run) -> bytes:
    """The file with the largest unit that reaches a PSNR.

    Raises
    ------
    OptionError
        If floats are rounded more than that.
    """
    found = _frame_for(image, frame, psnr)
    if found is None:
        raise OptionError(
            f"psnr={psnr:g} cannot be met: samples of {frame.dtype} and of this size are rounded more; lower psnr"
        )
    return encode_directly(image, found, run)


def shorter_directly(lossy: bytes, image: Raster, frame: Frame, psnr: float, run: Run) -> bytes:
    """A file that reaches a PSNR, or the one that does without a lossy layer, if that is shorter."""
    if not _likely(len(lossy), image):
        return lossy
    found = _frame_for(image, frame, psnr)
    if found is None or _estimate(image, found, run) > DIRECT_MARGIN * len(lossy):
        return lossy
    return min(lossy, encode_directly(image, found, run), key=len)


def better_directly(lossy: bytes, error: float, image: Raster, frame: Frame, limit: int, run: Run) -> bytes:
    """A file of some bytes at most, with its mean squared error, or one without a lossy layer and with less of it."""
    if not _likely(len(lossy), image) or not error:
        return lossy
    best, psnr = lossy, 10 * math.log10(peak_of(image) ** 2 / error)
    found = _frame_for(image, frame, psnr)
    if found is None or _estimate(image, found, run) > DIRECT_MARGIN * limit:
        return lossy
    for _ in range(DIRECT_TRIALS):
        data = encode_directly(image, found, run)
        left = 8 * (limit - len(data)) / image.samples.size
        if left >= 0 and _error(image, found) < error:
            best, error = data, _error(image, found)
        if 0 <= left < 0.01:
            break
        rise = 6.02 * (left - 0.004)  # a bit a sample halves the unit
        again = _frame_for(image, frame, psnr + rise)
        while again is None and rise > 1:  # finer than floats of this size are
            rise /= 2
            again = _frame_for(image, frame, psnr + rise)
        if again is None or again == found:
            break
        psnr, found = psnr + rise, again
    return best


def _likely(size: int, image: Raster) -> bool:
    """Whether an array may be coded better without a lossy layer, by the bytes with one."""
    return 8 * size >= DIRECT_BITS * image.samples.size


def _frame_for(image: Raster, frame: Frame, psnr: float) -> Frame | None:
    """The fields with the largest unit, for floats the largest scale, that reaches a PSNR; None if none does."""
    peak = peak_of(image)
    wanted = peak * 10 ** (-psnr / 20)  # root of the mean squared error
    if frame.samples.real:  # rounding is off by a uniform error of up to half a unit, whose root is this
        for shrink in (1.0, 0.97, 0.9, 0.5):
            with suppress(OptionError):  # a scale that takes more integers than a file can hold
                array = scaled(image, frame.samples, math.sqrt(3) * wanted * shrink)
                found = replace(frame, array=replace(array, unit=1))
                if _error(image, found) <= wanted**2:
                    return found
        return None
    array = scaled(image, frame.samples)
    unit = max(1, int(math.sqrt(12 * wanted**2 + 1)) + 1)
    for tried in itertools.count():
        found = replace(frame, array=replace(array, unit=unit))
        if unit == 1 or _error(image, found) <= wanted**2:
            break
        # The first units are just above what does for noise; of multiples of some number, none near them may do.
        unit -= 1 if tried < 4 else max(1, unit // 16)
    return found


def _error(image: Raster, frame: Frame) -> float:
    """Mean squared error of an array that is coded directly."""
    array = frame.samples
    unit = array.unit or 1
    steps = (to_integers(image.samples, array) - array.low) // unit
    samples = np.empty_like(image.samples)
    to_samples(np.clip(array.low + unit // 2 + unit * steps, array.low, array.high), array, samples)
    return squared_error(image, samples)


def _estimate(image: Raster, frame: Frame, run: Run) -> float:
    """About how many bytes an array takes, by rows in its middle."""
    height, width, bands = image.samples.shape
    count = min(height, max(1, DIRECT_SAMPLES // (width * bands)))
    rows = slice((height - count) // 2, (height - count) // 2 + count)
    if count == height:
        return 0.0  # the whole takes no longer
    missing = None if image.missing is None else image.missing[rows]
    part = Raster(image.samples[rows], missing, image.nodata)
    return len(encode_directly(part, replace(frame, height=count), run)) * height / count
