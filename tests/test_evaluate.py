"""The laboratory: every study end to end on tiny pictures, records that survive, data by name, figures."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import itertools
import json
import math
import threading
from pathlib import Path
from typing import ClassVar

import numba
import numpy as np
import pytest
from helpers import picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imfnb import OptionError
from imfnb.baselines import codec
from imfnb.cli import main
from imfnb.evaluate import ablation, classification, collage, data, factor_maps, parts, rate_distortion, timing
from imfnb.evaluate.curves import compare, document, mean_at, read_published, value_at
from imfnb.evaluate.data import Picture, pictures
from imfnb.evaluate.figures import _spread, look, render
from imfnb.evaluate.measures import METRICS, check_metrics
from imfnb.evaluate.records import Points, collect, measure
from imfnb.evaluate.study import CODECS, codecs_by_name

pytestmark = pytest.mark.thorough

KEYS = {"bpp", "psnr-rgb", "ms-ssim-rgb", "encoding_time", "decoding_time"}


def toy(name="toy", levels=(2.0, 4.0, 8.0, 16.0), calls=None):
    """A codec in microseconds: samples divided by a step, deflated; with a record of its calls."""
    import zlib

    def encode(image, level):
        if calls is not None:
            calls.append((name, level))
        step = int(64 / level)
        head = np.array([*image.shape, *[0] * (3 - image.ndim), step], "<u4").tobytes()
        return head + zlib.compress((image // step).tobytes())

    def decode(data):
        *shape, step = np.frombuffer(data[:16], "<u4").tolist()
        raw = np.frombuffer(zlib.decompress(data[16:]), np.uint8)
        pixels = np.minimum(raw.astype(int) * step + step // 2, 255).astype(np.uint8)
        return pixels.reshape([n for n in shape if n])

    return dataclasses.replace(
        codec("jpeg"), name=name, description="toy", levels=levels, encode=encode, decode=decode, limits=(1.0, 64.0)
    )


def memory(*images, names="abcdefgh"):
    return [Picture(name, lambda image=image: image) for name, image in zip(names, images, strict=False)]


@pytest.fixture
def folder(tmp_path):
    """Three small pictures in a folder, one of them gray."""
    home = tmp_path / "pictures"
    home.mkdir()
    for number, channels in enumerate((3, 3, 0)):
        Image.fromarray(picture(24, 33, channels, seed=number)).save(home / f"{number}.png")
    (home / "notes.txt").write_text("not a picture")
    return home


def png_size(path):
    with Image.open(path) as image:
        return image.size


def texts(figure):
    """All that is written in a figure, axis by axis."""
    return [
        {"x": axis.get_xlabel(), "y": axis.get_ylabel(), "all": " ".join(t.get_text() for t in axis.texts)}
        for axis in figure.axes
    ]


# ------------------------------------------------------------------------------------------------------------ data


def test_folder_in_order_without_other_files(folder):
    found = pictures(folder)
    assert [p.name for p in found] == ["0.png", "1.png", "2.png"]
    assert [p.read().shape for p in found] == [(24, 33, 3), (24, 33, 3), (24, 33)]


def test_file_and_photograph(folder):
    found = pictures([folder / "1.png", "camera"])
    np.testing.assert_array_equal(found[0].read(), np.array(Image.open(folder / "1.png")))
    assert found[1].name == "camera" and found[1].read().shape == (512, 512)


def test_photographs_are_in_the_package():
    """Those that scikit-image would download are not offered."""
    for found in pictures("photographs"):
        image = found.read()
        assert image.dtype == np.uint8 and image.ndim in (2, 3) and min(image.shape[:2]) > 100


def test_alpha_is_left_out(tmp_path):
    rgba = picture(5, 6, 4)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    np.testing.assert_array_equal(pictures(tmp_path / "a.png")[0].read(), rgba[:, :, :3])


@pytest.mark.parametrize("sources", ["no-such-thing", [], ["camera", "camera"]])
def test_names_that_mean_nothing(sources):
    with pytest.raises(OptionError):
        pictures(sources)


def test_folder_without_pictures(tmp_path):
    with pytest.raises(OptionError, match="no pictures in this folder"):
        pictures(tmp_path)


class Quiet(http.server.SimpleHTTPRequestHandler):
    requests: ClassVar[list[str]] = []

    def do_GET(self):
        self.requests.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A file server with a Kodak set of one small picture; yields its folder and the list of requests."""
    home = tmp_path / "server"
    home.mkdir()
    Image.fromarray(picture(8, 12)).save(home / "kodim01.png")
    digest = hashlib.sha256((home / "kodim01.png").read_bytes()).hexdigest()
    Quiet.requests = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Quiet(*a, directory=home)) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        monkeypatch.setattr(data, "KODAK_URL", f"http://127.0.0.1:{running.server_port}/")
        monkeypatch.setattr(data, "KODAK", {"kodim01.png": digest})
        monkeypatch.delenv(data.OVERRIDE, raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("HOME", str(tmp_path))
        yield home, Quiet.requests
        running.shutdown()
        thread.join()


def test_kodak_is_downloaded_once(server):
    _, requests = server
    (found,) = pictures("kodak")
    assert requests == []  # nothing before it is needed
    for _ in range(2):
        np.testing.assert_array_equal(found.read(), picture(8, 12))
    assert requests == ["/kodim01.png"]


def test_kodak_with_another_checksum(server):
    home, _ = server
    Image.fromarray(picture(8, 12, seed=1)).save(home / "kodim01.png")
    with pytest.raises(OptionError, match=r"kodim01.png cannot be fetched.*hash.*IMFNB_DATA"):
        pictures("kodak")[0].read()


def test_kodak_that_is_not_there(server):
    home, _ = server
    (home / "kodim01.png").unlink()
    with pytest.raises(OptionError, match=r"404.*IMFNB_DATA"):
        pictures("kodak")[0].read()


def test_kodak_override(tmp_path, monkeypatch):
    (tmp_path / "kodak").mkdir()
    Image.fromarray(picture(8, 12)).save(tmp_path / "kodak" / "kodim01.png")
    monkeypatch.setenv("IMFNB_DATA", str(tmp_path))
    first, second, *_ = pictures("kodak")
    np.testing.assert_array_equal(first.read(), picture(8, 12))
    with pytest.raises(OptionError, match=r"kodim02.png is missing"):
        second.read()


def test_kodak_checksums_are_of_the_right_form():
    assert list(data.KODAK) == [f"kodim{n:02d}.png" for n in range(1, 25)]
    assert all(len(digest) == 64 and int(digest, 16) >= 0 for digest in data.KODAK.values())
    assert len(set(data.KODAK.values())) == 24


# --------------------------------------------------------------------------------------------------------- records


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 10)), max_size=20), st.integers(0, 30))
def test_records_survive_a_cut(tmp_path_factory, rows, cut):
    """Whatever of the file is left, all whole lines are there, and the file can be continued."""
    path = tmp_path_factory.mktemp("records") / "points.jsonl"
    points = Points(path, key=("image", "level"))
    for image, level in rows:
        points.add({"image": image, "level": level, "value": image + level})
    whole = path.read_bytes() if rows else b""
    path.write_bytes(whole[: max(0, len(whole) - cut)])
    again = Points(path, key=("image", "level"))
    kept = whole[: max(0, len(whole) - cut)].count(b"\n")
    for image, level in rows[:kept]:
        assert again.get({"image": image, "level": level})["value"] == image + level
    again.add({"image": 99, "level": 1.0})
    assert Points(path, key=("image", "level")).get({"image": 99, "level": 1.0}) is not None


