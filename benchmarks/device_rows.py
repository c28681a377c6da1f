"""What the rows of `cuda_report` have in common: times by events, the device's peaks, floors and targets."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from imfnb.runtime.cuda import SIMULATED, Kernel, cuda
from imfnb.runtime.cuda_intrinsics import dp4a_ss, get_four, mma_ss, put_four

__all__ = ["Rows", "Sizes", "pictures"]

#: Bytes that inputs are rotated through: several times the largest L2 cache there is (50 MB on an H200).
ROTATION = 1 << 28


# Different pictures of a batch; more would take the CPU long to make and change nothing.
_PICTURES = 8


def pictures(count: int, shape: tuple[int, int]) -> np.ndarray:
    """RGB pictures (B, H, W, 3): tiles of a photograph of scikit-image, or shading with noise where that is missing."""
    height, width = shape
    try:
        from skimage.data import astronaut

        photograph = np.concatenate([astronaut(), astronaut()[:, ::-1]], axis=1)
    except ImportError:
        y, x = np.mgrid[:512, :512]
        shade = 128 + 80 * np.sin(x / 19) * np.cos(y / 23) + np.random.default_rng(0).normal(0, 8, (512, 512))
        photograph = np.repeat(np.clip(shade, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
    rows, columns = np.arange(height) % photograph.shape[0], np.arange(width) % photograph.shape[1]

    def part(i: int) -> np.ndarray:
        return photograph[(rows + 37 * i) % photograph.shape[0]][:, (columns + 91 * i) % photograph.shape[1]]

    return np.ascontiguousarray(np.stack([part(i % _PICTURES) for i in range(count)]))


# Types of the arguments of a sweep.
SWEEP = (
    "void(uint32[:,:,::1], float64[:,:,::1], uint32[:,:,::1], int64[:,:,::1], int32[::1], int32, int32, float32, "
    "float32)"
)


@dataclass(frozen=True)
class Sizes:
    """Heights and widths of what is measured, how many images the batch has, and how often everything runs.

    Attributes
    ----------
    large, kodak : (int, int)
        Shape of the single image and of those of a batch.
    batch : int
        Images of the batch.
    words, turns : int
        32-bit words of the copy, and turns of the chains of multiply-adds.
    launches, rounds : int
        Launches of one round, and rounds of which the median counts.
    """

    large: tuple[int, int] = (2832, 4240)
    kodak: tuple[int, int] = (512, 768)
    batch: int = 256
    words: int = 1 << 26
    turns: int = 1 << 11
    launches: int = 20
    rounds: int = 7


def chains(cast: type, dots: bool = False) -> Any:
    """The kernel of eight independent chains of multiply-adds in a type, so that latency does not count.

    Eight steps to a turn of the loop, since its own counting takes eight instructions; or dot products of four bytes.
    """

    @cuda.jit(device=True)
    def step(a, x, y):
        return dp4a_ss(x, y, a) if dots else cast(a * x + y)

    @cuda.jit
    def kernel(values, turns):
        a = b = c = d = e = f = g = h = values[0]
        x, y = values[1], values[2]
        for _ in range(turns):
            for _ in range(8):
                a, b, c, d = step(a, x, y), step(b, x, y), step(c, x, y), step(d, x, y)
                e, f, g, h = step(e, x, y), step(f, x, y), step(g, x, y), step(h, x, y)
        total = cast(a + b + c + d + e + f + g + h)
        if total == values[3]:  # never, but the compiler cannot know
            values[4] = total

    return kernel


@cuda.jit
def matrices(values, turns):
    """Four independent chains of the tensor cores' products of bytes, 16 x 32 x 8 multiply-adds a warp each."""
    w = values[0]
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = values[0]
    for _ in range(turns):
        for _ in range(8):
            a0, a1, a2, a3 = mma_ss(w, w, w, w, w, w, a0, a1, a2, a3)
            b0, b1, b2, b3 = mma_ss(w, w, w, w, w, w, b0, b1, b2, b3)
            c0, c1, c2, c3 = mma_ss(w, w, w, w, w, w, c0, c1, c2, c3)
            d0, d1, d2, d3 = mma_ss(w, w, w, w, w, w, d0, d1, d2, d3)
    total = a0 + a1 + a2 + a3 + b0 + b1 + b2 + b3 + c0 + c1 + c2 + c3 + d0 + d1 + d2 + d3
    if total == values[3]:  # never, but the compiler cannot know
        values[4] = total


@cuda.jit
def copy_words(source, target):
    """Sixteen bytes a thread."""
    at = 4 * cuda.grid(1)
    if at < source.shape[0]:
        first, second, third, fourth = get_four(source, at)
        put_four(target, at, first, second, third, fourth)


def _nothing(xt, v, ut, sums, tickets, count, tiles, low, high):
    """The arguments of a sweep of the baseline, and no work."""


#: Kernels as the codec launches them, and as Numba does.
empty, empty_by_numba = Kernel(_nothing, SWEEP), cuda.jit(_nothing)


