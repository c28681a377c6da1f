"""Every stage on its own, compiled kernels against the NumPy reference; those on the GPU are in `device`."""

from __future__ import annotations

import numpy as np

from imfnb.factorization.bcd import descend, download
from imfnb.format.container import Frame
from imfnb.format.restoration import filter_set
from imfnb.options import EncodeOptions
from imfnb.profiles import baseline
from imfnb.runtime.run import HostRun

from .common import new_planes, photograph, require
from .factors import factorize, multiply

BACKENDS = ("reference", "cpu")


class _Stage:
    params: tuple = (BACKENDS, ("0.4 MP", "2 MP"))
    param_names = ("backend", "size")
    timeout = 300

    def setup(self, backend: str, size: str) -> None:
        require(backend, size)
        self.image = photograph(size)
        self.backend, self.run = backend, HostRun(backend, 1)


class Color(_Stage):
    """RGB to planes and back."""

    def setup(self, backend: str, size: str) -> None:
        super().setup(backend, size)
        self.kernels = self.run.kernels("color")
        self.planes, self.q4 = new_planes(self.image, np.uint8), new_planes(self.image, np.int32)
        self.images, self.out = self.image[None], np.empty_like(self.image)[None]
        self.time_rgb_to_ycbcr()
        self.time_ycbcr_to_rgb()
        self.time_rgb_to_q4()
        self.time_q4_to_rgb()

    def time_rgb_to_ycbcr(self, *_: object) -> None:
        self.kernels.rgb_to_ycbcr(self.images, *self.planes)

    def time_ycbcr_to_rgb(self, *_: object) -> None:
        self.kernels.ycbcr_to_rgb(*self.planes, self.out)

    def time_rgb_to_q4(self, *_: object) -> None:
        self.kernels.rgb_to_q4(self.images, *self.q4)

    def time_q4_to_rgb(self, *_: object) -> None:
        self.kernels.q4_to_rgb(*self.q4, self.out)


class Factorization(_Stage):
    """Patchification, block coordinate descent and the product, on luma."""

    params = (*_Stage.params, (2, 5, 20))
    param_names = (*_Stage.param_names, "rank")

    def setup(self, backend: str, size: str, rank: int) -> None:
        super().setup(backend, size)
        self.patches = self.run.kernels("patches")
        self.frame = Frame("baseline", *self.image.shape)
        self.settings = baseline.settings_for(EncodeOptions(profile="baseline"), self.frame)
        analysis = baseline.analyse([self.image], self.frame, self.settings, self.run)
        (_, self.x), self.rows = analysis.stacks[0], analysis.specs[0].shape[0]
        ((pair,),) = self.run.drive(download([(*self._descend(rank), self.rows)], self.run))
        self.ut, self.vt = (np.ascontiguousarray(factor.T)[None] for factor in pair)
        self.plane = np.empty((1, *self.image.shape[:2]), np.uint8)
        self.time_depatchify(backend, size, rank)

    def _descend(self, rank: int) -> tuple[np.ndarray, np.ndarray]:
        return self.run.drive(descend(self.x, self.rows, rank, (-16, 15), 10, self.run))

    def time_color_and_patchify(self, *_: object) -> None:
        baseline.analyse([self.image], self.frame, self.settings, self.run)

    def time_bcd(self, backend: str, size: str, rank: int) -> None:
        self._descend(rank)

    def time_depatchify(self, backend: str, size: str, rank: int) -> None:
        self.patches.depatchify(self.ut, self.vt, rank, 8, 8, self.plane, 16)


class MainStages(_Stage):
    """The stages of the main profile on luma at a step of 28 gray levels, about 0.5 bits per pixel."""

    params = (("cpu",), ("0.4 MP", "2 MP"))

    def setup(self, backend: str, size: str) -> None:
        super().setup(backend, size)
        height, width = self.image.shape[:2]
        self.coder = self.run.kernels("entropy")
        self.lapped, self.restoration = self.run.kernels("lapped"), self.run.kernels("restoration")
        planes = new_planes(self.image, np.int32)
        self.run.kernels("color").rgb_to_q4(self.image[None], *planes)
        self.plane = planes[0][:, : height // 8 * 8, : width // 8 * 8].copy()
        self.result = np.empty_like(self.plane)
        self.lapped.forward(self.plane, 8, self.result, [0])
        self.filtered = self.result[0].copy()
        self.step = 28 * 64
        self.filters = filter_set(self.step, False)
        self.factors = factorize(self.filtered, self.step, 8, backend)
        self.data = self._encode()
        self.out = np.empty_like(self.plane[0])
        multiply(self.factors, self.step, 8, self.out, backend)
        self.decoded = np.empty_like(self.plane)
        self.lapped.inverse(self.out[None], 8, self.decoded, [0])
        self.time_restore()

    def _encode(self) -> bytes:
        return self.coder.encode_factors(self.factors.padded, self.factors.ranks, *self.factors.grid, 8)

    def time_lapped_forward(self, *_: object) -> None:
        self.lapped.forward(self.plane, 8, self.result, [0])

    def time_factorize(self, *_: object) -> None:
        factorize(self.filtered, self.step, 8, self.backend)

    def time_encode_factors(self, *_: object) -> None:
        self._encode()

    def time_decode_factors(self, *_: object) -> None:
        self.coder.decode_factors(self.data, *self.factors.grid, 8)

    def time_multiply(self, *_: object) -> None:
        multiply(self.factors, self.step, 8, self.out, self.backend)

    def time_lapped_inverse(self, *_: object) -> None:
        self.lapped.inverse(self.out[None], 8, self.result, [0])

    def time_restore(self, *_: object) -> None:
        self.restoration.restore(self.decoded, self.step, *self.filters, self.result, [0])


class Residual:
    """The coder of residual arrays on the channels of a photograph, one segment; the reference takes minutes."""

    params = ("0.4 MP",)
    param_names = ("size",)
    timeout = 300

    def setup(self, size: str) -> None:
        self.coder = HostRun("cpu", 1).kernels("entropy.residual")
        self.samples = np.ascontiguousarray(photograph(size).transpose(2, 0, 1).astype(np.int32))
        self.data = self.coder.encode_residual(self.samples)
        self.time_decode_residual(size)

    def time_encode_residual(self, *_: object) -> None:
        self.coder.encode_residual(self.samples)

    def time_decode_residual(self, *_: object) -> None:
        self.coder.decode_residual(self.data, self.samples.shape)
