"""Instructions that Numba has no names for, as functions for kernels: four bytes at a time, and words of byte arrays.

A word is four neighbouring bytes as uint32, the one at the lowest address in its lowest bits. Each function has a twin
in plain Python, which the simulator runs; but not those of the tensor cores, whose callers have twins.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from .cuda import SIMULATED, cuda, device_function

__all__ = [
    "await_previous",
    "ballot",
    "begin_next",
    "clip2",
    "clip4",
    "dp2a_high",
    "dp2a_low",
    "dp4a_ss",
    "dp4a_us",
    "fetch_four",
    "get",
    "get_four",
    "get_pair",
    "get_word",
    "low_bytes",
    "meet",
    "mma_ss",
    "mma_us",
    "mma_uu",
    "prefetch",
    "prmt",
    "put",
    "put_four",
    "put_half",
    "put_pair",
    "put_word",
    "starts_at_multiple",
    "transpose4",
    "wait_for_fours",
]

_WORD = 2**32 - 1


def starts_at_multiple(array: Any, size: int) -> bool:
    """Whether a device array's address is a multiple of `size` bytes. (Another library's array may begin anywhere.)"""
    pointer = getattr(array, "device_ctypes_pointer", None)  # the simulator's arrays have none
    return pointer is None or (pointer.value or 0) % size == 0


# ------------------------------------------------------------------------------------------------- in the simulator


def _bytes(word: Any, signed: bool = False) -> list[int]:
    unsigned = [int(word) >> shift & 255 for shift in (0, 8, 16, 24)]
    return [(byte ^ 128) - 128 for byte in unsigned] if signed else unsigned


def _dp4a_twin(a, b, c, signed=True):
    total = int(c) + sum(x * y for x, y in zip(_bytes(a, signed), _bytes(b, True), strict=True))
    return np.uint32(total & _WORD).astype(np.int32)


def _dp4a_us_twin(a, b, c):
    return _dp4a_twin(a, b, c, False)


def _prmt_twin(a, b, selector):
    every = _bytes(a) + _bytes(b)
    return np.uint32(sum(every[int(selector) >> 4 * k & 7] << 8 * k for k in range(4)))


def _clip4_twin(a, b, c, d):
    return np.uint32(sum(min(max(int(value), 0), 255) << 8 * k for k, value in enumerate((a, b, c, d))))


def _halves(word: Any) -> list[int]:
    return [(int(word) >> shift & 0xFFFF ^ 0x8000) - 0x8000 for shift in (0, 16)]


def _clip2_twin(a, b, top):
    sums = [x + y for x, y in zip(_halves(a), _halves(b), strict=True)]
    low, high = (max(min((x + 2**15) % 2**16 - 2**15, t), 0) for x, t in zip(sums, _halves(top), strict=True))
    return np.uint32(low | high << 16)


def _dp2a_low_twin(a, b, c):
    return np.uint32(int(c) + (int(a) & 0xFFFF) * _bytes(b)[0] + (int(a) >> 16) * _bytes(b)[1] & _WORD)


def _dp2a_high_twin(a, b, c):
    total = int(c) + (int(a) & 0xFFFF) * _bytes(b, True)[2] + (int(a) >> 16) * _bytes(b, True)[3]
    return np.uint32(total & _WORD).astype(np.int32)


def _flat(array: Any) -> np.ndarray:
    """A device array of the simulator as a vector that shares its memory."""
    flat = np.asarray(getattr(array, "_ary", array)).view()
    flat.shape = (flat.size,)  # raises where a copy would be needed
    return flat


def _get_twin(array, at):
    return _flat(array)[int(at)]


def _put_twin(array, at, value):
    _flat(array)[int(at)] = value


def _prefetch_twin(array, at):
    if not 0 <= int(at) < _flat(array).size:
        raise IndexError(f"item {at} of {_flat(array).size}")


def _nothing_twin():
    pass


# What the threads of the simulated block have brought to a vote.
_votes: dict[int, bool] = {}


def _ballot_twin(flag):
    _votes[int(cuda.threadIdx.x)] = bool(flag)
    cuda.syncthreads()
    word = sum(1 << thread for thread in range(int(cuda.blockDim.x)) if _votes[thread])
    cuda.syncthreads()
    return np.uint32(word)


def _words(array: Any, at: int, count: int) -> np.ndarray:
    """`count` words of an array of bytes, or as many of its items of 32 bits, as a vector that shares their memory.

    They begin at a multiple of their size, as a device demands.
    """
    flat, at = _flat(array), int(at)
    size = 4 * count // flat.itemsize
    if at % size:
        raise ValueError(f"{count} words cannot begin at item {at}")
    words = flat[at : at + size]
    return words.view(np.uint32) if flat.itemsize == 1 else words


def _get_word_twin(array, at):
    return _words(array, at, 1)[0]


def _put_word_twin(array, at, word):
    _words(array, at, 1)[0] = word


def _get_pair_twin(array, at):
    first, second = _words(array, at, 2)
    return first, second


def _put_pair_twin(array, at, first, second):
    _words(array, at, 2)[:] = first, second


def _get_four_twin(array, at):
    first, second, third, fourth = _words(array, at, 4)
    return first, second, third, fourth


def _put_four_twin(array, at, first, second, third, fourth):
    _words(array, at, 4)[:] = first, second, third, fourth


def _fetch_four_twin(target, to, source, at):
    _words(target, to, 4)[:] = _words(source, at, 4)


def _put_half_twin(array, at, half):
    if at % 2:
        raise ValueError(f"two bytes cannot begin at byte {at}")
    _flat(array)[int(at) : int(at) + 2].view(np.uint16)[0] = half


# ----------------------------------------------------------------------------------------------------- on a device

_I32, _I64 = ir.IntType(32), ir.IntType(64)


def _asm(instruction: str, operands: int) -> ir.InlineAsm:
    kind = ir.FunctionType(_I32, [_I32] * operands)
    registers = ", ".join(f"${k}" for k in range(operands + 1))
    return ir.InlineAsm(kind, f"{instruction} {registers};", ",".join(["=r", *"r" * operands]))


def _capability() -> tuple[int, int]:
    """Compute capability that the kernel is being compiled for; (0, 0) where Numba does not say."""
    try:
        flags = importlib.import_module("numba.cuda.core.targetconfig").ConfigStack.top_or_none()
    except ImportError:
        return 0, 0
    return getattr(flags, "compute_capability", None) or (0, 0)


def _instruction(name: str, total: Any) -> Any:
    """An instruction with two words and a third operand of the type of its result, as a function of the three."""

    @_intrinsic
    def function(typingctx, a, b, c):
        def generate(context, builder, signature, arguments):
            return builder.call(_asm(name, 3), arguments)

        return total(types.uint32, types.uint32, total), generate

    return function


def _matrices(kinds: str) -> Any:
    """The tensor cores' product of matrices of bytes, unsigned (u8) or signed (s8), as a function of a warp.

    a (16, 32) times b (32, 8) plus c (16, 8) of int32, sums modulo 2**32. All lanes call it. Lane 4 g + t has in byte k
    of a0, a1, a2 and a3 the entries of column 4 t + k, for a2 and a3 plus 16, and of row g, for a1 and a3 plus 8; in
    byte k of b0 and b1 those of row 4 t + k, for b1 plus 16, and of column g; and the sums of row g, for c2 and c3 plus
    8, and of column 2 t, for c1 and c3 plus 1.
    """
    kind = ir.FunctionType(ir.LiteralStructType([_I32] * 4), [_I32] * 10)
    operands = "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13}"
    text = f"mma.sync.aligned.m16n8k32.row.col.s32.{kinds}.s32 {operands};"

    @_intrinsic
    def function(typingctx, a0, a1, a2, a3, b0, b1, c0, c1, c2, c3):
        def generate(context, builder, signature, arguments):
            # Volatile and convergent: no branch that only some lanes take may hold it.
            code = ir.InlineAsm(kind, text, ",".join(["=r"] * 4 + ["r"] * 10), side_effect=True)
            call = builder.call(code, arguments)
            call.attributes.add("convergent")
            values = [builder.extract_value(call, k) for k in range(4)]
            return context.make_tuple(builder, signature.return_type, values)

        return types.UniTuple(types.int32, 4)(*[types.int32] * 10), generate

    return function


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any, kind: ir.Type) -> ir.Value:
    """Where item `arguments[1]` of the array `arguments[0]` is, as a pointer to values of a kind."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    place = builder.gep(array.data, [arguments[1]])
    return builder.bitcast(place, ir.PointerType(kind, place.type.addrspace))


