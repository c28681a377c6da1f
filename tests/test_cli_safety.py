"""The command line where something could be lost: existing files, closed streams, names, errors nobody foresaw."""

from __future__ import annotations

import errno
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
from functools import partial

import pytest
from helpers import encode, picture
from PIL import Image

import imfnb
from imfnb import _console, _targets
from imfnb.cli import main

pytestmark = pytest.mark.thorough

IMAGE = picture(12, 9)
# Nothing has to be compiled in the processes that are started here.
ENCODE = ["encode", "--profile", "baseline", "--iterations", "1", "--rank", "1", "--device", "reference"]
CODED = encode(IMAGE, iterations=1, rank=1, device="reference")


def save(path: pathlib.Path) -> pathlib.Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(IMAGE).save(path)
    return path


def told(capsys) -> list[str]:
    """The lines on stderr."""
    text = capsys.readouterr().err
    assert text.endswith("\n") or not text
    assert all(line.startswith("imfnb: ") for line in text.splitlines())
    return text.splitlines()


# ------------------------------------------------------------------------------------------------------ existing files


def test_encode_and_decode_leave_the_originals_alone(tmp_path, capsys):
    originals = [save(tmp_path / "photos" / name) for name in ("a.png", "b.png")]
    before = [path.read_bytes() for path in originals]
    assert main([*ENCODE, str(tmp_path / "photos")]) == 0
    assert main(["decode", str(tmp_path / "photos")]) == 1
    lines = told(capsys)
    assert len(lines) == 2 and "a.png: exists already" in lines[0] and "--force" in lines[0] and "-o" in lines[0]
    assert [path.read_bytes() for path in originals] == before
    originals[1].unlink()
    assert main(["decode", str(tmp_path / "photos")]) == 1  # the others go on
    assert originals[0].read_bytes() == before[0] and originals[1].exists()
    assert main(["decode", str(tmp_path / "photos"), "--force"]) == 0
    assert originals[0].read_bytes() != before[0]


@pytest.mark.parametrize("output", [[], ["-o", "a.imf"], ["-o", "."], ["-o", "link.imf"]])
def test_existing_file_is_replaced_with_force_only(tmp_path, monkeypatch, capsys, output):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.png")
    (tmp_path / "a.imf").write_bytes(b"old")
    (tmp_path / "link.imf").symlink_to("a.imf")
    assert main([*ENCODE, "a.png", *output]) == 1
    assert len(told(capsys)) == 1 and (tmp_path / "a.imf").read_bytes() == b"old"
    assert main([*ENCODE, "a.png", *output, "--skip-existing"]) == 0
    assert told(capsys) == [] and (tmp_path / "a.imf").read_bytes() == b"old"
    assert main([*ENCODE, "a.png", *output, "--force"]) == 0
    assert told(capsys) == [] and (tmp_path / "a.imf").read_bytes() == CODED


def test_force_and_skipping_exclude_each_other(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["encode", "a.png", "--force", "--skip-existing"])
    assert stop.value.code == 2 and "not allowed with" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--skip-existing"]])
