"""Numbers of the spectral factorization that every decoder must know; FORMAT.md explains each."""

from __future__ import annotations

__all__ = ["ENTRY_LIMIT", "EXPONENTS", "PLANE_LIMIT", "QUANTUM_BITS"]

#: Entries of V, and offsets of bands, are within +-ENTRY_LIMIT.
ENTRY_LIMIT = 1 << 24

#: Exponents of coded numbers are at most EXPONENTS - 1.
EXPONENTS = 26

#: Bits of the exponent of the quantum of a column.
QUANTUM_BITS = 5

#: What an encoder makes planes of: the finest step of 16 units has 512 of it to either side.
PLANE_LIMIT = (1 << 13) - 1
