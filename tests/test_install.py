"""Installing, replacing and removing the package, and importing it from a zip archive."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import imfnb

pytestmark = pytest.mark.thorough

PACKAGE = Path(imfnb.__file__).parent
CHECKOUT = Path(__file__).parents[1]

#: Calls a kernel, which is compiled unless the JIT is disabled.
KERNEL = """
import numpy as np
import imfnb
from imfnb.color import cpu
image = np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3)
planes = [np.empty((1, *shape), np.uint8) for shape in ((8, 9), (4, 5), (4, 5))]
cpu.rgb_to_ycbcr(image[None], *planes)
print(int(planes[0].sum()), imfnb.__file__, imfnb.show_config()["kernel cache"])
"""

#: Encodes and decodes too, with the reference, which needs no compiler.
CODE = f"""{KERNEL}
data = imfnb.encode(image, step=40, device="reference")
assert imfnb.decode(data, device="reference").shape == image.shape
"""


def run(*command: object, folder: Path, **environment: str) -> str:
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NUMBA_CACHE_DIR")}
    env |= {
        "HOME": str(folder / "home"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "LOCALAPPDATA": str(folder / "cache"),
    }
    command = tuple(map(str, command))
    done = subprocess.run(command, cwd=folder, env={**env, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ---------------------------------------------------------------------------------------------------------- installing


def can_build() -> bool:
    """Whether pip and a setuptools that is as new as pyproject.toml asks for are there."""
    try:
        version = int(metadata.version("setuptools").partition(".")[0])
    except metadata.PackageNotFoundError:
        return False
    return importlib.util.find_spec("pip") is not None and version >= 77


@pytest.fixture
def environment(tmp_path):
    """A virtual environment with what this one has, but without imfnb: its Python, its site-packages, a checkout."""
    if not (CHECKOUT / "setup.cfg").is_file() or not can_build():
        pytest.skip("takes a checkout, pip, and setuptools 77 (the extra 'test' has it)")
    venv.create(tmp_path / "venv", symlinks=os.name != "nt", with_pip=False)
    (site,) = (tmp_path / "venv").rglob("site-packages")
    try:
        for folder in dict.fromkeys(
            Path(path) for path in sys.path if path.endswith(("site-packages", "dist-packages"))
        ):
            for path in folder.iterdir() if folder.is_dir() else ():
                if "imfnb" not in path.name and path.suffix != ".pth" and not (site / path.name).exists():
                    (site / path.name).symlink_to(path, target_is_directory=path.is_dir())
    except OSError:
        pytest.skip("takes symbolic links")
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    shutil.copytree(PACKAGE, checkout / "imfnb", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, checkout)
    return tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin"), site, checkout


def test_both_ways_one_after_the_other(environment, tmp_path):
    """README's two commands, and removal: nothing stays in site-packages, and nothing there hides the checkout."""
    commands, site, checkout = environment
    python, pip = commands / "python", ("-m", "pip", "--isolated", "--disable-pip-version-check", "-q")
    install = (*pip, "install", "--no-index", "--no-deps", "--no-build-isolation")
    home = tmp_path / "home"
    home.mkdir()
    run(python, *install, checkout, folder=tmp_path)
    _, file, cache = run(python, "-c", CODE, folder=tmp_path).split()
    assert Path(file).parent == site / "imfnb" and (site / "imfnb" / "format" / "states.bin").is_file()
    assert Path(cache).parent == tmp_path / "cache" / "imfnb" / "kernels"
    assert not list(site.glob("imfnb/**/*.nb*"))
    assert os.environ.get("NUMBA_DISABLE_JIT", "0") != "0" or list(Path(cache).glob("color.cpu.*.nbc"))
    run(python, *install, "-e", checkout, folder=tmp_path)
    assert not (site / "imfnb").exists()
    _, file, again = run(python, "-c", CODE, folder=tmp_path).split()
    assert Path(file).parent == checkout / "imfnb" and again == cache
    assert f"imfnb: {imfnb.__version__}\n" in run(commands / "imfnb", "config", folder=tmp_path)
    run(python, *pip, "uninstall", "-y", "imfnb", folder=tmp_path)
    assert not [path for path in site.iterdir() if "imfnb" in path.name]
    code = "import importlib.util; print(importlib.util.find_spec('imfnb'))"
    assert run(python, "-c", code, folder=tmp_path) == "None\n"
    # Earlier versions kept their kernels in `__pycache__`, where pip left them behind.
    (site / "imfnb" / "color" / "__pycache__").mkdir(parents=True)
    (site / "imfnb" / "color" / "__pycache__" / "cpu.f-1.py311.nbi").write_text("")
    run(python, *install, "-e", checkout, folder=tmp_path)
    found = run(python, "-c", "import imfnb; print(imfnb.__file__)", folder=tmp_path)
    assert Path(found.strip()).parent == checkout / "imfnb"


# ----------------------------------------------------------------------------------------------------------------- zip


@pytest.fixture
def archive(tmp_path):
    """The package in an archive, below a folder, as zipapp and PySpark's --py-files have it."""
    with zipfile.ZipFile(tmp_path / "archive.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for path in PACKAGE.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                file.write(path, Path("lib", "imfnb", path.relative_to(PACKAGE)))
    return tmp_path / "archive.zip"


def test_import_from_a_zip(archive, tmp_path):
    """With plain Python kernels; data of the package are found, the command line works."""
    path = {"PYTHONPATH": str(archive / "lib")}
    _, file, cache = run(
        sys.executable, "-W", "error", "-c", CODE, folder=tmp_path, NUMBA_DISABLE_JIT="1", **path
    ).split()
    assert Path(file) == archive / "lib" / "imfnb" / "__init__.py" and Path(cache).is_dir()
    assert f"kernel cache: {cache}\n" in run(
        sys.executable, "-W", "error", "-m", "imfnb", "config", folder=tmp_path, **path
    )


@pytest.mark.jit
def test_kernels_of_a_zip(archive, tmp_path):
    """They are kept as others are, those of the same sources in a folder included."""
    code = KERNEL + "kernels = [kernel for kernel in vars(cpu).values() if hasattr(kernel, 'stats')]\n"
    code += "print(sum(sum(kernel.stats.cache_hits.values()) for kernel in kernels))"
    found = []
    for path in (archive / "lib", archive / "lib", PACKAGE.parent):
        command = (sys.executable, "-W", "error", "-c", code)
        total, file, cache, hits = run(*command, folder=tmp_path, PYTHONPATH=str(path)).split()
        assert Path(file).parent == path / "imfnb"
        found.append((total, cache, hits))
    assert found[1] == found[2] and found[0][:2] == found[1][:2] and found[0][2] == "0" < found[1][2]