def test_nothing_is_measured_twice(tmp_path):
    calls = []
    chosen, images = [toy(calls=calls)], memory(picture(9, 7), picture(8, 8, 0))
    first = collect(chosen, images, Points(tmp_path / "p.jsonl"), threads=2)
    assert len(calls) == 8
    assert collect(chosen, images, Points(tmp_path / "p.jsonl")) == first
    assert len(calls) == 8
    # Another picture of the same name, another codec of the same name: other points.
    collect(chosen, memory(picture(9, 7, seed=1)), Points(tmp_path / "p.jsonl"))
    other = dataclasses.replace(chosen[0], description="another")
    collect([other], images[:1], Points(tmp_path / "p.jsonl"))
    assert len(calls) == 16


@pytest.mark.parametrize("threads", [1, 2])
def test_interrupted_study_goes_on(tmp_path, monkeypatch, threads):
    """Ctrl-C in the middle keeps every finished point; the next run measures the others only."""
    calls: list = []
    chosen, images = [toy("a", calls=calls), toy("b", calls=calls)], memory(*[picture(9, 7, seed=i) for i in range(4)])
    from imfnb.evaluate import records

    real = records.run_batch

    def interrupted(function, jobs, executor, errors):
        for job in jobs[:3]:
            executor.submit(function, job).result()
        raise KeyboardInterrupt

    monkeypatch.setattr(records, "run_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        collect(chosen, images, Points(tmp_path / "p.jsonl"), threads=threads)
    assert len(calls) == 12 and len((tmp_path / "p.jsonl").read_bytes().splitlines()) == 12
    monkeypatch.setattr(records, "run_batch", real)
    found = collect(chosen, images, Points(tmp_path / "p.jsonl"), threads=threads)
    assert len(calls) == 32
    assert all([p["level"] for p in points] == [2, 4, 8, 16] for curve in found.values() for points in curve.values())


def test_running_points_end_soon_after_an_interruption(tmp_path, monkeypatch):
    """A curve that is being measured stops after the point at hand."""
    begun, released = threading.Event(), threading.Event()
    calls: list = []
    slow = toy(calls=calls)

    def encode(image, level):
        begun.set()
        released.wait(10)
        return slow.encode(image, level)

    from imfnb.evaluate import records

    def interrupted(function, jobs, executor, errors):
        executor.submit(function, jobs[0])
        assert begun.wait(10)
        threading.Timer(0.05, released.set).start()
        raise KeyboardInterrupt

    monkeypatch.setattr(records, "run_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        collect([dataclasses.replace(slow, encode=encode)], memory(picture(9, 7)), Points(tmp_path / "p.jsonl"))
    assert len(calls) == 1 == len((tmp_path / "p.jsonl").read_bytes().splitlines())


def test_failures_come_at_the_end(tmp_path):
    def fail(image, level):
        raise OptionError("too small")

    broken = dataclasses.replace(toy("broken"), encode=fail)
    with pytest.raises(OptionError, match="2 of 4 curves are not complete, the first: broken on a: too small"):
        collect([broken, toy()], memory(picture(5, 5), picture(6, 6)), Points(tmp_path / "p.jsonl"))
    assert len((tmp_path / "p.jsonl").read_bytes().splitlines()) == 8
    bug = dataclasses.replace(toy("bug"), encode=lambda image, level: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        collect([bug], memory(picture(5, 5)), Points(tmp_path / "q.jsonl"))


def test_progress_counts_every_point(tmp_path):
    seen = []
    collect([toy(), toy("b")], memory(picture(5, 5)), Points(tmp_path / "p.jsonl"), 2, lambda *p: seen.append(p))
    assert seen == [(n, 8) for n in range(1, 9)]


def test_measured_point():
    image = picture(20, 30)
    point = measure(toy(), image, 4.0, METRICS)
    assert point["bpp"] == 8 * point["bytes"] / 600 and 30 < point["psnr-rgb"] < 40 and 0.7 < point["ssim-rgb"] < 1
    assert point["ms-ssim-rgb"] is point["ssimulacra2"] is None  # too small for five and for six scales
    assert measure(toy(), np.full((9, 9), 96, np.uint8), 64.0)["psnr-rgb"] is None  # identical: no finite number
    json.dumps(point, allow_nan=False)


def test_points_are_completed_with_what_they_lack(tmp_path):
    calls: list = []
    chosen, images = [toy(calls=calls)], memory(picture(9, 7))
    (first,) = collect(chosen, images, Points(tmp_path / "p.jsonl"))["toy"].values()
    (second,) = collect(chosen, images, Points(tmp_path / "p.jsonl"), metrics=["ssim"])["toy"].values()
    assert len(calls) == 8 and all("ssim-rgb" not in p for p in first) and all(0 < p["ssim-rgb"] <= 1 for p in second)
    assert [p["psnr-rgb"] for p in first] == [p["psnr-rgb"] for p in second]
    (third,) = collect(chosen, images, Points(tmp_path / "p.jsonl"), metrics=["ssim", "psnr"])["toy"].values()
    assert len(calls) == 8 and third == second


def test_metrics_that_cannot_be_measured(monkeypatch):
    assert check_metrics(["ssim", "psnr", "ssim"]) == ("ssim", "psnr")
    for names in (["beauty"], []):
        with pytest.raises(OptionError, match=r"the metric is (beauty|missing); expected some of psnr, ssim"):
            check_metrics(names)
    monkeypatch.setitem(__import__("sys").modules, "ssimulacra2", None)
    with pytest.raises(OptionError, match=r'ssimulacra2 is needed here.*pip install "imfnb\[eval\]"'):
        rate_distortion.run(memory(picture(5, 5)), [toy()], metrics=["psnr", "ssimulacra2"])


# ---------------------------------------------------------------------------------------------------------- curves


def line(slope=6.0, offset=30.0, rates=(0.1, 0.2, 0.4, 0.8)):
    return [{"bpp": r, "psnr-rgb": offset + slope * math.log2(r), "level": r} for r in rates]


@given(st.floats(0.1, 0.8), st.floats(1, 9), st.floats(20, 40))
def test_interpolation_is_exact_on_straight_lines(bpp, slope, offset):
    found = value_at(line(slope, offset), "psnr", [bpp])
    np.testing.assert_allclose(found, offset + slope * math.log2(bpp), atol=1e-9)


def test_curves_are_never_extended():
    found = value_at(line(), "psnr", [0.05, 0.1, 0.8, 0.81])
    assert np.isnan(found[[0, 3]]).all() and np.isfinite(found[1:3]).all()
    mean, error = mean_at({"a": line(), "b": line(rates=(0.2, 0.8))}, "psnr", [0.1, 0.4])
    assert np.isnan(mean[0]) and np.isfinite(mean[1]) and error[1] == pytest.approx(0)
    assert np.isnan(value_at(line(rates=(0.3,)), "psnr", [0.3])).all()


def test_standard_error():
    curve = {name: line(offset=offset) for name, offset in (("a", 30), ("b", 33), ("c", 36))}
    mean, error = mean_at(curve, "psnr", [0.3])
    assert mean[0] == pytest.approx(33 + 6 * math.log2(0.3)) and error[0] == pytest.approx(3 / math.sqrt(3))


def test_difference_of_shifted_curves():
    half = {name: [{**p, "bpp": p["bpp"] / 2} for p in line(offset=o)] for name, o in (("a", 30), ("b", 32))}
    found = compare(half, {name: line(offset=o) for name, o in (("a", 30), ("b", 32))})
    assert found.rate == pytest.approx(-50) and found.rate_error == pytest.approx(0, abs=1e-9)
    assert found.gain == pytest.approx(6) and found.pictures == 2
    assert math.isnan(compare(half, {"c": line()}).rate)


def test_similarities_are_compared_in_decibels():
    """One minus the similarity falls tenfold where PSNR grows by 10 dB: the same comparison."""
    ours = [{**p, "ms-ssim-rgb": 1 - 10 ** (-p["psnr-rgb"] / 10)} for p in line(slope=5, offset=25)]
    theirs = [{**p, "ms-ssim-rgb": 1 - 10 ** (-p["psnr-rgb"] / 10)} for p in line(slope=6, offset=24)]
    found, expected = (compare({"a": ours}, {"a": theirs}, metric) for metric in ("ms-ssim", "psnr"))
    assert found.rate == pytest.approx(expected.rate, abs=1e-6) and found.gain == pytest.approx(expected.gain, abs=1e-6)
    perfect = [*ours, {"bpp": 1.6, "psnr-rgb": None, "ms-ssim-rgb": 1.0}]
    assert compare({"a": perfect}, {"a": theirs}, "ms-ssim") == found  # no finite number of decibels


def test_difference_within_rates():
    """Curves that differ at high rates only, so that a range of rates decides what is seen of it."""
    anchor = line(rates=(0.1, 0.2, 0.4, 0.8, 1.6))
    other = [{**p, "psnr-rgb": p["psnr-rgb"] + (3 if p["bpp"] > 0.5 else 0)} for p in anchor]
    assert compare({"a": other}, {"a": anchor}, rates=(0.1, 0.4)).rate == pytest.approx(0, abs=1e-9)
    assert compare({"a": other}, {"a": anchor}).rate < -5
    assert math.isnan(compare({"a": other}, {"a": anchor}, rates=(2.0, 3.0)).rate)
    # Between points the ends are interpolated: on straight lines, the same difference wherever they are.
    half = [{**p, "bpp": p["bpp"] / 2} for p in anchor]
    assert compare({"a": half}, {"a": anchor}, rates=(0.13, 0.71)).rate == pytest.approx(-50)


def test_document_has_compressais_shape():
    points = [{**p, "ms-ssim-rgb": None, "encoding_time": 1.0, "decoding_time": 0.5} for p in line()]
    found = document("x", "y", {"a": points, "b": points}, ["psnr", "ms-ssim"])
    assert set(found) == {"name", "description", "results", "images"} and set(found["results"]) == KEYS
    assert found["results"]["bpp"] == [0.1, 0.2, 0.4, 0.8] and found["results"]["ms-ssim-rgb"] == [None] * 4
    assert found["images"]["b"]["level"] == [0.1, 0.2, 0.4, 0.8]
    json.dumps(found, allow_nan=False)


def test_published_files(tmp_path):
    many = tmp_path / "many.json"
    many.write_text(json.dumps({"curves": {"A": {"bpp": [0.4, 0.2], "psnr-rgb": [32, 30]}}}))
    one = tmp_path / "one.json"
    one.write_text(json.dumps({"name": "B", "results": {"bpp": [0.1], "psnr-rgb": [28], "encoding_time": [1]}}))
    table = tmp_path / "t.csv"
    table.write_text("image,method,quality,bpp,psnr_db\nx.png,IMF,1,0.1,25\nx.png,IMF,2,0.2,27\ny.png,IMF,1,0.1,24\n")
    found = read_published([many, one, table])
    assert list(found) == ["A", "B", "IMF*"]
    assert [p["bpp"] for p in found["A"]["average"]] == [0.2, 0.4]
    assert {name: len(points) for name, points in found["IMF*"].items()} == {"x.png": 2, "y.png": 1}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"curves": {"A": {"bpp": [1], "psnr-rgb": []}}}', "\x00"])
@pytest.mark.parametrize("suffix", [".json", ".csv"])
def test_published_files_that_are_not(tmp_path, text, suffix):
    path = tmp_path / f"p{suffix}"
    path.write_text(text)
    with pytest.raises(OptionError, match="not a file of published curves"):
        read_published([path])
    with pytest.raises(OptionError, match="No such file"):
        read_published([tmp_path / "absent.json"])


# --------------------------------------------------------------------------------------------------------- figures


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.01, 0.2))
def test_labels_keep_their_order_and_distance(heights, distance):
    found = _spread(sorted(heights), distance)
    assert len(found) == len(heights)
    assert all(b - a >= distance - 1e-9 for a, b in itertools.pairwise(found))
    assert sum(found) == pytest.approx(sum(heights), abs=1e-6)


