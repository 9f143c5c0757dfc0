import contextlib
import csv
import dataclasses
import io
import json
import os
import pathlib
import shutil

import pytest
from PIL import Image

from pipeline.config import CodeConfig
from pipeline.drawing import files as synthesis
from pipeline.drawing.files import generate
from pipeline.drawing.renderer import Drawing, SyntheticSource
from pipeline.machine.workers import LocalPool
from pipeline.stages.generate import generate as generate_stage
from pipeline.workdir import Workdir
from records.errors import DigitwiseError


@pytest.fixture(autouse=True)
def small_folders(monkeypatch):
    """Ten images a folder, and the numbers of those that were rendered."""
    monkeypatch.setattr(synthesis, "IMAGES_PER_FOLDER", 10)
    monkeypatch.setattr("pipeline.drawing.renderer.IMAGES_PER_FOLDER", 10)
    rendered = []

    def run_here(self, function, pieces):
        for piece in pieces:
            if function is synthesis.draw_piece:
                rendered.append(piece.number)
            yield piece, function(piece)

    monkeypatch.setattr(LocalPool, "run_pieces", run_here)
    return rendered


def table(workdir):
    with open(workdir.images / "labels.csv", newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_images_and_their_table(workdir, make_config):
    config = make_config(25, seed=3)
    generate(config, workdir)
    rows = table(workdir)
    assert rows[0] == ["file", "text"]
    assert len(rows) == 26
    source = SyntheticSource(Drawing.of(config.code, config.generate.drawing), 25)
    assert rows[18] == [f"00001/{source.drawing.text(17)}_0000017.png", source.drawing.text(17)]
    for key, _ in rows[1:]:
        assert (workdir.images / key).read_bytes() == source.load(key)
    assert Image.open(io.BytesIO(source.load(rows[1][0]))).size == (160, 60)


def test_a_sheet_shows_the_first_images(workdir, make_config):
    generate(make_config(25), workdir)
    page = Image.open(workdir.images / "sheet.png")
    source = SyntheticSource(Drawing.of(CodeConfig(), make_config(25).generate.drawing), 25)
    assert page.size == (8 + 6 * 168, 8 + 4 * 86)
    first = page.crop((8, 8, 168, 68))
    assert first.tobytes() == source.drawing.image(0).tobytes()
    assert page.crop((8, 68, 168, 86)).convert("L").getextrema()[0] < 128


def test_equal_codes_are_kept_apart(workdir, make_config):
    generate(make_config(30, alphabet="ab", code_length="1"), workdir)
    assert len(set(tree(workdir.images))) == 30 + 3 + 3  # images; table, sheet and settings; a seal a folder
    assert len({text for _, text in table(workdir)[1:]}) == 2


def test_done_work_is_left_alone(workdir, make_config, small_folders, capsys):
    generate(make_config(25), workdir)
    before = tree(workdir.images)
    small_folders.clear()
    generate(make_config(25), workdir)
    assert small_folders == []
    assert tree(workdir.images) == before
    assert "nothing to do, " in capsys.readouterr().out


def test_more_images_go_on_from_those_that_are_there(workdir, tmp_path, make_config, small_folders):
    generate(make_config(25), workdir)
    small_folders.clear()
    generate(make_config(45), workdir)
    assert small_folders == [2, 3, 4]  # folder 2 held only five
    other = type(workdir)(tmp_path / "other")
    other.create()
    generate(make_config(45), other)
    assert tree(workdir.images) == tree(other.images)


def test_other_settings_are_listed(workdir, make_config):
    generate(make_config(25), workdir)
    before = tree(workdir.images)
    with pytest.raises(DigitwiseError) as error:
        generate(make_config(25, seed=1, noise_dots=5), workdir)
    assert "  --seed: 0 -> 1\n  --noise_dots: 30 -> 5\n" in str(error.value)
    assert "--overwrite" in str(error.value)
    with pytest.raises(DigitwiseError, match="num_images: 25 -> 20"):
        generate(make_config(20), workdir)
    assert tree(workdir.images) == before


def test_overwrite_makes_anew_and_leaves_what_is_not_ours(workdir, make_config):
    generate(make_config(25), workdir)
    (workdir.images / "mine.txt").write_text("kept")
    generate(make_config(12, seed=1, overwrite=True), workdir)
    assert len(table(workdir)) == 13
    names = set(tree(workdir.images))
    assert "mine.txt" in names
    assert len(names) == 12 + 3 + 2 + 1


def test_a_folder_of_somebody_else_is_not_touched(workdir, make_config):
    workdir.images.mkdir()
    (workdir.images / "1234.png").write_bytes(b"")
    with pytest.raises(DigitwiseError, match="1 entries that digitwise did not write .1234.png"):
        generate(make_config(25, overwrite=True), workdir)


def test_a_damaged_folder_is_drawn_again_on_going_on(workdir, make_config, small_folders):
    generate(make_config(25), workdir)
    before = tree(workdir.images)
    settings = json.loads((workdir.images / "settings.json").read_text())
    settings["complete"] = False
    (workdir.images / "settings.json").write_text(json.dumps(settings))
    next((workdir.images / "00001").glob("*.png")).write_bytes(b"torn")
    next((workdir.images / "00000").glob("*.png")).unlink()
    small_folders.clear()
    generate(make_config(25), workdir)
    assert small_folders == [0, 1]
    assert tree(workdir.images) == before


def test_a_greater_number_that_was_not_finished_may_shrink_again(workdir, make_config):
    generate(make_config(45), workdir)
    settings = json.loads((workdir.images / "settings.json").read_text())
    settings["complete"] = False
    (workdir.images / "settings.json").write_text(json.dumps(settings))
    generate(make_config(10), workdir)
    assert len(table(workdir)) == 11
    assert sorted(p.name for p in workdir.images.iterdir()) == ["00000", "labels.csv", "settings.json", "sheet.png"]


def test_damaged_settings_are_named(workdir, make_config):
    generate(make_config(25), workdir)
    (workdir.images / "settings.json").write_text('{"complete": true}')
    with pytest.raises(DigitwiseError, match="images/settings.json is damaged: settings is missing"):
        generate(make_config(25), workdir)


def piece_of(workdir, make_config):
    workdir.images.mkdir()
    config = make_config(10)
    source = SyntheticSource(Drawing.of(config.code, config.generate.drawing), 10)
    return synthesis.Piece(source, str(workdir.images), 0)


def test_a_piece_that_another_worker_finished_first_counts_as_done(workdir, make_config, monkeypatch):
    piece = piece_of(workdir, make_config)
    draw, slow = synthesis._draw, []

    def overtaken(piece):
        slow.append(piece)
        draw(piece)  # by the other worker, after this one saw that the folder is missing
        draw(piece)

    monkeypatch.setattr(synthesis, "_draw", overtaken)
    synthesis.draw_piece(piece)
    synthesis.draw_piece(piece)
    assert len(slow) == 1 and synthesis.stands(piece)
    assert [path.name for path in workdir.images.iterdir()] == ["00000"]


def test_a_piece_in_whose_place_something_else_is_fails(workdir, make_config):
    piece = piece_of(workdir, make_config)
    piece.folder.mkdir()
    (piece.folder / "mine.txt").touch()
    with pytest.raises(OSError, match="not empty"):
        synthesis.draw_piece(piece)
    assert [path.name for path in piece.folder.iterdir()] == ["mine.txt"]


def no_more_than(pieces, monkeypatch):
    """The next run is stopped after so many folders of images."""

    def stopped(self, function, all_pieces):
        for number, piece in enumerate(all_pieces):
            if function is synthesis.draw_piece and number == pieces:
                raise KeyboardInterrupt
            yield piece, function(piece)

    monkeypatch.setattr(LocalPool, "run_pieces", stopped)


def test_what_is_replaced_stays_until_its_successor_is_whole(
    workdir, tmp_path, make_config, monkeypatch, small_folders
):
    generate(make_config(25), workdir)
    before = tree(workdir.images)
    other = dataclasses.replace(make_config(35, seed=7), overwrite=True)
    with monkeypatch.context() as patch:
        no_more_than(2, patch)
        with pytest.raises(KeyboardInterrupt):
            generate(other, workdir)
    assert {name: data for name, data in tree(workdir.images).items() if not name.startswith(".unfinished")} == before
    assert generate(make_config(25), workdir) is False  # the old ones are whole
    small_folders.clear()
    generate(other, workdir)
    assert small_folders == [2, 3]
    fresh = Workdir(tmp_path / "fresh")
    fresh.create()
    generate(other, fresh)
    assert tree(workdir.images) == tree(fresh.images)


@pytest.mark.parametrize("call", range(1, 20))
def test_a_replacement_that_was_killed_is_finished(workdir, tmp_path, make_config, monkeypatch, call):
    generate(make_config(15), workdir)
    (workdir.images / "mine.txt").write_text("mine")
    other = dataclasses.replace(make_config(15, seed=7), overwrite=True)
    calls = []

    def deadly(function):
        def change(*arguments, **options):
            if str(workdir.images / ".unfinished" / "settings.json") in map(str, arguments) or calls:
                calls.append(function)
            if len(calls) == call:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return change

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", deadly(os.rename))
        patch.setattr(os, "replace", deadly(os.replace))
        patch.setattr(shutil, "rmtree", deadly(shutil.rmtree))
        patch.setattr(pathlib.Path, "unlink", deadly(pathlib.Path.unlink))
        with contextlib.suppress(KeyboardInterrupt):
            generate(other, workdir)
    generate(other, workdir)
    fresh = Workdir(tmp_path / "fresh")
    fresh.create()
    generate(other, fresh)
    assert tree(workdir.images) == {**tree(fresh.images), "mine.txt": b"mine"}


@pytest.mark.parametrize(
    "settings, warnings",
    [
        ({"image_size": "80x60"}, []),
        ({"image_size": "40x20", "code_length": "2", "font_sizes": (14, 16)}, []),
        (
            {"image_size": "40x20", "code_length": "2-8"},
            [
                "generate: warning: --font_sizes has 56, which is higher than the images (20 pixels); 8 characters "
                "take at least 126 pixels, the images are 40 wide"
            ],
        ),
    ],
)
def test_characters_that_do_not_fit_the_images_are_told(workdir, make_config, capsys, settings, warnings):
    generate_stage(make_config(2, **settings), workdir)
    assert [line for line in capsys.readouterr().out.splitlines() if "warning" in line] == warnings
