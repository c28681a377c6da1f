"""The documents: every public name has its place, docstrings are numpydoc's, and what the pages show runs."""

from __future__ import annotations

import configparser
import doctest
import importlib.util
import inspect
import os
import pathlib
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator

import pytest

import imfnb
from imfnb import baselines, limits, metrics
from imfnb.baselines import arrays

CHECKOUT = pathlib.Path(__file__).parents[1]
DOCS = CHECKOUT / "docs"
PACKAGE = pathlib.Path(imfnb.__file__).parent
PAGES = sorted([*DOCS.glob("*.md"), *(DOCS / "guides").glob("*.md")])

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="takes a checkout, or an sdist")

#: A block of Python in a page, and what a comment before it says: packages that it needs, or why it is not run.
BLOCK = re.compile(r"(?:^<!-- (needs|not run): ([^\n]*) -->\n)?^```python\n(.*?)^```$", re.M | re.S)

#: What numpydoc asks of functions alone: an example, and See Also.
OF_FUNCTIONS = {"EX01", "SA01"}


def documented() -> Iterator[str]:
    """Names of what has an entry of its own in the pages of the API."""
    for page in sorted((DOCS / "api").glob("*.rst")):
        module = ""
        for kind, name in re.findall(r"^\.\. (\w+):: ([\w.]+)$", page.read_text(encoding="utf-8"), re.M):
            if kind in ("automodule", "currentmodule"):
                module = name
            elif kind in ("autofunction", "autoclass", "autoexception"):
                yield f"{module}.{name}"


NAMES = sorted(documented())


@pytest.mark.parametrize("module", [imfnb, metrics, baselines, arrays, limits], ids=lambda module: module.__name__)
def test_every_public_name_is_in_the_pages(module):
    assert {f"{module.__name__}.{name}" for name in module.__all__} <= set(NAMES)


def test_every_study_and_plugin_is_in_the_pages():
    studies = {path.stem for path in (PACKAGE / "evaluate").glob("*.py") if "\ndef run(" in path.read_text("utf-8")}
    assert studies - {"command"} == {name.split(".")[2] for name in NAMES if name.endswith(".run")}
    plugins = {path.stem for path in (PACKAGE / "plugins").glob("[!_]*.py")}
    page = (DOCS / "api" / "plugins.rst").read_text(encoding="utf-8")
    assert plugins == set(re.findall(r"^\.\. automodule:: imfnb\.plugins\.(\w+)$", page, re.M))


def test_names_stand_once():
    assert len(NAMES) == len(set(NAMES)) > 70


def has(module: str) -> bool:
    """Whether a module is installed, and, of a plugin, its host: some change others when they are imported."""
    if module.startswith("imfnb.plugins."):
        try:
            importlib.import_module(module)
        except ImportError:
            return False
    return importlib.util.find_spec(module) is not None


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_are_valid(name):
    validate = pytest.importorskip("numpydoc.validate").validate
    module, _, attribute = name.rpartition(".")
    if not has(module):
        pytest.skip("the host of this plugin is not installed")
    left_out = set(runpy.run_path(str(DOCS / "conf.py"))["numpydoc_validation_checks"])
    if inspect.isfunction(getattr(importlib.import_module(module), attribute)):
        left_out -= OF_FUNCTIONS
    assert [error for error in validate(name)["errors"] if error[0] not in left_out] == []


@pytest.mark.jit
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("imfnb.plugins.")])
def test_examples_of_plugins_run(name):
    """Those of all other names are run by test_import.py."""
    module, _, attribute = name.rpartition(".")
    if not has(module):
        pytest.skip("the host of this plugin is not installed")
    runner = doctest.DocTestRunner()
    for example in doctest.DocTestFinder(recurse=False).find(getattr(importlib.import_module(module), attribute), name):
        runner.run(example)
    assert runner.failures == 0


def script(page: pathlib.Path) -> str:
    """The blocks of Python of a page that can run here, each on the lines where it stands there."""
    text, out = page.read_text(encoding="utf-8"), []
    for match in BLOCK.finditer(text):
        kind, words, source = match.groups()
        if kind == "not run" or (kind and not all(has(name.strip()) for name in words.split(","))):
            continue
        line = text.count("\n", 0, match.start(3))
        out += [""] * (line - len(out)) + source.splitlines()
    return "\n".join(out)


def test_blocks_are_found():
    assert len(PAGES) > 10
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert text.count("```python\n") == len(BLOCK.findall(text)), page
        assert text.count("<!--") == sum(bool(kind) for kind, _, _ in BLOCK.findall(text)), page


#: Runs the scripts that it is given, each in an empty folder, whatever becomes of those before it.
RUNNER = """
import os, runpy, sys, traceback

failed = []
for path in sys.argv[1:]:
    os.mkdir(path + ".files")
    os.chdir(path + ".files")
    try:
        runpy.run_path(path)
    except Exception:
        traceback.print_exc()
        failed.append(os.path.basename(path))
sys.exit(f"failed: {', '.join(failed)}" if failed else 0)
"""


@pytest.mark.jit
@pytest.mark.slow
def test_pages_run(tmp_path):
    """In a process of its own, since plugins enter themselves into tables of others."""
    files = []
    for page in PAGES:
        source = script(page)
        if source:
            files.append(tmp_path / f"{page.stem}.py")
            files[-1].write_text(source, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path)), "MPLBACKEND": "agg"}
    command = [sys.executable, "-c", RUNNER, *map(str, files)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert len(files) > 8 and result.returncode == 0, result.stdout + result.stderr


def test_links_of_the_readme():
    """They lead somewhere; and where the project has a public home they are absolute, as index pages need them."""
    links = re.findall(r"\]\(([^)\s]+)\)", (CHECKOUT / "README.md").read_text(encoding="utf-8"))
    relative = [link for link in links if not re.match(r"https?://|#", link)]
    assert links and all((CHECKOUT / link.split("#")[0]).exists() for link in relative)
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg", encoding="utf-8")
    urls = dict(line.split(" = ") for line in setup.get("metadata", "project_urls", fallback="").split("\n") if line)
    if urls.keys() & {"Homepage", "Repository", "Source"}:
        assert relative == []