def test_every_codec_of_a_default_study_has_its_own_look():
    looks = [str(look(name)) for name in CODECS]
    assert len(set(looks)) == len(CODECS)
    assert len({str(look("", number)) for number in range(32)}) == 32


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".jpg"])
def test_figures_by_suffix(tmp_path, suffix):
    curves = {"imf": {"a": line()}, "toy": {"a": line(offset=28)}}
    path = tmp_path / f"f{suffix}"
    path.write_bytes(render(rate_distortion.draw(curves, {}), path))
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF", ".jpg": b"\xff\xd8"}[suffix]
    assert path.read_bytes().startswith(start)


def test_figure_with_another_suffix(tmp_path):
    with pytest.raises(OptionError, match=r"saved as \.png"):
        rate_distortion.run(memory(picture(5, 5)), [toy()], output=tmp_path, figure=tmp_path / "f.gif")
    assert list(tmp_path.iterdir()) == []  # before any work


def test_missing_library(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(OptionError, match=r"matplotlib.*imfnb\[eval\]"):
        rate_distortion.draw({"imf": {"a": line()}}, {})


# --------------------------------------------------------------------------------------------------------- studies


def test_rate_distortion(tmp_path, folder):
    published = tmp_path / "lrf.csv"
    rows = [f"{n}.png,{m},1,{b},{24 + 4 * b}" for n in range(3) for m in ("IMF", "JPEG") for b in (0.1, 1, 9)]
    published.write_text("\n".join(["image,method,quality,bpp,psnr_db", *rows]))
    outcome = rate_distortion.run(
        pictures(folder),
        [toy(), toy("jpeg-default")],
        published=[published],
        limits=True,
        output=tmp_path / "out",
        threads=1,
    )
    assert {path.name for path in outcome.files} == {"figure.png", "toy.json", "jpeg-default.json", "table.txt"}
    document = json.loads((tmp_path / "out" / "toy.json").read_text())
    assert set(document["results"]) == KEYS and len(document["results"]["bpp"]) == 4
    assert list(document["images"]) == ["0.png", "1.png", "2.png"]
    assert "jpeg-default - JPEG*" in outcome.table and "limit, lapped patches" in outcome.table
    assert (tmp_path / "out" / "table.txt").read_text() == outcome.table + "\n"
    width, height = png_size(tmp_path / "out" / "figure.png")
    assert width > height > 500


def test_rate_distortion_figure_is_labelled():
    points = [{**p, "ms-ssim-rgb": 0.9 + p["bpp"] / 20} for p in line()]
    curves = {"imf": {"a": points, "b": points}, "jpeg": {"a": line(offset=27), "b": line(offset=28)}}
    # SSIM is known of no codec and gets no panel.
    drawn = rate_distortion.draw(curves, {"VVC": {"average": line(offset=33)}}, ["psnr", "ssim", "ms-ssim"])
    left, right = texts(drawn)
    assert left["x"] == right["x"] == "rate (bits per pixel)" and "dB" in left["y"] and "MS-SSIM" in right["y"]
    assert left["all"].split() == ["jpeg", "imf", "VVC†"] and right["all"] == "imf"
    four = [{**p, "ssim-rgb": 0.9, "ms-ssim-rgb": 0.9, "ssimulacra2": 10 * p["bpp"]} for p in line()]
    labels = [text["y"] for text in texts(rate_distortion.draw({"imf": {"a": four}}, {}, list(METRICS)))]
    assert [label.split(" (")[0] for label in labels] == ["PSNR", "SSIM", "MS-SSIM", "SSIMULACRA 2"]


@pytest.mark.slow
def test_rate_distortion_in_several_measures(tmp_path):
    images = memory(picture(240, 230), picture(230, 240, 0))
    outcome = rate_distortion.run(
        images, [toy(), codec("jpeg2000")], metrics=METRICS, rates=(0.05, 2.5), output=tmp_path, threads=1
    )
    assert "BD-rate from 0.05 to 2.5 bpp against toy" in outcome.table
    head, row = (line.split() for line in outcome.table.splitlines()[2:4])
    assert head == ["BD-rate", "%", "PSNR", "SSIM", "MS-SSIM", "SSIMULACRA", "2"] and row[0] == "jpeg2000"
    for title in ("PSNR in dB", "SSIM in dB", "MS-SSIM in dB", "SSIMULACRA 2"):
        assert f"\n{title} at bpp" in outcome.table
    results = outcome.documents[0]["results"]
    assert set(results) == {"bpp", *(m.key for m in METRICS.values()), "encoding_time", "decoding_time"}
    assert all(None not in values for values in results.values())
    width, height = png_size(tmp_path / "figure.png")
    assert width > 1500 and height > 1200  # two panels above two
    for rates in ((1.0, 0.5), (0.0, 1.0)):
        with pytest.raises(OptionError, match="expected two positive numbers, the lower first"):
            rate_distortion.run(images, [toy()], rates=rates, output=tmp_path)


def test_anchor_must_be_measured(tmp_path):
    with pytest.raises(OptionError, match="the anchor is webp; expected one of the codecs measured: toy"):
        rate_distortion.run(memory(picture(5, 5)), [toy()], anchor="webp", output=tmp_path)


def test_codecs_by_name():
    assert [c.name for c in codecs_by_name(["jpeg", "imf", "jpeg"])] == ["jpeg", "imf"]
    assert len(codecs_by_name(["all"])) > len(codecs_by_name(None)) == len(CODECS)
    with pytest.raises(OptionError, match="expected one of"):
        codecs_by_name(["nope"])


def small(monkeypatch, levels=2):
    """Fewer levels per variant: enough for a curve."""
    real = ablation.variants
    monkeypatch.setattr(
        ablation,
        "variants",
        lambda subject: [dataclasses.replace(c, levels=c.levels[1 : 3 * levels : 3]) for c in real(subject)],
    )


@pytest.mark.jit
@pytest.mark.parametrize("subject", ablation.SUBJECTS)
def test_ablation(tmp_path, monkeypatch, subject):
    small(monkeypatch)
    names = [variant.name for variant in ablation.variants(subject)]
    image = picture(64, 80)
    outcome = ablation.run(subject, memory(image, image[::-1].copy()), output=tmp_path, threads=2)
    assert [d["name"] for d in outcome.documents] == names and len(set(names)) == len(names) >= 2
    assert all(name in outcome.table for name in names)
    assert json.loads((tmp_path / f"{subject}.json").read_text()) == outcome.documents
    assert png_size(tmp_path / "figure.png")[0] > 1000


def test_ablation_figure_is_labelled():
    curves = {name: {"a": line(offset=o), "b": line(offset=o)} for name, o in (("usual", 30), ("x", 29), ("y", 31))}
    differences = {name: compare(curves[name], curves["usual"]) for name in ("x", "y")}
    left, right = texts(ablation.draw("subject", "psnr", curves, differences))
    assert left["y"] == "PSNR less that of usual (dB)" and left["all"].split() == ["x", "y"]
    assert "BD-rate, %" in right["x"] and right["all"].split() == ["+12.2%", "-10.9%"]


def test_unknown_subject(tmp_path):
    with pytest.raises(OptionError, match="subject is 'weather'; expected one of patch-size"):
        ablation.run("weather", memory(picture(5, 5)), output=tmp_path)


# ----------------------------------------------------------------------------------------------- parts switched off


def switched(image, level, *off, name="imf-psnr"):
    """Bytes and pixels with some parts off."""
    half = {"subsampling": "4:2:0"} if name == "imf-psnr" else {}  # the bilinear filter is one of the parts
    found = parts.without(name, *off, **half)
    data = found.encode(image, level)
    return data, found.decode(data)


# Enough patches for every part to matter; few where the JIT is off.
SIDES = (24, 32) if numba.config.DISABLE_JIT else (48, 64)

MAIN_PARTS = [p for p in parts.PARTS if not p.startswith("SVD")]


@pytest.mark.parametrize("part", [p for p in MAIN_PARTS if p != "free V"])
def test_each_part_makes_a_difference_and_decodes(part):
    """The decoder undoes what this encoder did: the PSNR is that of a codec without the part, not of garbage."""
    image = picture(*SIDES)
    plain, whole = switched(image, 60)
    data, pixels = switched(image, 60, part)
    assert data != plain or not np.array_equal(pixels, whole)
    from imfnb.metrics import psnr

    assert psnr(image, pixels) > psnr(image, whole) - 1.0


@pytest.mark.parametrize("part", ["SVD start: DCT", "SVD start: random"])
def test_other_starts(part):
    image = picture(32, 40)
    plain, _ = switched(image, 20, name="imf-baseline")
    data, pixels = switched(image, 20, part, name="imf-baseline")
    assert data != plain
    import imfnb

    np.testing.assert_array_equal(imfnb.decode(data), pixels)  # an ordinary file


def test_nothing_is_left_switched_off():
    image = picture(24, 24)
    before = codec("imf", threads=1).encode(image, 50)
    assert parts.without("imf").encode(image, 50) == before
    switched(image, 50, *MAIN_PARTS[:4])
    assert codec("imf", threads=1).encode(image, 50) == before


def test_variants_side_by_side():
    """A codec without a part has no effect on those that run beside it."""
    from concurrent.futures import ThreadPoolExecutor

    image = picture(16, 16)
    found = [codec("imf", threads=1), *(parts.without("imf", p) for p in MAIN_PARTS[:4])]
    alone = [c.encode(image, 50) for c in found]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda c: c.encode(image, 50), found * 3))
    assert together == alone * 3


