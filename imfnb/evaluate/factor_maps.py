"""What the factors of a picture look like: columns of U as small images, columns of V as patches."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..color import cpu as color
from ..errors import OptionError
from ..factorization import factorize
from ..layout import PatchGrid, half
from ..options import check_image
from ..patches import cpu as patches
from ..patches import patch_matrix
from .data import Picture
from .figures import INK, new_figure
from .records import Progress, Stamped
from .study import Guard, Outcome, Place

__all__ = ["run"]


def run(
    picture: Picture,
    *,
    rank: int = 6,
    patch_size: int = 8,
    bounds: tuple[int, int] = (-16, 15),
    output: str | os.PathLike | None = None,
    figure: str | os.PathLike | None = None,
    progress: Progress | None = None,
    guard: Guard | None = None,
) -> Outcome:
    """Factorize the planes of a picture as the baseline profile does, and draw the factors (paper, Figure 2).

    Parameters
    ----------
    picture : Picture
        See :func:`imfnb.evaluate.data.pictures`.
    rank : int, default 6
        Number of components.
    patch_size : int, default 8
        Side of a patch.
    bounds : (int, int), default (-16, 15)
        Smallest and largest entry of the factors.
    output, figure : path, optional
        Folder of the results and file of the figure; see :func:`imfnb.evaluate.rate_distortion.run`.
    progress : callable, optional
        Called with the number of finished planes and of all.
    guard : callable, optional
        Asked about results that exist already; see :class:`imfnb.evaluate.study.Place`.

    Returns
    -------
    Outcome
        Table, one document with a row per component, and files.

    Raises
    ------
    OptionError
        If an option is out of range.

    See Also
    --------
    imfnb.factorize : Factorizes any matrix.

    Examples
    --------
    >>> import tempfile
    >>> from skimage.data import camera
    >>> from imfnb.evaluate import data, factor_maps
    >>> picture = data.Picture("camera", lambda: camera()[90:154, 190:270])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     outcome = factor_maps.run(picture, rank=2, output=folder)
    >>> len(outcome.documents)
    1
    """
    if not 1 <= rank <= patch_size * patch_size:
        raise OptionError(f"rank is {rank!r}; expected 1 to {patch_size * patch_size}, the pixels of a patch")
    place = Place("factor-maps", output, figure, ["factor-maps.json"], guard)
    stamped = Stamped(picture)
    image, channels = check_image(stamped.image)
    planes = _planes(image)
    names = ("Y", "Cb", "Cr") if channels >= 3 else ("gray",)
    rows, factors = [], []
    for number, (name, plane) in enumerate(zip(names, planes, strict=True)):
        x = patch_matrix(patches, plane, patch_size)
        u, v = factorize(x, rank, bounds, threads=1)
        factors.append((name, plane, u, v))
        left = np.sum(np.square(x.astype(np.float64)))
        for r in range(rank):
            rest = float(np.sum(np.square(x - u[:, : r + 1].astype(np.float64) @ v[:, : r + 1].T)))
            psnr = 10 * np.log10(255**2 * x.size / rest) if rest else None
            ranges = {f: [int(w[:, r].min()), int(w[:, r].max())] for f, w in (("u", u), ("v", v))}
            rows.append(
                {"plane": name, "component": r + 1, **ranges, "residual": rest / left if left else 0.0, "psnr": psnr}
            )
        if progress is not None:
            progress(number + 1, len(planes))
    result = {**stamped.stamp, "rank": rank, "patch_size": patch_size, "bounds": list(bounds), "components": rows}
    place.write("factor-maps.json", result)
    place.draw(draw(factors, patch_size, bounds))
    return Outcome(_table(rows), [result], place.files)


def _planes(image: np.ndarray) -> list[np.ndarray]:
    """Gray, or Y and subsampled Cb and Cr of an image (H, W, C); alpha is left out."""
    shape = image.shape[:2]
    if image.shape[2] < 3:
        return [np.ascontiguousarray(image[:, :, 0])]
    planes = [np.empty((1, *s), np.uint8) for s in (shape, *[(half(shape[0]), half(shape[1]))] * 2)]
    color.rgb_to_ycbcr(image[None], *planes)
    return [plane[0] for plane in planes]


def _table(rows: list[dict[str, Any]]) -> str:
    """The components as text."""
    lines = ["plane  r   u from   to   v from   to   PSNR of the plane with components 1 .. r, dB"]
    for row in rows:
        psnr = "inf" if row["psnr"] is None else f"{row['psnr']:.2f}"
        lines.append(
            f"{row['plane']:5s} {row['component']:2d}   {row['u'][0]:6d} {row['u'][1]:4d}   {row['v'][0]:6d} "
            f"{row['v'][1]:4d}   {psnr:>6s}"
        )
    return "\n".join(lines)


def draw(
    factors: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]], patch_size: int, bounds: tuple[int, int]
) -> Any:
    """The figure: for every plane a row of maps above a row of patches."""
    rank = factors[0][2].shape[1]
    shape = factors[0][1].shape
    cell = min(max(shape[0] / shape[1], 0.6), 1.4)
    figure, axes = new_figure(
        1.55 * (rank + 1),
        0.6 + 1.75 * (cell + 0.85) * len(factors),
        2 * len(factors),
        rank + 1,
        height_ratios=[cell, 0.72] * len(factors),
    )
    for axis in axes.flat:
        axis.set_axis_off()
        axis.grid(False)
    for number, (name, plane, u, v) in enumerate(factors):
        grid = PatchGrid(plane.shape, patch_size)
        top, bottom = axes[2 * number], axes[2 * number + 1]
        top[0].imshow(plane, cmap="gray", vmin=0, vmax=255)
        top[0].set_title(f"{name}, {plane.shape[1]} x {plane.shape[0]}", fontsize=8, color=INK)
        for r in range(rank):
            top[r + 1].imshow(u[:, r].reshape(grid.rows, grid.columns), cmap="gray")
            top[r + 1].set_title(f"$u_{{{r + 1}}}$: {u[:, r].min()} to {u[:, r].max()}", fontsize=8, color=INK)
            limit = max(1, int(np.abs(v[:, r]).max()))
            patch = v[:, r].reshape(patch_size, patch_size)
            bottom[r + 1].imshow(patch, cmap="PuOr", vmin=-limit, vmax=limit)
            bottom[r + 1].set_title(f"$v_{{{r + 1}}}$: {v[:, r].min()} to {v[:, r].max()}", fontsize=8, color=INK)
    text = f"Integer factors of the {patch_size} x {patch_size} patches, in [{bounds[0]}, {bounds[1]}]"
    figure.suptitle(f"{text}: U as maps, V as patches (orange: negative, purple: positive)", fontsize=9, color=INK)
    return figure
