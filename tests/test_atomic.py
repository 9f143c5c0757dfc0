import json
import os

import pytest

from records.atomic import atomic_directory, atomic_file, remove_partial, sync_directory, write_text


def test_file_appears_whole(tmp_path):
    path = tmp_path / "a"
    with atomic_file(path) as file:
        file.write(b"12")
        assert not path.exists()
    assert path.read_bytes() == b"12"
    assert os.listdir(tmp_path) == ["a"]


def test_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "a"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_file(path) as file:
        file.write(b"new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_directory_appears_whole(tmp_path):
    path = tmp_path / "folder"
    with atomic_directory(path) as partial:
        (partial / "a").write_text("1")
        assert not path.exists()
    assert (path / "a").read_text() == "1"
    with pytest.raises(RuntimeError), atomic_directory(tmp_path / "other"):
        raise RuntimeError
    assert os.listdir(tmp_path) == ["folder"]


def test_leftovers_are_cleared(tmp_path):
    (tmp_path / ".partial-x-1-ab").write_text("")
    (tmp_path / ".partial-y-1-ab").mkdir()
    (tmp_path / "kept").write_text("")
    remove_partial(tmp_path)
    assert os.listdir(tmp_path) == ["kept"]


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """What is synced and renamed, in order: ("sync", name) of files and folders, ("rename", name)."""
    made = []
    fsync, replace = os.fsync, os.replace

    def sync(descriptor):
        made.append(("sync", os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")).partition("-1")[0]))
        fsync(descriptor)

    def rename(old, new):
        made.append(("rename", os.path.basename(new)))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", rename)
    return made


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="only Linux names what a descriptor is of")
def test_the_content_is_synced_before_the_rename_and_the_folder_after_it(tmp_path, calls, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1)
    folder = tmp_path / "folder"
    folder.mkdir()
    with atomic_file(folder / "a") as file:
        file.write(b"12")
        assert not calls
    assert calls == [("sync", ".partial-a"), ("rename", "a"), ("sync", "folder")]


def test_all_that_was_written_is_there_when_it_is_synced(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    with atomic_file(tmp_path / "a") as file:
        file.write(b"12")
    assert sizes[0] == 2


def test_a_folder_that_cannot_be_synced_is_left_as_it_is(tmp_path, monkeypatch):
    def refused(descriptor):
        raise OSError("not supported")

    monkeypatch.setattr(os, "fsync", refused)
    sync_directory(tmp_path)


def test_text_that_is_none_is_escaped_as_in_json(tmp_path):
    write_text(tmp_path / "a.json", '["ä\udcff"]')
    assert (tmp_path / "a.json").read_bytes() == b'["\xc3\xa4\\udcff"]'
    assert json.loads((tmp_path / "a.json").read_bytes()) == ["ä\udcff"]