def test_file_that_appears_during_the_work(tmp_path, monkeypatch, capsys, options):
    """What another process writes between the check and the end of the work is not lost."""
    source, target = save(tmp_path / "a.png"), tmp_path / "a.imf"

    def slow(*_args, **_options):
        target.write_bytes(b"of another process")
        return CODED

    monkeypatch.setattr("imfnb.codec.encode", slow)
    assert main([*ENCODE, str(source), *options]) == (0 if options else 1)
    lines = told(capsys)
    assert target.read_bytes() == b"of another process"
    assert lines == [] if options else ("a.imf: exists already" in lines[0] and len(lines) == 1)


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_input_is_never_replaced(tmp_path, monkeypatch, capsys, force):
    """Under its own name, another spelling, a link, a hard link, and where it is the input of another job."""
    monkeypatch.chdir(tmp_path)
    source = save(tmp_path / "a.png")
    source.rename("a")
    before = pathlib.Path("a").read_bytes()
    pathlib.Path("soft").symlink_to("a")
    names = ["a", "./a", str(tmp_path / "a"), f"../{tmp_path.name}/a", "soft"]
    if hasattr(os, "link"):
        os.link("a", "hard")
        names.append("hard")
    for name in names:
        assert main([*ENCODE, "a", "-o", name, *force]) == 1
        assert "would replace the input a" in told(capsys)[0]
    pathlib.Path("b.imf").write_bytes(before)
    save(tmp_path / "b.png")
    assert main([*ENCODE, "b.png", "b.imf", *force]) == 1
    lines = told(capsys)
    assert len(lines) == 2 and all("b.imf: the output would replace the input b.imf" in line for line in lines)
    assert pathlib.Path("a").read_bytes() == pathlib.Path("b.imf").read_bytes() == before


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_two_results_of_one_name_in_every_spelling(tmp_path, monkeypatch, capsys, force):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.png")
    Image.fromarray(picture(4, 4)).save("a.jpg")
    for second in ("a.jpg", "./a.jpg", str(tmp_path / "a.jpg"), f"../{tmp_path.name}/a.jpg"):
        assert main([*ENCODE, "a.png", second, *force]) == 1
        assert told(capsys) == [f"imfnb: {second}: would overwrite the result of a.png"]
        assert pathlib.Path("a.imf").read_bytes() == CODED
        os.unlink("a.imf")
    pathlib.Path("b.imf").symlink_to("a.imf")
    save(tmp_path / "b.png")
    assert main([*ENCODE, "a.png", "b.png", *force]) == 1
    assert "would overwrite the result of a.png" in told(capsys)[0]


def test_names_that_differ_in_case(tmp_path, capsys):
    """Two files or one, as the file system has it; nothing is lost in either case."""
    for name in ("a", "A", "ä", "a\u0308"):
        save(tmp_path / name / f"{name}.png")
    out = tmp_path / "out"
    sources = [str(tmp_path / name / f"{name}.png") for name in ("a", "A", "ä", "a\u0308")]
    for force in ([], ["--force"]):
        code = main([*ENCODE, *sources, "-o", str(out), *force])
        refused = sum("would overwrite the result of" in line for line in told(capsys))
        assert len(list(out.iterdir())) + refused == 4 and code == bool(refused)
        assert all(path.read_bytes() == CODED for path in out.iterdir())


def test_folder_that_does_not_tell_capital_letters(tmp_path, monkeypatch):
    """Stood for by a writer that makes one file of both names."""
    jobs = [_targets.Job(name, str(tmp_path / name), True) for name in ("A.imf", "a.imf", "b.imf")]
    write = _targets.write_bytes

    def insensitive(target, data, **options):
        write(target.lower(), data, **options)
        if not os.path.exists(target):
            os.link(target.lower(), target)

    monkeypatch.setattr(_targets, "write_bytes", insensitive)
    monkeypatch.setattr(_targets, "_place", lambda target: ("folder", os.path.basename(target)))
    writer = _targets.Writer(jobs, skip_existing=False)
    writer.write(jobs[0], b"one")
    with pytest.raises(_console.Refused, match=r"a\.imf: would overwrite the result of A\.imf"):
        writer.write(jobs[1], b"two")
    writer.write(jobs[2], b"three")
    assert (tmp_path / "a.imf").read_bytes() == b"one" and (tmp_path / "b.imf").read_bytes() == b"three"


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="no devices as files here")
def test_devices_and_pipes_are_written_to_without_questions(tmp_path, capsys):
    source = save(tmp_path / "a.png")
    assert main([*ENCODE, str(source), "-o", "/dev/null"]) == 0
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert main([*ENCODE, str(source), "-o", str(tmp_path / "pipe")]) == 0
        assert os.read(reader, 10_000) == CODED
    finally:
        os.close(reader)
    assert told(capsys) == [] and not os.path.isfile("/dev/null")


