import dataclasses
import importlib.metadata
import shutil
import subprocess
import types

from pipeline.stages import check as environment
from pipeline.stages.check import MISSING, OK, WARNING, Finding, check, requirements, size, table


def lines(capsys):
    return {line.split("  ")[1].strip(): line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")}


def test_the_table_is_aligned():
    findings = [Finding("a", "1"), Finding("longer", "2", WARNING, "fix it"), Finding("b", "3", MISSING, "get it")]
    assert table(findings) == [
        "  a       ok       1",
        "  longer  !        2  (fix it)",
        "  b       MISSING  3",
    ]


def test_sizes():
    assert [size(n) for n in (5, 1500, 2_000_000, 3.2e13)] == ["5 B", "1.5 kB", "2 MB", "32 TB"]


def test_the_requirements_are_those_of_setup_cfg():
    names = [requirement.split(">=")[0] for requirement in requirements()]
    assert {"tensorflow", "captcha", "pillow", "numpy", "absl-py"} <= set(names)


def test_what_is_here(workdir, make_config, capsys, monkeypatch):
    monkeypatch.setattr(environment, "_start_tensorflow", lambda: None)
    assert check(make_config(stages=("check", "generate")), workdir) == 0
    found = lines(capsys)
    assert importlib.metadata.version("pillow") in found["pillow"]
    assert "DroidSansMono.ttf" in found["fonts"]
    assert "for 40 images" in found["disk"]


def test_a_missing_package_is_told_with_its_mend(workdir, make_config, capsys, monkeypatch):
    original = importlib.metadata.version

    def version(name):
        if name in ("tensorflow", "captcha"):
            raise importlib.metadata.PackageNotFoundError(name)
        return original(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    failed = types.SimpleNamespace(communicate=lambda timeout=None: ("", ""), kill=lambda: None)
    monkeypatch.setattr(environment, "_start_tensorflow", lambda: failed)
    assert check(make_config(stages=("check",)), workdir) == 1
    out = capsys.readouterr().out
    assert "tensorflow: pip install 'tensorflow>=" in out
    assert "captcha: pip install 'captcha>=" in out
    assert "TensorFlow: pip install" in out


def test_tensorflow_is_tried_where_the_training_would_find_a_fault_too_late(workdir, make_config, monkeypatch):
    tried, gpus = [], []
    monkeypatch.setattr(environment, "_start_tensorflow", lambda: tried.append(True))
    monkeypatch.setattr(environment, "_driver_gpus", lambda: gpus)
    monkeypatch.setattr(environment, "_disk", lambda *_: [])

    def is_tried(num_images, *stages):
        tried.clear()
        check(make_config(num_images, stages=stages), workdir)
        return bool(tried)

    assert is_tried(1000, "check") and is_tried(200_000, "all")
    assert not is_tried(199_999, "all") and not is_tried(200_000, "check", "generate")
    gpus.append("GPU 0: A100")
    assert is_tried(1000, "all") and not is_tried(1000, "check", "generate")


def test_an_import_that_takes_long_is_no_reason_to_stop():
    killed = []

    def communicate(timeout=None):
        if timeout:
            raise subprocess.TimeoutExpired(["python"], timeout)
        return "", ""

    slow = types.SimpleNamespace(communicate=communicate, kill=lambda: killed.append(True))
    (finding,) = environment._tensorflow(slow, [])
    assert (finding.state, finding.found, killed) == (WARNING, "its import took longer than 120 s", [True])


def test_tensorflow_may_be_missing_where_nothing_is_trained(workdir, make_config, capsys, monkeypatch):
    original = importlib.metadata.version

    def version(name):
        if name == "tensorflow":
            raise importlib.metadata.PackageNotFoundError(name)
        return original(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert check(make_config(stages=("check", "generate", "records")), workdir) == 0
    assert "not installed  (pip install 'tensorflow" in capsys.readouterr().out


def test_an_old_package_is_told(monkeypatch):
    original = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.1" if name == "numpy" else original(name))
    numpy = next(finding for finding in environment._packages(True) if finding.what == "numpy")
    assert numpy.state == MISSING
    assert numpy.found.startswith("0.1, older than ")


def test_a_disk_too_small(workdir, make_config, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1000))
    disk = next(f for f in environment._disk(make_config(1000), workdir) if f.what == "disk")
    assert disk.state == MISSING
    assert disk.found.startswith("1 kB free, about ")


def test_a_missing_font_is_told(workdir, make_config):
    fonts = environment._disk(make_config(fonts=("no.ttf",)), workdir)[0]
    assert (fonts.what, fonts.state) == ("fonts", MISSING)
    assert "there is no such file" in fonts.found


def test_the_driver_tells_of_gpus_that_tensorflow_does_not_see():
    driven = ["GPU 0: A100", "GPU 1: A100"]
    answer = '{"version": "2.21.0", "devices": [["CPU", "c"], ["GPU", "g"]], "cuda": true}\n'
    probe = types.SimpleNamespace(communicate=lambda timeout=None: (answer, ""))
    gpus = environment._tensorflow(probe, driven)[1]
    assert gpus.state == WARNING
    assert gpus.found == "GPU 0: A100, GPU 1: A100; TensorFlow sees 1"
    assert environment._tensorflow(None, driven)[0].state == OK


def test_nothing_need_be_drawn_for_images_of_the_user(workdir, make_config, tmp_path):
    config = make_config(stages=("all",), images=str(tmp_path), fonts=("no.ttf",))
    assert [finding.what for finding in environment._disk(config, workdir)] == ["disk"]
    test = make_config(stages=("check", "test"), fonts=("no.ttf",))
    assert [finding.what for finding in environment._disk(test, workdir)] == ["disk"]


def test_folders_that_the_settings_name_are_looked_at(make_config, tmp_path):
    config = make_config(images=str(tmp_path / "none"))
    config = dataclasses.replace(config, test=dataclasses.replace(config.test, checkpoint=str(tmp_path)))
    images, checkpoints = environment._inputs(config)
    assert (images.what, images.state) == ("images", MISSING) and "none is not a folder" in images.found
    assert checkpoints.state == MISSING and "it holds no checkpoints" in checkpoints.found
    (empty,) = environment._inputs(make_config(images=str(tmp_path)))
    assert empty.state == MISSING and empty.found == f"{tmp_path} has no image in it"
    (tmp_path / "12_a.png").touch()
    assert environment._inputs(make_config(images=str(tmp_path)))[0].state == OK
    assert environment._inputs(make_config()) == []
