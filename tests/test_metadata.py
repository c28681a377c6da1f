"""What files carry beside pixels: there and back, hostile contents, sizes that count, other formats."""

from __future__ import annotations

import io
import json
import pathlib
import struct
import time
import zlib

import numpy as np
import pytest
from helpers import picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_pictures import SRGB, WIDE, exif

import imfnb
from imfnb.cli import main
from imfnb.codec import open_container, with_chunks
from imfnb.errors import FormatError, OptionError
from imfnb.format.bytestream import put_varint
from imfnb.format.chunks import CONTENT_LIMIT, TEXT_LIMIT, Tag, deflated, inflated, pack_text, parse_text
from imfnb.metadata import NO_METADATA, Metadata
from imfnb.pictures import read_picture, write_picture
from imfnb.pictures.found import Survey

IMAGE = picture(17, 23)
CODED = imfnb.encode(IMAGE, profile="baseline", quality=5)
PACKET = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + b"words " * 40 + b"</x:xmpmeta>"
ALL = Metadata(
    icc_profile=SRGB,
    exif=exif(copyright="somebody"),
    xmp=PACKET,
    dpi=(300, 150.5),
    text={"Title": "Nächte", "Comment": ""},
    tags=(Tag(42113, 2, 2, b"1\0"),),
)


@pytest.mark.parametrize("profile", ["baseline", pytest.param("main", marks=pytest.mark.jit)])
def test_there_and_back(profile):
    plain = imfnb.encode(IMAGE, profile=profile)
    data = imfnb.encode(IMAGE, profile=profile, metadata=ALL)
    assert imfnb.read_metadata(data) == ALL
    np.testing.assert_array_equal(imfnb.decode(data), imfnb.decode(plain))
    assert imfnb.read_metadata(plain) == NO_METADATA and not NO_METADATA and imfnb.info(plain)["metadata"] == {}
    said = imfnb.info(data)["metadata"]
    assert list(said) == ["icc_profile", "exif", "xmp", "dpi", "text", "tags"] and said["xmp"] < len(PACKET)
    assert imfnb.encode(IMAGE, profile=profile, metadata=NO_METADATA) == plain


def test_in_a_file(tmp_path):
    path = tmp_path / "a.imf"
    parts = {"icc_profile": WIDE, "exif": b"II*\0", "xmp": "<x/>", "dpi": 72, "text": {"a": "b"}}
    size = imfnb.imwrite(path, IMAGE, profile="baseline", quality=5, **parts)
    assert size == path.stat().st_size
    assert imfnb.read_metadata(path) == Metadata(**parts) == Metadata(WIDE, b"II*\0", b"<x/>", (72, 72), {"a": "b"})
    with open(path, "rb") as file:
        assert imfnb.read_metadata(file) == Metadata(**parts) and file.tell() == 0
    with pytest.raises(OptionError, match=r"metadata and dpi are given.*expected one"):
        imfnb.imwrite(path, IMAGE, dpi=3, metadata=ALL)


def test_bytes_count_for_targets():
    noise = Metadata(exif=np.random.default_rng(1).bytes(400))
    for target in ({"size": 1500}, {"bpp": 8 * 1500 / IMAGE[..., 0].size}):
        assert len(imfnb.encode(IMAGE, profile="baseline", metadata=noise, **target)) <= 1500
        (name,) = target
        with pytest.raises(OptionError, match=rf"{name}=.* cannot be met: metadata alone takes \d+ bytes"):
            imfnb.encode(IMAGE, metadata=noise, **{name: 150 if name == "size" else 0.1})


def test_what_pillow_has():
    block = Image.Exif()
    block[33432] = "somebody"
    assert Metadata(exif=block).exif == block.tobytes().removeprefix(b"Exif\0\0")
    assert Metadata(exif=b"Exif\0\0II*\0") == Metadata(exif=b"II*\0")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"icc_profile": "a.icc"}, "icc_profile is a str; expected bytes: read the file first"),
        ({"exif": 3}, "exif is a int; expected bytes"),
        ({"dpi": 0}, "dpi is 0; expected a positive number"),
        ({"dpi": (1, 2, 3)}, "dpi is"),
        ({"dpi": "300"}, None),
        ({"dpi": float("nan")}, "dpi is nan"),
        ({"text": "words"}, "text is 'words'; expected a mapping"),
        ({"text": {"a": 1}}, "expected a mapping from str to str"),
        ({"text": {"a": "\ud800"}}, "surrogates"),
        ({"xmp": bytes(CONTENT_LIMIT + 1)}, f"at most {CONTENT_LIMIT}"),
    ],
)
def test_what_cannot_be_kept(given, told):
    if told is None:
        assert Metadata(**given).dpi == (300, 300)
        return
    with pytest.raises(OptionError, match=told):
        Metadata(**given)


