"""The CUDA path without a GPU: ``tests/cuda`` in Numba's simulator, and kernels compiled to PTX, which is run too."""

from __future__ import annotations

import ast
import importlib.util
import os
import pathlib
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

import imfnb
from imfnb.runtime import cuda as _cuda
from imfnb.runtime.devices import cuda_status

pytestmark = pytest.mark.thorough
if not _cuda.SIMULATED and importlib.util.find_spec("numba_cuda") is None:
    pytest.skip("takes numba-cuda (pip install imfnb[cuda]); Numba's own target goes", allow_module_level=True)

PACKAGE = pathlib.Path(imfnb.__file__).parent
FOLDER = pathlib.Path(__file__).parent

#: A kernel, or what makes one.
KERNEL = re.compile(r"^@(?:kernel|template)\(", re.MULTILINE)

#: Every module with kernels for CUDA.
MODULES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if re.search(r"from \S*\.cuda import [^#]*?\b(kernel|template)\b", path.read_text(encoding="utf-8"))
)
for path in MODULES:
    importlib.import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"))


#: Tests whose PTX is interpreted in the plain run: instructions written by hand, and a few kernels made of them. All
#: others are interpreted in the slow one.
INTERPRETED = [
    "test_cuda_intrinsics.py",
    "test_cuda_factorization.py::test_gram[noise-uint8]",
    "test_cuda_factorization.py::test_gram[extremes-uint8]",
    "test_main_factorization.py::test_quantize_keeps_to_the_limit",
]

#: Tests of all kernels that differ between compute capabilities, by their instructions in `runtime.cuda_intrinsics`.
DIFFERENT = ["test_cuda_intrinsics.py", "test_cuda_factorization.py", "test_main_restoration.py"]

#: Where the JIT is disabled and the simulator on, `tests/cuda` is part of the run itself, and there is no compiler.
ELSEWHERE = pytest.mark.skip(reason="tests/cuda is part of this run") if _cuda.SIMULATED else pytest.mark.jit


@ELSEWHERE
@pytest.mark.beside(["cuda"], NUMBA_ENABLE_CUDASIM="1")
def test_kernels_and_pipelines_in_the_simulator(beside):
    assert beside() >= 100


@ELSEWHERE
@pytest.mark.slow
@pytest.mark.beside(["cuda", "test_golden.py"], "-m", "slow", NUMBA_ENABLE_CUDASIM="1")
def test_the_rest_in_the_simulator(beside):
    """And what once was written."""
    assert beside() >= 60


def run_report(**environment: str) -> str:
    command = [sys.executable, str(FOLDER.parent / "benchmarks" / "cuda_report.py")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path)), **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=1800).stdout


@pytest.mark.skipif(cuda_status().startswith("found"), reason="there is a device")
def test_report_without_a_device():
    assert run_report().startswith("no CUDA device: nothing measured (not found: ")


@pytest.mark.slow
def test_report_in_the_simulator():
    out = run_report(NUMBA_ENABLE_CUDASIM="1")
    assert "simulated: no times" in out and "factorization.sweep R=5" in out and out.count("ran, wanted") == 5
    assert out.count("bytes to pixels on the device") == 2
    assert out.count("rdoq.product") == 2  # one image and a batch
    assert not re.search(r"\d (us|ms|GB/s)", out)


def test_cuda_is_imported_in_one_place():
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            module = f"{node.module}." if isinstance(node, ast.ImportFrom) and not node.level else ""
            if any(f"{module}{name}.".startswith("numba.cuda.") for name in names):
                found.add(path.relative_to(PACKAGE).as_posix())
    assert found == {"runtime/cuda.py"}


def test_every_kernel_is_registered():
    """Each function made a kernel or a template is in the table, under its own name."""
    for path in MODULES:
        source = path.read_text(encoding="utf-8")
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        count = len(KERNEL.findall(source))
        names = {re.split(r"[/(]", name)[0] for name in _cuda.KERNELS if name.startswith(f"{module}.")}
        assert len(names) == count, module


