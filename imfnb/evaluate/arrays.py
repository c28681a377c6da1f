"""Codecs of arrays of any dtype and number of bands: curves, lossless and bounded rates, times, a collage."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import __version__, metrics
from ..baselines.arrays import ArrayCodec, array_codec, array_names
from ..errors import OptionError
from ..headers import info
from .array_figures import draw_collage, draw_curves
from .curves import Curve, compare, value_at
from .measures import ARRAY_PSNR
from .records import Points, Progress, Stamped, side_by_side, stamped_reader
from .scenes import Scene
from .study import Guard, Outcome, Place, plural

__all__ = ["codecs_of_arrays", "run"]

# Rates of the tables, bits per sample.
_RATES = (0.1, 0.25, 0.5, 1.0, 2.0)

# The rate at which codecs are timed, and the most levels that a curve goes up or down from where it begins.
_TIMED, _STEPS = 1.0, 40

# Bound of the error of integers, in units of the data, and that of floats over their range.
_INTEGER_BOUND, _FLOAT_BOUND = 2.0, 1e-3

# What others are timed against, and what the collage shows beside the first codec.
_CLOCK, _SHOWN = "jpeg2000", ("klt-jpeg2000", "jpeg2000")


def codecs_of_arrays(chosen: Iterable[str] | None = None) -> list[ArrayCodec]:
    """Codecs of arrays by their names.

    Parameters
    ----------
    chosen : iterable of str, optional
        Some of :func:`imfnb.baselines.arrays.array_names`; None, or "all" among them, stands for all.

    Returns
    -------
    list of ArrayCodec
        Each once.

    Raises
    ------
    OptionError
        If there is no such codec, or the package that has it is not installed.

    See Also
    --------
    imfnb.baselines.arrays.array_names : What there is.
    run : Compares them.

    Examples
    --------
    >>> from imfnb.evaluate import arrays
    >>> [codec.name for codec in arrays.codecs_of_arrays(["zfp", "jpeg2000"])]
    ['zfp', 'jpeg2000']
    """
    wanted = array_names() if chosen is None else tuple(chosen)
    if "all" in wanted:
        wanted = array_names()
    return [array_codec(name) for name in dict.fromkeys(wanted)]


def run(
    scenes: Sequence[Scene],
    codecs: Sequence[ArrayCodec],
    *,
    rates: tuple[float, float] = (0.05, 3.0),
    max_error: float | None = None,
    bps: float = 0.25,
    repeat: int = 3,
    output: str | os.PathLike | None = None,
    figure: str | os.PathLike | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    guard: Guard | None = None,
) -> Outcome:
    """Compare codecs of arrays; the first one is compared with each of the others.

    Codecs whose level is the noise are measured at levels half a bit apart until they have passed the highest rate;
    those whose level is a bound at 0 (lossless; integers only) and at one bound.

    Parameters
    ----------
    scenes : sequence of Scene
        See :func:`imfnb.evaluate.scenes.scenes`.
    codecs : sequence of ArrayCodec
        See :func:`codecs_of_arrays`.
    rates : (float, float), default (0.05, 3.0)
        The lowest and the highest rate that BD-rates compare, in bits per sample.
    max_error : float, optional
        The bound, in units of the data; by default 2 for integers and a thousandth of the range for floats.
    bps : float, default 0.25
        Rate of the collage, in bits per sample.
    repeat : int, default 3
        Repetitions of encoding and decoding for the times near one bit per sample, of which the least counts; what is
        compared is timed in turn. 0 leaves the times out.
    output : path, optional
        Folder of the results: points.jsonl (the records, from which an interrupted study goes on), arrays.json,
        table.txt and collage.png.
    figure : path, optional
        File of the figure of the curves, .png, .svg or .pdf.
    threads : int, optional
        Curves measured side by side; all cores by default.
    progress : callable, optional
        Called with the number of finished curves and of all.
    guard : callable, optional
        Asked about results that exist already; see :class:`imfnb.evaluate.study.Place`.

    Returns
    -------
    Outcome
        The tables, a document per codec, and the files.

    Raises
    ------
    OptionError
        If the rates are no range, another option is out of range, a file cannot be read, no codec is given, or some
        points could not be measured.

    See Also
    --------
    imfnb.evaluate.scenes.scenes : Arrays by name.
    codecs_of_arrays : Codecs by name.
    imfnb.evaluate.rate_distortion.run : The same for pictures.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from imfnb.evaluate import arrays, scenes
    >>> field = np.random.default_rng(0).normal(size=(32, 40)).cumsum(0).cumsum(1).astype(np.float32)
    >>> scene = scenes.Scene("field", "field", lambda: field)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     codecs = arrays.codecs_of_arrays(["zfp", "jpeg2000"])
    ...     outcome = arrays.run([scene], codecs, repeat=0, output=folder)
    >>> outcome.files[0].name
    'figure.png'
    """
    if not 0 < rates[0] < rates[1] < math.inf:
        raise OptionError(f"rates are {rates[0]!r} to {rates[1]!r}; expected two positive numbers, the lower first")
    if not bps > 0 or repeat < 0 or not (max_error is None or max_error > 0):
        raise OptionError(
            f"bps is {bps!r}, repeat {repeat!r} and max_error {max_error!r}; expected a positive rate, at least 0, and "
            "a positive number or none"
        )
    if not codecs:
        raise OptionError(f"no codecs are given; name some of {', '.join(array_names())}")
    place = Place("arrays", output, figure, ["arrays.json", "table.txt", "collage.png"], guard)
    found = _collect(scenes, codecs, place.points(), rates, max_error, threads, progress)
    curves = {c.name: found[c.name] for c in codecs if c.target == "noise" and found[c.name]}
    bounded = {c.name: found[c.name] for c in codecs if c.target == "bound" and found[c.name]}
    times = _times(scenes, codecs, curves, repeat) if repeat else {}
    tables = [
        _bd_table(scenes, curves, rates),
        *(_curve_table(name, group, curves) for name, group in _groups(scenes).items()),
        _stack_table(scenes, curves, rates),
        _bound_table("lossless, bits per sample", scenes, bounded, lossless=True),
        _bound_table("largest error kept, bits per sample", scenes, bounded, lossless=False),
        _basis_table(scenes, curves),
        _time_table(times),
    ]
    table = "\n\n".join(filter(None, tables))
    documents = [
        {"name": c.name, "description": c.description, "scenes": found[c.name], "times": times.get(c.name, {})}
        for c in codecs
    ]
    place.write("arrays.json", documents)
    place.write("table.txt", table)
    files = place.files
    if curves:
        place.draw(draw_curves(_groups(scenes), curves, rates))
        lossy = [c for c in codecs if c.target == "noise" and c.takes(scenes[0].read())]
        shown = [c for n, c in enumerate(lossy) if n == 0 or c.name in _SHOWN]
        place.draw(draw_collage(scenes[0], shown, bps), "collage.png", dpi=144)
    else:
        files = [path for path in files if path.suffix in (".json", ".txt")]
    return Outcome(table, documents, files)


# ------------------------------------------------------------------------------------------------------- measuring


def _collect(
    scenes: Sequence[Scene],
    codecs: Sequence[ArrayCodec],
    points: Points,
    rates: tuple[float, float],
    max_error: float | None,
    threads: int | None,
    progress: Progress | None,
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """All points: codec -> scene -> points, from the fewest to the most bits; no scene for codecs that cannot."""
    read = stamped_reader()
    found: dict[str, dict[str, list[dict[str, Any]]]] = {codec.name: {} for codec in codecs}
    jobs = [(scene, codec) for scene in scenes for codec in codecs]
    stop, lock, done = threading.Event(), threading.Lock(), 0

    def curve(job: tuple[Scene, ArrayCodec]) -> None:
        nonlocal done
        scene, codec = job
        stamped = read(scene)

        def point(level: float) -> dict[str, Any]:
            row = {**stamped.stamp, "codec": codec.name, "description": codec.description, "level": level}
            row["imfnb"] = __version__
            known = points.get(row)
            if known is None:
                known = {**row, **_measure(codec, stamped.image, level)}
                points.add(known)
            return known

        if codec.takes(stamped.image):
            if codec.target == "noise":
                measured = _ladder(stamped, point, rates, stop)
            else:
                measured = [point(level) for level in _bounds(stamped.image, codec, max_error)]
            found[codec.name][scene.name] = sorted(measured, key=lambda row: row["bytes"])
        with lock:
            done += 1
            if progress is not None:
                progress(done, len(jobs))

    side_by_side(curve, jobs, stop, points, threads)
    # Threads finish in any order; tables want that of the scenes.
    return {
        name: {scene.name: of_codec[scene.name] for scene in scenes if scene.name in of_codec}
        for name, of_codec in found.items()
    }


def _ladder(stamped: Stamped, point: Any, rates: tuple[float, float], stop: threading.Event) -> list[dict[str, Any]]:
    """Points at noises of 2^(k/2), the same for all scenes, down and up from the spread until both rates are passed."""
    samples = stamped.image.reshape(-1, stamped.image.shape[2] if stamped.image.ndim == 3 else 1).astype(np.float64)
    spread = math.sqrt(float(np.mean((samples - samples.mean(axis=0)) ** 2))) or 1.0
    start = math.floor(2 * math.log2(spread)) - 1
    measured: list[dict[str, Any]] = []
    for direction in (-1, 1):
        for number in range(_STEPS):
            if stop.is_set():
                return measured
            row = point(2.0 ** ((start + direction * number + (direction > 0)) / 2))
            measured.append(row)
            if direction < 0 and (row["bps"] > rates[1] or row["psnr"] is None):
                break
            if direction > 0 and (row["bps"] < rates[0] or row["bytes"] == measured[-2]["bytes"]):
                break  # passed, or as low as the codec goes
    return measured


def _bounds(image: np.ndarray, codec: ArrayCodec, max_error: float | None) -> list[float]:
    """The bounds at which a codec is measured."""
    if image.dtype.kind == "f":
        bound = max_error or _FLOAT_BOUND * float(np.ptp(image))
        return [bound] if 0 < bound <= codec.largest else []
    return [0.0, *([max_error or _INTEGER_BOUND] if (max_error or _INTEGER_BOUND) <= codec.largest else [])]


def _measure(codec: ArrayCodec, image: np.ndarray, level: float) -> dict[str, Any]:
    """One point: bytes, rates, measures of quality (None for infinite ones) and times in seconds."""
    start = time.perf_counter()
    data = codec.encode(image, level)
    middle = time.perf_counter()
    decoded = codec.decode(data, image.shape, image.dtype)
    end = time.perf_counter()
    error = metrics.max_error(image, decoded)
    found: dict[str, Any] = {"bytes": len(data), "bpp": metrics.bpp(data, image), "bps": 8 * len(data) / image.size}
    if error > 0:
        found["psnr"], found["snr"] = metrics.psnr(image, decoded), metrics.snr(image, decoded)
        found["rmse"] = 10 ** (-metrics.psnr(image, decoded, peak=1) / 20)
    else:
        found |= {"psnr": None, "snr": None, "rmse": 0.0}
    found["max_error"] = error
    found["spectral_angle"] = metrics.spectral_angle(image, decoded) if _bands(image) > 1 else None
    if codec.name == "imf":  # the share of V, which other codecs do not have or do not tell
        found["basis_bytes"] = info(data).get("segments", {}).get("V", 0)
    return {**found, "encoding_time": middle - start, "decoding_time": end - middle}


def _bands(image: np.ndarray) -> int:
    return image.shape[2] if image.ndim == 3 else 1


def _times(
    scenes: Sequence[Scene], codecs: Sequence[ArrayCodec], curves: Mapping[str, Curve], repeat: int
) -> dict[str, dict[str, tuple[float, float]]]:
    """Least seconds of encoding and decoding: codec -> scene -> both, at the level nearest to the timed rate.

    Codecs take turns, so that what else the machine does meanwhile disturbs all of them.
    """
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for scene in [group[0] for group in _groups(scenes).values()]:
        image = scene.read()
        levels = {
            name: min(curve[scene.name], key=lambda row: abs(math.log(row["bps"] / _TIMED)))["level"]
            for name, curve in curves.items()
            if curve.get(scene.name)
        }
        for _ in range(repeat):
            for codec in codecs:
                if codec.name in levels:
                    start = time.perf_counter()
                    data = codec.encode(image, levels[codec.name])
                    middle = time.perf_counter()
                    codec.decode(data, image.shape, image.dtype)
                    pair = middle - start, time.perf_counter() - middle
                    before = found.setdefault(codec.name, {}).get(scene.name, pair)
                    found[codec.name][scene.name] = min(pair[0], before[0]), min(pair[1], before[1])
    return found


# ---------------------------------------------------------------------------------------------------------- tables


def _groups(scenes: Sequence[Scene]) -> dict[str, list[Scene]]:
    """The scenes of every set."""
    found: dict[str, list[Scene]] = {}
    for scene in scenes:
        found.setdefault(scene.group, []).append(scene)
    return found


def _counted(group: Sequence[Scene]) -> bool:
    """Whether a set counts in means over sets: it has several bands and is not another one once more."""
    return not group[0].stacked and _bands(group[0].read()) > 1


def _per_sample(curve: Curve, group: Sequence[Scene]) -> dict[str, list[dict[str, Any]]]:
    """The curve over some scenes, with rates in bits per sample."""
    return {s.name: [{**row, "bpp": row["bps"]} for row in curve[s.name]] for s in group if s.name in curve}


def _rows(title: str, columns: Sequence[str], rows: Mapping[str, Sequence[float]], form: str) -> str:
    """A table with a mean in its last column, if there is one; a dash for what is not known."""
    first = max(20, len(title) + 2, *(len(name) + 2 for name in rows))
    widths = [max(9, len(column) + 2) for column in columns]
    lines = [f"{title:{first}s}" + "".join(f"{column:>{w}s}" for column, w in zip(columns, widths, strict=True))]
    for name, values in rows.items():
        texts = (format(value, form) if math.isfinite(value) else "-" for value in values)
        lines.append(f"{name:{first}s}" + "".join(f"{text:>{w}s}" for text, w in zip(texts, widths, strict=True)))
    return "\n".join(lines)


def _mean(values: Iterable[float]) -> float:
    """The mean, nan where a value is not known."""
    known = list(values)
    return float(np.mean(known)) if known else math.nan


def _bd_table(scenes: Sequence[Scene], curves: Mapping[str, Curve], rates: tuple[float, float]) -> str:
    """BD-rates of the first codec against each of the others, set by set."""
    if len(curves) < 2:
        return ""
    groups = _groups(scenes)
    ours, *others = curves
    counted = [_counted(group) for group in groups.values()]
    rows = {}
    for name in others:
        values = [
            compare(_per_sample(curves[ours], group), _per_sample(curves[name], group), ARRAY_PSNR, rates).rate
            for group in groups.values()
        ]
        rows[name] = [*values, _mean(v for v, c in zip(values, counted, strict=True) if c)]
    head = f"BD-rate in % of {ours} against each, {rates[0]:g} to {rates[1]:g} bits per sample"
    note = f"mean: over {plural(sum(counted), 'set')} of several bands, stacked ones left out"
    return f"{head}; {note}\n" + _rows("", [*groups, "mean"], rows, "+.1f")


def _curve_table(title: str, group: Sequence[Scene], curves: Mapping[str, Curve]) -> str:
    """PSNR of a set at some rates, and the angle between spectra and the largest error near one bit per sample."""
    rows = {}
    for name, curve in curves.items():
        part = _per_sample(curve, group)
        qualities = [value_at(points, ARRAY_PSNR, _RATES) for points in part.values()]
        near = [min(points, key=lambda row: abs(math.log(row["bps"]))) for points in part.values()]
        angles = [math.nan if row["spectral_angle"] is None else row["spectral_angle"] for row in near]
        if near:
            errors = _mean(row["max_error"] for row in near)
            rows[name] = [
                *np.mean(qualities, axis=0).tolist(),
                _mean(row["bps"] for row in near),
                _mean(angles),
                errors,
            ]
    columns = [*(f"{rate:g}" for rate in _RATES), "near", "degrees", "largest"]
    return _rows(f"{title}: PSNR at bits per sample", columns, rows, ".2f") if rows else ""


def _stack_table(scenes: Sequence[Scene], curves: Mapping[str, Curve], rates: tuple[float, float]) -> str:
    """BD-rates of arrays whose scenes are stacked as bands against the same scenes apart, codec by codec."""
    rows: dict[str, list[float]] = {}
    stacks = [scene for scene in scenes if scene.stacked]
    for name, curve in curves.items():
        for scene in stacks:
            apart = [s.name for s in scenes if f"{s.group}, stacked" == scene.group and s.name in curve]
            if apart and scene.name in curve:
                together = _per_sample(curve, [scene])
                pooled = {scene.name: _pooled([curve[other] for other in apart], curve[scene.name])}
                rows.setdefault(name, []).append(compare(together, pooled, ARRAY_PSNR, rates).rate)
    return _rows("BD-rate in % of stacked against apart", [s.group for s in stacks], rows, "+.1f") if rows else ""


def _pooled(
    curves: Sequence[Sequence[Mapping[str, Any]]], stacked: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """One curve of arrays of one size that are coded apart, with the peak of all of them."""
    peak = next(row["rmse"] * 10 ** (row["psnr"] / 20) for row in stacked if row["psnr"] is not None)
    by_level = [{row["level"]: row for row in curve} for curve in curves]
    points = []
    for level in sorted(set.intersection(*(set(rows) for rows in by_level)), reverse=True):
        error = np.mean([rows[level]["rmse"] ** 2 for rows in by_level])
        rate = np.mean([rows[level]["bps"] for rows in by_level])
        if error > 0:
            points.append({"bpp": float(rate), "psnr": 10 * math.log10(peak**2 / error)})
    return points


def _bound_table(title: str, scenes: Sequence[Scene], bounded: Mapping[str, Curve], *, lossless: bool) -> str:
    """Bits per sample of codecs with a bound, and the mean ratio of the first to each."""
    groups = _groups(scenes)
    counted = [_counted(group) for group in groups.values()]
    rows: dict[str, list[float]] = {}
    for name, curve in bounded.items():
        values = []
        for group in groups.values():
            points = [row for s in group for row in curve.get(s.name, ()) if (row["level"] == 0) == lossless]
            for row in points:
                if row["max_error"] > row["level"] * (1 + 1e-6):
                    raise OptionError(
                        f"{name} has an error of {row['max_error']:g} on {row['image']}; expected at most "
                        f"{row['level']:g}: leave this codec out"
                    )
            values.append(_mean(row["bps"] for row in points))
        if any(map(math.isfinite, values)):
            rows[name] = values
    if not rows:
        return ""
    ours = list(next(iter(rows.values())))
    for values in rows.values():
        ratios = [a / b for a, b, c in zip(ours, values, counted, strict=True) if c]
        values.append(_mean(ratios))
    return _rows(title, [*groups, "ratio"], rows, ".3f")


def _basis_table(scenes: Sequence[Scene], curves: Mapping[str, Curve]) -> str:
    """The share of V in the files of imfnb, at the points nearest to some rates."""
    rows = {}
    for scene in scenes:
        points = curves.get("imf", {}).get(scene.name, ())
        if any(row.get("basis_bytes") for row in points):
            near = [min(points, key=lambda row: abs(math.log(row["bps"] / rate))) for rate in _RATES]
            rows[scene.name] = [100 * row["basis_bytes"] / row["bytes"] for row in near]
    return (
        _rows("V's share of the file in %, near bits per sample", [f"{r:g}" for r in _RATES], rows, ".2f")
        if rows
        else ""
    )


def _time_table(times: Mapping[str, Mapping[str, tuple[float, float]]]) -> str:
    """Times relative to those of JPEG 2000 on the same array, or in milliseconds where it was not measured."""
    clock = times.get(_CLOCK)
    scenes = list(dict.fromkeys(scene for of_codec in times.values() for scene in of_codec))
    unit = f"time over that of {_CLOCK}" if clock else "time in ms"
    tables = []
    for number, kind in enumerate(("encoding", "decoding")):
        rows = {
            name: [
                of_codec[scene][number] / (clock[scene][number] if clock else 1e-3) if scene in of_codec else math.nan
                for scene in scenes
            ]
            for name, of_codec in times.items()
        }
        tables.append(_rows(f"{kind} {unit}, near {_TIMED:g} bit per sample", scenes, rows, ".2f"))
    return "\n\n".join(tables) if times else ""
