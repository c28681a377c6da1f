"""Runs kernels in PTX on the CPU, as strictly as a device may: a register is an array with a value for each thread.

Threads of several blocks go through the instructions together, those at the earliest one first, which brings threads
that took different branches together as early as can be. Registers, and memory that is not an argument, begin with
noise. What is undefined on a device, such as an access beyond the arrays of a launch, raises a :class:`PtxError`.
NaNs do not have the bits that a device gives them, except those of min, max and cvt.
"""

from __future__ import annotations

import ctypes
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from ptx_arithmetic import DTYPES, operation, product_of_matrices
from ptx_fused import fuse
from ptx_text import Address, Array, Immediate, Instruction, Kernel, PtxError, Register, Symbol, parse

__all__ = ["Program", "PtxError"]

WARP = 32

# Where the parts of memory begin for addresses that do not say which they mean. Those that do count from zero, except
# in global memory.
_WINDOWS = {"shared": 1 << 40, "local": 1 << 41, "const": 1 << 42, "global": 1 << 46}

# Bytes around every array that belong to none.
_GAP = 64

Step = Callable[[list, "Active"], None]


# -------------------------------------------------------------------------------------------------------------- memory


@dataclass
class Range:
    """Bytes from `start` to `end` that may be read and written."""

    start: int
    end: int


