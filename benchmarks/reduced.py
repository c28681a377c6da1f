"""Measure pictures that are decoded at a smaller size: how near they are to means over blocks, and what they cost.

    python benchmarks/reduced.py PICTURE_OR_FOLDER ... [--bpp 0.25 0.5 1 2] [--repeat 5] [--limit N]

For every rate and factor the table has means over the pictures of the PSNR (in dB) of

- `full`: means over blocks of the picture that is decoded whole, against those of the original,
- `reduced`: the smaller picture, against those of the original,
- `apart`: the smaller picture against means over blocks of the whole one.

`time` is the user CPU time of decoding on one thread, relative to the whole
picture: the sum over the pictures of the least of the repetitions.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from planes import image_paths

import imfnb
from imfnb.pictures import read_picture

REDUCTIONS = 2, 4, 8


def means(image: np.ndarray, reduce: int) -> np.ndarray:
    """Means over blocks, not rounded."""
    sums = np.add.reduceat(image, np.arange(0, image.shape[0], reduce), axis=0, dtype=np.float64)
    sums = np.add.reduceat(sums, np.arange(0, image.shape[1], reduce), axis=1)
    counts = [np.minimum(reduce, size - np.arange(0, size, reduce)) for size in image.shape[:2]]
    return sums / np.multiply.outer(*counts)[..., None]


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """PSNR of samples of 8 bits, which need not be integers."""
    error = ((one - other) ** 2).mean()
    return 10 * np.log10(255**2 / error) if error else np.inf


def least_time(work: Callable[[], object], repeat: int) -> float:
    """The least CPU time of the repetitions, in seconds."""
    found = []
    for _ in range(repeat):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("inputs", nargs="+", type=Path)
    parser.add_argument("--bpp", nargs="+", type=float, default=[0.25, 0.5, 1.0, 2.0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--limit", type=int, help="pictures of every folder")
    parser.add_argument("--tune", choices=("visual", "psnr"), default="visual")
    arguments = parser.parse_args()
    paths = [path for given in arguments.inputs for path in image_paths(given)[: arguments.limit]]
    print("   bpp  reduce   full  reduced  apart   time")
    for bpp in arguments.bpp:
        figures: dict[int, list[list[float]]] = {reduce: [] for reduce in (1, *REDUCTIONS)}
        for path in paths:
            image = read_picture(path).pixels
            data = imfnb.encode(image, bpp=bpp, tune=arguments.tune)
            whole = imfnb.decode(data)
            for reduce, rows in figures.items():
                spent = least_time(
                    partial(imfnb.decode, data, reduce=reduce, device="cpu", threads=1), arguments.repeat
                )
                small, original = imfnb.decode(data, reduce=reduce), means(image, reduce)
                blocks = means(whole, reduce)
                rows.append([psnr(blocks, original), psnr(small, original), psnr(small, blocks), spent])
        total = sum(row[3] for row in figures[1])
        for reduce in REDUCTIONS:
            full, reduced, apart, _ = (np.mean(column) for column in zip(*figures[reduce], strict=True))
            share = sum(row[3] for row in figures[reduce]) / total
            print(f"{bpp:6.2f}  {reduce:6d}  {full:5.2f}  {reduced:7.2f}  {apart:5.2f}  {share:5.3f}")


if __name__ == "__main__":
    main()
