"""The interpreter of PTX: arithmetic at its corners against exact numbers, and what it must refuse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from interpreter import Program, PtxError
from ptx_arithmetic import DTYPES

_HEADER = """
.version 8.0
.target sm_90
.address_size 64
{arrays}
.visible .entry tested(.param .u64 tested_param_0, .param .u64 tested_param_1)
{{
    .reg .pred %p<9>;
    .reg .b16 %rs<9>;
    .reg .b32 %r<99>;
    .reg .b64 %rd<99>;
    .reg .f32 %f<9>;
    .reg .f64 %fd<9>;
    ld.param.u64 %rd1, [tested_param_0];
    ld.param.u64 %rd2, [tested_param_1];
    mov.u32 %r1, %tid.x;
    {body}
    ret;
}}
"""


def run(
    body: str,
    given: np.ndarray,
    found: np.ndarray,
    threads: int = 32,
    blocks: int = 1,
    arrays: str = "",
    **options: Any,
) -> np.ndarray:
    """Run a kernel whose %rd1 and %rd2 are the arrays' addresses and whose %r1 is the number of the thread."""
    program = Program(_HEADER.format(body=body, arrays=arrays))
    program.launch(blocks, threads, [np.ascontiguousarray(given), found], **options)
    return found


def encoded(kind: str, values: Sequence[Any]) -> np.ndarray:
    """Numbers of a type in 8 bytes each; whole ones modulo its size."""
    dtype = DTYPES[kind]
    size = dtype.itemsize
    words = [
        np.array(v, dtype).tobytes() if dtype.kind == "f" else int(v % 2 ** (8 * size)).to_bytes(size, "little")
        for v in values
    ]
    return np.frombuffer(b"".join(word.ljust(8, b"\0") for word in words), np.uint64)


def register(kind: str, number: int) -> str:
    if kind[0] == "f":
        return f"%{'f' if kind == 'f32' else 'fd'}{number}"
    letters = {1: "rs", 2: "rs", 4: "r", 8: "rd"}
    return f"%{letters[DTYPES[kind].itemsize]}{number}"


def compute(opcode: str, result: str, *columns: tuple[str, Sequence[Any]]) -> np.ndarray:
    """What an instruction makes of columns of numbers, each with its type; one thread for a row."""
    count, size = len(columns[0][1]), DTYPES[result].itemsize
    given = np.stack([encoded(kind, values) for kind, values in columns])
    loads, sources, target = [], [], register(result, 2)
    for k, (kind, _) in enumerate(columns):
        sources.append(register(kind, k + 5))
        loads.append(f"ld.global.{kind} {sources[-1]}, [%rd4+{8 * count * k}];")
    body = f"""
    mul.wide.u32 %rd3, %r1, 8;
    add.s64 %rd4, %rd1, %rd3;
    mul.wide.u32 %rd10, %r1, {size};
    add.s64 %rd11, %rd2, %rd10;
    {" ".join(loads)}
    {opcode} {target}, {", ".join(sources)};
    st.global.{result} [%rd11], {target};
    """
    return run(body, given, np.zeros(count, DTYPES[result]), count)


# ---------------------------------------------------------------------------------------------------------- arithmetic


def exact_sum_of_product(x: Any, y: Any, z: Any, dtype: type) -> Any:
    """x y + z rounded once."""
    exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
    if dtype is np.float64:
        return float(exact)
    # The neighbours of what is perhaps rounded twice: the nearest one, of two the even one.
    near = np.float32(float(exact))
    around = [np.nextafter(near, np.float32(side)) for side in (-np.inf, np.inf)]
    even = lambda v: int(v.view(np.uint32)) & 1  # noqa: E731
    return min([near, *around], key=lambda v: (abs(Fraction(float(v)) - exact), even(v)))


def test_fma_of_float32_is_rounded_once():
    rng = np.random.default_rng(0)
    # A product half way between two float32, and a number too small to change it in float64.
    x, y, z = [1 + 2.0**-12], [1 + 2.0**-12], [2.0**-80]
    for _ in range(200):
        a, b = rng.uniform(-4, 4, 2).astype(np.float32)
        x, y, z = [*x, a], [*y, b], [*z, np.float32(rng.choice([-1, 1]) * 2.0 ** rng.integers(-90, 30))]
    x, y, z = (np.array(v, np.float32) for v in (x, y, z))
    found = compute("fma.rn.f32", "f32", ("f32", x), ("f32", y), ("f32", z))
    expected = [exact_sum_of_product(*each, np.float32) for each in zip(x, y, z, strict=True)]
    np.testing.assert_array_equal(found, np.array(expected, np.float32))
    twice = (x.astype(np.float64) * y.astype(np.float64) + z.astype(np.float64)).astype(np.float32)
    assert found[0] != twice[0]  # else the first case says nothing


