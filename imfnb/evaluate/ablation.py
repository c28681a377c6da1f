"""What each choice of a codec is worth: one option, or one part, changed at a time.

Subjects of the baseline profile (paper, Figure 5 and Appendix B): patch-size, bounds, iterations, color-space, chroma
and init. The subject parts takes the main profile and switches one of its parts off after the other (`parts`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..baselines import Codec
from ..errors import OptionError
from .curves import Curve, Difference, compare, document, mean_at, value_at
from .data import Picture
from .figures import INK, label_ends, look, new_figure, rate_axis
from .measures import METRICS, check_metrics
from .parts import without
from .records import Progress, collect
from .study import Guard, Outcome, Place, plural

__all__ = ["SUBJECTS", "run", "variants"]

#: Rates of the table, bits per pixel.
RATES = (0.15, 0.25, 0.4, 0.6, 1.0)

_GRID = np.geomspace(0.05, 2.0, 100)


def _baseline(name: str, *parts: str, **options: Any) -> Codec:
    found = without("imf-baseline", *parts, **options)
    return replace(found, name=name, description=f"{found.description}: {name}")


def _main(name: str, *parts: str, **options: Any) -> Codec:
    found = without("imf-psnr", *parts, **options)
    return replace(found, name=name, description=f"{found.description}: {name}")


def _patch_sizes() -> list[Codec]:
    sizes = [_baseline(f"{p} x {p}", patch_size=p) for p in (8, 4, 16, 32)]
    return [*sizes, _baseline("no patches", patch_size=None)]


def _bounds() -> list[Codec]:
    pairs = [(-16, 15), (-8, 7), (-32, 31), (-64, 63), (-128, 127)]
    return [_baseline(f"[{low}, {high}]", bounds=(low, high)) for low, high in pairs]


def _iterations() -> list[Codec]:
    return [_baseline(f"{k} iteration{'s' if k > 1 else ''}", iterations=k) for k in (10, 1, 2, 3, 5, 20)]


def _color_spaces() -> list[Codec]:
    return [_baseline("YCbCr", color_space="YCbCr"), _baseline("RGB", color_space="RGB")]


def _chroma() -> list[Codec]:
    return [_baseline("4:2:0", subsampling="4:2:0"), _baseline("4:4:4", subsampling="4:4:4")]


def _starts() -> list[Codec]:
    return [_baseline("SVD"), _baseline("DCT", "SVD start: DCT"), _baseline("random", "SVD start: random")]


def _parts() -> list[Codec]:
    off = ("context coder", "rate term", "lapped filter", "restoration", "learned states", "second sweep")
    return [
        _main("complete"),
        *(_main(f"no {part}", part) for part in (*off, "bilinear chroma", "free V")),
        _main("no 16 x 16 patches", patch_size=8),
        _main("no 4:4:4 chroma", subsampling="4:2:0"),
    ]


_VARIANTS: dict[str, Callable[[], list[Codec]]] = {
    "patch-size": _patch_sizes,
    "bounds": _bounds,
    "iterations": _iterations,
    "color-space": _color_spaces,
    "chroma": _chroma,
    "init": _starts,
    "parts": _parts,
}

#: What can be varied.
SUBJECTS = tuple(_VARIANTS)


def variants(subject: str) -> list[Codec]:
    """The codecs that a subject compares.

    Parameters
    ----------
    subject : str
        One of :data:`SUBJECTS`.

    Returns
    -------
    list of Codec
        The codec as it is used first, then its variants.

    Raises
    ------
    OptionError
        If there is no such subject.

    See Also
    --------
    run : Compares them.
    imfnb.evaluate.parts.without : Switches parts of the codec off.

    Examples
    --------
    >>> from imfnb.evaluate import ablation
    >>> [codec.name for codec in ablation.variants("color-space")]
    ['YCbCr', 'RGB']
    """
    if subject not in _VARIANTS:
        raise OptionError(f"subject is {subject!r}; expected one of {', '.join(SUBJECTS)}")
    return _VARIANTS[subject]()


def run(
    subject: str,
    pictures: Sequence[Picture],
    *,
    metric: str = "psnr",
    output: str | os.PathLike | None = None,
    figure: str | os.PathLike | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    guard: Guard | None = None,
) -> Outcome:
    """Measure what a choice is worth.

    Parameters
    ----------
    subject : str
        One of :data:`SUBJECTS`.
    pictures : sequence of Picture
        See :func:`imfnb.evaluate.data.pictures`.
    metric : str, default "psnr"
        Measure of quality, a name of :data:`imfnb.evaluate.measures.METRICS`; the paper's ablations have PSNR.
    output, figure : path, optional
        Folder of the results and file of the figure; see :func:`imfnb.evaluate.rate_distortion.run`.
    threads : int, optional
        Curves measured side by side; all cores by default.
    progress : callable, optional
        Called with the number of finished points and of all points.
    guard : callable, optional
        Asked about results that exist already; see :class:`imfnb.evaluate.study.Place`.

    Returns
    -------
    Outcome
        Table, documents and files.

    Raises
    ------
    OptionError
        If there is no such subject or metric, the metric needs a package that is not installed, or some points could
        not be measured.

    See Also
    --------
    variants : The codecs of a subject.
    imfnb.evaluate.rate_distortion.run : Compares any codecs.

    Examples
    --------
    >>> import tempfile
    >>> from skimage.data import astronaut
    >>> from imfnb.evaluate import ablation, data
    >>> picture = data.Picture("eye", lambda: astronaut()[100:148, 180:244])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     outcome = ablation.run("color-space", [picture], output=folder)
    >>> [found["name"] for found in outcome.documents]
    ['YCbCr', 'RGB']
    """
    check_metrics([metric])
    codecs = variants(subject)
    place = Place(f"ablation-{subject}", output, figure, [f"{subject}.json", "table.txt"], guard)
    curves = collect(codecs, pictures, place.points(), threads, progress, [metric])
    documents = [document(codec.name, codec.description, curves[codec.name], [metric]) for codec in codecs]
    place.write(f"{subject}.json", documents)
    usual = codecs[0].name
    differences = {name: compare(curve, curves[usual], metric) for name, curve in curves.items() if name != usual}
    table = _table(subject, metric, curves, differences)
    place.write("table.txt", table)
    place.draw(draw(subject, metric, curves, differences))
    return Outcome(table, documents, place.files)


def _table(subject: str, metric: str, curves: Mapping[str, Curve], differences: Mapping[str, Difference]) -> str:
    """The comparison as text."""
    usual = next(iter(curves))
    count, title = len(curves[usual]), METRICS[metric].title
    lines = [f"{subject}, {plural(count, 'picture')}; BD-rate against {usual}: mean with standard error", ""]
    lines.append(
        f"{METRICS[metric].label + ' at bpp':20s}"
        + "".join(f"{rate:7.2f}" for rate in RATES)
        + f"  BD-rate %         BD-{title} {METRICS[metric].unit}".rstrip()
    )
    for name, curve in curves.items():
        mean, _ = mean_at(curve, metric, RATES)
        cells = "".join(f"{value:7.2f}" if math.isfinite(value) else f"{'-':>7s}" for value in mean)
        if name in differences:
            found = differences[name]
            cells += f" {found.rate:+8.2f} +-{found.rate_error:6.2f}  {found.gain:+8.3f}"
        lines.append(f"{name:20s}{cells}")
    return "\n".join(lines)


def _gap(curve: Curve, usual: Curve, metric: str) -> np.ndarray:
    """Mean difference of quality at equal rate over the pictures."""
    return np.mean([value_at(curve[i], metric, _GRID) - value_at(usual[i], metric, _GRID) for i in usual], axis=0)


def draw(subject: str, metric: str, curves: Mapping[str, Curve], differences: Mapping[str, Difference]) -> Any:
    """The figure: differences of quality over the rate, and of bits at equal quality."""
    usual, title, unit = next(iter(curves)), METRICS[metric].title, METRICS[metric].unit
    figure, axes = new_figure(10.5, 3.2 + 0.14 * len(curves), 1, 2, width_ratios=(1.25, 1))
    left, right = axes[0]
    style = {name: look("", number) for number, name in enumerate(differences)}
    lines = []
    for name in differences:
        lines += left.plot(_GRID, _gap(curves[name], curves[usual], metric), **style[name])
    left.axhline(0, color=INK, linewidth=0.8)
    known = np.any([np.isfinite(line.get_ydata()) for line in lines], axis=0)
    seen = _GRID[known] if known.any() else _GRID
    rate_axis(left, seen[0], seen[-1])
    left.set_ylabel(f"{title} less that of {usual}{f' ({unit})' if unit else ''}", fontsize=9, color=INK)
    label_ends(left, lines, list(differences))

    order = sorted(differences, key=lambda name: -np.nan_to_num(differences[name].rate, nan=-np.inf))
    rates = [differences[name].rate for name in order]
    errors = np.nan_to_num([differences[name].rate_error for name in order])
    right.barh(
        range(len(order)),
        rates,
        xerr=errors,
        color=[style[name]["color"] for name in order],
        height=0.62,
        error_kw={"ecolor": INK, "elinewidth": 0.9, "capsize": 2},
    )
    for row in range(len(order)):
        text = f"{rates[row]:+.1f}%" if math.isfinite(rates[row]) else "no common range"
        end = max(0.0, np.nan_to_num(rates[row]) + errors[row])
        right.annotate(text, (end, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8, color=INK)
    right.set_yticks(range(len(order)), order)
    right.axvline(0, color=INK, linewidth=0.8)
    right.margins(x=0.18)
    right.grid(False, axis="y")
    right.set_xlabel(f"bits against {usual} at equal {title} (BD-rate, %)", fontsize=9, color=INK)
    pictures = len(curves[usual])
    figure.suptitle(f"{subject}: means over {plural(pictures, 'picture')}, standard errors", fontsize=9, color=INK)
    return figure