class Memory:
    """A part of memory.

    Parameters
    ----------
    space : str
        Its name.
    ranges : sequence of Range
        What of it is there, counted from its beginning.
    data : ndarray of uint8
        The bytes; several copies side by side where every block, or thread, has its own.
    base : int
        The address of its beginning.
    copies : ndarray of int64, optional
        Where each thread's copy begins in the data.
    """

    def __init__(
        self, space: str, ranges: Sequence[Range], data: np.ndarray, base: int = 0, copies: np.ndarray | None = None
    ) -> None:
        self.space, self.ranges, self.base, self.copies = space, ranges, base, copies
        self._data, self._views, self._valid = data, {}, {}
        # A power of two, so that the bits of all addresses together say whether one is beyond.
        self._end = 1 << max((r.end for r in ranges), default=0).bit_length()

    def view(self, dtype: np.dtype) -> np.ndarray:
        """The data as items of another type."""
        if dtype not in self._views:
            self._views[dtype] = self._data.view(dtype)
        return self._views[dtype]

    def index(self, at: np.ndarray, size: int, active: Active, instruction: Instruction) -> np.ndarray:
        """Numbers of the items of `size` bytes at the addresses of the active threads; one, if all have the same."""
        at = at - self.base if self.base else at
        together = int(np.bitwise_or.reduce(at))
        index = at >> size.bit_length() - 1
        if not 0 <= together < self._end or together & size - 1 or not self._valid_items(size).take(index).all():
            self._complain(at, size, active, instruction)
        if self.copies is not None:
            index = index + (active.pick(self.copies) >> size.bit_length() - 1)
        return index

    def _valid_items(self, size: int) -> np.ndarray:
        """Whether items of so many bytes lie within a range."""
        if size not in self._valid:
            valid = self._valid[size] = np.zeros(-(-self._end // size), np.bool_)
            for r in self.ranges:
                valid[-(-r.start // size) : r.end // size] = True
        return self._valid[size]

    def _complain(self, at: np.ndarray, size: int, active: Active, instruction: Instruction) -> None:
        """Say what is wrong with the first bad address."""
        for thread, place in zip(active.lanes, np.broadcast_to(at, active.count), strict=True):
            place = int(place)
            what = f"{size} bytes at {place} of {self.space} memory, {instruction}, {active.wave.name_of(thread)}"
            if not any(r.start <= place and place + size <= r.end for r in self.ranges):
                nearest = min(self.ranges, key=lambda r: max(r.start - place, place + size - r.end), default=None)
                beside = f"; the nearest array has {nearest.start} to {nearest.end}" if nearest else ""
                raise PtxError(f"outside of every array: {what}{beside}")
            if place % size:
                raise PtxError(f"misaligned: {what}")


def _lay_out(arrays: dict[str, Array]) -> tuple[dict[str, int], int]:
    """Where arrays begin, and the size of all: with gaps, and not one of them aligned better than it asks for."""
    places, end = {}, 0
    for name, array in arrays.items():
        double = 2 * array.align
        places[name] = -(-(end + _GAP) // double) * double + array.align
        end = places[name] + array.size
    return places, -(-(end + _GAP) // 256) * 256


class _GlobalMemory(Memory):
    """Copies of the arrays of a launch, those that overlap in one piece, and what their addresses have become."""

    def __init__(self, arrays: Iterable[np.ndarray]) -> None:
        parts = sorted((array.ctypes.data, array.ctypes.data + array.nbytes) for array in arrays if array.nbytes)
        pieces: list[list[int]] = []  # start and end on the host, start here
        end = 0
        for start, stop in parts:
            if pieces and start < pieces[-1][1]:
                pieces[-1][1] = max(pieces[-1][1], stop)
            else:
                here = -(-(end + _GAP) // 256) * 256 + start % 256
                pieces.append([start, stop, here])
            end = pieces[-1][2] + pieces[-1][1] - pieces[-1][0]
        self._pieces = pieces
        ranges = [
            Range(start - first + here, stop - first + here)
            for start, stop in parts
            for first, last, here in pieces
            if first <= start < last
        ]
        super().__init__("global", ranges, np.empty(-(-(end + _GAP) // 256) * 256, np.uint8), _WINDOWS["global"])
        for there, here in self._twins():
            here[:] = there

    def _twins(self) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        data = self.view(np.dtype(np.uint8))
        for start, stop, here in self._pieces:
            there = np.frombuffer((ctypes.c_uint8 * (stop - start)).from_address(start), np.uint8)
            yield there, data[here : here + stop - start]

    def address(self, array: np.ndarray) -> int:
        """Where an array is for the kernel."""
        start = array.ctypes.data
        return next(
            (self.base + start - first + here for first, last, here in self._pieces if first <= start < last), 0
        )

    def bytes_of(self, array: np.ndarray) -> np.ndarray:
        """What an array holds here."""
        start = self.address(array) - self.base
        return self.view(np.dtype(np.uint8))[start : start + array.nbytes]

    def copy_back(self) -> None:
        """Write what the kernel has made of the arrays to them."""
        for there, here in self._twins():
            there[:] = here


# ------------------------------------------------------------------------------------------------------------- threads


class Active:
    """The threads that execute an instruction.

    `everyone` says that all threads that have not come to their end are among them, so that nobody needs what their
    registers held before. `team` is the number of their team, if all are of one.
    """

    def __init__(self, wave: Wave, mask: np.ndarray, team: int | None = None) -> None:
        self.wave, self.mask, self.count, self.team = wave, mask, int(np.count_nonzero(mask)), team
        self.everyone = False

    @cached_property
    def lanes(self) -> np.ndarray:
        """Numbers of the threads."""
        return np.flatnonzero(self.mask)

    def pick(self, values: np.ndarray) -> np.ndarray:
        """The values of these threads; one, if all have the same."""
        return values if len(values) == 1 or self.count == len(self.mask) else values.take(self.lanes)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Undo :meth:`pick`, with anything for the other threads."""
        if len(values) == 1 or self.count == len(self.mask):
            return values
        every = np.empty(len(self.mask), values.dtype)
        every[self.lanes] = values
        return every

    def fill(self, values: np.ndarray) -> np.ndarray:
        """A value for each of these threads."""
        values = self.pick(values)
        return values if len(values) == self.count else np.broadcast_to(values, self.count)


@dataclass
class Copy:
    """Bytes that threads have begun to copy to shared memory, as words to be written at some places."""

    lanes: np.ndarray
    places: np.ndarray
    words: np.ndarray


class Wave:
    """Some blocks that run at the same time.

    Parameters
    ----------
    program : Program
        What they run.
    blocks : sequence of (int, int, int)
        Their places in the grid.
    grid, block : tuple of int
        Sides of the grid and of a block.
    memory : dict
        Global and constant memory.
    parameters : dict
        The bytes of every parameter.
    rng : numpy.random.Generator
        For the noise.
    most : int
        How many instructions may be executed.
    order : int
        0: all threads take turns, and are at the same instruction as far as can be. 1 or -1: there are two teams of
        threads, drawn by chance, in each warp, and one team runs after the other, the first, or last, warp's first,
        each as far as it can without the others. What they have to wait for is then not there if they do not. 2: in an
        order drawn by chance.
    """

    def __init__(
        self,
        program: Program,
        blocks: Sequence[tuple[int, int, int]],
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        memory: dict[str, Memory],
        parameters: dict[str, bytes],
        rng: np.random.Generator,
        most: int,
        order: int,
    ) -> None:
        self.program, self.blocks, self.most = program, blocks, most
        self.size = block[0] * block[1] * block[2]
        self.width = -(-self.size // WARP) * WARP  # threads of a block and what completes its last warp
        total = len(blocks) * self.width
        own = np.arange(total, dtype=np.int64) // self.width
        copies = {"local": np.arange(total) * program.bytes_of["local"]}
        copies["shared"] = own * program.bytes_of["shared"] if len(blocks) > 1 else None
        self.memory = dict(memory)
        for space, owners in (("shared", len(blocks)), ("local", total)):
            noise = rng.integers(256, size=owners * program.bytes_of[space], dtype=np.uint8)
            self.memory[space] = Memory(space, program.ranges_of(space), noise, copies=copies[space])
        self.copies: list[Copy] = []  # under way to shared memory

        self._teams = None
        if order:
            teams = np.arange(total) // WARP * 2 + rng.integers(2, size=total)
            ranks = np.arange(teams.max() + 1)
            self._teams = {1: ranks, -1: ranks[::-1], 2: rng.permutation(ranks)}[order][teams]

        thread = np.arange(total) % self.width
        self.alive = thread < self.size
        tid = thread % block[0], thread // block[0] % block[1], thread // (block[0] * block[1])
        special = {"%laneid": thread % WARP}
        for axis, letter in enumerate("xyz"):
            place = np.array([b[axis] for b in blocks])
            special |= {f"%tid.{letter}": tid[axis], f"%ctaid.{letter}": place[own] if len(blocks) > 1 else place}
            special |= {f"%ntid.{letter}": np.array([block[axis]]), f"%nctaid.{letter}": np.array([grid[axis]])}
        self.registers = program.new_registers(total, special, parameters, rng)

    def name_of(self, thread: int) -> str:
        return f"thread {thread % self.width} of block {self.blocks[thread // self.width]}"

    def run(self) -> None:
        """Run until every thread has come to its end."""
        code, registers = self.program.code, self.registers
        self._ready: dict[tuple[int, int], Active] = {}  # by team, -1 for none, and part
        self._waiting: dict[int, Active] = {}  # by part
        self._join(0, Active(self, self.alive))
        while self._ready or self._waiting:
            # With teams, a warp goes on as soon as it can, else when it has to: others may come to its instruction yet.
            if not self._ready or self._teams is not None:
                self._release()
            if not self._ready:
                raise self._stuck()
            key = min(self._ready)
            active, part = self._ready.pop(key), code[key[1]]
            active.everyone = active.count == self._count
            for step in part.steps:
                step(registers, active)
            self.most -= part.count
            if self.most < 0:
                raise PtxError(f"a kernel that does not come to its end: {self.program.name}, {part}")
            self._go_on(key[1], part, active)

    @cached_property
    def _count(self) -> int:
        """How many threads have not come to their end."""
        return int(np.count_nonzero(self.alive))

    def _go_on(self, number: int, part: Part, active: Active) -> None:
        """Where to from the end of a part."""
        if part.condition is None:
            self._join(number + 1 if part.target is None else part.target, active)
            return
        slot, wanted = part.condition
        chosen = self.registers[slot] == wanted
        if len(chosen) == 1:
            self._join(part.target if chosen[0] else number + 1, active)
            return
        taken = Active(self, active.mask & chosen, active.team)
        if taken.count == active.count:
            self._join(part.target, active)
        elif not taken.count:
            self._join(number + 1, active)
        else:
            self._join(part.target, taken)
            self._join(number + 1, Active(self, active.mask & ~chosen, active.team))

    def _join(self, number: int, active: Active) -> None:
        """Threads that will go on with a part of the code, after a barrier perhaps."""
        if number == len(self.program.code):
            self.alive = self.alive & ~active.mask
            self.__dict__.pop("_count", None)
        elif self.program.code[number].barrier is not None:
            there = self._waiting.get(number)
            self._waiting[number] = Active(self, active.mask if there is None else there.mask | active.mask)
        elif self._teams is None or active.team is not None:
            self._enter(number, active)
        else:
            for team in np.unique(self._teams[active.lanes]).tolist():
                self._enter(number, Active(self, active.mask & (self._teams == team), team))

    def _enter(self, number: int, active: Active) -> None:
        """Threads that can go on with a part of the code."""
        key = -1 if active.team is None else active.team, number
        there = self._ready.get(key)
        self._ready[key] = active if there is None else Active(self, there.mask | active.mask, active.team)

    def _release(self) -> None:
        """Let threads go on that have all come to the same barrier."""
        for number, active in sorted(self._waiting.items()):
            barrier = self.program.code[number].barrier
            unit = self.width if barrier.of_block else WARP
            here, alive = active.mask.reshape(-1, unit), self.alive.reshape(-1, unit)
            complete = (here == alive).all(axis=1) & here.any(axis=1)
            if complete.any():
                mask = active.mask & np.repeat(complete, unit)
                if barrier.result is not None:
                    self._reduce(barrier, mask)
                self._enter(number, Active(self, mask))
                rest = Active(self, active.mask & ~mask)
                del self._waiting[number]
                if rest.count:
                    self._waiting[number] = rest

    def _stuck(self) -> PtxError:
        """What to say where nobody can go on."""
        where = [
            f"{self.program.code[number].barrier.instruction}, {a.count} threads, {self.name_of(a.lanes[0])}"
            for number, a in sorted(self._waiting.items())
        ]
        return PtxError(f"a barrier that not all threads come to: {'; '.join(where)}")

    def _reduce(self, barrier: Barrier, mask: np.ndarray) -> None:
        """Whether any thread of a block brings true to a barrier, or which lanes of a warp do."""
        if not barrier.of_block:
            given = (self.registers[barrier.operand] & mask).reshape(-1, WARP)
            words = given @ (1 << np.arange(WARP, dtype=np.int64))
            found = np.repeat(words, WARP).astype(np.uint32).view(np.int32)
            self.registers[barrier.result] = np.where(mask, found, self.registers[barrier.result])
            return
        given = (self.registers[barrier.operand] & mask).reshape(-1, self.width)
        found = np.repeat(given.any(axis=1), self.width)
        self.registers[barrier.result] = np.where(mask, found, self.registers[barrier.result])


# ------------------------------------------------------------------------------------------------------------- program


@dataclass
class Barrier:
    """Where threads of a block, or of a warp, wait for each other, perhaps for a result."""

    instruction: Instruction
    of_block: bool
    operand: int = 0
    result: int | None = None


@dataclass
class Part:
    """Instructions without a jump into them or out of them.

    `barrier` is what threads wait at before them. `target` is the part to go on with, where the register of `condition`
    has its value, and None for the next one.
    """

    instructions: list[Instruction]
    steps: list[Step] = field(default_factory=list)
    target: int | None = None
    condition: tuple[int, bool] | None = None
    barrier: Barrier | None = None

    @property
    def count(self) -> int:
        return len(self.instructions)

    def __str__(self) -> str:
        return f"at {self.instructions[0]}" if self.instructions else "at its end"


_JUMPS = "bra", "ret", "exit"
_NO_RESULT = "st", "red", "cp", "prefetch", "membar", "fence", "griddepcontrol", *_JUMPS
_SPECIAL = re.compile(r"%(?:n?tid|n?ctaid)\.[xyz]|%laneid")


def _head(instruction: Instruction) -> str:
    return instruction.opcode.partition(".")[0]


def _is_alone(instruction: Instruction) -> bool:
    """Whether an instruction is a part on its own, since threads wait for each other before it."""
    return _head(instruction) in ("bar", "barrier", "mma", "vote")


def _names(operand: Any) -> Iterable[str]:
    """The registers in an operand."""
    if isinstance(operand, Register):
        yield operand.name
    elif isinstance(operand, Address):
        yield from _names(operand.base)
    elif isinstance(operand, tuple):
        for part in operand:
            yield from _names(part)


def _uses(instruction: Instruction) -> tuple[list[str], list[str]]:
    """Names of the registers that an instruction reads, and of those it writes."""
    writes = _head(instruction) not in _NO_RESULT and not instruction.opcode.startswith(("bar.sync", "bar.warp"))
    sources = instruction.operands[1:] if writes else instruction.operands
    guard = (instruction.guard or ())[:1]
    return list(_names((*sources, *guard))), list(_names(instruction.operands[:1])) if writes else []


def _register_dtype(kind: str) -> np.dtype:
    """What a register is kept as: integers with a sign."""
    return DTYPES[kind if kind in ("pred", "f32", "f64") else f"s{kind[1:]}"]


class Program:
    """A kernel ready to run.

    Parameters
    ----------
    ptx : str
        The text of its module.
    fused : bool
        Whether products that the compiler may fuse with additions are fused, or none.
    """

    def __init__(self, ptx: str, fused: bool = False) -> None:
        kernel = parse(ptx)
        #: How many products are fused.
        self.fused = fuse(kernel) if fused else 0
        self.name = kernel.name
        self._parameters = kernel.parameters
        self._arrays = {
            space: {name: array for name, array in kernel.arrays.items() if array.space == space}
            for space in ("shared", "local", "const")
        }
        self.places: dict[str, int] = {}
        self.bytes_of: dict[str, int] = {}
        for space, arrays in self._arrays.items():
            places, self.bytes_of[space] = _lay_out(arrays)
            self.places |= places
        self.dtypes: list[np.dtype | None] = []  # of each slot that begins with noise
        self.fixed: dict[int, tuple[str, Any]] = {}  # slots with what is given: kind of thing, which
        self.code = _Builder(self, kernel).build()

    def ranges_of(self, space: str) -> list[Range]:
        """What is there of the memory of a block or thread, or of constants."""
        return [Range(self.places[name], self.places[name] + a.size) for name, a in self._arrays[space].items()]

    def new_registers(
        self, threads: int, special: dict[str, np.ndarray], parameters: dict[str, bytes], rng: np.random.Generator
    ) -> list[np.ndarray | None]:
        """Registers of so many threads."""
        registers: list[np.ndarray | None] = [None] * len(self.dtypes)
        noisy: dict[np.dtype, list[int]] = {}
        for slot, dtype in enumerate(self.dtypes):
            if dtype is not None:
                noisy.setdefault(dtype, []).append(slot)
        for dtype, slots in noisy.items():
            if dtype.kind == "f":
                rows = rng.normal(0, 1e6, (len(slots), threads)).astype(dtype)
            else:
                noise = rng.integers(256, size=(len(slots), threads * dtype.itemsize), dtype=np.uint8)
                rows = noise >= 128 if dtype == np.bool_ else noise.view(dtype)
            for slot, row in zip(slots, rows, strict=True):
                registers[slot] = row
        for slot, (what, which) in self.fixed.items():
            if what == "number":
                registers[slot] = which
            elif what == "special":
                registers[slot] = special[which].astype(np.int32)
            else:
                name, dtype = which
                registers[slot] = np.frombuffer(parameters[name], dtype, 1)
        return registers

    def launch(
        self,
        grid: int | tuple[int, ...],
        block: int | tuple[int, ...],
        arguments: Sequence[Any],
        *,
        orders: Sequence[int] = (0,),
        other: Program | None = None,
        together: int = 2048,
        most: int = 10**7,
        seed: int = 0,
    ) -> None:
        """Run the kernel.

        Parameters
        ----------
        grid, block : int or tuple of int
            Blocks, and threads of each.
        arguments : sequence
            A value for each parameter: a C-contiguous array for the address of its memory, else a NumPy scalar.
        orders : sequence of int
            How threads take turns, as :class:`Wave` says. With several, the kernel runs once in each, always from the
            same memory and with other noise, and a difference between the results is an error.
        other : Program, optional
            The same kernel compiled in another way, whose results have to be the same.
        together : int
            How many threads to run at the same time, if a block has no more.
        most : int
            How many instructions may be executed one after the other, at most.
        seed : int
            Of the noise.
        """
        if len(arguments) != len(self._parameters):
            raise PtxError(f"{len(arguments)} arguments for {len(self._parameters)} parameters of {self.name}")
        arrays = [argument for argument in arguments if isinstance(argument, np.ndarray)]
        if not all(array.flags.c_contiguous for array in arrays):
            raise PtxError(f"an array that is not C-contiguous, for {self.name}")
        results = [
            self._run(order, _GlobalMemory(arrays), _three(grid), _three(block), arguments, together, most, seed + k)
            for k, order in enumerate(orders)
        ]
        self._compare(arguments, results, "the order of threads, or on noise")
        if other is not None:
            memory = _GlobalMemory(arrays)
            again = other._run(orders[0], memory, _three(grid), _three(block), arguments, together, most, seed)
            self._compare(arguments, [results[0], again], "how products are rounded")
        results[0].copy_back()

    def _compare(self, arguments: Sequence[Any], results: Sequence[_GlobalMemory], what: str) -> None:
        """Raise an error if results differ."""
        for k, argument in enumerate(arguments):
            if isinstance(argument, np.ndarray):
                first, *others = (result.bytes_of(argument) for result in results)
                if not all(np.array_equal(first, other) for other in others):
                    raise PtxError(f"what depends on {what}: argument {k} of {self.name}")

    def _run(
        self,
        order: int,
        given: _GlobalMemory,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[Any],
        together: int,
        most: int,
        seed: int,
    ) -> _GlobalMemory:
        """Run the kernel on this memory."""
        parameters = {}
        for (name, kind), argument in zip(self._parameters.items(), arguments, strict=True):
            value = np.int64(given.address(argument)) if isinstance(argument, np.ndarray) else argument
            parameters[name] = value.tobytes()
            if len(parameters[name]) != DTYPES[kind].itemsize:
                raise PtxError(f"{len(parameters[name])} bytes for a parameter of type {kind} of {self.name}")
        memory = {"global": given, "const": Memory("const", self.ranges_of("const"), self._constants())}
        every = [(x, y, z) for z in range(grid[2]) for y in range(grid[1]) for x in range(grid[0])]
        if order < 0:
            every.reverse()
        size = block[0] * block[1] * block[2]
        # With teams, a step costs as much as there are threads; that blocks count on each other shows with a few.
        count = {0: max(1, together // size), 1: 1, -1: 1, 2: 4}[order]
        rng = np.random.default_rng(seed)
        with np.errstate(all="ignore"):
            for first in range(0, len(every), count):
                Wave(self, every[first : first + count], grid, block, memory, parameters, rng, most, order).run()
        return given

    def _constants(self) -> np.ndarray:
        data = np.zeros(self.bytes_of["const"], np.uint8)
        for name, array in self._arrays["const"].items():
            data[self.places[name] : self.places[name] + array.size] = np.frombuffer(array.data, np.uint8)
        return data


def _three(sides: int | tuple[int, ...]) -> tuple[int, int, int]:
    sides = (sides,) if isinstance(sides, int) else tuple(map(int, sides))
    return sides + (1,) * (3 - len(sides))


# ------------------------------------------------------------------------------------------------- steps of a program


class _Builder:
    """Makes steps of the instructions of a kernel: closures that know the numbers of the registers they work on."""

    def __init__(self, program: Program, kernel: Kernel) -> None:
        self._program, self._kernel = program, kernel
        self._slots: dict[Any, int] = {}
        self._steps: list[Step] = []

    def build(self) -> list[Part]:
        parts, places = self._cut()
        self._reads = Counter(name for part in parts for i in part.instructions for name in _uses(i)[0])
        self._shared_names = _outlive_parts(parts)
        for part in parts:
            self._steps = part.steps
            for instruction in part.instructions:
                if _head(instruction) in _JUMPS:
                    self._jump(part, instruction, places)
                elif _head(instruction) in ("bar", "barrier", "vote"):
                    self._barrier(part, instruction)
                else:
                    self._instruction(instruction)
                    if _is_alone(instruction):
                        part.barrier = Barrier(instruction, of_block=False)
        return parts

    def _cut(self) -> tuple[list[Part], dict[str, int]]:
        """The parts of the code, and the numbers of those that labels name."""
        code = self._kernel.code
        starts = {0, len(code), *self._kernel.labels.values()}
        starts |= {n + 1 for n, i in enumerate(code) if _is_alone(i) or _head(i) in _JUMPS}
        starts |= {n for n, i in enumerate(code) if _is_alone(i)}
        edges = sorted(starts)
        parts = [Part(code[start:end]) for start, end in itertools.pairwise(edges)]
        return parts, {label: edges.index(at) for label, at in self._kernel.labels.items()} | {"": len(parts)}

    def _jump(self, part: Part, instruction: Instruction, places: dict[str, int]) -> None:
        operands = instruction.operands
        if instruction.opcode not in ("bra", "bra.uni", "ret", "exit"):
            raise _unknown(instruction)
        part.target = places[operands[0].name if operands else ""]
        if instruction.guard:
            register, negated = instruction.guard
            part.condition = self._read(register, "pred"), not negated

    def _barrier(self, part: Part, instruction: Instruction) -> None:
        opcode, operands = instruction.opcode, instruction.operands
        if instruction.guard:
            raise _unknown(instruction)
        if opcode in ("bar.sync", "barrier.sync") and operands == (Immediate(0),):
            part.barrier = Barrier(instruction, True)
        elif opcode == "bar.warp.sync" and operands in ((Immediate(-1),), (Immediate(2**32 - 1),)):
            part.barrier = Barrier(instruction, False)
        elif opcode == "bar.red.or.pred" and len(operands) == 3 and operands[1] == Immediate(0):
            part.barrier = Barrier(instruction, True, self._read(operands[2], "pred"), self._slot(operands[0]))
        elif opcode == "vote.sync.ballot.b32" and len(operands) == 3:  # of all lanes, whose mask may be in a register
            part.barrier = Barrier(instruction, False, self._read(operands[1], "pred"), self._slot(operands[0]))
        else:
            raise _unknown(instruction)

    def _instruction(self, instruction: Instruction) -> None:
        outer = self._steps
        if instruction.guard:
            self._steps = []
        known = operation(instruction.opcode)
        if _head(instruction) == "mov" and any(isinstance(operand, tuple) for operand in instruction.operands):
            self._pack(instruction)
        elif known is not None and len(instruction.operands) == 1 + len(known.operands):
            sources = [self._read(o, kind) for o, kind in zip(instruction.operands[1:], known.operands, strict=True)]
            target, finish = self._write(instruction.operands[0], known.result)
            step = _apply_to_active if known.slow else _apply
            self._steps += [step(known.function, target, sources), *finish]
        elif known is None and _head(instruction) in _MAKERS:
            _MAKERS[_head(instruction)](self, instruction)
        else:
            raise _unknown(instruction)
        if instruction.guard:
            register, negated = instruction.guard
            inner, self._steps = self._steps, outer
            self._steps.append(_guard(self._read(register, "pred"), not negated, inner))

    # ------------------------------------------------------------------------------------------------------ registers

    def _new(self, key: Any, dtype: np.dtype | None = None) -> int:
        """A slot of its own."""
        self._slots[key] = slot = len(self._program.dtypes)
        self._program.dtypes.append(dtype)
        return slot

    def _scratch(self) -> int:
        return self._new(("scratch", len(self._slots)))

    def _fixed(self, what: str, which: Any, key: Any) -> int:
        if key not in self._slots:
            self._program.fixed[self._new(key)] = what, which
        return self._slots[key]

    def _slot(self, register: Register) -> int:
        if register.name not in self._slots:
            outlives = register.name in self._shared_names
            self._new(register.name, _register_dtype(register.kind) if outlives else None)
        return self._slots[register.name]

    def _read(self, operand: Any, kind: str) -> int:
        """The slot with an operand as this type, after a step that makes it so where that is needed."""
        dtype = DTYPES[kind]
        if isinstance(operand, Immediate):
            bits = operand.value & 2 ** (8 * dtype.itemsize) - 1
            if operand.is_float != (dtype.kind == "f"):
                raise PtxError(f"a number that is no {kind}: {operand.value}")
            number = np.array([bits], f"u{dtype.itemsize}").view(dtype) if kind != "pred" else np.array([bits != 0])
            return self._fixed("number", number, ("number", kind, bits))
        if isinstance(operand, Symbol) and operand.name in self._program.places:
            place = np.array([self._program.places[operand.name]])
            return self._fixed("number", place, ("number", "s64", int(place[0])))
        if isinstance(operand, Symbol) and _SPECIAL.fullmatch(operand.name):
            slot, held = self._fixed("special", operand.name, operand.name), np.dtype(np.int32)
        elif isinstance(operand, Register):
            slot, held = self._slot(operand), _register_dtype(operand.kind)
        else:
            raise PtxError(f"unknown operand {operand}")
        if held == dtype:
            return slot
        target = self._scratch()
        if held.itemsize == dtype.itemsize:
            self._steps.append(_apply(lambda x: x.view(dtype), target, [slot]))
        elif held.itemsize > dtype.itemsize and held.kind == "i" and dtype.kind in "iu":
            self._steps.append(_apply(lambda x: x.astype(dtype), target, [slot]))
        else:
            raise PtxError(f"a register that is no {kind}: {operand}")
        return target

    def _write(self, operand: Any, kind: str) -> tuple[int, list[Step]]:
        """The slot to put a value of this type into, and the steps that then bring it to its register."""
        if operand == Symbol("_"):
            return self._scratch(), []
        if not isinstance(operand, Register):
            raise PtxError(f"no register: {operand}")
        dtype, held = DTYPES[kind], _register_dtype(operand.kind)
        slot, stays = self._slot(operand), operand.name in self._shared_names
        if held == dtype and not stays:
            return slot, []
        if held == dtype:
            convert = None
        elif held.itemsize == dtype.itemsize:
            convert = lambda x: x.view(held)  # noqa: E731
        elif held.itemsize > dtype.itemsize and held.kind == "i" and dtype.kind in "iu":
            convert = lambda x: x.astype(held)  # noqa: E731
        else:
            raise PtxError(f"a register that is no {kind}: {operand}")
        source = self._scratch()
        return source, [_commit(slot, source, convert) if stays else _apply(convert, slot, [source])]

    # --------------------------------------------------------------------------------------------------------- memory

    def _address(self, address: Any) -> tuple[int, int]:
        if not isinstance(address, Address):
            raise PtxError(f"no address: {address}")
        return self._read(address.base, "s64"), address.offset

    def _load(self, instruction: Instruction) -> None:
        space, count, kind = _access(instruction)
        targets, address = instruction.operands
        targets = targets if isinstance(targets, tuple) else (targets,)
        if len(targets) != count:
            raise _unknown(instruction)
        if space == "param":
            name = address.base.name
            if address.offset or name not in self._kernel.parameters:
                raise _unknown(instruction)
            dtype = DTYPES[kind]
            sources = [self._fixed("parameter", (name, dtype), ("parameter", name, dtype))]
            slots = [self._write(target, kind) for target in targets]
            self._steps.append(_apply(lambda x: x, slots[0][0], sources))
        else:
            at, offset = self._address(address)
            slots = [self._write(target, kind) for target in targets]
            self._steps.append(_load(instruction, space, DTYPES[kind], at, offset, [slot for slot, _ in slots]))
        self._steps += [step for _, steps in slots for step in steps]

    def _store(self, instruction: Instruction) -> None:
        space, count, kind = _access(instruction)
        address, values = instruction.operands
        values = values if isinstance(values, tuple) else (values,)
        if len(values) != count or space in ("const", "param"):
            raise _unknown(instruction)
        at, offset = self._address(address)
        sources = [self._read(value, kind) for value in values]
        self._steps.append(_store(instruction, space, DTYPES[kind], at, offset, sources))

    def _atomic(self, instruction: Instruction) -> None:
        found = re.fullmatch(r"(?:atom|red)(?:\.(shared|global))?\.(add|min|max|and|or|xor)\.(\w+)", instruction.opcode)
        if found is None or found[3] not in DTYPES:
            raise _unknown(instruction)
        space, name, kind = found.groups()
        *targets, address, value = instruction.operands
        at, offset = self._address(address)
        source = self._read(value, kind)
        wanted = bool(targets) and self._reads[next(iter(_names(targets[0])), "")] > 0
        slot, finish = self._write(targets[0], kind) if wanted else (None, [])
        self._steps += [_atomic(instruction, space or "any", DTYPES[kind], name, at, offset, source, slot), *finish]

    def _copy(self, instruction: Instruction) -> None:
        if instruction.opcode == "cp.async.wait_all":
            self._steps.append(_finish_copies)
            return
        if instruction.opcode not in ("cp.async.cg.shared.global", "cp.async.ca.shared.global"):
            raise _unknown(instruction)
        target, source, size = instruction.operands
        if size != Immediate(16) and not (size in (Immediate(4), Immediate(8)) and ".ca." in instruction.opcode):
            raise _unknown(instruction)
        self._steps.append(_begin_copy(instruction, size.value, *self._address(target), *self._address(source)))

    def _prefetch(self, instruction: Instruction) -> None:
        """A byte is loaded for nobody: what is outside of every array is noticed."""
        if instruction.opcode != "prefetch.global.L2":
            raise _unknown(instruction)
        (address,) = instruction.operands
        self._steps.append(_load(instruction, "global", DTYPES["u8"], *self._address(address), [self._scratch()]))

    def _address_of_space(self, instruction: Instruction) -> None:
        found = re.fullmatch(r"cvta(\.to)?\.(global|shared|local|const)\.u64", instruction.opcode)
        if found is None:
            raise _unknown(instruction)
        move = 0 if found[2] == "global" else -_WINDOWS[found[2]] if found[1] else _WINDOWS[found[2]]
        source = self._read(instruction.operands[1], "s64")
        target, finish = self._write(instruction.operands[0], "s64")
        self._steps += [_apply((lambda x: x + move) if move else (lambda x: x), target, [source]), *finish]

    def _matrices(self, instruction: Instruction) -> None:
        found = re.fullmatch(r"mma\.sync\.aligned\.m16n8k32\.row\.col\.s32\.([us]8)\.([us]8)\.s32", instruction.opcode)
        if found is None or list(map(len, instruction.operands)) != [4, 4, 2, 4]:
            raise _unknown(instruction)
        targets, *factors = instruction.operands
        sources = [self._read(operand, "b32") for group in factors for operand in group]
        slots = [self._write(target, "b32") for target in targets]
        self._steps.append(_multiply(instruction, found.groups(), [slot for slot, _ in slots], sources))
        self._steps += [step for _, steps in slots for step in steps]

    def _pack(self, instruction: Instruction) -> None:
        """A mov of several registers to one of their size together, the lowest bits first, or back."""
        targets, sources = (o if isinstance(o, tuple) else (o,) for o in instruction.operands)
        found = re.fullmatch(r"mov\.b(32|64)", instruction.opcode)
        count = len(targets) * len(sources)
        if found is None or 1 not in (len(targets), len(sources)) or count not in (2, 4):
            raise _unknown(instruction)
        whole, part = f"b{found[1]}", f"b{int(found[1]) // count}"
        slots = [self._write(target, part if len(targets) > 1 else whole) for target in targets]
        given = [self._read(source, part if len(sources) > 1 else whole) for source in sources]
        self._steps.append(_regroup([slot for slot, _ in slots], given, DTYPES[part], DTYPES[whole]))
        self._steps += [step for _, steps in slots for step in steps]

    def _fence(self, instruction: Instruction) -> None:
        """Nothing to do: every store is seen at once."""


_MAKERS: dict[str, Callable[[_Builder, Instruction], None]] = {
    "ld": _Builder._load,
    "st": _Builder._store,
    "atom": _Builder._atomic,
    "red": _Builder._atomic,
    "cp": _Builder._copy,
    "prefetch": _Builder._prefetch,
    "cvta": _Builder._address_of_space,
    "mma": _Builder._matrices,
    "membar": _Builder._fence,
    "fence": _Builder._fence,
    "griddepcontrol": _Builder._fence,
}


def _unknown(instruction: Instruction) -> PtxError:
    return PtxError(f"unknown instruction {instruction}")


def _outlive_parts(parts: Sequence[Part]) -> set[str]:
    """Registers whose values leave the part that made them; the others need no care for threads that are not active."""
    homes: dict[str, int] = {}
    found: set[str] = set()
    for number, part in enumerate(parts):
        for instruction in part.instructions:
            reads, writes = _uses(instruction)
            found |= {name for name in reads if homes.get(name) != number}
            firm = instruction.guard is None and not _is_alone(instruction)
            for name in writes:
                if homes.setdefault(name, number) != number or not firm:
                    found.add(name)
    return found


def _access(instruction: Instruction) -> tuple[str, int, str]:
    """Space, number of values and their type of a load or a store."""
    pattern = r"(?:ld|st)(?:\.(shared|global|local|param|const))?(?:\.(v[24]))?\.([usbf]\d+)"
    found = re.fullmatch(pattern, instruction.opcode)
    if found is None or found[3] not in DTYPES:
        raise _unknown(instruction)
    return found[1] or "any", int((found[2] or "v1")[1]), found[3]


# A step takes the registers, a list of arrays with a value for each thread, or a single one that all have; and the
# active threads. Arrays in it are never changed, only replaced.


def _apply(function: Callable[..., np.ndarray], target: int, sources: Sequence[int]) -> Step:
    """A function of registers."""
    if len(sources) == 1:
        (a,) = sources

        def step(registers: list, active: Active) -> None:
            registers[target] = function(registers[a])

    elif len(sources) == 2:
        a, b = sources

        def step(registers: list, active: Active) -> None:
            registers[target] = function(registers[a], registers[b])

    else:

        def step(registers: list, active: Active) -> None:
            registers[target] = function(*[registers[slot] for slot in sources])

    return step


def _apply_to_active(function: Callable[..., np.ndarray], target: int, sources: Sequence[int]) -> Step:
    """A function of the registers of the active threads."""

    def step(registers: list, active: Active) -> None:
        registers[target] = active.spread(function(*[active.pick(registers[slot]) for slot in sources]))

    return step


def _regroup(targets: Sequence[int], sources: Sequence[int], part: np.dtype, whole: np.dtype) -> Step:
    """One register of several, or several of one."""

    def step(registers: list, active: Active) -> None:
        if len(sources) > 1:
            parts = np.broadcast_arrays(*[registers[slot] for slot in sources])
            registers[targets[0]] = np.stack(parts, axis=1).view(whole).ravel()
        else:
            parts = registers[sources[0]].view(part).reshape(-1, len(targets)).T
            for target, values in zip(targets, np.ascontiguousarray(parts), strict=True):
                registers[target] = values

    return step


def _commit(target: int, source: int, convert: Callable[[np.ndarray], np.ndarray] | None) -> Step:
    """Give the active threads a new value of a register."""

    def step(registers: list, active: Active) -> None:
        value = registers[source] if convert is None else convert(registers[source])
        registers[target] = value if active.everyone else np.where(active.mask, value, registers[target])

    return step


def _guard(condition: int, wanted: bool, steps: Sequence[Step]) -> Step:
    """Steps of those active threads only whose condition has a value."""

    def step(registers: list, active: Active) -> None:
        some = Active(active.wave, active.mask & (registers[condition] == wanted))
        if some.count:
            for inner in steps:
                inner(registers, some)

    return step


def _memory(space: str, at: np.ndarray, active: Active, instruction: Instruction) -> tuple[Memory, np.ndarray]:
    """The memory that addresses mean, and the addresses in it."""
    if space != "any":
        return active.wave.memory[space], at
    for name, window in sorted(_WINDOWS.items(), key=lambda item: -item[1]):
        inside = at >= window
        if inside.all():
            return active.wave.memory[name], at if name == "global" else at - window
        if inside.any():
            raise PtxError(f"addresses in several parts of memory: {instruction}")
    raise PtxError(f"outside of every array: {instruction}, {int(at[0])}")


def _load(instruction: Instruction, space: str, dtype: np.dtype, at: int, offset: int, targets: Sequence[int]) -> Step:
    count = len(targets)

    def step(registers: list, active: Active) -> None:
        memory, place = _memory(space, active.pick(registers[at]) + offset, active, instruction)
        index = memory.index(place, count * dtype.itemsize, active, instruction)
        view = memory.view(dtype)
        if count == 1:
            registers[targets[0]] = active.spread(view.take(index))
        else:
            for k, target in enumerate(targets):
                registers[target] = active.spread(view.take(index * count + k))

    return step


def _store(instruction: Instruction, space: str, dtype: np.dtype, at: int, offset: int, sources: Sequence[int]) -> Step:
    count = len(sources)

    def step(registers: list, active: Active) -> None:
        memory, place = _memory(space, active.pick(registers[at]) + offset, active, instruction)
        if memory.space == "const":
            raise PtxError(f"a store to constants: {instruction}")
        index = memory.index(place, count * dtype.itemsize, active, instruction)
        view = memory.view(dtype)
        for k, source in enumerate(sources):
            values = active.pick(registers[source])
            # Of threads that write to one place the last one wins.
            view[index * count + k] = values[-1:] if len(index) == 1 else values

    return step


_ATOMICS = {
    "add": np.add,
    "min": np.minimum,
    "max": np.maximum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}


def _atomic(
    instruction: Instruction,
    space: str,
    dtype: np.dtype,
    name: str,
    at: int,
    offset: int,
    source: int,
    target: int | None,
) -> Step:
    function = _ATOMICS[name]

    def step(registers: list, active: Active) -> None:
        memory, place = _memory(space, active.fill(registers[at]) + offset, active, instruction)
        index = memory.index(place, dtype.itemsize, active, instruction)
        view, values = memory.view(dtype), active.fill(registers[source])
        if target is None:
            function.at(view, index, values)
            return
        before = view.take(index)
        if len(np.unique(index)) == len(index):
            view[index] = function(before, values)
        else:
            for k, i in enumerate(index):
                before[k] = view[i]
                view[i] = function(view[i], values[k])
        registers[target] = active.spread(before)

    return step


def _begin_copy(instruction: Instruction, size: int, to: int, to_offset: int, at: int, offset: int) -> Step:
    """Read what is to be copied; until somebody waits for it, noise is where it will be."""
    words, word = size // 4, np.dtype(np.uint32)

    def step(registers: list, active: Active) -> None:
        shared, given = active.wave.memory["shared"], active.wave.memory["global"]
        places = shared.index(active.fill(registers[to]) + to_offset, size, active, instruction)
        source = given.index(active.fill(registers[at]) + offset, size, active, instruction)
        parts = np.arange(words)
        places, source = places[:, None] * words + parts, source[:, None] * words + parts
        copied = given.view(word).take(source)
        shared.view(word)[places] = copied * np.uint32(2654435761) + np.uint32(0x9E3779B9)
        active.wave.copies.append(Copy(active.lanes, places, copied))

    return step


def _finish_copies(registers: list, active: Active) -> None:
    """Write what the active threads have begun to copy."""
    wave, rest = active.wave, []
    view = wave.memory["shared"].view(np.dtype(np.uint32))
    for copy in wave.copies:
        ours = active.mask.take(copy.lanes)
        view[copy.places[ours]] = copy.words[ours]
        if not ours.all():
            rest.append(Copy(copy.lanes[~ours], copy.places[~ours], copy.words[~ours]))
    wave.copies = rest


def _multiply(instruction: Instruction, kinds: tuple[str, str], targets: Sequence[int], sources: Sequence[int]) -> Step:
    def step(registers: list, active: Active) -> None:
        total = len(active.mask)
        if active.count != total:
            warps = active.mask.reshape(-1, WARP)
            torn = warps.any(axis=1) & ~warps.all(axis=1)
            if torn.any():
                thread = int(np.argmax(torn)) * WARP
                where = active.wave.name_of(thread)
                raise PtxError(f"some threads of a warp alone, that of {where}, at {instruction}")
        words = [np.broadcast_to(registers[slot], total) for slot in sources]
        for target, sums in zip(targets, product_of_matrices(kinds, words), strict=True):
            registers[target] = sums

    return step
