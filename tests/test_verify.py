"""Every way to damage a small shard, one byte or bit at a time."""

import dataclasses
import io
import json
import struct

import pytest
from PIL import Image

from records.dataset import schema
from records.dataset.manifest import Manifest
from records.dataset.verify import Promise, file_problems, shard_problem, verify_shard
from records.errors import DamagedRecords
from records.images.files import ENCODED, RAW
from records.tfrecord import example
from records.tfrecord.framing import frame, masked_crc

PROMISE = Promise("0123456789", 2, 3, (2, 3, 1), RAW)


def record(number, text="42", image=b"abcdef"):
    return frame(schema.encode(f"{number}.png", image, text))


@pytest.fixture
def shard(tmp_path):
    """(path, entry, offsets of the records, size)."""
    path = tmp_path / "codes-train.tfrecord-00000-of-00001"
    frames = [record(n) for n in range(3)]
    path.write_bytes(b"".join(frames))
    offsets = [sum(map(len, frames[:n])) for n in range(3)]
    return path, verify_shard(path, PROMISE), offsets, path.stat().st_size


def test_a_whole_shard(shard):
    path, entry, _, size = shard
    assert (entry.file, entry.count, entry.bytes) == (path.name, 3, size)
    assert verify_shard(path, PROMISE, entry) == entry


def test_every_truncation_names_the_record_that_is_cut(shard):
    path, entry, offsets, size = shard
    whole = path.read_bytes()
    for cut in range(size):
        path.write_bytes(whole[:cut])
        number = max(n for n, offset in enumerate(offsets) if offset <= cut)
        with pytest.raises(DamagedRecords) as error:
            verify_shard(path, PROMISE, entry)
        assert str(error.value).startswith(f"{path}: record {number} at byte {offsets[number]}: "), cut


def test_every_bit_flip_names_the_record_that_it_is_in(shard):
    path, entry, offsets, size = shard
    whole = path.read_bytes()
    for position in range(size):
        number = max(n for n, offset in enumerate(offsets) if offset <= position)
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[position] ^= 1 << bit
            path.write_bytes(flipped)
            with pytest.raises(DamagedRecords) as error:
                verify_shard(path, PROMISE, entry)
            assert str(error.value).startswith(f"{path}: record {number} at byte {offsets[number]}: "), position


def test_bytes_after_the_last_record(shard):
    path, entry, _, size = shard
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DamagedRecords, match=f"record 3 at byte {size}: the file ends inside the record's header"):
        verify_shard(path, PROMISE, entry)
    path.write_bytes(path.read_bytes()[:-1] + record(3))
    with pytest.raises(DamagedRecords, match="ends after 4 records, the manifest says 3"):
        verify_shard(path, PROMISE, entry)


def test_a_length_of_a_terabyte_is_an_error_line(shard):
    path, entry, offsets, _ = shard
    length = struct.pack("<Q", 1 << 40)
    whole = bytearray(path.read_bytes())
    whole[offsets[1] : offsets[1] + 12] = length + struct.pack("<I", masked_crc(length))
    path.write_bytes(whole)
    with pytest.raises(DamagedRecords, match=f"record 1 at byte {offsets[1]}: the record claims 1099511627776 bytes"):
        verify_shard(path, PROMISE, entry)


@pytest.mark.parametrize(
    "data, message",
    [
        (schema.encode("k", b"abcdef", "4x"), "its text '4x' has 'x', which is not in the alphabet '0123456789'"),
        (schema.encode("k", b"abcdef", "4"), "its text '4' has 1 characters, expected 2 to 3"),
        (schema.encode("k", b"abcde", "42"), "its image has 5 bytes of raw pixels, expected 3x2x1"),
        (example.encode({"image": b"abcdef"}), "is not an Example of digitwise .it has no 'key', only image"),
        (b"\xff\xff", "is not an Example of digitwise"),
    ],
)
def test_records_that_break_the_promise(tmp_path, data, message):
    path = tmp_path / "a"
    path.write_bytes(record(0) + frame(data))
    with pytest.raises(DamagedRecords, match=f"a: record 1 at byte {len(record(0))}: .*{message}"):
        verify_shard(path, PROMISE)


