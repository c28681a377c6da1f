"""Measured points that survive an interruption, and the loop that measures them."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..batch import run_batch
from ..errors import ImfError, OptionError, naming
from ..metrics import bpp
from ..runtime.devices import resolve_threads
from .data import Picture
from .measures import METRICS
from .scenes import Scene

if TYPE_CHECKING:
    from ..baselines import Codec

__all__ = ["Points", "Progress", "Stamped", "collect", "measure", "side_by_side", "stamped_reader"]

#: Called with the number of finished points and of all points.
Progress = Callable[[int, int], None]

#: What tells one point from another.
_KEY = ("image", "sha256", "codec", "description", "level", "imfnb")


class Points:
    """Points of a study in a file of JSON lines.

    Every point is on disk as soon as it is measured. A line that was cut off by a crash is passed over, and its point
    is measured again.

    Parameters
    ----------
    path : path
        The file; it is made with the first point.
    key : sequence of str, optional
        Fields that tell one point from another.
    """

    def __init__(self, path: Path, key: Sequence[str] = _KEY) -> None:
        self.path, self.key = path, tuple(key)
        self._rows: dict[Hashable, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._torn = False
        if path.exists():
            data = path.read_bytes()
            self._torn = bool(data) and not data.endswith(b"\n")
            for line in data.splitlines():
                try:
                    row = json.loads(line)
                    self._rows[self._identify(row)] = row
                except (ValueError, KeyError, TypeError):
                    continue

    def _identify(self, row: Mapping[str, Any]) -> Hashable:
        return tuple(row[field] for field in self.key)

    def get(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """The point that has the key of `row`, None if it is not there."""
        return self._rows.get(self._identify(row))

    def add(self, row: dict[str, Any]) -> None:
        """Keep a point, in memory and on disk."""
        line = json.dumps(row).encode() + b"\n"
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab") as file:
                file.write(b"\n" + line if self._torn else line)
            self._torn = False
            self._rows[self._identify(row)] = row


class Stamped:
    """The pixels of a picture or samples of a scene, with what identifies them in the records.

    Attributes
    ----------
    image : ndarray
        What :meth:`Picture.read` or :meth:`Scene.read` returns; read-only.
    stamp : dict
        The fields "image" and "sha256" of a point.
    """

    def __init__(self, picture: Picture | Scene) -> None:
        with naming(picture.name):
            self.image = picture.read()
        digest = hashlib.sha256(repr(self.image.shape).encode() + self.image.tobytes()).hexdigest()
        self.stamp = {"image": picture.name, "sha256": digest[:16]}


def stamped_reader() -> Callable[[Picture | Scene], Stamped]:
    """A function that reads pictures and keeps the last few, which all codecs need one after the other."""
    return lru_cache(maxsize=4)(Stamped)


def measure(codec: Codec, image: np.ndarray, level: float, metrics: Iterable[str] = ("psnr",)) -> dict[str, Any]:
    """Measure one point.

    Parameters
    ----------
    codec : Codec
        The codec.
    image : ndarray of uint8, shape (H, W) or (H, W, 3)
        What to code.
    level : float
        The codec's setting.
    metrics : iterable of str, default ("psnr",)
        Names of :data:`imfnb.evaluate.measures.METRICS`; some take longer than many a codec.

    Returns
    -------
    dict
        "bytes", "bpp" (bits per pixel), the measures under their keys, such as "psnr-rgb" (dB, over all samples),
        "encoding_time" and "decoding_time" (seconds). None stands for the PSNR of identical images, and for what the
        image is too small for.

    See Also
    --------
    imfnb.evaluate.rate_distortion.run : Measures curves, and keeps the points.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb import baselines
    >>> from imfnb.evaluate import records
    >>> image = np.full((16, 24, 3), 128, np.uint8)
    >>> point = records.measure(baselines.codec("jpeg"), image, 90)
    >>> sorted(point)
    ['bpp', 'bytes', 'decoding_time', 'encoding_time', 'psnr-rgb']
    """
    start = time.perf_counter()
    data = codec.encode(image, level)
    middle = time.perf_counter()
    decoded = codec.decode(data)
    end = time.perf_counter()
    return {
        "bytes": len(data),
        "bpp": bpp(data, image),
        **{METRICS[name].key: METRICS[name].measure(image, decoded) for name in metrics},
        "encoding_time": middle - start,
        "decoding_time": end - middle,
    }


def collect(
    codecs: Iterable[Codec],
    pictures: Sequence[Picture],
    points: Points,
    threads: int | None = None,
    progress: Progress | None = None,
    metrics: Sequence[str] = ("psnr",),
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Measure all codecs at all their levels on all pictures, leaving out what the records have.

    A point that was recorded without one of the measures is coded again and completed.

    Parameters
    ----------
    codecs : iterable of Codec
        The codecs.
    pictures : sequence of Picture
        The pictures.
    points : Points
        The records.
    threads : int, optional
        Pictures that are worked on side by side; all cores by default. Times are better taken with one.
    progress : callable, optional
        Called with the number of finished points and of all points, from any thread but one at a time.
    metrics : sequence of str, default ("psnr",)
        What to measure; names of :data:`imfnb.evaluate.measures.METRICS`.

    Returns
    -------
    dict
        codec -> picture -> points in the order of the levels.

    Raises
    ------
    OptionError
        If some points could not be measured; all others are then in the records.
    KeyboardInterrupt
        When interrupted; the points that are being measured are finished and kept first.
    """
    codecs = list(codecs)
    read = stamped_reader()
    found: dict[str, dict[str, list[dict[str, Any]]]] = {
        codec.name: {picture.name: [] for picture in pictures} for codec in codecs
    }
    stop, lock = threading.Event(), threading.Lock()
    done, count = 0, sum(len(codec.levels) for codec in codecs) * len(pictures)

    def curve(job: tuple[Picture, Codec]) -> None:
        nonlocal done
        picture, codec = job
        stamped = read(picture)
        for level in codec.levels:
            if stop.is_set():
                return
            row = {**stamped.stamp, "codec": codec.name, "description": codec.description, "level": level}
            row["imfnb"] = __version__
            point = points.get(row) or row
            missing = [name for name in metrics if METRICS[name].key not in point]
            if missing or point is row:
                point = {**point, **measure(codec, stamped.image, level, missing)}
                points.add(point)
            found[codec.name][picture.name].append(point)
            with lock:
                done += 1
                if progress is not None:
                    progress(done, count)

    side_by_side(curve, [(picture, codec) for picture in pictures for codec in codecs], stop, points, threads)
    return found


