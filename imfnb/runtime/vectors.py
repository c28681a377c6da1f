"""LLVM vectors for intrinsics: what the register tiles of the stages are written with.

Left to itself, LLVM uses half of the vector width of some processors with 512-bit registers and makes no register
tiles. It lowers these vectors on machines with narrower registers too. All sums made with them are of integers that the
working precision holds exactly, so neither their order nor a fused multiply-add can change them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError

__all__ = [
    "DOTS",
    "INDEX",
    "WIDTH",
    "Lanes",
    "add_dot",
    "clamp",
    "function",
    "has_feature",
    "multiply_add",
    "multiply_add_pairs",
    "multiply_pairs",
    "product_tile",
    "registers",
    "splat",
]

#: Elements of a vector, unless said otherwise.
WIDTH = 16

#: Type of positions in an array.
INDEX = ir.IntType(64)

_CONTRACT = ("contract",)


def has_feature(name: str) -> bool:
    """Whether the machine code is made for processors with a feature, by LLVM's name for it ("avx512f")."""
    config = numba.config
    if config.DISABLE_JIT or config.CPU_NAME or config.CPU_FEATURES:
        return False
    return llvmlite.binding.get_host_cpu_features().get(name, False)


#: Whether the processor has dot products of four bytes (AVX-512 VNNI), or the JIT is off and anything will do.
DOTS = bool(numba.config.DISABLE_JIT) or has_feature("avx512vnni")


class Lanes:
    """A C-contiguous array of the kernel, read and written by vectors at flat positions."""

    def __init__(
        self, context: Any, builder: ir.IRBuilder, array_type: types.Array, value: ir.Value, width: int = WIDTH
    ) -> None:
        if array_type.layout != "C":
            raise TypingError(f"vectors are read from C-contiguous arrays; found {array_type}")
        array = context.make_array(array_type)(context, builder, value)
        self._builder, self._data = builder, array.data
        self.shape = cgutils.unpack_tuple(builder, array.shape)
        self._element, self._width = context.get_data_type(array_type.dtype), width
        self._align = array_type.dtype.bitwidth // 8

    def _pointer(self, position: ir.Value, width: int) -> ir.Value:
        vector = ir.VectorType(self._element, width)
        return self._builder.bitcast(self._builder.gep(self._data, [position]), vector.as_pointer())

    def load(self, position: ir.Value, width: int | None = None) -> ir.Value:
        return self._builder.load(self._pointer(position, width or self._width), align=self._align)

    def store(self, value: ir.Value, position: ir.Value) -> None:
        self._builder.store(value, self._pointer(position, value.type.count), align=self._align)

    def at(self, position: ir.Value) -> ir.Value:
        return self._builder.load(self._builder.gep(self._data, [position]))

    def splat(self, position: ir.Value) -> ir.Value:
        return splat(self._builder, self.at(position), self._width)


def splat(builder: ir.IRBuilder, value: ir.Value, width: int = WIDTH) -> ir.Value:
    """A number in all lanes."""
    undefined = ir.Constant(ir.VectorType(value.type, width), ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width))


def registers(context: Any, builder: ir.IRBuilder, dtype: types.Type, count: int) -> list[ir.Value]:
    """Zeroed variables that LLVM keeps in registers."""
    vector = ir.VectorType(context.get_data_type(dtype), WIDTH)
    out = [cgutils.alloca_once(builder, vector) for _ in range(count)]
    for register in out:
        builder.store(ir.Constant(vector, None), register)
    return out


def multiply_add(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, register: ir.Value) -> None:
    """register += a b."""
    product = builder.fmul(a, b, flags=_CONTRACT)
    builder.store(builder.fadd(builder.load(register), product, flags=_CONTRACT), register)


def multiply_pairs(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    """a[0] b[0] + a[1] b[1] in every lane, where a and b hold two 16-bit integers in each of 32 bits."""
    lanes = a.type.count * a.type.element.width // 32
    narrow, wide = (ir.VectorType(ir.IntType(bits), 2 * lanes) for bits in (16, 32))
    one, two = (builder.bitcast(value, narrow) for value in (a, b))
    if has_feature("avx512bw") and lanes == WIDTH:
        kind = ir.FunctionType(ir.VectorType(ir.IntType(32), WIDTH), [narrow, narrow])
        both = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.pmaddw.d.512")
        return builder.call(both, [one, two])
    # In this form LLVM mostly finds the instruction that does it, where there is one.
    product = builder.mul(builder.sext(one, wide), builder.sext(two, wide))
    undefined = ir.Constant(wide, ir.Undefined)
    order = ir.VectorType(ir.IntType(32), lanes)
    halves = [
        builder.shuffle_vector(product, undefined, ir.Constant(order, [2 * k + odd for k in range(lanes)]))
        for odd in (0, 1)
    ]
    return builder.add(*halves)


def multiply_add_pairs(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, register: ir.Value) -> None:
    """register += :func:`multiply_pairs`."""
    builder.store(builder.add(builder.load(register), multiply_pairs(builder, a, b)), register)


def product_tile(
    context: Any,
    builder: ir.IRBuilder,
    lanes: Lanes,
    weights: Lanes,
    corner: tuple[ir.Value, ir.Value],
    size: tuple[int, int],
    add: Callable[..., None],
    dtype: types.Type,
) -> list[ir.Value]:
    """Registers that hold a tile of weights (R, N) times lanes (N, width): rows times vectors, row by row.

    The tile begins at the row and the lane in `corner` and has the rows and vectors in `size`; `add` is a function like
    :func:`multiply_add`, `dtype` what it adds to.
    """
    (first, lane), (rows, vectors) = corner, size
    length = weights.shape[1]
    sums = registers(context, builder, dtype, rows * vectors)
    with cgutils.for_range(builder, length, intp=INDEX) as loop:
        start = builder.add(builder.mul(loop.index, lanes.shape[1]), lane)
        values = [lanes.load(builder.add(start, INDEX(WIDTH * k))) for k in range(vectors)]
        for r in range(rows):
            line = builder.mul(builder.add(first, INDEX(r)), length)
            weight = weights.splat(builder.add(line, loop.index))
            for k in range(vectors):
                add(builder, values[k], weight, sums[r * vectors + k])
    return sums


def add_dot(builder: ir.IRBuilder, unsigned: ir.Value, signed: ir.Value, register: ir.Value) -> None:
    """register += the dot product of four unsigned and four signed bytes in every 32-bit lane; where DOTS is true."""
    sums = ir.VectorType(ir.IntType(32), WIDTH)
    kind = ir.FunctionType(sums, [sums] * 3)
    dot = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpbusd.512")
    operands = [builder.bitcast(value, sums) for value in (unsigned, signed)]
    builder.store(builder.call(dot, [builder.load(register), *operands]), register)


def clamp(builder: ir.IRBuilder, value: ir.Value, low: ir.Value, high: ir.Value) -> ir.Value:
    """Every lane between low and high."""
    value = builder.select(builder.fcmp_ordered("<", value, low), low, value)
    return builder.select(builder.fcmp_ordered(">", value, high), high, value)


def function(builder: ir.IRBuilder, name: str, value: ir.Value) -> ir.Value:
    """LLVM's function `name` ("rint", "fabs") of every lane."""
    suffix = "f32" if value.type.element == ir.FloatType() else "f64"
    prototype = ir.FunctionType(value.type, [value.type])
    intrinsic = cgutils.get_or_insert_function(builder.module, prototype, f"llvm.{name}.v{WIDTH}{suffix}")
    return builder.call(intrinsic, [value])
