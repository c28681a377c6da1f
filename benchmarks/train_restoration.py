"""Learn the filters of the restoration stage from a folder of images.

    python benchmarks/train_restoration.py FOLDER [--out imfnb/format/filters.bin] [--hold-out 3]
    python benchmarks/train_restoration.py FOLDER --short [--out imfnb/format/filters_short.bin] [--hold-out 3]

Every plane of every image is coded and decoded at two steps per range; the filter of each class is the least-squares
solution that predicts the original samples from the decoded ones, and that of the second pass predicts them from what
the first pass made of the decoded ones. First the gain is measured on every third image with
filters learned on the others; then, with ``--out``, filters learned on all images are written in the form that
``imfnb.format.restoration`` reads and describes, where the ranges and the clipping limits stand too. With ``--short``
these are the filters of the short filter, which has one pass.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from planes import Plane, decoded, image_paths, read_planes

from imfnb.format import restoration as numbers
from imfnb.format.restoration import CLIPPING_LIMITS
from imfnb.restoration import cpu, reference

Decoder = Callable[[Plane, int], Plane]
"""``decoder(plane, step) -> decoded``: samples centred, in 1/16 gray level; the step in 1/64 gray level."""

RANGES = len(CLIPPING_LIMITS)
FIRST_STEP, LAST_STEP = 3.2, 200.0
"""Centres of the first and last range, gray levels; `imfnb.format.restoration.STEP_BORDERS` are half way between."""
RIDGE = 1e-3
"""Diagonal load relative to the mean diagonal: keeps coefficients of rare classes small at no measurable loss."""


def range_centre(index: float) -> float:
    """Step in the middle of a range, gray levels; fractional indexes lie between."""
    return FIRST_STEP * (LAST_STEP / FIRST_STEP) ** (index / (RANGES - 1))


def training_steps(index: int) -> list[int]:
    """Steps in 1/64 gray level that stand for a range: a quarter of its (logarithmic) width off the centre."""
    return [round(64 * range_centre(index + offset)) for offset in (-0.25, 0.25)]


def pixel_classes(decoded: Plane, step: int) -> NDArray[np.int32]:
    """Class of every sample in a pass of the two."""
    return reference.classify(np.pad(decoded, numbers.RADIUS, mode="edge"), step)


def block_classes(decoded: Plane, step: int) -> NDArray[np.int32]:
    """Class of every sample in the short filter."""
    block, margin = numbers.SHORT_BLOCK, numbers.SHORT_REACH + 1
    padded = np.pad(decoded, [(margin, margin + -size % block) for size in decoded.shape], mode="edge")
    classes = reference.classify_blocks(padded, step)
    return classes.repeat(block, axis=0).repeat(block, axis=1)[: decoded.shape[0], : decoded.shape[1]]


def normal_equations(
    original: Plane, decoded: Plane, class_map: NDArray[np.int32], step: int, taps: int, limits: tuple[int, int]
) -> NDArray[np.float64]:
    """Products of features and target of one plane, summed per class.

    Parameters
    ----------
    original, decoded : ndarray of int32, shape (H, W)
        Samples in 1/16 gray level.
    class_map : ndarray of int32, shape (H, W)
        Their classes.
    step : int
        Step in 1/64 gray level.
    taps : int
        Number of taps of the pass.
    limits : tuple of int
        Clipping limits in sixteenths of the step.

    Returns
    -------
    ndarray of float64, shape (CLASSES, n + 1, n + 1), n = LIMITS * taps
        The last row and column belong to the target, original minus decoded.
    """
    height, width = decoded.shape
    radius = numbers.RADIUS
    padded = np.pad(decoded, radius, mode="edge")
    rows = []
    for limit in (reference.clipping_limit(step, limit) for limit in limits):
        for row, column in numbers.TAPS[:taps]:
            ahead = padded[radius + row :, radius + column :][:height, :width] - decoded
            behind = padded[radius - row :, radius - column :][:height, :width] - decoded
            rows.append(np.clip(ahead, -limit, limit) + np.clip(behind, -limit, limit))
    rows.append(original - decoded)

    # Sorted by class, the features of a class are one contiguous block, and its products one matrix product.
    order = np.argsort(class_map, axis=None, kind="stable")
    ends = np.cumsum(np.bincount(class_map.ravel(), minlength=numbers.CLASSES))
    features = np.stack([row.ravel()[order] for row in rows]).astype(np.float32)
    products = np.zeros((numbers.CLASSES, len(rows), len(rows)))
    for index, end in enumerate(ends):
        block = features[:, ends[index - 1] if index else 0 : end]
        products[index] = block @ block.T
    return products


def solve(products: NDArray[np.float64]) -> NDArray[np.int16]:
    """Integer filters of one pass, shape (CLASSES, LIMITS, taps), from the sums of `normal_equations`."""
    count = products.shape[1] - 1
    filters = np.zeros((numbers.CLASSES, count))
    for index, product in enumerate(products):
        square = product[:count, :count]
        load = RIDGE * square.trace() / count
        if load > 0.0:
            filters[index] = np.linalg.solve(square + load * np.eye(count), product[:count, count])
    integers = np.rint(filters * 2**numbers.COEFFICIENT_BITS)
    if np.abs(integers).sum(axis=1).max() > reference.COEFFICIENT_SUM_LIMIT:
        raise ValueError("a filter exceeds the range that the integer arithmetic is proven for; raise RIDGE")
    return integers.astype(np.int16).reshape(numbers.CLASSES, numbers.LIMITS, -1)


@dataclass
class Sample:
    """A plane before and after the codec; `decoded` follows the passes as they are learned."""

    original: Plane
    decoded: Plane
    step: int


def learn(samples: Sequence[Sample], limits: Sequence[tuple[int, int]]) -> NDArray[np.int16]:
    """Filters of all passes, shape (PASSES, CLASSES, LIMITS, len(TAPS)); leaves the samples as they are."""
    filters = np.zeros((numbers.PASSES, numbers.CLASSES, numbers.LIMITS, len(numbers.TAPS)), np.int16)
    for number, taps in enumerate(numbers.TAPS_PER_PASS):
        size = numbers.LIMITS * taps + 1
        products = np.zeros((numbers.CLASSES, size, size))
        for s in samples:
            classes = pixel_classes(s.decoded, s.step)
            products += normal_equations(s.original, s.decoded, classes, s.step, taps, limits[number])
        filters[number, :, :, :taps] = solve(products)
        if number + 1 < numbers.PASSES:
            # A pass whose coefficients are all zero changes nothing, so this applies one pass at a time.
            alone = np.zeros_like(filters)
            alone[number] = filters[number]
            samples = [Sample(s.original, restored(s, alone, limits), s.step) for s in samples]
    return filters


def short_equations(samples: Sequence[Sample], limits: tuple[int, int]) -> NDArray[np.float64]:
    """The sums of `normal_equations` for the short filter, which `solve` turns into its coefficients."""
    size = numbers.LIMITS * numbers.SHORT_TAPS + 1
    products = np.zeros((numbers.CLASSES, size, size))
    for s in samples:
        classes = block_classes(s.decoded, s.step)
        products += normal_equations(s.original, s.decoded, classes, s.step, numbers.SHORT_TAPS, limits)
    return products


def restored(sample: Sample, filters: NDArray[np.int16], limits: Sequence[tuple[int, int]]) -> Plane:
    """The decoded plane of a sample after restoration with given filters."""
    out = np.empty_like(sample.decoded)
    cpu.restore(sample.decoded[None], sample.step, filters, np.array(limits, np.int32), out[None], [0])
    return out


def restored_short(sample: Sample, filters: NDArray[np.int16], limits: tuple[int, int]) -> Plane:
    """The same with the short filter."""
    out = np.empty_like(sample.decoded)
    cpu.restore_short(sample.decoded[None], sample.step, filters, np.array(limits, np.int32), out[None], [0])
    return out


def gain(original: Plane, decoded: Plane, better: Plane) -> float:
    """Improvement of a plane's PSNR in dB."""
    before = np.mean(np.square((original - decoded).astype(np.float64)))
    after = np.mean(np.square((original - better).astype(np.float64)))
    return 10.0 * math.log10(before / after) if before > 0.0 < after else 0.0