@pytest.mark.parametrize(
    ("command", "output", "text"),
    [
        ("encode", "keep.jpg", "promises the format .jpg"),
        ("encode", "a.imf.npy", "promises the format .npy"),
        ("encode", "NEW.PNG", "promises the format .PNG"),
        ("decode", "new.imf", "promises an .imf file"),
        ("decode", "new.IMF", "promises an .imf file"),
        ("decode", "back", "use .png, .tif, .webp or .jpg"),
        ("decode", "a.npz", "use .png, .tif, .webp or .jpg"),
    ],
)
def test_name_that_promises_another_format(tmp_path, monkeypatch, capsys, command, output, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.imf").write_bytes(CODED)
    save(tmp_path / "in.png")
    (tmp_path / "keep.jpg").write_bytes(b"kept")
    arguments = [*ENCODE, "in.png"] if command == "encode" else ["decode", "in.imf"]
    assert main([*arguments, "-o", output, "--force"]) == 1
    lines = told(capsys)
    assert len(lines) == 1 and text in lines[0]
    assert sorted(os.listdir()) == ["in.imf", "in.png", "keep.jpg"] and pathlib.Path("keep.jpg").read_bytes() == b"kept"


# --------------------------------------------------------------------------------------------------------- the question


class Typed(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answers", "replaced", "asked"),
    [
        ("y\ny\ny\n", "abc", 3),
        ("n\nYES\nn\n", "b", 3),
        ("n\nall\n", "bc", 2),
        ("\n\n\n", "", 3),
        ("", "", 3),
        ("what\nn\na\n", "c", 3),
    ],
)
def test_question(tmp_path, monkeypatch, answers, replaced, asked):
    for name in "abc":
        save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.imf").write_bytes(b"old")
    monkeypatch.setattr(sys, "stdin", Typed(answers))
    monkeypatch.setattr(sys, "stderr", Typed())
    code = main([*ENCODE, *(str(tmp_path / f"{name}.png") for name in "abc")])
    assert code == (0 if replaced == "abc" else 1)
    assert sys.stderr.getvalue().count("exists already; replace it? [y/N/all]") == asked
    assert [name for name in "abc" if (tmp_path / f"{name}.imf").read_bytes() == CODED] == list(replaced)


def test_no_question_where_the_picture_comes_from_the_terminal(tmp_path, monkeypatch):
    (tmp_path / "a.imf").write_bytes(b"old")
    monkeypatch.setattr(sys, "stdin", Typed("y\n"))
    monkeypatch.setattr(sys, "stderr", Typed())
    assert main([*ENCODE, "-", "-o", str(tmp_path / "a.imf")]) == 1
    assert "?" not in sys.stderr.getvalue() and (tmp_path / "a.imf").read_bytes() == b"old"


@pytest.mark.parametrize("stream", ["stdin", "stderr"])
def test_no_question_without_a_terminal(tmp_path, monkeypatch, capsys, stream):
    source = save(tmp_path / "a.png")
    (tmp_path / "a.imf").write_bytes(b"old")
    monkeypatch.setattr(sys, "stdin", Typed("y\n") if stream == "stderr" else io.StringIO("y\n"))
    assert main([*ENCODE, str(source)]) == 1
    assert len(told(capsys)) == 1 and (tmp_path / "a.imf").read_bytes() == b"old"


def environment(**more: str) -> dict[str, str]:
    folder = str(pathlib.Path(imfnb.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")]), **more}


COMMAND = [sys.executable, "-W", "error", "-m", "imfnb"]


@pytest.mark.skipif(sys.platform != "linux", reason="terminals as on Linux")
@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 1), (b"\x04", 1), (b"\x03", 130)])
def test_question_on_a_real_terminal(tmp_path, answer, code):
    """Also the end of the input (Ctrl-D) and an interruption (Ctrl-C) as answers."""
    import pty

    save(tmp_path / "a.png")
    (tmp_path / "a.imf").write_bytes(b"old")
    master, slave = pty.openpty()
    # The first terminal that a new session opens is its own: Ctrl-C reaches it.
    command = ["sh", "-c", 'exec "$@" < "$0" 2> "$0"', os.ttyname(slave), *COMMAND, *ENCODE, "a.png"]
    # Whoever runs these tests in the background may have them, and their children, ignore Ctrl-C.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    options = {"cwd": tmp_path, "env": environment(), "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    with subprocess.Popen(command, start_new_session=True, preexec_fn=heed, **options) as process:
        seen = b""
        while b"[y/N/all] " not in seen:
            seen += os.read(master, 1000)
        os.close(slave)
        os.write(master, answer)
        try:
            while chunk := os.read(master, 1000):
                seen += chunk
        except OSError:  # the other end is closed
            pass
        process.wait(timeout=300)
    os.close(master)
    assert process.returncode == code and b"Traceback" not in seen
    assert (tmp_path / "a.imf").read_bytes() == (b"old" if code else CODED)
    assert (b"--force" in seen) == (code == 1) and (b"interrupted" in seen) == (code == 130)