def test_unknown_part():
    with pytest.raises(OptionError, match="no part that can be switched off"):
        parts.without("imf", "hope")


# -------------------------------------------------------------------------------------------- timing, collage, maps


def test_timing(tmp_path):
    calls: list = []
    outcome = timing.run(memory(picture(30, 40)), [toy("a", calls=calls), toy("b")], bpp=8, output=tmp_path, repeat=2)
    assert [d["name"] for d in outcome.documents] == ["a", "b"]
    assert len(outcome.documents[0]["results"]["encoding_time"]) == 1
    count = len(calls)
    timing.run(memory(picture(30, 40)), [toy("a", calls=calls)], bpp=8, output=tmp_path, repeat=2)
    assert len(calls) == count  # from the records
    more = timing.run(memory(picture(30, 40)), [toy("a")], bpp=8, output=tmp_path, repeat=2, metrics=["ssim", "psnr"])
    assert more.table.splitlines()[0].split()[-6:] == ["SSIM", "in", "dB", "PSNR", "in", "dB"]
    (axis,) = texts(timing.draw({"a": (20.0, 3.0), "b": (1.0, 2.0)}, 8, 1))
    assert axis["x"] == "time (ms per megapixel)" and axis["all"].split() == ["20", "3.0", "1.0", "2.0"]
    with pytest.raises(OptionError, match="expected a positive rate"):
        timing.run(memory(picture(5, 5)), [toy()], bpp=0, output=tmp_path)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20))
