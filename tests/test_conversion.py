import dataclasses
import io
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from pipeline.config import TrainConfig
from pipeline.conversion import survey
from pipeline.conversion.convert import convert
from pipeline.drawing.files import generate
from pipeline.machine.workers import LocalPool
from pipeline.model.checkpoints import Checkpoints
from pipeline.stages.inputs import records_to_test, records_to_train
from pipeline.stages.verification import verify
from pipeline.values import SettingError
from records.dataset import schema
from records.dataset.manifest import Manifest
from records.dataset.settings import RecordSettings
from records.errors import DigitwiseError
from records.images import png
from records.images.folder import LabeledFolder
from records.split import SplitRule
from records.tfrecord.framing import read_records
from tests.training_fixtures import make_state


def read(manifest):
    """{split: [(key, image, text)]}."""
    return {
        split: [schema.decode(data) for path in manifest.paths(split) for _, data in read_records(path)]
        for split in manifest.splits
    }


def own_folder(folder, codes, size=(12, 8), mode="L", ending="png"):
    folder.mkdir(exist_ok=True)
    for number, code in enumerate(codes):
        pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0]), np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / f"{code}_{number}.{ending}")
    return str(folder)


CODES = [f"{n * 7 % 100:02d}" for n in range(60)]


def test_from_generated_images(workdir, make_config, capsys):
    config = make_config(60, images_per_shard=20)
    generate(config, workdir)
    convert(config, workdir)
    manifest = Manifest.load(workdir.records)
    assert (manifest.image_shape, manifest.encoding, manifest.alphabet) == ((60, 160, 3), "encoded", "0123456789")
    rows = [row for split in read(manifest).values() for row in split]
    assert len(rows) == len({key for key, _, _ in rows}) == 60
    for key, image, text in rows:
        assert (workdir.images / key).read_bytes() == image
        assert key.split("/")[1].startswith(text)
    for split, examples in read(manifest).items():
        assert {SplitRule(0.25, 0.25).split(text) for _, _, text in examples} == {split}
    sizes = [shard.count for shard in manifest.splits["train"]]
    assert max(sizes) <= 20 and max(sizes) - min(sizes) <= 1
    assert verify(workdir.records, 1)
    counted = sum(manifest.classes["train"][0].values())
    assert counted == manifest.count("train")
    assert "60 images" in capsys.readouterr().out


def test_straight_from_the_renderer_gives_the_same_shards(workdir, tmp_path, make_config):
    generate(make_config(40), workdir)
    convert(make_config(40), workdir)
    straight = type(workdir)(tmp_path / "straight")
    straight.create()
    convert(make_config(40, source="synthetic"), straight)
    assert not straight.images.exists()
    ours, theirs = Manifest.load(workdir.records), Manifest.load(straight.records)
    assert ours.splits == theirs.splits
    assert ours.settings == theirs.settings


def test_own_images(workdir, tmp_path, make_config):
    folder = own_folder(tmp_path / "own", CODES)
    convert(make_config(images=folder), workdir)
    manifest = Manifest.load(workdir.records)
    assert manifest.image_shape == (8, 12, 1)
    assert (manifest.min_length, manifest.max_length) == (2, 2)
    texts = [text for split in read(manifest).values() for _, _, text in split]
    assert sorted(texts) == sorted(CODES)


MIXED = [f"{a}{b}{n % 10}" for n, (a, b) in enumerate(["aB", "Ab", "AB", "cd", "Cd"] * 12)]


@pytest.mark.parametrize("alphabet, change", [("digits+upper", str.upper), ("digits+lower", str.lower)])
def test_own_images_of_mixed_case_are_folded(workdir, tmp_path, make_config, alphabet, change):
    folder = own_folder(tmp_path / "own", MIXED)
    convert(make_config(images=folder, alphabet=alphabet, fold_case=True), workdir)
    manifest = Manifest.load(workdir.records)
    assert manifest.alphabet == "0123456789" + change("abcdefghijklmnopqrstuvwxyz")
    assert manifest.settings["fold_case"] is True
    rows = read(manifest)
    assert sorted(text for split in rows.values() for _, _, text in split) == sorted(map(change, MIXED))
    for split, examples in rows.items():
        assert {SplitRule(0.25, 0.25).split(text) for _, _, text in examples} <= {split}
        assert all(change(key.split("_")[0]) == text for key, _, text in examples)
    assert verify(workdir.records, 1)