def test_other_objects_are_refused():
    with pytest.raises(OptionError, match=r"metadata is a dict; expected imfnb\.Metadata"):
        imfnb.encode(IMAGE, metadata={"dpi": 3})


def test_text_form_shows_no_bytes():
    assert repr(Metadata(exif=bytes(99), dpi=3)) == "Metadata(exif=<99 bytes>, dpi=(3.0, 3.0))"


def test_chunks_of_unknown_types_are_skipped():
    data = with_chunks(with_chunks(CODED, [(b"what", b"ever")]), ALL.chunks)
    assert imfnb.read_metadata(data) == ALL and imfnb.info(data)["metadata"]["what"] == 4
    np.testing.assert_array_equal(imfnb.decode(data), imfnb.decode(CODED))


@pytest.mark.parametrize("content", [b"", b"x", PACKET])
def test_both_ways_to_store_a_block(content):
    assert inflated(*deflated(b"XMP ", content)) == (b"XMP ", content)
    assert inflated(b"XMP ", content) == (b"XMP ", content)
    first = with_chunks(CODED, [(b"XMP ", PACKET), (b"xmp ", b"")])
    assert imfnb.read_metadata(first).xmp == PACKET


def announced(length: int, content: bytes) -> bytes:
    out = bytearray()
    put_varint(out, length)
    return bytes(out) + zlib.compress(content)


HOSTILE = [
    (b"xmp ", b""),
    (b"xmp ", b"\xff" * 9),
    (b"exif", announced(3, b"four")),
    (b"exif", announced(5, b"four")),
    (b"iccp", announced(4, b"four") + b"more"),
    (b"iccp", announced(4, b"four")[:-1]),
    (b"xmp ", announced(0, bytes(1 << 22))),
    (b"xmp ", announced(CONTENT_LIMIT + 1, b"")),
    (b"xmp ", b"\4none"),
    (b"DPI ", bytes(15)),
    (b"DPI ", bytes(16)),
    (b"DPI ", b"\xff" * 16),
    (b"TEXT", b""),
    (b"TEXT", b"\1\1a"),
    (b"TEXT", b"\1\1a\1b\0"),
    (b"TEXT", b"\1\1\xff\1b"),
    (b"TEXT", b"\xff\xff\xff\xff\x0f"),
    (b"text", announced(1, b"\1")),
]


@pytest.mark.parametrize(("kind", "content"), HOSTILE)
def test_hostile_contents(tmp_path, monkeypatch, capsys, kind, content):
    data = with_chunks(CODED, [(kind, content), (b"GEOT", b"\0")])
    with pytest.raises(FormatError, match=r"metadata|truncated|number of more|left over"):
        imfnb.read_metadata(data)
    np.testing.assert_array_equal(imfnb.decode(data), imfnb.decode(CODED))
    monkeypatch.chdir(tmp_path)
    pathlib.Path("a.imf").write_bytes(data)
    assert main(["decode", "a.imf"]) == 0
    assert "note: damaged and left out: " in capsys.readouterr().err


def test_more_than_is_kept_is_damage(monkeypatch):
    """What nobody could have written is an error of the file, not of the call; or it is left out."""
    monkeypatch.setattr("imfnb.metadata.CONTENT_LIMIT", 7)
    found = [(b"ICCP", b"profile."), (b"DPI ", struct.pack("<dd", 300, 300)), (b"TEXT", b"\1\1a\0")]
    with pytest.raises(FormatError, match="icc_profile has 8 bytes"):
        Metadata.of_chunks(found)
    damaged = []
    assert Metadata.of_chunks(found, damaged) == Metadata(dpi=300)
    assert damaged == ["icc_profile", "text"]


def test_chunks_of_unknown_types_are_not_read(tmp_path):
    """Whatever they are worth: this one is damaged."""
    data = bytearray(with_chunks(CODED, [*ALL.chunks, (b"what", b"ever")]))
    data[-1] ^= 1
    assert imfnb.read_metadata(data) == ALL


def test_exif_of_any_buffer():
    block = b"Exif\0\0II*\0"
    assert Metadata(exif=memoryview(block)) == Metadata(exif=bytearray(block)) == Metadata(exif=block[6:])


