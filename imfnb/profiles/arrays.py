"""Arrays in the main profile: integers out of samples, a lossy layer, a residual layer, and samples without data.

    samples --scale--> integers --columns--> planes -- main --> bytes          the lossy layer, if there is one
                       integers - what it decodes to --entropy.residual--> bytes     the residual layer, if there is one
                       samples without data --entropy.maps--> bytes

The lossy layer is the pipeline of pictures with columns of pixels times V for planes. The residual layer brings every
sample within a bound of what was given; without a lossy layer below it, it is a lossless coder of samples that have
been divided by a unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from ..entropy.residual import decode_residual_checked
from ..entropy.spectral_basis import decode_spectral_basis, encode_spectral_basis
from ..errors import OptionError
from ..format import main_header
from ..format.constants import STEP_UNIT
from ..format.container import UNLIMITED, Container, Frame, pack, unpack
from ..format.main_header import ArrayParameters, PlaneParameters, serialize
from ..format.samples import RANGE_LIMIT
from ..layout import PatchGrid
from ..options import EncodeOptions
from ..rasters import Raster
from ..runtime.run import HostRun, Run, Task
from . import decide, main
from .columns import ColumnAnalysis, ColumnChoices, analyse_columns, column_stacks, first_choices, join_columns
from .direct import by_bands, encode_directly, encode_residuals
from .missing import decode_missing, encode_missing, filled
from .reducing import block_means, emptied
from .scaling import in_units, largest_error, scaled, to_integers, to_samples
from .slices import coder_of, decode_slice
from .stacks import Stack
from .tuning import FINE_UNIT, LAYERED_BITS, LAYERED_STEPS

__all__ = ["STACK_TARGETS", "components", "decode_stack", "decoded", "encode_image", "stack_key", "to_file"]

_PARSERS = {("main", 2): main_header.parse_v2}

#: Every array is encoded alone.
STACK_TARGETS = ()


# --------------------------------------------------------------------------------------------------------- encoding


def encode_image(image: Raster, frame: Frame, options: EncodeOptions, run: Run) -> bytes:
    """Encode one array for any target."""
    name, value = options.target
    if name == "lossless":
        value = 0
    if name in ("max_error", "lossless"):
        return _encode_bounded(image, frame, value, options, run)
    from .array_search import search_array

    array = scaled(image, frame.samples)
    frame = replace(frame, array=array)
    analysis = _analysis(image, frame, run)
    if name not in ("quality", "step"):
        return search_array(analysis, image, options)
    step = analysis.step(value / array.scale) if name == "step" else decide.array_step(value)
    choices = first_choices(options, step, max(1, frame.channels))
    return to_file(analysis, choices, *_code(analysis, choices), image.missing)


def _analysis(image: Raster, frame: Frame, run: Run) -> ColumnAnalysis:
    """Begin with the lossy layer of an array whose fields are known."""
    integers = image.samples
    if frame.samples.real or image.missing is not None:
        integers = to_integers(image.samples, frame.samples)
    if image.missing is not None:
        integers = filled(integers, image.missing, run)
    return analyse_columns(integers, frame, run)


def _code(analysis: ColumnAnalysis, choices: ColumnChoices) -> tuple[list[PlaneParameters], list[bytes]]:
    """How the planes of an array are coded, and the segments of their slices."""
    planes, segments = analysis.run.drive(main.encode_planes(analysis, choices))
    columns = sorted(planes)
    return [planes[column] for column in columns], [part.result() for column in columns for part in segments[column]]


def to_file(
    analysis: ColumnAnalysis,
    choices: ColumnChoices,
    planes: Sequence[PlaneParameters],
    segments: Sequence[bytes],
    missing: np.ndarray | None,
    residuals: Sequence[bytes] = (),
    frame: Frame | None = None,
) -> bytes:
    """The file of an array with a lossy layer, whose slices are coded; with residuals, its frame says so."""
    frame, basis = frame or analysis.frame, analysis.basis(choices.variant)
    parameters = ArrayParameters(tuple(planes), basis.shift)
    coded = [*segments, encode_spectral_basis(basis.offsets, basis.matrix)]
    if missing is not None:
        coded.append(encode_missing(missing, analysis.run))
    return pack(frame, serialize(parameters, frame), [*coded, *residuals])


def _encode_bounded(image: Raster, frame: Frame, bound: float, options: EncodeOptions, run: Run) -> bytes:
    """A file whose samples are no further from the array's than a bound: with a lossy layer where bits are few."""
    array = frame.samples
    if array.real:
        array = replace(scaled(image, array, bound), unit=1)
    else:
        array = in_units(scaled(image, array), 2 * min(math.floor(bound), RANGE_LIMIT) + 1)
    data = encode_directly(image, replace(frame, array=array), run)
    if 8 * len(data) < LAYERED_BITS * image.samples.size and (array.real or array.unit != 1):
        with suppress(OptionError):  # integers that are finer than the bound may be too many
            if array.real:
                array = replace(scaled(image, array, bound / FINE_UNIT), unit=FINE_UNIT)
            data = min(data, _encode_layered(image, replace(frame, array=array), options, run), key=len)
    _verify(data, image, bound, run)
    return data


