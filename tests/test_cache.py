"""The kernel cache: damaged, read-only, missing or shared, it never breaks a call."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.jit

CODE = """
import numpy as np
from imfnb.color import cpu
image = np.arange(60, dtype=np.uint8).reshape(1, 4, 5, 3)
y, cb, cr = (np.zeros(shape, np.uint8) for shape in ((1, 4, 5), (1, 2, 3), (1, 2, 3)))
cpu.rgb_to_ycbcr(image, y, cb, cr)
print(int(y.sum()))
"""


def run(cache: Path, code: str = CODE, **environment: str) -> str:
    env = {**os.environ, "NUMBA_CACHE_DIR": str(cache), **environment}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return cache, run(cache)


def files(cache: Path, suffix: str) -> list[Path]:
    return [path for path in cache.rglob("*") if path.suffix == suffix]


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("content", ["empty", "half", "garbage"])
def test_damaged_files(filled, tmp_path, suffix, content):
    cache, expected = filled
    for path in files(cache, ".nbi") + files(cache, ".nbc"):
        data = path.read_bytes()
        if path.suffix == suffix:
            data = {"empty": b"", "half": data[: len(data) // 2], "garbage": bytes(reversed(data))}[content]
        copy = tmp_path / path.relative_to(cache)
        copy.parent.mkdir(exist_ok=True, parents=True)
        copy.write_bytes(data)
    assert run(tmp_path) == expected
    assert run(tmp_path) == expected


def test_cache_that_is_a_file(filled, tmp_path):
    path = tmp_path / "file"
    path.write_text("not a folder")
    assert run(path) == filled[1]


def test_full_disk(filled, tmp_path):
    full = "import os\ndef full(*a): raise OSError(28, 'No space left on device')\nos.replace = full\n"
    assert run(tmp_path, full + CODE) == filled[1]


def test_two_processes_at_once(filled, tmp_path):
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", CODE]
    both = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == [filled[1]] * 2


def test_warmup_calls_every_kernel():
    """All that Python calls: kernels that only other kernels call may be part of their machine code in the cache."""
    code = """
import importlib
import pathlib
import imfnb
from imfnb._vectors import DOTS
from imfnb._warmup import warmup
assert warmup() > 0
package, kernels = pathlib.Path(imfnb.__file__).parent, {}
for path in package.rglob("cpu.py"):
    module = importlib.import_module(".".join(path.relative_to(package.parent).with_suffix("").parts))
    for name, value in vars(module).items():
        if hasattr(value, "signatures") and value.py_func.__module__ == module.__name__:
            kernels[module.__name__, name] = value
assert len(kernels) > 50, len(kernels)
called = {name for kernel in kernels.values() for name in kernel.py_func.__code__.co_names}
for (module, name), kernel in kernels.items():
    wanted = DOTS or not name.endswith("_bytes")  # these need a processor with dot products of bytes
    if wanted and not kernel.signatures and name not in called:
        print(f"{module}.{name}")
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == []
