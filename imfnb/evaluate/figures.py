"""What the figures of all studies share: colours, labels at the ends of curves, saving.

The colours are those of Okabe and Ito, which people with any kind of colour blindness can tell apart (their yellow is
too light for lines and is replaced by gray). Variants of one method share its colour and differ in their dashes.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OptionError
from ..extras import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["INK", "PALETTE", "label_ends", "look", "new_figure", "rate_axis", "render"]

PALETTE = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")

#: Text, axes and leaders.
INK = "#333333"

# JPEG is for collages of photographs.
_FORMATS = (".png", ".svg", ".pdf", ".jpg")

_SOLID, _DASHED, _DOTTED, _DASH_DOT = "-", (0, (5, 2)), (0, (1, 1.4)), (0, (5, 1.5, 1, 1.5))

# Colour, dashes and width of every codec that has a name.
_LOOKS: dict[str, tuple[str, Any, float]] = {
    "imf": (PALETTE[0], _SOLID, 2.2),
    "imf-psnr": (PALETTE[0], _DASHED, 1.8),
    "imf-baseline": (PALETTE[4], _SOLID, 1.8),
    "imf-lrf": (PALETTE[4], _DASHED, 1.5),
    "imf-baseline-main": (PALETTE[4], _DOTTED, 1.8),
    "svd": (PALETTE[1], _SOLID, 1.5),
    "svd-lloyd": (PALETTE[1], _DASHED, 1.5),
    "svd-main": (PALETTE[1], _DOTTED, 1.5),
    "svd-lloyd-main": (PALETTE[1], _DASH_DOT, 1.5),
    "svd-lrf": (PALETTE[1], _DASHED, 1.0),
    "hosvd": (PALETTE[5], _SOLID, 1.5),
    "tt": (PALETTE[5], _DASHED, 1.5),
    "jpeg": (PALETTE[6], _SOLID, 1.5),
    "jpeg-default": (PALETTE[6], _DASHED, 1.2),
    "jpeg-main": (PALETTE[6], _DOTTED, 1.5),
    "jpeg2000": (PALETTE[2], _SOLID, 1.5),
    "jpeg2000-default": (PALETTE[2], _DASHED, 1.2),
    "webp": (PALETTE[3], _SOLID, 1.5),
    "webp-default": (PALETTE[3], _DASHED, 1.2),
    "avif": (PALETTE[7], _SOLID, 1.5),
    "avif-default": (PALETTE[7], _DASHED, 1.2),
    "avif-psnr": (PALETTE[7], _DOTTED, 1.2),
    "jpegxl": (PALETTE[5], _DASH_DOT, 1.5),
    "klt-jpeg2000": (PALETTE[2], _DASHED, 1.8),
    "sperr": (PALETTE[1], _SOLID, 1.5),
    "sperr-bands": (PALETTE[1], _DASHED, 1.2),
    "sz3": (PALETTE[4], _SOLID, 1.5),
    "sz3-bands": (PALETTE[4], _DASHED, 1.2),
    "zfp": (PALETTE[7], _SOLID, 1.5),
    "zfp-bands": (PALETTE[7], _DASHED, 1.2),
}


def look(name: str, number: int = 0) -> dict[str, Any]:
    """Line style of a codec; of one that has no style of its own, that of its number in the study."""
    color, dashes, width = _LOOKS.get(
        name, (PALETTE[number % len(PALETTE)], (_SOLID, _DASHED, _DOTTED, _DASH_DOT)[number // len(PALETTE) % 4], 1.5)
    )
    return {"color": color, "linestyle": dashes, "linewidth": width}


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A figure of a size in inches, and the array of its axes; apart from pyplot and its global state."""
    figure = need("matplotlib.figure").Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for axis in axes.flat:
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        axis.tick_params(colors=INK, labelsize=8)
        axis.grid(color="#E6E6E6", linewidth=0.6)
        axis.set_axisbelow(True)
    return figure, axes


def rate_axis(axis: Axes, low: float, high: float, unit: str = "pixel") -> None:
    """Make the x axis one of rates, logarithmic, with plain numbers."""
    axis.set_xscale("log")
    axis.set_xlim(low, high)
    ticks = [tick for tick in (0.02, 0.05, 0.1, 0.15, 0.25, 0.4, 0.6, 1, 1.5, 2.5, 4, 8) if low <= tick <= high]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set_xlabel(f"rate (bits per {unit})", fontsize=9, color=INK)


def label_ends(axis: Axes, lines: Sequence[Line2D], texts: Sequence[str], size: float = 8) -> None:
    """Write the name of every line beside the right edge of the axes, joined to the end of the line by a thin leader.

    Labels keep their order and are spread so that none overlaps another. To be called once limits are set.
    """
    low, high = axis.get_ylim()
    inches = axis.get_window_extent().height / axis.figure.dpi
    distance = 1.35 * size / 72 / inches  # in heights of the axes
    ends = []
    for line, text in zip(lines, texts, strict=True):
        x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
        seen = np.flatnonzero(np.isfinite(y) & (x <= axis.get_xlim()[1] * (1 + 1e-9)) & (y >= low) & (y <= high))
        if seen.size:
            ends.append((x[seen[-1]], y[seen[-1]], line, text))
    ends.sort(key=lambda end: end[1])
    heights = _spread([(y - low) / (high - low) for _, y, _, _ in ends], distance)
    for (x, y, line, text), height in zip(ends, heights, strict=True):
        axis.annotate(
            text,
            (x, y),
            xytext=(1.03, height),
            textcoords="axes fraction",
            fontsize=size,
            color=line.get_color(),
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": line.get_color(),
                "linewidth": 0.5,
                "alpha": 0.6,
                "shrinkA": 1,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )


def _spread(heights: Sequence[float], distance: float) -> list[float]:
    """Rising heights moved apart to at least `distance`, each group kept around its mean."""
    groups: list[tuple[float, int]] = []  # mean and number of members
    for height in heights:
        mean, count = height, 1
        while groups and groups[-1][0] + groups[-1][1] * distance / 2 > mean - count * distance / 2:
            below, members = groups.pop()
            mean, count = (below * members + mean * count) / (members + count), members + count
        groups.append((mean, count))
    return [mean + (i - (count - 1) / 2) * distance for mean, count in groups for i in range(count)]


def check_path(path: str | os.PathLike) -> None:
    """Complain about a figure's name before the work rather than after it."""
    if os.path.splitext(os.fspath(path))[1].lower() not in _FORMATS:
        raise OptionError(f"{os.fspath(path)}: figures are saved as {', '.join(_FORMATS)}; change the file's extension")


def render(figure: Figure, path: str | os.PathLike, dpi: float = 150) -> bytes:
    """Code a figure as its file name says.

    Parameters
    ----------
    figure : Figure
        The figure.
    path : path
        Its extension, .png, .svg, .pdf or .jpg, says the format.
    dpi : float, default 150
        Pixels per inch of a PNG or JPEG.

    Returns
    -------
    bytes
        The file's contents.

    Raises
    ------
    OptionError
        If the extension is another one.
    """
    check_path(path)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=os.path.splitext(os.fspath(path))[1].lower()[1:], dpi=dpi)
    return buffer.getvalue()