@pytest.mark.parametrize("source", ["images", "synthetic"])
def test_both_cases_are_drawn_and_folded(workdir, make_config, source):
    config = make_config(40, source=source, alphabet="alnum", fold_case=True)
    if source == "images":
        generate(config, workdir)
    convert(config, workdir)
    manifest = Manifest.load(workdir.records)
    assert manifest.alphabet == "0123456789abcdefghijklmnopqrstuvwxyz"
    names = [(key.split("/")[1].split("_")[0], text) for split in read(manifest).values() for key, _, text in split]
    assert all(name.lower() == text for name, text in names)
    assert any(name != text for name, text in names)


def test_case_is_kept_unless_asked_otherwise(workdir, tmp_path, make_config):
    folder = own_folder(tmp_path / "own", MIXED)
    convert(make_config(images=folder, alphabet="alnum"), workdir)
    assert {text for split in read(Manifest.load(workdir.records)).values() for _, _, text in split} == set(MIXED)
    with pytest.raises(DigitwiseError, match="fold_case: false -> true"):
        convert(make_config(images=folder, alphabet="alnum", fold_case=True), workdir)


def test_a_label_of_the_other_case_says_what_would_take_it(workdir, tmp_path, make_config):
    folder = own_folder(tmp_path / "own", MIXED)
    with pytest.raises(DigitwiseError, match="'Ab1' has 'b'.* this source, --fold_case would read this one as 'AB1'$"):
        convert(make_config(images=folder, alphabet="digits+upper"), workdir)
    with pytest.raises(DigitwiseError, match="'AB2' has 'A', .* would take every code of this source$"):
        convert(make_config(images=folder, alphabet="digits"), workdir)
    with pytest.raises(DigitwiseError, match="has 'C', .* --alphabet='0123456789ABCD' would .* this source$"):
        convert(make_config(images=folder, alphabet="0123456789AB", fold_case=True), workdir)


def test_no_code_is_in_two_splits(workdir, tmp_path, make_config):
    folder = own_folder(tmp_path / "own", CODES + CODES)
    convert(make_config(images=folder), workdir)
    codes = {split: {text for _, _, text in rows} for split, rows in read(Manifest.load(workdir.records)).items()}
    assert not codes["train"] & codes["test"]
    assert not codes["train"] & codes["validation"]
    assert not codes["validation"] & codes["test"]
    assert len(codes["test"]) > 3


@pytest.mark.parametrize("image_format", ["raw", "jpeg", "png"])
@pytest.mark.parametrize("colors, channels", [("grey", 1), ("rgb", 3)])
def test_stored_forms(workdir, tmp_path, make_config, image_format, colors, channels):
    folder = own_folder(tmp_path / "own", CODES, mode="RGB", ending="bmp")
    convert(make_config(images=folder, image_format=image_format, colors=colors), workdir)
    manifest = Manifest.load(workdir.records)
    assert manifest.channels == channels
    image = read(manifest)["train"][0][1]
    starts = {"raw": b"", "jpeg": b"\xff\xd8", "png": b"\x89PNG"}
    assert image.startswith(starts[image_format])
    assert verify(workdir.records, 1)


def test_gzip_is_the_same_at_every_run(workdir, tmp_path, make_config):
    folder = own_folder(tmp_path / "own", CODES)
    config = make_config(images=folder, compression="gzip")
    convert(config, workdir)
    other = type(workdir)(tmp_path / "other")
    other.create()
    convert(config, other)
    assert Manifest.load(workdir.records).splits == Manifest.load(other.records).splits
    assert (
        workdir.records.joinpath(Manifest.load(workdir.records).splits["train"][0].file).read_bytes()[:2] == b"\x1f\x8b"
    )
    assert verify(workdir.records, 1)


def test_done_work_is_left_alone_and_other_settings_are_listed(workdir, tmp_path, make_config, capsys):
    folder = own_folder(tmp_path / "own", CODES)
    convert(make_config(images=folder), workdir)
    before = Manifest.load(workdir.records)
    convert(make_config(images=folder), workdir)
    assert "has the records of these settings" in capsys.readouterr().out
    with pytest.raises(DigitwiseError, match="test_fraction: 0.25 -> 0.4\n"):
        convert(make_config(images=folder, test_fraction=0.4), workdir)
    own_folder(tmp_path / "own", ["99"] + CODES)
    changed = "number of images: 60 -> 121\n  names, codes, sizes or times of the images: changed\n"
    with pytest.raises(DigitwiseError, match=changed):
        convert(make_config(images=folder), workdir)
    assert Manifest.load(workdir.records) == before
    convert(make_config(images=folder, test_fraction=0.4, overwrite=True), workdir)
    assert Manifest.load(workdir.records).settings["test_fraction"] == 0.4


