"""The cache of the GPU's machine code, and the launcher's use of it, with stand-ins for the driver and the compiler."""

from __future__ import annotations

import enum
import hashlib
import importlib
import logging
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numba
import pytest

import imfnb
from imfnb.runtime import cache as _cache
from imfnb.runtime import cuda as _cuda
from imfnb.runtime import cuda_cache as _cuda_cache
from imfnb.runtime import devices

NAME, SIGNATURE, CODE = "imfnb.a.cuda._b(8, False)", "void(int32[::1], int32)", bytes(range(256)) * 3
ENTRY = "_ZN5imfnb1a4cudaB2v1"


def place(name: str = NAME, signature: str = SIGNATURE, capability: tuple[int, int] = (9, 0)) -> Path:
    return _cuda_cache.place(name, signature, capability)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def sources(read: float | None = None) -> _cache.Sources:
    return _cache.Sources(Path(imfnb.__file__).parent, None, time.time() + 60 if read is None else read)


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """The folder of the cache, for this test only."""
    own = sources()
    monkeypatch.setattr(_cache, "_own", lambda: own)
    monkeypatch.setattr(_cache, "unkept", {})
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return tmp_path


# --------------------------------------------------------------------------------------------------------------- files


def test_round_trip(folder):
    path = place()
    assert folder in path.parents and path.name.startswith("a-cuda-_b-8-False.sm_90.")
    assert _cuda_cache.load(path) is None
    for code in (CODE, b"", b"\0other"):
        _cuda_cache.save(path, ENTRY, code)
        assert _cuda_cache.load(place()) == (ENTRY, code)
        assert files(folder) == [path]


@pytest.mark.parametrize("size", [0, 1, 14, 15, 46, 47, 48, 60, -1])
def test_a_truncated_file(size):
    _cuda_cache.save(place(), ENTRY, CODE)
    place().write_bytes(place().read_bytes()[:size])
    assert _cuda_cache.load(place()) is None


@pytest.mark.parametrize("at", [0, 20, 48, 100, -1])
def test_a_flipped_byte(at):
    _cuda_cache.save(place(), ENTRY, CODE)
    content = bytearray(place().read_bytes())
    content[at] ^= 1
    place().write_bytes(content)
    assert _cuda_cache.load(place()) is None


def test_a_file_of_something_else(folder, caplog):
    caplog.set_level(logging.DEBUG, "imfnb")
    path = place()
    rest = ENTRY.encode() + b"\0" + CODE
    for content in (CODE, b"imfnb-kernel-0\n" + hashlib.sha256(rest).digest() + rest):
        path.write_bytes(content)
        assert _cuda_cache.load(path) is None
    path.unlink()
    path.mkdir()
    assert _cuda_cache.load(path) is None
    _cuda_cache.save(path, ENTRY, CODE)
    assert list(path.parent.iterdir()) == [path]
    assert caplog.records and {record.levelname for record in caplog.records} == {"DEBUG"}


def test_folders_that_take_nothing(folder, monkeypatch):
    path = place()
    _cuda_cache.save(path, ENTRY, CODE)
    (folder / "file").write_text("not a folder")
    for other in (folder / "missing", folder / "file"):
        _cuda_cache.save(other / path.name, ENTRY, CODE)
        assert _cuda_cache.load(other / path.name) is None

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    _cuda_cache.save(path, ENTRY, CODE + CODE)
    assert _cuda_cache.load(path) == (ENTRY, CODE)
    assert files(folder) == sorted([path, folder / "file"])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder():
    path = place()
    _cuda_cache.save(path, ENTRY, CODE)
    path.parent.chmod(0o500)
    try:
        _cuda_cache.save(path, ENTRY, CODE + CODE)
        assert _cuda_cache.load(path) == (ENTRY, CODE)
    finally:
        path.parent.chmod(0o700)


def test_no_folder(monkeypatch):
    monkeypatch.setattr(_cache, "_candidates", lambda: iter(()))
    assert place() is None


