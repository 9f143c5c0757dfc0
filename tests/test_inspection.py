import importlib.util
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipeline.config import CodeConfig, ForeignConfig, RecordsConfig, RunConfig
from pipeline.conversion.convert import convert
from pipeline.model.checkpoints import Checkpoints
from pipeline.stages.inputs import records_to_test, records_to_train
from pipeline.stages.inspect import inspect
from pipeline.values import SettingError
from records.dataset import schema
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError
from records.tfrecord.framing import frame, read_records
from tests.conftest import ROOT
from tests.foreign_writers import CASES, drawn, encoded, example, write
from tests.training_fixtures import make_state


@pytest.fixture
def run(workdir):
    """Runs a stage function on --records; flags by their names."""

    def run(stage, *records, resize=False, code=CodeConfig(), overwrite=False, into=workdir, **given):
        shares = {name: given.pop(name, 0.2) for name in ("validation_fraction", "test_fraction")}
        config = RunConfig(
            stages=("train",),
            workers=1,
            overwrite=overwrite,
            code=code,
            foreign=ForeignConfig(records=tuple(map(str, records)), **given),
            records=RecordsConfig(**shares, resize=resize),
        )
        return stage(config, into)

    return run


@pytest.fixture
def simple(tmp_path):
    """A file of records with images and digits as text."""
    path = tmp_path / "simple.tfrecord"
    write(path, [example(image=encoded(pixels), label=code) for pixels, code in drawn()])
    return path


def texts(manifest):
    paths = [path for split in manifest.splits for path in manifest.paths(split)]
    return sorted(schema.decode(data)[2] for path in paths for _, data in read_records(path))


def test_it_prints_what_is_there_and_leaves_a_sheet_and_a_mapping(run, simple, workdir, capsys):
    run(inspect, simple, full_check=True)
    out = capsys.readouterr().out
    assert "files        1, " in out
    assert "records      48\n" in out
    assert "compression  none" in out
    assert "kind         Example\n" in out
    assert "label                        bytes, 1 value, 4 bytes; in all; '8754'" in out
    assert "checked      all 48 records" in out
    assert "4 to 4 characters of '0123456789'" in out
    content = json.loads((workdir.inspect / "mapping.json").read_text())
    assert content["image"] == {"key": "image", "form": "encoded"}
    assert content["text"] == {"form": "string", "keys": ["label"]}
    assert Image.open(workdir.inspect / "sheet.png").width > 6 * 160


def test_a_question_is_drawn_and_the_mapping_is_refused_until_it_is_settled(run, tmp_path, workdir):
    folder = tmp_path / "data"
    folder.mkdir()
    CASES["raw_with_sides"].write(folder)
    with pytest.raises(
        DigitwiseError, match="--channel_order=rgb .likely. or --channel_order=bgr settles it .see .*rgb.png, "
    ):
        run(inspect, folder)
    first, second = (Image.open(workdir.inspect / f"question-channel_order-{order}.png") for order in ("rgb", "bgr"))
    assert first.size == second.size
    assert np.array_equal(np.asarray(first)[40, 40], np.asarray(second)[40, 40, ::-1])
    path = workdir.inspect / "mapping.json"
    with pytest.raises(DigitwiseError, match="mapping.json: image.channel_order is still open: it is not clear"):
        run(inspect, folder, mapping=(str(path),))
    saved = tmp_path / "mine.json"
    content = json.loads(path.read_text())
    content["image"]["channel_order"] = "bgr"
    saved.write_text(json.dumps(content))
    run(inspect, folder, mapping=(str(saved),))


def test_records_of_mixed_case_are_folded(tmp_path, workdir):
    mixed = drawn(alphabet="abcdABCD")
    path = tmp_path / "mixed.tfrecord"
    write(path, [example(image=encoded(pixels), label=code) for pixels, code in mixed])
    code = CodeConfig(alphabet="ABCD")
    foreign, records = ForeignConfig(records=(str(path),)), RecordsConfig(fold_case=True)
    convert(RunConfig(workers=1, foreign=foreign, records=records, code=code), workdir)
    manifest = Manifest.load(workdir.records)
    assert manifest.alphabet == "ABCD"
    assert texts(manifest) == sorted(code.upper() for _, code in mixed)


