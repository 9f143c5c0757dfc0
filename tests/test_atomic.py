import os

import pytest

from records.atomic import atomic_directory, atomic_file, remove_partial, write_text


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
