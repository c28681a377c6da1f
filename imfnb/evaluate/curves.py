"""Rate-distortion curves: averages over pictures, comparison at equal rate, published curves.

A curve is a dict from picture to its points; a point is a dict with "bpp", "psnr-rgb" and whatever else was measured,
as :func:`imfnb.evaluate.records.collect` makes them. Functions that compare take the names of
:data:`imfnb.evaluate.measures.METRICS`, and similarities in decibels.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import OptionError
from ..metrics import bd_psnr, bd_rate
from .measures import METRICS, Metric

__all__ = ["Curve", "Difference", "compare", "document", "mean_at", "read_published", "value_at"]

Curve = Mapping[str, Sequence[Mapping[str, Any]]]

#: Stands for the picture of a published curve of which only the average over a set is known.
AVERAGE = "average"

# Columns of the tables published with lrf, and what we call them.
_CSV = {"bpp": "bpp", "psnr_db": "psnr-rgb"}


def _column(points: Sequence[Mapping[str, Any]], key: str) -> NDArray[np.float64]:
    """One field of all points, nan where it is missing."""
    values = [point.get(key) for point in points]
    return np.array([math.nan if value is None else value for value in values], np.float64)


def _quality(points: Sequence[Mapping[str, Any]], metric: str | Metric) -> NDArray[np.float64]:
    """One measure of all points on the scale on which it is compared, nan where it is missing."""
    metric = METRICS[metric] if isinstance(metric, str) else metric
    return metric.scaled(_column(points, metric.key))


def value_at(points: Sequence[Mapping[str, Any]], metric: str | Metric, bpp: ArrayLike) -> NDArray[np.float64]:
    """A measure of one picture's curve at given rates.

    Parameters
    ----------
    points : sequence of dict
        The curve.
    metric : str or Metric
        Such as "psnr".
    bpp : array_like of float
        Bits per pixel.

    Returns
    -------
    ndarray of float64
        Interpolated by a piecewise cubic (PCHIP) over the logarithm of the rate; nan outside of the range that was
        measured: a curve is never extended.

    See Also
    --------
    mean_at : Of several pictures.

    Examples
    --------
    >>> from imfnb.evaluate import curves
    >>> points = [{"bpp": 0.25, "psnr-rgb": 30.0}, {"bpp": 1.0, "psnr-rgb": 36.0}]
    >>> curves.value_at(points, "psnr", [0.5, 2.0]).tolist()
    [33.0, nan]
    """
    from scipy.interpolate import PchipInterpolator

    rate, value = _column(points, "bpp"), _quality(points, metric)
    known = np.isfinite(value)
    rate, first = np.unique(rate[known], return_index=True)
    wanted = np.asarray(bpp, np.float64)
    if rate.size < 2:
        return np.full(wanted.shape, math.nan)
    out = PchipInterpolator(np.log(rate), value[known][first], extrapolate=False)(np.log(wanted))
    # The logarithm of an end may round to the outside.
    ends = np.isclose(wanted, rate[0], rtol=1e-12) * value[known][first][0]
    return np.where(np.isnan(out) & np.isclose(wanted, rate[0], rtol=1e-12), ends, out)


def mean_at(curve: Curve, metric: str | Metric, bpp: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean over pictures at equal rate.

    Parameters
    ----------
    curve : dict
        Points of every picture.
    metric : str or Metric
        Such as "psnr".
    bpp : array_like of float, shape (n,)
        Bits per pixel.

    Returns
    -------
    mean : ndarray of float64, shape (n,)
        Not a number where the rate is outside of some picture's range, since the mean would then be one over other
        pictures.
    error : ndarray of float64, shape (n,)
        Standard error of the mean; nan for a single picture.

    See Also
    --------
    value_at : Of one picture.

    Examples
    --------
    >>> from imfnb.evaluate import curves
    >>> curve = {
    ...     name: [{"bpp": 0.25, "psnr-rgb": 30.0 + up}, {"bpp": 1.0, "psnr-rgb": 36.0 + up}]
    ...     for name, up in (("a", 0.0), ("b", 2.0))
    ... }
    >>> mean, error = curves.mean_at(curve, "psnr", [0.5])
    >>> mean.tolist(), error.round(6).tolist()
    ([34.0], [1.0])
    """
    values = np.array([value_at(points, metric, bpp) for points in curve.values()])
    count = len(values)
    mean = values.mean(axis=0)
    error = values.std(axis=0, ddof=1) / math.sqrt(count) if count > 1 else np.full(mean.shape, math.nan)
    return mean, error


