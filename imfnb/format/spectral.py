"""Numbers of the spectral factorization that every decoder must know; FORMAT.md explains each."""

from __future__ import annotations

__all__ = ["ENTRY_LIMIT", "EXPONENTS", "QUANTUM_BITS"]

#: Entries of V, and offsets of bands, are within +-ENTRY_LIMIT.
ENTRY_LIMIT = 1 << 24

#: Exponents of coded numbers are at most EXPONENTS - 1.
EXPONENTS = 26

#: Bits of the exponent of the quantum of a column.
QUANTUM_BITS = 5