@pytest.mark.parametrize(
    "tags",
    [[33550], b"tag", [Tag(256, 3, 1, b"\1\0")], [Tag(33550, 12, 3, bytes(23))], [Tag(33550, 99, 1, b"")], None],
)
def test_tags_that_cannot_be_kept(tags):
    with pytest.raises(OptionError, match="tag"):
        Metadata(tags=tags)


def test_files_of_text_are_refused(tmp_path):
    path = tmp_path / "a.imf"
    path.write_bytes(CODED)
    for function in (imfnb.info, imfnb.read_metadata):
        with open(path) as file, pytest.raises(OptionError, match=r"a\.imf.*binary mode"):
            function(file)


def commented(count: int, text: bytes) -> io.BytesIO:
    """A PNG with so many texts under one key, each packed."""
    buffer = io.BytesIO()
    Image.fromarray(IMAGE).save(buffer, "PNG")
    body = b"Comment\0\0" + zlib.compress(text, 9)
    chunk = struct.pack(">L", len(body)) + b"zTXt" + body
    chunk += struct.pack(">L", zlib.crc32(b"zTXt" + body))
    data = buffer.getvalue()
    return io.BytesIO(data[:33] + chunk * count + data[33:])


def test_texts_of_pictures_have_a_limit():
    """A few kilobytes unpack to megabytes of text, again and again; and many of them are joined once."""
    found = read_picture(commented(40, bytes([97]) * (1 << 22)))
    assert len(found.options["metadata"].text["Comment"]) == 3 * (1 << 22) + 2 and "oversized text" in found.dropped
    start = time.process_time()
    found = read_picture(commented(100_000, b"a" * 100))
    assert len(found.options["metadata"].text["Comment"]) == 100_000 * 101 - 1 and not found.dropped
    assert time.process_time() - start < 5


@pytest.mark.parametrize("written", ["tiff:Orientation='6'", 'tiff:Orientation = "6"', "<tiff:Orientation>6</"])
def test_orientation_of_xmp_in_any_spelling(written):
    """XML has several; whoever turns the pixels says so in that which it is."""
    found = Survey(io.BytesIO(), xmp=written.encode())
    assert found.upright() == 6
    assert found.xmp == written.replace("6", "1").encode()


@given(st.sampled_from([b"iccp", b"exif", b"xmp ", b"DPI ", b"TEXT", b"text", b"GEOT"]), st.binary(max_size=60))
def test_contents_of_any_bytes(kind, content):
    try:
        Metadata.of_chunks([(kind, content)])
    except FormatError:
        pass


def test_texts_are_not_too_many():
    """A chunk of 64 MiB could hold millions, in gigabytes of memory; files of 64 KiB could hold such a chunk."""
    texts = {str(number): "" for number in range(TEXT_LIMIT + 1)}
    with pytest.raises(OptionError, match=f"{TEXT_LIMIT + 1} keys; at most {TEXT_LIMIT}"):
        Metadata(text=texts)
    with pytest.raises(FormatError, match=f"{TEXT_LIMIT + 1} texts; at most {TEXT_LIMIT}"):
        parse_text(pack_text(texts))
    del texts["0"]
    assert parse_text(pack_text(texts)) == texts and Metadata(text=texts)


def test_of_equal_keys_the_first_counts():
    assert parse_text(b"\2\1a\1b\1a\1c") == {"a": "b"}


def test_damaged_chunk_is_named():
    data = bytearray(with_chunks(CODED, [(b"XMP ", PACKET)]))
    data[-1] ^= 1
    with pytest.raises(FormatError, match="checksum of chunk b'XMP '"):
        imfnb.read_metadata(data)
    with pytest.raises(FormatError, match="checksum"):
        imfnb.read_metadata(data[:-9])


# -------------------------------------------------------------------------------------------------------- other formats

#: What each format holds of it all; resolutions are whole numbers in some.
HELD = {
    ".png": {"icc_profile", "exif", "xmp", "dpi", "text"},
    ".jpg": {"icc_profile", "exif", "xmp", "dpi", "text"},
    ".webp": {"icc_profile", "exif", "xmp"},
    ".avif": {"icc_profile", "exif", "xmp"},
    ".tif": {"icc_profile", "xmp", "dpi", "text"},
    ".bmp": {"dpi"},
    ".npy": set(),
}