def test_conversion(run, simple, workdir):
    run(convert, simple)
    manifest = Manifest.load(workdir.records)
    assert (manifest.image_shape, manifest.alphabet) == ((60, 160, 3), "0123456789")
    assert texts(manifest) == sorted(code for _, code in drawn())
    with pytest.raises(DigitwiseError, match="label', |settings"):
        write(simple, [example(image=encoded(pixels), label=code) for pixels, code in drawn()[:30]])
        run(convert, simple)


def test_packed_files_are_unpacked_while_they_are_converted(run, tmp_path, workdir):
    CASES["zlib"].write(tmp_path)
    run(convert, tmp_path / "a.bin")
    assert texts(Manifest.load(workdir.records)) == sorted(code for _, code in drawn())
    assert not workdir.unpacked.exists()


def test_own_records_and_those_of_others_together(run, simple, tmp_path, workdir):
    other = type(workdir)(tmp_path / "other")
    other.create()
    run(convert, simple, into=other)
    folder = tmp_path / "sides"
    folder.mkdir()
    CASES["raw_with_sides"].write(folder)
    with pytest.raises(DigitwiseError, match="sides: it is not clear"):
        run(convert, other.records, folder)
    run(inspect, folder, channel_order="rgb")
    mapping = shutil.copy(workdir.inspect / "mapping.json", tmp_path / "mapping.json")
    run(convert, other.records, folder, mapping=("", mapping))
    assert texts(Manifest.load(workdir.records)) == sorted(2 * [code for _, code in drawn()])
    with pytest.raises(SettingError, match="--mapping has 3 files and --records 2 entries"):
        run(convert, other.records, folder, mapping=("", "", ""))


def test_what_a_training_and_a_test_read(run, simple, tmp_path, workdir):
    assert run(records_to_train, simple) == workdir.records
    assert run(records_to_train, workdir.records) == workdir.records
    assert run(records_to_test, simple) == workdir.records
    other = tmp_path / "other.tfrecord"
    spec = {"alphabet": "0123456789", "min_length": 4, "max_length": 4, "image_shape": (60, 160, 1)}
    Checkpoints(workdir.checkpoints).save(1, {}, make_state(**spec))
    write(other, [example(image=encoded(pixels), label=code) for pixels, code in drawn()[:20]])
    tested = Manifest.load(run(records_to_test, other))
    assert (tested.count("test"), tested.count("train")) == (20, 0)
    assert tested.folder != workdir.records


def test_images_of_several_sizes(run, tmp_path, workdir):
    path = tmp_path / "sizes"
    records = [example(image=encoded(p[:, : 160 - n % 2]), label=code) for n, (p, code) in enumerate(drawn())]
    write(path, records)
    size = {"code": CodeConfig(image_size=(160, 60))}
    with pytest.raises(DigitwiseError, match=r"sizes: record \d+ at byte \d+ .*159x60 pixels, the others .* --resize"):
        run(convert, path, **size)
    run(convert, path)
    assert {size[:2] for size in Manifest.load(workdir.records).sizes.counts} == {(160, 60), (159, 60)}
    run(convert, path, resize=True, overwrite=True)
    assert Manifest.load(workdir.records).image_shape == (60, 160, 3)


def test_records_without_text(run, tmp_path, capsys):
    path = tmp_path / "unlabelled"
    write(path, [example(image=encoded(pixels), digest=f"{n:032x}") for n, (pixels, _) in enumerate(drawn())])
    run(inspect, path)
    assert "text         not found: records without it can be neither trained on nor tested" in capsys.readouterr().out
    with pytest.raises(DigitwiseError, match="no text was found in these records; without it they can be neither"):
        run(convert, path)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"label": [3, 11, 2, 1]}, "record 30 at byte .*: key 'label': got id 11, expected 0 to 9"),
        ({"label": "4071"}, "record 30 at byte .*: key 'label': it is a string of 4 bytes, expected numbers"),
        ({}, "record 30 at byte .*: key 'label': it is missing in this record"),
        ({"label": []}, "record 30 at byte .*: key 'label': it is empty in this record"),
        ({"label": [1, 2], "image": b"\x89PNG\r\n\x1a\n...."}, "record 30 at byte .* is not an image that can be read"),
    ],
)
def test_one_bad_record_is_named(run, tmp_path, change, message):
    path = tmp_path / "data"
    records = [example(image=encoded(pixels), label=[int(digit) for digit in code]) for pixels, code in drawn()]
    features = {"image": encoded(drawn()[0][0]), **change}
    records[30] = example(**features)
    write(path, records)
    with pytest.raises(DigitwiseError, match=message):
        run(convert, path, mapping=(_mapping(tmp_path),))