def test_damaged_records_are_written_again_where_they_may_be(workdir, tmp_path, make_config, capsys):
    folder = own_folder(tmp_path / "own", CODES)
    convert(make_config(images=folder), workdir)
    path, *_ = Manifest.load(workdir.records).paths("train")
    content = path.read_bytes()
    path.write_bytes(content[:50] + b"?" + content[51:])
    assert not convert(make_config(images=folder), workdir)  # it is not read again without being asked to
    capsys.readouterr()
    assert convert(make_config(images=folder, overwrite=True), workdir)
    assert f"records: {path} is damaged: all are written again\n" in capsys.readouterr().out
    assert path.read_bytes() == content
    assert not convert(make_config(images=folder, overwrite=True), workdir)


def test_overwrite_stops_at_what_is_not_ours(workdir, tmp_path, make_config):
    folder = own_folder(tmp_path / "own", CODES)
    convert(make_config(images=folder), workdir)
    (workdir.records / "notes.txt").write_text("mine")
    with pytest.raises(DigitwiseError, match="also holds notes.txt"):
        convert(make_config(images=folder, seed=1, compression="gzip", overwrite=True), workdir)
    assert (workdir.records / "notes.txt").exists()
    assert Manifest.load(workdir.records).compression == ""


def test_a_class_that_a_split_lacks_is_told(workdir, tmp_path, make_config, capsys, monkeypatch):
    monkeypatch.setattr(survey, "_FEW_CODES", 1)  # of a split of few codes it goes without saying
    folder = own_folder(tmp_path / "own", ["11", "22", "33", "44", "55", "66", "77", "88"])
    convert(make_config(images=folder), workdir)
    lines = [line for line in capsys.readouterr().out.splitlines() if "lacks characters" in line]
    shown = read(Manifest.load(workdir.records))
    expected = {
        split: (
            "a network trained on it cannot learn them there"
            if split == "train"
            else "its accuracy says nothing about them"
        )
        for split, rows in shown.items()
        if rows
    }
    assert len(lines) == len(expected) > 1, "one for each split"
    for (split, what), line in zip(expected.items(), lines, strict=True):
        first = min(set("12345678") - {text[0] for _, _, text in shown[split]})
        assert line == (
            f"records: warning: the {split} split lacks characters at 2 of 2 positions, such as '{first}' at "
            f"position 1: {what}"
        )


def test_going_on_skips_the_shards_that_stand(workdir, tmp_path, make_config, monkeypatch):
    folder = own_folder(tmp_path / "own", CODES)
    config = make_config(images=folder, images_per_shard=10)
    written = []

    def killed_after_two(self, function, pieces):
        for number, piece in enumerate(pieces):
            if number == 2:
                raise KeyboardInterrupt
            written.append(piece.target)
            yield piece, function(piece)

    with monkeypatch.context() as patch:
        patch.setattr(LocalPool, "run_pieces", killed_after_two)
        with pytest.raises(KeyboardInterrupt):
            convert(config, workdir)
    assert not workdir.records.exists()
    with open(written[1], "ab") as file:
        file.write(b"torn")
    again = []

    def run_here(self, function, pieces):
        for piece in pieces:
            again.append(piece.target)
            yield piece, function(piece)

    monkeypatch.setattr(LocalPool, "run_pieces", run_here)
    convert(config, workdir)
    assert written[0] not in again
    assert written[1] in again
    assert verify(workdir.records, 1)
    assert not workdir.unfinished_records.exists()


def test_a_rename_that_was_cut_short_is_made_good(workdir, tmp_path, make_config):
    folder = own_folder(tmp_path / "own", CODES)
    convert(make_config(images=folder), workdir)
    before = Manifest.load(workdir.records)
    workdir.records.rename(workdir.unfinished_records)
    convert(make_config(images=folder), workdir)
    assert Manifest.load(workdir.records) == before


