"""Every stage on its own, compiled kernels against the NumPy reference; those on the GPU are in `device`."""

from __future__ import annotations

import numpy as np

from imfnb import entropy, lapped, restoration
from imfnb.color import join_fine, join_planes, split_fine, split_planes
from imfnb.factorization import bcd
from imfnb.patches import depatchify, grid_shape, patchify

from .common import photograph, require
from .factors import factorize, multiply

BACKENDS = ("reference", "cpu")


class _Stage:
    params: tuple = (BACKENDS, ("0.4 MP", "2 MP"))
    param_names = ("backend", "size")
    timeout = 300

    def setup(self, backend: str, size: str) -> None:
        require(backend, size)
        self.image = photograph(size)
        self.backend = backend


class Color(_Stage):
    """RGB to planes and back."""

    def setup(self, backend: str, size: str) -> None:
        super().setup(backend, size)
        self.planes = split_planes(self.image, "YCbCr", True, backend)
        self.fine = split_fine(self.image, True, backend)
        self.out = np.empty_like(self.image)
        join_planes(self.planes, "YCbCr", self.out, backend)
        join_fine(self.fine, self.out, backend)

    def time_split_planes(self, *_: object) -> None:
        split_planes(self.image, "YCbCr", True, self.backend)

    def time_join_planes(self, *_: object) -> None:
        join_planes(self.planes, "YCbCr", self.out, self.backend)

    def time_split_fine(self, *_: object) -> None:
        split_fine(self.image, True, self.backend)

    def time_join_fine(self, *_: object) -> None:
        join_fine(self.fine, self.out, self.backend)


class Factorization(_Stage):
    """Patchification, block coordinate descent and the product, on luma."""

    params = (*_Stage.params, (2, 5, 20))
    param_names = (*_Stage.param_names, "rank")

    def setup(self, backend: str, size: str, rank: int) -> None:
        super().setup(backend, size)
        self.shape = self.image.shape[:2]
        grid = grid_shape(self.shape, 8)
        self.blocks, self.rows = patchify(self.image, "YCbCr", True, 8, backend)[0], grid[0] * grid[1]
        self.factors = bcd(self.blocks, self.rows, rank, (-16, 15), 10, backend)
        depatchify(*self.factors, self.shape, 8, 16, backend)

    def time_color_and_patchify(self, *_: object) -> None:
        patchify(self.image, "YCbCr", True, 8, self.backend)

    def time_bcd(self, backend: str, size: str, rank: int) -> None:
        bcd(self.blocks, self.rows, rank, (-16, 15), 10, backend)

    def time_depatchify(self, *_: object) -> None:
        depatchify(*self.factors, self.shape, 8, 16, self.backend)


class MainStages(_Stage):
    """The stages of the main profile on luma at a step of 28 gray levels, about 0.5 bits per pixel."""

    params = (("cpu",), ("0.4 MP", "2 MP"))

    def setup(self, backend: str, size: str) -> None:
        super().setup(backend, size)
        height, width = self.image.shape[:2]
        self.plane = split_fine(self.image, True, backend)[0][: height // 8 * 8, : width // 8 * 8].copy()
        self.filtered = lapped.forward(self.plane, 8, backend)
        self.step = 28 * 64
        self.factors = factorize(self.filtered, self.step, 8, backend)
        self.data = self._encode()
        self.out = np.empty_like(self.plane)
        multiply(self.factors, self.step, 8, self.out, backend)
        self.decoded = lapped.inverse(self.out, 8, backend)
        restoration.restore(self.decoded, self.step, False, backend)

    def _encode(self) -> bytes:
        return entropy.encode_factors(self.factors.padded, self.factors.ranks, *self.factors.grid, 8, self.backend)

    def time_lapped_forward(self, *_: object) -> None:
        lapped.forward(self.plane, 8, self.backend)

    def time_factorize(self, *_: object) -> None:
        factorize(self.filtered, self.step, 8, self.backend)

    def time_encode_factors(self, *_: object) -> None:
        self._encode()

    def time_decode_factors(self, *_: object) -> None:
        entropy.decode_factors(self.data, *self.factors.grid, 8, None, self.backend)

    def time_multiply(self, *_: object) -> None:
        multiply(self.factors, self.step, 8, self.out, self.backend)

    def time_lapped_inverse(self, *_: object) -> None:
        lapped.inverse(self.out, 8, self.backend)

    def time_restore(self, *_: object) -> None:
        restoration.restore(self.decoded, self.step, False, self.backend)
