"""Time imfnb beside Pillow's codecs on the same pictures in one run, one thread, at about equal rate.

    python benchmarks/peers.py FOLDER [--bpp 0.5 ...] [--repeat 5] [--reference]

For every picture each codec's setting is first searched so that its file comes nearest to the rate; then all codecs
encode and decode in turn, so that a slow moment hits them alike, and the least times of the repetitions are kept. Every
codec has one thread.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from planes import image_paths

import imfnb
from imfnb.metrics import psnr
from imfnb.pictures import read_picture

Encode = Callable[[np.ndarray, float], bytes]
Decode = Callable[[bytes], np.ndarray]


def pillow(name: str, **options: object) -> Encode:
    """Encoder of one of Pillow's formats; the setting is its quality."""

    def encode(image: np.ndarray, setting: float) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, name, quality=round(setting), **options)
        return buffer.getvalue()

    return encode


def jpeg2000(image: np.ndarray, setting: float) -> bytes:
    """Encoder of JPEG 2000; the setting is the rate in bits per pixel."""
    buffer = io.BytesIO()
    layers = [24.0 / setting]
    options = {"irreversible": True, "mct": 1, "quality_mode": "rates", "quality_layers": layers, "no_jp2": True}
    Image.fromarray(image).save(buffer, "JPEG2000", **options)
    return buffer.getvalue()


def unpillow(data: bytes) -> np.ndarray:
    """Pixels of any of Pillow's formats."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def ours(device: str = "cpu", **options: object) -> tuple[Encode, Decode]:
    """Encoder and decoder of imfnb; the setting is the quality."""

    def encode(image: np.ndarray, setting: float) -> bytes:
        return imfnb.encode(image, quality=setting, threads=1, device=device, **options)

    def decode(data: bytes) -> np.ndarray:
        return imfnb.decode(data, threads=1, device=device)

    return encode, decode


def codecs(reference: bool) -> dict[str, tuple[Encode, Decode, float, float]]:
    """Encoder, decoder and the range of the setting of every codec."""
    table = {
        "imfnb main": (*ours(), 0, 100),
        "imfnb baseline": (*ours(profile="baseline"), 0, 100),
        "JPEG, optimize=True": (pillow("JPEG", optimize=True), unpillow, 1, 95),
        "JPEG 2000, mct=1": (jpeg2000, unpillow, 0.02, 8),
        "WebP, method=4": (pillow("WEBP", method=4), unpillow, 0, 100),
        "WebP, method=6": (pillow("WEBP", method=6), unpillow, 0, 100),
        "AVIF, speed=6": (pillow("AVIF", speed=6, max_threads=1), unpillow, 0, 100),
    }
    if reference:
        table["imfnb baseline, NumPy reference"] = (*ours("reference", profile="baseline"), 0, 100)
    return table


def setting_for(encode: Encode, image: np.ndarray, size: float, low: float, high: float) -> float:
    """Setting whose file is nearest to `size` bytes, by bisection."""
    tried: dict[float, int] = {}
    for _ in range(8):
        middle = (low + high) / 2
        tried[middle] = len(encode(image, middle))
        low, high = (middle, high) if tried[middle] < size else (low, middle)
    return min(tried, key=lambda setting: abs(tried[setting] - size))


def times(functions: list[Callable[[], object]], repeat: int) -> np.ndarray:
    """Least time of some repetitions of every function, which take turns, milliseconds."""
    out = np.empty((repeat, len(functions)))
    for row in out:
        for k, function in enumerate(functions):
            start = time.perf_counter()
            function()
            row[k] = time.perf_counter() - start
    return 1e3 * out.min(axis=0)


def compare(paths: list[Path], bpp: float, repeat: int, table: dict[str, tuple[Encode, Decode, float, float]]) -> None:
    """Print the table of one rate: means over the pictures."""
    points = np.empty((len(paths), len(table), 4))
    for path, rows in zip(paths, points, strict=True):
        image = read_picture(path, srgb=True).pixels
        pixels = image.shape[0] * image.shape[1]
        work = []
        for row, (encode, decode, low, high) in zip(rows, table.values(), strict=True):
            setting = setting_for(encode, image, bpp * pixels / 8, low, high)
            data = encode(image, setting)
            row[:2] = 8 * len(data) / pixels, psnr(image, decode(data))
            work += [lambda e=encode, i=image, s=setting: e(i, s), lambda d=decode, b=data: d(b)]
        rows[:, 2:] = times(work, repeat).reshape(-1, 2)
    print("| codec | bpp | PSNR dB | encode ms | decode ms |\n|---|---|---|---|---|")
    for name, (rate, quality, encoding, decoding) in zip(table, points.mean(axis=0), strict=True):
        print(f"| {name} | {rate:.3f} | {quality:.2f} | {encoding:.1f} | {decoding:.1f} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of lossless RGB pictures")
    parser.add_argument("--bpp", type=float, nargs="+", default=[0.5], help="bits per pixel (default 0.5)")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions (default 5)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="use every N-th picture")
    parser.add_argument("--reference", action="store_true", help="time the NumPy reference of the baseline too")
    arguments = parser.parse_args()
    paths = list(image_paths(arguments.folder))[:: arguments.every]
    for bpp in arguments.bpp:
        compare(paths, bpp, arguments.repeat, codecs(arguments.reference))


if __name__ == "__main__":
    main()
