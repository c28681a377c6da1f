"""Fixtures, markers, hypothesis profiles and lanes.

``pytest``
    The plain run: every kernel against its reference, with few examples of each property. What a process of its own
    has to do, such as CUDA's simulator, and tests that wait for processes anyway, go on beside the other tests and are
    looked at last: two cores are busy.
``pytest -m quick``
    The part of it that a contributor runs after every change: no other processes, no whole pictures, no simulated GPU.
``pytest -m slow``
    The rest: minutes of fuzzing, whole pictures, the machine code of all CUDA kernels.
``pytest -m "slow or hypothesis" --hypothesis-profile=thorough``
    The same with many examples of each property, for a night.
``pytest --cov=imfnb`` and ``NUMBA_DISABLE_JIT=1 pytest -m kernels --cov=imfnb --cov-append``
    Coverage. The plain run, what goes on beside it included, counts all but the lines inside the CPU's kernels, which
    are machine code there; the modules that test these kernels, marked ``kernels``, are run as plain Python too.
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numba
import numpy as np
import pytest
from helpers import encode, picture
from hypothesis import HealthCheck, settings
from strategies import THOROUGH

NO_JIT = bool(numba.config.DISABLE_JIT)

for name, count in (("imfnb", 12 if NO_JIT else THOROUGH // 3), ("thorough", THOROUGH)):
    settings.register_profile(
        name,
        deadline=None,
        derandomize=bool(os.environ.get("CI")),
        max_examples=count,
        suppress_health_check=[HealthCheck.too_slow],
        print_blob=True,
    )
settings.load_profile("imfnb")


class Beside:
    """Tests in processes of their own, one after the other, while this process goes through its tests.

    Parameters
    ----------
    items : list of pytest.Item
        Tests marked ``beside``, whose marks say what their process has to run.
    counted : list of str
        Packages whose lines are counted. Every process writes a file of its own beside that of this one, and
        pytest-cov puts them together at the end.
    """

    def __init__(self, items: list[pytest.Item], counted: list[str]) -> None:
        self._counted = counted
        self._number = 0
        self._pool = ThreadPoolExecutor(1)
        self._process: subprocess.Popen[str] | None = None
        self._runs: dict[str, Future[tuple[int, str]]] = {}
        for item in items:
            mark = item.get_closest_marker("beside")
            self._runs[item.nodeid] = self._pool.submit(self._run, *mark.args, **mark.kwargs)

    def _run(self, names: list[str], *options: str, **variables: str) -> tuple[int, str]:
        """Exit status and output of a run of tests; Numba reads variables when it is imported."""
        environment = {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
        environment.pop("NUMBA_DISABLE_JIT", None)
        folder = pathlib.Path(__file__).parent
        if self._counted:
            self._number += 1
            options = (*options, *(f"--cov={name}" for name in self._counted), "--cov-report=")
            environment["COVERAGE_FILE"] = f"{os.environ.get('COVERAGE_FILE', '.coverage')}.beside-{self._number}"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
        command += [str(folder / name) for name in names]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen(command, env=environment, cwd=folder.parent, **pipes) as self._process:
            output, _ = self._process.communicate()
        return self._process.returncode, output

    def passed(self, item: pytest.Item) -> int:
        """How many of its tests have passed; it fails if one has not."""
        status, output = self._runs[item.nodeid].result()
        assert status == 0, output[-20000:]
        return int(re.search(r"(\d+) passed", output)[1])

    def stop(self) -> None:
        """End what is still going on."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._process is not None:
            self._process.kill()


_beside = pytest.StashKey[Beside]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "jit: makes no sense, or takes too long, with NUMBA_DISABLE_JIT=1")
    beside = "beside(names, *options, **variables): waits for tests that ran in another process meanwhile"
    config.addinivalue_line("markers", beside)


def _elsewhere(config: pytest.Config, items: list[pytest.Item]) -> set[pathlib.Path]:
    """Files whose tests run beside as they would here, without other variables: not here too, if all tests are run."""
    options = config.option
    if NO_JIT or options.file_or_dir or options.markexpr or options.keyword:
        return set()
    marks = [mark for item in items for mark in item.iter_markers("beside") if not mark.kwargs]
    return {pathlib.Path(__file__).with_name(name) for mark in marks for name in mark.args[0]}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="the JIT is disabled")
    wanted = "slow" in (config.option.markexpr or "")
    elsewhere = _elsewhere(config, items)
    kept, dropped = [], []
    for item in items:
        if NO_JIT and item.get_closest_marker("jit"):
            item.add_marker(skip)
        if not any(item.get_closest_marker(name) for name in ("slow", "thorough", "beside")):
            item.add_marker("quick")
        unwanted = item.path in elsewhere or (item.get_closest_marker("slow") and not wanted)
        (dropped if unwanted else kept).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
    items[:] = sorted(kept, key=lambda item: item.get_closest_marker("beside") is not None)


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.option.collectonly:
        return
    wanted = [item for item in session.items if item.get_closest_marker("beside")]
    items = [item for item in wanted if not item.get_closest_marker("skip")]
    counted = [name for name in session.config.getoption("cov_source", None) or [] if isinstance(name, str)]
    session.config.stash[_beside] = Beside(items, counted)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _beside in session.config.stash:
        session.config.stash[_beside].stop()


@pytest.fixture
def beside(request: pytest.FixtureRequest) -> Callable[[], int]:
    """Waits for what the test's mark has started, and says how many tests have passed there."""
    return lambda: request.config.stash[_beside].passed(request.node)


@pytest.fixture(scope="session", autouse=True)
def narrow_blocks():
    """Without the JIT, blocks of 64 patches that are mostly padding cost minutes: make them narrow."""
    if NO_JIT:
        from imfnb import patches
        from imfnb.factorization.bcd import cpu

        patches.LANES = cpu.LANES = 16


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """A small RGB picture with odd sides."""
    return picture(37, 29)


@pytest.fixture(scope="session")
def small_file() -> bytes:
    """A small valid file: RGB, 11 x 13, three segments."""
    return encode(picture(11, 13), patch_size=4, rank=2)
