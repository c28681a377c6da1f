"""Encoding and decoding times of codecs at about one rate."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import __version__
from ..baselines import Codec
from ..errors import OptionError
from ..metrics import bpp as rate_of
from .curves import Curve, document
from .data import Picture
from .figures import INK, PALETTE, new_figure
from .measures import METRICS, check_metrics
from .records import Progress, stamped_reader
from .study import Guard, Outcome, Place, plural

__all__ = ["run"]

# Seconds after which a call is not repeated any more.
_LONG = 1.0


def run(
    pictures: Sequence[Picture],
    codecs: Sequence[Codec],
    *,
    bpp: float = 0.5,
    repeat: int = 3,
    metrics: Sequence[str] = ("psnr",),
    output: str | os.PathLike | None = None,
    figure: str | os.PathLike | None = None,
    progress: Progress | None = None,
    guard: Guard | None = None,
) -> Outcome:
    """Time codecs one after the other, nothing beside them.

    Of each codec the level whose bytes are nearest to the rate is taken. What counts is the least time of some
    repetitions, which is the one that other work on the machine disturbed least.

    Parameters
    ----------
    pictures : sequence of Picture
        See :func:`imfnb.evaluate.data.pictures`.
    codecs : sequence of Codec
        What to time. Those of :func:`imfnb.evaluate.study.codecs_by_name` have one thread, but for AVIF, which starts
        some of its own.
    bpp : float, default 0.5
        Bits per pixel.
    repeat : int, default 3
        Most repetitions; what takes more than a second is not repeated.
    metrics : sequence of str, default ("psnr",)
        Measures of quality to print beside the times, names of :data:`imfnb.evaluate.measures.METRICS`.
    output, figure : path, optional
        Folder of the results and file of the figure; see :func:`imfnb.evaluate.rate_distortion.run`.
    progress : callable, optional
        Called with the number of finished points and of all points.
    guard : callable, optional
        Asked about results that exist already; see :class:`imfnb.evaluate.study.Place`.

    Returns
    -------
    Outcome
        Table, documents in CompressAI's shape with one point per codec, and files.

    Raises
    ------
    OptionError
        If an option is out of range, or a metric needs a package that is not installed.

    See Also
    --------
    imfnb.evaluate.rate_distortion.run : Rates and distortions.

    Examples
    --------
    >>> import tempfile
    >>> from skimage.data import camera
    >>> from imfnb.evaluate import data, study, timing
    >>> picture = data.Picture("camera", lambda: camera()[90:154, 190:270])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     outcome = timing.run([picture], study.codecs_by_name(["jpeg"]), bpp=1.0, repeat=1, output=folder)
    >>> len(outcome.documents)
    1
    """
    metrics = check_metrics(metrics)
    if not bpp > 0 or repeat < 1:
        raise OptionError(f"bpp is {bpp!r} and repeat is {repeat!r}; expected a positive rate and at least 1")
    place = Place("timing", output, figure, ["timing.json", "table.txt"], guard)
    points = place.points(key=("image", "sha256", "codec", "description", "rate", "repeat", "imfnb"))
    read = stamped_reader()
    curves: dict[str, dict[str, list[dict[str, Any]]]] = {codec.name: {} for codec in codecs}
    megapixels: dict[str, float] = {}
    count = len(pictures) * len(codecs)
    for number, (picture, codec) in enumerate((p, c) for p in pictures for c in codecs):
        stamped = read(picture)
        row: dict[str, Any] = {**stamped.stamp, "codec": codec.name, "description": codec.description}
        row |= {"rate": bpp, "repeat": repeat, "imfnb": __version__}
        point = points.get(row) or row
        missing = [name for name in metrics if METRICS[name].key not in point]
        if missing or point is row:
            point = {**point, **_time(codec, stamped.image, bpp, repeat, missing)}
            points.add(point)
        curves[codec.name][picture.name] = [point]
        megapixels[picture.name] = stamped.image.shape[0] * stamped.image.shape[1] / 1e6
        if progress is not None:
            progress(number + 1, count)
    documents = [document(codec.name, codec.description, curves[codec.name], metrics) for codec in codecs]
    speeds = {name: _per_megapixel(curve, megapixels) for name, curve in curves.items()}
    table = _table(documents, speeds, metrics)
    place.write("timing.json", documents)
    place.write("table.txt", table)
    place.draw(draw(speeds, bpp, len(pictures)))
    return Outcome(table, documents, place.files)


def _time(codec: Codec, image: np.ndarray, bpp: float, repeat: int, metrics: Sequence[str]) -> dict[str, Any]:
    """The level nearest to the rate, quality there, and the least times of encoding and decoding, in seconds."""
    goal = bpp * image.shape[0] * image.shape[1] / 8
    files: dict[float, bytes] = {}
    low, high = 0, len(codec.levels) - 1
    while low <= high:  # levels are in the order of their bytes
        middle = (low + high) // 2
        data = files[codec.levels[middle]] = codec.encode(image, codec.levels[middle])
        low, high = (middle + 1, high) if len(data) < goal else (low, middle - 1)
    level = min(files, key=lambda level: abs(np.log(len(files[level]) / goal)))
    data = files[level]
    decoded = codec.decode(data)
    return {
        "level": level,
        "bytes": len(data),
        "bpp": rate_of(data, image),
        **{METRICS[name].key: METRICS[name].measure(image, decoded) for name in metrics},
        "encoding_time": _least(lambda: codec.encode(image, level), repeat),
        "decoding_time": _least(lambda: codec.decode(data), repeat),
    }


def _least(function: Callable[[], Any], repeat: int) -> float:
    """Least time of some calls, which have all been made before to warm up."""
    times: list[float] = []
    while len(times) < repeat and sum(times) < _LONG:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def _per_megapixel(curve: Curve, megapixels: Mapping[str, float]) -> tuple[float, float]:
    """Milliseconds per megapixel of encoding and decoding: all time over all pixels."""
    total = sum(megapixels.values())
    encoding, decoding = (
        1e3 * sum(points[0][measure] for points in curve.values()) / total
        for measure in ("encoding_time", "decoding_time")
    )
    return encoding, decoding


def _table(
    documents: Sequence[Mapping[str, Any]], speeds: Mapping[str, tuple[float, float]], metrics: Sequence[str]
) -> str:
    """The times as text."""
    chosen = [METRICS[name] for name in metrics]
    head = "".join(f"{metric.label:>16s}" for metric in chosen)
    lines = [f"{'ms per megapixel':20s}{'encode':>10s}{'decode':>10s}{'bpp':>8s}{head}"]
    for result in documents:
        encoding, decoding = speeds[result["name"]]
        values = "".join(f"{metric.text(result['results'][metric.key][0]):>16s}" for metric in chosen)
        lines.append(f"{result['name']:20s}{encoding:10.1f}{decoding:10.1f}{result['results']['bpp'][0]:8.3f}{values}")
    return "\n".join(lines)


def draw(speeds: Mapping[str, tuple[float, float]], bpp: float, count: int) -> Any:
    """The figure: two dots per codec on a logarithmic axis."""
    figure, axes = new_figure(7.2, 1.5 + 0.34 * len(speeds))
    axis = axes[0, 0]
    order = sorted(speeds, key=lambda name: -sum(speeds[name]))
    rows = np.arange(len(order))
    values = np.array([speeds[name] for name in order])
    axis.hlines(rows, values.min(axis=1), values.max(axis=1), color="#C8C8C8", linewidth=1.5)
    for column, (label, marker, color) in enumerate((("encode", "o", PALETTE[0]), ("decode", "s", PALETTE[1]))):
        axis.plot(values[:, column], rows, marker, color=color, markersize=7, label=label)
    for row, pair in enumerate(values):
        sides = (8, -8) if pair[0] >= pair[1] else (-8, 8)
        for value, side, color in zip(pair, sides, PALETTE[:2], strict=True):
            text = f"{value:.0f}" if value >= 10 else f"{value:.1f}"
            axis.annotate(
                text,
                (value, row),
                xytext=(side, 0),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                va="center",
                fontsize=8,
                color=color,
            )
    axis.set_xscale("log")
    axis.set_xlim(values.min() / 2, values.max() * 3)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_ylim(-0.6, len(order) - 0.4)
    axis.set_yticks(rows, order)
    axis.grid(False, axis="y")
    axis.set_xlabel("time (ms per megapixel)", fontsize=9, color=INK)
    axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=8)
    axis.set_title(
        f"near {bpp:g} bits per pixel, {plural(count, 'picture')}, least times", loc="left", fontsize=9, color=INK
    )
    return figure