def _load_vector(context: Any, builder: Any, signature: Any, arguments: Any) -> ir.Value:
    """The tuple of words that an array holds at an address that is a multiple of their size."""
    count = len(signature.return_type)
    place = _pointer(context, builder, signature, arguments, ir.VectorType(_I32, count))
    vector = builder.load(place, align=4 * count)
    values = [builder.extract_element(vector, ir.Constant(_I32, k)) for k in range(count)]
    return context.make_tuple(builder, signature.return_type, values)


def _store_vector(context: Any, builder: Any, signature: Any, arguments: Any) -> ir.Value:
    """Write the words that follow an array and a place, whose address is a multiple of their size."""
    words = arguments[2:]
    kind = ir.VectorType(_I32, len(words))
    vector = ir.Constant(kind, ir.Undefined)
    for k, word in enumerate(words):
        vector = builder.insert_element(vector, word, ir.Constant(_I32, k))
    builder.store(vector, _pointer(context, builder, signature, arguments, kind), align=4 * len(words))
    return context.get_dummy_value()


def _is_flat(array: Any, bits: int | None = None) -> bool:
    flat = isinstance(array, types.Array) and array.layout == "C"
    return flat and bits in (None, array.dtype.bitwidth)


def _word_of(array: Any) -> Any:
    """The type of what is read from an array 32 bits at a time: words of bytes, or its items."""
    if _is_flat(array, 8):
        return types.uint32
    return array.dtype if _is_flat(array, 32) else None


