"""What a compiler may make of a kernel in PTX: products that an addition or subtraction takes up without rounding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ptx_text import Address, Instruction, Kernel, Register

__all__ = ["fuse"]


def fuse(kernel: Kernel) -> int:
    """Fuse whatever may be fused, in place; how much that is.

    A `mul` or `add` without `.rn` leaves the rounding of the product to the compiler. Where a product is used once, by
    an addition, or by a subtraction from something else, between the same labels, both become an `fma`.
    """
    mentions = Counter(name for instruction in kernel.code for name in _registers(instruction.operands))
    starts = set(kernel.labels.values())
    fused = 0
    for first, product in enumerate(kernel.code):
        if product.opcode not in ("mul.f32", "mul.f64") or product.guard or mentions[product.operands[0].name] != 2:
            continue
        kind = product.opcode[-3:]
        target, left, right = product.operands
        needed = set(_registers(product.operands))
        for second in range(first + 1, len(kernel.code)):
            taker = kernel.code[second]
            if second in starts or taker.opcode.startswith("bra"):
                break
            if target in taker.operands[1:]:
                fused += _join(kernel, first, second, kind, target, left, right)
                break
            if needed & set(_registers(taker.operands[:1])):
                break
    return fused


def _join(kernel: Kernel, first: int, second: int, kind: str, target: Register, left: Any, right: Any) -> int:
    """Make an `fma` of a product and what takes it up; 0 if that does something else with it."""
    taker = kernel.code[second]
    if taker.opcode not in (f"add.{kind}", f"sub.{kind}") or taker.guard:
        return 0
    minus = taker.opcode.startswith("sub")
    if minus and taker.operands[1] == target:  # a b - c
        return 0
    other = taker.operands[2] if taker.operands[1] == target else taker.operands[1]
    text = f"{kernel.code[first].text}; {taker.text}"
    kernel.code[first] = Instruction(f"neg.{kind}" if minus else f"mov.{kind}", (target, left), None, text)
    kernel.code[second] = replace(
        taker, opcode=f"fma.rn.{kind}", operands=(taker.operands[0], target, right, other), text=text
    )
    return 1


def _registers(operands: Any) -> Iterator[str]:
    """Names of all registers among operands."""
    for operand in operands:
        if isinstance(operand, Register):
            yield operand.name
        elif isinstance(operand, Address):
            yield from _registers((operand.base,))
        elif isinstance(operand, tuple):
            yield from _registers(operand)
