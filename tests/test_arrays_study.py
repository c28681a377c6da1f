"""The study of arrays: scenes by name, points that survive, tables against numbers known beforehand, the command."""

from __future__ import annotations

import importlib.util
import json
import zlib

import numpy as np
import pytest

from imfnb import OptionError
from imfnb.baselines.arrays import ArrayCodec
from imfnb.cli import main
from imfnb.evaluate import array_figures, arrays
from imfnb.evaluate.scenes import SYNTHETIC, Scene, scenes

pytestmark = pytest.mark.thorough


def toy(name="toy", target="noise", calls=None, off=0, **options):
    """A codec in microseconds: samples divided by a step and deflated; `off` is added to what is decoded."""

    def encode(array, level):
        if calls is not None:
            calls.append((name, level))
        step = 3.5 * level if target == "noise" else 2 * int(level) + 1 if array.dtype.kind != "f" else 1.9 * level
        indices = np.rint(array.astype(float) / step).astype("<i4")
        return np.float64(step).tobytes() + zlib.compress(indices.tobytes())

    def decode(data, shape, dtype):
        indices = np.frombuffer(zlib.decompress(data[8:]), "<i4").reshape(shape)
        return (indices * np.frombuffer(data[:8])[0] + off).astype(dtype)

    return ArrayCodec(name, f"toy {name}", target, encode, decode, **options)


