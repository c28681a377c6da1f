"""Print how far every kernel is from the floor that this machine's bandwidth and arithmetic set.

    python benchmarks/floor.py [--repeat 9]

Peaks are measured in the same run, on one core: multiply-adds of float32 in registers and of int32 in the first-level
cache, and the bandwidth of a copy as large as what the kernel reads and writes. A floor is the larger of operations
over peak and bytes over bandwidth; what a kernel needs besides (conversions, rounding, eigenvectors) is not in it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import lru_cache

import numba
import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic
from suite.common import new_planes, photograph
from suite.factors import factorize, multiply

from imfnb.color import cpu as color
from imfnb.entropy import cpu as coder
from imfnb.entropy.layout import padded_size
from imfnb.factorization.rdoq import cpu as rdoq
from imfnb.format.basis import dct_basis
from imfnb.format.container import Frame
from imfnb.format.restoration import LIMITS, TAPS_PER_PASS, filter_set
from imfnb.lapped import cpu as lapped
from imfnb.options import EncodeOptions
from imfnb.patches import cpu as patches
from imfnb.profiles import baseline as profile
from imfnb.restoration import cpu as restoration
from imfnb.runtime.run import HostRun
from imfnb.runtime.vectors import INDEX, WIDTH, Lanes, multiply_add, registers

CHAINS = 12

# Seconds for which a kernel is timed at least.
LONG_ENOUGH = 0.5


@intrinsic
def _multiply_adds(typing_context, x, count):
    """`count` rounds of CHAINS independent vector multiply-adds."""

    def generate(context, builder, signature, args):
        values = Lanes(context, builder, x, args[0])
        sums = registers(context, builder, x.dtype, CHAINS)
        factor = values.load(INDEX(0))
        with cgutils.for_range(builder, args[1], intp=INDEX):
            for chain in sums:
                multiply_add(builder, builder.load(chain), factor, chain)
        for k, chain in enumerate(sums):
            values.store(builder.load(chain), INDEX(WIDTH * k))
        return context.get_dummy_value()

    return types.void(x, types.int64), generate


@numba.njit
def float_peak(x, count):
    _multiply_adds(x, count)


@numba.njit
def integer_peak(a, b, c, d, e, count):
    for _ in range(count):
        for i in range(e.size):
            e[i] += np.int32(a[i] * np.int32(3)) + np.int32(b[i] * np.int32(5)) + np.int32(c[i] * np.int32(7)) + d[i]


def least(run: Callable[[], object], repeat: int) -> float:
    """Least time of a call in seconds, of `repeat` calls or more: those of LONG_ENOUGH, where a slow moment is over."""
    run()
    best, calls, begin = float("inf"), 0, time.perf_counter()
    while calls < repeat or time.perf_counter() - begin < LONG_ENOUGH:
        start = time.perf_counter()
        run()
        best, calls = min(best, time.perf_counter() - start), calls + 1
    return best


@lru_cache
def bandwidth(size: int) -> float:
    """Bytes read and written per second by a copy that touches `size` bytes in all."""
    source = np.zeros(max(size // 2, 1 << 12), np.uint8)
    target = np.empty_like(source)
    loops = max(1, (1 << 24) // size)

    def copies() -> None:
        for _ in range(loops):
            np.copyto(target, source)

    return 2 * source.size * loops / least(copies, 9)


class Report:
    """Rows of the table, with the peaks that they are compared with."""

    def __init__(self, repeat: int) -> None:
        self.repeat = repeat
        x, rounds = np.zeros(CHAINS * WIDTH, np.float32), 200_000
        self.floats = 2 * CHAINS * WIDTH * rounds / least(lambda: float_peak(x, rounds), repeat)
        rows = np.zeros((5, 1024), np.int32)
        self.integers = 6 * 1024 * 2000 / least(lambda: integer_peak(*rows, 2000), repeat)
        print(f"float32 multiply-adds {self.floats / 1e9:.0f} GFLOP/s, int32 {self.integers / 1e9:.0f} GOP/s")
        sizes = (1 << 20, 1 << 24, 1 << 28)
        print("copy", ", ".join(f"{s >> 20} MiB {bandwidth(s) / 1e9:.0f} GB/s" for s in sizes), "\n")
        print("| kernel | ms | ns per pixel | floor ms | bound by | times the floor |\n|---|---|---|---|---|---|")

    def row(
        self, name: str, pixels: int, run: Callable[[], object], bytes_: float, floats: float = 0, integers: float = 0
    ) -> None:
        """Time a kernel and print it beside the floor of its bytes and operations."""
        seconds = least(run, self.repeat)
        floors = {
            "bytes": bytes_ / bandwidth(1 << (int(bytes_).bit_length() - 1)),
            "operations": floats / self.floats + integers / self.integers,
        }
        bound = max(floors, key=floors.__getitem__)
        floor = floors[bound]
        print(
            f"| {name} | {1e3 * seconds:.3f} | {1e9 * seconds / pixels:.2f} | {1e3 * floor:.3f} | {bound} | "
            f"{seconds / floor:.1f} |",
            flush=True,
        )


def baseline(report: Report, size: str) -> None:
    """The baseline profile: colour with patches, ten sweeps, and back."""
    image = photograph(size)
    pixels, run, frame = image.shape[0] * image.shape[1], HostRun("cpu", 1), Frame("baseline", *image.shape)
    settings = profile.settings_for(EncodeOptions(profile="baseline"), frame)

    def analyse() -> profile.Analysis:
        return profile.analyse([image], frame, settings, run)

    specs = analyse().specs
    planes = 1.5 * pixels
    out = np.empty_like(image)
    # Luma: three products a pixel; chroma: six for each pair of samples.
    report.row(f"{size} colour and patches", pixels, analyse,
               3 * pixels + planes, integers=2 * 3 * planes)  # fmt: skip
    for rank in (2, 5, 20):
        ranks = (rank, max(1, rank // 2), max(1, rank // 2))

        def factorize(ranks: tuple[int, ...] = ranks) -> list[tuple[np.ndarray, np.ndarray]]:
            (factors,) = run.drive(profile.factorize(analyse(), ranks, run))
            return factors

        # X^T X once; in every sweep X V and X^T U, the column updates, and U^T U.
        floats = sum(
            spec.shape[0] * (64 * 65 + 10 * (2 * 2 * 64 * r + 2 * r * r + r * (r + 1)))
            for spec, r in zip(specs, ranks, strict=True)
        )
        report.row(f"{size} colour, patches, BCD at R = {rank}", pixels, factorize,
                   3 * pixels + 12 * planes, floats, 2 * 3 * planes)  # fmt: skip
        factors = [[np.ascontiguousarray(f.T)[None] for f in pair] for pair in factorize()]

        def decode(factors: list = factors, out: np.ndarray = out) -> None:
            parts = [np.empty((1, *spec.plane_shape), np.uint8) for spec in specs]
            for (u, v), part in zip(factors, parts, strict=True):
                patches.depatchify(u, v, u.shape[1], 8, 8, part, 16)
            color.ycbcr_to_rgb(*parts, out[None])

        floats = sum(2 * 64 * spec.shape[0] * r for spec, r in zip(specs, ranks, strict=True))
        report.row(f"{size} factors to pixels at R = {rank}", pixels, decode, 3 * pixels + 2 * planes, floats,
                   2 * 4 * pixels)  # fmt: skip


def main_profile(report: Report, size: str) -> None:
    """The main profile: the stages on luma at a step of 28 gray levels."""
    image = photograph(size)
    pixels = image.shape[0] * image.shape[1]
    step, p = 28 * 64, 8
    out = np.empty_like(image)

    # With the memory that an encoder has to ask for.
    def split() -> list[np.ndarray]:
        planes = new_planes(image, np.int32)
        color.rgb_to_q4(image[None], *planes)
        return planes

    def lap_forward() -> np.ndarray:
        filtered = np.empty_like(luma)
        lapped.forward(luma[None], p, filtered[None], [0])
        return filtered

    q4 = split()
    luma = q4[0][0, : image.shape[0] // p * p, : image.shape[1] // p * p].copy()
    report.row(f"{size} colour to q4 planes", pixels, split, 9 * pixels, integers=9 * pixels)
    report.row(f"{size} q4 planes to colour", pixels, lambda: color.q4_to_rgb(*q4, out[None]), 9 * pixels,
               integers=16 * pixels)  # fmt: skip
    # Half of p products of the rotation for each sample and direction.
    lap = 2 * 2 * (p // 2) * luma.size / 2
    filtered = lap_forward()
    report.row(f"{size} lapped filter", pixels, lap_forward, 8 * luma.size, integers=lap)
    grid = luma.shape[0] // p, luma.shape[1] // p
    weights, products = rdoq.weights(dct_basis(p, step).T), np.empty((1, p * p, padded_size(*grid)[0]), np.int32)
    report.row(f"{size} X V", pixels, lambda: rdoq.project(filtered[None], p, weights, products), 8 * luma.size,
               integers=2 * p * p * luma.size)  # fmt: skip
    factors = factorize(filtered, step, p)
    report.row(f"{size} rate-distortion sweeps", pixels, lambda: factorize(filtered, step, p),
               8 * luma.size, integers=2 * p * p * luma.size)  # fmt: skip
    samples = np.empty_like(luma)
    nonzero = int(np.count_nonzero(factors.padded))
    report.row(f"{size} 2^-s U V^T", pixels, lambda: multiply(factors, step, p, samples),
               4 * luma.size, integers=2 * p * p * nonzero)  # fmt: skip
    taps = 2 * LIMITS * 2 * sum(TAPS_PER_PASS)
    filters = filter_set(step, False)
    report.row(f"{size} restoration", pixels,
               lambda: restoration.restore(luma[None], step, *filters, samples[None], [0]),
               8 * luma.size, integers=taps * luma.size)  # fmt: skip
    coded = coder.encode_factors(factors.padded, factors.ranks, *factors.grid, p)
    seconds = least(lambda: coder.decode_factors(coded, *factors.grid, p), report.repeat)
    print(f"\n{size} context decoder: {len(coded)} bytes in {1e3 * seconds:.2f} ms, "
          f"{1e9 * seconds / (8 * len(coded)):.0f} ns a bit; sequential, so without such a floor\n")  # fmt: skip


def main() -> None:
    """Parse arguments and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=9, help="calls of which the least time counts (at least 0.5 s)")
    arguments = parser.parse_args()
    report = Report(arguments.repeat)
    for size in ("0.4 MP", "12 MP"):
        baseline(report, size)
    main_profile(report, "0.4 MP")


if __name__ == "__main__":
    main()