@pytest.mark.parametrize(
    "codes, settings, message",
    [
        (
            ["12", "1x"],
            {"alphabet": "digits"},
            "1x_1.png: its code '1x' has 'x', .* --alphabet='0123456789x' would take every code",
        ),
        (
            ["12", "123"],
            {"code_length": "2"},
            "123_1.png: its code '123' has 3 characters, but --code_length=2 allows only 2$",
        ),
        (["123", "1"], {"code_length": "2-3"}, "'1' has 1 characters, but --code_length=2-3 allows only 2 to 3$"),
        (
            ["12"],
            {"test_fraction": 0.9, "validation_fraction": 0.09},
            "none of the 1 images falls into the train split",
        ),
        (["12"], {"image_size": "160x60"}, "12_0.png is 12x8 pixels, the others are 160x60"),
    ],
)
def test_labels_and_sizes_that_do_not_fit(workdir, tmp_path, make_config, codes, settings, message):
    folder = own_folder(tmp_path / "own", codes)
    with pytest.raises(DigitwiseError, match=message):
        convert(make_config(images=folder, **settings), workdir)
    assert not workdir.records.exists()


@pytest.mark.parametrize("content", [lambda png: png[:-30], lambda _: b"hello"], ids=["cut short", "no image"])
def test_unusable_images_of_all_shards_and_pieces_are_named_at_once(
    workdir, tmp_path, make_config, monkeypatch, content
):
    monkeypatch.setattr("pipeline.conversion.plans._PIECE", 2)
    folder = own_folder(tmp_path / "own", CODES)
    images = sorted((tmp_path / "own").glob("*.png"))
    for path in images:
        path.write_bytes(content(path.read_bytes()))
    with pytest.raises(DigitwiseError) as caught:
        convert(make_config(images=folder, images_per_shard=1), workdir)
    named = [path.name for path in images if path.name in str(caught.value)]
    assert named == [path.name for path in images[: len(named)]] and len(named) == min(len(images), 11)
    assert str(caught.value).endswith(f" and {len(images) - 11} more") == (len(images) > 11)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("settings", [{}, {"images_per_shard": 1}, {"image_format": "jpeg"}, {"image_size": "12x8"}])
def test_unusable_images_of_all_kinds_are_named_at_once(workdir, tmp_path, make_config, settings):
    folder = own_folder(tmp_path / "own", CODES)
    images = sorted((tmp_path / "own").glob("*.png"))
    whole = images[0].read_bytes()
    images[1].write_bytes(b"hello")  # seen in its header
    images[2].write_bytes(whole[:-30])  # copied as it is
    picture = io.BytesIO()
    Image.open(io.BytesIO(whole)).convert("P").save(picture, "PNG")
    images[3].write_bytes(picture.getvalue()[:-40])  # decoded, to be stored as another kind
    for path, target in ((images[4], "nowhere"), (images[5], images[5].name)):
        path.unlink()
        path.symlink_to(target)
    with pytest.raises(DigitwiseError) as caught:
        convert(make_config(images=folder, **settings), workdir)
    named = [path.name for path in images if path.name in str(caught.value)]
    assert named == [path.name for path in images[1:6]]