def _mapping(folder):
    path = folder / "mapping.json"
    text = {"form": "ids", "keys": ["label"], "charset": "0123456789"}
    content = {"format": "digitwise-mapping", "format_version": 1, "image": {"key": "image", "form": "encoded"}}
    path.write_text(json.dumps(content | {"text": text}))
    return str(path)


def test_a_label_outside_the_alphabet_is_named(run, tmp_path):
    path = tmp_path / "data"
    write(path, [example(image=encoded(pixels), label=code.replace("9", "x")) for pixels, code in drawn()])
    with pytest.raises(
        DigitwiseError, match=r"data: record 1 at byte \d+ \('image', 'label'\): its code '046x' has 'x'"
    ):
        run(convert, path, code=CodeConfig(alphabet="0123456789"))


def test_damage_is_found_where_it_is(run, simple):
    data = bytearray(simple.read_bytes())
    data[-20] ^= 1
    simple.write_bytes(data)
    with pytest.raises(DigitwiseError, match=r"simple.tfrecord: record 47 at byte \d+: the checksum"):
        run(inspect, simple, full_check=True)
    simple.write_bytes(data[:-100])
    with pytest.raises(DigitwiseError, match=r"record.* at byte \d+: the record claims \d+ bytes and \d+ are left"):
        run(inspect, simple)


def test_large_files_are_not_read_whole(run, tmp_path, capsys, monkeypatch):
    from records.foreign import sample

    monkeypatch.setattr(sample, "_COUNTED_HEADERS", 60)
    for number in range(4):
        write(tmp_path / "many" / f"{number}", [example(image=encoded(p), label=c) for p, c in drawn()])
    opened = []
    original = sample.read_record_at
    monkeypatch.setattr(sample, "read_record_at", lambda *given: opened.append(given[2]) or original(*given))
    run(inspect, tmp_path / "many")
    out = capsys.readouterr().out
    assert "records      about 19" in out
    assert len(opened) <= 4 * 48


def test_written_by_tensorflow_datasets_itself(run, tmp_path, workdir, capsys):
    import tensorflow_datasets as tfds

    names = list("abcdefghij")
    features = tfds.features.FeaturesDict(
        {
            "picture": tfds.features.Image(shape=(None, None, 3)),
            "signs": tfds.features.Sequence(tfds.features.ClassLabel(names=names)),
            "about": {"number": np.int64},
        }
    )
    folder = tmp_path / "letters" / "1.0.0"
    folder.mkdir(parents=True)
    identity = tfds.core.DatasetIdentity(
        name="letters", version=tfds.core.Version("1.0.0"), data_dir=str(folder), module_name="m"
    )
    writer = tfds.core.SequentialWriter(
        tfds.core.DatasetInfo(builder=identity, features=features), max_examples_per_shard=30
    )
    writer.initialize_splits(["train", "test"])
    for number, (pixels, code) in enumerate(drawn()):
        row = {"picture": pixels, "signs": [int(digit) for digit in code], "about": {"number": number}}
        writer.add_examples({"train" if number < 40 else "test": [row]})
    writer.close_all()
    run(inspect, folder)
    assert f"the characters of the ids are those of {folder}/signs.labels.txt" in capsys.readouterr().out
    from records.foreign.source import Entry, ForeignSource
    from records.probe.probe import probe_records

    probe = probe_records(str(folder))
    source = ForeignSource((Entry(probe.listing.files, probe.mapping),), "")
    found = [(text, tf.io.decode_png(source.load(key)).numpy().tobytes()) for key, text in source.rows()]
    assert sorted(found) == sorted(("".join(names[int(d)] for d in code), pixels.tobytes()) for pixels, code in drawn())


