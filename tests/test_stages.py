import dataclasses
import json

import pytest

from pipeline.stages import run as stages
from pipeline.stages.run import read_seconds, run_stages
from pipeline.workdir import Workdir
from records.errors import DigitwiseError


def test_stages_run_in_order_and_their_seconds_are_kept(workdir, make_config, monkeypatch):
    ran = []
    fakes = {name: lambda config, workdir, probes, name=name: ran.append(name) for name in ("generate", "records", "train")}
    monkeypatch.setattr(stages, "_RUN", fakes)
    config = make_config(stages=("train", "generate", "records"), workdir=str(workdir.root))
    assert run_stages(config) == 0
    assert ran == ["generate", "records", "train"]
    assert list(read_seconds(workdir)) == ran
    before = read_seconds(workdir)
    monkeypatch.setitem(fakes, "generate", lambda *_: False)
    run_stages(make_config(stages=("generate",), workdir=str(workdir.root)))
    assert read_seconds(workdir) == before, "a stage that had nothing to do keeps the time of its work"


def test_seconds_that_cannot_be_read_are_none(workdir):
    assert read_seconds(workdir) == {}
    workdir.seconds.write_text("{")
    assert read_seconds(workdir) == {}
    workdir.seconds.write_text(json.dumps({"generate": 2.5}))
    assert read_seconds(workdir) == {"generate": 2.5}


def test_a_failing_check_stops_the_run(tmp_path, make_config, monkeypatch):
    from pipeline.stages import check as environment

    monkeypatch.setattr(environment, "check", lambda config, workdir: 1)
    monkeypatch.setattr(stages, "_RUN", {name: lambda *_: pytest.fail("it ran") for name in stages._RUN})
    assert run_stages(make_config(stages=("all",), workdir=str(tmp_path / "w"))) == 1
    assert not Workdir(tmp_path / "w").root.exists()


@pytest.mark.parametrize("flag, settings", [("initialize_from", "train"), ("checkpoint", "test")])
def test_a_folder_that_a_later_stage_takes_is_looked_at_first(tmp_path, make_config, monkeypatch, flag, settings):
    monkeypatch.setattr(stages, "_RUN", {name: lambda *_: pytest.fail("it ran") for name in stages._RUN})
    config = make_config(stages=("generate", "train", "test"), workdir=str(tmp_path / "w"))
    asked = dataclasses.replace(getattr(config, settings), **{flag: str(tmp_path)})
    with pytest.raises(DigitwiseError, match=f"--{flag}=.* holds no checkpoints"):
        run_stages(dataclasses.replace(config, **{settings: asked}))
