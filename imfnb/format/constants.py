"""Numbers of the main profile that every decoder must know; FORMAT.md explains each."""

from __future__ import annotations

__all__ = [
    "ADAPTED_SAMPLES",
    "ALPHA_VALUES",
    "LISTED_VALUES",
    "PATCH_SIZES",
    "RESIDUAL_SAMPLES",
    "SHIFT_MAX",
    "SLICE_SAMPLES",
    "STEP_MAX",
    "STEP_MIN",
    "STEP_UNIT",
]

#: Steps (lengths of the columns of V) are given in 1/STEP_UNIT gray level.
STEP_UNIT = 64

#: Shortest and longest step of a file, 1 and 256 gray levels.
STEP_MIN, STEP_MAX = STEP_UNIT, 256 * STEP_UNIT

#: Sides of a patch, in the order of their numbers in the header.
PATCH_SIZES = (8, 16)

#: A plane is cut into slices of whole rows of patches, each of at most so many samples where a row has fewer.
SLICE_SAMPLES = 1 << 22

#: Slices of at least so many samples, whole patches counted, say how their V differs from the DCT basis.
ADAPTED_SAMPLES = 1 << 20

#: A lossless alpha plane of version 1 has at most this many values.
ALPHA_VALUES = 16

#: Values of lossless alpha in version 2 are listed up to this number, more are a bit field.
LISTED_VALUES = 32

#: V of an array has at most so many fractional bits.
SHIFT_MAX = 30

#: Residuals are cut into slices of whole rows, each of at most so many samples where a row has fewer.
RESIDUAL_SAMPLES = 1 << 20
