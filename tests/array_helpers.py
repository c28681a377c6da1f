"""Small tools of the tests of arrays: scenes of any type, files taken apart, and files that no encoder writes yet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

import imfnb
from imfnb.entropy.residual import cpu
from imfnb.format.constants import RESIDUAL_SAMPLES
from imfnb.format.container import Container, pack, unpack
from imfnb.format.main_header import Restoration, serialize
from imfnb.layout import row_slices
from imfnb.profiles import PARSERS
from imfnb.profiles.scaling import to_integers

__all__ = [
    "DTYPES",
    "HOSTS",
    "apart",
    "decoded_alike",
    "header_of",
    "layered",
    "recoded",
    "scene",
    "segments_of",
    "spanned",
]

DTYPES = ("uint8", "int8", "uint16", "int16", "float32", "float64")

#: The backends of the host.
HOSTS = ("cpu", "reference")


def scene(shape: tuple[int, ...], dtype: Any = "uint16", seed: int = 0, noise: float = 0.02) -> np.ndarray:
    """Waves that bands share but for gain and noise, over four fifths of the range of a type; floats from -1 to 1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = [np.sin(x * rng.uniform(0.1, 0.5) + y * rng.uniform(-0.4, 0.4) + rng.uniform(0, 6)) for _ in range(3)]
    bands = shape[2] if len(shape) == 3 else 1
    mixed = np.tensordot(np.stack(waves, axis=2), rng.uniform(-0.3, 0.3, (3, bands)), 1)
    level = (mixed + rng.normal(0, noise, mixed.shape)).reshape(shape)
    return spanned(np.clip(level, -1, 1), dtype)


def spanned(level: np.ndarray, dtype: Any) -> np.ndarray:
    """Numbers from -1 to 1 as samples of a type."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return level.astype(dtype)
    info = np.iinfo(dtype)
    middle, half = (int(info.min) + int(info.max)) / 2, (int(info.max) - int(info.min)) / 2
    return np.rint(middle + 0.8 * half * level).astype(dtype)


def apart(data: bytes) -> Container:
    """A file taken apart."""
    return unpack(memoryview(data), 1 << 62, PARSERS)


def header_of(data: bytes) -> bytes:
    """The header of a file, without its length and checksum."""
    position, lengths = 5, []
    while len(lengths) < 2:  # those of the header and of the payload
        value = shift = 0
        while True:
            byte = data[position]
            value |= (byte & 127) << shift
            position, shift = position + 1, shift + 7
            if byte < 128:
                break
        lengths.append(value)
    return data[position : position + lengths[0]]


def segments_of(container: Container) -> list[bytes]:
    """The bytes of all segments."""
    readers = [container.segment(number) for number in range(len(container.sizes))]
    return [bytes(reader.take(reader.left)) for reader in readers]


def recoded(data: bytes, restore: tuple[bool, ...]) -> bytes:
    """A file with restoration of its planes on or off."""
    container = apart(data)
    pairs = zip(container.parameters.planes, restore, strict=True)
    planes = tuple(replace(plane, restoration=Restoration.FILTER if on else Restoration.NONE) for plane, on in pairs)
    parameters = replace(container.parameters, planes=planes)
    return pack(container.frame, serialize(parameters, container.frame), segments_of(container))


def layered(image: np.ndarray, data: bytes, bound: int, coder: Any = cpu) -> bytes:
    """A residual layer over a lossy one.

    Parameters
    ----------
    image : ndarray
        The array.
    data : bytes
        A file of it with a lossy layer only.
    bound : int
        Largest error in units of the integers that are coded.
    coder : module, optional
        Backend of the residual coder.

    Returns
    -------
    bytes
        A file that is nowhere off by more.
    """
    container = apart(data)
    frame = replace(container.frame, array=replace(container.frame.samples, unit=2 * bound + 1))
    shape = frame.height, frame.width, max(1, frame.channels)
    decoded = imfnb.decode(data).astype(np.float64)
    found = np.where(np.isnan(decoded), frame.samples.offset, decoded)
    # Samples of floats are decoded in their own type; half a unit more does not matter to a layer of any size.
    base = np.rint((found - frame.samples.offset) / frame.samples.scale).astype(np.int32).reshape(shape)
    integers = to_integers(image.reshape(shape), frame.samples)
    missing = None
    if frame.samples.mask is not None:
        missing = np.isnan(decoded) if frame.samples.real else decoded == frame.samples.nodata
        missing = np.moveaxis(missing.reshape(shape), 2, 0)
    residuals = []
    for rows in row_slices(shape[0], shape[1] * shape[2], RESIDUAL_SAMPLES):
        steps = (integers[rows] - base[rows] + bound) // (2 * bound + 1)
        valid = None if missing is None else np.ascontiguousarray(~missing[:, rows])
        residuals.append(coder.encode_residual(np.ascontiguousarray(np.moveaxis(steps, 2, 0)), valid))
    return pack(frame, container.fields, [*segments_of(container), *residuals])


def decoded_alike(data: bytes, **options: Any) -> np.ndarray:
    """What both backends of the host decode, which must be the same."""
    one, two = (imfnb.decode(data, device=device, **options) for device in HOSTS)
    assert one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes()
    return one