def test_a_filled_folder_that_is_read_only(folder, monkeypatch):
    """What is there is used; what is not has nowhere to go, and that is known."""
    there, absent = place(), place(NAME + "x")
    _cuda_cache.save(there, ENTRY, CODE)
    found = _cache.places()
    monkeypatch.setattr(_cache, "places", lambda: _cache.Places((folder / "empty", *found.readable), None, ()))
    assert place() == there and place(NAME + "x") == folder / "empty" / absent.name
    _cuda_cache.save(folder / "empty" / absent.name, ENTRY, CODE)
    assert "No such file" in _cache.unkept[absent.name] and list(_cache.unkept) == [absent.name]
    monkeypatch.setattr(_cache, "places", lambda: _cache.Places((folder / "empty",), folder, ()))
    assert place() == folder / there.name


def test_stale_files_are_removed_and_others_kept(folder, monkeypatch):
    others = [place(f"{NAME}/1"), place(NAME.replace("8", "16")), place(NAME + "x"), place(capability=(8, 0))]
    for path in others:
        _cuda_cache.save(path, ENTRY, CODE)
    foreign = place().with_name("cpu.py311.1.nbc")
    foreign.write_bytes(b"Numba's")
    stale = [place(), place(signature="void(int64[::1], int32)")]
    monkeypatch.setattr(_cuda_cache, "_versions", lambda: ("older",))
    stale.append(place())
    for path in stale:
        path.write_bytes(b"")
    monkeypatch.setattr(_cuda_cache, "_versions", lambda: ("newer",))
    fresh = place()
    assert len({fresh, *stale, *others}) == 8
    _cuda_cache.save(fresh, ENTRY, CODE)
    assert files(folder) == sorted([fresh, foreign, *others])


# ----------------------------------------------------------------------------------------------------------------- key


def test_what_makes_another_key(monkeypatch):
    base = place()
    assert place() == base
    others = [
        place(NAME.replace("8", "16")),
        place(NAME.replace("False", "True")),
        place(NAME.replace("8", "-8")),
        place(NAME.replace("8", "8" * 80)),
        place(NAME.replace("8", "8" * 81)),
        place(f"{NAME}/1"),
        place(signature=SIGNATURE.replace("32", "64")),
        place(capability=(8, 0)),
        place(capability=(9, 1)),
    ]
    changes = [
        (_cache, "_own", lambda: SimpleNamespace(digest="edited", check=lambda thoroughly: "")),
        (_cuda_cache, "_versions", lambda: ("other",)),
        (sys.implementation, "cache_tag", "cpython-999"),
        *((numba.config, setting, 0) for setting in ("OPT", "FORCE_CUDA_CC")),
        (numba.config, "CUDA_DEBUGINFO_DEFAULT", 1),
    ]
    for change in changes:
        with monkeypatch.context() as patch:
            patch.setattr(*change)
            others.append(place())
    assert len({base, *others}) == 1 + len(others)
    assert max(len(path.name) for path in others) < 200
    assert place() == base


def test_versions_of_what_compiles():
    assert numba.__version__ in _cuda_cache._versions() and sys.version in _cuda_cache._versions()


def test_kernels_from_elsewhere_have_no_place(monkeypatch):
    """What they call is in files that the digest does not cover."""
    assert [place(name) for name in ("", "/1", "other.cuda.kernel", "imfnb_more.kernel")] == [None] * 4
    edited = sources(0)
    monkeypatch.setattr(_cache, "_own", lambda: edited)
    assert place() is None and "has changed since" in edited.problem


def kernel_modules() -> list[str]:
    """Every module with kernels."""
    package = Path(imfnb.__file__).parent
    return [".".join(path.relative_to(package.parent).with_suffix("").parts) for path in package.rglob("cuda*.py")]


def test_kernels_have_places_of_their_own():
    assert list(_cuda._entries("a", ("x", "y", "z"))) == [("a", "x"), ("a/1", "y"), ("a/2", "z")]
    for module in kernel_modules():
        importlib.import_module(module)
    names = [name for name in _cuda.KERNELS if name.startswith("imfnb.")]
    assert len(names) > 40 and len({place(name) for name in names}) == len(names)


