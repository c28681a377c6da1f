"""The main profile's rows of `cuda_report`: every kernel against its floor, and the two targets for a batch.

Bytes and integer operations are those of the tables at the head of the stages' ``cuda`` modules. The floor counts every
operation as one int32 multiply-add, though some have 64 bits: it is rather too low than too high. R is the mean
active rank of the pictures here, photographs where scikit-image is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from device_rows import Rows, pictures

from imfnb.color import cuda as color
from imfnb.entropy import layout
from imfnb.factorization.rdoq import basis, costs, pipeline, tuning
from imfnb.factorization.rdoq import cuda as kernels
from imfnb.format import basis as v0
from imfnb.format import basis_update, context_model
from imfnb.format.constants import PATCH_SIZES
from imfnb.format.restoration import filter_set
from imfnb.lapped import cuda as lapped
from imfnb.layout import PatchGrid
from imfnb.profiles import decide
from imfnb.restoration import cuda as restoration
from imfnb.runtime.cuda import SIMULATED, cuda

__all__ = ["kernel_rows", "target_rows"]

#: Step of luma at the default quality, in 1/64 gray level.
STEP = decide.step_for("quality", 50.0)

# Cost of a sign in 1/256 bit.
_SIGN = 256


class Stack:
    """Planes of one shape and step, and everything that the kernels read and write for them.

    Parameters
    ----------
    planes : device array of int32, shape (B, H, W)
        Centred samples.
    step : int
        Step in 1/64 gray level.
    patch_size : {8, 16}
        Side of a patch.
    chroma : bool
        Whether they are chroma.
    """

    def __init__(self, planes: Any, step: int, patch_size: int, chroma: bool) -> None:
        self.planes, self.step, self.p = planes, step, patch_size
        count, *shape = planes.shape
        whole = PatchGrid((shape[0], shape[1]), patch_size).extended
        self.grid = whole[0] // patch_size, whole[1] // patch_size
        self.samples = count * whole[0] * whole[1]
        self.scale = v0.scale_bits(step)
        components, (size, _) = patch_size * patch_size, layout.padded_size(*self.grid)
        v = v0.dct_basis(patch_size, step)
        squares = (v.astype(np.int64) ** 2).sum(axis=0)
        self.shortest = squares[0]
        weights = kernels.weights(v.T), kernels.weights(v)
        constants = *weights, squares, context_model.component_table(patch_size), *filter_set(step, chroma)
        moved = np.zeros((basis_update.ROWS, basis_update.COLUMNS), np.int32)
        moved[:8, :8] = 40  # what is zero takes no time
        matrices = basis.basis_update_matrices(moved, step)
        self.moves = sum(map(np.count_nonzero, matrices))
        self.matrices = [cuda.to_device(matrix) for matrix in matrices]
        self.transposed, self.basis, self.lengths, self.table, *self.filters = map(cuda.to_device, constants)
        self.which = cuda.to_device(np.arange(count, dtype=np.int32))

        def array(*sides: int, dtype: Any = np.int32) -> Any:
            return cuda.device_array((count, *sides), dtype)

        self.filtered, self.product = array(*whole), array(*whole)
        self.decoded, self.scratch, self.restored = array(*shape), array(*shape), array(*shape)
        self.products, self.factors = array(components, size), array(components, size, dtype=np.int16)
        self.rebased = array(components, size)
        self.contexts, self.ranks, self.classes = array(2, components, size, dtype=np.uint16), array(size), array(size)
        self.first, self.first_table = (array(costs.FIRST_CONTEXTS, costs.FIRST_CLASSES) for _ in range(2))
        self.counts, self.prices = (
            array(costs.MAGNITUDE_CONTEXTS, costs.MAGNITUDE_CLASSES, dtype=dtype) for dtype in (np.int32, np.uint16)
        )
        self.rank_counts, self.rank_table = (array(costs.RANK_CLASSES, costs.RANK_CLASSES) for _ in range(2))
        self.sums = cuda.to_device(np.zeros(count, np.int64))

    def forward(self) -> None:
        lapped.forward(self.planes, self.p, self.filtered, self.which)

    def proxy(self) -> None:
        kernels.proxy(self.filtered, self.p, self.step, self.sums)

    def project(self) -> None:
        kernels.project(self.filtered, self.p, self.transposed, self.products)

    def quantize(self) -> None:
        kernels.quantize(self.products, self.lengths, self.scale, tuning.TRAIL, self.grid, self.factors, self.ranks)

    def rebase(self) -> None:
        numbers = basis_update.UPDATE_BITS, self.scale, self.grid
        kernels.rebase(self.products, self.factors, *self.matrices, *numbers, self.rebased)

    def first_counts(self) -> None:
        kernels.first_counts(self.factors, self.grid, self.first)

    def choose_first(self, weight: int) -> None:
        products, table = self.products, self.first_table
        kernels.choose_first(products, self.shortest, self.scale, weight, table, self.grid, self.factors)

    def count_magnitudes(self) -> None:
        kernels.count_magnitudes(self.factors, self.ranks, self.table, self.grid, self.contexts, self.counts)

    def rank_classes(self) -> None:
        kernels.rank_classes(self.ranks, self.grid, self.classes, self.rank_counts)

    def magnitude_prices(self) -> None:
        kernels.magnitude_prices(self.counts, self.prices)

    def choose(self, weight: int) -> None:
        numbers = self.products, self.lengths, self.scale, weight, self.contexts, self.prices
        kernels.choose(*numbers, self.classes, self.rank_table, self.grid, self.factors, self.ranks)

    def multiply(self) -> None:
        limit = v0.magnitude_limit(self.step, self.p)
        kernels.product(self.factors, self.ranks, self.basis, limit, self.scale, self.p, self.product)

    def inverse(self) -> None:
        lapped.inverse(self.product, self.p, self.decoded, self.which)

    def restore(self) -> None:
        restoration.restore(self.decoded, self.step, *self.filters, self.restored, self.which, self.scratch)

    def squared_error(self) -> None:
        restoration.squared_error(self.restored, self.planes, self.sums)

    def analyse(self) -> None:
        """Transform and plain rounding."""
        self.forward()
        self.project()
        self.quantize()

    def sweep(self) -> None:
        """One sweep over U."""
        first, others = pipeline.multipliers(self.step)
        self.first_counts()
        kernels.cost_table(self.first, _SIGN, self.first_table)
        self.choose_first(first)
        self.count_magnitudes()
        self.magnitude_prices()
        self.rank_classes()
        kernels.cost_table(self.rank_counts, 0, self.rank_table)
        self.choose(others)

    def encode(self) -> None:
        """All kernels of the factorization."""
        self.analyse()
        for _ in range(tuning.SWEEPS):
            self.sweep()

    def rank(self) -> float:
        """Mean active rank of the patches."""
        rows, columns = self.grid
        return float(self.ranks.copy_to_host().sum() / (len(self.planes) * rows * columns))  # zero in the guards


def planes(images: Any) -> tuple[Any, Any, Any]:
    """Memory for luma and both chroma planes, of half the size, of images on the device."""
    count, height, width, _ = images.shape
    shapes = (height, width), *[((height + 1) // 2, (width + 1) // 2)] * 2
    luma, blue, red = (cuda.device_array((count, *shape), np.int32) for shape in shapes)
    return luma, blue, red


def kernel_rows(rows: Rows, count: int, shape: tuple[int, int]) -> None:
    """Every kernel of the main profile on luma, with both patch sizes; colour on everything.

    A large plane is one here, where the codec takes it in bands of a megapixel: `choose_first` has one block for it.
    """
    image = pictures(count, shape)
    n, pixels = rows.copies(4 * image.size // 3), image.size // 3
    images = [cuda.to_device(np.roll(image, i, axis=2)) for i in range(n)]
    q4 = [planes(i) for i in images]
    for source, targets in zip(images, q4, strict=True):
        color.rgb_to_q4(source, *targets)

    def row(name: str, launch: Callable[[int], None], number: int, nbytes: float, work: float | dict) -> None:
        counts = work if isinstance(work, dict) else {"int32": work}
        operations = {kind: number * count for kind, count in counts.items()}
        rows.row(name, rows.seconds(launch, n), number * nbytes, operations)

    row("color.rgb_to_q4 4:2:0", lambda i: color.rgb_to_q4(images[i], *q4[i]), pixels, 9, 16)
    row("color.q4_to_rgb 4:2:0", lambda i: color.q4_to_rgb(*q4[i], images[i]), pixels, 9, 42)
    for p in PATCH_SIZES[:1] if SIMULATED else PATCH_SIZES:
        stacks = [Stack(luma, STEP, p, False) for luma, _, _ in q4]
        for launch, name, nbytes, operations in _plan(stacks, p):
            row(name, launch, stacks[0].samples, nbytes, operations)


def _plan(stacks: Sequence[Stack], p: int) -> Any:
    """(launch, name, bytes and operations per sample) of every kernel, in an order that prepares the data of each.

    A choice repeated on its own result would find less and less to do. With a weight of zero for the bits it does the
    same work and leaves U as it is.
    """
    area = p * p

    def on_each(method: Callable[..., None], *arguments: Any) -> Callable[[int], None]:
        return lambda i: method(stacks[i], *arguments)

    for stack in stacks:
        stack.analyse()
        stack.sweep()
        stack.analyse()  # as before the first sweep, with its tables
    r = stacks[0].rank()
    print(f"  patches of {p} x {p}, mean active rank {r:.1f} after rounding")
    yield on_each(Stack.forward), "lapped.forward", 8, p + 8
    yield on_each(Stack.proxy), "rdoq.proxy", 8, 2 * p + 15
    yield on_each(Stack.project), "rdoq.project", 8, 10
    yield on_each(Stack.quantize), "rdoq.quantize", 6, 25 + 10 * r / area
    rows = min(1, basis_update.ROWS / area)
    yield on_each(Stack.rebase), "rdoq.rebase, V free", 8 + 2 * rows, 2 * stacks[0].moves / area
    yield on_each(Stack.first_counts), "rdoq.first_counts", 8 / area, 60 / area
    yield on_each(Stack.choose_first, 0), "rdoq.choose_first", 30 / area, 520 / area
    yield on_each(Stack.count_magnitudes), "rdoq.count_magnitudes", 26 * r / area, 90 * r / area
    table = costs.MAGNITUDE_CONTEXTS * costs.MAGNITUDE_CLASSES * len(stacks[0].planes) / stacks[0].samples
    yield on_each(Stack.magnitude_prices), "rdoq.magnitude_prices", 6 * table, 25 * table
    yield on_each(Stack.rank_classes), "rdoq.rank_classes", 24 / area, 25 / area
    yield on_each(Stack.choose, 0), "rdoq.choose", 14 * r / area, 75 * r / area
    for stack in stacks:
        stack.encode()
    r = stacks[0].rank()
    print(f"  patches of {p} x {p}, mean active rank {r:.1f} after both sweeps")
    yield on_each(Stack.multiply), "rdoq.product", 4 + 2 * (r + 1) / area, 15
    yield on_each(Stack.inverse), "lapped.inverse", 8, p + 8
    # Instructions, most of which are as fast as multiply-adds of float32.
    yield on_each(Stack.restore), "restoration.restore, both passes", 16, {"float32": 220 + 180}
    yield on_each(Stack.squared_error), "restoration.squared_error", 8, 3


def target_rows(rows: Rows) -> None:
    """The main profile's promises for a batch on an H200, with everything on the device and 8 x 8 patches.

    One set of inputs is enough: it is many times what the cache holds.
    """
    count, (height, width) = rows.sizes.batch, rows.sizes.kodak
    print(f"\ntargets (main, step {STEP / 64:g}, 8 x 8 patches, chroma of half the size)")
    image = pictures(count, (height, width))
    images = cuda.to_device(image)
    luma, blue, red = planes(images)
    color.rgb_to_q4(images, luma, blue, red)
    steps = STEP, decide.chroma_step(STEP, True)
    chroma = cuda.device_array((2 * count, *blue.shape[1:]), np.int32)
    for half, source in ((chroma[:count], blue), (chroma[count:], red)):
        half.copy_to_device(source)
    stacks = [Stack(luma, steps[0], 8, False), Stack(chroma, steps[1], 8, True)]
    for stack in stacks:
        stack.encode()

    def encode(_: int) -> None:
        for stack in stacks:
            stack.encode()

    def decode(_: int) -> None:
        for stack in stacks:
            stack.multiply()
            stack.inverse()
            stack.restore()
        luma, chroma = (stack.restored for stack in stacks)
        color.q4_to_rgb(luma, chroma[:count], chroma[count:], images)

    for name, work, wanted in (
        ("transform and both rate-distortion sweeps", encode, 2),
        ("decoder from factors to pixels, every plane restored", decode, 5),
    ):
        seconds = rows.seconds(work)
        rate = count * height * width / seconds / 1e9
        rows.target(
            f"{count} Kodak-size images, {name}: {seconds * 1e3:.2f} ms",
            f"{rate:.2f} gigapixels/s",
            rate >= wanted,
            f"at least {wanted} gigapixels/s",
        )
