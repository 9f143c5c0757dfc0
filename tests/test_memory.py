import pathlib

from pipeline.machine import memory


def test_some_memory_is_free():
    total = memory.total_memory()
    assert 0 < memory.available_memory() <= total


def test_a_container_has_its_share_only(tmp_path, monkeypatch):
    limit, used = tmp_path / "limit", tmp_path / "used"
    monkeypatch.setattr(memory, "_CONTAINER_LIMITS", ((str(limit), str(used)),))
    monkeypatch.setattr(memory, "_free_of_machine", lambda: 900)
    assert memory.available_memory() == 900
    limit.write_text("500\n")
    used.write_text("120\n")
    assert memory.available_memory() == 380
    used.write_text("600\n")
    assert memory.available_memory() == 0
    limit.write_text("max\n")
    assert memory.available_memory() == 900


def test_half_of_a_machine_that_does_not_tell(monkeypatch):
    monkeypatch.setattr(pathlib.Path, "read_text", _not_there)
    monkeypatch.setattr(memory, "total_memory", lambda: 800)
    assert memory.available_memory() == 400
    monkeypatch.setattr(memory, "total_memory", lambda: None)
    assert memory.available_memory() == 1 << 31


def _not_there(*_, **__):
    raise OSError
