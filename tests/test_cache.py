"""The kernel cache: where it is, when its kernels are stale, and that, damaged or missing, it never breaks a call."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import pytest

import imfnb
from imfnb import _warmup
from imfnb.cli import main
from imfnb.runtime import cache as _cache
from imfnb.runtime import jit as _jit

pytestmark = pytest.mark.thorough

jit = pytest.mark.jit

#: A kernel that calls one in another file, for copies of the package.
OUTER = """from ._inner import inner
from .runtime.jit import kernel


@kernel()
def outer(x):
    return inner(x)
"""
INNER = "from .runtime.jit import kernel\n\n\n@kernel()\ndef inner(x):\n    return x + 1\n"

#: Prints what it returns, how often it was found in the cache, and where it is kept.
CALL = "from imfnb._outer import outer; print(outer(3), sum(outer.stats.cache_hits.values()), outer._cache.cache_path)"


def run(cache: Path, code: str, folder: Path, **environment: str) -> str:
    env = {**os.environ, "NUMBA_CACHE_DIR": str(cache), **environment}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A copy of the package, with kernels that compile quickly."""
    folder = tmp_path_factory.mktemp("pristine")
    shutil.copytree(Path(imfnb.__file__).parent, folder / "imfnb", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "imfnb" / "_outer.py").write_text(OUTER)
    (folder / "imfnb" / "_inner.py").write_text(INNER)
    return folder


@pytest.fixture(scope="module")
def filled(pristine, tmp_path_factory):
    """A folder with what its kernels are compiled to."""
    cache = tmp_path_factory.mktemp("cache")
    assert use(pristine, cache) == "4"
    return cache


def use(pristine: Path, cache: Path, before: str = "", after: str = "") -> str:
    """What the kernel returns in a process that uses a folder."""
    code = f"{before}\nfrom imfnb._outer import outer\nprint(outer(3))\n{after}"
    return run(cache, code, pristine).strip()


def files(cache: Path, suffix: str) -> list[Path]:
    return [path for path in cache.rglob("*") if path.suffix == suffix]


@jit
def test_kept_kernels_do_without_the_compiler(pristine, tmp_path):
    """What only a compilation needs, SciPy's linear algebra among it, is imported by the first one."""
    code = """
import sys
import numpy as np
from imfnb.color import cpu
image = np.arange(60, dtype=np.uint8).reshape(1, 4, 5, 3)
y, cb, cr = (np.zeros(shape, np.uint8) for shape in ((1, 4, 5), (1, 2, 3), (1, 2, 3)))
cpu.rgb_to_ycbcr(image, y, cb, cr)
print(int(y.sum()))
"""
    more = """
from imfnb.runtime.jit import kernel
print("scipy.linalg" in sys.modules, "numba.np.arraymath" in sys.modules)

@kernel()
def total(values):
    found = np.zeros(2)
    for n in range(values.size):
        found[n % 2] += np.sin(values[n])
    return found.sum()

print(round(total(np.ones(4)), 3), "scipy.linalg" in sys.modules)
"""
    said = run(tmp_path, code, pristine)
    assert run(tmp_path, code + more, pristine) == f"{said}False False\n3.366 True\n"


