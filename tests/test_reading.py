"""What predict takes and gives: paths, limits from flags, and the three kinds of output."""

import csv
import io
import json
import os
import pathlib
import sys

import numpy as np
import pytest

from digitwise.limits import CHECK_DIGITS
from digitwise.reader import Character, Reading
from pipeline import use_config
from pipeline.machine.startup import usable_streams
from pipeline.reading.limits import limits_of
from pipeline.reading.output import OUTPUTS
from pipeline.reading.sources import find_images
from records.errors import DigitwiseError

READ = Reading("a.png", "4é", 0.98765432, 0.98765432, (Character("4", 0.99), Character("é", 0.5)), True)
FAILED = Reading("b,c.png", error="the file is empty", accepted=False)
UNDECIDED = Reading("c.png", "12", 0.25, 0.25, (Character("1", 0.5), Character("2", 0.5)))


def written(name, *readings):
    stream = io.StringIO()
    write = OUTPUTS[name](stream)
    for reading in readings:
        write(reading)
    return stream.getvalue()


def test_json_lines():
    lines = [json.loads(line) for line in written("jsonl", READ, FAILED, UNDECIDED).splitlines()]
    assert lines[0] == {
        "file": "a.png",
        "code": "4é",
        "confidence": 0.987654,
        "characters": [{"character": "4", "probability": 0.99}, {"character": "é", "probability": 0.5}],
        "accepted": True,
    }
    assert (lines[1]["code"], lines[1]["error"], lines[1]["accepted"]) == (None, "the file is empty", False)
    assert lines[2]["accepted"] is None and "error" not in lines[2]


def test_csv():
    assert written("csv", READ, FAILED, UNDECIDED).splitlines() == [
        "file,code,confidence,accepted,error",
        "a.png,4é,0.987654,true,",
        '"b,c.png",,0.0,false,the file is empty',
        "c.png,12,0.25,,",
    ]


def test_a_table():
    wide = Reading("漢.png", "漢", 1.0, 1.0, (Character("漢", 1.0),), False)
    undecided = Reading("d.png", "1", 0.5, 0.5, (Character("1", 0.5),), None)
    assert written("table", READ, FAILED, wide, undecided).splitlines() == [
        f"{'file':<40}  {'code':<10}  confidence  decision  least sure",
        f"{'a.png':<40}  {'4é':<10}  0.9877      accepted  é 0.5000",
        f"{'b,c.png':<40}  {'-':<10}                        the file is empty",
        f"{'漢.png':<39}  {'漢':<9}  1.0000      refused   漢 1.0000",
        f"{'d.png':<40}  {'1':<10}  0.5000      -         1 0.5000",
    ]


ODD = "12_\x1b]0;title\x07\nforged.png"


def test_a_table_has_a_row_for_each_image_whatever_its_name_and_no_commands_for_the_terminal():
    odd = Reading(ODD, "\x1b[31m", 0.5, 0.5, (Character("\x9b", 0.5),), True)
    failed = Reading("a\u202eb.png", error="what\r\nis it")
    lines = written("table", odd, failed).split("\n")
    assert [line.split() for line in lines[1:]] == [
        [r"12_\x1b]0;title\x07\nforged.png", r"\x1b[31m", "0.5000", "accepted", r"\x9b", "0.5000"],
        [r"a\u202eb.png", "-", r"what\r\nis", "it"],
        [],
    ]


def test_json_lines_have_no_commands_for_the_terminal_and_say_the_same():
    odd = Reading("\x9b31m\udcff漢.png", "\u2028", 0.5, 0.5, (Character("\u2028", 0.5),))
    (line,) = written("jsonl", odd).splitlines()
    assert line.isprintable() and "漢" in line
    assert (json.loads(line)["file"], json.loads(line)["code"]) == (odd.name, odd.code)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "'"])
def test_no_spreadsheet_runs_a_cell_of_the_csv(start):
    text = written("csv", Reading(f"{start}1.png", f"{start}x", 0.5), Reading("b", error=f"{start}y"))
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[1:] == [[f"'{start}1.png", f"'{start}x", "0.5", "", ""], ["b", "", "0.0", "", f"'{start}y"]]


