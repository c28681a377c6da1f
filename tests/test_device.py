"""Choice of the device: what is found, what is said where nothing is, and what happens when a GPU fails midway."""

from __future__ import annotations

import ctypes
import re
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import encode, picture

import imfnb
from imfnb.runtime import cuda as _cuda
from imfnb.runtime import devices
from imfnb.runtime.devices import CROSSOVER, cuda_status, resolve_device, run_on

IMAGE = picture(9, 8)


class CudaAPIError(Exception):
    """Stands for the class of this name in Numba."""


class Always(dict):
    """A table of crossovers that has one pixel for everything."""

    def get(self, work):
        return 1


@pytest.fixture
def usable(monkeypatch):
    """A machine on which a GPU is found and on which it pays from one pixel on."""
    monkeypatch.setattr(devices, "_probe", lambda: (True, "found: a fake"))
    monkeypatch.setattr(devices, "_compiled", lambda: True)
    monkeypatch.setattr(devices, "_failure", None)
    monkeypatch.setattr(devices, "CROSSOVER", Always())
    return monkeypatch


@pytest.fixture
def absent(monkeypatch):
    """A machine without a GPU."""
    monkeypatch.setattr(devices, "_probe", lambda: (False, "not found: no driver"))


def explode(*_, **__):
    raise CudaAPIError("[700] CUDA_ERROR_ILLEGAL_ADDRESS")


# -------------------------------------------------------------------------------------------------------- what there is


@pytest.mark.skipif(_cuda.SIMULATED, reason="the simulator is always there")
def test_probing_never_raises(monkeypatch):
    assert cuda_status().startswith(("found: ", "not found: "))

    def broken():
        raise OSError("libcuda is\n torn")

    monkeypatch.setattr(_cuda.cuda, "is_available", broken)
    assert cuda_status() == "not found: OSError: libcuda is torn"
    assert imfnb.show_config()["cuda"] == cuda_status()
    assert resolve_device("auto", 10**9) == "cpu"


@pytest.mark.skipif(_cuda.SIMULATED, reason="the simulator is always there")
def test_probing_says_why_not(monkeypatch):
    monkeypatch.setattr(_cuda.cuda, "is_available", lambda: False)
    monkeypatch.setattr(_cuda.cuda, "cuda_error", lambda: "Driver too old.\n" * 40)
    assert cuda_status().startswith("not found: Driver too old. Driver") and len(cuda_status()) < 330
    monkeypatch.setattr(_cuda.cuda, "cuda_error", lambda: None)
    assert cuda_status() == "not found: no usable CUDA driver, device or toolkit (NVVM)"


@pytest.mark.skipif(_cuda.SIMULATED, reason="the simulator is always there")
@pytest.mark.parametrize("name", [b"H200", "H200"])
@pytest.mark.parametrize(
    ("file", "target"), [("numba_cuda/numba/cuda/__init__.py", "numba-cuda 1.2"), (None, "Numba's built-in target")]
)
def test_probing_names_the_device(monkeypatch, name, file, target):
    device = SimpleNamespace(name=name, compute_capability=(9, 0))
    monkeypatch.setattr(_cuda.cuda, "is_available", lambda: True)
    monkeypatch.setattr(_cuda.cuda, "get_current_device", lambda: device)
    monkeypatch.setattr(_cuda.cuda, "__file__", file)
    monkeypatch.setattr("importlib.metadata.version", lambda package: "1.2")
    devices._target.cache_clear()
    monkeypatch.setattr(_cuda.cuda, "compile_ptx_for_current_device", lambda *arguments: ("", None))
    assert cuda_status() == f"found: H200 (compute capability 9.0, {target})"


@pytest.mark.skipif(_cuda.SIMULATED, reason="the simulator is always there")
def test_a_device_that_is_too_old(monkeypatch):
    monkeypatch.setattr(_cuda.cuda, "is_available", lambda: True)
    monkeypatch.setattr(_cuda.cuda, "get_current_device", lambda: SimpleNamespace(name="T4", compute_capability=(7, 5)))
    assert cuda_status() == "not found: T4 has compute capability 7.5, and the kernels need 8.0"


@pytest.mark.skipif(_cuda.SIMULATED, reason="the simulator is always there")
@pytest.mark.parametrize(
    ("file", "says", "remedy"),
    [
        (None, "Numba's built-in target", "install numba-cuda"),
        ("numba_cuda/numba/cuda/__init__.py", "numba-cuda [0-9.]+", "install a NumPy and a numba-cuda"),
    ],
)
def test_a_compiler_that_cannot_do_it(monkeypatch, file, says, remedy):
    """Numba's own target, which fails over min(), and numba-cuda beside a NumPy that it does not know."""
    device = SimpleNamespace(name="H200", compute_capability=(9, 0))
    monkeypatch.setattr(_cuda.cuda, "is_available", lambda: True)
    monkeypatch.setattr(_cuda.cuda, "get_current_device", lambda: device)
    monkeypatch.setattr(_cuda.cuda, "compile_ptx_for_current_device", explode)
    monkeypatch.setattr(_cuda.cuda, "__file__", file)
    assert re.match(rf"not found: DeviceError: {says} cannot compile the kernels \(", cuda_status())
    with pytest.raises(imfnb.DeviceError, match=f"{remedy}.*pip install imfnb"):
        encode(IMAGE, rank=1, device="cuda")


