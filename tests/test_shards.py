"""The names and the order of shards, and that one is what was written."""

import dataclasses
import json
import pathlib

import pytest

from pipeline.config import CodeConfig, DrawingConfig
from pipeline.drawing.renderer import Drawing, SyntheticSource
from records.dataset import writer
from records.dataset.shards import is_shard_name, order_of, shard_count, shard_name
from records.dataset.verify import Promise, verify_shard
from records.errors import DamagedRecords
from records.images.files import ENCODED, StoredForm
from records.tfrecord.framing import frame, read_records


def test_names():
    assert shard_name("codes", "train", 3, 8) == "codes-train.tfrecord-00003-of-00008"
    assert is_shard_name("codes-train.tfrecord-00003-of-00008")
    assert not is_shard_name(".partial-codes-train.tfrecord-00003-of-00008-12-ab")
    assert not is_shard_name("codes-train.tfrecord")


def test_counts():
    assert [shard_count(n, 10) for n in (0, 1, 10, 11)] == [0, 1, 1, 2]


def test_the_order_of_examples_is_the_same_everywhere():
    assert order_of("a.png") == 0.04252918124248636


@pytest.mark.parametrize("is_rendered", [True, False])
@pytest.mark.parametrize("what", ["bit", "record", "cut"])
def test_a_shard_that_the_disk_changed_is_refused(tmp_path, monkeypatch, is_rendered, what):
    """Also where every record is whole, and where rendered images are compared by their bytes alone."""

    def changed(path, *_):
        whole = pathlib.Path(path).read_bytes()
        records = [frame(data) for _, data in read_records(path)]
        changes = {"bit": whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:], "record": records[0] * 2, "cut": whole[:-1]}
        pathlib.Path(path).write_bytes(changes[what])

    source = SyntheticSource(Drawing.of(CodeConfig(), DrawingConfig()), 2)
    plan, target = tmp_path / "plan", tmp_path / "codes-train.tfrecord-00000-of-00001"
    plan.write_text("".join(json.dumps(row) + "\n" for row in source.rows()))
    promise = Promise("0123456789", 4, 4, (60, 160, 3), ENCODED)
    form = StoredForm(160, 60, 3)
    spec = writer.ShardSpec("train", source, str(plan), str(target), form, promise, is_rendered=is_rendered)
    assert writer.write_shard(spec) == verify_shard(target, promise)
    read_back = writer._read_back
    monkeypatch.setattr(writer, "_read_back", lambda *given: (changed(*given), read_back(*given))[1])
    with pytest.raises(DamagedRecords):
        writer.write_shard(dataclasses.replace(spec, target=str(tmp_path / "other")))
    assert not (tmp_path / "other").exists()
