"""Golden files that pin single numbers of the format: made of special pictures, put together by hand, or noise.

Each case says which rule it reaches. Most of these rules are common to all versions of the format, so that files of
version 1 go on pinning them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from helpers import assemble, header, picture, take_apart, varint

import imfnb
from imfnb.entropy.layout import active_ranks, pad_factors
from imfnb.entropy.maps.reference import encode_map
from imfnb.entropy.reference import encode_factors

__all__ = ["CASES", "waves"]


def waves(height: int, width: int, amplitude: int = 30) -> np.ndarray:
    """Waves that repeat every 8 samples, for which V leaves the DCT basis."""
    y, x = np.mgrid[:height, :width]
    level = 128 + amplitude * np.cos(2 * np.pi * (x + 2) / 8) + 0.6 * amplitude * np.sin(2 * np.pi * (x + y) / 8)
    return np.rint(level).astype(np.uint8)


def _noise(height: int, width: int, seed: int, sigma: float) -> np.ndarray:
    """A picture of noise."""
    return np.clip(np.random.default_rng(seed).normal(128, sigma, (height, width)), 0, 255).astype(np.uint8)


def _main(shape: Sequence[int], steps: Sequence[int], codings: Sequence[int], segments: list[bytes]) -> bytes:
    """A file of the main profile; shape (H, W) or (H, W, C)."""
    height, width, channels = (*shape, 0)[:3]
    fields = b"\0" + b"".join(map(varint, steps)) + bytes(codings)
    return assemble(header(height, width, channels, fields, segments, profile=1, features=b""), segments, version=1)


def _factors(u: np.ndarray, rows: int, columns: int, p: int) -> bytes:
    """The coded U, (patches, components)."""
    padded = pad_factors(u.astype(np.int16), rows, columns)
    return encode_factors(padded, active_ranks(padded), rows, columns, p)


def _with_v(v: bytes, coded: bytes) -> bytes:
    """The segment of a slice that may have its own V."""
    return varint(len(v)) + v + coded


# ---- from pictures ---------------------------------------------------------------------------------------------------


def _alpha() -> bytes:
    """The largest palette."""
    image = picture(24, 24, 4, 6)
    image[:, :, 3] = image[:, :, 3] // 16 * 17
    image[0, :16, 3] = np.arange(16) * 17
    return imfnb.encode(image, step=40, tune="psnr")


def _restored(luma: int, chroma: int) -> bytes:
    """Restoration of factors that are always the same, under given steps: edges, waves of all directions, noise.

    The steps reach every range of the filters from both of its ends.
    """
    rng = np.random.default_rng(9)
    image = picture(64, 56, 3, 8).astype(int)
    image += rng.normal(0, 1, image.shape).astype(int) * np.linspace(0, 60, 56).astype(int)[None, :, None]
    image[20:40, 10:30] = np.random.default_rng(10).integers(0, 2, (20, 20, 3)) * 200
    y, x = np.mgrid[:64, :56]
    image[44:, :28] = (128 + 100 * np.sin((x + y) / 2.0))[44:, :28, None]
    image[44:, 28:] = (128 + 100 * np.sin((y - x) / 2.5))[44:, 28:, None]
    image[:16, :28] = (128 + 90 * np.sin(x / 1.7))[:16, :28, None]
    image[:16, 28:] = (128 + 90 * np.sin(y / 1.9))[:16, 28:, None]
    image[:, :, 0], image[:, :, 1] = image[::-1, :, 0].copy(), image[:, ::-1, 1].copy()
    image = np.clip(image, 0, 255).astype(np.uint8)
    data = imfnb.encode(image, step=22, subsampling="4:4:4", patch_size=8, tune="psnr")
    return _main((64, 56, 3), (luma, chroma), (2, 2, 2), take_apart(data)[1])


def _visual(b: int, half: bool, sizes: Sequence[int], first: int, a: int) -> bytes:
    """Every symbol of a map of local steps, and weights."""
    rng = np.random.default_rng(b)
    image = np.clip(picture(75, 91, 3, 12) + rng.normal(0, 5, (75, 91, 3)), 0, 255).astype(np.uint8)
    subsampling = "4:2:0" if half else "4:4:4"
    planes = [
        take_apart(imfnb.encode(image, step=20, subsampling=subsampling, patch_size=p, tune="psnr"))[1] for p in sizes
    ]
    segments = [planes[0][0], planes[1][1], planes[1][2]]
    blocks = rng.integers(0, 9, (-(-75 >> b), -(-91 >> b))).astype(np.uint8)
    segments.append(encode_map(blocks, 9))
    codings = [(p == 16) | 2 for p in (*sizes, sizes[1])]
    fields = bytes([half | 8 | 16]) + varint(20 * 64) + varint(900) + bytes(codings) + bytes([first, a, 64, a // 2, b])
    return assemble(header(75, 91, 3, fields, segments, profile=1), segments)


# ---- from factors ----------------------------------------------------------------------------------------------------


def _first_clamped() -> bytes:
    """A residual beyond the bounds of component 0."""
    u = np.zeros((8, 1), int)
    u[:, 0] = [-8201, 0, 0, 0, -3, 0, 5, -3]
    return _main((16, 32), [1024], [0], [_factors(u, 2, 4, 8) + bytes(12)])


def _rank_beyond() -> bytes:
    """Ranks of patches that are larger than the slice's, whose byte is lowered afterwards."""
    rng = np.random.default_rng(5)
    u = np.zeros((36, 13), int)
    u[:, 0] = rng.integers(-20, 20, 36)
    for row in u:
        row[rng.integers(0, 13)] = rng.integers(1, 5)
    coded = bytearray(_factors(u, 6, 6, 8))
    coded[0] = 9
    return _main((48, 48), [900], [0], [bytes(coded) + bytes(60)])


