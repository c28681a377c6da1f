"""The kernels on the GPU, times by CUDA's events with the data resident; transfers on their own.

Inputs are rotated so that they do not come from the L2 cache. ``benchmarks/cuda_report.py`` relates the same kernels to
the device's peaks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import imfnb

from .common import SIZES, photograph, require

#: Bytes that inputs are rotated through, more than an L2 cache holds.
ROTATION = 1 << 28

LAUNCHES = 20


def milliseconds(launch: Callable[[int], None], copies: int) -> float:
    """Time of one launch; `launch` takes the number of the inputs to use."""
    from imfnb.runtime.cuda import cuda

    start, stop = cuda.event(), cuda.event()
    launch(0)
    start.record()
    for i in range(LAUNCHES):
        launch(i % copies)
    stop.record()
    stop.synchronize()
    return cuda.event_elapsed_time(start, stop) / LAUNCHES


class Kernels:
    """The baseline's kernels on luma, colour on everything: one image, and 64 of the smallest size."""

    params = (("0.4 MP", "2 MP", "12 MP", "64 x 0.4 MP"), (2, 5, 20))
    param_names = ("size", "rank")
    unit = "ms"
    timeout = 300

    def setup(self, size: str, rank: int) -> None:
        require("cuda")
        from imfnb.patches.cuda import padded
        from imfnb.runtime.cuda import cuda

        name = size.removeprefix("64 x ")
        count = 64 if name != size else 1
        height, width = SIZES[name]
        image = np.repeat(photograph(name)[None], count, axis=0)
        self.n = max(2, min(16, -(-ROTATION // image.nbytes)))
        self.images = [cuda.to_device(np.roll(image, i, axis=2)) for i in range(self.n)]
        half = (height + 1) // 2, (width + 1) // 2
        self.planes = [
            [cuda.device_array((count, *shape), np.uint8) for shape in ((height, width), half, half)]
            for _ in range(self.n)
        ]
        self.m = -(-height // 8) * -(-width // 8)
        stride = padded(self.m)
        self.xt = [cuda.device_array((count, 64, stride), np.uint8) for _ in range(self.n)]
        self.words = [xt.view(np.uint32) for xt in self.xt]
        rng = np.random.default_rng(0)
        self.v = cuda.to_device(rng.integers(-16, 15, (count, 64, rank)).astype(np.float64))
        self.vt = cuda.to_device(rng.integers(-16, 15, (count, rank, 64)).astype(np.int8))
        self.ut = [cuda.to_device(np.zeros((count, rank, stride), np.int8)) for _ in range(self.n)]
        self.factors = [ut.view(np.uint32) for ut in self.ut]
        self.sums = cuda.to_device(np.zeros((count, 64 + rank, rank), np.int64))
        self.tickets = cuda.to_device(np.zeros(count, np.int32))
        self.squares = cuda.to_device(np.zeros((count, 64, 64)))
        for i in range(self.n):
            self._split(i)
            self._cut(i)
        self.track_gram()

    def _split(self, i: int) -> None:
        from imfnb.color.cuda import rgb_to_ycbcr

        rgb_to_ycbcr(self.images[i], *self.planes[i])

    def _cut(self, i: int) -> None:
        from imfnb.patches.cuda import patchify

        patchify(self.planes[i][0], 8, 8, self.xt[i])

    def track_rgb_to_ycbcr(self, *_: object) -> float:
        return milliseconds(self._split, self.n)

    def track_ycbcr_to_rgb(self, *_: object) -> float:
        from imfnb.color.cuda import ycbcr_to_rgb

        return milliseconds(lambda i: ycbcr_to_rgb(*self.planes[i], self.images[i]), self.n)

    def track_patchify(self, *_: object) -> float:
        return milliseconds(self._cut, self.n)

    def track_gram(self, *_: object) -> float:
        from imfnb.factorization.bcd.cuda_bytes import gram

        return milliseconds(lambda i: gram(self.xt[i], self.m, self.squares), self.n)

    def track_start(self, _: str, rank: int) -> float:
        from imfnb.factorization.init.cuda import start_v

        return milliseconds(lambda i: start_v(self.squares, rank, -16.0, 15.0, self.v), 1)

    def track_sweep(self, *_: object) -> float:
        from imfnb.factorization.bcd.cuda_bytes import sweep

        fixed = self.sums, self.tickets, self.m, -16, 15
        return milliseconds(lambda i: sweep(self.words[i], self.v, self.factors[i], *fixed), self.n)

    def track_depatchify(self, size: str, rank: int) -> float:
        from imfnb.patches.cuda import depatchify

        return milliseconds(lambda i: depatchify(self.ut[i], self.vt, rank, 8, 8, self.planes[i][0], 16), self.n)


for _name in [name for name in vars(Kernels) if name.startswith("track_")]:
    getattr(Kernels, _name).unit = "ms"


class Transfers:
    """The way of an image to the device and back, pinned and not."""

    params = (("0.4 MP", "12 MP"), ("pinned", "pageable"))
    param_names = ("size", "memory")

    def setup(self, size: str, memory: str) -> None:
        require("cuda")
        from imfnb.runtime.cuda import cuda

        self.host: Any = photograph(size)
        self.device, self.stream = cuda.to_device(self.host), cuda.stream()
        if memory == "pinned":
            pinned = cuda.pinned_array(self.host.shape, np.uint8)
            pinned[...] = self.host
            self.host = pinned
        else:
            self.host = self.host.copy()

    def time_to_device(self, *_: object) -> None:
        self.device.copy_to_device(self.host, stream=self.stream)
        self.stream.synchronize()

    def time_from_device(self, *_: object) -> None:
        self.device.copy_to_host(self.host, stream=self.stream)
        self.stream.synchronize()


class Batch:
    """Whole batches of 64, host to host, the entropy coder included."""

    params = (("cpu", "cuda"),)
    param_names = ("backend",)
    timeout = 300

    def setup(self, backend: str) -> None:
        require(backend)
        image = photograph("0.4 MP")
        self.images = [np.roll(image, 37 * i, axis=1) for i in range(64)]
        self.options = {"profile": "baseline", "rank": (5, 2, 2), "device": backend}
        self.files = imfnb.encode_batch(self.images, **self.options)
        imfnb.decode_batch(self.files, device=backend)

    def time_encode_batch(self, backend: str) -> None:
        imfnb.encode_batch(self.images, **self.options)

    def time_decode_batch(self, backend: str) -> None:
        imfnb.decode_batch(self.files, device=backend)
