import gzip
import struct

import google_crc32c
import pytest
import tensorflow as tf

from records.errors import DamagedRecords
from records.tfrecord.framing import frame, masked_crc, read_records


def test_bytes_are_those_of_the_format():
    # Known vector of CRC-32C: 32 zero bytes give 8a9136aa.
    assert google_crc32c.value(bytes(32)) == 0x8A9136AA
    assert masked_crc(bytes(32)) == (((0x8A9136AA >> 15) | (0x8A9136AA << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    assert frame(b"ab")[:8] == b"\x02\0\0\0\0\0\0\0"
    assert frame(b"ab")[12:14] == b"ab"
    assert len(frame(b"ab")) == 18


def test_tensorflow_writes_and_reads_the_same(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    records = [b"", b"a", bytes(range(256)) * 300]
    ours.write_bytes(b"".join(map(frame, records)))
    with tf.io.TFRecordWriter(str(theirs)) as writer:
        for record in records:
            writer.write(record)
    assert ours.read_bytes() == theirs.read_bytes()
    assert [bytes(r) for r in tf.data.TFRecordDataset(str(ours)).as_numpy_iterator()] == records


def test_offsets(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(frame(b"abc") + frame(b"") + frame(b"d"))
    assert list(read_records(path)) == [(0, b"abc"), (19, b""), (35, b"d")]


def test_gzip_is_told_by_content(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(frame(b"abc") + frame(b"d")))
    assert list(read_records(path)) == [(0, b"abc"), (19, b"d")]


def test_a_forged_length_is_an_error_line(tmp_path):
    path = tmp_path / "a"
    length = struct.pack("<Q", 1 << 40)
    forged = frame(b"abc") + length + struct.pack("<I", masked_crc(length)) + b"rest"
    path.write_bytes(forged)
    with pytest.raises(DamagedRecords, match=f"{path}: record 1 at byte 19: the record claims 1099511627776 bytes"):
        list(read_records(path))
    path.write_bytes(gzip.compress(forged))
    with pytest.raises(DamagedRecords, match="record 1 at byte 19: .*1099511627776 bytes and 4 are left"):
        list(read_records(path))


def test_damaged_gzip(tmp_path):
    path = tmp_path / "a"
    whole = gzip.compress(frame(bytes(range(200))), mtime=0)
    for cut in range(2, len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(DamagedRecords, match="gzip stream is damaged"):
            list(read_records(path))
