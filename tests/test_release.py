"""What a release says of itself in several places agrees, and its archives hold what they should."""

from __future__ import annotations

import configparser
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import imfnb
from imfnb.format.container import VERSION

CHECKOUT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (CHECKOUT / "setup.cfg").is_file(), reason="takes a checkout, or an sdist")

#: Data of the format beside its modules.
DATA = ("FORMAT.md", "states.bin", "neural_states.bin", "filters.bin", "filters_short.bin", "network.bin", "rans.bin")

#: A requirement: the name, a lower bound or a version, and where it is needed.
REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[\w,]+\])?\s*(>=|==)\s*([\w.*]+)\s*(?:;.*)?")


def text(name: str) -> str:
    return (CHECKOUT / name).read_text(encoding="utf-8")


def load(name: str) -> dict:
    """A YAML file."""
    return pytest.importorskip("yaml").safe_load(text(name))


def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read_string(text("setup.cfg"))
    return parser


def lines(section: str, key: str) -> list[str]:
    """The lines of a value in setup.cfg."""
    return [line for line in setup()[section][key].splitlines() if line and not line.startswith("#")]


def bounds(requirements: list[str]) -> dict[str, str]:
    """Lower bounds by name; what is pinned exactly has none."""
    found = [REQUIREMENT.fullmatch(line) for line in requirements]
    assert all(found), requirements
    return {match[1].lower(): match[3] for match in found if match[2] == ">="}


def pythons_tested() -> list[str]:
    """Versions of Python that the metadata name."""
    return [found[1] for line in lines("metadata", "classifiers") if (found := re.search(r":: (3\.\d+)$", line))]


# ------------------------------------------------------------------------------------------------------------- versions


def test_versions_agree():
    _, version, date = re.search(r"^## (\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d))$", text("CHANGELOG.md"), re.M).groups()
    assert version == imfnb.__version__
    citation = load("CITATION.cff")
    assert str(citation["version"]) == version and str(citation["date-released"]) == date
    assert load("recipe/recipe.yaml")["context"]["version"] == version


def test_changelog():
    """Versions and their dates fall, kinds of changes are those of Keep a Changelog, and formats are named."""
    heads = re.findall(r"^## (.*)$", text("CHANGELOG.md"), re.M)
    found = [
        re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)", head) for head in heads if head != "[Unreleased]"
    ]
    assert len(found) >= 2 and all(found)
    assert found == sorted(found, key=lambda match: (tuple(map(int, match.groups()[:3])), match[4]), reverse=True)
    kinds = set(re.findall(r"^### (.*)$", text("CHANGELOG.md"), re.M))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    series = ".".join(imfnb.__version__.split(".")[:2])
    row = re.search(rf"^\| {re.escape(series)} \| (\d+) \| ([\d, ]+) \|$", text("CHANGELOG.md"), re.M)
    assert row and int(row[1]) == VERSION and row[2] == ", ".join(map(str, range(1, VERSION + 1)))


def test_citation():
    """The software, whose authors are an entity, and the paper whose method it is."""
    citation = load("CITATION.cff")
    assert citation["type"] == "software" and citation["license"] == setup()["metadata"]["license_expression"]
    assert [author["name"] for author in citation["authors"]] == [setup()["metadata"]["author"]]
    (paper,) = citation["references"]
    names = " ".join(text("README.md").split())
    for author in paper["authors"]:
        assert f"{author['given-names']} {author['family-names']}" in names
    assert paper["title"] in names and "arXiv:2408.12691" in names and paper["url"].endswith("2408.12691")


# --------------------------------------------------------------------------------------------------------- requirements


def test_pythons_agree():
    """The oldest and all others in setup.cfg are those that hosted CI, the recipe and the tools speak of."""
    pythons = pythons_tested()
    assert pythons == [f"3.{minor}" for minor in range(int(pythons[0][2:]), int(pythons[-1][2:]) + 1)]
    assert setup()["options"]["python_requires"] == f">={pythons[0]}"
    assert load(".github/workflows/ci.yml")["jobs"]["quick"]["strategy"]["matrix"]["python"] == pythons
    assert load("recipe/recipe.yaml")["context"]["python_min"] == pythons[0]
    assert f"Python {pythons[0]} to {pythons[-1]}" in text("CONTRIBUTING.md")
    assert f'python_version = "{pythons[0]}"' in text("pyproject.toml")
    assert f'target-version = "py{pythons[0].replace(".", "")}"' in text("pyproject.toml")


def test_oldest_versions_are_the_lower_bounds():
    pins = dict(line.split("==") for line in text(".ci/oldest.txt").splitlines() if not line.startswith("#"))
    extras = [bounds(lines("options.extras_require", extra)) for extra in setup()["options.extras_require"]]
    needed = bounds(lines("options", "install_requires"))
    wanted = [needed, *(bounds(lines("options.extras_require", extra)) for extra in ("tiff", "eval"))]
    assert set().union(*wanted) <= pins.keys()
    for name, pin in pins.items():
        found = {group[name] for group in (needed, *extras) if name in group}
        assert found == {pin}, name