def test_fma_of_float64_is_rounded_once():
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-4, 4, (2, 300))
    z = -x * y * rng.choice([1, 1 + 2.0**-40, 1e-20, 1e20], 300)
    x[:4], y[:4], z[:4] = [1e300, 1e-200, 5e-324, -1.0], [1e300, 1e-200, 0.75, 0.0], [-math.inf, 1e-320, 5e-324, -0.0]
    found = compute("fma.rn.f64", "f64", ("f64", x), ("f64", y), ("f64", z))
    expected = [exact_sum_of_product(*each, np.float64) for each in zip(x[1:], y[1:], z[1:], strict=True)]
    np.testing.assert_array_equal(found[1:], expected)
    assert found[0] == -math.inf and math.copysign(1, found[3]) == -1
    assert (found[4:] != x[4:] * y[4:] + z[4:]).any()


def test_overflow_of_a_product_that_the_sum_takes_back():
    found = compute("fma.rn.f64", "f64", ("f64", [1e200, 1e308]), ("f64", [1e200, 10.0]), ("f64", [0.0, -1.7e308]))
    assert found[0] == math.inf and found[1] == math.inf
    found = compute("fma.rn.f64", "f64", ("f64", [2.0**600]), ("f64", [2.0**424]), ("f64", [-(2.0**1023)]))
    assert found[0] == 2.0**1023


@pytest.mark.parametrize(("opcode", "kind"), [("rcp.rn.f32", "f32"), ("rcp.rn.f64", "f64")])
def test_reciprocals(opcode, kind):
    dtype = DTYPES[kind].type
    values = np.random.default_rng(2).uniform(-9, 9, 200).astype(dtype)
    for x, found in zip(values, compute(opcode, kind, (kind, values)), strict=True):
        error = abs(Fraction(float(found)) * Fraction(float(x)) - 1)
        for other in (np.nextafter(found, dtype(-99)), np.nextafter(found, dtype(99))):
            assert error <= abs(Fraction(float(other)) * Fraction(float(x)) - 1)
    assert compute(opcode, kind, (kind, [-0.0, 0.0])).tolist() == [-math.inf, math.inf]


def test_smallest_and_largest():
    nan, zero, x = [math.nan, 3.0, math.nan, 0.0], [-0.0], [4.0, math.nan, math.nan, -0.0]
    for kind in ("f32", "f64"):
        low = compute(f"min.{kind}", kind, (kind, nan), (kind, x))
        high = compute(f"max.{kind}", kind, (kind, nan), (kind, x))
        assert low[:2].tolist() == high[:2].tolist() == [4.0, 3.0] and np.isnan(low[2]) and np.isnan(high[2])
        assert math.copysign(1, low[3]) == -1 and math.copysign(1, high[3]) == 1
        assert math.copysign(1, compute(f"max.{kind}", kind, (kind, zero), (kind, [0.0]))[0]) == 1
    assert compute("min.f32", "f32", ("f32", [math.nan]), ("f32", [math.nan])).view(np.uint32)[0] == 0x7FFFFFFF
    assert compute("min.u32", "u32", ("u32", [-1]), ("u32", [5])).tolist() == [5]
    assert compute("min.s32", "s32", ("s32", [-1]), ("s32", [5])).tolist() == [-1]


