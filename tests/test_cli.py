"""Command line: in process through `main`, and a few times as a process of its own."""

from __future__ import annotations

import io
import json
import os
import pathlib
import runpy
import struct
import subprocess
import sys
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import encode, picture
from PIL import Image

import imfnb
from imfnb.cli import main

IMAGE = picture(12, 9)
ENCODE = ["encode", "--profile", "baseline", "--iterations", "2"]


def save(path: pathlib.Path, image: np.ndarray = IMAGE, **options) -> pathlib.Path:
    Image.fromarray(image).save(path, **options)
    return path


def expected(image: np.ndarray, **options) -> bytes:
    return encode(image, iterations=2, **options)


class Standard(SimpleNamespace):
    """Standard input or output with a buffer of bytes beside the text."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(buffer=io.BytesIO(data))

    def write(self, text: str) -> int:
        return self.buffer.write(text.encode())


@pytest.fixture
def standard(monkeypatch):
    """Run the command line with given bytes on stdin; returns exit code and bytes on stdout."""

    def run(arguments: list[str], data: bytes = b"") -> tuple[int, bytes]:
        stdout = Standard()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", Standard(data))
            patch.setattr(sys, "stdout", stdout)
            code = main(arguments)
        return code, stdout.buffer.getvalue()

    return run


def one_line(capsys) -> str:
    """What is on stderr: exactly one line, which is returned."""
    text = capsys.readouterr().err
    assert text.startswith("imfnb: ") and text.endswith("\n") and text.count("\n") == 1
    return text


def usage_error(capsys, arguments: list[str]) -> str:
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    return capsys.readouterr().err


# ------------------------------------------------------------------------------------------------- the four commands


def test_encode_decode_beside_the_input(tmp_path, capsys):
    source = save(tmp_path / "a.png")
    assert main([*ENCODE, str(source)]) == 0
    coded = tmp_path / "a.imf"
    assert coded.read_bytes() == expected(IMAGE)
    source.unlink()
    assert main(["decode", str(coded)]) == 0
    np.testing.assert_array_equal(Image.open(source), imfnb.decode(coded.read_bytes()))
    assert capsys.readouterr() == ("", "")


def test_default_profile_makes_a_file_that_decodes(tmp_path):
    source = save(tmp_path / "a.png")
    assert main(["encode", str(source)]) == 0
    assert imfnb.imread(tmp_path / "a.imf").shape == IMAGE.shape


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["-q", "70"], {"quality": 70}),
        (["--quality", "12.5"], {"quality": 12.5}),
        (["--rank", "3"], {"rank": 3}),
        (["--rank", "3,2,1", "--patch-size", "4"], {"rank": (3, 2, 1), "patch_size": 4}),
        (["--bpp", "20"], {"bpp": 20.0}),
        (["--size", "300"], {"size": 300}),
        (["--psnr", "20"], {"psnr": 20.0}),
        (["--color-space", "RGB"], {"color_space": "RGB"}),
        (["--subsampling", "4:4:4"], {"subsampling": "4:4:4"}),
        (["--patch-size", "none"], {"patch_size": None}),
        (["--patch-size", "auto"], {}),
        (["--bounds", "-20", "21"], {"bounds": (-20, 21)}),
        (["--bounds", "0", "31"], {"bounds": (0, 31)}),
        (["--device", "reference", "--threads", "2"], {}),
    ],
)
def test_options_reach_the_encoder(tmp_path, arguments, options):
    source = save(tmp_path / "a.png")
    assert main([*ENCODE, *arguments, str(source), "-o", str(tmp_path / "b.imf")]) == 0
    assert (tmp_path / "b.imf").read_bytes() == expected(IMAGE, **options)


def test_options_of_alpha_reach_the_encoder(tmp_path):
    image = np.dstack([IMAGE[:, :, :3], np.arange(IMAGE[:, :, 0].size).reshape(IMAGE.shape[:2]) % 97 * 2]).astype(
        np.uint8
    )
    source = tmp_path / "a.png"
    Image.fromarray(image).save(source)
    for arguments, options in (
        (["--alpha-quality", "lossless"], {"alpha_quality": "lossless"}),
        (["--alpha-quality", "5", "--keep-hidden"], {"alpha_quality": 5, "keep_hidden": True}),
    ):
        assert main(["encode", "--force", str(source), *arguments]) == 0
        assert (tmp_path / "a.imf").read_bytes() == imfnb.encode(image, **options)


def test_negative_bound_needs_no_equals_sign(tmp_path):
    """The default bounds, typed as the help shows them."""
    source = save(tmp_path / "a.png")
    assert main([*ENCODE, str(source), "--bounds", "-16", "15"]) == 0
    assert (tmp_path / "a.imf").read_bytes() == expected(IMAGE)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".ppm", ".webp", ".jpg"])
def test_decode_to_formats(tmp_path, suffix):
    coded, target = tmp_path / "a.imf", tmp_path / f"b{suffix}"
    coded.write_bytes(expected(IMAGE))
    assert main(["decode", str(coded), "-o", str(target)]) == 0
    picture_back = np.asarray(Image.open(target))
    assert picture_back.shape == IMAGE.shape
    if suffix not in (".webp", ".jpg"):
        np.testing.assert_array_equal(picture_back, imfnb.decode(coded.read_bytes()))


@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_decode_of_every_kind_of_image(tmp_path, channels):
    coded = tmp_path / "a.imf"
    coded.write_bytes(expected(picture(6, 8, channels)))
    assert main(["decode", str(coded), "--device", "reference", "--threads", "1"]) == 0
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == {0: "L", 1: "L", 3: "RGB", 4: "RGBA"}[channels]
        np.testing.assert_array_equal(np.asarray(image), np.squeeze(imfnb.decode(coded.read_bytes())))


@pytest.mark.parametrize(
    ("suffix", "channels", "message"),
    [(".xyz", 3, "no image format"), (".jpg", 4, "cannot hold"), ("", 3, "no image format")],
)
def test_decode_to_a_format_that_cannot(tmp_path, capsys, suffix, channels, message):
    coded = tmp_path / "a.imf"
    coded.write_bytes(expected(picture(6, 8, channels)))
    assert main(["decode", str(coded), "-o", str(tmp_path / f"b{suffix}")]) == 1
    assert message in one_line(capsys)
    assert os.listdir(tmp_path) == ["a.imf"]


def test_info_as_text_and_json(tmp_path, capsys):
    names = [tmp_path / "a.imf", tmp_path / "b.imf"]
    names[0].write_bytes(expected(IMAGE))
    names[1].write_bytes(expected(picture(6, 8, 0)))
    assert main(["info", str(names[0])]) == 0
    text = capsys.readouterr().out
    assert "profile: baseline" in text and "shape: (12, 9, 3)" in text and str(names[0]) not in text
    assert main(["info", *map(str, names)]) == 0
    text = capsys.readouterr().out
    assert all(f"{name}\n" in text for name in names)
    assert main(["info", "--json", str(tmp_path)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["file"] for line in lines] == [str(name) for name in names]
    assert lines[0]["shape"] == [12, 9, 3] and lines[0]["size"] == names[0].stat().st_size
    assert lines[1]["segments"].keys() == {"gray"} and lines[1]["bpp"] > 0


def test_info_of_a_bad_file_among_good_ones(tmp_path, capsys):
    (tmp_path / "a.imf").write_bytes(b"no")
    (tmp_path / "b.imf").write_bytes(expected(IMAGE))
    assert main(["info", "--json", str(tmp_path / "a.imf"), str(tmp_path / "b.imf"), str(tmp_path / "c.imf")]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["file"].endswith("b.imf")
    assert err.count("\n") == 2 and "a.imf: not an .imf file" in err and "c.imf: No such file" in err


def test_config(capsys):
    assert main(["config"]) == 0
    out, err = capsys.readouterr()
    assert f"imfnb: {imfnb.__version__}\n" in out and "cuda: " in out and err == ""


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0 and capsys.readouterr().out == f"imfnb {imfnb.__version__}\n"


# ------------------------------------------------------------------------------------------------- stdin and stdout


def test_stdin_to_stdout(tmp_path, standard):
    png = save(tmp_path / "a.png").read_bytes()
    code, coded = standard([*ENCODE, "-"], png)
    assert (code, coded) == (0, expected(IMAGE))
    assert standard([*ENCODE, "-", "-o", "-"], png) == (0, coded)
    code, decoded = standard(["decode", "-"], coded)
    assert code == 0
    np.testing.assert_array_equal(Image.open(io.BytesIO(decoded)), imfnb.decode(coded))
    code, text = standard(["info", "--json", "-"], coded)
    assert code == 0 and json.loads(text)["shape"] == [12, 9, 3]


def test_file_to_stdout_and_stdin_to_file(tmp_path, standard):
    source = save(tmp_path / "a.png")
    assert standard([*ENCODE, str(source), "-o", "-"]) == (0, expected(IMAGE))
    assert standard([*ENCODE, "-", "-o", str(tmp_path / "b.imf")], source.read_bytes()) == (0, b"")
    assert (tmp_path / "b.imf").read_bytes() == expected(IMAGE)
    assert sorted(os.listdir(tmp_path)) == ["a.png", "b.imf"]


def test_stdin_into_a_folder(tmp_path, standard):
    source = save(tmp_path / "a.png")
    folder = tmp_path / "out"
    folder.mkdir()
    assert standard([*ENCODE, "-", "-o", str(folder)], source.read_bytes())[0] == 0
    assert os.listdir(folder) == ["stdin.imf"]


# --------------------------------------------------------------------------------------------------------- many inputs


def test_many_inputs_beside_themselves(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / f"{name}.png")
    assert main([*ENCODE, str(tmp_path / "a.png"), str(tmp_path / "b.png")]) == 0
    assert sorted(os.listdir(tmp_path)) == ["a.imf", "a.png", "b.imf", "b.png"]


def test_folder_into_a_new_folder_and_back(tmp_path):
    """Files that are no pictures are left alone; upper case is fine."""
    (tmp_path / "in").mkdir()
    save(tmp_path / "in" / "a.png")
    save(tmp_path / "in" / "B.PNG", picture(5, 5, 0))
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    coded, back = tmp_path / "coded", tmp_path / "back"
    assert main([*ENCODE, str(tmp_path / "in"), "-o", str(coded)]) == 0
    assert sorted(os.listdir(coded)) == ["B.imf", "a.imf"]
    assert main(["decode", str(coded), "-o", str(back)]) == 0
    assert sorted(os.listdir(back)) == ["B.png", "a.png"]


def test_folder_of_one_picture_makes_a_folder(tmp_path):
    (tmp_path / "in").mkdir()
    save(tmp_path / "in" / "a.png")
    assert main([*ENCODE, str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 0
    assert os.listdir(tmp_path / "out") == ["a.imf"]


def test_bad_file_among_good_ones(tmp_path, capsys):
    good = [save(tmp_path / "a.png"), save(tmp_path / "c.png")]
    bad = tmp_path / "b.png"
    bad.write_bytes(b"not a picture")
    assert main([*ENCODE, str(good[0]), str(bad), str(good[1])]) == 1
    line = one_line(capsys)
    assert "b.png" in line and "not a picture in a known format" in line and " at 0x" not in line
    assert (tmp_path / "a.imf").read_bytes() == (tmp_path / "c.imf").read_bytes() == expected(IMAGE)
    assert not (tmp_path / "b.imf").exists()


def test_missing_file_among_good_ones(tmp_path, capsys):
    save(tmp_path / "a.png")
    assert main([*ENCODE, str(tmp_path / "none.png"), str(tmp_path / "a.png")]) == 1
    assert f"{tmp_path / 'none.png'}: No such file or directory" in one_line(capsys)
    assert (tmp_path / "a.imf").exists()


def test_damaged_file_among_good_ones(tmp_path, capsys):
    coded = expected(IMAGE)
    (tmp_path / "a.imf").write_bytes(coded[:-1])
    (tmp_path / "b.imf").write_bytes(coded)
    assert main(["decode", str(tmp_path)]) == 1
    assert "a.imf: truncated file" in one_line(capsys)
    assert sorted(os.listdir(tmp_path)) == ["a.imf", "b.imf", "b.png"]


def test_two_results_of_one_name(tmp_path, capsys):
    """a.png and a.jpg would both become a.imf: the second is refused, nothing is lost silently."""
    first, second = save(tmp_path / "a.png"), save(tmp_path / "a.jpg", picture(5, 4))
    assert main([*ENCODE, str(first), str(second)]) == 1
    assert "would overwrite the result of" in one_line(capsys)
    assert imfnb.imread(tmp_path / "a.imf").shape == IMAGE.shape


def test_empty_folder(tmp_path, capsys):
    assert main([*ENCODE, str(tmp_path)]) == 1
    assert "no files with the extensions" in one_line(capsys)


def test_empty_folder_among_good_ones(tmp_path, capsys):
    source = save(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    assert main([*ENCODE, str(source), str(tmp_path / "empty")]) == 1
    assert "empty: no files with the extensions" in one_line(capsys)
    assert (tmp_path / "a.imf").read_bytes() == expected(IMAGE)


def test_several_results_to_stdout(tmp_path, capsys):
    sources = [str(save(tmp_path / f"{name}.png")) for name in "ab"]
    assert main([*ENCODE, *sources, "-o", "-"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "several results cannot go to standard output" in err and err.count("\n") == 2


def test_result_where_a_folder_is(tmp_path, capsys):
    save(tmp_path / "a.png")
    (tmp_path / "a.imf").mkdir()
    assert main([*ENCODE, str(tmp_path / "a.png")]) == 1
    assert "a.imf: Is a directory" in one_line(capsys)


def test_folder_of_results_where_a_file_is(tmp_path, capsys):
    sources = [str(save(tmp_path / f"{name}.png")) for name in "ab"]
    (tmp_path / "out").write_text("in the way")
    assert main([*ENCODE, *sources, "-o", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.count("out: File exists") == 2


# -------------------------------------------------------------------------------------------------------------- errors


def test_full_disk(tmp_path, capsys, monkeypatch):
    save(tmp_path / "a.png")
    (tmp_path / "a.imf").write_bytes(b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert main([*ENCODE, "--force", str(tmp_path / "a.png")]) == 1
    assert f"{tmp_path / 'a.imf'}: No space left on device" in one_line(capsys)
    assert (tmp_path / "a.imf").read_bytes() == b"old" and sorted(os.listdir(tmp_path)) == ["a.imf", "a.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "cuda"], "device='cuda' cannot be used"),
        (["--threads", "0"], "threads is 0"),
        (["--size", "9"], "size=9 cannot be met"),
        (["--rank", "0"], "rank is 0"),
        (["-q", "150"], "quality is 150"),
        (["--bounds", "9", "3"], "bounds is [9, 3]"),
        (["--patch-size", "5"], "patch_size is 5"),
    ],
)
def test_options_that_the_library_refuses(tmp_path, capsys, arguments, message, monkeypatch):
    monkeypatch.setattr("imfnb.runtime.devices._probe", lambda: (False, "not found"))
    source = save(tmp_path / "a.png")
    assert main([*ENCODE, str(source), *arguments]) == 1
    assert message in one_line(capsys) and os.listdir(tmp_path) == ["a.png"]


def test_too_many_pixels(tmp_path, capsys):
    (tmp_path / "a.imf").write_bytes(expected(IMAGE))
    assert main(["decode", str(tmp_path / "a.imf"), "--max-pixels", "107"]) == 1
    assert "max_pixels=107" in one_line(capsys)
    assert main(["decode", str(tmp_path / "a.imf"), "--max-pixels", "108"]) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["compress", "a.png"],
        ["encode"],
        ["encode", "a.png", "--best"],
        ["encode", "a.png", "-q", "high"],
        ["encode", "a.png", "-q", "5", "--rank", "3"],
        ["encode", "a.png", "--size", "1", "--bpp", "1"],
        ["encode", "a.png", "--rank", "3,x"],
        ["encode", "a.png", "--rank", ","],
        ["encode", "a.png", "--patch-size", "large"],
        ["encode", "a.png", "--profile", "best"],
        ["encode", "a.png", "--color-space", "CMYK"],
        ["encode", "a.png", "--device", "tpu"],
        ["decode", "a.imf", "-q", "5"],
        ["decode", "a.imf", "--max-pixels", "many"],
        ["info"],
        ["config", "extra"],
    ],
)
def test_wrong_usage(capsys, arguments):
    assert "usage: imfnb" in usage_error(capsys, arguments)


def test_out_of_memory_is_one_line(tmp_path, capsys, monkeypatch):
    source = save(tmp_path / "a.png")

    def no_memory(*_args, **_kwargs):
        raise MemoryError

    monkeypatch.setattr("imfnb.codec.encode", no_memory)
    assert main([*ENCODE, str(source)]) == 1
    assert "a.png: out of memory" in one_line(capsys)


def test_interruption(tmp_path, capsys, monkeypatch):
    source = save(tmp_path / "a.png")

    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("imfnb.codec.encode", interrupted)
    assert main([*ENCODE, str(source)]) == 130
    assert one_line(capsys) == "imfnb: interrupted\n"
    assert os.listdir(tmp_path) == ["a.png"]


# ------------------------------------------------------------------------------------------------------------ progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bar_on_a_terminal(tmp_path, monkeypatch):
    sources = [str(save(tmp_path / f"{name}.png")) for name in "abc"]
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert main([*ENCODE, *sources]) == 0
    text = sys.stderr.getvalue()
    assert text.count("\r") == 3 and "[##########                    ] 1/3\r" in text
    assert text.endswith(f"[{'#' * 30}] 3/3\n")


def test_no_bar_for_one_file(tmp_path, monkeypatch):
    source = save(tmp_path / "a.png")
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert main([*ENCODE, str(source)]) == 0
    assert sys.stderr.getvalue() == ""


def test_no_bar_in_a_pipe(tmp_path, capsys):
    sources = [str(save(tmp_path / f"{name}.png")) for name in "abc"]
    assert main([*ENCODE, *sources]) == 0
    assert capsys.readouterr() == ("", "")


# ------------------------------------------------------------------------------------------------------ pictures inside


def shape_of_encoded(path: pathlib.Path) -> tuple[int, ...]:
    assert main([*ENCODE, str(path), "-o", str(path.with_suffix(".out"))]) == 0
    return imfnb.info(path.with_suffix(".out").read_bytes())["shape"]


@pytest.mark.parametrize(
    ("mode", "suffix", "shape"),
    [
        ("1", ".png", (6, 8)),
        ("L", ".png", (6, 8)),
        ("P", ".png", (6, 8, 3)),
        ("RGB", ".bmp", (6, 8, 3)),
        ("RGBA", ".png", (6, 8, 4)),
        ("LA", ".png", (6, 8, 4)),
        ("CMYK", ".tif", (6, 8, 3)),
        ("CMYK", ".jpg", (6, 8, 3)),
        ("YCbCr", ".tif", (6, 8, 3)),
    ],
)
def test_pictures_of_every_mode(tmp_path, mode, suffix, shape):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(picture(6, 8)).convert(mode).save(path)
    assert shape_of_encoded(path) == shape


def test_palette_with_transparency_has_alpha(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(picture(6, 8)).convert("P").save(path, transparency=0)
    assert shape_of_encoded(path) == (6, 8, 4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotated_photographs_are_turned_upright(tmp_path, orientation):
    """A white corner, stored under each EXIF orientation, is where a viewer would show it."""
    path = tmp_path / "a.png"
    stored = np.zeros((16, 32), np.uint8)
    stored[:8, :8] = 255
    exif = Image.Exif()
    exif[274] = orientation
    save(path, stored, exif=exif)
    assert main([*ENCODE, str(path)]) == 0
    pixels = imfnb.imread(tmp_path / "a.imf")
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.T,
        6: np.rot90(stored, -1),
        7: stored[::-1, ::-1].T,
        8: np.rot90(stored),
    }[orientation]
    assert pixels.shape == upright.shape
    np.testing.assert_array_equal(pixels > 128, upright > 128)


def png(width: int, height: int, depth: int, color: int, raw: bytes) -> bytes:
    """A PNG file from its scan lines."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def damaged_pngs() -> dict[str, bytes]:
    good = png(4, 3, 8, 0, (b"\0" + bytes(4)) * 3)
    idat = good.index(b"IDAT")
    return {
        "truncated": good[: idat + 6],
        "no lines": png(4, 3, 8, 0, b""),
        "wrong checksum": good[: idat + 8] + b"\xff\xff" + good[idat + 10 :],
        "bad filter": png(4, 3, 8, 0, (b"\x09" + bytes(4)) * 3),
        "no pixels": png(0, 0, 8, 0, b""),
        "signature only": good[:8],
        "cut header": good[:20],
        "no data": good[: idat - 4],
        "broken chunk name": good[:idat] + b"\0\0\0\0" + good[idat + 4 :],
    }