@pytest.mark.parametrize("suffix", HELD)
def test_other_formats_get_what_they_have_a_place_for(suffix):
    given = Metadata(SRGB, ALL.exif, PACKET, (300, 150), {"Comment": "words"})
    data, dropped = write_picture(IMAGE, suffix, metadata=given)
    assert set(dropped) == {"icc_profile", "exif", "xmp", "dpi", "text"} - HELD[suffix]
    if suffix != ".npy":
        found = read_picture(io.BytesIO(data)).metadata
        for name in HELD[suffix] - {"dpi", "text", "exif"}:
            assert getattr(found, name) == getattr(given, name)
        assert ("exif" in HELD[suffix]) == bool(found.exif)
        if "dpi" in HELD[suffix]:
            np.testing.assert_allclose(found.dpi, given.dpi, atol=0.02)
        if "text" in HELD[suffix]:
            assert "words" in " ".join(found.text.values())


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_deep_and_wide_pictures_of_other_formats(dtype):
    given = Metadata(icc_profile=SRGB, xmp=PACKET, dpi=(300, 150), text={"Artist": "somebody", "Mood": "calm"})
    for suffix, channels in ((".png", "rgb"), (".tif", "bands")):
        image = IMAGE.astype(dtype) if suffix == ".png" else np.repeat(IMAGE, 2, axis=2).astype(dtype)
        data, dropped = write_picture(image, suffix, channels=channels, metadata=given)
        found = read_picture(io.BytesIO(data))
        np.testing.assert_array_equal(found.pixels, image)
        assert dropped == () and found.metadata.icc_profile == SRGB and found.metadata.xmp == PACKET
        assert found.metadata.text["Artist"] == "somebody" and "calm" in " ".join(found.metadata.text.values())


def test_segments_of_jpeg_have_a_limit():
    data, dropped = write_picture(IMAGE, ".jpg", metadata=Metadata(exif=bytes(70000), xmp=bytes(10)))
    assert dropped == ("exif",) and data


# ------------------------------------------------------------------------------------------------- the command line


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_command_line_keeps_what_the_source_has(tmp_path, monkeypatch, capsys, suffix):
    monkeypatch.chdir(tmp_path)
    name = f"a{suffix}"
    Image.fromarray(IMAGE).save(name, icc_profile=WIDE, exif=exif(copyright="somebody", orientation=6), dpi=(300, 300))
    assert main(["encode", name, "--profile", "baseline"]) == 0
    found = imfnb.read_metadata("a.imf")
    assert found.icc_profile == WIDE and b"somebody" in found.exif and round(found.dpi[0]) == 300
    assert imfnb.info("a.imf")["shape"] == (23, 17, 3)
    assert main(["decode", "a.imf", "-o", f"b{suffix}"]) == 0
    with Image.open(f"b{suffix}") as image:
        assert image.info["icc_profile"] == WIDE and image.getexif()[33432] == "somebody"
        assert image.getexif()[274] == 1 and image.size == (17, 23)
    assert capsys.readouterr().err == ""
    assert main(["encode", name, "-o", "c.imf", "--profile", "baseline", "--strip"]) == 0
    assert not imfnb.read_metadata("c.imf") and capsys.readouterr().err == ""


def test_command_line_says_what_a_format_cannot_hold(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("a.imf").write_bytes(with_chunks(CODED, ALL.chunks))
    assert main(["decode", "a.imf", "-o", "a.webp"]) == 0
    told = "imfnb: note: not kept in files of this format: dpi, text, tags (a.imf)\n"
    assert capsys.readouterr().err == told
    assert main(["info", "a.imf", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metadata"]["dpi"] == 16


def test_one_damaged_chunk_takes_no_other_with_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = bytearray(with_chunks(CODED, [(b"what", b"ever"), (b"XMP ", PACKET), *Metadata(dpi=300).chunks]))
    for words in (b"ever", b"words"):
        data[data.index(words)] ^= 1
    pathlib.Path("a.imf").write_bytes(data)
    assert main(["decode", "a.imf"]) == 0
    assert capsys.readouterr().err == "imfnb: note: damaged and left out: xmp (a.imf)\n"
    assert round(read_picture("a.png").metadata.dpi[0]) == 300


def test_batches_keep_it(tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / "a.png", dpi=(300, 300), icc_profile=WIDE)
    (data,) = imfnb.encode_batch([tmp_path / "a.png"], profile="baseline")
    assert imfnb.read_metadata(data).icc_profile == WIDE
    (data,) = imfnb.encode_batch([tmp_path / "a.png"], profile="baseline", metadata=None)
    assert not imfnb.read_metadata(data)


def test_frames_carry_it_once():
    data = imfnb.encode(np.stack([IMAGE, IMAGE]), axes="THWC", lossless=True, metadata=Metadata(dpi=7))
    assert imfnb.read_metadata(data).dpi == (7, 7) and len(open_container(data).chunks) == 1