@jit
@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize(
    "content", ["empty", pytest.param("half", marks=pytest.mark.slow), pytest.param("garbage", marks=pytest.mark.slow)]
)
def test_damaged_files(pristine, filled, tmp_path, suffix, content):
    assert files(filled, suffix)
    for path in files(filled, ".nbi") + files(filled, ".nbc"):
        data = path.read_bytes()
        if path.suffix == suffix:
            data = {"empty": b"", "half": data[: len(data) // 2], "garbage": bytes(reversed(data))}[content]
        copy = tmp_path / path.relative_to(filled)
        copy.parent.mkdir(exist_ok=True, parents=True)
        copy.write_bytes(data)
    assert use(pristine, tmp_path) == use(pristine, tmp_path) == "4"


@jit
@pytest.mark.slow
def test_cache_that_is_a_file(pristine, tmp_path):
    path = tmp_path / "file"
    path.write_text("not a folder")
    assert use(pristine, path) == "4"


@jit
@pytest.mark.slow
def test_full_disk(pristine, tmp_path):
    full = "import os\ndef full(*a): raise OSError(28, 'No space left on device')\nos.replace = full"
    say = "from imfnb.runtime.cache import unkept\nassert len(unkept) >= 1 and 'No space left' in str(unkept)"
    assert use(pristine, tmp_path, full, say) == "4"


@jit
def test_two_processes_at_once(pristine, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(use, [pristine] * 2, [tmp_path] * 2)) == ["4"] * 2


@jit
def test_warmup_calls_every_kernel():
    """All that Python calls: kernels that only other kernels call may be part of their machine code in the cache."""
    code = """
import importlib
import pathlib
import imfnb
from imfnb.runtime.vectors import DOTS
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


# ----------------------------------------------------------------------------------------------------- state of sources


@pytest.fixture
def package(pristine, tmp_path):
    shutil.copytree(pristine / "imfnb", tmp_path / "package" / "imfnb")
    return tmp_path / "package" / "imfnb"


def call(package: Path, cache: Path, code: str = CALL, **environment: str) -> list[str]:
    # Without bytecode, which Python may take for that of a source of the same size and the same second.
    return run(cache, code, package.parent, PYTHONDONTWRITEBYTECODE="1", **environment).split()


@jit
def test_an_edit_of_what_a_kernel_calls(package, tmp_path):
    """Another result at once, and both states side by side."""
    found = [call(package, tmp_path / "c") for _ in range(2)]
    for text in (INNER.replace("+ 1", "+ 2"), INNER):
        (package / "_inner.py").write_text(text)
        found += [call(package, tmp_path / "c") for _ in range(2)]
    assert [item[:2] for item in found] == [[*"40"], [*"41"], [*"50"], [*"51"], [*"41"], [*"41"]]
    assert len({path for *_, path in found}) == 2
    assert found[0][2].startswith(str(tmp_path / "c" / "imfnb" / "kernels" / f"{imfnb.__version__}-"))
    assert not files(package, ".nbi") and files(Path(found[0][2]), ".nbi") and files(Path(found[2][2]), ".nbc")


@jit
@pytest.mark.parametrize("before", ["import imfnb", "from imfnb.runtime import cache; cache.places()"])
@pytest.mark.slow
def test_an_edit_while_a_process_runs(package, tmp_path, before):
    """Neither does the process take old code for new, nor leave new code to those after it."""
    old = call(package, tmp_path / "c")
    path = str(package / "_inner.py")
    edit = f"{before}; open({path!r}, 'w').write({INNER.replace('+ 1', '+ 2')!r}); "
    assert call(package, tmp_path / "c", edit + CALL) == ["5", "0", "None"]
    (package / "_inner.py").write_text(INNER)
    assert call(package, tmp_path / "c") == ["4", "1", old[2]]
    say = edit + "import imfnb; print(imfnb.show_config()['kernel cache'])"
    assert " ".join(call(package, tmp_path / "c", say)).endswith(
        f"compiled in every process, since {path} has changed since this process began; start it anew"
    )


@jit
@pytest.mark.slow
def test_versions_side_by_side(package, tmp_path):
    found = [call(package, tmp_path / "c")]
    text = (package / "__init__.py").read_text()
    (package / "__init__.py").write_text(text.replace(f'"{imfnb.__version__}"', '"98.7.6"'))
    found.append(call(package, tmp_path / "c"))
    assert Path(found[1][2]).name.startswith("98.7.6-") and all(Path(path).is_dir() for *_, path in found)


@jit
@pytest.mark.slow
def test_settings_of_numba(package, tmp_path):
    """Kernels without bounds checks do not stand for those with; lists of locators are not for our kernels."""
    cache = tmp_path / "c"
    found = [call(package, cache, **settings) for settings in ({}, {"NUMBA_BOUNDSCHECK": "1"}, {"NUMBA_OPT": "1"})]
    assert len({path for *_, path in found}) == 3 and {hits for _, hits, _ in found} == {"0"}
    assert call(package, cache, NUMBA_CACHE_LOCATOR_CLASSES="InTreeCacheLocator") == ["4", "1", found[0][2]]
    assert not files(package, ".nbi")


@jit
@pytest.mark.slow
def test_kernels_of_others_are_not_kept(package, tmp_path):
    code = "from imfnb.runtime.jit import kernel; f = kernel()(lambda x: x); print(f(1), f.stats.cache_path)"
    assert call(package, tmp_path / "c", code) == ["1", "None"] and not files(tmp_path / "c", ".nbi")


@jit
@pytest.mark.slow
def test_recompile(package, tmp_path):
    code = f"{CALL}; outer.recompile(); print(outer(3))"
    assert call(package, tmp_path / "c", code)[::3] == ["4", "4"]


@jit
@pytest.mark.slow
def test_numba_with_other_parts(package, tmp_path):
    """Kernels are compiled in memory, and `config` says so."""
    code = "import numba.core.caching as parts; cache = parts.FunctionCache; del parts.FunctionCache; "
    code += (
        "import imfnb.runtime.jit; parts.FunctionCache = cache; "
        + CALL
        + "; from imfnb.runtime.jit import describe_cache; print(describe_cache())"
    )
    four, hits, _, *said = call(package, tmp_path / "c", code)
    assert (four, hits) == ("4", "0") and not files(tmp_path / "c", ".nbc")
    assert " ".join(said).startswith(
        f"none; kernels are compiled in every process, since the cache of Numba {numba.__version__}"
    )


def sources(folder: Path, read: float | None = None, archive: Path | None = None) -> _cache.Sources:
    return _cache.Sources(folder, archive and str(archive), time.time() + 60 if read is None else read)


def test_digest_of_sources(tmp_path):
    def write(path: str, text: str) -> str:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
        return sources(tmp_path).digest

    assert sources(tmp_path).problem and sources(tmp_path / "missing").problem
    digests = [write("a.py", "x = 1"), write("a.py", "x = 2"), write("b/c.py", "y"), write("b/d.py", "")]
    (tmp_path / "b" / "c.py").rename(tmp_path / "b" / "cc.py")
    digests += [sources(tmp_path).digest, write("b/e.pyc", "bytecode without a source")]
    assert len(set(digests)) == 6 and all(map(len, digests)) and not sources(tmp_path).problem
    assert write("b/data.txt", "not code") == write("b/__pycache__/cc.pyc", "of a source") == digests[-1]
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as file:
        for path in (*tmp_path.glob("*.py"), *tmp_path.glob("b/**/*")):
            file.write(path, Path("lib", path.relative_to(tmp_path)))
        file.writestr("other.py", "not of the package")
    zipped = sources(tmp_path / "z.zip" / "lib", archive=tmp_path / "z.zip")
    assert zipped.digest == digests[-1] and not zipped.check()
    (tmp_path / "z.zip").write_bytes(b"not an archive")
    assert "has changed" in zipped.check()
    assert "cannot be read" in sources(tmp_path / "z.zip" / "lib", archive=tmp_path / "z.zip").problem


def test_files_that_change(tmp_path):
    """Also with their old size and time of modification, and once seen for ever."""
    path = tmp_path / "a.py"
    path.write_text("x = 1")
    assert "has changed" in sources(tmp_path, read=path.stat().st_ctime - 1).problem
    os.utime(path, (time.time() + 1e6,) * 2)  # by a clock that is ahead: still not changed since it was read
    for thoroughly in (True, False):
        state, status = sources(tmp_path), path.stat()
        assert not state.check() and not state.check(thoroughly)
        path.rename(tmp_path / "b.py")
        assert bool(state.check(thoroughly)) == thoroughly  # no modules imported meanwhile, no look
        (tmp_path / "b.py").rename(path)
        path.write_text("x = 2")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert "has changed" in state.check() and "has changed" in state.check(thoroughly=False)


# --------------------------------------------------------------------------------------------------------------- places


def candidates(monkeypatch, platform: str, **environment: str) -> list[_cache._Candidate]:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(numba.config, "CACHE_DIR", environment.pop("NUMBA_CACHE_DIR", ""))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return list(_cache._candidates())


@pytest.mark.skipif(os.name != "posix", reason="paths of POSIX")
@pytest.mark.parametrize(
    ("platform", "environment", "below"),
    [
        ("linux", {}, "home/.cache"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "home/.cache"),
        ("linux", {"XDG_CACHE_HOME": "{}/xdg"}, "xdg"),
        ("darwin", {"XDG_CACHE_HOME": "{}/xdg"}, "home/Library/Caches"),
        ("win32", {}, "home/AppData/Local"),
        ("win32", {"LOCALAPPDATA": "{}/local"}, "local"),
    ],
)
def test_conventions_of_platforms(monkeypatch, tmp_path, platform, environment, below):
    (tmp_path / "home").mkdir()
    environment = {name: value.format(tmp_path) for name, value in environment.items()}
    user, *_ = candidates(monkeypatch, platform, HOME=str(tmp_path / "home"), **environment)
    assert Path(user.base) == tmp_path / below and not user.problem and not user.shared
    given, user, *_ = candidates(monkeypatch, platform, HOME=str(tmp_path / "none"), NUMBA_CACHE_DIR="some/where")
    assert given.base == str(Path.cwd() / "some" / "where")
    if not environment:
        assert user.problem == "there is no home directory"
    assert not (tmp_path / "none").exists()


def usable(base: Path, name: str = "1.2.3-0123456789abcdef", **options) -> _cache.Places:
    _cache._usable.cache_clear()
    return _cache._usable(name, (_cache._Candidate("label", str(base), "below", **options),))


def test_folders_of_other_states(tmp_path):
    """Old ones and more than a few go, but nothing that is in use, or that is not ours."""
    now, root = time.time(), tmp_path / "below"

    def make(name: str, unused: float, *names: str) -> Path:
        (root / name).mkdir(parents=True)
        for file in names or ("a.py311.nbi", "a.py311.1.nbc", "a.nbi.tmp.0f", "a.kernel", "a.kernel.0f"):
            (root / name / file).write_text("")
        os.utime(root / name, (now - unused,) * 2)
        return root / name

    gone = [make("0.1.0-0123456789abcdef", 29 * 86400), make("0.1.0-1123456789abcdef", 40 * 86400)]
    foreign = [make("0.1.0-2123456789abcdef", 99 * 86400, "mine.txt"), make("mine", 99 * 86400), make("0.1.0", 9e7)]
    (root / "0.1.0-3123456789abcdef").symlink_to(foreign[1], target_is_directory=True)
    kept = [make(f"0.2.{index}-0123456789abcdef", 60 * index) for index in range(12)]
    gone += [make(f"0.3.{index}-0123456789abcdef", 7200 + index) for index in range(5)]
    found = usable(tmp_path)
    assert found.writable == root / "1.2.3-0123456789abcdef" and found.writable.is_dir()
    assert not any(path.exists() for path in gone)
    assert all(len(list(path.iterdir())) == 5 for path in [*kept, *foreign[1:]])
    assert [path.name for path in foreign[0].iterdir()] == ["mine.txt"]
    assert (root / "0.1.0-3123456789abcdef").is_symlink()
    assert len(list(root.iterdir())) == 1 + len(kept) + len(foreign) + 1


def test_a_folder_in_use_is_marked(tmp_path):
    folder = usable(tmp_path).writable
    os.utime(folder, (0, 0))
    other = tmp_path / "below" / "0.1.0-0123456789abcdef"
    other.mkdir()
    os.utime(other, (0, 0))
    assert usable(tmp_path).writable == folder and folder.stat().st_mtime > 0
    assert other.exists()  # whoever makes a folder looks for others, not whoever finds one


def test_a_folder_that_is_removed_is_made_again(monkeypatch, tmp_path):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(_cache, "_own", lambda: sources(Path(imfnb.__file__).parent))
    first = _cache.places()
    assert first.writable.is_dir() and first.readable == (first.writable,) and not first.problems
    shutil.rmtree(tmp_path / "imfnb")
    assert _cache.places() == first and first.writable.is_dir()
    assert _cache.describe() == str(first.writable) and _cache.obstacle() is None
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "other"))  # read each time
    assert _cache.describe().startswith(str(tmp_path / "other"))


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_permissions(tmp_path):
    """What is made for one user is for nobody else; a folder that was named explicitly may be meant for a group."""
    (tmp_path / "shared").mkdir()
    os.chmod(tmp_path / "shared", 0o1777)
    below = f"imfnb-{os.getuid()}/kernels"
    for found in (usable(tmp_path / "a" / "b"), usable(tmp_path / "shared")):
        assert found.writable.stat().st_mode & 0o777 == found.writable.parent.stat().st_mode & 0o777 == 0o700
    _cache._usable.cache_clear()
    shared = _cache._Candidate("", str(tmp_path / "shared"), below, shared=True)
    assert _cache._usable("1", (shared,)).writable == tmp_path / "shared" / below / "1"
    assert (tmp_path / "shared" / f"imfnb-{os.getuid()}").stat().st_mode & 0o777 == 0o700
    mask = os.umask(0o002)
    try:
        assert usable(tmp_path / "c", mode=0o777).writable.stat().st_mode & 0o777 == 0o775
    finally:
        os.umask(mask)


@pytest.fixture
def nowhere(tmp_path):
    """Variables of a process without a home and with a folder for temporary files of its own."""
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "temporary").mkdir()
    os.chmod(tmp_path / "temporary", 0o1777)
    variables = {name: str(tmp_path / "file") for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA")}
    return {**variables, "TMPDIR": str(tmp_path / "temporary")}


def in_temporary(nowhere: dict[str, str]) -> Path:
    return Path(nowhere["TMPDIR"], f"imfnb-{os.getuid()}")


@jit
@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.slow
def test_the_folder_for_temporary_files(package, nowhere):
    """Where neither the folder that was asked for nor that of the user can be written to."""
    found = [call(package, Path(nowhere["HOME"]), **nowhere) for _ in range(2)]
    assert [item[:2] for item in found] == [["4", "0"], ["4", "1"]]
    assert Path(found[0][2]).parent == in_temporary(nowhere) / "kernels"
    say = "import imfnb; print(imfnb.show_config()['kernel cache'])"
    text = " ".join(call(package, Path(nowhere["HOME"]), say, **nowhere))
    assert text.startswith(f"{found[0][2]}, since others cannot be used: NUMBA_CACHE_DIR {nowhere['HOME']} (")
    assert text.endswith("; set NUMBA_CACHE_DIR to a writable folder") and nowhere["XDG_CACHE_HOME"] in text


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("trap", ["link", "writable by all", "writable by a group", "file", "no sticky bit"])
def test_a_folder_for_temporary_files_that_is_a_trap(tmp_path, nowhere, trap):
    target, folder = tmp_path / "target", in_temporary(nowhere)
    target.mkdir()
    if trap == "link":
        folder.symlink_to(target, target_is_directory=True)
    elif trap == "file":
        folder.write_text("")
    elif trap == "no sticky bit":
        os.chmod(folder.parent, 0o777)
    else:
        folder.mkdir()
        os.chmod(folder, 0o777 if trap == "writable by all" else 0o770)
    before = sorted(tmp_path.rglob("*"))
    _cache._usable.cache_clear()
    candidate = _cache._Candidate("temporary", str(folder.parent), f"{folder.name}/kernels", shared=True)
    found = _cache._usable("1.2.3-0123456789abcdef", (candidate,))
    assert found.best is None and found.problems[0].startswith("temporary (") and len(found.problems) == 1
    assert sorted(tmp_path.rglob("*")) == before


@jit
@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.slow
def test_no_place_at_all(package, nowhere):
    """Kernels are compiled in memory, and `config` says so, why, and what to do."""
    in_temporary(nowhere).write_text("in the way")
    code = CALL + "; import imfnb; print(imfnb.show_config()['kernel cache'])"
    four, hits, path, *said = call(package, Path(nowhere["HOME"]), code, **nowhere)
    assert (four, hits, path) == ("4", "0", "None")
    text = " ".join(said)
    assert text.startswith("none; kernels are compiled in every process, since there is no place to keep them: ")
    assert all(f"{nowhere[name]} (" in text for name in ("HOME", "XDG_CACHE_HOME", "TMPDIR"))
    assert text.endswith("; set NUMBA_CACHE_DIR to a writable folder")


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_folders_of_other_users_are_not_trusted(monkeypatch, tmp_path):
    (tmp_path / "imfnb").mkdir(0o700)
    os.chmod(tmp_path, 0o1777)
    _cache._make_private(tmp_path / "imfnb")
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    with pytest.raises(OSError, match=r"another user's|others could replace"):
        _cache._make_private(tmp_path / "imfnb")
    monkeypatch.undo()
    os.chmod(tmp_path, 0o700)
    _cache._make_private(tmp_path / "imfnb")
    monkeypatch.chdir(tmp_path)  # where `tempfile` goes when there is nothing else
    with pytest.raises(OSError, match="no folder for temporary files"):
        _cache._make_private(tmp_path / "imfnb")


@jit
@pytest.mark.skipif(os.name != "posix", reason="the current folder cannot be removed")
@pytest.mark.slow
def test_a_current_folder_that_is_gone(package, tmp_path, nowhere):
    code = f"import os, sys; sys.path.insert(0, {str(package.parent)!r}); import imfnb; from imfnb import _outer; "
    code += "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); " + CALL
    variables = {**nowhere, "XDG_CACHE_HOME": str(tmp_path / "home")}
    four, hits, path = call(package, Path("relative"), code, **variables)
    assert (four, hits) == ("4", "0") and path.startswith(str(tmp_path / "home"))


def test_no_folder_for_temporary_files(monkeypatch):
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert not [candidate for candidate in _cache._candidates() if candidate.shared]


@jit
def test_a_filled_folder_that_is_read_only(package, tmp_path, nowhere):
    """As in a container, whose image was built with it: it is read, and what is missing goes elsewhere, or nowhere."""
    filled = call(package, tmp_path / "c")[2]
    read_only = f"""
import tempfile
temporary_file = tempfile.TemporaryFile
def refuse(*arguments, dir=None, **options):
    if str(dir).startswith({str(tmp_path / "c")!r}):
        raise OSError(30, "Read-only file system")
    return temporary_file(*arguments, dir=dir, **options)
tempfile.TemporaryFile = refuse
"""
    home = {**nowhere, "XDG_CACHE_HOME": str(tmp_path / "home")}
    four, hits, path = call(package, tmp_path / "c", read_only + CALL, **home)
    assert (four, hits) == ("4", "1") and path.startswith(str(tmp_path / "home")) and not files(Path(path), ".nbi")
    os.chmod(nowhere["TMPDIR"], 0o777)
    say = "import imfnb; print(imfnb.show_config()['kernel cache'])"
    assert call(package, tmp_path / "c", read_only + CALL, **nowhere) == ["4", "1", filled]
    assert " ".join(call(package, tmp_path / "c", read_only + say, **nowhere)).startswith(f"{filled}, read-only: ")


# --------------------------------------------------------------------------------------------------- config and warmup


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """A warmup that compiles nothing, with a cache of its own; the list of its calls."""
    calls = []
    for name in ("encode", "decode", "factorize"):
        monkeypatch.setattr(_warmup, name, lambda *_, **__: calls.append(1))
    monkeypatch.setattr(_jit, "DISABLED", False)
    monkeypatch.setattr(_cache, "unkept", {})
    monkeypatch.setattr(_cache, "_own", lambda: sources(Path(imfnb.__file__).parent))
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return calls


def test_warmup_says_where_kernels_are(quick, capsys):
    assert main(["warmup"]) == 0 and quick
    out, err = capsys.readouterr()
    assert re.fullmatch(r"kernels ready in \d+\.\d s; kept in (.*)\n", out)[1] == imfnb.show_config()["kernel cache"]
    assert err == "" and imfnb.warmup() >= 0


def test_warmup_without_a_place(quick, monkeypatch, capsys):
    """The command does nothing, since it would be for nothing; the function does what it can for this process."""
    monkeypatch.setattr(_cache, "_candidates", lambda: iter([_cache._Candidate("/a", "", "", problem="missing")]))
    assert main(["warmup"]) == 1 and not quick
    out, err = capsys.readouterr()
    assert out == "" and err == (
        "imfnb: kernels are not kept for the next process: kernels are compiled in every process, since there is no "
        "place to keep them: /a (missing); set NUMBA_CACHE_DIR to a writable folder\n"
    )
    with pytest.warns(
        RuntimeWarning, match="not kept for the next process: .*set NUMBA_CACHE_DIR to a writable folder"
    ):
        assert imfnb.warmup() >= 0
    assert quick
    assert imfnb.show_config()["kernel cache"].startswith("none; kernels are compiled in every process, since ")


def test_warmup_whose_kernels_cannot_be_written(quick, monkeypatch, capsys):
    monkeypatch.setitem(_cache.unkept, "imfnb.a.b", "[Errno 28] No space left on device")
    assert main(["warmup"]) == 1 and quick
    out, err = capsys.readouterr()
    assert out == "" and err.endswith(
        ": 1 could not be written ([Errno 28] No space left on device); set NUMBA_CACHE_DIR to a writable folder\n"
    )


def test_warmup_without_the_jit(quick, monkeypatch, capsys):
    monkeypatch.setattr(_jit, "DISABLED", True)
    assert main(["warmup"]) == 1 and not quick
    assert "the JIT is disabled (NUMBA_DISABLE_JIT)" in capsys.readouterr().err


def test_warmup_of_a_target_that_keeps_nothing(monkeypatch):
    from imfnb.runtime import cuda as _cuda

    monkeypatch.setattr(_cuda, "KEPT", False)
    assert "install numba-cuda" in _warmup.obstacle("cuda")