def document(name: str, description: str, curve: Curve, metrics: Iterable[str] = ("psnr",)) -> dict[str, Any]:
    """The results of one codec in the shape of CompressAI's files, with the rows of all pictures.

    Parameters
    ----------
    name, description : str
        Of the codec.
    curve : dict
        Points of every picture, the same levels for all.
    metrics : iterable of str, default ("psnr",)
        What was measured of them.

    Returns
    -------
    dict
        "name", "description", "results" (a list per measure with the mean over pictures at every level; None where it
        is not known for all) and "images" (the same lists with the levels, for every picture). Similarities are as
        they were measured, not in decibels.

    See Also
    --------
    read_published : Reads what others have written in this shape.

    Examples
    --------
    >>> from imfnb.evaluate import curves
    >>> points = [{"level": 50.0, "bpp": 0.25, "psnr-rgb": 30.0, "encoding_time": 0.1, "decoding_time": 0.1}]
    >>> curves.document("mine", "a codec", {"a": points})["results"]["psnr-rgb"]
    [30.0]
    """
    keys = ("bpp", *(METRICS[metric].key for metric in metrics), "encoding_time", "decoding_time")
    images = {
        image: {"level": [point["level"] for point in points], **{k: _listed(_column(points, k)) for k in keys}}
        for image, points in curve.items()
    }
    results = {k: _listed(np.mean([_column(points, k) for points in curve.values()], axis=0)) for k in keys}
    return {"name": name, "description": description, "results": results, "images": images}


def _listed(values: NDArray[np.float64]) -> list[float | None]:
    """JSON has no nan."""
    return [float(value) if math.isfinite(value) else None for value in values]


@dataclass(frozen=True)
class Difference:
    """Bjontegaard differences of a codec against an anchor, over the pictures where the two curves overlap.

    Parameters
    ----------
    rate, rate_error : float
        Mean difference of bits at equal quality in percent, and its standard error.
    worst, best : float
        The picture with the largest and the one with the smallest difference, in percent.
    gain : float
        Mean difference of quality at equal rate, in dB or points.
    pictures : int
        Number of pictures that overlap.
    """

    rate: float
    rate_error: float
    worst: float
    best: float
    gain: float
    pictures: int


def compare(
    curve: Curve, anchor: Curve, metric: str | Metric = "psnr", rates: tuple[float, float] | None = None
) -> Difference:
    """Compare a codec with an anchor on the pictures that both have.

    Parameters
    ----------
    curve, anchor : dict
        Points of every picture.
    metric : str or Metric, default "psnr"
        The measure of quality.
    rates : (float, float), optional
        The part of both curves that counts, bits per pixel; all of it by default.

    Returns
    -------
    Difference
        Its fields are not numbers where there is nothing to compare.

    See Also
    --------
    imfnb.metrics.bd_rate : The difference of two curves.

    Examples
    --------
    >>> from imfnb.evaluate import curves
    >>> rates = (0.25, 0.5, 1.0, 2.0)
    >>> anchor = {"a": [{"bpp": rate, "psnr-rgb": 30.0 + 3 * k} for k, rate in enumerate(rates)]}
    >>> curve = {"a": [{"bpp": rate / 2, "psnr-rgb": 30.0 + 3 * k} for k, rate in enumerate(rates)]}
    >>> round(curves.compare(curve, anchor).rate, 6)
    -50.0
    """
    found_rates, gains = [], []
    for image, points in curve.items():
        if image in anchor:
            curves = [*_part(anchor[image], metric, rates), *_part(points, metric, rates)]
            found_rates.append(bd_rate(*curves))
            gains.append(bd_psnr(*curves))
    rate = np.array(found_rates)[np.isfinite(found_rates)]
    gain = np.array(gains)[np.isfinite(gains)]
    if not rate.size:
        return Difference(math.nan, math.nan, math.nan, math.nan, math.nan, 0)
    error = float(rate.std(ddof=1) / math.sqrt(rate.size)) if rate.size > 1 else math.nan
    mean = float(gain.mean()) if gain.size else math.nan
    return Difference(float(rate.mean()), error, float(rate.max()), float(rate.min()), mean, rate.size)