if SIMULATED:
    dp4a_ss, dp4a_us, prmt, clip4 = _dp4a_twin, _dp4a_us_twin, _prmt_twin, _clip4_twin
    clip2, dp2a_low, dp2a_high = _clip2_twin, _dp2a_low_twin, _dp2a_high_twin
    get, put, get_word, put_word = _get_twin, _put_twin, _get_word_twin, _put_word_twin
    fetch_four, wait_for_fours, prefetch = _fetch_four_twin, _nothing_twin, _prefetch_twin
    await_previous = begin_next = _nothing_twin
    get_pair, put_pair, get_four, put_four = _get_pair_twin, _put_pair_twin, _get_four_twin, _put_four_twin
    put_half = _put_half_twin
    ballot, meet = device_function(_ballot_twin), device_function(lambda: cuda.syncthreads())
    # A warp's work, where threads here are on their own: the callers have twins of the whole.
    mma_uu: Any = None
    mma_us: Any = None
    mma_ss: Any = None
else:
    # Through its name, since numba-cuda puts this module in the place of Numba's own.
    _intrinsic = importlib.import_module("numba.cuda.extending").intrinsic

    # c plus the products of four bytes of a, signed or unsigned, and of four signed ones of b.
    dp4a_ss, dp4a_us = _instruction("dp4a.s32.s32", types.int32), _instruction("dp4a.u32.s32", types.int32)
    # c plus the unsigned halves of a times the two lowest bytes of b, or its two highest, signed ones.
    dp2a_low = _instruction("dp2a.lo.u32.u32", types.uint32)
    dp2a_high = _instruction("dp2a.hi.u32.s32", types.int32)
    # Four of the eight bytes of a (0 to 3) and b (4 to 7): nibble k of c names byte k.
    prmt = _instruction("prmt.b32", types.uint32)
    # Products of matrices of bytes, unsigned or signed.
    mma_uu, mma_us, mma_ss = _matrices("u8.u8"), _matrices("u8.s8"), _matrices("s8.s8")

    @_intrinsic
    def clip4(typingctx, a, b, c, d):
        """The word of four int32, each clipped to 0..255; two instructions."""

        def generate(context, builder, signature, arguments):
            a, b, c, d = arguments
            pack = _asm("cvt.pack.sat.u8.s32.b32", 3)  # third operand << 16 | first << 8 | second
            upper = builder.call(pack, [d, c, ir.Constant(_I32, 0)])
            return builder.call(pack, [b, a, upper])

        return types.uint32(types.int32, types.int32, types.int32, types.int32), generate

    @_intrinsic
    def clip2(typingctx, a, b, top):
        """min(max(a + b, 0), top) of both signed 16-bit halves; an instruction from compute capability 9.0 on."""

        def generate(context, builder, signature, arguments):
            if _capability() >= (9, 0):
                add = "{.reg .b32 sum; add.s16x2 sum, $1, $2; min.relu.s16x2 $0, sum, $3;}"
                kind = ir.FunctionType(_I32, [_I32] * 3)
                return builder.call(ir.InlineAsm(kind, add, "=r,r,r,r"), arguments)
            halves = ir.VectorType(ir.IntType(16), 2)
            a, b, top = (builder.bitcast(value, halves) for value in arguments)
            total, zero = builder.add(a, b), ir.Constant(halves, [0, 0])
            total = builder.select(builder.icmp_signed("<", total, top), total, top)
            total = builder.select(builder.icmp_signed(">", total, zero), total, zero)
            return builder.bitcast(total, _I32)

        return types.uint32(types.uint32, types.uint32, types.uint32), generate

    @_intrinsic
    def get(typingctx, array, at):
        """Item `at` of a contiguous array of any shape."""
        if not _is_flat(array):
            return None

        def generate(context, builder, signature, arguments):
            place = _pointer(context, builder, signature, arguments, context.get_data_type(array.dtype))
            return builder.load(place)

        return array.dtype(array, types.int64), generate

    @_intrinsic
    def put(typingctx, array, at, value):
        """Write item `at` of a contiguous array of any shape."""
        if not _is_flat(array):
            return None

        def generate(context, builder, signature, arguments):
            place = _pointer(context, builder, signature, arguments, context.get_data_type(array.dtype))
            builder.store(arguments[2], place)
            return context.get_dummy_value()

        return types.none(array, types.int64, array.dtype), generate

    @_intrinsic
    def get_word(typingctx, array, at):
        """The word that begins at byte `at`, a multiple of 4, of a contiguous array of bytes."""
        if not _is_flat(array, 8):
            return None

        def generate(context, builder, signature, arguments):
            return builder.load(_pointer(context, builder, signature, arguments, _I32), align=4)

        return types.uint32(array, types.int64), generate

    @_intrinsic
    def put_word(typingctx, array, at, word):
        """Write the word that begins at byte `at`, a multiple of 4, of a contiguous array of bytes."""
        if not _is_flat(array, 8):
            return None

        def generate(context, builder, signature, arguments):
            builder.store(arguments[2], _pointer(context, builder, signature, arguments, _I32), align=4)
            return context.get_dummy_value()

        return types.none(array, types.int64, types.uint32), generate

    @_intrinsic
    def put_half(typingctx, array, at, half):
        """Write two bytes, a uint16, from byte `at`, a multiple of 2, of a contiguous array of bytes on."""
        if not _is_flat(array, 8):
            return None

        def generate(context, builder, signature, arguments):
            builder.store(arguments[2], _pointer(context, builder, signature, arguments, ir.IntType(16)), align=2)
            return context.get_dummy_value()

        return types.none(array, types.int64, types.uint16), generate

    @_intrinsic
    def get_pair(typingctx, array, at):
        """Two words of a contiguous array of bytes, or two items of 32 bits, from `at` on, at a multiple of 8 bytes."""
        word = _word_of(array)
        return (types.UniTuple(word, 2)(array, types.int64), _load_vector) if word else None

    @_intrinsic
    def put_pair(typingctx, array, at, first, second):
        """Write what :func:`get_pair` reads."""
        word = _word_of(array)
        return (types.none(array, types.int64, word, word), _store_vector) if word else None

    @_intrinsic
    def get_four(typingctx, array, at):
        """Four words of a contiguous array of bytes, or items of 32 bits, from `at` on, at a multiple of 16 bytes."""
        word = _word_of(array)
        return (types.UniTuple(word, 4)(array, types.int64), _load_vector) if word else None

    @_intrinsic
    def put_four(typingctx, array, at, first, second, third, fourth):
        """Write what :func:`get_four` reads."""
        word = _word_of(array)
        return (types.none(array, types.int64, word, word, word, word), _store_vector) if word else None

    @_intrinsic
    def fetch_four(typingctx, target, to, source, at):
        """Begin to copy four 32-bit items, from `at` on, to `to` on in an array in shared memory; both multiples of 4.

        Nothing waits for it, nor takes a register, until :func:`wait_for_fours`.
        """
        if not (_is_flat(target, 32) and _is_flat(source, 32)):
            return None

        def generate(context, builder, signature, arguments):
            kinds = signature.args
            places = [
                builder.gep(context.make_array(kinds[k])(context, builder, arguments[k]).data, [arguments[k + 1]])
                for k in (0, 2)
            ]
            shared = builder.addrspacecast(places[0], ir.PointerType(_I32, 3))
            addresses = [builder.ptrtoint(place, _I64) for place in (shared, places[1])]
            kind = ir.FunctionType(ir.VoidType(), [_I64] * 2)
            code = ir.InlineAsm(kind, "cp.async.cg.shared.global [$0], [$1], 16;", "l,l,~{memory}", side_effect=True)
            builder.call(code, addresses)
            return context.get_dummy_value()

        return types.none(target, types.int64, source, types.int64), generate

    @_intrinsic
    def prefetch(typingctx, array, at):
        """Have the L2 cache read the 32 bytes around item `at` of a contiguous array; nothing waits for it."""
        if not _is_flat(array):
            return None

        def generate(context, builder, signature, arguments):
            place = _pointer(context, builder, signature, arguments, context.get_data_type(array.dtype))
            kind = ir.FunctionType(ir.VoidType(), [_I64])
            code = ir.InlineAsm(kind, "prefetch.global.L2 [$0];", "l", side_effect=True)
            builder.call(code, [builder.ptrtoint(place, _I64)])
            return context.get_dummy_value()

        return types.none(array, types.int64), generate

    def _statement(text: str, capability: tuple[int, int], doc: str) -> Any:
        """An instruction without operands, which nothing that touches memory passes; nothing below a capability."""

        @_intrinsic
        def function(typingctx):
            def generate(context, builder, signature, arguments):
                if _capability() >= capability:
                    kind = ir.FunctionType(ir.VoidType(), [])
                    builder.call(ir.InlineAsm(kind, text, "~{memory}", side_effect=True), [])
                return context.get_dummy_value()

            return types.none(), generate

        function.__doc__ = doc
        return function

    wait_for_fours = _statement(
        "cp.async.wait_all;",
        (0, 0),
        "Wait for all that this thread has begun to copy with :func:`fetch_four`; only then it sees the copies.",
    )
    begin_next = _statement(
        "griddepcontrol.launch_dependents;",
        (9, 0),
        "Where launches overlap (`Kernel.repeat`): when all blocks have come here, those of the next one may begin.",
    )
    await_previous = _statement(
        "griddepcontrol.wait;",
        (9, 0),
        "Where launches overlap: wait until the one before has ended, and see what it has written.",
    )


