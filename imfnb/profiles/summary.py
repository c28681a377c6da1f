"""What the header of a file says of how it is coded, for :func:`imfnb.info`: no kernel is needed for that."""

from __future__ import annotations

from typing import Any

from ..format.basis import WEIGHT_ONE
from ..format.constants import STEP_UNIT
from ..format.container import Header
from ..format.main_header import AlphaCoding, Restoration
from ..layout import PatchGrid
from .tuning import EFFORTS

__all__ = ["summary"]

# What effort gives files their coder.
_EFFORTS = {effort.coder: name for name, effort in EFFORTS.items()}

# What the codings of alpha are called.
_ALPHA_NAMES = {
    AlphaCoding.NONE: None,
    AlphaCoding.PLANE: "lossy",
    AlphaCoding.CLASSES: "lossy",
    AlphaCoding.PALETTE: "lossless",
    AlphaCoding.MAP: "lossless",
    AlphaCoding.CONSTANT: "constant",
}


def summary(header: Header) -> dict[str, Any]:
    """How a file is coded.

    Parameters
    ----------
    header : Header
        Its header; not that of a stack of files.

    Returns
    -------
    dict
        See :func:`imfnb.info`.
    """
    if header.frame.profile == "baseline":
        return _baseline(header)
    return _picture(header) if header.frame.array is None else _array(header)


def _baseline(header: Header) -> dict[str, Any]:
    frame, p = header.frame, header.parameters
    names = [*(("Y", "Cb", "Cr") if p.color_space == "YCbCr" else ("R", "G", "B")), "alpha"]
    names = names if frame.channels >= 3 else ["gray"]
    specs = zip(p.matrices(frame), header.sizes, strict=True)
    return {
        "color_space": p.color_space if frame.channels >= 3 else "gray",
        "subsampling": "4:2:0" if p.subsample else "4:4:4",
        "patch_size": p.patch_size,
        "bounds": p.bounds,
        "coder": "fast" if frame.adaptive else "deflate",
        "ranks": p.ranks,
        "segments": {"".join(names[plane] for plane in spec.planes): size for spec, size in specs},
    }


def _picture(header: Header) -> dict[str, Any]:
    frame, p = header.frame, header.parameters
    names = [*(["gray"] if frame.channels < 3 else ["Y", "Cb", "Cr"]), "alpha"]
    segments, number = _planes(header, names, p.grids(frame))
    if p.local_bits is not None:
        segments["local steps"] = header.sizes[number]
    if p.alpha.has_segment:
        segments["alpha classes" if p.alpha.lossy else "alpha"] = header.sizes[-1]
    return {
        "color_space": "YCbCr" if frame.channels >= 3 else "gray",
        "subsampling": "4:2:0" if p.subsample else "4:4:4",
        "alpha": _ALPHA_NAMES[p.alpha],
        "steps": tuple(plane.step / STEP_UNIT for plane in p.planes),
        "patch_sizes": tuple(plane.patch_size for plane in p.planes),
        "restoration": tuple(plane.restoration is not Restoration.NONE for plane in p.planes),
        "weights": tuple((w.first / WEIGHT_ONE, w.strength / 16) for w in (plane.weighting for plane in p.planes)),
        "networks": tuple(plane.restoration is Restoration.NETWORK for plane in p.planes),
        "effort": _EFFORTS[p.coder],
        "local_steps": None if p.local_bits is None else 1 << p.local_bits,
        "segments": segments,
    }


def _array(header: Header) -> dict[str, Any]:
    frame, p = header.frame, header.parameters
    array = frame.samples
    segments, number = _planes(header, [f"column {index}" for index in range(len(p.planes))], p.grids(frame))
    if p.planes:
        segments["V"] = header.sizes[number]
        number += 1
    if array.mask is not None:
        segments["mask"] = header.sizes[number]
        number += 1
    if array.unit is not None:
        segments["residuals"] = sum(header.sizes[number:])
    return {
        "columns": len(p.planes),
        "networks": tuple(plane.restoration is Restoration.NETWORK for plane in p.planes),
        "effort": _EFFORTS[p.coder],
        "patch_sizes": tuple(plane.patch_size for plane in p.planes),
        "restoration": tuple(plane.restoration is not Restoration.NONE for plane in p.planes),
        "nodata": None if array.mask is None else array.nodata if array.real else int(array.nodata),
        "max_error": None if array.unit is None else (array.unit // 2 + array.real / 2) * array.scale,
        "segments": segments,
    }


def _planes(header: Header, names: list[str], grids: tuple[PatchGrid, ...]) -> tuple[dict[str, int], int]:
    """Bytes of every plane, and the number of segments that they have."""
    segments, number = {}, 0
    for name, grid in zip(names, grids, strict=False):
        stop = number + len(grid.slices)
        segments[name] = sum(header.sizes[number:stop])
        number = stop
    return segments, number
