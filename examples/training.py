"""Train a classifier from coded pictures, decoded batch by batch into one array, and time that beside other formats.

    pip install "imfnb[eval]" scikit-learn
    python examples/training.py [--count 240] [--side 256] [--quality 50] [--effort normal] [--threads 2]

The data set is made of crops of photographs that come with scikit-image, and what is to be learned is from which one a
crop is. It is encoded once as .imf, JPEG, WebP and AVIF, the three at the lowest quality that reaches the PSNR of the
first on some of the pictures. scikit-learn's SGDClassifier then sees the batches that imfnb.decode_batch decodes, and
accuracy is that on crops that it has not seen. At the end each format's pictures a second are printed, all on the same
number of threads.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image, features
from skimage import data

import imfnb
from imfnb.runtime.devices import resolve_threads

try:
    from sklearn.linear_model import SGDClassifier
except ImportError as error:
    raise SystemExit(f"scikit-learn is needed here ({error}): install it with pip install scikit-learn") from None

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket", "retina", "immunohistochemistry")

# What the classifier sees: means over squares, so many of them along each side of a crop.
CELLS = 16

# Crops on which the qualities of the other formats are chosen, and timed passes over all, of which the fastest counts.
TRIED, PASSES = 32, 3

Decode = Callable[[list[bytes], np.ndarray], Any]


def crops(count: int, side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Squares from anywhere in the photographs, uint8 of shape (N, side, side, 3), and the number of each one's."""
    rng, photographs = np.random.default_rng(seed), [getattr(data, name)() for name in PHOTOGRAPHS]
    labels = rng.integers(len(photographs), size=count)
    pictures = np.empty((count, side, side, 3), np.uint8)
    for picture, label in zip(pictures, labels, strict=True):
        height, width = photographs[label].shape[:2]
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        picture[...] = photographs[label][top : top + side, left : left + side]
    return pictures, labels


def batches(
    files: list[bytes], labels: np.ndarray, decode: Decode, out: np.ndarray
) -> Iterator[tuple[np.ndarray, ...]]:
    """The pictures of all files with their labels, in an array that each batch overwrites."""
    for start in range(0, len(files), len(out)):
        some = files[start : start + len(out)]
        room = out[: len(some)]  # the last batch may be a smaller one
        decode(some, room)
        yield room, labels[start : start + len(some)]


def inputs(pictures: np.ndarray) -> np.ndarray:
    """What the classifier takes of pictures."""
    count, side = pictures.shape[:2]
    cells = pictures.reshape(count, CELLS, side // CELLS, CELLS, side // CELLS, 3)
    return cells.mean(axis=(2, 4), dtype=np.float32).reshape(count, -1) / 128 - 1


def psnr(pictures: np.ndarray, files: list[bytes], decode: Decode) -> float:
    """PSNR in dB over all samples."""
    found = np.empty_like(pictures)
    decode(files, found)
    error = np.mean((found.astype(np.float32) - pictures) ** 2, dtype=np.float64)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def pillow_encode(pictures: np.ndarray, file_format: str, quality: int) -> list[bytes]:
    """The pictures as files of a format that Pillow writes."""
    files = []
    for picture in pictures:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, file_format, quality=quality)
        files.append(buffer.getvalue())
    return files


def pillow_quality(pictures: np.ndarray, file_format: str, target: float, decode: Decode) -> int:
    """The lowest quality at which the PSNR is not below a target, in dB."""
    low, high = 1, 95
    while low < high:
        middle = (low + high) // 2
        if psnr(pictures, pillow_encode(pictures, file_format, middle), decode) < target:
            low = middle + 1
        else:
            high = middle
    return low


def pillow_decode(pool: ThreadPoolExecutor) -> Decode:
    """What decodes a batch with Pillow, a picture on each thread."""

    def one(file: bytes, out: np.ndarray) -> None:
        with Image.open(io.BytesIO(file)) as image:
            out[...] = np.asarray(image)

    return lambda files, out: list(pool.map(one, files, out))


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=240, help="number of pictures (default: 240)")
    parser.add_argument("--side", type=int, default=256, help=f"side of one, a multiple of {CELLS} (default: 256)")
    parser.add_argument("--batch", type=int, default=32, help="pictures in a batch (default: 32)")
    parser.add_argument("--epochs", type=int, default=3, help="passes of the training (default: 3)")
    parser.add_argument("--quality", type=float, default=50, help="of the .imf files (default: 50)")
    parser.add_argument("--effort", default="normal", help="of the .imf files (default: normal)")
    parser.add_argument("--threads", type=int, help="threads that decode (default: all cores)")
    arguments = parser.parse_args()
    threads = resolve_threads(arguments.threads)
    if arguments.side % CELLS or not CELLS <= arguments.side <= 300:
        parser.error(f"--side is {arguments.side}; expected a multiple of {CELLS} up to 300")

    pictures, labels = crops(arguments.count, arguments.side, seed=0)
    files = imfnb.encode_batch(pictures, quality=arguments.quality, effort=arguments.effort, tune="psnr")

    def decode(files: list[bytes], out: np.ndarray) -> np.ndarray:
        return imfnb.decode_batch(files, out=out, threads=threads)

    reached = psnr(pictures, files, decode)
    out = np.empty((arguments.batch, *pictures.shape[1:]), np.uint8)
    classifier = SGDClassifier(random_state=0)
    for _ in range(arguments.epochs):
        for some, theirs in batches(files, labels, decode, out):
            classifier.partial_fit(inputs(some), theirs, classes=np.arange(len(PHOTOGRAPHS)))
    unseen, truth = crops(100, arguments.side, seed=1)
    print(f"accuracy on 100 other crops: {classifier.score(inputs(unseen), truth):.0%}")

    with ThreadPoolExecutor(threads) as pool:
        other = pillow_decode(pool)
        rivals: dict[str, tuple[list[bytes], Decode]] = {f"imf, {arguments.effort}": (files, decode)}
        for name in ("JPEG", "WebP", "AVIF"):
            if name != "JPEG" and not features.check(name.lower()):
                print(f"this Pillow has no {name}")
                continue
            if name == "AVIF":
                from PIL import AvifImagePlugin

                AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # a picture on each thread, as for the others
            quality = pillow_quality(pictures[:TRIED], name, psnr(pictures[:TRIED], files[:TRIED], decode), other)
            rivals[f"{name}, {quality}"] = pillow_encode(pictures, name, quality), other
        fastest = dict.fromkeys(rivals, np.inf)
        for _ in range(PASSES):  # in turns, so that what else the machine does befalls all
            for name, (coded, decoder) in rivals.items():
                begin = time.perf_counter()
                for _ in batches(coded, labels, decoder, out):
                    pass
                fastest[name] = min(fastest[name], time.perf_counter() - begin)
        print(f"{'format, quality':>16} {'bytes each':>11} {'PSNR dB':>8} {'pictures/s':>11}   on {threads} threads")
        for name, (coded, decoder) in rivals.items():
            quality = reached if decoder is decode else psnr(pictures, coded, decoder)
            size = sum(map(len, coded)) / len(coded)
            print(f"{name:>16} {size:11.0f} {quality:8.2f} {len(coded) / fastest[name]:11.0f}")


if __name__ == "__main__":
    main()