# --------------------------------------------------------------------------------------------------- closed streams


class Failing(io.TextIOBase):
    """A stream that fails, as one whose descriptor somebody has closed, or whose reader has gone."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def write(self, _: str) -> int:
        raise self.error


BROKEN = [
    None,
    Failing(OSError(errno.EBADF, "Bad file descriptor")),
    Failing(BrokenPipeError(errno.EPIPE, "Broken pipe")),
    Failing(ValueError("I/O operation on closed file")),
    Failing(RuntimeError("the window is gone")),
]


@pytest.mark.parametrize("stream", BROKEN, ids=str)
def test_what_cannot_be_told_is_not_told(tmp_path, monkeypatch, stream):
    """The batch goes on to its end, and the exit codes are what they would be."""
    for name in "abcd":
        save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "b.png").write_bytes(b"rubbish")
    monkeypatch.setattr(sys, "stderr", stream)
    assert main([*ENCODE, str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 1
    assert sorted(os.listdir(tmp_path / "out")) == ["a.imf", "c.imf", "d.imf"]
    (tmp_path / "in" / "b.png").unlink()
    assert main([*ENCODE, str(tmp_path / "in"), "-o", str(tmp_path / "new")]) == 0
    assert main(["info", str(tmp_path / "none.imf")]) == 1
    with pytest.raises(SystemExit) as stop:
        main(["encode"])
    assert stop.value.code == 2


@pytest.mark.parametrize("stream", [None, *BROKEN[1:4:2]], ids=str)
@pytest.mark.parametrize("arguments", [["config"], ["info", "a.imf"], ["--version"], ["encode", "--help"]])
def test_standard_output_that_is_closed(tmp_path, monkeypatch, capsys, stream, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.imf").write_bytes(CODED)
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "standard output" in lines[0]


@pytest.mark.parametrize("stream", [None, io.StringIO("text only")], ids=["closed", "text"])
def test_standard_input_or_output_without_bytes(tmp_path, monkeypatch, capsys, stream):
    source = save(tmp_path / "a.png")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", stream)
        assert main([*ENCODE, "-", "-o", str(tmp_path / "b.imf")]) == 1
        patch.setattr(sys, "stdout", stream)
        assert main([*ENCODE, str(source), "-o", "-"]) == 1
    lines = told(capsys)
    assert len(lines) == 2 and "standard input" in lines[0] and "standard output" in lines[1]
    assert os.listdir(tmp_path) == ["a.png"]


@pytest.mark.skipif(os.name != "posix", reason="descriptors of POSIX")
@pytest.mark.parametrize(
    ("line", "code", "lines"),
    [
        ("in -o out 2>&-", 1, None),
        ("in -o out <&- >&-", 1, 1),
        ("in -o out <&- >&- 2>&-", 1, None),
        ("- -o out/x.imf <&-", 1, 1),
        ("in/a.png -o - >&-", 1, 1),
        ("in/a.png -o /dev/full", 1, 1),
        ("in/a.png -o - >/dev/full", 1, 1),
        ("in -o out 2>/dev/full", 1, None),
    ],
)
def test_processes_with_closed_descriptors(tmp_path, line, code, lines):
    """Nothing that is written to a stream ends up in a picture's file, and no exit code of the interpreter's own."""
    if "/dev/full" in line and not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    for name in "ac":
        save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "b.png").write_bytes(b"rubbish")
    command = " ".join(f"'{part}'" for part in [*COMMAND, *ENCODE])
    result = subprocess.run(
        f"{command} {line}", shell=True, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True, timeout=300
    )
    assert result.returncode == code and "Traceback" not in result.stderr
    if lines is not None:
        assert result.stderr.count("\n") == lines
    if "in -o out" in line:
        assert [path.read_bytes() for path in sorted((tmp_path / "out").iterdir())] == [CODED, CODED]


@pytest.mark.skipif(os.name != "posix", reason="descriptors of POSIX")
def test_closed_descriptors_are_occupied(monkeypatch):
    opened = []

    def fstat(descriptor):
        if descriptor in (0, 2):
            raise OSError(errno.EBADF, "Bad file descriptor")

    with monkeypatch.context() as patch:
        patch.setattr("os.fstat", fstat)
        patch.setattr("os.open", lambda path, flags: opened.append((path, flags)))
        _console.occupy_descriptors()
    assert opened == [(os.devnull, os.O_RDWR)] * 2


# ------------------------------------------------------------------------------------------------- names without text


STRICT = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii:strict"}


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
@pytest.mark.parametrize("variables", [{}, STRICT], ids=["utf-8", "ascii"])
def test_names_that_are_no_text(tmp_path, variables):
    save(tmp_path / "a.png")
    names = [b"\xff.png", "ä.png".encode()]
    for name in names:
        os.link(tmp_path / "a.png", os.path.join(os.fsencode(tmp_path), name))

    def run(*arguments: bytes | str) -> subprocess.CompletedProcess:
        options = {"cwd": tmp_path, "env": environment(**variables), "capture_output": True, "timeout": 300}
        return subprocess.run([*COMMAND, *arguments], **options)

    result = run(*ENCODE, *names, b"\xfe.png")
    assert result.returncode == 1 and result.stderr == b"imfnb: \\udcfe.png: No such file or directory\n"
    coded = [name.replace(b"png", b"imf") for name in names]
    result = run("info", *coded)
    assert result.returncode == 0 and result.stderr == b"" and b"\\udcff.imf\n" in result.stdout
    result = run("info", "--json", *coded)
    found = [json.loads(line)["file"] for line in result.stdout.splitlines()]
    assert result.returncode == 0 and found[0] == "\udcff.imf" and len(found) == 2
    assert run("encode", *names, b"--b\xff").returncode == 2


def test_names_cannot_steer_the_terminal(tmp_path, capsys):
    assert main(["info", str(tmp_path / "\x1b[2J\r.imf")]) == 1
    err = capsys.readouterr().err
    assert "\\x1b[2J" in err and "\x1b" not in err and "\r" not in err


# ------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("command", ["encode", "decode", "info"])
@pytest.mark.parametrize("error", [SyntaxError("not a TIFF"), TypeError("a\nb"), RecursionError("deep"), KeyError(5)])
def test_unexpected_errors_are_one_line_and_the_others_go_on(tmp_path, monkeypatch, capsys, command, error):
    for name in "abc":
        save(tmp_path / f"{name}.png") if command == "encode" else (tmp_path / f"{name}.imf").write_bytes(CODED)
    home = "headers" if command == "info" else "codec"
    real = getattr(imfnb, command)
    calls = []

    def sometimes(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise error
        return real(*args, **options)

    monkeypatch.setattr(f"imfnb.{home}.{command}", sometimes)
    suffix = "png" if command == "encode" else "imf"
    options = ["--threads", "1"] if command != "info" else []
    arguments = ENCODE if command == "encode" else [command]
    assert main([*arguments, *options, *(str(tmp_path / f"{name}.{suffix}") for name in "abc")]) == 1
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and f"b.{suffix}: unexpected {type(error).__name__}: " in err and "report" in err
    if command == "info":
        assert out.count("profile") == 2
    else:
        assert len(os.listdir(tmp_path)) == 5


def test_unexpected_error_of_a_whole_command(monkeypatch, capsys):
    def broken(_):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("imfnb.cli._config", broken)
    assert main(["config"]) == 1
    assert told(capsys) == ["imfnb: unexpected ZeroDivisionError: division by zero (please report this)"]


def test_every_line_names_its_file_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.png")
    (tmp_path / "bad.png").write_bytes(b"rubbish")
    (tmp_path / "bad.imf").write_bytes(b"rubbish")
    (tmp_path / "cut.imf").write_bytes(CODED[:-3])
    (tmp_path / "dir.imf").mkdir()
    (tmp_path / "big.imf").write_bytes(CODED)
    for arguments, name in (
        ([*ENCODE, "bad.png", "-o", "x.imf"], "bad.png"),
        ([*ENCODE, "none.png"], "none.png"),
        (["encode", "a.png", "-q", "900"], "a.png"),
        ([*ENCODE, "a.png", "--max-pixels", "10"], "a.png"),
        ([*ENCODE, "a.png", "-o", "dir.imf/none/x.imf"], "dir.imf/none/x.imf"),
        (["decode", "bad.imf", "-o", "x.png"], "bad.imf"),
        (["decode", "cut.imf"], "cut.imf"),
        (["decode", "big.imf", "--max-pixels", "10"], "big.imf"),
        (["decode", "dir.imf/none.imf"], "dir.imf/none.imf"),
        (["info", "bad.imf"], "bad.imf"),
        (["info", "dir.imf"], "dir.imf"),
    ):
        assert main(arguments) == 1
        (line,) = told(capsys)
        assert line.startswith(f"imfnb: {name}: ") and line.count(name) == 1, line


def test_folder_that_cannot_be_listed(tmp_path, monkeypatch, capsys):
    def forbidden(_):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    source = save(tmp_path / "a.png")
    monkeypatch.setattr("os.listdir", forbidden)
    assert main([*ENCODE, str(tmp_path), str(source), "-o", str(tmp_path / "out")]) == 1
    assert told(capsys) == [f"imfnb: {tmp_path}: Permission denied"]
    assert (tmp_path / "out" / "a.imf").read_bytes() == CODED


# ------------------------------------------------------------------------------------------------ what is not kept


def with_metadata(monkeypatch, dropped: dict[str, tuple[str, ...]]) -> None:
    """Pictures of which the reader says that they carry something, by their order."""
    from imfnb.pictures import Picture

    found = iter(dropped.values())
    monkeypatch.setattr("imfnb.pictures.read_picture", lambda *_args, **_options: Picture(IMAGE, next(found)))


@pytest.mark.parametrize(
    ("dropped", "note"),
    [
        ({"a": ("EXIF",)}, "EXIF (a.png)"),
        ({"a": ("ICC", "EXIF"), "b": ("EXIF", "resolution")}, "ICC, EXIF, resolution (a.png and 1 other)"),
        ({"a": (), "b": ("EXIF",), "c": ("EXIF",), "d": ("EXIF",)}, "EXIF (b.png and 2 others)"),
        ({"a": ()}, None),
    ],
)
def test_note_of_what_is_not_kept(tmp_path, monkeypatch, capsys, dropped, note):
    monkeypatch.chdir(tmp_path)
    for name in dropped:
        save(tmp_path / f"{name}.png")
    with_metadata(monkeypatch, dropped)
    assert main([*ENCODE, "--threads", "1", *(f"{name}.png" for name in dropped)]) == 0
    assert told(capsys) == ([] if note is None else [f"imfnb: note: not kept in .imf files: {note}"])


def test_note_before_an_interruption(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        save(tmp_path / f"{name}.png")
    with_metadata(monkeypatch, {"a": ("EXIF",), "b": ("EXIF",)})
    calls = []

    def coded(*_args, **_options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return CODED

    monkeypatch.setattr("imfnb.codec.encode", coded)
    assert main([*ENCODE, "--threads", "1", "a.png", "b.png"]) == 130
    assert told(capsys) == ["imfnb: note: not kept in .imf files: EXIF (a.png)", "imfnb: interrupted"]


def test_frame(tmp_path):
    path, images = tmp_path / "a.tif", [picture(6, 8, seed=seed) for seed in range(3)]
    frames = [Image.fromarray(image) for image in images]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    for number, image in enumerate(images):
        target = tmp_path / f"{number}.imf"
        assert main([*ENCODE, str(path), "--frame", str(number), "-o", str(target)]) == 0
        assert target.read_bytes() == encode(image, iterations=1, rank=1, device="reference")


def test_max_pixels(tmp_path, capsys):
    source = save(tmp_path / "a.png")
    assert main([*ENCODE, str(source), "--max-pixels", "107"]) == 1
    assert "max_pixels" in told(capsys)[0] and os.listdir(tmp_path) == ["a.png"]
    assert main([*ENCODE, str(source), "--max-pixels", "108"]) == 0


# -------------------------------------------------------------------------------------------------------------- bench


@pytest.fixture
def bench(tmp_path, monkeypatch, capsys):
    """Run the smallest study in a folder of its own; returns the exit code and the lines on stderr."""
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "data" / "a.png")

    def run(*arguments: str) -> tuple[int, list[str]]:
        code = main(["bench", "factor-maps", "data/a.png", "--rank", "1", *arguments])
        return code, told(capsys)

    return run


def test_study_replaces_its_own_results(bench):
    assert bench("-o", "out", "--figure", "f.png") == (0, [])
    pathlib.Path("out", "factor-maps.json").unlink()
    assert bench("-o", "out", "--figure", "f.png") == (0, [])
    assert sorted(os.listdir("out")) == ["factor-maps.json", "written.json"]


@pytest.mark.parametrize("name", ["f.png", "out/factor-maps.json", "out/written.json"])
def test_study_leaves_other_files_alone(bench, name):
    pathlib.Path("out").mkdir()
    pathlib.Path(name).write_bytes(b"of somebody else")
    arguments = ("-o", "out", "--figure", "f.png")
    code, lines = bench(*arguments)
    assert code == 1 and len(lines) == 1 and f"{name}: exists already" in lines[0]
    assert pathlib.Path(name).read_bytes() == b"of somebody else"
    assert {*os.listdir("out"), *os.listdir()} == {"data", "out", os.path.basename(name)}  # before any work
    assert bench(*arguments, "--force") == (0, [])
    assert pathlib.Path(name).read_bytes() != b"of somebody else"
    assert bench(*arguments) == (0, [])


def test_study_leaves_changed_results_alone(bench):
    assert bench("-o", "out") == (0, [])
    pathlib.Path("out", "factor-maps.json").write_text("edited")
    code, lines = bench("-o", "out")
    assert code == 1 and "factor-maps.json: exists already" in lines[0]


def test_results_of_another_study_are_left_alone(bench, capsys):
    assert bench("-o", "out") == (0, [])
    assert main(["bench", "collage", "data/a.png", "--codec", "jpeg", "--bpp", "24", "-o", "out"]) == 1
    assert "figure.png: exists already" in told(capsys)[0]


def test_study_never_replaces_its_pictures(bench):
    before = pathlib.Path("data", "a.png").read_bytes()
    code, lines = bench("-o", "out", "--figure", "./data/a.png", "--force")
    assert code == 1 and "would replace the input data/a.png" in lines[0]
    assert pathlib.Path("data", "a.png").read_bytes() == before


def test_figure_that_appears_during_the_study(bench, monkeypatch):
    from imfnb.evaluate import factor_maps

    draw = factor_maps.draw

    def slow(*arguments):
        pathlib.Path("f.png").write_bytes(b"of another process")
        return draw(*arguments)

    monkeypatch.setattr(factor_maps, "draw", slow)
    code, lines = bench("-o", "out", "--figure", "f.png")
    assert code == 1 and len(lines) == 1 and "f.png" in lines[0]
    assert pathlib.Path("f.png").read_bytes() == b"of another process"


@pytest.mark.parametrize(("content", "code"), [(b"not points\n", 1), (b'{"image": "cut', 0), (b'{"im', 0), (b"", 0)])
def test_records_of_somebody_else(bench, capsys, content, code):
    """A line that a crash has cut off is ours nevertheless."""
    pathlib.Path("out").mkdir()
    pathlib.Path("out", "points.jsonl").write_bytes(content)
    arguments = ["timing", "data/a.png", "--codec", "jpeg", "--bpp", "8", "--repeat", "1", "-o", "out"]
    assert main(["bench", *arguments]) == code
    assert len(told(capsys)) == code
    assert (pathlib.Path("out", "points.jsonl").read_bytes() == content) == (code == 1)
