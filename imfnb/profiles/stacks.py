"""image <-> planes: equal-shaped images as stacks of planes, for the main profile's encoder and decoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..factorization import rdoq
from ..format.basis import Weighting
from ..format.container import Frame
from ..layout import PatchGrid, PlaneSpec, Slice, main_planes
from ..runtime.run import Run, Task
from .alpha import Alpha, CodedAlpha, analyse_alpha
from .local import LocalMap, find_maps
from .synthesis import Unit
from .tuning import COMPACT_SAMPLES, Effort

__all__ = ["ALL_PARTS", "Analysis", "Owner", "Parts", "PlaneChoices", "Stack", "analyse", "join", "split", "stacks"]

# Number of an image in the stack, and of a plane in it.
Owner = tuple[int, int]


@dataclass(frozen=True)
class Stack:
    """Planes of equal shape and kind.

    Attributes
    ----------
    spec : PlaneSpec
        What the first of them is; for the others only the number differs.
    owners : tuple of (int, int)
        Number of the image, and of the plane in it, of each.
    name : str
        Prefix of the names of their memory.
    """

    spec: PlaneSpec
    owners: tuple[Owner, ...]
    name: str

    def places(self, index: int) -> slice:
        """Where the planes of this number are."""
        found = [n for n, owner in enumerate(self.owners) if owner[1] == index]
        return slice(found[0], found[-1] + 1) if found else slice(0)


def stacks(frame: Frame, count: int, subsample: bool, alphas: Sequence[int], run: Run) -> list[Stack]:
    """The planes of `count` images as stacks; `alphas` are the images of whose alpha there is a plane."""
    specs = {
        spec.index: spec for spec in main_planes(frame.height, frame.width, frame.channels, subsample, bool(alphas))
    }
    found = []
    groups = [[index] for index in specs]
    if run.merges and 2 in specs:
        groups[1:3] = [[1, 2]]
    for group in groups:
        spec = specs[group[0]]
        owners = [(b, index) for index in group for b in (alphas if spec.kind == "alpha" else range(count))]
        if owners:
            name = f"{spec.kind}{'' if run.merges else spec.index} {'half' if spec.subsampled else 'whole'} "
            found.append(Stack(spec, tuple(owners), name))
    return found


class PlaneChoices(Protocol):
    """What an encoder chooses for planes of any origin; see `imfnb.profiles.main.Choices`, for pictures."""

    @property
    def step(self) -> int:
        """Step that those of all planes follow from."""

    @property
    def variant(self) -> int:
        """Which planes of the image are coded."""

    @property
    def patch_sizes(self) -> tuple[int | None, ...]:
        """Side of the patches of every plane; None is still to be chosen."""

    @property
    def lambda_scale(self) -> int:
        """Lambda of the last choice of RDOQ in units of rdoq.LAMBDA_ONE."""

    @property
    def subsample(self) -> bool:
        """Whether chroma has half the size."""

    @property
    def effort(self) -> Effort:
        """What the file may cost."""

    @property
    def local_bits(self) -> int | None:
        """Binary logarithm of the side of blocks with steps of their own; None without."""

    def plane_step(self, spec: PlaneSpec) -> int:
        """Step of a plane."""

    def weighting(self, spec: PlaneSpec) -> Weighting:
        """Weights of the columns of V of a plane."""

    def coded(self, alpha: Alpha) -> CodedAlpha:
        """What becomes of the alpha of an image."""

    def settled(self, patch_sizes: tuple[int | None, ...], lossy_alpha: bool) -> PlaneChoices:
        """The same with what was still to be chosen."""

    def scaled(self, lambda_scale: int) -> PlaneChoices:
        """The same with another lambda."""


@dataclass(frozen=True)
class Parts:
    """What a study may switch off (see `imfnb.evaluate.parts`); a file made so is read with the same parts only.

    Attributes
    ----------
    rdoq : Settings
        How U is chosen.
    adapt_basis : bool
        Whether V of large slices may leave the DCT basis.
    """

    rdoq: rdoq.Settings = field(default_factory=rdoq.Settings)
    adapt_basis: bool = True

    def adapts(self, part: Slice) -> bool:
        """Whether a slice says how its V differs from the DCT basis."""
        return self.adapt_basis and part.adapts


ALL_PARTS = Parts()


@dataclass
class Analysis:
    """Equal-shaped images and all that does not depend on the step, made when it is first asked for.

    Attributes
    ----------
    images : array of uint8, shape (B, H, W, C)
        The images where the kernels read them, with other samples where any will do.
    frame : Frame
        Their description.
    alphas : list of Alpha
        What may become of the alpha of each; empty if there is none.
    run : Run
        Where to work.
    parts : Parts
        What is switched on.
    """

    images: Any
    frame: Frame
    alphas: list[Alpha]
    run: Run
    parts: Parts = ALL_PARTS
    _planes: dict[int | tuple[int, ...], list[tuple[Stack, Any]]] = field(default_factory=dict)
    _filtered: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    _maps: dict[int, list[LocalMap]] = field(default_factory=dict)

    def planes(self, variant: int, alphas: tuple[int, ...] = ()) -> list[tuple[Stack, Any]]:
        """The planes to be coded lossily, with alpha's of some images: stacks, and int32 (P, H, W) for each."""
        found = stacks(self.frame, len(self.images), bool(variant), alphas, self.run)
        kinds: list[tuple[int | tuple[int, ...], list[Stack]]] = [
            (variant, [stack for stack in found if stack.spec.kind != "alpha"]),
            (alphas, [stack for stack in found if stack.spec.kind == "alpha"]),
        ]
        for key, some in kinds:
            if key in self._planes:
                continue
            arrays = [self.run.array(s.name, (len(s.owners), *s.spec.shape), np.int32) for s in some]
            split(self.images, list(zip(some, arrays, strict=True)), self.run)
            if self.run.retains:  # samples are within +-2048; the copy halves the memory
                arrays = [a.astype(np.int16) if a.size > COMPACT_SAMPLES else a for a in arrays]
            self._planes[key] = list(zip(some, arrays, strict=True))
        return self._planes[variant] + self._planes[alphas]

    def maps(self, subsample: bool, bits: int) -> Task[list[LocalMap]]:
        """The steps of patches of every image, in blocks of 2**bits samples."""
        if bits not in self._maps:
            self._maps[bits] = yield from find_maps(self.planes(subsample)[0][1], bits, self.run)
        return self._maps[bits]

    def filtered(self, stack: Stack, planes: Any, unit: Unit) -> Any:
        """Planes of a stack behind the lapped filter, extended to whole patches; kept, if arrays are."""
        key = stack.owners, unit.grid
        if key in self._filtered:
            return self._filtered[key]
        run, shape = self.run, (len(unit.which), *unit.grid.extended)
        out = run.array(f"{unit.name}filtered", shape, np.int32)
        which = run.constant(f"{unit.name}which", np.array(unit.which, np.int32))
        run.kernels("lapped").forward(planes, unit.grid.patch_size, out, which)
        if run.retains:
            self._filtered[key] = out
        return out

    def strip(self, stack: Stack, planes: Any, patch_size: int, rows: slice) -> Any:
        """Rows of all planes of a stack behind the lapped filter, as if they were all."""
        grid = PatchGrid(stack.spec.shape, patch_size)
        everything = tuple(range(len(stack.owners)))
        if rows == slice(0, stack.spec.shape[0]) and self.run.retains:
            return self.filtered(stack, planes, Unit(grid, everything, stack.name))
        run, shape = self.run, PatchGrid((rows.stop - rows.start, grid.shape[1]), patch_size).extended
        out = run.array(f"{stack.name}{patch_size} strip", (len(everything), *shape), np.int32)
        which = run.constant(f"{stack.name}all", np.array(everything, np.int32))
        run.kernels("lapped").forward(planes, patch_size, out, which, rows)
        return out

    def joined(self, variant: int, decoded: Sequence[tuple[Stack, Any]]) -> Task[np.ndarray]:
        """What decoded planes of the only image show, on the host."""
        out = self.run.array("pixels", self.images.shape, np.uint8)
        join(decoded, out, self.run)
        (pixels,) = yield from self.run.fetch("pixels", out)
        return pixels[0]

    def forget(self, planes: bool = False) -> None:
        """Keep no filtered planes, and no others either if that is asked."""
        self._filtered.clear()
        if planes:
            self._planes.clear()