def test_arguments_of_a_launch():
    """What the driver reads: an address for each value, eight bytes apart."""
    array = SimpleNamespace(dtype=np.dtype(np.uint8), ndim=2, shape=(3, 5), strides=(5, 1), size=15)
    array.is_c_contiguous, array.device_ctypes_pointer = lambda: True, SimpleNamespace(value=4096)
    entry = _cuda._Entry(None, "void(uint8[:,::1], int32, int64, float32, float64, boolean)")
    for size in (15, 16):  # the second call finds what the first has noted about the array, and its own memory
        table = entry.packed((array, np.int32(-7), size, np.float32(1.5), 2.5, True))
        places = (ctypes.c_uint64 * 14).from_address(table)
        assert np.diff(places).tolist() == [8] * 13
        words = [ctypes.c_int64.from_address(place).value for place in places[:9]]
        assert words == [0, 0, 15, 1, 4096, 3, 5, 5, 1]
        types = ctypes.c_int32, ctypes.c_int64, ctypes.c_float, ctypes.c_double, ctypes.c_bool
        scalars = [kind.from_address(place).value for kind, place in zip(types, places[9:], strict=True)]
        assert scalars == [-7, size, 1.5, 2.5, True]
    array.is_c_contiguous = lambda: False
    for wrong in (
        (array, 1, 2, 3.0, 4.0),
        (array, 1.5, 2, 3.0, 4.0, True),
        (SimpleNamespace(**{**vars(array), "_imfnb_described": None}), 1, 2, 3.0, 4.0, True),
        (SimpleNamespace(**{**vars(array), "_imfnb_described": ((np.dtype(np.int8), 2), ())}), 1, 2, 3.0, 4.0, True),
    ):
        with pytest.raises(_cuda._Mismatch):
            entry.packed(wrong)


@pytest.mark.usefixtures("absent")
def test_cuda_does_not_fall_back_silently():
    data = encode(IMAGE, rank=1, patch_size=4)
    calls = [
        lambda: encode(IMAGE, rank=1, device="cuda"),
        lambda: imfnb.encode(IMAGE, device="cuda"),
        lambda: imfnb.decode(data, device="cuda"),
        lambda: imfnb.factorize(IMAGE[:, :, 0], 1, device="cuda"),
        lambda: imfnb.encode_batch([IMAGE], profile="baseline", device="cuda"),
        lambda: imfnb.decode_batch([data], device="cuda"),
    ]
    for call in calls:
        with pytest.raises(imfnb.DeviceError, match=r"'cuda' cannot be used: CUDA not found: no driver.*device='cpu'"):
            call()


@pytest.mark.usefixtures("absent")
def test_auto_needs_no_gpu(monkeypatch):
    monkeypatch.setattr(devices, "CROSSOVER", Always())
    assert imfnb.encode_batch([IMAGE], profile="baseline", rank=1) == [encode(IMAGE, rank=1, device="cpu")]


@pytest.mark.usefixtures("usable")
def test_auto_stays_on_the_cpu_where_no_crossover_was_measured(monkeypatch):
    monkeypatch.setattr(devices, "CROSSOVER", CROSSOVER)
    assert resolve_device("auto", 10**15) == resolve_device("auto", 10**15, "decode main batch") == "cpu"
    for work, pixels in CROSSOVER.items():
        assert [resolve_device("auto", n, work) for n in (pixels - 1, pixels)] == ["cpu", "cuda"]


@pytest.mark.usefixtures("usable")
def test_auto_stays_on_the_cpu_where_kernels_would_have_to_be_compiled(monkeypatch):
    monkeypatch.setattr(devices, "_compiled", lambda: False)
    assert resolve_device("auto", 10**15, "encode main") == "cpu"
    assert resolve_device("auto", 1, "encode main", resident=True) == "cuda"


@pytest.mark.usefixtures("usable")
@pytest.mark.thorough
def test_auto_asks_for_what_there_is_to_do(monkeypatch):
    """Every call names its work as the table of crossovers does."""
    asked: list[str] = []

    class Table(dict):
        def get(self, work):
            asked.append(work)

    monkeypatch.setattr(devices, "CROSSOVER", Table())
    data = [imfnb.encode(IMAGE, step=100), imfnb.encode(IMAGE, profile="baseline", rank=1)]
    for file in data:
        imfnb.decode(file)
    imfnb.encode(IMAGE, psnr=1)
    imfnb.encode_batch([IMAGE, IMAGE], step=100)
    imfnb.encode_batch([IMAGE], psnr=1)
    imfnb.decode_batch(data)
    imfnb.factorize(np.ones((4, 3)), 1)
    imfnb.factorize(np.ones((2, 4, 3)), 1)
    known = ["encode main", "encode baseline", "decode main", "decode baseline", "search main"]
    known += ["encode main batch", "search main batch", "factorize", "factorize batch"]
    assert set(asked) - {""} == set(known)
    assert set(CROSSOVER) <= set(known)