def test_crops_are_inside(height, width, size):
    size = min(size, height, width)
    found = collage.busiest_crops(picture(height, width), size)
    assert 1 <= len(found) <= 2
    assert all(0 <= top <= height - size and 0 <= left <= width - size for top, left in found)


def test_collage(tmp_path):
    image = picture(60, 90)
    outcome = collage.run(
        memory(image)[0],
        [codec("jpeg"), codec("jpeg2000")],
        bpp=0.5,
        crop_size=24,
        output=tmp_path,
    )
    (result,) = outcome.documents
    assert [row["codec"] for row in result["codecs"]] == ["jpeg", "jpeg2000"]
    assert "error" in result["codecs"][0] and result["codecs"][1]["bpp"] <= 0.5  # JPEG's tables alone take more
    assert len(result["crops"]) == 2 and "cannot be met" in outcome.table
    both = collage.run(memory(image)[0], [codec("jpeg2000")], bpp=0.5, metrics=["psnr", "ssim"], output=tmp_path)
    assert 0 < both.documents[0]["codecs"][0]["ssim-rgb"] < 1 and "SSIM in dB" in both.table
    assert png_size(tmp_path / "figure.png")[0] > 1000


def test_collage_that_cannot_be(tmp_path):
    one = memory(picture(20, 30))[0]
    with pytest.raises(OptionError, match="no codec can code a"):
        collage.run(one, [codec("jpeg")], bpp=0.01, output=tmp_path)
    with pytest.raises(OptionError, match="the crop of 12 x 12 pixels at row 9, column 0"):
        collage.run(one, [codec("jpeg")], crops=[(9, 0)], crop_size=12, output=tmp_path)


