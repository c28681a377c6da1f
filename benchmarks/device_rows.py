"""What the rows of `cuda_report` have in common: times by events, the device's peaks, floors and targets."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from imfnb._cuda import SIMULATED, cuda

__all__ = ["Rows", "Sizes"]

#: Bytes that inputs are rotated through: several times the largest L2 cache there is (50 MB on an H200).
ROTATION = 1 << 28


@dataclass(frozen=True)
class Sizes:
    """Heights and widths of what is measured, how many images the batch has, and how often everything runs.

    Attributes
    ----------
    large, kodak : (int, int)
        Shape of the single image and of those of a batch.
    batch : int
        Images of the batch.
    words, steps : int
        32-bit words of the copy, and steps of the chains of multiply-adds.
    launches, rounds : int
        Launches of one round, and rounds of which the median counts.
    """

    large: tuple[int, int] = (2832, 4240)
    kodak: tuple[int, int] = (512, 768)
    batch: int = 256
    words: int = 1 << 26
    steps: int = 1 << 14
    launches: int = 20
    rounds: int = 7


@cuda.jit
def copy(source, target):
    start, step = cuda.grid(1), cuda.gridsize(1)
    for i in range(start, source.shape[0], step):
        target[i] = source[i]


def chains(cast: type) -> Any:
    """The kernel of eight independent chains of multiply-adds in a type, so that latency does not count."""

    @cuda.jit
    def kernel(values, steps):
        a = b = c = d = e = f = g = h = values[0]
        x, y = values[1], values[2]
        for _ in range(steps):
            a, b, c, d = cast(a * x + y), cast(b * x + y), cast(c * x + y), cast(d * x + y)
            e, f, g, h = cast(e * x + y), cast(f * x + y), cast(g * x + y), cast(h * x + y)
        total = cast(a + b + c + d + e + f + g + h)
        if total == values[3]:  # never, but the compiler cannot know
            values[4] = total

    return kernel


@cuda.jit
def empty(xt, v, ut, sums, tickets, count, tiles, low, high, finish):
    """The arguments of a sweep of the baseline, and no work."""


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
        Multiply-adds per second: "float32", "int32" and "int64".
    launch : float
        Seconds from a launch to the next.
    """

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.bandwidth = self.launch = float("nan")
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

    def floor(self, nbytes: float, operations: float, rate: str = "float32") -> tuple[float, str]:
        """Seconds that bytes or multiply-adds of a type take at least, and which of the two binds."""
        return max((nbytes / self.bandwidth, "copy"), (operations / self.rates[rate], rate))

    def row(self, name: str, seconds: float, nbytes: float, operations: float, rate: str = "float32") -> None:
        """Print a kernel's figures."""
        if SIMULATED:
            print(f"  {name:46s} ran")
            return
        floor, bound = self.floor(nbytes, operations, rate)
        rates = f"{nbytes / seconds / 1e9:8.0f} GB/s {operations / seconds / 1e12:7.2f} Top/s"
        print(
            f"  {name:46s} {nbytes / 1e6:10.2f} MB {operations / 1e9:9.3f} Gop {seconds * 1e6:10.1f} us {rates}"
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
        words, steps = self.sizes.words, self.sizes.steps
        source, target = cuda.device_array(words, np.uint32), cuda.device_array(words, np.uint32)
        threads = 8 if SIMULATED else 256
        blocks = 2 if SIMULATED else 132 * 16
        self.bandwidth = 8 * words / self.seconds(lambda _: copy[blocks, threads](source, target))
        work = blocks * threads * steps * 8
        for cast in (np.float32, np.int32, np.int64):
            kernel, values = chains(cast), cuda.to_device(np.array([1, 1, 0, -1, 0], cast))
            seconds = self.seconds(lambda _, kernel=kernel, values=values: kernel[blocks, threads](values, steps))
            self.rates[cast.__name__] = work / seconds
        ut, v = cuda.to_device(np.zeros((1, 1, 64), np.int8)), cuda.to_device(np.zeros((1, 64, 1)))
        sums, tickets = cuda.to_device(np.zeros((1, 65, 1), np.int64)), cuda.to_device(np.zeros(1, np.int32))
        low, high = np.float32(-16), np.float32(15)
        self.launch = self.seconds(lambda _: empty[1, 1](ut, v, ut, sums, tickets, 4, 1, low, high, True))
        print("\npeaks, measured here (a multiply-add is one operation)")
        if SIMULATED:
            print("  ran")
            return
        print(f"  copy, read and write     {self.bandwidth / 1e9:10.0f} GB/s")
        for name, rate in self.rates.items():
            print(f"  {name + ' multiply-adds':24s} {rate / 1e12:10.2f} Top/s")
        print(f"  a launch after the other {self.launch * 1e6:10.1f} us")
