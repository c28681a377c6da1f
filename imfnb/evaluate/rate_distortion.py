"""Rate-distortion curves of codecs over a set of pictures."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..baselines import Codec
from ..errors import OptionError
from ..limits import rate_distortion_limit
from .curves import Curve, Difference, compare, document, mean_at, read_published
from .data import Picture
from .figures import INK, label_ends, look, new_figure, rate_axis
from .measures import METRICS, check_metrics
from .records import Progress, collect
from .study import Guard, Outcome, Place, plural

__all__ = ["run"]

#: Rates of the table, bits per pixel.
RATES = (0.1, 0.15, 0.25, 0.4, 0.6, 1.0)

#: Rates of the curves in the figure.
_GRID = np.geomspace(0.05, 1.5, 80)

#: Rates at which a reproduction is compared with what was published.
_CHECKED = (0.15, 0.25, 0.4)

# Codecs that stand for the methods and settings of curves published with lrf.
_SAME = {"imf-lrf": "IMF*", "svd-lrf": "SVD*", "imf-baseline": "IMF*", "svd": "SVD*", "jpeg-default": "JPEG*"}


def run(
    pictures: Sequence[Picture],
    codecs: Sequence[Codec],
    *,
    metrics: Sequence[str] = ("psnr", "ms-ssim"),
    anchor: str | None = None,
    rates: tuple[float, float] | None = None,
    published: Iterable[str | os.PathLike] = (),
    limits: bool = False,
    output: str | os.PathLike | None = None,
    figure: str | os.PathLike | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    guard: Guard | None = None,
) -> Outcome:
    """Measure rate-distortion curves, compare them, and draw them.

    Parameters
    ----------
    pictures : sequence of Picture
        See :func:`imfnb.evaluate.data.pictures`.
    codecs : sequence of Codec
        What to measure, each at all its levels.
    metrics : sequence of str, default ("psnr", "ms-ssim")
        Measures of quality, names of :data:`imfnb.evaluate.measures.METRICS`. SSIM and MS-SSIM are averaged and
        compared in decibels, -10 log10(1 - x). Those not in the records yet are measured.
    anchor : str, optional
        The codec that BD-rates are relative to; the first by default.
    rates : (float, float), optional
        The lowest and the highest rate, in bits per pixel, of the parts of the curves that BD-rates compare; by
        default whatever two curves have in common.
    published : iterable of path, optional
        Files of published curves to be drawn beside; see :func:`imfnb.evaluate.curves.read_published`.
    limits : bool, default False
        Whether to add what Gaussian patches would need; see :mod:`imfnb.limits` for what that assumes.
    output : path, optional
        Folder of the results: points.jsonl (the records, from which an interrupted study goes on), a JSON file per
        codec in CompressAI's shape, and table.txt.
    figure : path, optional
        File of the figure, .png, .svg or .pdf.
    threads : int, optional
        Curves measured side by side; all cores by default. The times in the results are those of a machine at work.
    progress : callable, optional
        Called with the number of finished points and of all points.
    guard : callable, optional
        Asked about results that exist already; see :class:`imfnb.evaluate.study.Place`.

    Returns
    -------
    Outcome
        The table, the documents of all codecs and the files.

    Raises
    ------
    OptionError
        If the anchor is not among the codecs, the rates are no range, a metric is unknown or needs a package that is
        not installed, a file cannot be read, or some points could not be measured.

    See Also
    --------
    imfnb.evaluate.data.pictures : Pictures by name.
    imfnb.evaluate.study.codecs_by_name : Codecs by name.
    imfnb.evaluate.arrays.run : The same for arrays.

    Examples
    --------
    >>> import tempfile
    >>> from skimage.data import camera
    >>> from imfnb.evaluate import data, rate_distortion, study
    >>> picture = data.Picture("camera", lambda: camera()[90:154, 190:270])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     codecs = study.codecs_by_name(["jpeg", "webp"])
    ...     outcome = rate_distortion.run([picture], codecs, metrics=["psnr"], output=folder)
    ...     files = sorted(path.name for path in outcome.files)
    >>> files
    ['figure.png', 'jpeg.json', 'table.txt', 'webp.json']
    >>> [found["name"] for found in outcome.documents]
    ['jpeg', 'webp']
    """
    metrics = check_metrics(metrics)
    if rates is not None and not 0 < rates[0] < rates[1] < math.inf:
        raise OptionError(f"rates are {rates[0]!r} to {rates[1]!r}; expected two positive numbers, the lower first")
    descriptions = {codec.name: codec.description for codec in codecs}
    place = Place("rate-distortion", output, figure, [*(f"{name}.json" for name in descriptions), "table.txt"], guard)
    anchor = next(iter(descriptions)) if anchor is None else anchor
    if anchor not in descriptions:
        raise OptionError(f"the anchor is {anchor}; expected one of the codecs measured: {', '.join(descriptions)}")
    others = read_published(published)
    if limits:
        others |= _limits(pictures)
    curves = collect(codecs, pictures, place.points(), threads, progress, metrics)
    documents = [document(name, descriptions[name], curve, metrics) for name, curve in curves.items()]
    for result in documents:
        place.write(f"{result['name']}.json", result)
    table = _table(curves, others, anchor, metrics, rates)
    place.write("table.txt", table)
    place.draw(draw(curves, others, metrics))
    return Outcome(table, documents, place.files)


def _limits(pictures: Sequence[Picture]) -> dict[str, Curve]:
    """The Gaussian rate-distortion function of every picture's patches, and of its lapped patches."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for picture in pictures:
        image = picture.read()
        for name, lapped in (("limit, patches", False), ("limit, lapped patches", True)):
            rate, psnr = rate_distortion_limit(image, lapped=lapped)
            points = [{"bpp": r, "psnr-rgb": q} for r, q in zip(rate.tolist(), psnr.tolist(), strict=True) if r > 0]
            found.setdefault(name, {})[picture.name] = points
    return {**found}