@pytest.mark.parametrize("channels", [0, 3])
def test_factor_maps(tmp_path, channels):
    outcome = factor_maps.run(memory(picture(33, 47, channels))[0], rank=3, output=tmp_path)
    rows = outcome.documents[0]["components"]
    assert len(rows) == (9 if channels else 3)
    assert all(-16 <= low <= high <= 15 for row in rows for low, high in (row["u"], row["v"]))
    luma = [row["psnr"] for row in rows[:3]]
    assert luma[2] > luma[0] > 10
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    with pytest.raises(OptionError, match="rank is 65"):
        factor_maps.run(memory(picture(33, 47))[0], rank=65, output=tmp_path)


# -------------------------------------------------------------------------------------------------- classification


@pytest.fixture(scope="module")
def faces():
    """scikit-image's faces and non-faces, 25 x 25, and a model trained on half of them: logistic regression on HOG."""
    from scipy.optimize import minimize
    from skimage import data as samples
    from skimage.feature import hog

    images = np.rint(samples.lfw_subset() * 255).astype(np.uint8)
    labels = np.repeat([1, 0], 100)

    def features(batch):
        rows = [hog(x, 8, pixels_per_cell=(5, 5), cells_per_block=(2, 2)) for x in batch]
        return np.column_stack([np.array(rows), np.ones(len(rows))])

    train = features(images[::2])

    def loss(w):
        margin = (2 * labels[::2] - 1) * (train @ w)
        weight = -(2 * labels[::2] - 1) / (1 + np.exp(margin))
        return np.logaddexp(0, -margin).sum() + 0.05 * w @ w, weight @ train + 0.1 * w

    fitted = minimize(loss, np.zeros(train.shape[1]), jac=True, method="L-BFGS-B").x

    def classify(batch):
        score = features(batch) @ fitted
        return np.column_stack([-score, score])

    return images[1::2], labels[1::2], classify