def learn_range(
    images: Sequence[Sequence[Plane]], decoder: Decoder, index: int, hold_out: int, short: bool = False
) -> tuple[NDArray[np.int16], float, float]:
    """Filters of one range, learned on all images, and the gain on images that were held out.

    Parameters
    ----------
    images : sequence of sequences of ndarray of int32
        Original planes of every image, all luma or all chroma.
    decoder : callable
        See `Decoder`.
    index : int
        Number of the range.
    hold_out : int
        Every `hold_out`-th image is measured with filters learned on the others.
    short : bool, default False
        Whether it is those of the short filter.

    Returns
    -------
    filters : ndarray of int16, shape (PASSES, CLASSES, LIMITS, len(TAPS)) or (CLASSES, LIMITS, SHORT_TAPS)
    mean_gain, least_gain : float
        Mean and minimum over the planes held out, dB.
    """
    learned: list[Sample] = []
    held: list[Sample] = []
    for step in training_steps(index):
        for number, planes in enumerate(images):
            group = held if number % hold_out == 0 else learned
            group.extend(Sample(plane, decoder(plane, step), step) for plane in planes)
    if short:
        bounds = numbers.SHORT_LIMITS[index]
        products, further = (short_equations(samples, bounds) for samples in (learned, held))
        trial, final = solve(products), solve(products + further)
        after = [restored_short(sample, trial, bounds) for sample in held]
    else:
        limits = CLIPPING_LIMITS[index]
        trial, final = learn(learned, limits), learn(learned + held, limits)
        after = [restored(sample, trial, limits) for sample in held]
    gains = [gain(sample.original, sample.decoded, better) for sample, better in zip(held, after, strict=True)]
    return final, float(np.mean(gains)), float(np.min(gains))