@pytest.fixture
def compiler(monkeypatch):
    """Numba's CUDA compiler for a compute capability, without a device."""
    if _cuda.SIMULATED:
        pytest.skip("the simulator has no compiler")
    from numba.core import sigutils

    # Functions that kernels call are compiled for the current device, and there is none.
    capability = SimpleNamespace(compute_capability=None)
    dispatcher = importlib.import_module("numba.cuda.dispatcher")
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: capability)

    def compile_to_ptx(function, signature: str, cc: tuple[int, int]) -> str:
        capability.compute_capability = cc
        return _cuda.cuda.compile_ptx(function, sigutils.normalize_signature(signature)[0], cc=cc)[0]

    def smaller(values):
        values[0] = min(values[0], values[1])

    try:
        compile_to_ptx(smaller, "void(int64[::1])", (8, 0))
    except Exception as error:
        built_in = "numba_cuda" not in (_cuda.cuda.__file__ or "")
        if not built_in and type(error).__name__ not in ("NvvmSupportError", "CudaSupportError", "FileNotFoundError"):
            raise
        pytest.skip(f"no compiler for CUDA (the extra 'test' brings numba-cuda, with NVVM, on Linux): {error}")
    return compile_to_ptx


@pytest.mark.jit
@pytest.mark.slow
@pytest.mark.parametrize("cc", [(8, 0), (9, 0)], ids=["sm_80", "sm_90"])
def test_kernels_compile_to_ptx(compiler, cc):
    assert any("._sweep(" in name for name in _cuda.KERNELS)
    for name, (function, signature) in _cuda.KERNELS.items():
        ptx = compiler(function, signature, cc)
        assert f".target sm_{cc[0]}{cc[1]}" in ptx and ".entry" in ptx, name
        if "._sweep(" in name:  # a local array that the compiler could not take apart would be memory, and slow
            assert ".local" not in ptx, name
            # Launches overlap where they can: before it waits for the one before, it may touch X only.
            before, *after = ptx.split("griddepcontrol.wait;")
            assert len(after) == (cc >= (9, 0)) == ptx.count("griddepcontrol.launch_dependents;"), name
            if after:
                pixels = int(re.search(r"_sweep\((\d+),", name)[1])
                assert before.count("cp.async") == -(-pixels // 4) and "griddepcontrol" not in before, name
                assert not re.search(r"\b(ld|st|atom|red)\.global", before), name
                assert "griddepcontrol.launch_dependents;" in after[0] and "ld.global.f64" in after[0], name
        if ".init." in name:  # nothing rounded once where the reference rounds twice
            assert "fma.rn.f64" not in ptx and "mul.rn.f64" in ptx, name


@ELSEWHERE
@pytest.mark.beside([f"cuda/{name}" for name in INTERPRETED], IMFNB_INTERPRET_PTX="1")
def test_kernels_by_interpreted_ptx(compiler, beside):
    assert beside() >= 8


@ELSEWHERE
@pytest.mark.slow
@pytest.mark.beside(["cuda"], IMFNB_INTERPRET_PTX="1", IMFNB_INTERPRET_PTX_FOR="9.0")
def test_all_kernels_and_pipelines_by_interpreted_ptx(compiler, beside):
    assert beside() >= 200


@ELSEWHERE
@pytest.mark.slow
@pytest.mark.beside([f"cuda/{name}" for name in DIFFERENT], IMFNB_INTERPRET_PTX="1", IMFNB_INTERPRET_PTX_FOR="8.0")
def test_kernels_of_other_instructions_by_interpreted_ptx(compiler, beside):
    assert beside() >= 50


def test_modules_whose_kernels_differ_between_capabilities():
    """`DIFFERENT` tests these: the only ones that import what depends on the capability."""
    found = set()
    for path in MODULES:
        if re.search(r"\b(clip2|begin_next|await_previous)\b", path.read_text(encoding="utf-8")):
            found.add(path.relative_to(PACKAGE).as_posix())
    assert found == {"factorization/bcd/cuda_bytes.py", "restoration/cuda.py"}