def test_classification_of_faces(tmp_path, faces):
    """A trained model is right on most held-out pictures, and is wrong more often where few bits are left."""
    images, labels, classify = faces
    chosen = [Picture(f"{n}", lambda image=image: image) for n, image in enumerate(images)]
    truth = {f"{n}": int(label) for n, label in enumerate(labels)}
    codecs = [dataclasses.replace(codec("imf-baseline", threads=1), levels=(0.0, 30.0))]
    outcome = classification.run(classify, chosen, truth, codecs, output=tmp_path)
    original, coded = outcome.documents
    assert original["results"]["top-1"][0] > 0.9
    assert coded["results"]["bpp"][0] < coded["results"]["bpp"][1] < original["results"]["bpp"][0] == 8
    assert coded["results"]["top-1"][0] < original["results"]["top-1"][0] - 0.05
    assert coded["results"]["top-1"][1] > coded["results"]["top-1"][0] + 0.05
    assert coded["results"]["top-5"] == [1, 1]  # of two classes
    figure = classification.draw(outcome.documents, 100, 2)
    (axis,) = texts(figure)
    assert axis["y"] == "top-1 accuracy (%)" and axis["all"] == "imf-baseline"
    assert figure.axes[0].get_legend().get_texts()[0].get_text().startswith("originals: 9")

    def never(batch):
        raise AssertionError("all scores are in the records")

    again = classification.run(never, chosen, truth, codecs, output=tmp_path)
    assert again.documents == outcome.documents


def test_accuracy_at_equal_rates():
    """Two pictures, of which one is recognized from half a bit on; at other rates, shares and standard errors."""
    levels = [[{"place": 0}, {"place": 3}], [{"place": 0}, {"place": 0}]]
    document = {"results": {"bpp": [0.125, 0.5]}}
    hits = classification._hits_at(levels, document)
    rates = classification.RATES
    known = dict(zip(rates, hits.mean(axis=0), strict=True))
    assert math.isnan(known[0.1]) and math.isnan(known[1.0])  # a curve is never extended
    assert known[0.25] == pytest.approx(0.75) and known[0.5] == 1
    results = {"level": [1, 2], "bpp": [0.125, 0.5], "top-1": [0.5, 1], "top-5": [1, 1]}
    documents = [{"name": name, "results": results} for name in ("original", "a", "b")]
    table = classification._table(documents, {"a": hits, "b": np.minimum(hits + 0.5, 1)}, 2, 9).splitlines()
    assert table[-2].startswith("less a") and table[-1].split()[0] == "b"
    assert "+25.0 +-25.0" in table[-1] and "+0.0 +-0.0" in table[-1]