def _encode_layered(image: Raster, frame: Frame, options: EncodeOptions, run: Run) -> bytes:
    """The shortest file with a lossy layer below the residuals, of a few steps of it."""
    integers, files, unit = to_integers(image.samples, frame.samples), [], frame.samples.unit or 1
    analysis = _analysis(image, replace(frame, array=replace(frame.samples, unit=None)), run)
    for factor in LAYERED_STEPS:
        choices = first_choices(options, analysis.step(factor * unit), max(1, frame.channels))
        planes, parts = _code(analysis, choices)
        layer = analysis, choices, planes, parts, image.missing
        base = _lossy_integers(to_file(*layer), integers.shape, run)
        residuals = encode_residuals(integers, base, image.missing, frame, run)
        files.append(to_file(*layer, residuals, frame))
    return min(files, key=len)


def _lossy_integers(data: bytes, shape: tuple[int, ...], run: Run) -> np.ndarray:
    """What a decoder makes of a lossy layer."""
    integers = np.empty(shape, np.int32)

    def put(rows: slice, found: np.ndarray) -> None:
        integers[rows] = found

    container = unpack(memoryview(data), UNLIMITED, _PARSERS)
    run.drive(_decode_integers(container, None, None, run, put))
    return integers


def decoded(data: bytes, image: Raster, run: Run) -> np.ndarray:
    """What comes of the file of an array."""
    samples = np.empty_like(image.samples)
    container = unpack(memoryview(data), UNLIMITED, _PARSERS)
    run.drive(decode_stack([container], [samples], None, run))
    return samples


def _verify(data: bytes, image: Raster, bound: float, run: Run) -> None:
    """Decode a file and see that it keeps its bound."""
    largest = largest_error(image, decoded(data, image, run))
    if largest > bound:
        raise AssertionError(f"a largest error of {largest} for a bound of {bound}; this is a bug of imfnb")


# --------------------------------------------------------------------------------------------------------- decoding


def stack_key(container: Container) -> None:
    """Every array is decoded alone."""