@pytest.mark.parametrize("kind", damaged_pngs())
def test_damaged_pictures_are_one_line(tmp_path, capsys, kind):
    path = tmp_path / "a.png"
    path.write_bytes(damaged_pngs()[kind])
    assert main([*ENCODE, str(path)]) == 1
    assert "a.png" in one_line(capsys)


# ------------------------------------------------------------------------------------------------------------ processes


def run(arguments: list[str], **options) -> subprocess.CompletedProcess:
    folder = pathlib.Path(imfnb.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-W", "error", "-m", "imfnb", *arguments]
    return subprocess.run(command, capture_output=True, env=environment, timeout=300, **options)


@pytest.mark.thorough
def test_process_with_pipes(tmp_path):
    source = save(tmp_path / "a.png")
    coded = run([*ENCODE, "-"], input=source.read_bytes())
    assert (coded.returncode, coded.stderr, coded.stdout) == (0, b"", expected(IMAGE))
    decoded = run(["decode", "-"], input=coded.stdout)
    assert (decoded.returncode, decoded.stderr) == (0, b"")
    np.testing.assert_array_equal(Image.open(io.BytesIO(decoded.stdout)), imfnb.decode(coded.stdout))


def test_process_with_an_error(tmp_path):
    result = run(["decode", "-"], input=b"rubbish")
    assert result.returncode == 1 and result.stdout == b""
    assert result.stderr.startswith(b"imfnb: -: not an .imf file") and result.stderr.count(b"\n") == 1


def test_module_runs_main(monkeypatch, capsys):
    """`python -m imfnb` passes the exit code on."""
    monkeypatch.setattr(sys, "argv", ["imfnb", "info", "none.imf"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("imfnb", run_name="__main__")
    assert stop.value.code == 1
    assert "none.imf: No such file" in one_line(capsys)


def test_process_with_wrong_usage():
    result = run(["encode"])
    assert result.returncode == 2 and result.stderr.startswith(b"usage: imfnb")


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_process_whose_reader_has_gone():
    """`imfnb config | head -0`: no traceback."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    folder = pathlib.Path(imfnb.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-u", "-m", "imfnb", "config"]
    with subprocess.Popen(command, stdout=write_end, stderr=subprocess.PIPE, env=environment) as process:
        os.close(write_end)
        _, error = process.communicate(timeout=300)
    assert process.returncode == 1 and error == b""


def test_reader_that_goes_in_the_middle(monkeypatch):
    """The same in process: stdout is put aside so that the interpreter does not flush into the broken pipe."""
    calls = []

    def gone(_):
        raise BrokenPipeError

    monkeypatch.setattr("imfnb.cli._config", gone)
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(fileno=lambda: 99))
    monkeypatch.setattr("os.dup2", lambda *pair: calls.append(pair))
    assert main(["config"]) == 1
    assert calls[0][1] == 99
    os.close(calls[0][0])