@pytest.mark.parametrize(
    ("opcode", "result", "source", "value", "expected"),
    [
        (
            "cvt.rzi.s32.f64",
            "s32",
            "f64",
            [-1.9, 3e9, -3e9, math.inf, 2147483647.5],
            [-1, 2**31 - 1, -(2**31), 2**31 - 1, 2**31 - 1],
        ),
        ("cvt.rni.s32.f32", "s32", "f32", [0.5, 1.5, -2.5], [0, 2, -2]),
        ("cvt.rmi.s32.f32", "s32", "f32", [0.5, -0.5], [0, -1]),
        ("cvt.rpi.s32.f32", "s32", "f32", [0.5, -0.5], [1, 0]),
        ("cvt.rzi.u32.f32", "u32", "f32", [-7.0, 5e9], [0, 2**32 - 1]),
        ("cvt.rzi.s32.f32", "s32", "f32", [math.nan], [0]),
        ("cvt.rzi.s32.f64", "s32", "f64", [math.nan], [-(2**31)]),
        ("cvt.rzi.s64.f32", "s64", "f32", [math.nan, 1e30, -1e30], [-(2**63), 2**63 - 1, -(2**63)]),
        ("cvt.rzi.u64.f64", "u64", "f64", [-1.0, 1e30, 2.0**63], [0, 2**64 - 1, 2**63]),
        ("cvt.s16.s8", "s16", "s8", [-1, 127], [-1, 127]),
        ("cvt.u64.u32", "u64", "u32", [-1], [2**32 - 1]),
        ("cvt.s64.s32", "s64", "s32", [-1], [-1]),
        ("cvt.u32.u64", "u32", "u64", [2**40 + 7], [7]),
        ("cvt.sat.s16.s32", "s16", "s32", [40000, -40000, 5], [2**15 - 1, -(2**15), 5]),
        ("cvt.rn.f32.s32", "f32", "s32", [2**24 + 1, 2**24 + 3], [2**24, 2**24 + 4]),
        ("cvt.rn.f32.f64", "f32", "f64", [1 + 2.0**-24, 1 + 3 * 2.0**-24], [1, 1 + 2.0**-22]),
        ("cvt.rmi.f32.f32", "f32", "f32", [-0.5, 1.9], [-1, 1]),
        ("cvt.rni.f64.f64", "f64", "f64", [2.5, 3.5], [2, 4]),
        ("abs.s32", "s32", "s32", [-5], [5]),
        ("not.b32", "u32", "u32", [0], [2**32 - 1]),
        ("neg.s64", "s64", "s64", [5], [-5]),
        ("clz.b32", "u32", "u32", [0, 1, 2**31, 255], [32, 31, 0, 24]),
        ("clz.b64", "u32", "u64", [0, 1, 2**63], [64, 63, 0]),
        ("popc.b32", "u32", "u32", [0, 5, 2**32 - 1], [0, 2, 32]),
    ],
)
def test_of_one(opcode, result, source, value, expected):
    assert compute(opcode, result, (source, value)).tolist() == expected