def analyse(
    images: Sequence[Any], frame: Frame, run: Run, parts: Parts = ALL_PARTS, keep_hidden: bool = False
) -> Task[Analysis]:
    """Begin with images, and with what may become of their alpha; `keep_hidden` is the option."""
    alphas: tuple[Alpha, ...] = ()
    if frame.alpha:
        here = [image if isinstance(image, np.ndarray) else image.copy_to_host() for image in images]
        found = yield from run.wait(run.submit_all(lambda image: analyse_alpha(image, keep_hidden, run), here))
        images, alphas = zip(*found, strict=True)
    return Analysis(run.upload("images", images), frame, list(alphas), run, parts)


def split(images: Any, target: Sequence[tuple[Stack, Any]], run: Run) -> None:
    """image -> planes: fill the stacks of planes of images (B, H, W, C)."""
    color, views = run.kernels("color"), _views(target)
    if 1 in views:
        color.rgb_to_q4(images, views[0], views[1], views[2])
    elif views:
        color.gray_to_q4(images, 0, views[0])
    for b, plane in _alphas(target):
        color.gray_to_q4(images[b : b + 1], images.shape[3] - 1, plane)


def join(source: Sequence[tuple[Stack, Any]], images: Any, run: Run, above: int = 0) -> None:
    """planes -> image: fill images (B, H, W, C); subsampled chroma may begin `above` rows of the image earlier."""
    color, views = run.kernels("color"), _views(source)
    if 1 in views:
        color.q4_to_rgb(views[0], views[1], views[2], images, above)
    else:
        color.q4_to_gray(views[0], images, 0)
    for b, plane in _alphas(source):
        color.q4_to_gray(plane, images[b : b + 1], images.shape[3] - 1)


def _views(source: Sequence[tuple[Stack, Any]]) -> dict[int, Any]:
    """The planes of every number but alpha's, of all images."""
    return {
        index: planes[stack.places(index)]
        for stack, planes in source
        if stack.spec.kind != "alpha"
        for index in sorted({index for _, index in stack.owners})
    }


def _alphas(source: Sequence[tuple[Stack, Any]]) -> Iterator[tuple[int, Any]]:
    """Number of the image and plane (1, H, W) of every alpha."""
    for stack, planes in source:
        if stack.spec.kind == "alpha":
            for n, (b, _) in enumerate(stack.owners):
                yield b, planes[n : n + 1]