@pytest.mark.skipif(not _cuda._driver, reason="launches are Numba's")
@pytest.mark.thorough
def test_places_are_the_same_in_every_process(folder):
    """Also those of kernels with constants, which are named when they are made."""
    code = """
import importlib, sys
from imfnb.runtime import cuda as _cuda, cuda_cache as _cuda_cache
from imfnb.lapped.cuda import _filter
for module in sys.argv[1].split():
    importlib.import_module(module)
member = _filter(8, False)._entries[0]
assert member._name in _cuda.KERNELS, member._name
for name, (_, signature) in sorted(_cuda.KERNELS.items()):
    print(_cuda_cache.place(name, signature, (9, 0)))
"""
    outs = []
    for order in (1, -1):
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", code, " ".join(kernel_modules()[::order])]
        outs.append(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert outs[0] == outs[1] and "None" not in outs[0] and outs[0].count(str(folder)) > 40


# ------------------------------------------------------------------------------------------------------------ launcher


def test_the_cache_is_there_for_launches_of_our_own_only():
    assert hasattr(_cuda, "cuda_cache") == bool(_cuda._driver)


class CUresult(enum.IntEnum):
    """Codes of the driver, as in cuda.bindings."""

    CUDA_SUCCESS = 0
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_INVALID_IMAGE = 200
    CUDA_ERROR_NOT_FOUND = 500


class Machine:
    """A driver, and Numba's dispatcher of one kernel."""

    CUresult = CUresult

    def __init__(self) -> None:
        self.compiled: list[tuple] = []
        self.loaded: list[tuple[bytes, bytes]] = []
        self.module = self.function = self.launch = CUresult.CUDA_SUCCESS
        self.launches: list[tuple] = []
        self.major = 9

    CUdevice_attribute = SimpleNamespace(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR=75)
    CUlaunchAttributeID = SimpleNamespace(CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION=6)
    CUlaunchConfig = SimpleNamespace

    @staticmethod
    def CUlaunchAttribute() -> SimpleNamespace:
        return SimpleNamespace(value=SimpleNamespace())

    def cuCtxGetDevice(self) -> tuple:
        return CUresult.CUDA_SUCCESS, 3

    def cuDeviceGetAttribute(self, attribute: int, device: int) -> tuple:
        assert (attribute, device) == (75, 3)
        return CUresult.CUDA_SUCCESS, self.major

    def cuLaunchKernel(self, handle: str, *numbers: int) -> tuple:
        self.launches.append((handle, *numbers))
        return (self.launch,)

    def cuLaunchKernelEx(self, configuration: SimpleNamespace, handle: str, table: int, extra: int) -> tuple:
        ((attribute,), c) = configuration.attrs, configuration
        assert attribute.id == 6 and attribute.value.programmaticStreamSerializationAllowed == c.numAttrs == 1
        numbers = c.gridDimX, c.gridDimY, c.gridDimZ, c.blockDimX, c.blockDimY, c.blockDimZ, c.hStream
        self.launches.append(("overlapping", handle, *numbers, table, extra))
        return (self.launch,)

    def cuModuleLoadData(self, image: bytes) -> tuple:
        return (self.module, image) if self.module == CUresult.CUDA_SUCCESS else (self.module, None)

    def cuModuleGetFunction(self, module: bytes, name: bytes) -> tuple:
        if self.function != CUresult.CUDA_SUCCESS:
            return self.function, None
        self.loaded.append((module, name))
        return self.function, "loaded"

    def compile(self, types: tuple) -> SimpleNamespace:
        self.compiled.append(types)
        entry = f"{ENTRY}v{len(self.compiled)}"
        library = SimpleNamespace(
            _entry_name=entry,
            get_cubin=lambda: SimpleNamespace(code=CODE + entry.encode()),
            get_cufunc=lambda: SimpleNamespace(handle="compiled"),
        )
        return SimpleNamespace(_codelibrary=library)

    def entry(self, name: str = NAME) -> _cuda._Entry:
        """As a new process has it."""
        return _cuda._Entry(self, SIGNATURE, name)


class CudaAPIError(Exception):
    """Stands for the class of this name in Numba."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code


@pytest.fixture
def machine(monkeypatch):
    machine = Machine()
    monkeypatch.setattr(_cuda, "_driver", machine)
    monkeypatch.setattr(_cuda, "cuda_cache", _cuda_cache, raising=False)  # not there in the simulator
    device = SimpleNamespace(compute_capability=(9, 0))
    driver = SimpleNamespace(driver=SimpleNamespace(CudaAPIError=CudaAPIError))
    monkeypatch.setattr(_cuda, "cuda", SimpleNamespace(get_current_device=lambda: device, cudadrv=driver))
    return machine


def test_what_was_compiled_is_loaded_by_the_next_process(machine, folder):
    first, second = machine.entry(), machine.entry()
    assert first.handle(0) == "compiled" and first.handle(0) == "compiled"
    assert machine.compiled == [first.types] and not machine.loaded and len(files(folder)) == 1
    assert second.handle(0) == "loaded" and second.handle(0) == "loaded"
    code = CODE + f"{ENTRY}v1".encode()
    assert machine.loaded == [(code, f"{ENTRY}v1".encode())]
    assert len(machine.compiled) == 1 and second._modules == [code]


def test_whether_code_is_on_disk(machine, folder, monkeypatch):
    """Of this device, by whoever compiled it; never without a launcher that keeps it."""
    monkeypatch.setattr(_cuda, "SIMULATED", False)
    monkeypatch.setattr(_cuda, "importlib", SimpleNamespace(import_module=lambda name: None))
    monkeypatch.setitem(_cuda.KERNELS, NAME, (len, SIGNATURE))
    assert not _cuda.on_disk(NAME)
    machine.entry().handle(0)
    assert _cuda.on_disk(NAME)
    _cuda.cuda.get_current_device().compute_capability = 8, 0
    assert not _cuda.on_disk(NAME)
    monkeypatch.setattr(_cuda, "_driver", None)
    assert not _cuda.on_disk(NAME)


def test_auto_asks_for_a_kernel_that_there_is(machine, monkeypatch):
    monkeypatch.setattr(_cuda, "SIMULATED", False)
    asked = []
    monkeypatch.setattr(_cuda_cache, "place", lambda *arguments: asked.append(arguments))
    assert not devices._compiled()
    ((name, signature, capability),) = asked
    assert name == _cuda._qualified(_cuda.KERNELS[name][0]) and signature.startswith("void(")
    assert capability == (9, 0)


@pytest.fixture
def overlaps():
    """What is known of devices is forgotten."""
    _cuda._overlaps.cache_clear()
    yield
    _cuda._overlaps.cache_clear()


@pytest.mark.usefixtures("overlaps")
@pytest.mark.parametrize(("major", "times"), [(9, 1), (9, 3), (8, 3), (12, 2)])
def test_launches_in_a_row_overlap_where_they_can(machine, major, times):
    """The first waits for whatever came before; the others are the same launch, with the attribute."""
    machine.major = major
    _cuda._to_driver(times, "kernel", (4, 5, 1), (32, 2, 1), 77, 1234)
    plain = ("kernel", 4, 5, 1, 32, 2, 1, 0, 77, 1234, 0)
    other = ("overlapping", "kernel", 4, 5, 1, 32, 2, 1, 77, 1234, 0) if major >= 9 else plain
    assert machine.launches == [plain] + [other] * (times - 1)


@pytest.mark.usefixtures("overlaps")
@pytest.mark.parametrize("major", [8, 9])
def test_a_launch_that_fails_is_an_error(machine, major):
    machine.major, machine.launch = major, CUresult.CUDA_ERROR_OUT_OF_MEMORY
    with pytest.raises(CudaAPIError, match=r"a launch of \(4, 1, 1\) blocks .*CUDA_ERROR_OUT_OF_MEMORY"):
        _cuda._to_driver(2, "kernel", (4, 1, 1), (32, 1, 1), 0, 0)
    assert len(machine.launches) == 1


def test_devices_of_one_architecture_share_code(machine, folder):
    entry = machine.entry()
    assert [entry.handle(device) for device in (0, 1)] == ["compiled", "loaded"]
    _cuda.cuda.get_current_device().compute_capability = 8, 0
    assert entry.handle(2) == "compiled" and len(files(folder)) == 2


@pytest.mark.parametrize(
    ("call", "code"), [("module", CUresult.CUDA_ERROR_INVALID_IMAGE), ("function", CUresult.CUDA_ERROR_NOT_FOUND)]
)
def test_code_that_the_driver_refuses_is_compiled_anew(machine, folder, call, code):
    machine.entry().handle(0)
    setattr(machine, call, code)
    assert machine.entry().handle(0) == "compiled" and len(machine.compiled) == 2
    (path,) = files(folder)
    assert _cuda_cache.load(path)[0] == f"{ENTRY}v2"
    setattr(machine, call, CUresult.CUDA_SUCCESS)
    assert machine.entry().handle(0) == "loaded" and len(machine.compiled) == 2


@pytest.mark.parametrize("call", ["module", "function"])
def test_full_memory_is_an_error(machine, call):
    machine.entry().handle(0)
    setattr(machine, call, CUresult.CUDA_ERROR_OUT_OF_MEMORY)
    with pytest.raises(CudaAPIError, match="CUDA_ERROR_OUT_OF_MEMORY") as caught:
        machine.entry().handle(0)
    assert _cuda.is_out_of_memory(caught.value) and len(machine.compiled) == 1


def test_damaged_code_is_compiled_anew(machine, folder):
    machine.entry().handle(0)
    (path,) = files(folder)
    path.write_bytes(path.read_bytes()[:-1])
    assert machine.entry().handle(0) == "compiled"
    assert machine.entry().handle(0) == "loaded"


def test_kernels_without_a_name_are_not_cached(machine, folder):
    assert [machine.entry("").handle(0) for _ in range(2)] == ["compiled"] * 2
    assert not files(folder)


@pytest.mark.parametrize("missing", ["get_cubin", "_entry_name", "code"])
def test_numba_whose_parts_have_other_names(machine, folder, monkeypatch, missing):
    """It compiles and launches as ever; nothing is kept."""
    compiled = machine.compile

    def other(types: tuple) -> SimpleNamespace:
        kernel = compiled(types)
        if missing == "code":
            kernel._codelibrary.get_cubin = lambda: SimpleNamespace(code="the name of a file")
        else:
            delattr(kernel._codelibrary, missing)
        return kernel

    monkeypatch.setattr(machine, "compile", other)
    assert machine.entry().handle(0) == "compiled" and not files(folder)


def test_threads_that_ask_at_once(machine, folder):
    entries = [machine.entry() for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        handles = list(pool.map(lambda i: entries[i % 4].handle(0), range(64)))
    assert set(handles) <= {"compiled", "loaded"}
    (path,) = files(folder)
    entry, code = _cuda_cache.load(path)
    assert code == CODE + entry.encode()


@pytest.mark.jit
def test_code_of_the_real_compiler(machine, folder, monkeypatch):
    """Numba's inner parts are what the launcher takes them for: a cubin, which has a kernel of the name kept with it.

    The name depends on what the process compiled before.
    """
    if "numba_cuda" not in (numba.cuda.__file__ or "") or _cuda.SIMULATED:
        pytest.skip("takes numba-cuda")
    device = SimpleNamespace(id=0, compute_capability=(9, 0))
    module = SimpleNamespace(initialized=True)
    function = SimpleNamespace(handle="compiled", module=module)
    image = SimpleNamespace(get_function=lambda _: function)
    context = SimpleNamespace(device=device, create_module_image=lambda *_: image)
    monkeypatch.setattr("numba.cuda.dispatcher.get_current_device", lambda: device)
    monkeypatch.setattr("numba.cuda.codegen.devices.get_context", lambda: context)
    found = []
    for _ in range(2):
        dispatcher = numba.cuda.jit(lambda values, count: None)
        try:
            library = dispatcher.compile((numba.int32[::1], numba.int32))._codelibrary
        except Exception as error:
            if type(error).__name__ not in ("NvvmSupportError", "CudaSupportError", "FileNotFoundError"):
                raise
            pytest.skip(f"no compiler for CUDA: {error}")
        assert not library._setup_functions and not library._teardown_functions
        entry = _cuda._Entry(dispatcher, SIGNATURE, NAME)
        monkeypatch.setattr(machine, "module", CUresult.CUDA_ERROR_INVALID_IMAGE)  # so that the second compiles too
        assert entry.handle(0) == "compiled"
        (path,) = files(folder)
        found.append(_cuda_cache.load(path))
    for name, code in found:
        assert code.startswith(b"\x7fELF") and name.encode() in code
    assert found[0][0] != found[1][0]
