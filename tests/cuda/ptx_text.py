"""The text of a kernel in PTX, taken apart: arrays, parameters, instructions and where jumps lead to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Address", "Array", "Immediate", "Instruction", "Kernel", "PtxError", "Register", "Symbol", "parse"]


class PtxError(Exception):
    """Something that PTX does not allow, or that the interpreter does not know."""


@dataclass(frozen=True)
class Register:
    """A register; `kind` is the type that it is declared with, such as "b32"."""

    name: str
    kind: str


@dataclass(frozen=True)
class Immediate:
    """A number: an int, or the bits of a float."""

    value: int
    is_float: bool = False


@dataclass(frozen=True)
class Symbol:
    """The name of an array, a parameter, a label or a special register."""

    name: str


@dataclass(frozen=True)
class Address:
    """[base + offset]"""

    base: Any
    offset: int


@dataclass(frozen=True)
class Array:
    """Memory that the kernel declares; `data` is None where it does not say what it holds."""

    space: str
    align: int
    size: int
    data: bytes | None


@dataclass(frozen=True)
class Instruction:
    """An instruction; where it has a guard, threads whose register is false (true, if negated) pass over it."""

    opcode: str
    operands: tuple[Any, ...]
    guard: tuple[Register, bool] | None
    text: str

    def __str__(self) -> str:
        return f"'{self.text}'"


@dataclass
class Kernel:
    """A kernel: `labels` are numbers of instructions, `parameters` types by name, in order."""

    name: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    code: list[Instruction] = field(default_factory=list)


_ARRAY = re.compile(
    r"(?:\.\w+\s+)*?\.(shared|local|const)\s+\.align\s+(\d+)\s+\.b8\s+([\w$]+)\[(\d+)\](?:\s*=\s*\{([^}]*)\})?"
)
_ENTRY = re.compile(r"\.entry\s+([\w$]+)\s*\(([^)]*)\)")
_PARAMETER = re.compile(r"\.param\s+\.(\w+)\s+([\w$]+)$")
_REGISTERS = re.compile(r"\.reg\s+\.(\w+)\s+([%\w$]+)(?:<(\d+)>)?$")
_GUARDED = re.compile(r"(?:@(!?)([%\w$]+)\s+)?([\w.:]+)\s*(.*)", re.DOTALL)
_ADDRESS = re.compile(r"\[\s*([^\s+\]]+)\s*(?:\+\s*(-?\w+))?\s*\]")
_SPACE = re.compile(r"\s*")
_LABEL = re.compile(r"([\w$]+):(?!:)\s*")

# What says nothing about how the kernel runs.
_PREAMBLE = re.compile(r"^\s*\.(?:version|target|address_size)[^\n]*", re.MULTILINE)
_IGNORED = ".pragma", ".common .global"


def parse(ptx: str) -> Kernel:
    """Take apart the text of a module with one kernel.

    Raises
    ------
    PtxError
        For directives that are not known.
    """
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", ptx, flags=re.DOTALL)
    entry = _ENTRY.search(text)
    if entry is None or len(_ENTRY.findall(text)) > 1:
        raise PtxError("a module with one .entry is wanted")
    kernel = Kernel(entry[1])
    for parameter in filter(None, map(str.strip, entry[2].split(","))):
        found = _PARAMETER.match(parameter)
        if found is None:
            raise PtxError(f"unknown parameter: {parameter}")
        kernel.parameters[found[2]] = found[1]
    _, opened, rest = text[entry.end() :].partition("{")
    body, closed, behind = rest.rpartition("}")
    if not opened or not closed or behind.strip():
        raise PtxError("a module that ends with the kernel is wanted")
    before = _PREAMBLE.sub("", text[: entry.start()]).removesuffix(".visible ")
    for statement in filter(None, map(str.strip, before.split(";"))):
        _directive(statement, kernel, {})
    _Body(kernel).read(body)
    return kernel


def _directive(statement: str, kernel: Kernel, registers: dict[str, Register], suffix: str = "") -> None:
    if found := _REGISTERS.match(statement):
        kind, name, count = found.groups()
        names = [name] if count is None else [f"{name}{k}" for k in range(int(count))]
        registers.update({name: Register(name + suffix, kind) for name in names})
    elif found := _ARRAY.match(statement):
        space, align, name, size, numbers = found.groups()
        given = bytes(map(int, numbers.split(","))) if numbers else b"" if space == "const" else None
        data = None if given is None else given.ljust(int(size), b"\0")
        kernel.arrays[name] = Array(space, int(align), int(size), data)
    elif not statement.startswith(_IGNORED):
        raise PtxError(f"unknown directive: {statement.split(chr(10))[0][:200]}")


class _Body:
    """Reads the statements of a kernel; `scopes` has the registers declared between braces, innermost last."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.scopes: list[dict[str, Register]] = [{}]

    def read(self, text: str) -> None:
        at = 0
        while True:
            at = _SPACE.match(text, at).end()
            if at == len(text):
                return
            if text[at] in "{}":
                self.scopes = [*self.scopes, {}] if text[at] == "{" else self.scopes[:-1]
                at += 1
            elif label := _LABEL.match(text, at):
                self.kernel.labels[label[1]] = len(self.kernel.code)
                at = label.end()
            else:
                end = text.find(";", at)
                if end < 0:
                    raise PtxError(f"a statement without an end: {text[at : at + 200]}")
                self.statement(text[at:end].strip())
                at = end + 1

    def statement(self, text: str) -> None:
        if text.startswith("."):
            # Names within inner braces are new ones each time.
            suffix = f"@{len(self.kernel.code)}" if len(self.scopes) > 1 else ""
            _directive(text, self.kernel, self.scopes[-1], suffix)
            return
        negated, guard, opcode, rest = _GUARDED.fullmatch(text).groups()
        operands = tuple(map(self.operand, _split(rest)))
        condition = (self.operand(guard), bool(negated)) if guard else None
        self.kernel.code.append(Instruction(opcode, operands, condition, re.sub(r"\s+", " ", text)))

    def operand(self, text: str) -> Any:
        if text.startswith("{"):
            return tuple(map(self.operand, _split(text.strip("{}"))))
        if text.startswith("["):
            found = _ADDRESS.fullmatch(text)
            if found is None:
                raise PtxError(f"unknown address: {text}")
            return Address(self.operand(found[1]), int(found[2] or "0", 0))
        for scope in reversed(self.scopes):
            if text in scope:
                return scope[text]
        if re.fullmatch(r"0[fF][0-9a-fA-F]{8}|0[dD][0-9a-fA-F]{16}", text):
            return Immediate(int(text[2:], 16), is_float=True)
        if re.fullmatch(r"-?\d\w*", text):
            return Immediate(int(text.rstrip("U"), 0))
        return Symbol(text)


def _split(text: str) -> list[str]:
    """Operands, which commas part that are not within braces or brackets."""
    return [part.strip() for part in re.findall(r"(?:\{[^}]*\}|\[[^\]]*\]|[^,{\[])+", text) if part.strip()]