def test_top_one_and_top_five(tmp_path):
    """Places by hand: the picture's own class is first, second, sixth, and tied with all."""
    scores = np.array([[9, 1, 1, 1, 1, 1, 1], [5, 9, 1, 1, 1, 1, 1], [1, 2, 3, 4, 5, 6, 0], [1] * 7])
    images = [np.full((4, 4), 10 * n, np.uint8) for n in range(4)]

    def classify(batch):
        return scores[np.minimum(batch[:, 0, 0] // 10, 3)]

    outcome = classification.run(classify, memory(*images), dict.fromkeys("abcd", 0), [toy()], output=tmp_path)
    assert outcome.documents[0]["results"]["top-1"] == [0.25] and outcome.documents[0]["results"]["top-5"] == [0.5]


def test_classifier_that_returns_something_else(tmp_path):
    one = memory(picture(4, 4))
    for wrong in (lambda batch: np.zeros(3), lambda batch: np.full((1, 2), np.nan), lambda batch: np.array([["a"]])):
        with pytest.raises(OptionError, match="the classifier made"):
            classification.run(wrong, one, {"a": 0}, [], output=tmp_path)
    with pytest.raises(OptionError, match="the label of a is 7; expected 0 to 1"):
        classification.run(lambda batch: np.zeros((len(batch), 2)), one, {"a": 7}, [], output=tmp_path)
    with pytest.raises(OptionError, match="1 of 1 pictures have no label, the first: a"):
        classification.run(lambda batch: batch, one, {}, [], output=tmp_path)


# ---------------------------------------------------------------------------------------------------- command line


def bench(capsys, *arguments):
    code = main(["bench", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_command_rate_distortion(tmp_path, folder, capsys):
    arguments = ("rate-distortion", folder, "-o", tmp_path / "out", "--figure", tmp_path / "f.svg", "--codec", "jpeg")
    more = ("--anchor", "jpeg2000", "--threads", 1, "--metric", "psnr", "ssim", "--rates", 0.1, 5)
    code, out, err = bench(capsys, *arguments, "jpeg2000", *more)
    assert (code, err) == (0, "")  # no bar in a pipe
    assert (
        "from 0.1 to 5 bpp against jpeg2000" in out
        and "SSIM in dB at bpp" in out
        and f"wrote {tmp_path / 'f.svg'}" in out
    )
    before = (tmp_path / "out" / "points.jsonl").read_bytes()
    assert bench(capsys, *arguments, "--metric", "ssim")[0] == 0
    assert (tmp_path / "out" / "points.jsonl").read_bytes() == before


def test_command_classification(tmp_path, folder, capsys):
    (tmp_path / "labels.csv").write_text("image,label\n0.png,0\n1.png,1\n2.png,1\n")
    model = tmp_path / "model.py"
    model.write_text(
        "import numpy as np\ndef classify(batch):\n    m = batch.reshape(len(batch), -1).mean(axis=1)\n"
        "    return np.column_stack([m, 255 - m])\n"
    )
    arguments = ["classification", folder, "--labels", tmp_path / "labels.csv", "--codec", "jpeg", "-o", tmp_path / "o"]
    code, out, err = bench(capsys, *arguments, "--classifier", f"{model}:classify")
    assert (code, err) == (0, "") and "3 pictures, 2 classes" in out
    for spec, text in ((f"{model}:other", "cannot be loaded"), ("model", "expected package.module:function")):
        code, out, err = bench(capsys, *arguments, "--classifier", spec)
        assert code == 1 and text in err and err.count("\n") == 1
    assert "cannot be loaded" in bench(capsys, *arguments, "--classifier", "no_such_module:f")[2]
    (tmp_path / "labels.csv").write_text("a,b\n1,2\n")
    assert "no labels (KeyError" in bench(capsys, *arguments, "--classifier", f"{model}:classify")[2]


@pytest.mark.parametrize(
    "arguments",
    [
        ("timing", "0.png", "--codec", "jpeg", "--bpp", 4, "--repeat", 1, "--metric", "ssim"),
        ("collage", "0.png", "--codec", "jpeg2000", "webp", "--bpp", 4, "--crop", 3, 4, "--crop-size", 9),
        ("factor-maps", "2.png", "--rank", 2),
    ],
)
def test_other_commands(tmp_path, folder, capsys, arguments):
    study, name, *options = arguments
    code, out, err = bench(capsys, study, folder / name, *options, "-o", tmp_path / "out")
    assert (code, err) == (0, "") and (tmp_path / "out" / "figure.png").exists() and "wrote" in out


def test_command_ablation(tmp_path, folder, capsys, monkeypatch):
    small(monkeypatch)
    arguments = ("ablation", "color-space", folder / "0.png", "-o", tmp_path / "out", "--metric", "ssim")
    code, out, err = bench(capsys, *arguments)
    assert (code, err) == (0, "") and "BD-rate against YCbCr" in out and "BD-SSIM dB" in out


def test_subjects_of_the_command_line_are_those_of_the_study():
    from imfnb import _arguments

    assert _arguments.SUBJECTS == ablation.SUBJECTS and _arguments.METRICS == tuple(METRICS)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("rate-distortion", "nowhere"), "no such file or folder"),
        (("rate-distortion", "camera", "--codec", "nope"), "expected one of imf"),
        (("rate-distortion", "camera", "--figure", "a.gif"), "saved as"),
        (("collage", "camera", "coins"), "collage shows one picture; 2 are given"),
        (("factor-maps", "camera", "coins"), "factor-maps shows one picture"),
    ],
)
def test_errors_in_one_line(capsys, arguments, text):
    code, out, err = bench(capsys, *arguments)
    assert code == 1 and out == "" and text in err and err.count("\n") == 1


def test_interrupted_command(monkeypatch, folder, tmp_path, capsys):
    from imfnb.evaluate import records

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(records, "run_batch", interrupted)
    code, _, err = bench(capsys, "rate-distortion", folder, "--codec", "jpeg", "-o", tmp_path / "out")
    assert (code, err) == (130, "imfnb: interrupted\n")


@pytest.mark.slow
def test_published_curves_are_reproduced(tmp_path):
    """IMF and SVD in lrf's files within 0.1 dB of what lrf published, on every sixth picture of Kodak."""
    shared = Path(__file__).parents[2] / "shared"
    table = shared / "reference" / "lrf_kodak_results.csv"
    if not table.exists() or not (shared / "data" / "kodak").is_dir():
        pytest.skip("the Kodak set and the published table are not here")
    chosen = [p for n, p in enumerate(pictures(shared / "data" / "kodak")) if n % 6 == 0]
    found = collect(codecs_by_name(["imf-lrf", "svd-lrf"]), chosen, Points(tmp_path / "p.jsonl"))
    published = read_published([table])
    rates = [0.15, 0.25, 0.4]
    for name, theirs in (("imf-lrf", "IMF*"), ("svd-lrf", "SVD*")):
        other = {image: published[theirs][image] for image in found[name]}
        gap = mean_at(found[name], "psnr", rates)[0] - mean_at(other, "psnr", rates)[0]
        assert np.abs(gap).max() < 0.1
