"""The package from outside: what importing costs, which names there are, what their documentation says."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pathlib
import re
import subprocess
import sys

import pytest
from scipy import ndimage

import imfnb
from imfnb import baselines, limits, metrics
from imfnb.baselines import arrays

FOLDER = pathlib.Path(imfnb.__file__).parent
FUNCTIONS = [
    getattr(module, name)
    for module in (imfnb, metrics, baselines, arrays, limits)
    for name in module.__all__
    if inspect.isfunction(getattr(module, name))
]
CLASSES = [getattr(imfnb, name) for name in imfnb.__all__ if inspect.isclass(getattr(imfnb, name))]


def modules_after(statement: str) -> set[str]:
    """Names of the modules that a fresh interpreter has loaded after a statement."""
    code = f"import sys; sys.path.insert(0, {str(FOLDER.parent)!r}); {statement}; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    return set(result.stdout.split())


def test_import_loads_nothing_else():
    loaded = modules_after("import imfnb")
    assert "imfnb" in loaded
    assert not loaded & {"numpy", "numba", "scipy", "imageio", "PIL", "skimage", "matplotlib", "imfnb.codec"}


def test_names_and_errors_need_no_kernels():
    """Catching errors, listing names and building the command line's parser leave Numba alone."""
    loaded = modules_after("import imfnb, imfnb.cli; imfnb.ImfError, dir(imfnb); imfnb.cli.parser()")
    assert not loaded & {"numba", "scipy", "PIL"}


def test_encoding_needs_numba_only_for_the_kernels():
    loaded = modules_after("import imfnb; imfnb.encode, imfnb.decode, imfnb.info, imfnb.factorize")
    assert "imfnb.codec" in loaded and not loaded & {"numba", "scipy"}


@pytest.mark.parametrize("name", imfnb.__all__)
def test_public_names(name):
    assert name in dir(imfnb)
    value = getattr(imfnb, name)
    assert value is getattr(importlib.import_module(value.__module__), name)
    assert getattr(imfnb, name) is value


def test_names_of_the_contract():
    wanted = {"encode", "decode", "info", "imread", "imwrite", "factorize", "show_config"}
    wanted |= {"ImfError", "FormatError", "OptionError", "DeviceError", "LimitError"}
    assert wanted <= set(imfnb.__all__) and sorted(imfnb.__all__) == list(imfnb.__all__)
    assert "metrics" in dir(imfnb) and imfnb.metrics is metrics
    assert imfnb.__getattr__("metrics") is metrics  # loaded on first use, where nobody has imported it yet
    assert re.fullmatch(r"\d+\.\d+\.\d+", imfnb.__version__)


def test_unknown_name():
    with pytest.raises(AttributeError, match="module 'imfnb' has no attribute 'compress'"):
        _ = imfnb.compress


def test_star_import():
    names: dict = {}
    exec("from imfnb import *", names)
    assert set(imfnb.__all__) <= set(names)


def test_package_is_typed():
    assert (FOLDER / "py.typed").is_file()
    for function in FUNCTIONS:
        signature = inspect.signature(function)
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values()), function


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: str(path.relative_to(FOLDER)))
@pytest.mark.thorough
def test_modules(path):
    """Each module says what it is, its `__all__` is true, no validation hides in an assert, and nothing prints."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.Assert), node.lineno
        assert not (isinstance(node, ast.Name) and node.id == "print"), node.lineno
    if path.name == "__main__.py":
        return
    parts = path.relative_to(FOLDER.parent).with_suffix("").parts
    if parts[1:2] == ("plugins",) and parts[-1] in ("numcodecs", "zarr"):  # not for every Python
        pytest.importorskip(parts[-1])
    module = importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    assert module.__doc__ and module.__doc__.strip()
    for name in getattr(module, "__all__", []):
        assert hasattr(module, name)


def sections(function) -> dict[str, str]:
    """The sections of a numpydoc docstring."""
    parts = re.split(r"^(\w[\w ]*)\n-+$", inspect.getdoc(function), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_functions_are_documented(function):
    """A summary line, every parameter by its name, and what is returned and raised."""
    found = sections(function)
    assert inspect.getdoc(function).splitlines()[0].endswith(".")
    assert "Returns" in found
    parameters = inspect.signature(function).parameters
    if not parameters:
        return
    documented = re.findall(r"^([\w*][\w*, ]*?) : |^(\*\*\w+)$", found["Parameters"], flags=re.MULTILINE)
    names = {name.strip().lstrip("*") for pair in documented for group in pair for name in group.split(",") if name}
    assert names == set(parameters)
    assert "Raises" in found


@pytest.mark.parametrize(
    "error", [found for found in CLASSES if issubclass(found, BaseException)], ids=lambda error: error.__name__
)
def test_errors_are_documented(error):
    assert inspect.getdoc(error).endswith(".") and error.__doc__ != error.__mro__[1].__doc__


#: What the laboratory shows; those that draw or compile take a second.
LABORATORY = [
    *("curves.compare", "curves.document", "curves.mean_at", "curves.read_published", "curves.value_at"),
    *("ablation.variants", "arrays.codecs_of_arrays", "classification.load_classifier", "classification.read_labels"),
    *("collage.busiest_crops", "data.pictures", "parts.without", "records.measure", "scenes.scenes"),
    "study.codecs_by_name",
]
STUDIES = ["ablation", "arrays", "classification", "collage", "factor_maps", "rate_distortion", "timing"]


def check_examples(found) -> None:
    """Run the examples of a docstring."""
    runner = doctest.DocTestRunner()
    examples = doctest.DocTestFinder(recurse=False).find(found, found.__name__)
    assert sum(len(example.examples) for example in examples) >= 2
    for example in examples:
        runner.run(example)
    assert runner.failures == 0


@pytest.mark.parametrize(
    "found",
    [*(function for function in FUNCTIONS if function is not imfnb.warmup), imfnb.Metadata, baselines.Codec],
    ids=lambda found: f"{found.__module__}.{found.__name__}",
)
def test_examples_run(found):
    if found is metrics.ssimulacra2 and "axes" not in inspect.signature(ndimage.gaussian_filter).parameters:
        pytest.skip("the package ssimulacra2 needs SciPy 1.11")
    check_examples(found)


@pytest.mark.parametrize("name", LABORATORY)
def test_examples_of_the_laboratory_run(name):
    module, function = name.split(".")
    check_examples(getattr(importlib.import_module(f"imfnb.evaluate.{module}"), function))


@pytest.mark.jit
@pytest.mark.thorough
@pytest.mark.parametrize("study", STUDIES)
def test_examples_of_studies_run(study):
    check_examples(importlib.import_module(f"imfnb.evaluate.{study}").run)


@pytest.mark.jit
@pytest.mark.thorough
def test_example_of_warmup_runs():
    check_examples(imfnb.warmup)