def _part(
    points: Sequence[Mapping[str, Any]], metric: str | Metric, rates: tuple[float, float] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rates and qualities of a curve, cut off at the ends of a range of rates where it goes on beyond them."""
    rate, quality = _column(points, "bpp"), _quality(points, metric)
    if rates is not None:
        inside = (rate > rates[0]) & (rate < rates[1])
        rate, quality = np.append(rate[inside], rates), np.append(quality[inside], value_at(points, metric, rates))
    return rate, quality


def read_published(paths: Iterable[str | os.PathLike]) -> dict[str, Curve]:
    """Read curves that others have published.

    Parameters
    ----------
    paths : iterable of path
        JSON files with {"curves": {name: {"bpp": [...], "psnr-rgb": [...], ...}}}, CompressAI's JSON files ("name" and
        "results"), or CSV files with the columns image, method, bpp and psnr_db.

    Returns
    -------
    dict
        Curves by their names. Names of a CSV file end with a star: these are curves per picture, of a reproduction of
        ours.

    Raises
    ------
    OptionError
        If a file cannot be read as one of these.

    See Also
    --------
    document : Writes the shape of CompressAI.
    imfnb.evaluate.rate_distortion.run : Draws them with ``published=``.

    Examples
    --------
    >>> import json, os, tempfile
    >>> from imfnb.evaluate import curves
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "theirs.json")
    ...     with open(path, "w") as file:
    ...         json.dump({"name": "theirs", "results": {"bpp": [0.25, 1.0], "psnr-rgb": [30.0, 36.0]}}, file)
    ...     found = curves.read_published([path])
    >>> list(found)
    ['theirs']
    """
    curves: dict[str, Curve] = {}
    for path in map(Path, paths):
        try:
            text = path.read_text(encoding="utf-8")
            curves.update(_parse_csv(text) if path.suffix.lower() == ".csv" else _parse_json(text))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            raise OptionError(
                f"{path}: not a file of published curves ({reason}); expected JSON with 'curves' or with 'name' and "
                "'results', or CSV with the columns image, method, bpp, psnr_db"
            ) from None
    return curves


def _parse_json(text: str) -> dict[str, Curve]:
    content = json.loads(text)
    curves = content["curves"] if "curves" in content else {content["name"]: content["results"]}
    found: dict[str, Curve] = {}
    for name, lists in curves.items():
        known = [key for key in ("bpp", *(metric.key for metric in METRICS.values())) if key in lists]
        rows = zip(*(lists[measure] for measure in known), strict=True)
        points = [dict(zip(known, map(float, row), strict=True)) for row in rows]
        found[name] = {AVERAGE: sorted(points, key=lambda point: point["bpp"])}
    return found


def _parse_csv(text: str) -> dict[str, Curve]:
    found: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for row in csv.DictReader(text.splitlines()):
        point = {ours: float(row[theirs]) for theirs, ours in _CSV.items()}
        found.setdefault(f"{row['method']}*", {}).setdefault(row["image"], []).append(point)
    if not found:
        raise ValueError("no rows")
    return {**found}