def _table(
    curves: Mapping[str, Curve],
    others: Mapping[str, Curve],
    anchor: str,
    metrics: Sequence[str],
    rates: tuple[float, float] | None,
) -> str:
    """The comparison as text: BD-rates in every measure where there are several, then each with its curves."""
    everything = {**curves, **others}
    found = {m: {name: compare(c, curves[anchor], m, rates) for name, c in everything.items()} for m in metrics}
    within = "" if rates is None else f" from {rates[0]:g} to {rates[1]:g} bpp"
    title = f"{plural(len(curves[anchor]), 'picture')}; BD-rate{within} against {anchor}: mean with standard error"
    lines = [f"{title}, worst and best picture"]
    if len(metrics) > 1:
        lines += ["", f"{'BD-rate %':20s}" + "".join(f"{METRICS[m].title:>18s}" for m in metrics)]
        for name in everything:
            if name != anchor:
                lines.append(f"{name:20s}" + "".join(f"{_mean_text(found[m][name]):>18s}" for m in metrics))
    for m in metrics:
        lines += ["", f"{METRICS[m].label + ' at bpp':20s}" + "".join(f"{rate:7.2f}" for rate in RATES)]
        lines[-1] += "   BD-rate %"
        for name, curve in everything.items():
            cells = _cells(mean_at(curve, m, RATES)[0], "7.2f")
            difference = found[m][name]
            text = ""
            if name != anchor and difference.pictures:
                text = f"{_mean_text(difference):16s}  ({difference.worst:+.1f} to {difference.best:+.1f})"
                if difference.pictures < len(curve):
                    text += f" on {difference.pictures} of {len(curve)}"
            lines.append(f"{name:20s}{cells}   {text}".rstrip())
    lines += ["", "-  outside of the range of some picture, or not known"]
    if others:
        lines.append("   the last rows were published by others (* per picture), or are limits")
    pairs = [(ours, theirs) for ours, theirs in _SAME.items() if ours in curves and theirs in others]
    if pairs:
        lines += ["", f"{'measured less published, dB':28s}" + "".join(f"{rate:7.2f}" for rate in _CHECKED)]
        for ours, theirs in pairs:
            gap = mean_at(curves[ours], "psnr", _CHECKED)[0] - mean_at(others[theirs], "psnr", _CHECKED)[0]
            lines.append(f"{ours + ' - ' + theirs:28s}{_cells(gap, '+7.2f')}")
    return "\n".join(lines)


def _mean_text(difference: Difference) -> str:
    """A BD-rate with its standard error."""
    if not difference.pictures:
        return "-"
    error = f" +-{difference.rate_error:5.2f}" if math.isfinite(difference.rate_error) else ""
    return f"{difference.rate:+8.2f}{error}"


def _cells(values: np.ndarray, form: str) -> str:
    """Columns of numbers."""
    return "".join(f"{value:{form}}" if math.isfinite(value) else f"{'-':>7s}" for value in values)


def draw(curves: Mapping[str, Curve], others: Mapping[str, Curve], metrics: Sequence[str] = ("psnr",)) -> Any:
    """The figure: one panel for every measure that is known of some codec, against the rate."""
    panels = [m for m in metrics if any(np.isfinite(mean_at(curve, m, _GRID)[0]).any() for curve in curves.values())]
    panels = panels or list(metrics[:1])
    columns = 2 if len(panels) == 4 else len(panels)
    rows = len(panels) // columns
    figure, axes = new_figure(6.6 * columns, 5.2 * rows, rows, columns)
    for axis, metric in zip(axes.flat, panels, strict=True):
        lines, texts = [], []
        for number, (name, curve) in enumerate({**curves, **others}.items()):
            mean, error = mean_at(curve, metric, _GRID)
            if not np.isfinite(mean).any():
                continue
            if name in curves:
                style = look(name, number)
                axis.fill_between(_GRID, mean - error, mean + error, color=style["color"], alpha=0.1, linewidth=0)
                texts.append(name)
            elif name.startswith("limit"):
                style = {"color": INK, "linewidth": 1, "linestyle": (0, (1, 1.2) if "lapped" in name else (4, 1.2))}
                texts.append(name)
            else:
                style = {"color": "#8A8A8A", "linewidth": 0.9, "linestyle": (0, (3, 1.5)), "zorder": 1}
                texts.append(name if name.endswith("*") else f"{name}†")
            lines += axis.plot(_GRID, mean, **style)
        rate_axis(axis, _GRID[0], _GRID[-1])
        axis.set_ylabel(METRICS[metric].axis, fontsize=9, color=INK)
        label_ends(axis, lines, texts)
    note = f"means over {plural(max(map(len, curves.values())), 'picture')} at equal rate; bands: one standard error"
    foreign = [name for name in others if not name.startswith("limit")]
    if foreign:
        note += "; gray: published"
        note += ", * per picture" if any(name.endswith("*") for name in foreign) else ""
        note += ", † averages of a set" if any(not name.endswith("*") for name in foreign) else ""
    figure.suptitle(note, fontsize=8, color=INK)
    return figure
