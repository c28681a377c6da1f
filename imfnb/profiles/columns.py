"""array -> planes: pixels times V as the planes of the main profile, and back.

An array of any number of bands is one image of integers (H, W, C). Its planes are the columns of X W for a V that is
chosen for the step (`imfnb.spectral`); everything behind them is the pipeline of pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..factorization import rdoq
from ..format.basis import PLAIN, Weighting
from ..format.constants import STEP_MAX, STEP_MIN, STEP_UNIT
from ..format.container import Frame
from ..layout import PlaneSpec, column_planes
from ..runtime.run import HostRun, Run, Task
from ..spectral.basis import Basis, Statistics, find_basis, half_range, measure
from ..spectral.tuning import COARSE_LIMIT
from .stacks import ALL_PARTS, Analysis, Parts, Stack
from .synthesis import Unit
from .tuning import COMPACT_SAMPLES, PSNR, Tune

__all__ = [
    "FINEST",
    "LONGEST",
    "ColumnAnalysis",
    "ColumnChoices",
    "analyse_columns",
    "column_stacks",
    "first_choices",
    "join_columns",
]

#: Shortest and longest step of an array. It counts halves of a step of planes of the usual range; below 128 planes have
#: twice that range, and their step is the same number. The lapped filter makes means of patches 1.302 times as large at
#: most: 5331 units of 1/16 gray level, below the 6144 that the product of a decoder allows for, and in patches of 8 x 8
#: at the shortest step within what the entropy coder takes.
FINEST, LONGEST = STEP_MIN, 2 * STEP_MAX

# From this step on planes have the usual range.
_COARSE = 2 * STEP_MIN


@dataclass(frozen=True)
class ColumnChoices:
    """What an encoder chooses for an array; see :class:`imfnb.profiles.main.Choices`.

    Attributes
    ----------
    step : int
        Step of all planes, FINEST to LONGEST.
    patch_sizes : tuple of (int or None)
        Side of the patches of each plane.
    lambda_scale : int
        Lambda of the last choice of RDOQ in units of rdoq.LAMBDA_ONE.
    """

    step: int
    patch_sizes: tuple[int | None, ...]
    lambda_scale: int = rdoq.LAMBDA_ONE

    subsample, local_bits = False, None

    @property
    def tune(self) -> Tune:
        """What errors are to be small for: all alike."""
        return PSNR

    def settled(self, patch_sizes: tuple[int | None, ...], lossy_alpha: bool) -> ColumnChoices:
        """The same with what was still to be chosen; there is no alpha."""
        return replace(self, patch_sizes=patch_sizes)

    @property
    def variant(self) -> int:
        """The octave of the step, for which V is chosen."""
        return self.step.bit_length() - 1

    def plane_step(self, spec: PlaneSpec) -> int:
        """Step of a plane."""
        return self.step if self.step < _COARSE else self.step // 2

    def weighting(self, spec: PlaneSpec) -> Weighting:
        """Weights of the columns of V of a plane."""
        return PLAIN


def first_choices(step: int, patch_size: int | None, bands: int) -> ColumnChoices:
    """What a step leaves to choose. The finest steps leave no room for the sums of long patches."""
    return ColumnChoices(step, (8 if step < _COARSE else patch_size,) * bands)


def column_stacks(frame: Frame, count: int, run: Run) -> list[Stack]:
    """The planes of an array as stacks: all on the GPU, each alone on the CPU."""
    specs = column_planes(frame.height, frame.width, count)
    if run.merges:
        return [Stack(specs[0], tuple((0, spec.index) for spec in specs), "columns ")]
    return [Stack(spec, ((0, spec.index),), f"column {spec.index} ") for spec in specs]


@dataclass
class ColumnAnalysis(Analysis):
    """An array and all that does not depend on the step, made when it is first asked for.

    `images` is int32 (1, H, W, C), where the kernels read it, and `samples` the same on the host.
    """

    samples: np.ndarray = field(default_factory=lambda: np.zeros((1, 1, 1), np.int32))
    _found: Statistics | None = None
    _basis: dict[int, Basis] = field(default_factory=dict)

    def on_host(self) -> ColumnAnalysis:
        """The same on the CPU, with the same V, unless this is where arrays last."""
        if self.run.retains:
            return self
        images, found = self.samples[None], self.statistics
        return replace(self, images=images, run=HostRun("cpu", 1), _found=found, _planes={}, _filtered={}, _maps={})

    @property
    def statistics(self) -> Statistics:
        """Covariance of the bands, and ranges."""
        if self._found is None:
            self._found = measure(self.samples)
        return self._found

    @property
    def unit(self) -> float:
        """Half a unit of planes of the usual range, in units of the data."""
        return half_range(self.statistics) / COARSE_LIMIT / 2

    def length(self, step: int) -> float:
        """A step in units of the data."""
        return step * self.unit * 16 / STEP_UNIT

    def step(self, length: float) -> int:
        """The inverse of :meth:`length`, as near as there is one."""
        return min(max(round(length / self.length(STEP_UNIT) * STEP_UNIT), FINEST), LONGEST)

    def basis(self, variant: int) -> Basis:
        """V for the steps of an octave."""
        if variant not in self._basis:
            step = 1 << variant
            unit = self.unit * (1 if step < _COARSE else 2)
            self._basis[variant] = find_basis(self.statistics, self.length(step), unit)
        return self._basis[variant]

    def planes(self, variant: int, alphas: tuple[int, ...] = ()) -> list[tuple[Stack, Any]]:
        """The planes for the steps of an octave: stacks, and int32 (P, H, W) for each."""
        if variant not in self._planes:
            self._planes.clear()  # those of another octave take as much memory
            self._filtered.clear()
            self._planes[variant] = self._split(variant)
        return self._planes[variant]

    def _split(self, variant: int) -> list[tuple[Stack, Any]]:
        run, basis = self.run, self.basis(variant)
        count = basis.matrix.shape[1]
        planes = run.array("columns", (count, self.frame.height, self.frame.width), np.int32)
        arrays = run.constant("offsets", basis.offsets), run.constant("column weights", basis.weights)
        run.kernels("spectral").forward(self.images[0], *arrays, basis.weight_shift, planes)
        found = column_stacks(self.frame, count, run)
        if run.merges:
            return [(found[0], planes)]
        if planes[0].size > COMPACT_SAMPLES:
            planes = planes.astype(np.int16)
        return [(stack, planes[n : n + 1]) for n, stack in enumerate(found)]

    def filtered(self, stack: Stack, planes: Any, unit: Unit) -> Any:
        known = (stack.owners, unit.grid) in self._filtered
        out = super().filtered(stack, planes, unit)
        if not known:
            self.run.kernels("spectral").limit(out)
        return out

    def strip(self, stack: Stack, planes: Any, patch_size: int, rows: slice) -> Any:
        out = super().strip(stack, planes, patch_size, rows)
        self.run.kernels("spectral").limit(out)
        return out

    def joined(self, variant: int, decoded: Sequence[tuple[Stack, Any]]) -> Task[np.ndarray]:
        """What decoded planes show, int32 (H, W, C) on the host."""
        basis, array = self.basis(variant), self.frame.array
        assert array is not None
        out = self.run.array("array", self.samples.shape, np.int32)
        numbers = basis.offsets, basis.matrix, basis.shift, array.low, array.high
        join_columns(decoded, *numbers, out, self.run)
        (samples,) = yield from self.run.fetch("array", out)
        return samples


def analyse_columns(samples: np.ndarray, frame: Frame, run: Run, parts: Parts = ALL_PARTS) -> ColumnAnalysis:
    """Begin with an array, int32 (H, W, C)."""
    return ColumnAnalysis(run.upload("images", [samples]), frame, [], run, parts, samples=samples)


def join_columns(
    decoded: Sequence[tuple[Stack, Any]],
    offsets: np.ndarray,
    matrix: np.ndarray,
    shift: int,
    low: int,
    high: int,
    out: Any,
    run: Run,
) -> None:
    """planes -> array: fill rows of int32 (H, W, C), for the bands of the offsets and the rows of V."""
    planes = decoded[0][1] if len(decoded) == 1 else np.concatenate([part for _, part in decoded])
    arrays = run.constant("offsets", offsets), run.constant("matrix", matrix)
    run.kernels("spectral").inverse(planes, *arrays, shift, low, high, out)