def packed(luma: Sequence[NDArray[np.int16]], chroma: Sequence[NDArray[np.int16]]) -> bytes:
    """Contents of filters.bin or filters_short.bin."""
    return np.array([luma, chroma], "<i2").tobytes()


def imfnb_decoder(plane: Plane, step: int) -> Plane:
    """A plane through the codec, without restoration."""
    return decoded(plane, step, 8)


def main(arguments: Sequence[str] | None = None, decoder: Decoder = imfnb_decoder) -> int:
    """Learn, report the gains, write the filters."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of lossless images")
    parser.add_argument("--out", type=Path, metavar="FILTERS.bin", help="write the filters here")
    parser.add_argument("--short", action="store_true", help="learn those of the short filter")
    parser.add_argument("--hold-out", type=int, default=3, metavar="N", help="measure on every N-th image (default 3)")
    options = parser.parse_args(arguments)

    images = [read_planes(path) for path in image_paths(options.folder)]
    groups: dict[str, list[tuple[Plane, ...]]] = {
        "luma": [tuple(image[:1]) for image in images],
        "chroma": [tuple(image[1:]) for image in images],
    }
    sets: dict[str, list[NDArray[np.int16]]] = {name: [] for name in groups}
    for name, group in groups.items():
        for index in range(RANGES):
            filters, mean_gain, least_gain = learn_range(group, decoder, index, options.hold_out, options.short)
            sets[name].append(filters)
            print(
                f"{name:6s} step {range_centre(index):6.1f}: {mean_gain:+.3f} dB on images held out, "
                f"at least {least_gain:+.3f}, largest coefficient {np.abs(filters).max() / 256:.2f}",
                flush=True,
            )
    if options.out is not None:
        options.out.write_bytes(packed(sets["luma"], sets["chroma"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