def test_recipe_needs_what_the_package_needs():
    recipe = load("recipe/recipe.yaml")
    run = [line for line in recipe["requirements"]["run"] if not line.startswith("python ")]
    assert dict(line.split(" >=") for line in run) == bounds(lines("options", "install_requires"))
    (backend,) = re.findall(r'requires = \["setuptools>=([\d.]+)"\]', text("pyproject.toml"))
    assert f"setuptools >={backend}" in recipe["requirements"]["host"]
    assert bounds(lines("options.extras_require", "test"))["setuptools"] == backend
    assert recipe["build"]["python"]["entry_points"] == lines("options.entry_points", "console_scripts")
    about, parser = recipe["about"], setup()["metadata"]
    assert (about["summary"], about["license"]) == (parser["description"], parser["license_expression"])


def test_hooks_have_the_pinned_versions():
    pins = {line for line in lines("options.extras_require", "dev") if "==" in line}
    used = {
        requirement
        for repository in load(".pre-commit-config.yaml")["repos"]
        for hook in repository["hooks"]
        for requirement in hook["additional_dependencies"]
        if "==" in requirement
    }
    assert used and used <= pins
    (ruff,) = (pin for pin in pins if pin.startswith("ruff"))
    assert f'required-version = "{ruff.removeprefix("ruff")}"' in text("pyproject.toml")


# ------------------------------------------------------------------------------------------------------------- archives


def sources() -> list[str]:
    """Files of the checkout as git knows them, or of an unpacked sdist, but for what tests and tools leave there."""
    if (CHECKOUT / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
        return [name for name in listed.stdout.split("\0") if name and (CHECKOUT / name).exists()]
    manifest = next(CHECKOUT.glob("*.egg-info/SOURCES.txt"), None)
    if manifest is None:
        pytest.skip("takes a git checkout, or an unpacked sdist")
    names = manifest.read_text(encoding="utf-8").splitlines()
    return [name for name in names if ".egg-info/" not in name and (CHECKOUT / name).exists()]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    """An sdist of the checkout, unpacked; made from a copy, since building writes into its folder."""
    try:
        new = int(metadata.version("setuptools").partition(".")[0]) >= 77
    except metadata.PackageNotFoundError:
        new = False
    if not new or importlib.util.find_spec("pip") is None:
        pytest.skip("takes pip and setuptools 77 (the extra 'test' has them)")
    folder = tmp_path_factory.mktemp("sdist")
    for name in sources():
        target = folder / "checkout" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, target)
    # What a run of the tests leaves behind is not to be found in a release.
    for name in ("tests/__pycache__/test.cpython-311.pyc", "examples/.hypothesis/unicode", "benchmarks/kernel.nbi"):
        (folder / "checkout" / name).parent.mkdir(exist_ok=True)
        (folder / "checkout" / name).write_bytes(b"")
    code = "from setuptools import build_meta; build_meta.build_sdist(r'..')"
    run(sys.executable, "-W", "error::DeprecationWarning:setuptools", "-c", code, folder=folder / "checkout")
    (archive,) = folder.glob("*.tar.gz")
    assert archive.name == f"imfnb-{imfnb.__version__}.tar.gz"
    with tarfile.open(archive) as file:
        file.extractall(folder / "unpacked", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return folder / "unpacked" / archive.name.removesuffix(".tar.gz")


def run(*command: object, folder: Path, **variables: str) -> str:
    """Output of a command that must succeed, without this checkout on its path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    done = subprocess.run(tuple(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.thorough
def test_sdist_is_the_checkout(sdist):
    found = {path.relative_to(sdist).as_posix() for path in sdist.rglob("*") if path.is_file()}
    made = {name for name in found if name == "PKG-INFO" or ".egg-info/" in name}
    assert found - made == set(sources())
    assert (sdist / "tests" / "golden" / "sha256.json").is_file()
    assert os.name == "nt" or os.access(sdist / ".ci" / "oldest", os.X_OK)


@pytest.mark.slow
@pytest.mark.thorough
def test_sdist_passes_its_tests(sdist):
    """Those that read what lies beside them: the rest needs no files but the package's."""
    tests = ("tests/test_release.py", "tests/test_golden.py", "tests/test_layers.py", "-k", "not wheel and not sdist")
    leave = (
        "--deselect",
        "tests/test_golden.py::test_golden_file_decodes_to_the_same_pixels",
        "-m",
        "quick and not jit",
    )
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, *leave)
    output = run(*command, folder=sdist, PYTHONPATH=str(sdist))
    assert int(re.search(r"(\d+) passed", output)[1]) >= 5


@pytest.mark.thorough
def test_wheel(sdist, tmp_path):
    """A wheel of the sdist has the package, its data and its metadata, and nothing else."""
    pip = (sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "wheel", "--no-index")
    output = run(*pip, "--no-deps", "--no-build-isolation", "-v", "-w", tmp_path, sdist, folder=tmp_path)
    assert "Deprecat" not in output
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"imfnb-{imfnb.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        (about,) = (file.read(name).decode() for name in names if name.endswith("METADATA"))
    package = {name for name in names if not name.startswith(f"imfnb-{imfnb.__version__}.dist-info/")}
    assert package == {name for name in sources() if name.startswith("imfnb/")}
    data = {name for name in package if not name.endswith(".py")}
    assert {f"imfnb/{name}" for name in ("py.typed", *("format/" + part for part in DATA))} <= data
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    head, _, description = about.partition("\n\n")
    fields = head.splitlines()
    assert f"Version: {imfnb.__version__}" in fields and "License-Expression: BSD-3-Clause" in fields
    assert "Author: The imfnb developers" in fields and "Description-Content-Type: text/markdown" in fields
    assert description.startswith("# imfnb\n")
