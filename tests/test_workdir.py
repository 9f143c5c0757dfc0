import os
import subprocess
import sys

import pytest

from pipeline.workdir import Workdir, differing_settings, plain, refuse_other_settings
from records.errors import DigitwiseError
from tests.conftest import ROOT


def test_differing_settings_are_listed_in_order():
    old = {"a": 1, "deep": {"x": [1, 2], "y": 0}, "gone": 5}
    new = {"a": 2, "deep": {"x": [1, 2], "y": 1}, "come": "z"}
    assert differing_settings(old, new) == [("a", 1, 2), ("deep.y", 0, 1), ("come", None, "z"), ("gone", 5, None)]
    assert differing_settings(old, old) == []
    assert plain({"size": (1, 2)}) == {"size": [1, 2]}


def test_the_refusal_shows_old_and_new():
    with pytest.raises(DigitwiseError) as error:
        refuse_other_settings("records", [("seed", 0, 1), ("fonts", None, "b")])
    assert str(error.value).splitlines() == [
        "records was made with other settings:",
        "  seed: 0 -> 1",
        '  fonts: nothing -> "b"',
        "run with --overwrite to make it anew, with the old settings to keep it, or in another --workdir",
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
