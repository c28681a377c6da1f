"""JPEG's quantized DCT coefficients through the entropy coder of the main profile.

What JPEG would need with a modern entropy coder: libjpeg's quantization tables at a quality, 4:2:0, blocks of 8 x 8.
As in IMF the blocks of a plane are the rows of a matrix, whose columns (frequencies in zig-zag order) are coded as
images. Decoded samples are not rounded between the steps, and chroma is upsampled bilinearly, as by libjpeg.
"""

from __future__ import annotations

import io

import numpy as np

from ..color import cpu as color
from ..entropy.layout import MAGNITUDE_LIMIT
from ..errors import FormatError, OptionError
from ..format.baseline_header import Parameters
from ..format.color import FRACTION
from ..format.container import Frame
from ..format.context_model import zigzag
from ..layout import PatchGrid, main_planes
from ..options import check_image
from . import Codec
from .files import open_file, write_file
from .indices import decode_mixed, encode_mixed

__all__ = ["jpeg_main"]

_LEVELS = (1.0, 3.0, 5.0, 7.0, 10.0, 14.0, 20.0, 28.0, 40.0, 52.0, 65.0, 76.0, 84.0, 90.0, 94.0)
_SIDE = 8
_BOUNDS = (-MAGNITUDE_LIMIT, MAGNITUDE_LIMIT)


def jpeg_main() -> Codec:
    """JPEG's coefficients, context-mixing coder; the level is libjpeg's quality."""
    text = "JPEG's quantized DCT coefficients, 4:2:0, context-mixing coder of the main profile"
    return Codec("jpeg-main", text, _LEVELS, _encode, _decode, limits=(1.0, 95.0), integer=True)


def _quantizers(quality: int) -> list[np.ndarray]:
    """Steps of luma and chroma at a quality, float64 of shape (64,) in zig-zag order."""
    from PIL import Image, JpegImagePlugin

    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "JPEG", quality=quality)
    buffer.seek(0)
    tables = JpegImagePlugin.JpegImageFile(buffer).quantization
    order = zigzag(_SIDE)
    return [np.reshape(tables[i], (_SIDE, _SIDE)).astype(np.float64)[order[:, 0], order[:, 1]] for i in (0, 1)]


def _grid(shape: tuple[int, int]) -> tuple[int, int]:
    """Blocks down and across."""
    grid = PatchGrid(shape, _SIDE)
    return grid.rows, grid.columns


def _encode(image: np.ndarray, level: float) -> bytes:
    from scipy.fft import dctn

    pixels, channels = check_image(image)
    if channels == 4:
        raise OptionError("the codec 'jpeg-main' has no alpha; expected a gray or RGB image: drop the fourth channel")
    if not 1.0 <= level <= 95.0:
        raise OptionError(f"level is {level!r}; expected a number from 1 to 95")
    quality = round(level)
    tables, order = _quantizers(quality), zigzag(_SIDE)
    segments = []
    height, width = pixels.shape[:2]
    specs = main_planes(height, width, channels, channels == 3, False)
    planes = [np.empty((1, *spec.shape), np.int32) for spec in specs]
    if channels == 3:
        color.rgb_to_q4(pixels[None], *planes)
    else:
        color.gray_to_q4(pixels[None], 0, planes[0])
    for index, (spec, (plane,)) in enumerate(zip(specs, planes, strict=True)):
        whole = np.pad(plane, ((0, -plane.shape[0] % _SIDE), (0, -plane.shape[1] % _SIDE)), mode="edge")
        grid = _grid(spec.shape)
        blocks = (whole / 2.0**FRACTION).reshape(grid[0], _SIDE, grid[1], _SIDE).transpose(0, 2, 1, 3)
        spectrum = dctn(blocks, axes=(2, 3), norm="ortho").reshape(-1, _SIDE, _SIDE)
        indices = np.rint(spectrum[:, order[:, 0], order[:, 1]] / tables[min(index, 1)])
        segments.append(encode_mixed(indices.astype(np.int16), grid))
    frame = Frame("baseline", pixels.shape[0], pixels.shape[1], channels)
    # The header of the baseline profile has no field for the quality: the upper bound of factors stands for it.
    parameters = Parameters("YCbCr", channels == 3, _SIDE, (0, quality), (1,) * len(segments))
    return write_file("jpeg-main", frame, parameters, segments)


def _decode(data: bytes) -> np.ndarray:
    from scipy.fft import idctn

    container = open_file("jpeg-main", data)
    frame, p = container.frame, container.parameters
    quality = p.bounds[1]
    if frame.channels == 4 or p.patch_size != _SIDE or p.color_space != "YCbCr" or not 1 <= quality <= 95:
        raise FormatError(f"damaged file: {frame.channels} channels, quality {quality}; expected JPEG's settings")
    tables, order = _quantizers(quality), zigzag(_SIDE)
    planes = []
    for index, spec in enumerate(p.matrices(frame)):
        shape = spec.plane_shape
        grid = _grid(shape)
        reader = container.segment(index)
        indices = decode_mixed(reader, grid, _SIDE * _SIDE, _BOUNDS, np.int16)
        reader.end()
        spectrum = np.zeros((len(indices), _SIDE, _SIDE))
        spectrum[:, order[:, 0], order[:, 1]] = indices * tables[min(index, 1)]
        blocks = idctn(spectrum, axes=(1, 2), norm="ortho").reshape(*grid, _SIDE, _SIDE)
        plane = blocks.transpose(0, 2, 1, 3).reshape(grid[0] * _SIDE, grid[1] * _SIDE)[: shape[0], : shape[1]]
        # Samples beyond those of any picture keep the integer arithmetic that follows within its range.
        planes.append(np.rint(np.clip(plane, -256, 255) * 2**FRACTION).astype(np.int32)[None])
    out = np.empty((1, frame.height, frame.width, max(1, frame.channels)), np.uint8)
    if frame.channels == 3:
        y, cb, cr = planes
        color.q4_to_rgb(y, cb, cr, out)
    else:
        color.q4_to_gray(planes[0], out, 0)
    return out.reshape(frame.shape)