def whole(a: int, b: int) -> int:
    """The quotient, cut towards zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def test_integers_of_all_sizes():
    """Random numbers, and those at both ends, against Python's."""
    rng = np.random.default_rng(3)
    rules = {
        "add": lambda a, b, n: a + b,
        "sub": lambda a, b, n: a - b,
        "mul.lo": lambda a, b, n: a * b,
        "mul.hi": lambda a, b, n: a * b >> n,
        "div": lambda a, b, n: whole(a, b),
        "rem": lambda a, b, n: a - whole(a, b) * b,
    }
    for kind in ("u32", "s32", "u64", "s64"):
        limits = np.iinfo(DTYPES[kind])
        bits, ends = limits.bits, [limits.min, limits.max, limits.max // 3, 1, 7]
        a = [int(v) for v in rng.integers(limits.min, limits.max, 40, DTYPES[kind])] + [e for e in ends for _ in ends]
        b = [int(v) or 1 for v in rng.integers(limits.min, limits.max, 40, DTYPES[kind])] + [e or 3 for e in ends] * 5
        for name, rule in rules.items():
            found = compute(f"{name}.{kind}", kind, (kind, a), (kind, b))
            expected = [rule(x, y, bits) % 2**bits for x, y in zip(a, b, strict=True)]
            assert [int(v) % 2**bits for v in found] == expected, (name, kind)


@pytest.mark.parametrize("kind", ["s32", "u32", "s64", "u64"])
def test_shifts_beyond_the_type(kind):
    bits, top = int(kind[1:]), 1 << int(kind[1:]) - 1
    by = [1, bits - 1, bits, bits + 1, 2**32 - 1]
    value = -top if kind[0] == "s" else top
    rest = [value >> min(n, bits) for n in by]
    assert compute(f"shr.{kind}", kind, (kind, [value] * 5), ("u32", by)).tolist() == rest
    left = compute(f"shl.b{bits}", f"u{bits}", (f"u{bits}", [3] * 5), ("u32", by))
    assert left.tolist() == [3 << n & 2**bits - 1 if n < bits else 0 for n in by]


def test_comparisons_with_nan():
    """Ordered ones are false, unordered ones true."""
    for kind, letters in (("f32", "f"), ("f64", "fd")):
        for name, wanted in {
            "eq": 0,
            "ne": 0,
            "lt": 0,
            "ge": 0,
            "equ": 1,
            "neu": 1,
            "ltu": 1,
            "leu": 1,
            "gtu": 1,
            "geu": 1,
        }.items():
            body = f"""
            ld.global.{kind} %{letters}1, [%rd1];
            setp.{name}.{kind} %p1, %{letters}1, %{letters}1;
            selp.b32 %r2, 1, 0, %p1;
            st.global.u32 [%rd2], %r2;
            """
            assert run(body, np.array([math.nan], DTYPES[kind]), np.full(1, 7, np.int32))[0] == wanted, name


@pytest.mark.parametrize(
    ("opcode", "operands", "expected"),
    [
        ("prmt.b32", [0x33221100, 0x77665544, 0x5410], 0x55441100),
        ("prmt.b32", [0x33228011, 0x77665544, 0x9810], 0xFF008011),
        ("bfi.b32", [0xABC, 0xFFFFFFFF, 4, 8], 0xFFFFFBCF),
        ("bfi.b32", [0xABC, 0x12345678, 40, 8], 0x12345678),
        ("bfi.b32", [0xABC, 0x12345678, 8, 0], 0x12345678),
        ("bfi.b32", [0x87654321, 0, 4, 99], 0x76543210),
        ("dp4a.u32.s32", [0xFFFFFFFF, 0x80808080, 1], 1 - 4 * 255 * 128),
        ("dp4a.s32.s32", [0x7FFFFFFF, 0x7F7F7F7F, 2**31 - 1], 2**31 - 1 + 127 * 127 - 3 * 127),
        ("dp2a.lo.u32.u32", [0xFFFF0002, 0x000003FF, 5], 5 + 2 * 255 + 65535 * 3),
        ("dp2a.hi.u32.s32", [0xFFFF0002, 0xFF050000, 0], 2 * 5 - 65535),
        ("cvt.pack.sat.u8.s32.b32", [300, -7, 0xABCD], 0xABCDFF00),
        ("add.s16x2", [0x7FFF0001, 0x0001FFFF], 0x80000000),
        ("min.relu.s16x2", [0x00058000, 0x00030001], 0x00030000),
        ("mad.lo.s32", [2**20, 2**13, -1], -1),
    ],
)
def test_words(opcode, operands, expected):
    found = compute(opcode, "u32", *(("u32", [operand]) for operand in operands))
    assert int(found[0]) == expected % 2**32


def test_products_of_matrices():
    """Every lane's words and sums where PTX says that they are."""
    rng = np.random.default_rng(4)
    a = rng.integers(0, 256, (16, 32), np.uint8)
    b = rng.integers(-128, 128, (32, 8), np.int8)
    c = rng.integers(-(2**31), 2**31, (16, 8)).astype(np.int32)
    lanes = np.zeros((32, 10), np.uint32)
    for lane in range(32):
        group, member = divmod(lane, 4)
        for r in range(4):
            row, column = group + 8 * (r % 2), 4 * member + 16 * (r // 2)
            lanes[lane, r] = a[row, column : column + 4].view(np.uint32)[0]
            lanes[lane, 6 + r] = c[group + 8 * (r // 2), 2 * member + r % 2].view(np.uint32)
        for r in range(2):
            lanes[lane, 4 + r] = b[4 * member + 16 * r :, group][:4].copy().view(np.uint32)[0]
    loads = "".join(f"ld.global.u32 %r{10 + k}, [%rd4+{4 * k}];\n" for k in range(10))
    stores = "".join(f"st.global.u32 [%rd5+{4 * k}], %r{20 + k};\n" for k in range(4))
    body = f"""
    mul.wide.u32 %rd3, %r1, 40;
    add.s64 %rd4, %rd1, %rd3;
    {loads}
    {MATRICES}
    mul.wide.u32 %rd3, %r1, 16;
    add.s64 %rd5, %rd2, %rd3;
    {stores}
    """
    found = run(body, lanes, np.zeros((32, 4), np.int32))
    expected = (a.astype(np.int64) @ b.astype(np.int64) + c).astype(np.int32)
    for lane in range(32):
        for r in range(4):
            assert found[lane, r] == expected[lane // 4 + 8 * (r // 2), 2 * (lane % 4) + r % 2]


MATRICES = """mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32
    {%r20, %r21, %r22, %r23}, {%r10, %r11, %r12, %r13}, {%r14, %r15}, {%r16, %r17, %r18, %r19};"""


# -------------------------------------------------------------------------------------------------------- flow, memory

SHARED = ".shared .align 4 .b8 buffer[256];"

_PLACES = """
    mul.wide.u32 %rd3, %r1, 4;
    add.s64 %rd4, %rd1, %rd3;
    add.s64 %rd5, %rd2, %rd3;
"""


def test_threads_meet_behind_a_branch():
    """A loop of as many turns as the number of the thread, two branches, and a guard."""
    body = f"""
    {_PLACES}
    mov.u32 %r2, 0;
    mov.u32 %r3, %r1;
    setp.eq.s32 %p1, %r1, 0;
    @%p1 bra $done;
    $more:
    add.s32 %r2, %r2, %r3;
    add.s32 %r3, %r3, -1;
    setp.gt.s32 %p2, %r3, 0;
    @%p2 bra $more;
    $done:
    and.b32 %r4, %r1, 1;
    setp.eq.s32 %p3, %r4, 0;
    @%p3 add.s32 %r2, %r2, 1000;
    setp.eq.s32 %p4, %r1, 9;
    @%p4 ret;
    st.global.u32 [%rd5], %r2;
    """
    found = run(body, np.zeros(0, np.int32), np.full(70, -1, np.int32), 70)
    numbers = np.arange(70)
    expected = numbers * (numbers + 1) // 2 + 1000 * (numbers % 2 == 0)
    expected[9] = -1
    np.testing.assert_array_equal(found, expected)


def test_blocks_have_shared_memory_of_their_own():
    body = f"""
    {_PLACES}
    mov.u64 %rd6, buffer;
    add.s64 %rd7, %rd6, %rd3;
    mov.u32 %r2, %ctaid.x;
    st.shared.u32 [%rd7], %r2;
    bar.sync 0;
    xor.b32 %r3, %r1, 32;
    mul.wide.u32 %rd8, %r3, 4;
    add.s64 %rd8, %rd6, %rd8;
    cvta.shared.u64 %rd8, %rd8;
    ld.u32 %r4, [%rd8];
    mad.lo.s32 %r5, %r2, 64, %r1;
    mul.wide.u32 %rd9, %r5, 4;
    add.s64 %rd9, %rd2, %rd9;
    st.global.u32 [%rd9], %r4;
    """
    for together in (1, 2048):
        found = run(body, np.zeros(0, np.int32), np.zeros(320, np.int32), 64, 5, SHARED, together=together)
        np.testing.assert_array_equal(found, np.arange(320) // 64)


def test_atomics_see_each_other():
    body = f"""
    {_PLACES}
    atom.global.add.u32 %r2, [%rd1], 3;
    st.global.u32 [%rd5], %r2;
    """
    counter = np.array([100], np.int32)
    found = run(body, counter, np.zeros(64, np.int32), 64)
    assert sorted(found) == list(range(100, 100 + 3 * 64, 3)) and counter[0] == 100 + 3 * 64


def test_a_vote_of_each_block():
    body = f"""
    {_PLACES}
    mov.u32 %r2, %ctaid.x;
    setp.eq.s32 %p1, %r1, 40;
    setp.eq.s32 %p2, %r2, 1;
    and.pred %p3, %p1, %p2;
    bar.red.or.pred %p4, 0, %p3;
    selp.b32 %r3, 1, 0, %p4;
    mad.lo.s32 %r5, %r2, 64, %r1;
    mul.wide.u32 %rd9, %r5, 4;
    add.s64 %rd9, %rd2, %rd9;
    st.global.u32 [%rd9], %r3;
    """
    found = run(body, np.zeros(0, np.int32), np.full(192, 9, np.int32), 64, 3)
    np.testing.assert_array_equal(found, np.arange(192) // 64 == 1)


def test_a_vote_of_each_warp():
    body = f"""
    {_PLACES}
    and.b32 %r2, %r1, 37;
    setp.eq.s32 %p1, %r2, 37;
    vote.sync.ballot.b32 %r3, %p1, -1;
    st.global.u32 [%rd5], %r3;
    """
    found = run(body, np.zeros(0, np.int32), np.zeros(64, np.int32), 64)
    word = sum(1 << lane for lane in range(32) if lane & 5 == 5)
    np.testing.assert_array_equal(found.view(np.uint32), np.repeat(np.array([0, word], np.uint32), 32))


def exchange(partner: int, barrier: str, after: str = "") -> np.ndarray:
    """Threads get the numbers of their partners, in one half of shared memory and then in the other."""
    body = f"""
    {_PLACES}
    mov.u64 %rd6, buffer;
    add.s64 %rd7, %rd6, %rd3;
    xor.b32 %r2, %r1, {partner};
    mul.wide.u32 %rd8, %r2, 4;
    add.s64 %rd8, %rd6, %rd8;
    st.shared.u32 [%rd7], %r1;
    {barrier}
    ld.shared.u32 %r3, [%rd8];
    {after}
    st.shared.u32 [%rd7], %r3;
    {barrier}
    ld.shared.u32 %r4, [%rd8];
    sub.s32 %r4, %r4, %r1;
    add.s32 %r3, %r3, %r4;
    st.global.u32 [%rd5], %r3;
    """
    return run(body, np.zeros(0, np.int32), np.zeros(64, np.int32), 64, arrays=SHARED, orders=(0, 1, -1))


@pytest.mark.parametrize(("partner", "barrier"), [(32, "bar.sync 0;"), (5, "bar.sync 0;"), (5, "bar.warp.sync -1;")])
def test_threads_that_do_not_wait_are_noticed(partner, barrier):
    np.testing.assert_array_equal(exchange(partner, barrier, barrier), np.arange(64) ^ partner)
    missing = "what depends on the order of threads, or on noise: argument 1 of tested"
    with pytest.raises(PtxError, match=missing):
        exchange(partner, "", "")
    with pytest.raises(PtxError, match=missing):  # written again before it has been read
        exchange(partner, barrier, "")
    with pytest.raises(PtxError, match=missing):
        exchange(32, "bar.warp.sync -1;", "bar.warp.sync -1;")


def last_block(barrier: str) -> np.ndarray:
    """Four blocks add up the numbers of their threads; the last one to take a ticket tells the sum."""
    body = f"""
    mov.u64 %rd6, buffer;
    atom.global.add.u32 %r9, [%rd1], %r1;
    membar.gl;
    {barrier}
    setp.ne.s32 %p1, %r1, 0;
    @%p1 bra $taken;
    atom.global.add.u32 %r2, [%rd1+4], 1;
    st.shared.u32 [%rd6], %r2;
    $taken:
    bar.sync 0;
    ld.shared.u32 %r3, [%rd6];
    setp.ne.s32 %p2, %r3, 3;
    @%p2 ret;
    ld.global.u32 %r4, [%rd1];
    st.global.u32 [%rd2], %r4;
    """
    return run(body, np.zeros(2, np.int32), np.zeros(1, np.int32), 128, 4, SHARED, orders=(0, 1, -1, 2))


def test_blocks_that_do_not_wait_are_noticed():
    assert last_block("bar.sync 0;")[0] == 4 * 127 * 64
    with pytest.raises(PtxError, match="what depends on the order of threads"):
        last_block("")


def copies(wait: str) -> np.ndarray:
    body = f"""
    mul.wide.u32 %rd3, %r1, 16;
    add.s64 %rd4, %rd1, %rd3;
    add.s64 %rd5, %rd2, %rd3;
    mov.u64 %rd6, buffer;
    add.s64 %rd7, %rd6, %rd3;
    cp.async.cg.shared.global [%rd7], [%rd4], 16;
    {wait}
    ld.shared.v4.u32 {{%r2, %r3, %r4, %r5}}, [%rd7];
    st.global.v4.u32 [%rd5], {{%r2, %r3, %r4, %r5}};
    """
    arrays = ".shared .align 16 .b8 buffer[512];"
    return run(body, np.arange(128, dtype=np.int32), np.zeros(128, np.int32), arrays=arrays)


def test_copies_arrive_when_somebody_waits():
    np.testing.assert_array_equal(copies("cp.async.wait_all;"), np.arange(128))
    assert not (copies("") == np.arange(128)).any()


def test_memory_and_registers_begin_with_noise():
    body = f"""
    {_PLACES}
    mov.u64 %rd6, buffer;
    add.s64 %rd7, %rd6, %rd3;
    ld.shared.u32 %r2, [%rd7];
    setp.eq.s32 %p1, %r1, -1;
    @%p1 mov.u32 %r3, 5;
    st.global.u32 [%rd5], %r2;
    st.global.u32 [%rd5+128], %r3;
    """
    found = [run(body, np.zeros(0, np.int32), np.zeros(64, np.int32), arrays=SHARED, seed=seed) for seed in range(2)]
    assert np.all(found[0] != 0) and not (found[0] == found[1]).any()


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("sin.approx.f32 %f1, %f2;", "unknown instruction 'sin.approx.f32 %f1, %f2'"),
        ("add.sat.s32 %r2, %r1, %r1;", "unknown instruction"),
        ("atom.global.exch.b32 %r2, [%rd1], %r1;", "unknown instruction"),
        ("ld.global.v3.u32 {%r2, %r3, %r4}, [%rd1];", "unknown instruction"),
        ("bar.sync 1;", "unknown instruction"),
        ("add.s32 %r2, %r1;", "unknown instruction"),
        ("add.s64 %rd3, %rd2, %r1;", "a register that is no b64"),
        (
            "ld.global.u32 %r2, [%rd1+32];",
            "outside of every array: 4 bytes at (\\d+) of global memory, .*; the nearest .* to \\1",
        ),
        ("ld.global.u32 %r2, [%rd1+-4];", "outside of every array"),
        ("prefetch.global.L2 [%rd1+32];", "outside of every array"),
        ("prefetch.global.L1 [%rd1];", "unknown instruction"),
        ("ld.global.u8 %rs1, [%rd1+32];", "outside of every array"),
        ("st.global.u32 [%rd2+128], %r1;", "outside of every array"),
        ("mov.u64 %rd3, 0; ld.global.u32 %r2, [%rd3];", "outside of every array"),
        ("mov.u64 %rd3, -8; ld.global.u32 %r2, [%rd3];", "outside of every array"),
        ("ld.u32 %r2, [%rd1+32];", "outside of every array"),
        ("atom.global.add.u32 %r2, [%rd1+32], 1;", "outside of every array"),
        ("ld.global.u32 %r2, [%rd1+2];", "misaligned: 4 bytes at .* of global memory, .*thread 0 of block"),
        ("ld.global.v4.u32 {%r2, %r3, %r4, %r5}, [%rd1+8];", "misaligned"),
        ("st.global.v2.u32 [%rd2+4], {%r1, %r1};", "misaligned"),
        (
            "mov.u64 %rd3, buffer; ld.shared.u32 %r2, [%rd3+256];",
            "outside of every array: 4 bytes at .* of shared memory",
        ),
        ("mov.u64 %rd3, buffer; st.shared.u32 [%rd3+-4], %r1;", "outside of every array"),
        ("mov.u64 %rd3, buffer; ld.shared.v2.u32 {%r2, %r3}, [%rd3];", "misaligned"),
        ("mov.u64 %rd3, buffer; cp.async.cg.shared.global [%rd3], [%rd1], 16;", "misaligned"),
        ("mov.u64 %rd3, depot; ld.local.u32 %r2, [%rd3+16];", "outside of every array: 4 bytes at .* of local memory"),
        ("mov.u64 %rd3, table; ld.const.u8 %rs1, [%rd3+3];", "outside of every array: 1 bytes at .* of const memory"),
        ("setp.lt.s32 %p1, %r1, 31; @%p1 bra $most; ret; $most: " + MATRICES, "a barrier|some threads of a warp alone"),
        (
            "setp.lt.s32 %p1, %r1, 9; @%p1 bra $few; bar.sync 0; $few: bar.sync 0;",
            "a barrier that not all threads come to",
        ),
        (
            "setp.lt.s32 %p1, %r1, 9; @%p1 bra $few; bar.warp.sync -1; bra $on; $few: bar.warp.sync -1; $on:",
            "a barrier",
        ),
        ("setp.lt.s32 %p1, %r1, 9; @%p1 bra $few; bar.warp.sync -1; $few: bar.sync 0;", "a barrier"),
        ("$again: bra $again;", "a kernel that does not come to its end"),
        ("$again: ld.global.u32 %r2, [%rd1]; setp.eq.s32 %p1, %r2, 0; @%p1 bra $again;", "does not come to its end"),
    ],
)
def test_refusals(body, message):
    arrays = ".shared .align 4 .b8 buffer[256]; .const .align 1 .b8 table[3] = {1, 2, 3};"
    depot = ".local .align 4 .b8 depot[16];\n" if "depot" in body else ""
    with pytest.raises(PtxError, match=message):
        run(depot + body, np.zeros(8, np.int32), np.zeros(32, np.int32), arrays=arrays, most=10**5)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (".func helper() { ret; }", "unknown directive: .func helper"),
        (".extern .shared .align 4 .b8 dynamic[];", "unknown directive"),
        (".visible .entry other() { ret; }", "a module with one .entry is wanted"),
    ],
)
def test_modules_with_more_than_a_kernel(arrays, message):
    with pytest.raises(PtxError, match=message):
        Program(_HEADER.format(body="", arrays=arrays))


def test_a_warp_that_is_not_whole():
    with pytest.raises(PtxError, match=r"a barrier|some threads of a warp alone"):
        run(MATRICES, np.zeros(8, np.int32), np.zeros(32, np.int32), 40)


def test_arguments():
    program = Program(_HEADER.format(body="", arrays=""))
    for arguments, message in (
        ([np.zeros(3)], "1 arguments for 2 parameters"),
        ([np.zeros(3), np.int32(5)], "4 bytes for a parameter of type u64"),
        ([np.zeros((3, 3)).T, np.zeros(3)], "not C-contiguous"),
    ):
        with pytest.raises(PtxError, match=message):
            program.launch(1, 32, arguments)


def test_arrays_that_overlap_are_one():
    body = f"{_PLACES} ld.global.u32 %r2, [%rd4]; st.global.u32 [%rd5], %r2;"
    buffer = np.arange(40, dtype=np.int32)
    program = Program(_HEADER.format(body=body, arrays=""))
    program.launch(1, 32, [buffer[:32], buffer[8:]])
    np.testing.assert_array_equal(buffer, [*range(8), *range(32)])


FUSED = """
    ld.global.f32 %f1, [%rd1];
    ld.global.f32 %f2, [%rd1+4];
    ld.global.f32 %f3, [%rd1+8];
    {product} %f4, %f1, %f2;
    {sum};
    st.global.f32 [%rd2], %f5;
"""


@pytest.mark.parametrize(
    ("product", "sum_", "expected"),
    [
        ("mul.f32", "add.f32 %f5, %f4, %f3", 2.0**-24),
        ("mul.f32", "add.f32 %f5, %f3, %f4", 2.0**-24),
        ("mul.f32", "sub.f32 %f5, %f3, %f4", None),
        ("mul.rn.f32", "add.f32 %f5, %f4, %f3", 0.0),
        ("mul.f32", "add.rn.f32 %f5, %f4, %f3", 0.0),
        ("mul.f32", "add.f32 %f5, %f4, %f3; add.f32 %f5, %f5, %f4", None),
        ("mul.f32", "mov.f32 %f1, %f3; add.f32 %f5, %f4, %f3", 0.0),
    ],
)
def test_products_that_may_be_fused(product, sum_, expected):
    """(1 + 2**-12)**2 is 2**-24 more than float32 holds, which is what a fused sum leaves of it."""
    given = np.array([1 + 2.0**-12, 1 + 2.0**-12, -1 - 2.0**-11], np.float32)
    body = FUSED.format(product=product, sum=sum_)
    text = _HEADER.format(body=body, arrays="")
    plain, fused = Program(text), Program(text, fused=True)
    results = []
    for program in (plain, fused):
        found = np.zeros(1, np.float32)
        program.launch(1, 1, [given, found])
        results.append(float(found[0]))
    if expected is not None:
        assert results == [0.0, expected]
    assert fused.fused == (expected != 0.0 and ";" not in sum_)
    if fused.fused and results[0] != results[1]:
        with pytest.raises(PtxError, match="how products are rounded: argument 1"):
            plain.launch(1, 1, [given, np.zeros(1, np.float32)], other=fused)


def test_a_difference_that_is_fused():
    given = np.array([1 + 2.0**-12, 1 + 2.0**-12, 1 + 2.0**-11], np.float32)
    text = _HEADER.format(body=FUSED.format(product="mul.f32", sum="sub.f32 %f5, %f3, %f4"), arrays="")
    found = np.zeros(1, np.float32)
    Program(text, fused=True).launch(1, 1, [given, found])
    assert found[0] == -(2.0**-24)