def test_paths_folders_globs_and_a_list(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("b/folder.png").mkdir(parents=True)
    pathlib.Path("b/broken.png").symlink_to("nothing")  # reading it says what is wrong
    os.mkfifo("b/pipe.png")
    for name in ("b/2.png", "b/deep/1.JPG", "b/notes.txt", "c1.png", "c2.png", "[odd].png"):
        pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(name).touch()
    stdin = io.StringIO("from stdin.png\n\nlast.png")
    found = find_images(["b", "c*.png", "[odd].png", "-"], stdin)
    assert [str(path) for path in found] == [
        "b/2.png", "b/broken.png", "b/deep/1.JPG", "c1.png", "c2.png", "[odd].png", "from stdin.png", "last.png",
    ]  # fmt: skip
    with pytest.raises(DigitwiseError, match="--images=missing.png: no such file or folder"):
        list(find_images(["missing.png"], stdin))
    with pytest.raises(DigitwiseError, match=r"--images=x\*: no file matches"):
        list(find_images(["x*"], stdin))
    pathlib.Path("empty").mkdir()
    with pytest.raises(DigitwiseError, match="--images=empty: there is no .png, .jpg"):
        list(find_images(["empty"], stdin))


def test_a_list_on_stdin_may_have_names_that_are_not_utf_8(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\xff.png\n"), encoding="utf-8"))
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.StringIO())
    usable_streams()
    (path,) = find_images(["-"], sys.stdin)
    assert os.fsencode(path) == b"a\xff.png"


def test_limits_from_flags(tmp_path):
    codes, check = tmp_path / "codes.txt", tmp_path / "check.py"
    codes.write_text("\ufeff12\n\n 34 \n")
    check.write_text("def even(code):\n    return int(code) % 2 == 0\n")
    limits = limits_of(allow="0123456789", lengths=(2, 3), pattern=r"\d+", codes_file=str(codes), check="luhn")
    assert (limits.characters, limits.lengths, limits.codes) == ("0123456789", (2, 3), ("12", "34"))
    assert limits.check_digit == "luhn" and limits.function is None
    limits = limits_of(None, None, "", "", f"{check}:even")
    assert [limits.function(code) for code in ("12", "13")] == [True, False]
    assert limits_of(None, None, "", "", "").is_empty


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("check", "luhm", "the check 'luhm' is not one of luhn, .*, nor FILE.py:FUNCTION"),
        ("check", "/nowhere.py:f", "there is no file /nowhere.py"),
        ("check", "{tmp}/check.py:odd", "has no function 'odd'"),
        ("check", "{tmp}/broken.py:odd", "fails \\(ZeroDivisionError"),
        ("check", "{tmp}/ends.py:odd", "fails \\(SystemExit: 3\\)$"),
        ("codes_file", "/nowhere", "cannot be read \\(No such file"),
        ("codes_file", "{tmp}/binary", "it is not UTF-8 text"),
        ("codes_file", "{tmp}/empty", "is empty; it has one code a line"),
    ],
)
def test_limits_that_cannot_be(tmp_path, name, text, message):
    (tmp_path / "check.py").write_text("x = 1\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "ends.py").write_text("import sys; sys.exit(3)\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").write_text("\n")
    given = {"allow": None, "lengths": None, "pattern": "", "codes_file": "", "check": ""}
    with pytest.raises(DigitwiseError, match=message):
        limits_of(**given | {name: text.format(tmp=tmp_path)})


@pytest.mark.parametrize(
    "statement, reason",
    [
        ("raise ValueError('first\\nsecond')", r"ValueError: first\nsecond"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("return fits(code)", "RecursionError: maximum recursion depth exceeded"),
    ],
)
def test_a_check_that_fails_is_one_line(tmp_path, statement, reason):
    (tmp_path / "check.py").write_text(f"def fits(code):\n    {statement}\n")
    text = f"{tmp_path}/check.py:fits"
    limits = limits_of(None, None, "", "", text)
    with pytest.raises(DigitwiseError) as raised:
        limits.compile("01", 2, 2).read_positions(np.log([[0.1, 0.9], [0.8, 0.2]]))
    assert str(raised.value).startswith(f"the check {text!r} fails for the code '10' ({reason}")
    assert "\n" not in str(raised.value)


def test_the_check_digits_of_the_help_are_those_there_are():
    assert tuple(CHECK_DIGITS) == use_config.CHECK_DIGITS
