"""Labels on the disk, whatever happens, and the order in which images come."""

import random
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from pipeline.labelling.order import labelling_order
from pipeline.labelling.store import AlreadyLabelled, LabelStore
from records.errors import DigitwiseError
from records.images.folder import LabeledFolder
from tests.conftest import ROOT


def test_labels_are_what_images_reads(tmp_path):
    for name in ("a.png", "b, c.png"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    store = LabelStore(tmp_path)
    assert store.labels() == {}
    store.add("a.png", "4071")
    store.add("b, c.png", 'é"漢,1')
    assert (tmp_path / "labels.csv").read_text("utf-8") == 'file,text\na.png,4071\n"b, c.png","é""漢,1"\n'
    assert list(LabeledFolder(str(tmp_path)).rows()) == [("a.png", "4071"), ("b, c.png", 'é"漢,1')]


def test_undo_takes_back_what_this_session_added(tmp_path):
    LabelStore(tmp_path).add("old.png", "1")
    store, other = LabelStore(tmp_path), LabelStore(tmp_path)
    store.add("a.png", "2")
    store.add("b.png", "3")
    other.add("c.png", "4")
    assert store.undo() == "b.png"
    assert store.labels() == {"old.png": "1", "a.png": "2", "c.png": "4"}
    store.add("b.png", "33")
    assert [store.undo(), store.undo(), store.undo()] == ["b.png", "a.png", None]
    assert store.labels() == {"old.png": "1", "c.png": "4"}


def test_two_sessions_never_label_one_image(tmp_path):
    won = []

    def label(number):
        store = LabelStore(tmp_path)
        for name in range(25):
            try:
                store.add(f"{name}.png", str(number))
            except AlreadyLabelled:
                continue
            won.append((f"{name}.png", str(number)))

    threads = [threading.Thread(target=label, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 25 and dict(won) == LabelStore(tmp_path).labels()
    with pytest.raises(AlreadyLabelled, match="0.png has the label"):
        LabelStore(tmp_path).add("0.png", "9")


def test_a_line_that_a_kill_cut_short_is_dropped(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("file,text\na.png,12\nb.png,3")
    (tmp_path / ".labels-being-written").touch()
    assert LabelStore(tmp_path).labels() == {"a.png": "12"}
    assert table.read_text() == "file,text\na.png,12\n"


def test_a_table_written_by_hand_keeps_its_last_line(tmp_path):
    (tmp_path / "labels.csv").write_text("file,text\na.png,12\nb.png,34")
    store = LabelStore(tmp_path)
    store.add("c.png", "56")
    assert store.labels() == {"a.png": "12", "b.png": "34", "c.png": "56"}


HAND_MADE = 'file,text,note\r\nold.png,17,"blurred,\nask Bob"\r\nold.png,18\r\n\r\nb.png,2,sure'


def test_undo_leaves_what_people_wrote(tmp_path):
    real = tmp_path / "elsewhere.csv"
    real.write_bytes(HAND_MADE.encode())
    real.chmod(0o640)
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "labels.csv").symlink_to(real)
    store, other = LabelStore(photos), LabelStore(photos)
    store.add("c, d.png", "3")
    store.add("e.png", "4")
    assert store.undo() == "e.png"
    other.add("f.png", "5")  # what is undone now is in the middle
    assert store.undo() == "c, d.png"
    assert real.read_bytes() == f"{HAND_MADE}\nf.png,5\n".encode()
    assert other.undo() == "f.png"
    assert real.read_bytes() == f"{HAND_MADE}\n".encode()
    assert (photos / "labels.csv").is_symlink() and real.stat().st_mode & 0o777 == 0o640


def test_undo_leaves_a_label_that_a_person_changed(tmp_path):
    table = tmp_path / "labels.csv"
    store = LabelStore(tmp_path)
    for name in ("a.png", "b.png", "c.png"):
        store.add(name, "1")
    changed = "file,text\r\na.png,1\r\nb.png,2\r\nc.png,1,sure\r\n"
    table.write_bytes(changed.encode())
    assert (store.undo(), store.undo()) == ("a.png", None)
    assert table.read_bytes() == changed.replace("a.png,1\r\n", "").encode()


@pytest.mark.parametrize("left", ["", "file,te"])
@pytest.mark.parametrize("is_marked", [True, False])
def test_a_kill_during_the_first_line_leaves_no_label(tmp_path, left, is_marked):
    (tmp_path / "labels.csv").write_text(left if is_marked else "")
    if is_marked:
        (tmp_path / ".labels-being-written").touch()
    store = LabelStore(tmp_path)
    assert store.labels() == {}
    store.add("a.png", "1")
    assert (tmp_path / "labels.csv").read_text() == "file,text\na.png,1\n"


def test_a_kill_before_the_first_line_leaves_no_table(tmp_path):
    (tmp_path / ".labels-being-written").touch()
    assert LabelStore(tmp_path).labels() == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == [".labels.lock"]


DAMAGED = {
    "open quote": (b'file,text\nimg3.png,"12\nimg4.png,13\n', "labels.csv, line 2: it is not a table"),
    "NUL": (b"file,text\na.png,1\nb.png,2\0\n", "labels.csv, line 3: it has a NUL byte"),
    "Latin-1": ("file,text\na.png,1\nb.png,\xe9\n".encode("latin-1"), "labels.csv, line 3: it is not UTF-8 text"),
    "UTF-16": ("file,text\na.png,1\n".encode("utf-16"), "labels.csv, line 1: it is not UTF-8 text"),
    "semicolons": (b"file;text\na.png;1\n", "labels.csv: its first line must be file,text"),
    "outside": (b"file,text\n../a.png,1\n", r"labels.csv, line 2: '../a.png' is not a file name below the folder"),
    "no text": (b"file,text\na.png,\n", "labels.csv, line 2: it needs a file and a text"),
}


@pytest.mark.parametrize("table, said", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_table_is_named_and_left_as_it_is(tmp_path, table, said):
    store = LabelStore(tmp_path)
    store.add("x.png", "1")
    path = tmp_path / "labels.csv"
    path.write_bytes(table)
    for use in (lambda: LabelStore(tmp_path), store.labels, lambda: store.add("y.png", "2"), store.undo):
        with pytest.raises(DigitwiseError, match=said):
            use()
    assert path.read_bytes() == table
    path.write_text("file,text\nx.png,1\n")
    assert store.undo() == "x.png", "once it is repaired"


def test_a_table_that_is_a_folder(tmp_path):
    (tmp_path / "labels.csv").mkdir()
    with pytest.raises(DigitwiseError, match="labels.csv is not a file"):
        LabelStore(tmp_path)


def test_a_folder_that_takes_no_labels(tmp_path):
    (tmp_path / ".labels.lock").mkdir()
    with pytest.raises(DigitwiseError, match=r"\.labels\.lock: Is a directory; no label can be kept"):
        LabelStore(tmp_path)


def test_an_image_has_one_name(tmp_path):
    (tmp_path / "labels.csv").write_text("file,text\n./a.png,1\nsub//b.png,2\n")
    store = LabelStore(tmp_path)
    assert store.labels() == {"a.png": "1", "sub/b.png": "2"}
    for name in ("a.png", "././a.png", "sub/b.png"):
        with pytest.raises(AlreadyLabelled):
            store.add(name, "3")


@pytest.mark.parametrize(
    "file, text", [("", "1"), ("a.png", ""), ("a.png", "1\n2"), ("a\r.png", "1"), ("a.png", "1\0")]
)
def test_labels_that_are_none(tmp_path, file, text):
    with pytest.raises(DigitwiseError, match="need one line of text"):
        LabelStore(tmp_path).add(file, text)


@pytest.mark.parametrize("file", ["../a.png", "/a.png", "C:12.png"])
def test_names_that_the_table_may_not_hold(tmp_path, file):
    store = LabelStore(tmp_path)
    with pytest.raises(DigitwiseError, match="is not a file name below the folder"):
        store.add(file, "1")
    assert not (tmp_path / "labels.csv").exists()


def test_folders_that_are_none(tmp_path):
    with pytest.raises(DigitwiseError, match="is not a folder"):
        LabelStore(tmp_path / "nowhere")
    (tmp_path / "labels.csv").write_text("image;label\n")
    with pytest.raises(DigitwiseError, match="its first line must be file,text"):
        LabelStore(tmp_path).add("a.png", "1")


@pytest.mark.slow
def test_a_kill_loses_no_label_that_was_accepted(tmp_path):
    code = (
        "import sys\n"
        "from pipeline.labelling.store import LabelStore\n"
        f"store = LabelStore({str(tmp_path)!r})\n"
        "for n in range(100000):\n"
        "    store.add(f'{sys.argv[1]}-{n}.png', 'x' * 50)\n"
        "    if n % 5 == 4: store.undo()\n"
        "    print(n, flush=True)\n"
    )
    rng = random.Random(0)
    for trial in range(50):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(trial)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        last = -1
        for _ in range(rng.randrange(1, 12)):
            last = int(process.stdout.readline())
        process.kill()
        rest = process.communicate()[0].split()
        last = int(rest[-1]) if rest else last
        labels = LabelStore(tmp_path).labels()
        expected = {f"{trial}-{n}.png" for n in range(last + 1) if n % 5 != 4}
        here = {name for name in labels if name.startswith(f"{trial}-")}
        assert expected <= here
        assert len(here - expected) <= 1  # the one under way
        assert set(labels.values()) == {"x" * 50}


def test_the_least_sure_and_most_different_come_first():
    confidences = [0.9, 0.1, 0.1, 0.2, 0.99]
    features = [[0.0], [5.0], [5.0], [-5.0], [0.0]]
    # 1 first; its twin 2 adds nothing; 3 is far away and nearly as doubtful; then what is left, by doubt.
    assert labelling_order(confidences, features, first=2) == [1, 3, 2, 0, 4]
    assert sorted(labelling_order(np.ones(5), features)) == [0, 1, 2, 3, 4]
    assert labelling_order([], np.zeros((0, 3))) == []
