"""All codecs at one rate side by side, with crops."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..baselines import Codec, encode_at
from ..errors import OptionError
from ..extras import need
from ..metrics import bpp as rate_of
from .data import Picture
from .figures import INK, PALETTE, new_figure
from .measures import METRICS, Metric, check_metrics
from .records import Progress, Stamped
from .study import Guard, Outcome, Place

__all__ = ["busiest_crops", "run"]

# Panels in a row, and the side of a crop in inches.
_COLUMNS, _SIDE = 5, 2.0

# Colours of the frames of crops.
_FRAMES = (PALETTE[0], PALETTE[5], PALETTE[4], PALETTE[3])


def run(
    picture: Picture,
    codecs: Sequence[Codec],
    *,
    bpp: float = 0.25,
    crops: Sequence[tuple[int, int]] | None = None,
    crop_size: int = 112,
    metrics: Sequence[str] = ("psnr",),
    output: str | os.PathLike | None = None,
    figure: str | os.PathLike | None = None,
    progress: Progress | None = None,
    guard: Guard | None = None,
) -> Outcome:
    """Show what codecs make of a picture with the same number of bits.

    Parameters
    ----------
    picture : Picture
        See :func:`imfnb.evaluate.data.pictures`.
    codecs : sequence of Codec
        What to compare.
    bpp : float, default 0.25
        Bits per pixel that no codec may exceed.
    crops : sequence of (int, int), optional
        Top row and left column of each crop; by default two that :func:`busiest_crops` finds.
    crop_size : int, default 112
        Side of a crop in pixels, shown three times enlarged; smaller where the picture is.
    metrics : sequence of str, default ("psnr",)
        Measures of quality to print, names of :data:`imfnb.evaluate.measures.METRICS`.
    output, figure : path, optional
        Folder of the results and file of the figure; see :func:`imfnb.evaluate.rate_distortion.run`.
    progress : callable, optional
        Called with the number of finished codecs and of all.
    guard : callable, optional
        Asked about results that exist already; see :class:`imfnb.evaluate.study.Place`.

    Returns
    -------
    Outcome
        Table, one document with a row per codec, and files.

    Raises
    ------
    OptionError
        If a crop lies outside of the picture, no codec can meet the rate, or a metric needs a package that is not
        installed.

    See Also
    --------
    busiest_crops : The crops that are shown if none are given.

    Examples
    --------
    >>> import tempfile
    >>> from skimage.data import camera
    >>> from imfnb.evaluate import collage, data, study
    >>> picture = data.Picture("camera", lambda: camera()[90:186, 190:310])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     codecs = study.codecs_by_name(["jpeg", "webp"])
    ...     outcome = collage.run(picture, codecs, bpp=1.0, crop_size=40, output=folder)
    >>> outcome.files[0].name
    'figure.png'
    """
    chosen = [METRICS[name] for name in check_metrics(metrics)]
    place = Place("collage", output, figure, ["collage.json"], guard)
    stamped = Stamped(picture)
    image = stamped.image
    size = min(crop_size, *image.shape[:2])
    corners = busiest_crops(image, size) if crops is None else [(int(top), int(left)) for top, left in crops]
    for top, left in corners:
        if size < 1 or not (0 <= top <= image.shape[0] - size and 0 <= left <= image.shape[1] - size):
            raise OptionError(
                f"the crop of {size} x {size} pixels at row {top}, column {left} is not inside of {picture.name}, "
                f"which has {image.shape[0]} rows and {image.shape[1]} columns"
            )
    panels: list[tuple[str, np.ndarray | None]] = [("original", image)]
    rows: list[dict[str, Any]] = []
    for number, codec in enumerate(codecs):
        row: dict[str, Any] = {"codec": codec.name, "description": codec.description}
        try:
            data = encode_at(codec, image, bpp=bpp)
        except OptionError as error:
            rows.append({**row, "error": str(error)})
            panels.append((f"{codec.name}\ncannot go below {bpp:g} bpp", None))
        else:
            decoded = codec.decode(data)
            rate = rate_of(data, image)
            values = {metric.key: metric.measure(image, decoded) for metric in chosen}
            rows.append({**row, "bytes": len(data), "bpp": rate, **values})
            texts = [f"{metric.title} {metric.text(values[metric.key])} {metric.unit}".rstrip() for metric in chosen]
            panels.append(("\n".join([f"{codec.name}, {rate:.3f} bpp", *texts]), decoded))
        if progress is not None:
            progress(number + 1, len(codecs))
    if all("error" in row for row in rows):
        raise OptionError(f"no codec can code {picture.name} with {bpp:g} bits per pixel; {rows[0]['error']}")
    result = {**stamped.stamp, "rate": bpp, "crops": [[*corner, size] for corner in corners], "codecs": rows}
    place.write("collage.json", result)
    place.draw(draw(picture.name, panels, corners, size), dpi=144)
    return Outcome(_table(rows, chosen), [result], place.files)


def busiest_crops(image: np.ndarray, size: int) -> list[tuple[int, int]]:
    """Two places where codecs differ: the squares with the most and with about the mean gradient.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W) or (H, W, 3)
        The picture.
    size : int
        Side of a square, at most min(H, W).

    Returns
    -------
    list of (int, int)
        Top row and left column of the squares; only one where the second would overlap the first.

    See Also
    --------
    run : Shows them.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb.evaluate import collage
    >>> image = np.zeros((64, 96), np.uint8)
    >>> image[8:24, 64:80] = np.random.default_rng(0).integers(0, 256, (16, 16))
    >>> row, column = collage.busiest_crops(image, 32)[0]
    >>> 0 <= row <= 8 and 48 <= column <= 64
    True
    """
    gray = image.reshape(*image.shape[:2], -1).mean(axis=2)
    activity = np.zeros_like(gray)
    activity[1:] += np.abs(np.diff(gray, axis=0))
    activity[:, 1:] += np.abs(np.diff(gray, axis=1))
    sums = np.pad(activity, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    step = max(1, size // 4)
    tops, lefts = np.arange(0, gray.shape[0] - size + 1, step), np.arange(0, gray.shape[1] - size + 1, step)
    rows, columns = np.meshgrid(tops, lefts, indexing="ij")
    below, right = rows + size, columns + size
    energy = sums[below, right] - sums[rows, right] - sums[below, columns] + sums[rows, columns]
    first = np.unravel_index(np.argmax(energy), energy.shape)
    far = (np.abs(rows - rows[first]) >= size) | (np.abs(columns - columns[first]) >= size)
    found = [(int(rows[first]), int(columns[first]))]
    if far.any():
        second = np.unravel_index(np.argmin(np.where(far, np.abs(energy - energy.mean()), np.inf)), energy.shape)
        found.append((int(rows[second]), int(columns[second])))
    return found


def _table(rows: Sequence[dict[str, Any]], chosen: Sequence[Metric]) -> str:
    """The panels as text."""
    lines = [f"{'codec':20s}{'bytes':>9s}{'bpp':>8s}" + "".join(f"{metric.label:>16s}" for metric in chosen)]
    for row in rows:
        if "error" in row:
            lines.append(f"{row['codec']:20s}{row['error']}")
        else:
            values = "".join(f"{metric.text(row[metric.key]):>16s}" for metric in chosen)
            lines.append(f"{row['codec']:20s}{row['bytes']:9d}{row['bpp']:8.3f}{values}")
    return "\n".join(lines)


def draw(
    name: str, panels: Sequence[tuple[str, np.ndarray | None]], corners: Sequence[tuple[int, int]], size: int
) -> Any:
    """The figure: the original with its crops framed, and each codec's crops one above the other in those frames."""
    rectangle = need("matplotlib.patches").Rectangle
    image, crops = panels[0][1], len(corners)
    colors = [_FRAMES[index % len(_FRAMES)] for index in range(crops)]
    # The original takes the place of two panels in the first row of panels.
    rows = -(-(len(panels) + 2) // _COLUMNS)
    figure, axes = new_figure(_COLUMNS * _SIDE, rows * (crops * _SIDE + 0.4), rows * crops, _COLUMNS)
    for axis in axes.flat:
        axis.set_axis_off()
    whole = figure.add_subplot(axes[0, 0].get_gridspec()[:crops, :2])
    if image is not None:
        _show(whole, image)
    whole.set_title(name, fontsize=9, color=INK)
    for (top, left), color in zip(corners, colors, strict=True):
        whole.add_patch(rectangle((left - 0.5, top - 0.5), size, size, fill=False, edgecolor=color, linewidth=2))
    for number, (label, pixels) in enumerate(panels, 2):
        for index, (top, left) in enumerate(corners):
            axis = axes[number // _COLUMNS * crops + index, number % _COLUMNS]
            if index == 0:
                axis.set_title(label, fontsize=8, color=INK)
            if pixels is not None:
                _show(axis, pixels[top : top + size, left : left + size])
                for spine in axis.spines.values():
                    spine.set(visible=True, color=colors[index], linewidth=2)
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    return figure


def _show(axis: Any, pixels: np.ndarray) -> None:
    """Pixels as they are, without ticks but with a frame."""
    axis.set_axis_on()
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(False)
