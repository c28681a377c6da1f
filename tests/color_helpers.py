"""Small tools of the colour stage's tests: planes with memory of their own, on the host."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from imfnb.layout import half


def chroma_shape(shape: tuple[int, ...], subsample: bool) -> tuple[int, ...]:
    """Shape of chroma planes beside luma of a shape; stacks of planes may have any number of axes before."""
    return (*shape[:-2], half(shape[-2]), half(shape[-1])) if subsample else tuple(shape)


def split(kernels: ModuleType, images: np.ndarray, subsample: bool, dtype: type = np.uint8) -> list[np.ndarray]:
    """Y, Cb and Cr of a stack of images: rounded as uint8, or in q4 as int32."""
    shape = images.shape[:3]
    planes = [np.full(s, 77, dtype) for s in (shape, *[chroma_shape(shape, subsample)] * 2)]
    (kernels.rgb_to_ycbcr if dtype is np.uint8 else kernels.rgb_to_q4)(images, *planes)
    return planes