class Rows:
    """Measures and prints; :meth:`peaks` comes first.

    Parameters
    ----------
    sizes : Sizes
        What is measured.

    Attributes
    ----------
    bandwidth : float
        Bytes per second of a copy.
    rates : dict of str to float
        Multiply-adds per second: "float32", "int32", "int64", "bytes" (dot products of four), and "matrices" (of bytes,
        by the tensor cores).
    launch, again : float
        Seconds from a launch to the next, and with the same arguments, packed once.
    """

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.bandwidth = self.launch = self.again = float("nan")
        self.rates: dict[str, float] = {}

    def seconds(self, launch: Callable[[int], None], copies: int = 1) -> float:
        """Seconds of one launch; `launch` takes the number of the inputs to use."""
        start, stop = cuda.event(), cuda.event()
        launch(0)
        rounds = []
        for _ in range(self.sizes.rounds):
            start.record()
            for i in range(self.sizes.launches):
                launch(i % copies)
            stop.record()
            stop.synchronize()
            rounds.append(cuda.event_elapsed_time(start, stop) / 1e3 / self.sizes.launches if not SIMULATED else 1.0)
        return statistics.median(rounds)

    def wall(self, work: Callable[[], Any]) -> float:
        """Seconds on the clock, devices included, after a first call that does not count."""
        work()
        rounds = []
        for _ in range(max(1, min(3, self.sizes.rounds))):
            start = time.perf_counter()
            work()
            cuda.synchronize()
            rounds.append(time.perf_counter() - start)
        return min(rounds) if not SIMULATED else 1.0

    def copies(self, nbytes: int) -> int:
        """How many inputs of so many bytes are rotated."""
        return 2 if SIMULATED else max(2, min(64, -(-ROTATION // nbytes)))

    def floor(self, nbytes: float, operations: float | dict[str, float], rate: str = "float32") -> tuple[float, str]:
        """Seconds that bytes or multiply-adds, of one type or several, take at least, and which of them binds."""
        counts = operations if isinstance(operations, dict) else {rate: operations}
        return max((nbytes / self.bandwidth, "copy"), *((n / self.rates[kind], kind) for kind, n in counts.items()))

    def row(
        self, name: str, seconds: float, nbytes: float, operations: float | dict[str, float], rate: str = "float32"
    ) -> None:
        """Print a kernel's figures."""
        if SIMULATED:
            print(f"  {name:46s} ran")
            return
        floor, bound = self.floor(nbytes, operations, rate)
        total = sum(operations.values()) if isinstance(operations, dict) else operations
        rates = f"{nbytes / seconds / 1e9:8.0f} GB/s {total / seconds / 1e12:7.2f} Top/s"
        print(
            f"  {name:46s} {nbytes / 1e6:10.2f} MB {total / 1e9:9.3f} Gop {seconds * 1e6:10.1f} us {rates}"
            f"  {seconds / floor:6.2f}x {bound}"
        )

    def target(self, what: str, found: str, reached: bool, wanted: str) -> None:
        """Print a row of the table of targets."""
        if SIMULATED:
            print(f"  ran, wanted: {wanted}")
        else:
            print(f"  {what}: {found}; wanted {wanted}: {'reached' if reached else 'MISSED'}")

    def peaks(self) -> None:
        """Measure and print copy bandwidth, rates of multiply-adds, and what a launch costs."""
        words, turns = self.sizes.words, self.sizes.turns
        source, target = cuda.device_array(words, np.uint32), cuda.device_array(words, np.uint32)
        threads = 8 if SIMULATED else 256
        blocks = 2 if SIMULATED else 132 * 16
        work = blocks * threads * turns * 64
        for name, cast, dots in (
            ("float32", np.float32, False),
            ("int32", np.int32, False),
            ("int64", np.int64, False),
            ("bytes", np.int32, True),
        ):
            kernel, values = chains(cast, dots), cuda.to_device(np.array([1, 1, 0, -1, 0], cast))
            seconds = self.seconds(lambda _, kernel=kernel, values=values: kernel[blocks, threads](values, turns))
            self.rates[name] = work * (4 if dots else 1) / seconds
        if SIMULATED:
            self.rates["matrices"] = self.rates["bytes"]
        else:
            values = cuda.to_device(np.array([1, 1, 0, -1, 0], np.int32))
            seconds = self.seconds(lambda _: matrices[blocks, threads](values, turns))
            self.rates["matrices"] = blocks * threads // 32 * turns * 32 * (16 * 32 * 8) / seconds
        # The driver's copy took 2900 GB/s in some processes and 4040 in others, where kernels always came to 4040.
        grid = -(-words // 4 // threads)
        ways = (lambda _: target.copy_to_device(source)), (lambda _: copy_words[grid, threads](source, target))
        self.bandwidth = 8 * words / min(map(self.seconds, ways))
        xt, v = cuda.to_device(np.zeros((1, 1, 1), np.uint32)), cuda.to_device(np.zeros((1, 1, 1)))
        sums, tickets = cuda.to_device(np.zeros((1, 2, 1), np.int64)), cuda.to_device(np.zeros(1, np.int32))
        arguments = xt, v, xt, sums, tickets, np.int32(4), np.int32(1), np.float32(-16), np.float32(15)
        by_numba = self.seconds(lambda _: empty_by_numba[1, 1](*arguments))
        self.launch = self.seconds(lambda _: empty[1, 1](*arguments))
        self.again = self.seconds(lambda _: empty.repeat(20, (1, 1), *arguments)) / 20
        print("\npeaks, measured here (a multiply-add is one operation, however many an instruction has)")
        if SIMULATED:
            print("  ran")
            return
        print(f"  copy, read and write     {self.bandwidth / 1e9:10.0f} GB/s")
        for name, rate in self.rates.items():
            print(f"  {name + ' multiply-adds':24s} {rate / 1e12:10.2f} Top/s")
        print(f"  a launch after the other {self.launch * 1e6:10.1f} us; by Numba {by_numba * 1e6:.1f} us")
        print(f"  the same one again       {self.again * 1e6:10.1f} us")
