"""Records that are made to mislead, or to fill the memory."""

import json
import os
import pickle
import subprocess
import sys
import zlib

import numpy as np
import pytest

from records.errors import DigitwiseError
from records.foreign.wrappers import MAX_BYTES, Budget, OverBudget, unwrapped
from records.probe.keys import Keys
from records.probe.probe import probe_records
from records.tfrecord.framing import frame
from tests.conftest import ROOT
from tests.fuzz import _field, _message, _varint


def saved(header, body=b"", version=1):
    """A file of numpy.save with any header."""
    padded = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + bytes((version, 0)) + len(padded).to_bytes(2, "little") + padded + body


@pytest.mark.parametrize(
    "data",
    [
        saved("{'descr': '|O', 'fortran_order': False, 'shape': (60, 160), }", pickle.dumps(list(range(999)), 4)),
        saved("{'descr': '<z9', 'fortran_order': False, 'shape': (60, 160), }", bytes(9600)),
        saved("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (4,), }", bytes(9600)),
        saved("{'descr': '|u1', 'fortran_order': False, 'shape': (60, 161), }", bytes(9600)),
        saved("__import__('os').abort()", bytes(9600)),
    ],
)
def test_a_file_of_numpy_that_is_not_of_plain_numbers_is_refused(tmp_path, data):
    path = tmp_path / "a"
    path.write_bytes(b"".join(frame(_message({"image": [data], "label": [b"%04d" % n]})) for n in range(8)))
    probe = probe_records(str(path))
    assert probe.mapping is None
    reason = dict(probe.image.rejected)["image"]
    assert reason.startswith("it holds a file of numpy.save that is not one of plain numbers, which is never opened")


def test_labels_in_such_a_file_are_refused_too(tmp_path):
    path = tmp_path / "a"
    labels = [
        saved("{'descr': '|O', 'fortran_order': False, 'shape': (4,), }", pickle.dumps([n] * 4)) for n in range(8)
    ]
    path.write_bytes(b"".join(frame(_message({"label": [label]})) for label in labels))
    assert "which is never opened" in dict(probe_records(str(path)).text.rejected)["label"]


def tensor(rows, columns, kind, values):
    """A TensorProto with fewer values than its shape needs: the last of them is repeated."""
    sizes = b"".join(_field(2, b"\x08" + _varint(size)) for size in (rows, columns))
    return b"\x08" + bytes((kind,)) + _field(2, sizes) + values


DOUBLES = _field(6, np.array([1.5]).tobytes())
INTEGERS = b"".join(b"\x38" + _varint(n % 100) for n in range(600_000))
# Made when a test asks for one: compressing gigabytes takes seconds.
HOSTILE = {
    "thirty tensors of 128 MB": lambda: {f"k{n}": [tensor(4096, 4096, 2, DOUBLES)] for n in range(30)},
    "thirty tensors of 31 MB": lambda: {f"k{n}": [tensor(2000, 1950, 2, DOUBLES)] for n in range(30)},
    "numbers that are not packed": lambda: {"k": [tensor(1000, 600, 3, INTEGERS)]},
    "compressed zeros": lambda: {f"k{n}": [zlib.compress(bytes(MAX_BYTES), 9)] for n in range(30)},
    "zeros in zeros": lambda: {"k": [zlib.compress(zlib.compress(bytes(1 << 28), 9), 9)]},
    "one pixel wide": lambda: {"image": [tensor(1 << 21, 1, 4, _field(7, b"\x07"))], "label": [b"4071"]},
    "a large picture": lambda: {"image": [tensor(4000, 4000, 4, _field(7, b"\x07"))], "label": [b"4071"]},
    "large raw numbers": lambda: {"image": [bytes(range(256)) * (1 << 17)], "label": [b"4071"]},
}


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux tells the memory in use")
@pytest.mark.parametrize("name", HOSTILE)
def test_no_records_take_more_than_512_mb(tmp_path, name):
    path = tmp_path / "a"
    path.write_bytes(frame(_message(HOSTILE[name]())) * 3)
    script = f"""
import json, time
from pipeline.config import ForeignConfig, RunConfig
from pipeline.stages.inspect import inspect
from pipeline.workdir import Workdir
from records.errors import DigitwiseError
began = time.process_time()
try:
    inspect(RunConfig(foreign=ForeignConfig(records=({str(path)!r},))), Workdir({str(tmp_path / "w")!r}))
except DigitwiseError as error:
    print(error)
# Not ru_maxrss, which a process inherits from the one that started it.
with open("/proc/self/status") as status:
    used = next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM"))
print(json.dumps([used, time.process_time() - began]))
"""
    (tmp_path / "w").mkdir()
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    megabytes, seconds = json.loads(done.stdout.splitlines()[-1])
    assert megabytes < 512 and seconds < 20, done.stdout


def test_one_budget_for_all_that_is_unwrapped():
    packed = [[zlib.compress(bytes(1000))] for _ in range(4)]
    assert unwrapped(packed, Budget(4 * 1060))[0] == ("zlib",)
    with pytest.raises(OverBudget):
        unwrapped(packed, Budget(4 * 1060 - 1))


def test_keys_over_the_budget_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("records.probe.keys.MAX_UNWRAPPED", 1 << 20)
    path = tmp_path / "a"
    zeros = zlib.compress(bytes(600_000))
    path.write_bytes(frame(_message({"a": [zeros], "b": [zeros], "label": [b"4071"]})))
    probe = probe_records(str(path))
    assert dict(probe.image.rejected)["b"] == "its values unwrap to more than is left of the 1 MB that a probe may use"


def test_a_key_is_unwrapped_once(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(frame(_message({"a": [zlib.compress(bytes(200))]})) * 4)
    keys = Keys(probe_records(str(path)).sample)
    assert keys.unwrapped("a") is keys.unwrapped("a")


def test_a_record_over_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("records.foreign.sample.MAX_RECORD", 100)
    path = tmp_path / "a"
    path.write_bytes(frame(bytes(101)))
    with pytest.raises(DigitwiseError, match="the record claims 101 bytes; more than 100 are not read"):
        probe_records(str(path))