def test_images_that_cannot_be_loaded(tmp_path, monkeypatch):
    folder = LabeledFolder(own_folder(tmp_path, ["12"]))
    (path,) = tmp_path.glob("*.png")
    (tmp_path / "13.png").symlink_to("nowhere")
    (tmp_path / "14.png").symlink_to("14.png")
    assert folder.identity()["count"] == 3
    for key, message in (
        ("13.png", "13.png is a link to a file that does not exist$"),
        ("14.png", "14.png cannot be read: "),
        ("15.png", "15.png is missing: it was there when the folder was listed$"),
    ):
        with pytest.raises(DigitwiseError, match=message):
            folder.load(key)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(DigitwiseError, match=f"{path.name} cannot be read: Permission denied$"):
        folder.load(path.name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_that_is_called_an_image_is_not_read(tmp_path):
    folder = LabeledFolder(own_folder(tmp_path, ["12"]))
    os.mkfifo(tmp_path / "13.png")
    assert len(list(folder.rows())) == 1
    assert folder.left_out() == ["1 file that is not an image (13.png)"]


def test_images_that_are_no_images(workdir, tmp_path, make_config):
    folder = own_folder(tmp_path / "own", CODES)
    path = tmp_path / "own" / "13_cut.png"
    path.write_bytes((tmp_path / "own" / "00_0.png").read_bytes()[:-30])
    with pytest.raises(DigitwiseError, match="13_cut.png: image cannot be decoded .it is cut short"):
        convert(make_config(images=folder), workdir)
    other = tmp_path / "own" / "13_more.png"
    other.write_bytes(path.read_bytes())
    with pytest.raises(DigitwiseError, match="13_cut.png: .*; nor can these be stored: [^,]*13_more.png$"):
        convert(make_config(images=folder), workdir)
    path.write_bytes(b"hello")
    other.write_bytes(b"hello again")
    with pytest.raises(
        DigitwiseError, match="13_cut.png is not an image that can be read .neither PNG.*; nor can .*13_more.png$"
    ):
        convert(make_config(images=folder), workdir)
    path.unlink()
    other.unlink()
    own_folder(tmp_path / "own", ["77"], size=(20, 8))
    with pytest.raises(DigitwiseError, match="77_0.png is 20x8 pixels, the others are 12x8: --resize"):
        convert(make_config(images=folder, image_size="12x8"), workdir)
    convert(make_config(images=folder, resize=True), workdir)
    assert verify(workdir.records, 1)
    assert Manifest.load(workdir.records).image_shape == (8, 12, 1)


def test_nothing_to_read(workdir, make_config):
    with pytest.raises(DigitwiseError, match="has no images: run --stage=generate first"):
        convert(make_config(), workdir)
    generate(make_config(5), workdir)
    settings = json.loads((workdir.images / "settings.json").read_text())
    settings["complete"] = False
    (workdir.images / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(DigitwiseError, match="is not finished: run --stage=generate again"):
        convert(make_config(), workdir)


def test_of_the_images_that_were_generated_the_test_split_is_tested(workdir, make_config):
    generate(make_config(20), workdir)
    convert(make_config(20), workdir)
    named = make_config(images=str(workdir.root / "." / "images"), code_length="", stages=("test",))
    assert records_to_test(named, workdir) == workdir.records


def test_records_of_somebody_else_are_not_touched(workdir, make_config):
    generate(make_config(20), workdir)
    workdir.records.mkdir()
    (workdir.records / "data.tfrecord").write_bytes(b"")
    with pytest.raises(DigitwiseError, match="holds files that digitwise did not write"):
        convert(make_config(20, overwrite=True), workdir)


def test_a_folder_of_images_is_converted_where_a_training_or_a_test_names_it(workdir, tmp_path, make_config):
    mine = own_folder(tmp_path / "mine", CODES)
    train, test = (
        make_config(images=mine, code_length=length, stages=(name,)) for name, length in (("train", "2"), ("test", ""))
    )
    assert records_to_train(train, workdir) == workdir.records
    assert records_to_test(test, workdir) == workdir.records, "its test split was held out"
    with pytest.raises(DigitwiseError, match="different settings:\n  number of images: 60 -> 9\n"):
        records_to_train(make_config(images=own_folder(tmp_path / "more", CODES[:9]), stages=("train",)), workdir)
    both = make_config(images=str(tmp_path / "absent"), stages=("records", "train", "test"))
    assert records_to_train(both, workdir) == records_to_test(both, workdir) == workdir.records


def test_other_images_are_tested_as_the_checkpoint_reads_them(workdir, tmp_path, make_config):
    spec = {"network": "three_conv", "alphabet": "0123456789AB", "max_length": 3, "image_shape": (10, 20, 1)}
    Checkpoints(tmp_path / "trained").save(1, {}, make_state(**spec))

    def tested(codes, **given):
        other = own_folder(tmp_path / "-".join(codes), codes)
        config = make_config(images=other, stages=("test",), **given)
        test = dataclasses.replace(config.test, checkpoint=str(tmp_path / "trained"))
        return Manifest.load(records_to_test(dataclasses.replace(config, test=test), workdir))

    with pytest.raises(DigitwiseError, match="12x8 pixels, .*20x10.*--resize"):
        tested(["A1", "123"])
    manifest = tested(["A1", "123"], resize=True)
    assert (manifest.alphabet, manifest.min_length, manifest.max_length) == ("0123456789AB", 2, 3)
    assert (manifest.image_shape, manifest.count("test")) == ((10, 20, 1), 2)
    with pytest.raises(
        DigitwiseError, match="'C1' has 'C', which is not in the alphabet of the checkpoint in .*trained$"
    ):
        tested(["C1"], resize=True)
    with pytest.raises(DigitwiseError, match="'1234' has 4 characters, the checkpoint in .*trained reads 2-3$"):
        tested(["1234"], resize=True)
    with pytest.raises(DigitwiseError, match="--split=rest: there are train, validation, test"):
        config = make_config(images=str(tmp_path / "mine"), stages=("test",))
        records_to_test(dataclasses.replace(config, test=dataclasses.replace(config.test, split="rest")), workdir)


def test_held_out_images_are_drawn_for_a_training_that_lacks_them(workdir, make_config):
    config = make_config(60, source="synthetic", stages=("train",))
    manifest = Manifest.load(records_to_train(config, workdir))
    assert manifest.count("train") == 0 < manifest.count("test")
    assert records_to_train(make_config(20, source="synthetic", stages=("train",)), workdir) == workdir.records


def test_several_workers_do_not_convert(workdir, tmp_path, make_config):
    mine = own_folder(tmp_path / "mine", CODES)
    convert(make_config(images=mine), workdir)
    with pytest.raises(SettingError, match="--stage=records does not work with --strategy=multi_worker"):
        make_config(stages=("records", "train"), train=TrainConfig(strategy="multi_worker"))
    for read in (records_to_train, records_to_test):
        several = make_config(images=mine, stages=("train",), train=TrainConfig(strategy="multi_worker"))
        assert read(several, workdir) == workdir.records
        others = dataclasses.replace(several.records, images=own_folder(tmp_path / "others", CODES[:9]))
        with pytest.raises(DigitwiseError, match="was not made of these images: run --stage=records once"):
            read(dataclasses.replace(several, records=others), workdir)


def test_records_that_another_process_wrote_into_are_refused(workdir, tmp_path, make_config, monkeypatch):
    monkeypatch.setattr(
        LocalPool, "run_pieces", lambda self, f, specs: ((s, dataclasses.replace(f(s), count=99)) for s in specs)
    )
    with pytest.raises(DigitwiseError, match=r"records of 60 images: is another process writing there\?"):
        convert(make_config(images=own_folder(tmp_path / "mine", CODES)), workdir)


def test_splits_of_few_codes_are_told(workdir, tmp_path, make_config, capsys):
    convert(make_config(images=own_folder(tmp_path / "mine", CODES)), workdir)
    out, manifest = capsys.readouterr().out, Manifest.load(workdir.records)
    for split in ("validation", "test"):
        codes = {text for _, _, text in read(manifest)[split]}
        said = f"the {split} split has {manifest.count(split)} images of {len(codes)} codes: a figure from it says"
        assert f"records: warning: {said} little" in out
    assert "records: warning: --stage=folds tests every image" in out and "lacks characters" not in out
    many = type(workdir)(tmp_path / "many")
    many.create()
    convert(make_config(400, source="synthetic"), many)
    assert "says little" not in capsys.readouterr().out


def test_what_names_were_read_as_is_shown(workdir, tmp_path, make_config, capsys):
    convert(make_config(images=own_folder(tmp_path / "mine", ["ab", "cd", "ab", "ef", "gh"])), workdir)
    assert "records: codes such as 'ab' (ab_0.png), 'cd' (cd_1.png), 'ef' (ef_3.png)\n" in capsys.readouterr().out


def test_images_of_one_code_and_empty_splits_are_told(workdir, tmp_path, make_config, capsys):
    config = make_config(
        validation_fraction=0.0, test_fraction=0.0, images=own_folder(tmp_path / "camera", ["IMG"] * 3)
    )
    convert(config, workdir)
    out = capsys.readouterr().out
    assert "records: warning: all 3 images have one code, 'IMG' (IMG_0.png): a network learns nothing from them" in out
    assert "codes such as" not in out and "folds" not in out
    for split in ("validation", "test"):
        assert f"records: warning: the {split} split has no images\n" in out


def test_one_image_under_two_codes_is_told(workdir, tmp_path, make_config, capsys):
    folder = own_folder(tmp_path / "own", CODES)
    for same in ("00_x", "00_y"):  # of one code: a copy, which stays in one split
        shutil.copy(tmp_path / "own" / "00_0.png", tmp_path / "own" / f"{same}.png")
    convert(make_config(images=folder), workdir)
    assert "the same as others" not in capsys.readouterr().out
    for wrong in ("98_x", "99_x"):
        shutil.copy(tmp_path / "own" / "14_2.png", tmp_path / "own" / f"{wrong}.png")
    convert(make_config(images=folder, overwrite=True), workdir)
    [line] = [line for line in capsys.readouterr().out.splitlines() if "the same as others" in line]
    names = sorted({"14_2.png", "98_x.png", "99_x.png"} & {part.rpartition("/")[2] for part in line.split()})
    assert line.startswith("records: warning: 3 images are the same as others with another code, such as ")
    assert len(names) == 2


def test_codes_of_one_character_cannot_be_split_and_tested(workdir, tmp_path, make_config, capsys):
    folder = own_folder(tmp_path / "own", [str(n % 10) for n in range(60)])
    convert(make_config(images=folder), workdir)
    assert "records: warning: each code is one character, and those of" in capsys.readouterr().out
    convert(make_config(images=folder, validation_fraction=0, test_fraction=0, overwrite=True), workdir)
    assert "one character" not in capsys.readouterr().out


@pytest.mark.parametrize("overwrite", [False, True])
def test_records_behind_a_link_are_never_removed(workdir, tmp_path, make_config, overwrite):
    folder = own_folder(tmp_path / "own", CODES)
    convert(make_config(images=folder), workdir)
    workdir.records.rename(tmp_path / "elsewhere")
    workdir.records.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert convert(make_config(images=folder), workdir) is False
    before = Manifest.load(workdir.records)
    with pytest.raises(
        DigitwiseError, match="is a symbolic link, which is not replaced" if overwrite else "compression"
    ):
        convert(make_config(images=folder, compression="gzip", overwrite=overwrite), workdir)
    assert Manifest.load(workdir.records) == before
    assert verify(workdir.records, 1)


def test_files_that_are_not_read_are_told(workdir, tmp_path, make_config, capsys):
    folder = own_folder(tmp_path / "own", CODES)
    (tmp_path / "own" / "notes.txt").write_text("mine")
    convert(make_config(images=folder), workdir)
    assert "records: warning: not read: 1 file that is not an image (notes.txt)\n" in capsys.readouterr().out


def test_settings_are_those_of_earlier_versions(workdir, tmp_path, make_config):
    """Records written before compare equal, name by name and in their order."""
    convert(make_config(images=own_folder(tmp_path / "own", CODES)), workdir)
    settings = Manifest.load(workdir.records).settings
    assert list(settings) == [
        "source", "alphabet", "name", "validation_fraction", "test_fraction", "images_per_shard", "image_format",
        "colors", "compression", "resize", "fold_case",
    ]  # fmt: skip
    assert list(settings["source"]) == ["folder", "code_length", "image_size"]
    assert settings["compression"] == "none"
    typed = RecordSettings.from_json(settings)
    assert typed.rule == SplitRule(0.25, 0.25)
    assert typed.to_json() == settings


def test_a_label_that_no_alphabet_takes_is_not_given_one(workdir, tmp_path, make_config):
    folder = tmp_path / "own"
    own_folder(folder, ["12"])
    (folder / "labels.csv").write_text('file,text\n12_0.png,"1\n2"\n')
    with pytest.raises(DigitwiseError, match=r"its code '1\\n2' has '\\n', which is not in the alphabet '0123456789'$"):
        convert(make_config(images=str(folder), alphabet="digits"), workdir)
    with pytest.raises(DigitwiseError, match=r"12_0.png: its code '1\\n2' cannot be read: .* U\+000A"):
        convert(make_config(images=str(folder)), workdir)


def test_nothing_is_left_behind_that_nobody_can_continue(workdir, tmp_path, make_config):
    folder = tmp_path / "own"
    folder.mkdir()
    Image.new("L", (40, 20)).save(folder / "a\nb.png")
    with pytest.raises(DigitwiseError, match="cannot be read"):
        convert(make_config(images=str(folder)), workdir)
    assert not workdir.unfinished_records.exists()


def test_only_images_that_the_program_did_not_just_encode_are_unpacked(workdir, make_config, monkeypatch, tmp_path):
    def check(data):
        raise ValueError("unpacked")

    monkeypatch.setattr(png, "check", check)
    convert(make_config(20, source="synthetic"), workdir)
    assert Manifest.load(workdir.records).count("train") == 10
    files = type(workdir)(tmp_path / "files")
    files.create()
    generate(make_config(20), files)
    with pytest.raises(DigitwiseError, match="image cannot be decoded .unpacked"):
        convert(make_config(20), files)
