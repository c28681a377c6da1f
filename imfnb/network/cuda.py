"""Restoration network as CUDA kernels; `reference` is its definition and proves the ranges of its integers.

A block corrects a tile of cells through all layers, so that activations never leave shared memory: the inputs are as
many cells larger in every direction as there are layers, and each layer leaves one ring of them away, which makes 1.5
times the products of a plane in one piece. A thread takes all outputs of a cell, whose sums stay in registers: a word
of four activations is read once for 16 dot products of bytes, whose weights are the same words for all threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import int32, int64, uint32

from ..format.network import (
    CHANNELS,
    CORRECTION_LIMIT,
    INPUT_LIMIT,
    KERNEL,
    RECIPROCAL_BITS,
    SHIFTS,
    layers,
)
from ..format.restoration import SAMPLE_LIMIT
from ..runtime.cuda import SIMULATED, device_function, kernel, stream, template, tile_of_block, tiles
from ..runtime.cuda import cuda as _cuda
from ..runtime.cuda_intrinsics import clip4, dp4a_us, get, put
from .reference import CORRECTION_SHIFT, nearest_step, reciprocal

__all__ = ["correct", "guide"]

_i32, _u32 = np.int32, np.uint32

# Side of a tile in cells, and threads of a block; the simulator starts a Python thread for each.
_SIDE, _THREADS = (2, 4) if SIMULATED else (24, 256)

_TAPS = KERNEL * KERNEL
# Words of the activations of a cell.
_GROUPS = CHANNELS // 4

_LOW, _HIGH = _i32(-SAMPLE_LIMIT), _i32(SAMPLE_LIMIT)
_LEAST, _LARGEST = _i32(-INPUT_LIMIT), _i32(INPUT_LIMIT - 1)
_HALF_WORD, _SIXTEEN = _u32(0xFFFF), _u32(16)


@device_function
def _inside(position, size):
    """The nearest position of a line of samples."""
    return min(max(_i32(position), _i32(0)), _i32(size - 1))


@device_function
def _scaled(sample, factor):
    """A sample in the unit of inputs, as the low half of a word."""
    value = _i32(_i32(min(max(sample, _LOW), _HIGH)) * factor)
    value = _i32(_i32(value + _i32(1 << (RECIPROCAL_BITS - 1))) >> _i32(RECIPROCAL_BITS))
    return _u32(_u32(min(max(value, _LEAST), _LARGEST)) & _HALF_WORD)


@device_function
def _load(plane, number, side, top, left, factor, words, thread):
    """Write the inputs of a plane, words of two samples beside each other: those of its upper rows, then the lower."""
    height, width, cells = _i32(plane.shape[0]), _i32(plane.shape[1]), side * side
    for i in range((2 * cells + _THREADS - 1) // _THREADS):
        item = _i32(thread + i * _THREADS)
        if item < 2 * cells:
            lower = _i32(item >= cells)
            cell = _i32(item - lower * cells)
            y = _i32(_u32(cell) // _u32(side))
            x = _i32(2 * (left + cell - y * side))
            line = plane[_inside(2 * (top + y) + lower, height)]
            low = _scaled(line[_inside(x, width)], factor)
            high = _scaled(line[_inside(x + 1, width)], factor)
            put(words, _i32(2 * number * cells + item), _u32(low | _u32(high << _SIXTEEN)))


@device_function
def _byte(weights, place):
    """A weight as the lowest byte of a word."""
    return _u32(_u32(_i32(get(weights, int64(place)))) & _u32(0xFF))


@device_function
def _pack(weights, first, inputs, outputs, words, thread):
    """Write the weights of a layer: words of four inputs, in the order (tap, group of inputs, output)."""
    groups = inputs // 4
    count = _TAPS * groups * outputs
    for i in range((count + _THREADS - 1) // _THREADS):
        item = _i32(thread + i * _THREADS)
        if item < count:
            pair = _i32(_u32(item) // _u32(outputs))
            output = _i32(item - pair * outputs)
            tap = _i32(_u32(pair) // _u32(groups))
            at = _i32(first + (output * inputs + 4 * (pair - tap * groups)) * _TAPS + tap)
            word = _u32(_byte(weights, at) | _u32(_byte(weights, at + _TAPS) << _u32(8)))
            word = _u32(word | _u32(_byte(weights, at + 2 * _TAPS) << _SIXTEEN))
            put(words, item, _u32(word | _u32(_byte(weights, at + 3 * _TAPS) << _u32(24))))


@device_function
def _signed(word, shift):
    """The byte of a word that lies so many bits from its highest."""
    return _i32(_i32(_u32(word << _u32(shift))) >> _i32(24))


@device_function
def _first(source, words, biases, groups, side, cell, sums):
    """The sums of a cell of the first layer, from halves of words."""
    cells = side * side
    for o in range(CHANNELS):
        sums[o] = get(biases, int64(o))
    for tap in range(_TAPS):
        at = _i32(cell + tap // KERNEL * side + tap % KERNEL)
        for g in range(groups):
            upper, lower = get(source, _i32(at + 2 * g * cells)), get(source, _i32(at + (2 * g + 1) * cells))
            a, b = _i32(_i32(_u32(upper << _SIXTEEN)) >> _i32(16)), _i32(_i32(upper) >> _i32(16))
            c, d = _i32(_i32(_u32(lower << _SIXTEEN)) >> _i32(16)), _i32(_i32(lower) >> _i32(16))
            for o in range(CHANNELS):
                word = get(words, _i32((tap * groups + g) * CHANNELS + o))
                total = _i32(_i32(a * _signed(word, 24)) + _i32(b * _signed(word, 16)))
                total = _i32(total + _i32(_i32(c * _signed(word, 8)) + _i32(d * _signed(word, 0))))
                sums[o] = _i32(sums[o] + total)


def _adder(outputs: int) -> Callable[..., None]:
    """The function that makes the sums of a cell of a later layer."""

    @device_function
    def add(source, words, biases, first, side, cell, sums):
        cells = side * side
        for o in range(outputs):
            sums[o] = get(biases, int64(first + o))
        for tap in range(_TAPS):
            at = _i32(cell + tap // KERNEL * side + tap % KERNEL)
            for g in range(_GROUPS):
                values = get(source, _i32(at + g * cells))
                for o in range(outputs):
                    word = get(words, _i32((tap * _GROUPS + g) * outputs + o))
                    sums[o] = dp4a_us(values, word, sums[o])

    return add


@device_function
def _store(sums, shift, target, cells, cell):
    """Write the activations of a cell."""
    by = _i32(shift)
    for g in range(_GROUPS):
        a, b, c, d = sums[4 * g], sums[4 * g + 1], sums[4 * g + 2], sums[4 * g + 3]
        put(target, _i32(cell + g * cells), clip4(_i32(a >> by), _i32(b >> by), _i32(c >> by), _i32(d >> by)))


@device_function
def _finish(sums, number, plane, row, column, step, out):
    """Add the corrections of a cell to its samples of a plane, as far as it has them."""
    for k in range(4):
        y, x = 2 * row + k // 2, 2 * column + k % 2
        if y < plane.shape[0] and x < plane.shape[1]:
            change = _i32(sums[4 * number + k] >> _i32(SHIFTS[2]))
            change = _i32(min(max(change, _i32(-CORRECTION_LIMIT)), _i32(CORRECTION_LIMIT - 1)) * step)
            change = _i32(_i32(change + _i32(1 << (CORRECTION_SHIFT - 1))) >> _i32(CORRECTION_SHIFT))
            sample = _i32(min(max(plane[y, x], _LOW), _HIGH))
            out[y, x] = min(max(_i32(sample + change), _LOW), _HIGH)


@template(
    "void(int32[:,:,::1], int32[:,:,::1], int32[:,:,::1], int32, int32, int8[::1], int32[::1], int32[:,:,::1], "
    "int32[:,:,::1], int32[::1])",
    (1,),
    (3,),
)
def _correct(planes: int) -> Callable[..., None]:
    """The kernel for so many planes; where there is only one, it is given for all of them."""
    shapes = layers(planes)
    depth, outputs = len(shapes), shapes[-1][1]
    whole = _SIDE + 2 * depth
    # Buffers of inputs of even layers, and of odd ones.
    even = max(2 * planes * whole**2, _GROUPS * (whole - 4) ** 2)
    odd = _GROUPS * (whole - 2) ** 2
    most = _TAPS * CHANNELS * max(planes, _GROUPS)
    # Where the weights of the second layer and of the last one begin.
    second = _TAPS * CHANNELS * 4 * planes
    end = second + _TAPS * CHANNELS * CHANNELS * (depth - 2)
    hidden, last = _adder(CHANNELS), _adder(outputs)

    @device_function
    def between(number, source, target, weights, biases, words, thread):
        """A layer from activations to activations."""
        _pack(weights, second + (number - 1) * (_TAPS * CHANNELS * CHANNELS), CHANNELS, CHANNELS, words, thread)
        _cuda.syncthreads()
        sums = _cuda.local.array(CHANNELS, int32)
        side = _i32(whole - 2 * number)
        inner = _i32(side - 2)
        for i in range((inner * inner + _THREADS - 1) // _THREADS):
            item = _i32(thread + i * _THREADS)
            if item < inner * inner:
                y = _i32(_u32(item) // _u32(inner))
                hidden(source, words, biases, number * CHANNELS, side, _i32(item + 2 * y), sums)
                _store(sums, SHIFTS[1], target, inner * inner, item)
        _cuda.syncthreads()

    def run(one, two, three, step, factor, weights, biases, out, other, which):
        here = _cuda.shared.array(even, uint32)
        there = _cuda.shared.array(odd, uint32)
        words = _cuda.shared.array(most, uint32)
        sums = _cuda.local.array(CHANNELS, int32)
        rows, columns = _u32(one.shape[1] + 1) // _u32(2), _u32(one.shape[2] + 1) // _u32(2)
        number, down, across = tile_of_block(
            _u32(rows + (_SIDE - 1)) // _u32(_SIDE), _u32(columns + (_SIDE - 1)) // _u32(_SIDE)
        )
        n = which[number]
        thread = _i32(_cuda.threadIdx.x)
        top, left = _i32(down * _SIDE), _i32(across * _SIDE)
        _load(one[n], 0, whole, top - depth, left - depth, factor, here, thread)
        if planes == 3:
            _load(two[n], 1, whole, top - depth, left - depth, factor, here, thread)
            _load(three[n], 2, whole, top - depth, left - depth, factor, here, thread)
        _pack(weights, 0, 4 * planes, CHANNELS, words, thread)
        _cuda.syncthreads()
        inner = whole - 2
        for i in range((inner * inner + _THREADS - 1) // _THREADS):
            item = _i32(thread + i * _THREADS)
            if item < inner * inner:
                y = _i32(_u32(item) // _u32(inner))
                _first(here, words, biases, planes, whole, _i32(item + 2 * y), sums)
                _store(sums, SHIFTS[0], there, inner * inner, item)
        _cuda.syncthreads()
        for layer in range(1, depth - 1):
            if layer & 1:
                between(layer, there, here, weights, biases, words, thread)
            else:
                between(layer, here, there, weights, biases, words, thread)
        _pack(weights, end, CHANNELS, outputs, words, thread)
        _cuda.syncthreads()
        for i in range((_SIDE * _SIDE + _THREADS - 1) // _THREADS):
            item = _i32(thread + i * _THREADS)
            if item < _SIDE * _SIDE:
                y = _i32(_u32(item) // _u32(_SIDE))
                at, row, column = _i32(item + 2 * y), _i32(top + y), _i32(left + item - y * _SIDE)
                # There is an even number of layers.
                last(there, words, biases, (depth - 1) * CHANNELS, _SIDE + 2, at, sums)
                _finish(sums, 0, one[n], row, column, step, out[n])
                if planes == 3:
                    _finish(sums, 1, two[n], row, column, step, other[n])

    return run


def correct(planes: Sequence[Any], step: int, weights: Any, biases: Any, out: Sequence[Any], which: Any) -> None:
    """Counterpart of :func:`imfnb.network.reference.correct`; `out` must be other memory than the planes."""
    _, height, width = planes[0].shape
    blocks = len(which) * -(-height // (2 * _SIDE)) * -(-width // (2 * _SIDE))
    numbers = _i32(nearest_step(step)), _i32(reciprocal(step))
    sources, goals = (planes[0], planes[len(planes) // 2], planes[-1]), (out[0], out[-1])
    _correct(len(planes))[blocks, _THREADS, stream()](*sources, *numbers, weights, biases, *goals, which)


@kernel("void(int32[:,:,::1], int32[:,:,::1])")
def _guide(luma, out):
    """Means of 2 x 2 samples."""
    x, y = _cuda.grid(2)
    n = _cuda.blockIdx.z
    if y < out.shape[1] and x < out.shape[2]:
        below, right = min(2 * y + 1, luma.shape[1] - 1), min(2 * x + 1, luma.shape[2] - 1)
        total = _i32(2)
        for row in (2 * y, below):
            for column in (2 * x, right):
                total = _i32(total + min(max(luma[n, row, column], _LOW), _HIGH))
        out[n, y, x] = _i32(total >> _i32(2))


def guide(luma: Any, out: Any) -> None:
    """Counterpart of :func:`imfnb.network.reference.guide`."""
    grid, block = tiles(out.shape[2], out.shape[1], out.shape[0])
    _guide[(*grid,), block, stream()](luma, out)