def small():
    """Two scenes of one set, the same stacked, and a field of floats."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:20, :24]
    shots = np.stack(
        [9000 + 2000 * np.sin((x + k) / 5)[..., None] * [1, 2, 3] + rng.normal(0, 5, (20, 24, 3)) for k in (0, 1)]
    )
    shots = shots.astype(np.uint16)
    field = (y * x / 7 + rng.normal(0, 1, y.shape)).astype(np.float32)
    stacked = shots.transpose(1, 2, 0, 3).reshape(20, 24, 6)
    found = [Scene(f"s[{k}]", "s", lambda k=k: shots[k]) for k in (0, 1)]
    return [*found, Scene("s, stacked", "s, stacked", lambda: stacked, stacked=True), Scene("f", "f", lambda: field)]


# ---------------------------------------------------------------------------------------------------------- scenes


def test_synthetic_scenes_need_no_file():
    found = {scene.name: scene.read() for scene in scenes()}
    assert list(found) == [
        "synthetic-scene",
        *(f"synthetic-dates[{t}]" for t in range(3)),
        "synthetic-dates, stacked",
        "synthetic-field",
    ]
    assert found["synthetic-scene"].shape == (96, 112, 6) and found["synthetic-scene"].dtype == np.uint16
    assert found["synthetic-dates, stacked"].shape == (96, 112, 18)
    np.testing.assert_array_equal(found["synthetic-dates, stacked"][:, :, 6:12], found["synthetic-dates[1]"])
    assert found["synthetic-field"].shape == (96, 112) and found["synthetic-field"].dtype == np.float32
    assert [scene.name for scene in scenes(SYNTHETIC[0])] == [SYNTHETIC[0]]


def test_files_and_folders(tmp_path):
    np.save(tmp_path / "b.npy", np.arange(24, dtype=">u2").reshape(4, 6))
    np.save(tmp_path / "a.npy", np.arange(48, dtype=np.int16).reshape(2, 3, 4, 2))
    (tmp_path / "notes.txt").write_text("no array")
    found = scenes(tmp_path)
    assert [scene.name for scene in found] == ["a[0]", "a[1]", "a, stacked", "b"]
    assert [scene.group for scene in found] == ["a", "a", "a, stacked", "b"]
    assert found[3].read().dtype == np.uint16 and found[3].read().dtype.isnative
    assert found[2].read().shape == (3, 4, 4) and found[1].read()[0, 0, 0] == 24


def test_pictures_in_colour(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(60).reshape(3, 5, 4).astype(np.uint16))
    np.save(tmp_path / "b.npy", np.zeros((3, 5), np.uint16))
    (found,) = scenes(tmp_path, colours=True)
    assert (found.name, found.group) == ("a, rgb", "a, rgb")
    np.testing.assert_array_equal(found.read()[0, 0], [2, 1, 0])
    with pytest.raises(OptionError, match="none of the arrays has three bands"):
        scenes(tmp_path / "b.npy", colours=True)


def test_scenes_that_mean_nothing(tmp_path):
    np.save(tmp_path / "line.npy", np.arange(3))
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("nowhere", "no such file or folder, and no array"),
        (tmp_path / "line.npy", "expected .H, W., .H, W, C. or"),
        (tmp_path / "text.npy", "not a .npy file"),
        (tmp_path / "empty", "no .npy files in this folder"),
        ([SYNTHETIC[0], SYNTHETIC[0]], "two arrays are named"),
    ):
        with pytest.raises(OptionError, match=message):
            scenes(name)


# ----------------------------------------------------------------------------------------------------------- study


def test_study_of_toys(tmp_path):
    calls = []
    codecs = [toy("a", calls=calls), toy("b", off=9, calls=calls), toy("c", "bound", calls, floats=False)]
    outcome = arrays.run(small(), codecs, rates=(0.3, 4.0), output=tmp_path, repeat=1, threads=1)
    assert {path.name for path in outcome.files} == {"figure.png", "arrays.json", "table.txt", "collage.png"}
    assert all(path.stat().st_size > 0 for path in outcome.files)
    documents = json.loads((tmp_path / "arrays.json").read_text())
    assert [document["name"] for document in documents] == ["a", "b", "c"]
    for document in documents[:2]:
        for points in document["scenes"].values():
            rates = [point["bps"] for point in points]
            assert rates == sorted(rates) and rates[-1] > 4.0 and min(rates) < 1.0
            assert all(point["spectral_angle"] is not None for point in points if point["image"] != "f")
    assert list(documents[2]["scenes"]) == ["s[0]", "s[1]", "s, stacked"]
    for points in documents[2]["scenes"].values():
        assert [(point["level"], point["max_error"]) for point in points] == [(2.0, 2.0), (0.0, 0.0)]
    text = outcome.table
    assert "BD-rate in % of a against each, 0.3 to 4 bits per sample; mean: over 1 set" in text
    row = next(line for line in text.splitlines() if line.startswith("b "))
    assert all(float(value) < 0 for value in row.split()[1:])  # the other one is off
    assert "lossless, bits per sample" in text and "decoding time in ms" in text
    assert "V's share" not in text
    before = len(calls)
    arrays.run(small(), codecs, rates=(0.3, 4.0), output=tmp_path, repeat=0, threads=2)
    assert {name for name, _ in calls[before:]} == {"a"}  # the collage; all else is in the records


def test_stacked_against_apart_is_nothing_for_a_codec_of_samples(tmp_path):
    """The same errors, and at most the rate of both where the overhead of a file does not count."""
    codec = toy()
    found = arrays._collect(small(), [codec], arrays.Points(tmp_path / "p.jsonl"), (0.3, 4.0), None, 1, None)
    stacked = found["toy"]["s, stacked"]
    pooled = arrays._pooled([found["toy"]["s[0]"], found["toy"]["s[1]"]], stacked)
    by_psnr = {round(point["psnr"], 9): point["bpp"] for point in pooled}
    common = [point for point in stacked if round(point["psnr"], 9) in by_psnr]
    assert len(common) > 5 and common[-1]["bps"] > 3
    assert common[-1]["bps"] == pytest.approx(by_psnr[round(common[-1]["psnr"], 9)], rel=0.1)


def test_share_of_the_basis_and_times_over_those_of_another(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "info", lambda data: {"segments": {"V": len(data) // 4}})
    codecs = [toy("imf"), toy("jpeg2000")]
    outcome = arrays.run(small()[:1], codecs, rates=(0.3, 4.0), output=tmp_path, repeat=1, threads=1)
    shares = next(line for line in outcome.table.splitlines() if line.startswith("s[0]"))
    assert all(24 < float(share) <= 25 for share in shares.split()[1:])
    times = outcome.table.split("encoding time over that of jpeg2000")[1].splitlines()
    assert next(line for line in times if line.startswith("jpeg2000")).split()[-1] == "1.00"


def test_bounds_that_are_not_kept_are_not_printed(tmp_path):
    with pytest.raises(OptionError, match=r"bad has an error of 1 on s\[0\]; expected at most 0"):
        arrays.run(small()[:1], [toy("bad", "bound", off=1)], output=tmp_path, repeat=0)


def test_bounded_codecs_alone(tmp_path):
    outcome = arrays.run(small(), [toy("c", "bound")], max_error=3.5, output=tmp_path)
    assert [path.name for path in outcome.files] == ["arrays.json", "table.txt"]
    points = outcome.documents[0]["scenes"]["f"]
    assert [point["level"] for point in points] == [3.5] and points[0]["max_error"] <= 3.5
    assert arrays._bounds(np.array([[0.0, 50.0]]), toy("c", "bound"), None) == [0.05]
    assert arrays._bounds(np.zeros((2, 2)), toy("c", "bound"), None) == []
    assert arrays._bounds(np.zeros((2, 2), int), toy("c", "bound", largest=0.0), None) == [0.0]


@pytest.mark.parametrize(
    ("codecs", "options", "message"),
    [
        ([], {}, "no codecs"),
        ([toy()], {"rates": (1, 1)}, "the lower first"),
        ([toy()], {"bps": 0}, "positive rate"),
        ([toy()], {"max_error": -1.0}, "positive rate"),
    ],
)
def test_options_that_make_no_sense(tmp_path, codecs, options, message):
    with pytest.raises(OptionError, match=message):
        arrays.run(small(), codecs, output=tmp_path, **options)


def test_false_colours():
    array = np.zeros((10, 10, 4), np.uint16)
    array[..., 0], array[..., 1], array[..., 2] = np.arange(10), 500, np.arange(10)[:, None] * 10
    picture = array_figures.false_colours(array, array)
    assert picture.shape == (10, 10, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[0, :, 2], picture[:, 0, 0])  # band 1 is blue, band 3 red
    assert picture[0, 0, 2] == 0 and picture[0, 9, 2] == 255
    assert array_figures.false_colours(array[:, :, :2], array[:, :, :2]).shape == (10, 10)
    assert array_figures.false_colours(array[:, :, 0], array[:, :, 0]).shape == (10, 10)


def test_collage_of_what_fits():
    scene = small()[0]
    assert array_figures._within(toy(), scene.read(), 1) is None
    data = array_figures._within(toy(), scene.read(), 600)
    assert 300 < len(data) <= 600
    figure = array_figures.draw_collage(scene, [toy(), toy("large")], 0.001)
    assert sum("cannot go below" in axis.get_title() for axis in figure.axes) == 2


# --------------------------------------------------------------------------------------------------------- command


def test_command(tmp_path, capsys):
    if not importlib.util.find_spec("imagecodecs"):
        pytest.skip("imagecodecs is not installed")
    np.save(tmp_path / "a.npy", small()[0].read())
    arguments = ["bench", "arrays", str(tmp_path / "a.npy"), "-o", str(tmp_path / "out"), "--repeat", "1"]
    arguments += ["--codec", "klt-jpeg2000", "jpeg2000", "jpegls", "--rates", "0.5", "3", "--max-error", "3"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == "" and "BD-rate in % of klt-jpeg2000" in out and "largest error kept" in out
    assert f"wrote {tmp_path / 'out' / 'collage.png'}" in out
    assert main(["bench", "arrays", "nowhere"]) == 1
    assert main(["bench", "arrays", "--codec", "webp"]) == 1
    assert "expected one of imf" in capsys.readouterr().err
