"""Geometry: the planes of a picture, the patches of a plane, and the rows of either that are worked on at a time."""

from __future__ import annotations

__all__ = ["half", "strips"]


def half(size: int) -> int:
    """Length of a chroma plane along an axis of `size` luma samples with 4:2:0 subsampling: half, rounded up."""
    return (size + 1) // 2


# Pixels of a strip and its least height, so that the rows around it on which it depends, 28, cost little.
_STRIP_PIXELS = 1 << 20
_STRIP_HEIGHT = 256

# Every strip begins with whole patches, of chroma of half the size too.
_STRIP_UNIT = 64


def strips(height: int, width: int, threads: int) -> list[slice]:
    """The rows of a picture that are decoded at a time: as many strips as threads, and more if those were large.

    Parameters
    ----------
    height, width : int
        Of the picture.
    threads : int
        Number of threads.

    Returns
    -------
    list of slice
        The rows of each strip; all begin with whole patches, and none is shorter than a few patches unless the picture
        is.
    """
    least = max(_STRIP_HEIGHT, min(_STRIP_PIXELS // width, height // threads))
    count = max(1, height // least)
    borders = [i * height // count // _STRIP_UNIT * _STRIP_UNIT for i in range(count)] + [height]
    return [slice(*pair) for pair in zip(borders[:-1], borders[1:], strict=True)]
