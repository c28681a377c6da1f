"""Who imports whom: rules that keep the rooms of the package apart, read from the sources."""

from __future__ import annotations

import ast
import functools
import pathlib
import sys
from collections.abc import Iterator

import pytest

import imfnb
from imfnb.runtime.cache import _NO_KERNELS

PACKAGE = pathlib.Path(imfnb.__file__).parent
STAGES = {
    "color",
    "patches",
    "lapped",
    "masking",
    "factorization",
    "restoration",
    "network",
    "entropy",
    "fill",
    "spectral",
}
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))

#: What the parts of the package may import of it; the rest is not restricted here.
ALLOWED = {
    "format": {"format", "layout", "errors"},
    "layout.py": {"format"},
    "errors.py": set(),
    # `__init__` has the version and the time at which the sources were read, which name the folder of the kernels.
    "runtime": {"runtime", "errors", "__init__"},
    **{stage: STAGES | {"format", "layout", "errors", "runtime"} for stage in STAGES},
    "profiles": STAGES | {"profiles", "format", "layout", "errors", "runtime", "options", "rasters", "metrics"},
    # What hosts of plugins see is what callers of the package see, but for chunks of arrays, which share their options.
    "plugins": {
        *("plugins", "codec", "files", "frames", "headers", "metadata", "errors", "format", "kinds", "options"),
        *("pictures", "rasters"),
    },
    "metrics": {"metrics", "errors", "extras"},
    "pictures": {"pictures", "errors", "format", "metadata", "kinds", "extras"},
    "metadata.py": {"errors", "format"},
    "headers.py": {"errors", "format", "kinds", "metadata", "profiles"},
}

#: Modules of stages that hold kernels, or what kernels are made of.
KERNELS = {"cpu", "cuda", "tiles", "blocks", "dots", "simd"}


@functools.cache
def tree(module: pathlib.Path) -> ast.Module:
    """The syntax of a module."""
    return ast.parse((PACKAGE / module).read_text(encoding="utf-8"))


@functools.cache
def imports(module: pathlib.Path) -> tuple[str, ...]:
    """What :func:`every_import` finds, each name once."""
    return tuple(dict.fromkeys(every_import(module)))


def every_import(module: pathlib.Path) -> Iterator[str]:
    """Absolute names of what a module imports anywhere in it: modules, and names that may be modules."""
    folder = ("imfnb", *module.parts[:-1])
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(folder[: len(folder) + 1 - node.level]) if node.level else ""
            base = ".".join(filter(None, (start, node.module)))
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            yield from (argument.value for argument in node.args if isinstance(argument, ast.Constant))


def parts(module: pathlib.Path) -> set[str]:
    """The top-level parts of the package that a module imports."""
    found = set()
    for name in imports(module):
        if name == "imfnb" or name.startswith("imfnb."):
            part = (*name.split("."), "")[1]
            if (part and (PACKAGE / part).is_dir()) or (PACKAGE / f"{part}.py").is_file():
                found.add(part)
            elif part:
                found.add("__init__")
    return found


def test_the_rules_see_the_package():
    assert len(MODULES) > 100
    assert {path.parts[0] for path in MODULES if path.name == "reference.py"} == STAGES
    assert parts(pathlib.Path("entropy", "cpu.py")) == {"format", "runtime", "entropy"}
    assert parts(pathlib.Path("runtime", "cache.py")) == {"__init__"}
    assert parts(pathlib.Path("factorization", "rdoq", "spectra", "cpu.py")) == {"factorization", "runtime"}
    assert "numba.cuda" in imports(pathlib.Path("runtime", "cuda.py"))


@pytest.mark.parametrize("part", ALLOWED)
def test_parts_import_what_lies_below_them(part):
    for module in MODULES:
        if module.parts[0] == part:
            assert parts(module) <= ALLOWED[part], module


def test_the_format_needs_numpy_and_the_standard_library():
    allowed = {"imfnb", "numpy", *sys.stdlib_module_names}
    for module in MODULES:
        if module.parts[0] in ("format", "layout.py", "errors.py"):
            assert {name.split(".")[0] for name in imports(module)} <= allowed, module


def test_one_module_imports_cuda():
    """But for what has no public name, by its string where it is needed."""
    for module in MODULES:
        if module.as_posix() not in ("runtime/cuda.py", "runtime/cuda_intrinsics.py"):
            for name in imports(module):
                assert not name.startswith(("numba.cuda", "numba_cuda", "cuda.", "cuda_")), module


def test_numba_stays_in_kernels():
    for module in MODULES:
        if module.parts[0] != "runtime" and not (module.parts[0] in STAGES and module.stem in KERNELS):
            assert not {name.split(".")[0] for name in imports(module)} & {"numba", "llvmlite"}, module


def test_parts_whose_changes_leave_kernels_alone_have_none():
    """The digest that names the folder of compiled kernels passes these parts over; ALLOWED keeps them from stages."""
    assert {path.parts[0] for path in MODULES if len(path.parts) > 1} >= _NO_KERNELS
    for module in MODULES:
        if module.parts[0] in _NO_KERNELS:
            for name in imports(module):
                assert name.split(".")[0] not in ("numba", "llvmlite"), module
                assert not name.startswith(("imfnb.runtime.jit", "imfnb.runtime.cuda", "imfnb.runtime.vectors")), module


def test_the_laboratory_patches_nothing():
    """Stages are swapped through the runner: no attribute of a module is set."""
    for module in MODULES:
        if module.parts[0] == "evaluate":
            bound = set()
            for node in ast.walk(tree(module)):
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    bound |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
            for node in ast.walk(tree(module)):
                if isinstance(node, ast.Name):
                    assert node.id not in ("setattr", "delattr", "globals"), module
                elif isinstance(node, ast.Attribute):
                    assert node.attr not in ("__dict__", "modules"), module
                    if isinstance(node.ctx, (ast.Store, ast.Del)):
                        assert not (isinstance(node.value, ast.Name) and node.value.id in bound), module


def test_no_module_is_called_as_the_entry_point():
    """`python -m imfnb` runs `__main__`; beside it `main` would be taken for it."""
    assert pathlib.Path("__main__.py") in MODULES
    assert pathlib.Path("main.py") not in MODULES
