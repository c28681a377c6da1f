"""Batches: order, executors, failures, progress, interruption, and finished files that are kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
import pytest
from helpers import picture
from PIL import Image

import imfnb
from imfnb.batch import run_batch
from imfnb.cli import main

IMAGES = [picture(20 + i, 24, 3) for i in range(5)]
OPTIONS = {"profile": "baseline", "rank": 2}


def alone() -> list[bytes]:
    return [imfnb.encode(image, **OPTIONS) for image in IMAGES]


@pytest.mark.parametrize("threads", [None, 1, 3, 9])
def test_results_are_in_order(threads):
    files = imfnb.encode_batch(IMAGES, threads=threads, **OPTIONS)
    assert files == alone()
    for image, file in zip(imfnb.decode_batch(files, threads=threads), files, strict=True):
        np.testing.assert_array_equal(image, imfnb.decode(file))


def test_no_images():
    assert imfnb.encode_batch([]) == []
    assert imfnb.decode_batch(iter([])) == []


def test_executor_of_threads():
    with ThreadPoolExecutor(2) as pool:
        assert imfnb.encode_batch(iter(IMAGES), pool, **OPTIONS) == alone()


@pytest.mark.jit
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_executor_of_processes_after_use(method):
    expected = alone()
    with ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
        assert imfnb.encode_batch(IMAGES, pool, **OPTIONS) == expected
        decoded = imfnb.decode_batch(expected, pool)
    np.testing.assert_array_equal(decoded[3], imfnb.decode(expected[3]))


def test_any_object_with_submit_serves():
    class Immediate:
        def submit(self, function, *args):
            future: Future = Future()
            future.set_result(function(*args))
            return future

    assert imfnb.encode_batch(IMAGES, Immediate(), **OPTIONS) == alone()


def test_paths_and_files(tmp_path):
    names = []
    for i, image in enumerate(IMAGES):
        names.append(tmp_path / f"{i}.png")
        Image.fromarray(image).save(names[-1])
    assert imfnb.encode_batch([str(names[0]), *names[1:]], **OPTIONS) == alone()
    target = tmp_path / "a.imf"
    target.write_bytes(alone()[0])
    with target.open("rb") as file:
        first, second = imfnb.decode_batch([target, file])
    np.testing.assert_array_equal(first, second)


def test_a_failure_is_raised_or_returned():
    images = [IMAGES[0], np.zeros((3, 3)), IMAGES[2]]
    with pytest.raises(imfnb.OptionError, match="float64"):
        imfnb.encode_batch(images, **OPTIONS)
    first, error, third = imfnb.encode_batch(images, errors="return", **OPTIONS)
    assert [first, third] == [alone()[0], alone()[2]]
    assert isinstance(error, imfnb.OptionError)
    with pytest.raises(imfnb.OptionError, match="'raise' or 'return'"):
        imfnb.encode_batch(images, errors="ignore")


def test_progress_counts_every_image():
    seen = []
    imfnb.encode_batch(IMAGES, threads=2, progress=lambda done, count: seen.append((done, count)), **OPTIONS)
    assert seen == [(i + 1, 5) for i in range(5)]


def test_a_failure_cancels_what_has_not_begun():
    started = []
    gate = threading.Event()

    def work(item: int) -> None:
        started.append(item)
        if item == 0:
            raise KeyError(item)
        gate.wait(10)

    def release(*_: object) -> None:
        gate.set()

    timer = threading.Timer(0.5, release)
    timer.start()
    with pytest.raises(KeyError):
        run_batch(work, range(100), threads=1)
    timer.cancel()
    gate.set()
    assert len(started) < 10


def test_library_from_several_threads_at_once():
    expected = alone()
    results: dict[int, list[bytes]] = {}

    def work(number: int) -> None:
        results[number] = [imfnb.encode(image, threads=2, **OPTIONS) for image in IMAGES]

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert not worker.is_alive()
    assert all(results[number] == expected for number in range(4))


def test_finished_files_are_kept_and_skipped(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for i, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / f"{i}.png")
    out.mkdir()
    (out / "1.imf").write_bytes(b"done before")
    command = ["encode", str(folder), "-o", str(out), "--profile", "baseline", "--rank", "2"]
    assert main([*command, "--skip-existing"]) == 0
    assert (out / "1.imf").read_bytes() == b"done before"
    assert (out / "4.imf").read_bytes() == alone()[4]
    assert main([*command, "--force"]) == 0
    assert (out / "1.imf").read_bytes() == alone()[1]


def test_an_interruption_keeps_what_is_finished(tmp_path, monkeypatch, capsys):
    from imfnb import batch

    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for i, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / f"{i}.png")
    calls = []

    def interrupted(*args, **kwargs):
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return batch_wait(*args, **kwargs)

    batch_wait = batch.wait
    monkeypatch.setattr(batch, "wait", interrupted)
    command = ["encode", str(folder), "-o", str(out), "--profile", "baseline", "--rank", "2", "--threads", "1"]
    assert main(command) == 130
    kept = sorted(path.name for path in out.iterdir())
    assert kept and all(name.endswith(".imf") for name in kept)
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.jit
@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_ctrl_c_in_the_shell(tmp_path):
    """What is finished stays, nothing else is left behind, and a rerun does the rest."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    image = Image.fromarray(np.tile(IMAGES[0][:16, :16], (40, 40) + (1,) * (IMAGES[0].ndim - 2)))
    for i in range(200):
        image.save(folder / f"{i:03}.png")
    command = [sys.executable, "-m", "imfnb", "encode", str(folder), "-o", str(out), "--skip-existing"]
    # Where the tests run in the background, interrupts may be ignored, which a process would inherit.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    while process.poll() is None and not (out.is_dir() and any(out.glob("*.imf"))):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert process.stderr.read() == "imfnb: interrupted\n"
    process.stderr.close()
    finished = sorted(path.name for path in out.iterdir())
    assert {path.suffix for path in out.iterdir()} == {".imf"}
    assert 0 < len(finished) < 200
    times = {name: (out / name).stat().st_mtime_ns for name in finished}
    assert subprocess.run(command, check=False).returncode == 0
    assert len(list(out.glob("*.imf"))) == 200
    assert {name: (out / name).stat().st_mtime_ns for name in finished} == times


@pytest.mark.jit
@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_python_threads_under_every_threading_layer(layer):
    """Kernels start none of Numba's own threads, so nothing depends on the layer."""
    code = """
        import threading, numba, numpy as np, imfnb
        image = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
        expected = [imfnb.encode(image, profile=p) for p in ("main", "baseline")]
        found = [None] * 8
        def work(i):
            data = imfnb.encode(image, profile=("main", "baseline")[i % 2], threads=2)
            found[i] = data == expected[i % 2] and imfnb.decode(data, threads=2).shape == image.shape
        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert all(found), found
        try:
            print(numba.threading_layer())
        except ValueError:
            print("none")
    """
    environment = {**os.environ, "NUMBA_THREADING_LAYER": layer}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "none\n"), result.stderr
