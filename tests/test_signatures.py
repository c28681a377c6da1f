"""Every backend of a stage has the same functions, so that a pipeline can call whichever it runs on."""

from __future__ import annotations

import importlib
import inspect
import pathlib
from types import ModuleType

import pytest

import imfnb

PACKAGE = pathlib.Path(imfnb.__file__).parent

#: Every stage, by its package.
STAGES = (
    "color",
    "entropy",
    "entropy.columns",
    "entropy.maps",
    "entropy.neural",
    "entropy.rans",
    "entropy.residual",
    "factorization.bcd",
    "factorization.init",
    "factorization.rdoq",
    "factorization.rdoq.basis_search",
    "factorization.rdoq.spectra",
    "fill",
    "lapped",
    "masking",
    "network",
    "patches",
    "restoration",
    "spectral",
)

#: Stages that have no counterpart on the GPU: they work on the host while it goes on. (What `entropy.rans` has there,
#: its `cuda_stack`, decodes many segments by one call, which nothing else does.)
HOST_ONLY = {
    "entropy",
    "entropy.columns",
    "entropy.maps",
    "entropy.neural",
    "entropy.rans",
    "entropy.residual",
    "factorization.rdoq.basis_search",
    "factorization.rdoq.spectra",
    "fill",
}

#: The modules of a stage; the first is the definition.
BACKENDS = ("reference", "cpu", "cuda")


def backends(stage: str) -> list[ModuleType]:
    """The modules of a stage, the reference first."""
    folder = PACKAGE.joinpath(*stage.split("."))
    names = [name for name in BACKENDS if (folder / f"{name}.py").exists()]
    assert names == list(BACKENDS[:2] if stage in HOST_ONLY else BACKENDS)
    return [importlib.import_module(f"imfnb.{stage}.{name}") for name in names]


def parameters(function: object) -> list[tuple[str, object, object]]:
    """Name, kind and default of every parameter; compiled functions are seen through."""
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def test_every_stage_is_listed():
    found = {".".join(path.parent.relative_to(PACKAGE).parts) for path in PACKAGE.rglob("reference.py")}
    assert found == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_backends_have_the_same_functions(stage):
    reference, *others = backends(stage)
    names = reference.__all__
    assert names and len(set(names)) == len(names)
    for module in others:
        assert sorted(module.__all__) == sorted(names), module.__name__
    for name in names:
        definition = getattr(reference, name)
        if not inspect.isfunction(inspect.unwrap(definition)):
            continue  # a constant of the backends, such as a dtype, may differ
        assert inspect.getdoc(definition), name
        for module in others:
            assert parameters(getattr(module, name)) == parameters(definition), (module.__name__, name)