def test_written_by_the_package_tfrecord(run, tmp_path, capsys):
    """The package and TensorFlow cannot be in one process: both register the same protos."""
    if importlib.util.find_spec("tfrecord") is None:
        pytest.skip("the package tfrecord is not installed")
    script = f"""
import sys, pathlib
sys.path.insert(0, {str(ROOT)!r})
import tfrecord
from tfrecord.tools import tfrecord2idx
folder = pathlib.Path({str(tmp_path)!r})
writer = tfrecord.TFRecordWriter(str(folder / "a.tfrecord"))
sequences = tfrecord.TFRecordWriter(str(folder / "b.tfrecord"))
for path in sorted(folder.glob("*.png")):
    image, code = (path.read_bytes(), "byte"), path.stem.split("_")[1]
    writer.write({{"image": image, "label": ([float(digit) for digit in code], "float"), "index": (3, "int")}})
    sequences.write({{"image": image}}, {{"label": ([[int(digit)] for digit in code], "int")}})
writer.close(), sequences.close()
tfrecord2idx.create_index(str(folder / "a.tfrecord"), str(folder / "a.tfindex"))
"""
    for number, (pixels, code) in enumerate(drawn()):
        (tmp_path / f"{number:03d}_{code}.png").write_bytes(encoded(pixels))
    subprocess.run([sys.executable, "-c", script], check=True, env=dict(os.environ), capture_output=True)
    from records.foreign.source import Entry, ForeignSource
    from records.probe.probe import probe_records

    for name in ("a.tf*", "b.tfrecord"):
        probe = probe_records(str(tmp_path / name))
        assert not probe.questions
        source = ForeignSource((Entry(probe.listing.files, probe.mapping),), "")
        rows = list(source.rows())
        assert [text for _, text in rows] == [code for _, code in drawn()]
        assert all(source.load(key) == encoded(pixels) for (key, _), (pixels, _) in zip(rows, drawn(), strict=True))


def test_nothing_is_written_over_the_inputs(run, simple):
    before = simple.read_bytes()
    run(inspect, simple)
    run(convert, simple)
    assert simple.read_bytes() == before
    assert sorted(path.name for path in simple.parent.iterdir()) == ["simple.tfrecord", "work"]


def test_a_bomb_in_gzip_takes_no_memory(run, tmp_path):
    import gzip

    length = (1 << 33).to_bytes(8, "little")
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(frame(b"")[:0] + length + frame(b"x" * 8)[8:12] + bytes(1 << 20)))
    with pytest.raises(DigitwiseError, match="bomb: record 0 at byte 0: the checksum of the record's length"):
        run(inspect, path)


def test_only_inspect_draws_and_what_it_drew_stays(run, simple, workdir):
    run(inspect, simple)
    sheet = (workdir.inspect / "sheet.png").read_bytes()
    run(convert, simple)
    assert (workdir.inspect / "sheet.png").read_bytes() == sheet


def test_converting_draws_nothing(run, simple, tmp_path, workdir):
    folder = tmp_path / "data"
    folder.mkdir()
    CASES["raw_with_sides"].write(folder)
    with pytest.raises(
        DigitwiseError, match="it is not clear whether .*\n--answers=likely .*\n--stage=inspect makes pictures of each"
    ):
        run(convert, folder)
    run(convert, simple)
    assert not workdir.inspect.exists()


def test_records_are_probed_once_for_all_stages(simple, tmp_path, workdir, monkeypatch, capsys):
    from pipeline.conversion import foreign

    other = tmp_path / "other.tfrecord"
    write(other, [example(image=encoded(pixels), label=code) for pixels, code in drawn()[:20]])
    read = {"alphabet": "0123456789", "min_length": 4, "max_length": 4, "image_shape": (60, 160, 1)}
    Checkpoints(workdir.checkpoints).save(1, {}, make_state(1, **read))
    probed = []
    probe_records = foreign.probe_records
    monkeypatch.setattr(
        foreign, "probe_records", lambda entry, *given: probed.append(entry) or probe_records(entry, *given)
    )
    records_to_train(RunConfig(stages=("train",), workers=1, foreign=ForeignConfig((str(simple),))), workdir)
    probed.clear(), capsys.readouterr()
    config = RunConfig(stages=("inspect", "test"), workers=1, foreign=ForeignConfig((str(other),)))
    probes = foreign.Probes()
    inspect(config, workdir, probes)
    records_to_test(config, workdir, probes)
    assert probed == [str(other)]
    assert capsys.readouterr().out.count("records: " + str(other)) == 2, "two lines of evidence, once"


