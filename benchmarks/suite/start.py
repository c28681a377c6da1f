"""What the first call costs: import, kernels from the cache, kernels from nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

import imfnb

from .common import photograph

FIRST_CALL = "import numpy, imfnb; imfnb.encode(numpy.zeros((64, 64, 3), numpy.uint8), profile={profile!r})"


def _run(code: str, cache: str | None = None) -> float:
    environment = dict(os.environ) if cache is None else {**os.environ, "NUMBA_CACHE_DIR": cache}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    return time.perf_counter() - start


class Import:
    """Processes that import and end."""

    def time_import_numpy(self) -> None:
        _run("import numpy")

    def time_import_imfnb(self) -> None:
        _run("import imfnb")


class FirstCall:
    """First encode of a process."""

    params = (("baseline", "main"),)
    param_names = ("profile",)
    timeout = 300

    def track_cold(self, profile: str) -> float:
        with tempfile.TemporaryDirectory() as cache:
            return _run(FIRST_CALL.format(profile=profile), cache)

    def track_warm(self, profile: str) -> float:
        _run(FIRST_CALL.format(profile=profile))
        return _run(FIRST_CALL.format(profile=profile))

    def track_warm_decode(self, profile: str) -> float:
        with tempfile.NamedTemporaryFile(suffix=".imf") as file:
            file.write(imfnb.encode(photograph("small"), profile=profile))
            file.flush()
            code = f"import numpy, imfnb; imfnb.imread({file.name!r})"
            _run(code)
            return _run(code)

    track_cold.unit = track_warm_decode.unit = track_warm.unit = "s"  # type: ignore[attr-defined]