def side_by_side(
    curve: Callable[[Any], None],
    jobs: Sequence[tuple[Any, Any]],
    stop: threading.Event,
    points: Points,
    threads: int | None = None,
) -> None:
    """Measure curves on threads.

    Parameters
    ----------
    curve : callable
        Called with every job; ends early once `stop` is set.
    jobs : sequence of (Picture or Scene, Codec or ArrayCodec)
        What to measure.
    stop : Event
        Set when no point is to be begun any more.
    points : Points
        The records, which the error names.
    threads : int, optional
        Jobs at a time; all cores by default.

    Raises
    ------
    OptionError
        If some curves are not complete.
    """
    with ThreadPoolExecutor(min(resolve_threads(threads), max(1, len(jobs)))) as pool:
        try:
            failures = run_batch(curve, jobs, pool, errors="return")
        finally:
            stop.set()
    failed = [(job, error) for job, error in zip(jobs, failures, strict=True) if error is not None]
    for _, error in failed:
        if not isinstance(error, (ImfError, OSError, MemoryError)):
            raise error
    if failed:
        (picture, codec), error = failed[0]
        raise OptionError(
            f"{len(failed)} of {len(jobs)} curves are not complete, the first: {codec.name} on {picture.name}: "
            f"{error}; what was measured is kept in {points.path}"
        )
