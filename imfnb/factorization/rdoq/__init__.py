"""Rate-distortion factorization X ~ 2^-s U V^T of the main profile.

V starts from a basis that costs no bits: integer DCT columns of length 2^s times the step, in zig-zag order. With V
fixed, the closed-form update of column u_r (see :mod:`imfnb.factorization`) is the rounding of 2^s (X v_r) / |v_r|^2,
since the columns of the DCT basis are orthogonal up to rounding. Each entry then takes the least of

    D + lambda * bits        among  round, one towards zero, zero

with the bits that its contexts give it in the factors of the previous sweep, and each patch ends where its remaining
components are not worth their bits. The contexts are two of those that the entropy coder mixes, their bits come from
frequencies counted over the plane. All quantities are exact integers.

On large planes :func:`find_basis_update` lets V leave the DCT basis V0. Since V0 is orthogonal, X ~ U V^T is the
factorization of its coordinates Y = 2^s X V0 / |v0|^2 with right factor C = V0^T V / |v0|^2, which is the identity for
V0. C takes the same closed-form column update as the baseline's V, and an entry keeps its move only where the gain
exceeds lambda times its bits. (Moving the pixels of v_r instead gave 50 to 90% of the gain on photographs, for up to
three times the bits. One orthogonal basis learned on bsd34 instead of the DCT: -0.02% on other pictures.)

`pipeline` has the order of the steps for any runner, `reference`, `cpu` and `cuda` have the steps; `basis_search` and
`spectra`, which see a part of a plane, stay on the host.
"""

from __future__ import annotations

from .basis_search import find_basis_update
from .factors import Factors, needed_rank, reduced_factors, rows_of, splice
from .pipeline import LastChoice, Settings, choose_last, download, prepare, product, upload
from .spectra import SPECTRUM_MODELS, SPECTRUM_PATCH, SPECTRUM_STEPS, spectrum
from .tuning import LAMBDA_LARGEST, LAMBDA_ONE

__all__ = [
    "LAMBDA_LARGEST",
    "LAMBDA_ONE",
    "SPECTRUM_MODELS",
    "SPECTRUM_PATCH",
    "SPECTRUM_STEPS",
    "Factors",
    "LastChoice",
    "Settings",
    "choose_last",
    "download",
    "find_basis_update",
    "needed_rank",
    "prepare",
    "product",
    "reduced_factors",
    "rows_of",
    "spectrum",
    "splice",
    "upload",
]
