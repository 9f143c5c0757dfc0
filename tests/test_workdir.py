import os
import subprocess
import sys

import pytest

from pipeline.differences import refuse_other_settings
from pipeline.workdir import Workdir, differing_settings, plain
from records.errors import DigitwiseError
from tests.conftest import ROOT


def test_differing_settings_are_listed_in_order():
    old = {"a": 1, "deep": {"x": [1, 2], "y": 0}, "gone": 5}
    new = {"a": 2, "deep": {"x": [1, 2], "y": 1}, "come": "z"}
    assert differing_settings(old, new) == [("a", 1, 2), ("deep.y", 0, 1), ("come", None, "z"), ("gone", 5, None)]
    assert differing_settings(old, old) == []
    assert plain({"size": (1, 2)}) == {"size": [1, 2]}


def test_the_refusal_shows_old_and_new():
    differing = [
        ("seed", 0, 1),
        ("drawing.code_length", [4, 4], [2, 6]),
        ("source.image_size", None, [40, 20]),
        ("source.drawing.fonts", None, ["a.ttf", "b.ttf"]),
        ("compression", "", "gzip"),
        ("fold_case", False, True),
        ("source.folder.name", "a", "b"),
        ("steps", 6, 7),
    ]
    with pytest.raises(DigitwiseError) as error:
        refuse_other_settings("records", differing)
    assert str(error.value).splitlines() == [
        "records was made with different settings:",
        "  --seed: 0 -> 1",
        "  --code_length: 4 -> 2-6",
        "  --image_size: nothing -> 40x20",
        "  --fonts: nothing -> a.ttf,b.ttf",
        "  --compression: nothing -> gzip",
        "  --fold_case: false -> true",
        '  source.folder.name: "a" -> "b"',
        "  steps: 6 -> 7",
        "use --overwrite to replace it, the old settings to keep it, or another --workdir",
    ]


def test_results_made_of_something_else_are_refused_in_a_sentence():
    differing = [
        ("source.drawing", {"seed": 0}, None),
        ("source.num_images", 2000, None),
        ("source.folder", None, {"count": 300, "sha256": "a"}),
        ("fold_case", False, True),
    ]
    with pytest.raises(DigitwiseError) as error:
        refuse_other_settings("records", differing)
    assert str(error.value).splitlines()[1:3] == [
        "  made of synthetic images -> images of a folder",
        "  --fold_case: false -> true",
    ]


def test_a_second_run_is_told_who_has_the_folder(tmp_path):
    workdir = Workdir(tmp_path / "work")
    script = (
        "import sys; from pipeline.workdir import Workdir\n"
        "with Workdir(sys.argv[1]).locked(): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(workdir.root)]
    holder = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(DigitwiseError, match=f"is in use by process {holder.pid} since "), workdir.locked():
        pass
    holder.kill()
    holder.communicate()
    with workdir.locked():
        assert f"process {os.getpid()}" in workdir.lock_file.read_text()
    assert workdir.lock_file.read_text() == ""


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "work").write_text("")
    with pytest.raises(DigitwiseError, match="work is a file"):
        Workdir(tmp_path / "work").create()


def test_the_lock_does_not_follow_a_link(workdir, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    workdir.lock_file.symlink_to(victim)
    with pytest.raises(DigitwiseError, match=".lock is a link: remove it"), workdir.locked():
        pass
    assert victim.read_text() == "precious"


def test_the_lock_is_a_regular_file(workdir):
    os.mkfifo(workdir.lock_file)
    with pytest.raises(DigitwiseError, match=".lock is not a regular file: remove it"), workdir.locked():
        pass


def test_the_lock_takes_arguments_that_are_not_text(workdir, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["main.py", "--images=\udcff"])
    with workdir.locked():
        assert "main.py --images=\\udcff" in workdir.lock_file.read_text()


def test_a_link_that_leads_nowhere(tmp_path):
    (tmp_path / "work").symlink_to(tmp_path / "gone")
    with pytest.raises(DigitwiseError, match="work is a link to .*gone, which does not exist"):
        Workdir(tmp_path / "work").create()


def test_a_shared_folder_is_filled_once(shared_folder):
    made = []

    def fail(folder):
        made.append(folder)
        (folder / "half").touch()
        raise OSError

    def make(folder):
        made.append(folder)
        (folder / "whole").touch()

    with pytest.raises(OSError):
        shared_folder("of-this-test", fail)
    folder = shared_folder("of-this-test", make)
    assert shared_folder("of-this-test", make) == folder
    assert made == [folder, folder]
    assert [path.name for path in folder.iterdir()] == ["whole"]
