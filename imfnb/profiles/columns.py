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
from ..layout import PlaneSpec, column_planes, row_slices
from ..options import EncodeOptions
from ..runtime.run import HostRun, Run, Task
from ..spectral.basis import Basis, Statistics, find_basis, half_range, measure
from ..spectral.tuning import COARSE_LIMIT
from .alpha import NO_ALPHA, Alpha, CodedAlpha
from .stacks import ALL_PARTS, Analysis, Parts, Stack
from .synthesis import Unit
from .tuning import COMPACT_SAMPLES, EFFORTS, NORMAL, SPLIT_SAMPLES, Effort

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
    effort : Effort
        What the file may cost.
    """

    step: int
    patch_sizes: tuple[int | None, ...]
    lambda_scale: int = rdoq.LAMBDA_ONE
    effort: Effort = NORMAL

    @property
    def subsample(self) -> bool:
        """Whether chroma has half the size; there is none."""
        return False

    @property
    def local_bits(self) -> None:
        """There are no blocks with steps of their own."""
        return None

    def settled(self, patch_sizes: tuple[int | None, ...], lossy_alpha: bool) -> ColumnChoices:
        """The same with what was still to be chosen; there is no alpha."""
        return replace(self, patch_sizes=patch_sizes)

    def scaled(self, lambda_scale: int) -> ColumnChoices:
        """The same with another lambda."""
        return replace(self, lambda_scale=lambda_scale)

    def coded(self, alpha: Alpha) -> CodedAlpha:
        """What becomes of alpha, which an array has not got."""
        return NO_ALPHA

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


def first_choices(options: EncodeOptions, step: int, bands: int) -> ColumnChoices:
    """What the options and a step leave to choose. The finest steps leave no room for the sums of long patches."""
    wish = None if options.patch_size == "auto" else options.patch_size
    return ColumnChoices(step, (8 if step < _COARSE else wish,) * bands, effort=EFFORTS[options.effort])


def column_stacks(frame: Frame, count: int, run: Run) -> list[Stack]:
    """The planes of an array as stacks: all on the GPU, each alone on the CPU."""
    specs = column_planes(frame.height, frame.width, count)
    if run.merges:
        return [Stack(specs[0], tuple((0, spec.index) for spec in specs), "columns ")]
    return [Stack(spec, ((0, spec.index),), f"column {spec.index} ") for spec in specs]


@dataclass
class ColumnAnalysis(Analysis):
    """An array and all that does not depend on the step, made when it is first asked for.

    `samples` are integers (H, W, C) on the host, `images` the same where the kernels read them, int32 on the GPU.
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
        run, basis, frame = self.run, self.basis(variant), self.frame
        shape = basis.matrix.shape[1], frame.height, frame.width
        arrays = run.constant("offsets", basis.offsets), run.constant("column weights", basis.weights)
        forward, found = run.kernels("spectral").forward, column_stacks(frame, shape[0], run)
        if not run.retains:
            planes = run.array("columns", shape, np.int32)
            forward(self.images[0], *arrays, basis.weight_shift, planes)
            return [(found[0], planes)]
        planes = np.empty(shape, np.int16 if shape[1] * shape[2] > COMPACT_SAMPLES else np.int32)

        def split(rows: slice) -> None:  # some at a time, since integers of 32 bits may be twice the array
            part = np.empty((shape[0], rows.stop - rows.start, shape[2]), np.int32)
            samples = np.ascontiguousarray(self.samples[rows], np.int32)
            forward(samples, *arrays, basis.weight_shift, part)
            planes[:, rows] = part

        run.each(split, row_slices(frame.height, frame.width * self.samples.shape[2], SPLIT_SAMPLES))
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
        basis, array = self.basis(variant), self.frame.samples
        out = self.run.array("array", self.samples.shape, np.int32)
        numbers = basis.offsets, basis.matrix, basis.shift, array.low, array.high
        join_columns(decoded, *numbers, out, self.run)
        (samples,) = yield from self.run.fetch("array", out)
        return samples


def analyse_columns(samples: np.ndarray, frame: Frame, run: Run, parts: Parts = ALL_PARTS) -> ColumnAnalysis:
    """Begin with an array of integers (H, W, C)."""
    images = samples[None] if run.retains else run.upload("images", [samples.astype(np.int32)])
    return ColumnAnalysis(images, frame, [], run, parts, samples=samples)


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