def test_an_image_that_does_not_decode(tmp_path):
    file = io.BytesIO()
    Image.new("L", (3, 2)).save(file, "PNG")
    promise = dataclasses.replace(PROMISE, encoding=ENCODED)
    path = tmp_path / "a"
    path.write_bytes(record(0, image=file.getvalue()) + record(1, image=file.getvalue()[:-20]))
    with pytest.raises(DamagedRecords, match="a: record 1 at byte .*: its image cannot be decoded"):
        verify_shard(path, promise)


@pytest.fixture
def folder(tmp_path):
    """The manifest of a folder of two shards."""
    entries = []
    for index in range(2):
        path = tmp_path / f"codes-train.tfrecord-{index:05d}-of-00002"
        path.write_bytes(record(index))
        entries.append(verify_shard(path, PROMISE))
    manifest = Manifest("codes", "0123456789", 2, 3, 2, 3, 1, RAW, "", {"train": entries}, {"train": []}, {}, {}, {})
    manifest.save(tmp_path)
    return Manifest.load(tmp_path)


def problems(manifest):
    return file_problems(manifest) + [p for s in manifest.splits["train"] if (p := shard_problem(manifest, s))]


def test_a_sound_folder(folder):
    assert problems(folder) == []


def test_a_missing_shard(folder):
    folder.paths("train")[1].unlink()
    assert "00001-of-00002: the shard is missing; the manifest says 1 records" in str(file_problems(folder)[0])


def test_an_empty_shard(folder):
    folder.paths("train")[1].write_bytes(b"")
    assert "00001-of-00002: record 0 at byte 0: the file is empty" in str(file_problems(folder)[0])


def test_an_extra_shard(folder):
    (folder.folder / "codes-train.tfrecord-00002-of-00003").write_bytes(record(5))
    assert "00002-of-00003: the file is not in the manifest" in str(file_problems(folder)[0])


def test_swapped_shards(folder):
    first, second = folder.paths("train")
    first_bytes = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(first_bytes)
    found = problems(folder)
    assert len(found) == 2
    assert "00000-of-00002: record 0 at byte 0: every record is whole, but these are not the records" in found[0].text
    assert [problem.file for problem in found] == [shard.file for shard in folder.splits["train"]]


@pytest.mark.parametrize(
    "content, message",
    [("{", "not readable JSON"), ("[]", "not a manifest"), ('{"format": "digitwise-records"}', "format version None")],
)
def test_a_damaged_manifest(folder, content, message):
    (folder.folder / "manifest.json").write_text(content)
    with pytest.raises(Exception, match=message):
        Manifest.load(folder.folder)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("height", "2", 'height is "2", expected a whole number'),
        ("alphabet", None, "alphabet is null, expected text"),
        ("splits", {"train": {}}, "splits.train is {}, expected a list"),
        ("splits", {"train": [{"file": 7}]}, r"splits.train\[0\].file is 7, expected text"),
        ("classes", {"train": [{"0": "x"}]}, r'classes.train\[0\].0 is "x", expected a whole number'),
        ("settings", [], r"settings is \[\], expected an object"),
        ("sizes", 5, ""),
    ],
)
def test_a_manifest_with_a_wrong_value_names_it(folder, key, value, message):
    path = folder.folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(DamagedRecords, match=f"manifest.json is damaged.*{message}.*; write the records again"):
        Manifest.load(folder.folder)


def test_a_manifest_of_an_old_version_says_none_for_plain_files(folder):
    path = folder.folder / "manifest.json"
    path.write_text(path.read_text().replace('"compression": ""', '"compression": "none"'))
    assert '"none"' in path.read_text()
    assert Manifest.load(folder.folder) == folder
