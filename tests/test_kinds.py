import csv
import dataclasses

import numpy as np
import pytest
from PIL import Image

from benchmarks.font_files import draws, font_files
from benchmarks.kinds import HANZI, KINDS, PENS, Painter, main, write


def _files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_image_is_a_function_of_kind_seed_and_number():
    painter = Painter("meters", KINDS["meters"])
    code, image = painter.draw(seed=0, number=3)
    again_code, again = Painter("meters", KINDS["meters"]).draw(seed=0, number=3)
    assert code == again_code
    assert image.tobytes() == again.tobytes()
    assert painter.draw(seed=1, number=3)[1].tobytes() != image.tobytes()
    assert painter.draw(seed=0, number=4)[1].tobytes() != image.tobytes()


def test_the_code_is_in_the_name(tmp_path):
    write("notes", tmp_path / "notes", count=3, seed=0)
    assert sorted(name.split("_")[1] for name in _files(tmp_path / "notes")) == ["00000.png", "00001.png", "00002.png"]
    for path in (tmp_path / "notes").iterdir():
        code, image = path.name.split("_")[0], Image.open(path)
        assert code.isdigit() and 1 <= len(code) <= 6
        assert image.mode == "RGB" and image.height == 28 and 60 <= image.width <= 220


def test_or_in_a_table(tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS, "posters", dataclasses.replace(KINDS["posters"], fonts=2))  # no machine has to have 36
    write("posters", tmp_path / "posters", count=2, seed=0)
    rows = list(csv.reader((tmp_path / "posters" / "labels.csv").read_text(encoding="utf-8").splitlines()))
    assert [row[0] for row in rows] == ["file", "00000.png", "00001.png"]
    for file, code in rows[1:]:
        image = Image.open(tmp_path / "posters" / file)
        assert 4 <= len(code) <= 8
        assert image.mode == "RGBA" and image.height == 80 and 370 <= image.width <= 780


@pytest.mark.parametrize(
    "name, file_format, mode, size",
    [
        ("meters", "PNG", "L", (40, 16)),
        ("tickets", "GIF", "P", (120, 40)),
        ("badges", "JPEG", "RGB", (180, 64)),
        ("serials", "BMP", "L", (800, 100)),
    ],
)
def test_the_files_are_what_the_kind_says(tmp_path, name, file_format, mode, size):
    write(name, tmp_path / name, count=1, seed=0)
    (path,) = (tmp_path / name).iterdir()
    image = Image.open(path)
    assert (image.format, image.mode, image.size) == (file_format, mode, size)


def test_digits_of_bars_light_as_many_as_they_should():
    lit = {digit: len(ways[0]) for digit, ways in PENS["segments"].items()}
    assert lit == {"0": 6, "1": 2, "2": 5, "3": 5, "4": 4, "5": 5, "6": 6, "7": 3, "8": 7, "9": 6}


def test_characters_differ_from_each_other():
    assert all(len(set(kind.alphabet)) == len(kind.alphabet) for kind in KINDS.values())
    assert len(HANZI) == 200


def test_ink_stands_out():
    painter = Painter("meters", KINDS["meters"])
    for number in range(5):
        pixels = np.asarray(painter.draw(0, number)[1], float)
        assert np.ptp(pixels) > 30


def test_images_of_two_sets_do_not_mix(tmp_path):
    (tmp_path / "other.png").write_bytes(b"")
    with pytest.raises(SystemExit, match="is not empty"):
        write("meters", tmp_path, count=1, seed=0)


def test_too_few_fonts_are_named_with_what_to_do():
    with pytest.raises(SystemExit, match="0 of the .* fonts found have all of .*; this kind takes 2: install more"):
        font_files("\U000f0000\U000f0001", 2)


def test_a_font_without_a_character_is_not_taken(tmp_path):
    (path,) = font_files("0123456789", 1)
    assert draws(path, "0123456789")
    assert not draws(path, "01\U000f0000")
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    assert not draws(str(tmp_path / "broken.ttf"), "0")


def test_the_command_says_what_it_drew(tmp_path, capsys):
    main(["meters", str(tmp_path / "a"), "--count=2", "--seed=5"])
    assert capsys.readouterr().out == '{"benchmark": "kinds", "kind": "meters", "images": 2, "seed": 5}\n'
    write("meters", tmp_path / "b", count=2, seed=5)
    assert _files(tmp_path / "a") == _files(tmp_path / "b")