if not SIMULATED:

    @device_function
    def ballot(flag):
        """The flags of the 32 threads of a warp, all of which call this, as a word; that of the first is bit 0.

        In the simulator a block takes the place of a warp.
        """
        return np.uint32(cuda.ballot_sync(0xFFFFFFFF, flag))

    @device_function
    def meet():
        """What a thread of a warp has written, the others, all of which call this, see after it."""
        cuda.syncwarp()


@device_function
def low_bytes(a, b, c, d):
    """The lowest bytes of four numbers of 32 bits as a word."""
    low, high = prmt(np.uint32(a), np.uint32(b), np.uint32(0x40)), prmt(np.uint32(c), np.uint32(d), np.uint32(0x40))
    return prmt(low, high, np.uint32(0x5410))


@device_function
def transpose4(w0, w1, w2, w3):
    """Four words whose byte k is byte 0, 1, 2 or 3 of word k: the transpose of a 4 x 4 matrix of bytes."""
    low, high = prmt(w0, w1, np.uint32(0x5140)), prmt(w2, w3, np.uint32(0x5140))
    first, second = prmt(low, high, np.uint32(0x5410)), prmt(low, high, np.uint32(0x7632))
    low, high = prmt(w0, w1, np.uint32(0x7362)), prmt(w2, w3, np.uint32(0x7362))
    return first, second, prmt(low, high, np.uint32(0x5410)), prmt(low, high, np.uint32(0x7632))
