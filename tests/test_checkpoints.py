"""Checkpoints: what is there is whole, what is damaged is found."""

import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tracemalloc
import zipfile

import keras
import numpy as np
import pytest

from pipeline.model.checkpoint_files import DamagedCheckpoint
from pipeline.model.checkpoints import Checkpoints
from pipeline.model.variables import arrays_of, assign_arrays, form_of, reading_arrays
from records.errors import DigitwiseError
from tests.training_fixtures import make_state

ARRAYS = {
    "network/0/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "network/1/seed": np.array([1, 2], np.uint32),
}


def save(folder, *steps, best=None, arrays=ARRAYS):
    checkpoints = Checkpoints(folder)
    for step in steps:
        best = step if best is None else best
        checkpoints.save(step, arrays, make_state(best, alphabet="käse"), best)
    return checkpoints


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_what_was_saved_comes_back(tmp_path):
    checkpoint = save(tmp_path / "new" / "folder", 7).latest()
    assert (checkpoint.step, checkpoint.state) == (7, make_state(7, alphabet="käse"))
    assert list(checkpoint.arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert checkpoint.arrays[name].dtype == array.dtype
        assert np.array_equal(checkpoint.arrays[name], array)


def test_the_last_two_and_the_best_are_kept(tmp_path):
    checkpoints = save(tmp_path, 10, 20, 30, 40, best=20)
    assert checkpoints.steps() == [20, 30, 40]
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json"] * 3 + [".npz"] * 3
    assert [checkpoints.choose(which).step for which in ("best", "last", "30")] == [20, 40, 30]


def test_there_may_be_none(tmp_path):
    checkpoints = Checkpoints(tmp_path / "nothing")
    assert checkpoints.latest() is None
    assert checkpoints.steps() == []
    checkpoints.clean()
    checkpoints.clear()
    with pytest.raises(DigitwiseError, match="holds no checkpoint: train first"):
        checkpoints.choose("best")


def test_a_step_that_is_not_there(tmp_path):
    with pytest.raises(DigitwiseError, match="holds no checkpoint '15': there are best, last and 10, 20"):
        save(tmp_path, 10, 20).choose("15")


def test_any_flipped_bit_is_found(tmp_path):
    checkpoints = save(tmp_path, 1)
    for path in (tmp_path / "step-00000001.json", tmp_path / "step-00000001.npz"):
        for place in range(path.stat().st_size):
            flip(path, place)
            # A blank that becomes another blank means the same JSON.
            if path.suffix == ".npz" or not path.read_bytes()[place : place + 1].isspace():
                with pytest.raises(DigitwiseError, match="damaged|not a checkpoint of digitwise|format version"):
                    checkpoints.load(1)
            flip(path, place)
    assert checkpoints.load(1).step == 1


def test_a_damaged_one_falls_back_to_the_one_before(tmp_path):
    checkpoints = save(tmp_path, 1, 2)
    flip(tmp_path / "step-00000002.npz", 100)
    lines = []
    assert checkpoints.latest(lines.append).step == 1
    assert len(lines) == 1
    assert lines[0].startswith(f"warning: {tmp_path}/step-00000002.npz is damaged: its sha256 is not the one in")
    assert lines[0].endswith("falling back to the checkpoint before it")


def test_the_best_is_known_without_the_last(tmp_path):
    checkpoints = save(tmp_path, 1, 2, 3, best=1)
    flip(tmp_path / "step-00000003.json", 10)
    assert checkpoints.choose("best", warn=lambda _: None).step == 1


def test_all_damaged_is_an_error(tmp_path):
    checkpoints = save(tmp_path, 1, 2)
    for path in tmp_path.glob("*.npz"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DigitwiseError, match="the checkpoints of steps 1, 2 are all damaged; train again"):
        checkpoints.latest(lambda _: None)
    with pytest.raises(DamagedCheckpoint):
        checkpoints.choose("last")


def test_arrays_alone_are_no_checkpoint(tmp_path):
    checkpoints = save(tmp_path, 1, 2)
    (tmp_path / "step-00000002.json").unlink()
    (tmp_path / ".partial-step-00000003.npz-1-abc").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    assert checkpoints.latest().step == 1
    checkpoints.clean()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["notes.txt", "step-00000001.json", "step-00000001.npz"]
    checkpoints.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_another_format_version(tmp_path):
    checkpoints = save(tmp_path, 1)
    path = tmp_path / "step-00000001.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 3}))
    with pytest.raises(DigitwiseError, match="has format version 3, this program reads 1 and 2"):
        checkpoints.latest()


def network(units=3):
    keras.utils.set_random_seed(0)
    images = keras.Input((2,))
    x = keras.layers.Dense(units, name="dense")(images)
    return keras.Model(images, keras.layers.Dropout(0.5, name="dropout")(x))


def test_variables_come_back_with_the_seeds_of_dropout():
    arrays = arrays_of(network=network().variables)
    assert [name.split("/")[2] for name in arrays] == ["dense", "dense", "seed_generator"]
    other = network()
    other.variables[0].assign(np.zeros((2, 3)))
    other(np.ones((1, 2)), training=True)
    assert not all(np.array_equal(arrays[n], a) for n, a in arrays_of(network=other.variables).items())
    assign_arrays(arrays, network=other.variables)
    assert all(np.array_equal(arrays[n], a) for n, a in arrays_of(network=other.variables).items())


def test_another_shape_is_refused_and_nothing_assigned():
    arrays = arrays_of(network=network(4).variables)
    other = network(3)
    before = other.variables[1].numpy()
    with pytest.raises(
        DigitwiseError, match=r"network/0/.*kernel is float32 \[2, 4\], the program's is float32 \[2, 3\]"
    ):
        assign_arrays(arrays, network=other.variables)
    assert np.array_equal(other.variables[1].numpy(), before)


def test_other_variables_are_refused():
    arrays = arrays_of(network=network().variables)
    with pytest.raises(DigitwiseError, match="the checkpoint's network has other variables .*3 of them there, 2 here"):
        assign_arrays(arrays, network=network().variables[:2])
    with pytest.raises(DigitwiseError, match="the checkpoint's optimizer has other variables"):
        assign_arrays(arrays, optimizer=network().variables)


def test_names_that_look_like_pickles_are_not_loaded(tmp_path):
    checkpoints = save(tmp_path, 1)
    with open(tmp_path / "step-00000001.npz", "wb") as file:
        np.savez(file, evil=np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(DamagedCheckpoint):
        checkpoints.load(1)


SAVES_AND_DIES = """
import os, pathlib, signal, sys
import numpy as np
from pipeline.model.checkpoints import Checkpoints
from tests.training_fixtures import _die_at, make_state
checkpoints = Checkpoints(sys.argv[1])
_die_at(int(sys.argv[2]))
for step in (1, 2, 3):
    checkpoints.save(step, {"a": np.full(1000, step)}, make_state())
print("survived")
"""


@pytest.mark.parametrize("call", range(1, 21))
def test_a_save_killed_at_any_change_of_the_disk_leaves_whole_checkpoints(tmp_path, call):
    root = pathlib.Path(__file__).parent.parent
    result = subprocess.run(
        [sys.executable, "-c", SAVES_AND_DIES, str(tmp_path), str(call)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    # Three saves are 6 changes each (two files: contents, name, folder), and 2 removals.
    assert result.stdout == "" and result.returncode == -9, result.stderr
    checkpoints = Checkpoints(tmp_path)
    checkpoints.clean()
    latest = checkpoints.latest(lambda line: pytest.fail(line))
    finished = [0, *[step for step in (1, 2, 3) if call > 6 * step - 1]]
    assert (latest.step if latest else 0) in finished[-1:]
    assert latest is None or np.array_equal(latest.arrays["a"], np.full(1000, latest.step))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".partial-")]


def test_a_flag_may_name_checkpoints_or_a_workdir_of_them(tmp_path):
    folder = save(tmp_path / "work" / "checkpoints", 5).folder
    for given in (folder, folder.parent):
        assert Checkpoints.given("--checkpoint", given).folder == folder
    with pytest.raises(DigitwiseError, match="^--checkpoint=.*: it holds no checkpoints$"):
        Checkpoints.given("--checkpoint", tmp_path)
    with pytest.raises(DigitwiseError, match="^--initialize_from=.*nowhere: there is no such folder$"):
        Checkpoints.given("--initialize_from", tmp_path / "nowhere")


def test_nothing_but_the_arrays_is_stored(tmp_path, monkeypatch):
    given = []
    savez = np.savez
    # To numpy before 2.1 every keyword is the name of an array, allow_pickle too.
    monkeypatch.setattr(np, "savez", lambda file, **arrays: given.append(list(arrays)) or savez(file, **arrays))
    save(tmp_path, 1)
    assert given == [list(ARRAYS)]


def test_python_objects_are_not_stored(tmp_path):
    with pytest.raises(TypeError, match="^evil holds Python objects, which would be pickled$"):
        save(tmp_path, 1, arrays={"evil": np.array([print], dtype=object)})
    assert list(tmp_path.iterdir()) == []


def forge(folder, data, **changes):
    """A checkpoint of somebody else: these bytes for arrays, changes of the JSON, and digests that are right."""
    path = folder / "step-00000001.json"
    path.with_suffix(".npz").write_bytes(data)
    content = json.loads(path.read_text()) | {"arrays_sha256": hashlib.sha256(data).hexdigest()} | changes
    del content["sha256"]
    content = {name: value for name, value in content.items() if value is not None}
    content["sha256"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(content))


def npz(save=np.savez, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def test_arrays_that_nobody_asks_for_are_not_read(tmp_path):
    checkpoints = save(tmp_path, 1)
    forge(tmp_path, npz(**{"network/0/kernel": np.zeros(3, np.float32), "extra": np.zeros(1 << 24)}))
    tracemalloc.start()
    arrays = checkpoints.load(1).arrays
    assert form_of(arrays, "extra") == ("float64", (1 << 24,))
    assert arrays["network/0/kernel"].tolist() == [0, 0, 0]
    assert list(reading_arrays(arrays)) == ["network/0/kernel"]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1 << 22


def overlapping():
    """A zip file whose entries are all the same bytes."""
    data = bytearray(npz(a=np.zeros(1000)))
    directory = bytes(data[data.rindex(b"PK\x01\x02") : data.rindex(b"PK\x05\x06")])
    end = bytearray(data[data.rindex(b"PK\x05\x06") :])
    end[8:16] = (9).to_bytes(2, "little") * 2 + (9 * len(directory)).to_bytes(4, "little")
    return bytes(data[: data.rindex(b"PK\x01\x02")] + 9 * directory + end)


@pytest.mark.parametrize(
    "data, message",
    [
        (npz(np.savez_compressed, a=np.zeros(1 << 20)), "was not written by digitwise: its arrays are compressed"),
        (overlapping(), "is damaged: its arrays are larger than the file"),
        (b"PK", "is damaged: it is not a whole zip file of arrays"),
        (b"", "is damaged: it is not a whole zip file of arrays"),
    ],
)
def test_arrays_of_a_stranger_are_refused(tmp_path, data, message):
    checkpoints = save(tmp_path, 1)
    forge(tmp_path, data)
    with pytest.raises(DamagedCheckpoint) as refused:
        checkpoints.load(1)
    assert str(refused.value) == f"{tmp_path}/step-00000001.npz {message}"


def claims(shape, dtype="<f4"):
    """An array whose header claims more than there is."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(8))
    return file.getvalue()


@pytest.mark.parametrize("data", [claims((1 << 40,)), claims((-1,)), claims((2,), "|O"), claims((1,)), claims("9")])
def test_headers_that_claim_something_else_are_refused(tmp_path, data):
    checkpoints = save(tmp_path, 1)
    forge(tmp_path, data)
    with pytest.raises(DamagedCheckpoint, match="is damaged: it holds something other than plain arrays$"):
        checkpoints.load(1).arrays["a"]


@pytest.mark.parametrize(
    "changes", [{"state": None}, {"state": []}, {"arrays_sha256": 5}, {"step": "1"}, {"step": None}]
)
def test_parts_that_are_missing_or_of_another_kind_are_refused(tmp_path, changes):
    checkpoints = save(tmp_path, 1)
    forge(tmp_path, npz(a=np.zeros(3)), **changes)
    with pytest.raises(DamagedCheckpoint, match="step-00000001.json is damaged"):
        checkpoints.load(1)


def test_json_without_end_is_refused(tmp_path):
    checkpoints = save(tmp_path, 1)
    (tmp_path / "step-00000001.json").write_text("[" * 100_000)
    with pytest.raises(DamagedCheckpoint, match="step-00000001.json is damaged: not JSON"):
        checkpoints.load(1)


def test_weights_that_are_not_finite_are_refused():
    arrays = arrays_of(network=network().variables)
    name = list(arrays)[1]
    arrays[name][...] = np.nan
    other = network()
    before = other.variables[0].numpy()
    with pytest.raises(DigitwiseError, match=f"^the checkpoint's {name} is not finite"):
        assign_arrays(arrays, network=other.variables)
    assert np.array_equal(other.variables[0].numpy(), before)