@pytest.mark.usefixtures("usable")
def test_auto_compares_with_the_crossover(monkeypatch):
    monkeypatch.setattr(devices, "CROSSOVER", {"factorize": 100, "factorize batch": 200})
    assert [resolve_device("auto", pixels, "factorize") for pixels in (99, 100)] == ["cpu", "cuda"]
    assert [resolve_device("auto", pixels, "factorize batch") for pixels in (199, 200)] == ["cpu", "cuda"]
    assert resolve_device("cuda", 1) == "cuda" and resolve_device("cpu", 1000) == "cpu"
    assert resolve_device("auto", 1, resident=True) == "cuda"


# ---------------------------------------------------------------------------------------------------- failures midway


@pytest.mark.parametrize("call", ["encode", "decode", "factorize", "encode_batch"])
def test_auto_falls_back_with_one_warning(usable, call):
    """The same bytes, the same pixels, the same factors; a second call warns no more."""
    data = encode(IMAGE, rank=1, patch_size=4, device="cpu")
    pixels = imfnb.decode(data, device="cpu")
    matrix = IMAGE[:, :, 0]
    calls = {
        "encode": (lambda: encode(IMAGE, rank=1, patch_size=4), data),
        "decode": (lambda: imfnb.decode(data), pixels),
        "factorize": (lambda: imfnb.factorize(matrix, 1)[0], imfnb.factorize(matrix, 1, device="cpu")[0]),
        "encode_batch": (lambda: imfnb.encode_batch([IMAGE], profile="baseline", rank=1, patch_size=4)[0], data),
    }
    usable.setattr("imfnb.runtime.gpu.device_run", explode)
    usable.setattr("imfnb.factorization._on_gpu", explode)
    usable.setattr("imfnb._device_batch.encode_items", explode)
    work, expected = calls[call]
    with pytest.warns(imfnb.DeviceWarning, match="ILLEGAL_ADDRESS.*going on with the CPU"):
        found = work()
    np.testing.assert_array_equal(found, expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(work(), expected)


def test_an_explicit_device_does_not_fall_back(usable):
    usable.setattr("imfnb.runtime.gpu.device_run", explode)
    with pytest.raises(imfnb.DeviceError, match=r"the GPU failed: .*ILLEGAL_ADDRESS.*device='cpu'") as caught:
        encode(IMAGE, rank=1, device="cuda")
    assert isinstance(caught.value.__cause__, CudaAPIError)


def test_a_memory_that_is_too_small_is_a_failure_too(usable):
    def full(*_):
        raise imfnb.DeviceError("too small")

    usable.setattr("imfnb.runtime.gpu.device_run", full)
    with pytest.raises(imfnb.DeviceError, match=r"^too small$"):
        encode(IMAGE, rank=1, device="cuda")
    with pytest.warns(imfnb.DeviceWarning, match="too small"):
        assert encode(IMAGE, rank=1) == encode(IMAGE, rank=1, device="cpu")


@pytest.mark.parametrize("error", [imfnb.OptionError("bad"), ValueError("a bug"), KeyboardInterrupt()])
def test_other_errors_are_not_hidden(usable, error):
    def fail(_):
        raise error

    for device in ("auto", "cuda"):
        with pytest.raises(type(error)):
            run_on(device, "cuda", fail)
    assert run_on("auto", "cpu", lambda backend: backend) == "cpu"


def test_errors_of_cuda_are_known_by_name():
    full = type("CudaAPIError", (Exception,), {"code": 2})("")
    assert _cuda.is_cuda_error(CudaAPIError()) and not _cuda.is_out_of_memory(CudaAPIError())
    assert _cuda.is_cuda_error(full) and _cuda.is_out_of_memory(full)
    assert _cuda.is_out_of_memory(MemoryError()) and _cuda.is_out_of_memory(RuntimeError("CUDA_ERROR_OUT_OF_MEMORY"))
    assert not _cuda.is_cuda_error(type("Odd", (Exception,), {"code": "x"})("text"))


def test_warmup_of_a_device_that_is_not_there(absent):
    with pytest.raises(imfnb.DeviceError, match="cannot be used"):
        imfnb.warmup("cuda")
    with pytest.raises(imfnb.OptionError, match="'reference'; expected 'cpu' or 'cuda'"):
        imfnb.warmup("reference")
