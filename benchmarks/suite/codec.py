"""Encode and decode end to end: time, memory, rate and quality."""

from __future__ import annotations

import numpy as np

import imfnb
from imfnb.metrics import psnr

from .common import BACKENDS, SIZES, photograph, require


class Baseline:
    """The paper's method by backend, size, rank and threads."""

    params = (BACKENDS, tuple(SIZES), (2, 5, 20), (1, 2))
    param_names = ("backend", "size", "rank", "threads")
    timeout = 600

    def setup(self, backend: str, size: str, rank: int, threads: int) -> None:
        require(backend, size)
        self.options = {"device": backend, "threads": threads}
        self.image = photograph(size)
        self.encoding = {"profile": "baseline", "rank": rank, **self.options}
        self.data = imfnb.encode(self.image, **self.encoding)
        imfnb.decode(self.data, **self.options)

    def time_encode(self, *_: object) -> None:
        imfnb.encode(self.image, **self.encoding)

    def time_decode(self, *_: object) -> None:
        imfnb.decode(self.data, **self.options)


class Main:
    """The main profile by backend, size, quality and threads."""

    params = (BACKENDS, tuple(SIZES), (25, 45, 75), (1, 2))
    param_names = ("backend", "size", "quality", "threads")
    timeout = 900

    def setup(self, backend: str, size: str, quality: int, threads: int) -> None:
        if backend == "reference":
            raise NotImplementedError("the reference's entropy coder takes 20 us a bin: seconds for a small photograph")
        require(backend, size, profile="main")
        self.options = {"device": backend, "threads": threads}
        self.image = photograph(size)
        self.encoding = {"quality": quality, **self.options}
        self.data = imfnb.encode(self.image, **self.encoding)
        imfnb.decode(self.data, **self.options)

    def time_encode(self, *_: object) -> None:
        imfnb.encode(self.image, **self.encoding)

    def time_decode(self, *_: object) -> None:
        imfnb.decode(self.data, **self.options)


class Memory:
    """Peak memory of encoding and decoding, the picture included."""

    params = (("baseline", "main"), ("0.4 MP", "12 MP"))
    param_names = ("profile", "size")
    timeout = 300

    def setup(self, profile: str, size: str) -> None:
        self.image = photograph(size)
        self.data = imfnb.encode(self.image, profile=profile, quality=25)

    def peakmem_encode(self, profile: str, size: str) -> None:
        imfnb.encode(self.image, profile=profile, quality=25)

    def peakmem_decode(self, profile: str, size: str) -> None:
        imfnb.decode(self.data)


class Quality:
    """What the bytes buy; changes here are changes of the codec, not of its speed."""

    params = (("baseline", "main"), (15, 40, 80))
    param_names = ("profile", "quality")

    def setup(self, profile: str, quality: int) -> None:
        self.image = photograph("0.4 MP")
        self.data = imfnb.encode(self.image, profile=profile, quality=quality)

    def track_bpp(self, *_: object) -> float:
        return 8 * len(self.data) / (self.image.shape[0] * self.image.shape[1])

    def track_psnr(self, *_: object) -> float:
        return psnr(self.image, imfnb.decode(self.data))

    track_bpp.unit = "bit/pixel"  # type: ignore[attr-defined]
    track_psnr.unit = "dB"  # type: ignore[attr-defined]


class Batch:
    """Many small pictures on all cores."""

    params = ((1, 2),)
    param_names = ("threads",)
    timeout = 300

    def setup(self, threads: int) -> None:
        image = photograph("0.4 MP")
        self.images = [np.roll(image, 37 * i, axis=1) for i in range(12)]
        self.files = imfnb.encode_batch(self.images[:2], quality=45)

    def time_encode_batch(self, threads: int) -> None:
        imfnb.encode_batch(self.images, threads=threads, quality=45)

    def time_decode_batch(self, threads: int) -> None:
        imfnb.decode_batch(self.files * 6, threads=threads)


def track_bd_rate_to_jpeg() -> float:
    """BD-rate of the main profile against optimised JPEG on one photograph, percent."""
    import io

    from PIL import Image

    from imfnb.metrics import bd_rate

    image = photograph("0.4 MP")
    files = [imfnb.encode(image, step=step) for step in (14, 28, 56)]
    ours = [(len(data), psnr(image, imfnb.decode(data))) for data in files]
    theirs = []
    for quality in (10, 25, 50, 75):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=quality, optimize=True)
        theirs.append((buffer.tell(), psnr(image, np.asarray(Image.open(buffer)))))
    return bd_rate(*zip(*theirs, strict=True), *zip(*ours, strict=True))


track_bd_rate_to_jpeg.unit = "%"  # type: ignore[attr-defined]