def _every_component(p: int, step: int) -> bytes:
    """Each component alone in one patch, large enough to be limited by the step."""
    u = np.zeros((p * p, p * p), int)
    for r in range(p * p):
        u[r * 37 % (p * p), r] = (1 if r % 2 else -1) * (64 * p * 70 // step)
    return _main((p * p, p * p), [step], [p == 16], [_factors(u, p, p, p)])


def _v_of_noise(p: int, step: int) -> bytes:
    """V of any bytes, with each of the first components in three patches."""
    grid, rng = 1024 // p, np.random.default_rng(0)
    u = np.zeros((grid * grid, min(70, p * p)), np.int16)
    for r in range(u.shape[1]):
        u[3 * r + 5 : 3 * r + 8, r] = rng.integers(1, 4)
    u[:400, 0] = rng.integers(-30, 30, 400)
    coded = _factors(u, grid, grid, p)
    v = bytes(rng.integers(0, 256, 700).tolist()) + bytes(8)
    return _main((1024, 1024), [step], [(p == 16) | 2], [_with_v(v, coded)])


def _largest_v() -> bytes:
    """Zeros as the coded V: every entry at its limit."""
    u = np.zeros((64 * 64, 25), np.int16)
    for r in range(25):
        u[3 * r + 5 : 3 * r + 8, r] = 1 + r % 2
    return _main((1024, 1024), [700], [1], [_with_v(bytes(2700), _factors(u, 64, 64, 16))])


# ---- from bytes ------------------------------------------------------------------------------------------------------


def _of_noise(
    shape: Sequence[int], steps: Sequence[int], codings: Sequence[int], lengths: Sequence[int], ranks: Sequence[int]
) -> bytes:
    """Segments of any bytes, by chance long enough for what they stand for."""
    rng = np.random.default_rng(0)
    segments = [
        bytes([rank]) + bytes(rng.integers(0, 256, length).tolist()) + bytes(20)
        for length, rank in zip(lengths, ranks, strict=True)
    ]
    return _main(shape, steps, codings, segments)


def _of_zeros(
    shape: Sequence[int], steps: Sequence[int], codings: Sequence[int], lengths: Sequence[int], ranks: Sequence[int]
) -> bytes:
    """Segments of zeros: every bin is a one, so that magnitudes are the largest."""
    segments = [bytes([rank]) + bytes(length) for length, rank in zip(lengths, ranks, strict=True)]
    return _main(shape, steps, codings, segments)


def _long_varints() -> bytes:
    """Height and width in more bytes than they need."""
    head, segments = take_apart(imfnb.encode(picture(9, 11, 0, 3), profile="baseline", rank=2))
    return assemble(bytes([0, 0x89, 0x80, 0x80, 0x80, 0x00, 0x8B, 0x00, 0]) + head[5:], segments, version=1)


#: Name of the file -> what makes its bytes.
CASES: dict[str, Callable[[], bytes]] = {
    # The least number of samples from which a segment may have its own V, and just below it; the largest slice, and the
    # smallest plane of two.
    "v1-main-own-v-smallest": lambda: imfnb.encode(waves(1024, 1024), step=200, patch_size=16, tune="psnr"),
    "v1-main-own-v-none-below": lambda: imfnb.encode(waves(1016, 1032), step=200, patch_size=8, tune="psnr"),
    "v1-main-one-slice-largest": lambda: imfnb.encode(waves(2048, 2048), step=200, patch_size=16, tune="psnr"),
    "v1-main-two-slices-smallest": lambda: imfnb.encode(waves(1808, 2320), step=200, patch_size=16, tune="psnr"),
    # High ranks and large magnitudes, which reach the rare contexts.
    "v1-main-noise-p16": lambda: imfnb.encode(_noise(48, 48, 1, 40), step=12, patch_size=16, tune="psnr"),
    "v1-main-noise-p16-step-1": lambda: imfnb.encode(_noise(32, 32, 2, 60), step=1, patch_size=16, tune="psnr"),
    "v1-main-noise-p8": lambda: imfnb.encode(_noise(40, 48, 3, 50), step=9, patch_size=8, tune="psnr"),
    # The largest step, and the largest with columns of V that are scaled up.
    "v1-main-step-256": lambda: imfnb.encode(
        np.where(picture(64, 64, 3, 5) > 120, 255, 0).astype(np.uint8), step=256, subsampling="4:4:4", tune="psnr"
    ),
    "v1-main-step-2047": lambda: imfnb.encode(
        picture(40, 33, 3, 4), step=2047 / 64, subsampling="4:4:4", patch_size=8, tune="psnr"
    ),
    "v1-main-alpha-16-values": _alpha,
    # Probabilities at their ends, counts at their limit.
    "v1-main-long-flat": lambda: imfnb.encode(picture(160, 200, 0, 7) // 64 * 64, step=90, patch_size=8, tune="psnr"),
    **{
        f"v1-main-restoration-border-{border}": lambda border=border: _restored(border - 1, border)
        for border in (258, 408, 646, 1023, 1619, 2563, 4058, 6425, 10173)
    },
    "v1-main-restoration-ends": lambda: _restored(16384, 64),
    "v1-main-first-clamped": _first_clamped,
    "v1-main-rank-beyond": _rank_beyond,
    **{
        f"v1-main-every-component-p{p}-step-{step}": lambda p=p, step=step: _every_component(p, step)
        for p, step in ((8, 700), (16, 1300), (16, 4000))
    },
    "v1-main-any-v-p8": lambda: _v_of_noise(8, 1000),
    "v1-main-any-v-p16": lambda: _v_of_noise(16, 5000),
    "v1-main-own-v-largest": _largest_v,
    "v1-main-any-bytes-step-1": lambda: _of_noise((20, 27, 3), (64, 64), (2, 1, 3), (900, 500, 500), (9, 255, 100)),
    "v1-main-any-bytes-step-256": lambda: _of_noise(
        (30, 23, 3), (16384, 16384), (2, 1, 0), (900, 600, 600), (63, 12, 20)
    ),
    "v1-main-any-bytes-gray": lambda: _of_noise((40, 40), [2048], [0], [1500], [63]),
    "v1-main-largest-values": lambda: _of_zeros((16, 20, 3), (64, 16384), (0, 3, 2), (1900, 200, 400), (63, 5, 7)),
    "v1-main-largest-values-p16": lambda: _of_zeros((20, 30), [64], [1], [1900], [60]),
    "v1-baseline-long-varints": _long_varints,
    "v2-main-local-3": lambda: _visual(3, True, (8, 16), 40, 64),
    "v2-main-local-4": lambda: _visual(4, False, (16, 8), 47, 24),
    "v2-main-local-5": lambda: _visual(5, True, (16, 16), 64, 7),
    "v2-main-local-8": lambda: _visual(8, False, (8, 8), 40, 0),
}
