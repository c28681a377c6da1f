"""Rate-distortion curves: averages over pictures, comparison at equal rate, published curves.

A curve is a dict from picture to its points; a point is a dict with "bpp", "psnr-rgb" and whatever else was measured,
as :func:`imfnb.evaluate.records.collect` makes them.
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

__all__ = ["MEASURES", "Curve", "Difference", "compare", "document", "mean_at", "read_published", "value_at"]

Curve = Mapping[str, Sequence[Mapping[str, Any]]]

#: What the results of a codec hold, in the words of CompressAI's files.
MEASURES = ("bpp", "psnr-rgb", "ms-ssim-rgb", "encoding_time", "decoding_time")

#: Stands for the picture of a published curve of which only the average over a set is known.
AVERAGE = "average"

# Columns of the tables published with lrf, and what we call them.
_CSV = {"bpp": "bpp", "psnr_db": "psnr-rgb"}


def column(points: Sequence[Mapping[str, Any]], measure: str) -> NDArray[np.float64]:
    """One measure of all points, nan where it is missing."""
    values = [point.get(measure) for point in points]
    return np.array([math.nan if value is None else value for value in values], np.float64)


def value_at(points: Sequence[Mapping[str, Any]], measure: str, bpp: ArrayLike) -> NDArray[np.float64]:
    """A measure of one picture's curve at given rates.

    Parameters
    ----------
    points : sequence of dict
        The curve.
    measure : str
        Such as "psnr-rgb".
    bpp : array_like of float
        Bits per pixel.

    Returns
    -------
    ndarray of float64
        Interpolated by a piecewise cubic (PCHIP) over the logarithm of the rate; nan outside of the range that was
        measured: a curve is never extended.
    """
    from scipy.interpolate import PchipInterpolator

    rate, value = column(points, "bpp"), column(points, measure)
    known = np.isfinite(value)
    rate, first = np.unique(rate[known], return_index=True)
    wanted = np.asarray(bpp, np.float64)
    if rate.size < 2:
        return np.full(wanted.shape, math.nan)
    out = PchipInterpolator(np.log(rate), value[known][first], extrapolate=False)(np.log(wanted))
    # The logarithm of an end may round to the outside.
    ends = np.isclose(wanted, rate[0], rtol=1e-12) * value[known][first][0]
    return np.where(np.isnan(out) & np.isclose(wanted, rate[0], rtol=1e-12), ends, out)


def mean_at(curve: Curve, measure: str, bpp: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean over pictures at equal rate.

    Parameters
    ----------
    curve : dict
        Points of every picture.
    measure : str
        Such as "psnr-rgb".
    bpp : array_like of float, shape (n,)
        Bits per pixel.

    Returns
    -------
    mean : ndarray of float64, shape (n,)
        nan where the rate is outside of some picture's range, since the mean would then be one over other pictures.
    error : ndarray of float64, shape (n,)
        Standard error of the mean; nan for a single picture.
    """
    values = np.array([value_at(points, measure, bpp) for points in curve.values()])
    count = len(values)
    mean = values.mean(axis=0)
    error = values.std(axis=0, ddof=1) / math.sqrt(count) if count > 1 else np.full(mean.shape, math.nan)
    return mean, error


def document(name: str, description: str, curve: Curve) -> dict[str, Any]:
    """The results of one codec in the shape of CompressAI's files, with the rows of all pictures.

    Parameters
    ----------
    name, description : str
        Of the codec.
    curve : dict
        Points of every picture, the same levels for all.

    Returns
    -------
    dict
        "name", "description", "results" (a list per measure with the mean over pictures at every level; None where it
        is not known for all) and "images" (the same lists with the levels, for every picture).
    """
    images = {
        image: {"level": [point["level"] for point in points], **{m: _listed(column(points, m)) for m in MEASURES}}
        for image, points in curve.items()
    }
    results = {m: _listed(np.mean([column(points, m) for points in curve.values()], axis=0)) for m in MEASURES}
    return {"name": name, "description": description, "results": results, "images": images}


def _listed(values: NDArray[np.float64]) -> list[float | None]:
    """JSON has no nan."""
    return [float(value) if math.isfinite(value) else None for value in values]


@dataclass(frozen=True)
class Difference:
    """Bjontegaard differences of a codec against an anchor, over the pictures where the two curves overlap.

    Attributes
    ----------
    rate, rate_error : float
        Mean difference of bits at equal PSNR in percent, and its standard error.
    worst, best : float
        The picture with the largest and the one with the smallest difference, in percent.
    psnr : float
        Mean difference of PSNR at equal rate in dB.
    pictures : int
        Number of pictures that overlap.
    """

    rate: float
    rate_error: float
    worst: float
    best: float
    psnr: float
    pictures: int


def compare(curve: Curve, anchor: Curve) -> Difference:
    """Compare a codec with an anchor on the pictures that both have.

    Parameters
    ----------
    curve, anchor : dict
        Points of every picture.

    Returns
    -------
    Difference
        nan where there is nothing to compare.
    """
    rates, gains = [], []
    for image, points in curve.items():
        if image in anchor:
            curves = [column(p, m) for p in (anchor[image], points) for m in ("bpp", "psnr-rgb")]
            rates.append(bd_rate(*curves))
            gains.append(bd_psnr(*curves))
    rate = np.array(rates)[np.isfinite(rates)]
    gain = np.array(gains)[np.isfinite(gains)]
    if not rate.size:
        return Difference(math.nan, math.nan, math.nan, math.nan, math.nan, 0)
    error = float(rate.std(ddof=1) / math.sqrt(rate.size)) if rate.size > 1 else math.nan
    psnr = float(gain.mean()) if gain.size else math.nan
    return Difference(float(rate.mean()), error, float(rate.max()), float(rate.min()), psnr, rate.size)


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
        name -> curve. Names of a CSV file end with a star: these are curves per picture, of a reproduction of ours.

    Raises
    ------
    OptionError
        If a file cannot be read as one of these.
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
        known = [measure for measure in MEASURES[:3] if measure in lists]
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
