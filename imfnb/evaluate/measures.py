"""The measures of quality that studies know, and the scale on which each is averaged and compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..errors import OptionError
from ..extras import need

__all__ = ["ARRAY_PSNR", "METRICS", "Metric", "check_metrics"]


@dataclass(frozen=True)
class Metric:
    """A measure of quality.

    Parameters
    ----------
    title : str
        Its name in tables and figures.
    key : str
        Its name in records and results, CompressAI's where there is one.
    function : callable
        From the original and the decoded image to the value.
    side : int
        Shortest side of an image that it can measure.
    module : str
        The optional dependency that it needs, "" if none.
    similarity : bool
        Whether the value is a similarity of at most 1, which is averaged, compared and drawn as -10 log10(1 - x).
    unit : str
        Of the scale on which values are compared: "dB", or "" for points.
    """

    title: str
    key: str
    function: Callable[[np.ndarray, np.ndarray], float]
    side: int = 1
    module: str = ""
    similarity: bool = False
    unit: str = "dB"

    @property
    def label(self) -> str:
        """The title with the unit."""
        return f"{self.title} in {self.unit}" if self.unit else self.title

    @property
    def axis(self) -> str:
        """The label of an axis of a figure."""
        formula = ": $-10\\,\\log_{10}(1-x)$" if self.similarity else ""
        return f"{self.title} ({self.unit}{formula})" if self.unit else self.title

    def measure(self, image: np.ndarray, decoded: np.ndarray) -> float | None:
        """The value; None for the PSNR of equal images, and where the image is too small."""
        if min(image.shape[:2]) < self.side:
            return None
        value = self.function(image, decoded)
        return value if math.isfinite(value) else None

    def scaled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values on the scale on which they are compared; nan where they are not finite there."""
        if not self.similarity:
            return values
        with np.errstate(divide="ignore", invalid="ignore"):
            decibels = -10 * np.log10(1 - values)
        return np.where(np.isfinite(decibels), decibels, math.nan)

    def text(self, value: float | None) -> str:
        """A measured value for people, on the scale on which values are compared."""
        if value is None:
            return "-"
        return f"{float(self.scaled(np.float64(value))):.2f}"


#: What ``--metric`` takes.
METRICS = {
    "psnr": Metric("PSNR", "psnr-rgb", metrics.psnr),
    "ssim": Metric("SSIM", "ssim-rgb", metrics.ssim, side=7, module="skimage.metrics", similarity=True),
    "ms-ssim": Metric("MS-SSIM", "ms-ssim-rgb", metrics.ms_ssim, side=161, similarity=True),
    "ssimulacra2": Metric("SSIMULACRA 2", "ssimulacra2", metrics.ssimulacra2, side=225, module="ssimulacra2", unit=""),
}


#: That of arrays, whose peak depends on the dtype.
ARRAY_PSNR = Metric("PSNR", "psnr", metrics.psnr)


def check_metrics(names: Iterable[str]) -> Sequence[str]:
    """Complain about measures before the work rather than after it.

    Parameters
    ----------
    names : iterable of str
        Some of :data:`METRICS`.

    Returns
    -------
    sequence of str
        The same, each once.

    Raises
    ------
    OptionError
        If there is no such measure, none is given, or the package that computes it is not installed.
    """
    chosen = tuple(dict.fromkeys(names))
    unknown = [name for name in chosen if name not in METRICS]
    if unknown or not chosen:
        raise OptionError(f"the metric is {', '.join(unknown) or 'missing'}; expected some of {', '.join(METRICS)}")
    for name in chosen:
        if METRICS[name].module:
            need(METRICS[name].module)
    return chosen
