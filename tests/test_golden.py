"""Golden files: what once was written decodes to the same pixels for ever, on every backend."""

from __future__ import annotations

import importlib.util
import json
import pathlib

import numba
import pytest

import imfnb
from imfnb.runtime.cuda import SIMULATED
from imfnb.runtime.devices import cuda_status

FOLDER = pathlib.Path(__file__).parent / "golden"
TABLE = json.loads((FOLDER / "sha256.json").read_text())

_spec = importlib.util.spec_from_file_location("golden_make", FOLDER / "make.py")
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)


#: Devices that there are. Where the simulator is on, the files are for it alone: others decode them without it.
DEVICES = (
    ("cuda",) if SIMULATED else ("cpu", "reference", *(() if cuda_status().startswith("not found") else ("cuda",)))
)


#: Arrays that the simulator decodes, five seconds each: their stages on the GPU are the same for all others.
ARRAYS = ("v2-main-array-uint16", "v2-main-array-mask-samples", "v2-main-array-over-2", "v2-main-array-frames-bands")


def _runs():
    """(name, device, threads); the simulator has the smallest only.

    The reference needs a second and more for some beyond 40 x 40 pixels: they are slow, since `test_format` has all
    but megapixels decoded by other Python, which was written from the text.
    """
    for name in sorted(TABLE):
        size = max(TABLE[name]["shape"][:2])
        for device in DEVICES:
            if device == "cuda" and SIMULATED and (size > 24 or ("-array-" in name and name not in ARRAYS)):
                continue
            marks = [pytest.mark.jit] if size > 40 else []
            if SIMULATED or (size > 40 and device == "reference"):
                marks.append(pytest.mark.slow)
            for threads in (1, 3) if device == "cpu" and not numba.config.DISABLE_JIT else (1,):
                yield pytest.param(name, device, threads, marks=marks)


@pytest.mark.parametrize(("name", "device", "threads"), list(_runs()))
def test_golden_file_decodes_to_the_same_pixels(name, device, threads):
    data = (FOLDER / f"{name}.imf").read_bytes()
    assert make.checksum(imfnb.decode(data, device=device, threads=threads)) == TABLE[name]


def test_every_file_has_a_checksum_and_a_case():
    files = {path.stem for path in FOLDER.glob("*.imf")}
    assert files == set(TABLE) == set(make.CASES)
    assert len(files) >= 60


@pytest.mark.jit
def test_files_are_small_and_of_the_version_and_profile_in_their_name():
    for name in TABLE:
        data = (FOLDER / f"{name}.imf").read_bytes()
        version, profile = name.split("-")[:2]
        assert len(data) < 3000
        assert (f"v{data[4]}", imfnb.info(data)["profile"]) == (version, profile)


@pytest.mark.jit
def test_files_of_the_main_profile_cover_its_fields():
    """Both kinds of alpha, both resolutions of chroma, both patch sizes, restoration on and off, steps far apart."""
    found = [imfnb.info(FOLDER / f"{name}.imf", components=True) for name in TABLE if name.startswith("v1-main")]
    assert len(found) >= 12
    assert {details["subsampling"] for details in found if len(details["segments"]) > 1} == {"4:2:0", "4:4:4"}
    assert {size for details in found for size in details["patch_sizes"]} == {8, 16}
    assert {on for details in found for on in details["restoration"]} == {False, True}
    assert {len(d["steps"]) - len(d["segments"]) for d in found if len(d["segments"]) == 4} == {-1, 0}
    assert max(max(details["free_v"]) for details in found) == 2
    steps = [details["steps"][0] for details in found]
    assert (min(steps), max(steps)) == (1, 256)


@pytest.mark.jit
def test_files_of_the_fast_effort_cover_its_fields():
    """Both patch sizes and resolutions of chroma, the short filter on and off, local steps, one lane and several."""
    found = [imfnb.info(FOLDER / f"{name}.imf") for name in TABLE if "-main-" in name and "fast" in name]
    assert len(found) >= 11 and {details["effort"] for details in found} == {"fast"}
    assert {details.get("subsampling") for details in found} == {None, "4:2:0", "4:4:4"}
    assert {size for details in found for size in details["patch_sizes"]} == {8, 16}
    assert {on for details in found for on in details["restoration"]} == {False, True}
    assert {details.get("local_steps") for details in found} == {None, 16}
    data = (FOLDER / "v2-main-fast-lanes.imf").read_bytes()
    (size,) = imfnb.info(data)["segments"].values()
    assert data[len(data) - size + 1] > 1  # the binary logarithm of their number


@pytest.mark.jit
def test_files_with_adaptive_tables_cover_their_fields():
    """Patches and none, one matrix and several, bytes and words, one lane and several."""
    found = {name: imfnb.info(FOLDER / f"{name}.imf") for name in TABLE if "-baseline-fast" in name}
    assert len(found) >= 7 and {details["coder"] for details in found.values()} == {"fast"}
    assert {details["patch_size"] for details in found.values()} == {8, None}
    assert {len(details["segments"]) for details in found.values()} == {1, 2, 3}
    assert {details["bounds"] for details in found.values()} == {(-16, 15), (-32767, 32767)}
    data = (FOLDER / "v2-baseline-fast-lanes.imf").read_bytes()
    (size,) = found["v2-baseline-fast-lanes"]["segments"].values()
    assert data[len(data) - size] == 2  # the binary logarithm of their number


def test_make_never_touches_what_exists(tmp_path, monkeypatch):
    cases = dict(list(make.CASES.items())[:3])
    monkeypatch.setattr(make, "CASES", cases)
    names = list(cases)
    (tmp_path / f"{names[0]}.imf").write_bytes(b"kept")
    assert make.main(tmp_path) == names[1:]
    assert (tmp_path / f"{names[0]}.imf").read_bytes() == b"kept"
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert make.main(tmp_path) == []
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert imfnb.decode((tmp_path / f"{names[1]}.imf").read_bytes()).shape == (19, 23, 1)