def test_likely_answers_are_announced_and_written(run, tmp_path, workdir, capsys):
    folder = tmp_path / "data"
    folder.mkdir()
    written = CASES["raw_with_sides"].write(folder)
    run(inspect, folder, answers="likely")
    assert f"{folder}: it is not clear" in (said := capsys.readouterr().out)
    assert "took --channel_order=rgb, the likeliest" in said
    mapping = json.loads((workdir.inspect / "mapping.json").read_text())
    assert mapping["image"]["channel_order"] == "rgb"
    run(convert, folder, answers="likely")
    assert "records: " in capsys.readouterr().out
    assert texts(Manifest.load(workdir.records)) == sorted(code for _, code in written)


def test_an_answer_that_only_the_user_knows_stays_open(run, tmp_path):
    path = tmp_path / "ids"
    write(path, [example(image=encoded(p), label=[int(d) * 700 for d in c]) for p, c in drawn()])
    with pytest.raises(DigitwiseError, match="no table has characters for them: --charset settles it") as error:
        run(convert, path, answers="likely")
    assert "--answers=likely takes" not in str(error.value)


def test_answers_that_differ_in_the_first_id_alone_are_told_apart(run, tmp_path):
    path = tmp_path / "ids"
    write(path, [example(image=encoded(p), label=[int(d) % 9 + 1 for d in c]) for p, c in drawn()])
    either = "--charset=0123456789 --first_id=0 .likely. or --charset=0123456789 --first_id=1 settles it"
    with pytest.raises(DigitwiseError, match=either):
        run(convert, path)


def test_records_without_text_say_so_before_anything_is_asked(run, tmp_path):
    path = tmp_path / "unlabelled"
    pictures = [(p.tobytes(), f"{n:032x}") for n, (p, _) in enumerate(drawn())]
    write(path, [example(image=data, height=60, width=160, digest=digest) for data, digest in pictures])
    with pytest.raises(DigitwiseError, match=r"^--records=.*unlabelled: no text was found in these records;.*\)$"):
        run(convert, path)
    with pytest.raises(DigitwiseError, match=r"^--records=.*: text not found: .*\n--records=.*--channel_order=rgb"):
        run(inspect, path)


def test_a_file_is_taken_once(run, simple, tmp_path, workdir):
    (tmp_path / "link.tfrecord").symlink_to(simple)
    with pytest.raises(DigitwiseError, match="simple.tfrecord is in two entries, .*: name each file once"):
        run(convert, simple, str(tmp_path / "." / "sim*"))
    run(convert, tmp_path / "*.tfrecord")
    assert sum(Manifest.load(workdir.records).count(split) for split in ("train", "validation", "test")) == 48


def test_control_characters_of_keys_do_not_reach_the_terminal(run, tmp_path, capsys):
    path = tmp_path / "data"
    odd = {"a\x1b[2J\n": "x\x1by", "k" * 1000: "z"}
    write(path, [example(image=encoded(pixels), label=code, **odd) for pixels, code in drawn()])
    run(inspect, path)
    out = capsys.readouterr().out
    assert "\x1b" not in out and r"a\x1b[2J\n" in out
    assert max(map(len, out.splitlines())) < 400


def test_a_key_of_a_megabyte_is_refused(run, tmp_path):
    path = tmp_path / "data"
    write(path, [example(image=encoded(pixels), **{"k" * 1_000_000: code}) for pixels, code in drawn()[:4]])
    with pytest.raises(DigitwiseError, match="the name of a key has 1,000,000 bytes; more than 1,024 are not read"):
        run(inspect, path)