def decode_stack(
    containers: Sequence[Container],
    outs: Sequence[np.ndarray],
    max_rank: int | None,
    run: Run,
    bands: Sequence[int] | None = None,
    reduce: int = 1,
) -> Task[None]:
    """bytes -> integers -> samples, of one file; only some of the bands, if that is asked."""
    (container,), (out,) = containers, outs
    frame, p = container.frame, container.parameters
    array, chosen = frame.samples, slice(None) if bands is None else list(bands)
    unit, missing = array.unit or 1, None
    with np.errstate(over="ignore"):
        nodata = out.dtype.type(array.nodata)
    if array.mask is not None:
        missing = decode_missing(container.segment(p.mask(frame)), frame, run)
    if reduce > 1 and not p.planes:  # residuals have no smaller size
        whole = np.empty((frame.height, frame.width, out.shape[2]), out.dtype)
        yield from decode_stack(containers, [whole], max_rank, run, bands)
        out[...] = nodata
        holes = missing if missing is None or missing.shape[2] == 1 else missing[:, :, chosen]
        block_means(whole, reduce, out, holes)
        return
    if missing is not None and reduce > 1:
        missing = emptied(missing, reduce)
    # A preview shows the first components of the planes; what is added to all of them would be noise there.
    parts = [] if p.planes and (max_rank is not None or reduce > 1) else p.residuals(frame)
    # A residual beyond this leads to the end of the range from any base; products of larger ones exceed 32 bits.
    reach = 4 * RANGE_LIMIT // unit + 1

    def put(rows: slice, base: np.ndarray) -> None:
        integers = base
        for part, number in parts:
            first, last = max(rows.start, part.start), min(rows.stop, part.stop)
            if first < last:
                steps = steps_of[number].result()[:, first - part.start : last - part.start]
                steps = np.clip(np.moveaxis(steps, 0, 2)[:, :, chosen], -reach, reach)
                inside = slice(first - rows.start, last - rows.start)
                added = base[inside] + unit * steps
                integers[inside] = np.clip(added, array.low, array.high)
        to_samples(integers, array, out[rows])
        if missing is not None:
            holes = missing[rows] if missing.shape[2] == 1 else missing[rows][:, :, chosen]
            np.copyto(out[rows], nodata, where=holes)

    def residual(item: tuple[slice, int]) -> np.ndarray:
        part, number = item
        valid = (
            None if missing is None else by_bands(~(missing[part, :, 0] if missing.shape[2] == 1 else missing[part]))
        )
        segment, shape = container.segment(number), (max(1, frame.channels), part.stop - part.start, frame.width)
        data = bytes(segment.take(segment.left))
        return decode_residual_checked(run.host_kernels("entropy.residual"), data, shape, valid)

    steps_of = dict(zip((number for _, number in parts), run.submit_all(residual, parts), strict=True))
    if not p.planes:
        for part, _ in parts:
            put(part, np.full(out[part].shape, array.low + unit // 2, np.int32))
        return
    yield from _decode_integers(container, max_rank, bands, run, put, reduce)


def _decode_integers(
    container: Container,
    max_rank: int | None,
    bands: Sequence[int] | None,
    run: Run,
    put: Callable[[slice, np.ndarray], None],
    reduce: int = 1,
) -> Task[None]:
    """bytes -> integers of the lossy layer; `put` takes some rows after the other, of some of the bands."""
    frame, p = container.frame.reduced(reduce), container.parameters
    array, chosen = frame.samples, slice(None) if bands is None else list(bands)
    offsets, matrix = (part[chosen] for part in read_basis(container))
    stacks = column_stacks(container.frame.reduced(main.excess(reduce)), len(p.planes), run)
    groups = [main.coded_planes([container], stack, run, main.excess(reduce)) for stack in stacks]

    def join(rows: slice, decoded: list[tuple[Stack, Any]], above: int) -> Task[None]:
        shape = rows.stop - rows.start, frame.width, len(offsets)
        joined = run.array("array", shape, np.int32)
        join_columns(decoded, offsets, matrix, p.shift, array.low, array.high, joined, run)
        (integers,) = yield from run.fetch("array", joined)
        put(rows, integers)

    yield from main.reconstruct([container], groups, max_rank, run, join, reduce=reduce)


def read_basis(container: Container) -> tuple[np.ndarray, np.ndarray]:
    """Offsets and V of a file with a lossy layer."""
    frame, p = container.frame, container.parameters
    segment = container.segment(p.basis(frame))
    data = bytes(segment.take(segment.left))
    return decode_spectral_basis(data, max(1, frame.channels), len(p.planes))


def components(container: Container) -> dict[str, object]:
    """What :func:`imfnb.info` says with `components`."""
    frame, p = container.frame, container.parameters
    found: dict[str, list[int]] = {}
    number, energies, steps = 0, [], _steps(container)
    samples = frame.height * frame.width * max(1, frame.channels)
    for index, grid in enumerate(p.grids(frame)):
        numbers = range(number, number + len(grid.slices))
        found[f"column {index}"] = main.bytes_of_components(container, numbers, grid)[0]
        energies.append(_energy(container, numbers, grid))
        number = numbers.stop
    energy = _products(np.array(energies) / samples, steps, steps)
    return {"energies": energy, "steps": steps, "components": found}


def _energy(container: Container, numbers: range, grid: PatchGrid) -> float:
    """Sum of the squares of U of a plane."""
    total = 0
    for number, part in zip(numbers, grid.slices, strict=True):
        factors = decode_slice(
            container.segment(number), part, None, coder_of(container.parameters.coder, HostRun("cpu", 1))
        )
        inside = factors.padded.reshape(len(factors.padded), part.patches[0] + 3, -1)[:, 2:-1, 2:-2]
        total += int((inside.astype(np.int64) ** 2).sum())
    return float(total)


def _steps(container: Container) -> tuple[float, ...]:
    """The step of every plane in units of the data."""
    frame, p = container.frame, container.parameters
    if not p.planes:
        return ()
    _, matrix = read_basis(container)
    lengths = np.sqrt((matrix.astype(np.float64) ** 2).sum(axis=0)) / 2.0**p.shift
    return _products(lengths * p.planes[0].step * 16 / STEP_UNIT, frame.samples.scale)


def _products(*factors: Any) -> tuple[float, ...]:
    """Products of what there is for each plane; a file that has the largest scales may have none."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.ones(1)
        for factor in factors:
            found = found * np.asarray(factor, np.float64)
        return tuple(map(float, found))
