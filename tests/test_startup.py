"""The program depends neither on the user's settings for libraries, nor on what lies in the current directory."""

import logging
import os
import subprocess
import sys

import pytest

from pipeline.machine.startup import fast_kernels, own_environment, safe_path
from pipeline.machine.workers import run_pieces
from tests.conftest import ROOT


def run_python(code, *options, cwd, **environment):
    command = [sys.executable, *options, "-c", code]
    given = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    result = subprocess.run(command, cwd=cwd, env=given, check=False, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_environment_is_our_own(tmp_path, monkeypatch):
    for name in ("KERAS_BACKEND", "KERAS_HOME", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, "theirs")
    own_environment(tmp_path / ".cache")
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    assert os.environ["MPLCONFIGDIR"] == "theirs", "a folder that the user chose for caches is used"
    monkeypatch.delenv("MPLCONFIGDIR")
    monkeypatch.setattr(logging.getLogger(), "level", logging.INFO)
    own_environment(tmp_path / ".cache")
    assert not logging.getLogger("matplotlib.font_manager").isEnabledFor(logging.INFO)
    assert os.environ["MPLCONFIGDIR"] == str(tmp_path / ".cache" / "matplotlib")


def test_tensorflow_gets_its_fast_kernels_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    fast_kernels()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    fast_kernels()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"


@pytest.mark.slow
def test_keras_reads_and_writes_no_settings_in_the_home_folder(tmp_path):
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text('{"backend": "jax", "image_data_format": "channels_first"}')
    code = (
        "import pathlib\nfrom pipeline.machine.startup import import_tensorflow, own_environment\n"
        "own_environment(pathlib.Path('w/.cache')); import_tensorflow(); import keras\n"
        "print(keras.config.backend(), keras.config.image_data_format())"
    )
    settings = (tmp_path / ".keras" / "keras.json").read_text()
    assert run_python(code, cwd=tmp_path, HOME=str(tmp_path), KERAS_BACKEND="jax") == "tensorflow channels_last\n"
    assert [path.name for path in (tmp_path / ".keras").iterdir()] == ["keras.json"]
    assert (tmp_path / ".keras" / "keras.json").read_text() == settings
    assert [path.name for path in tmp_path.iterdir()] == [".keras"]


@pytest.mark.workers
@pytest.mark.parametrize("name", ["json", "tensorflow", "multiprocessing"])
def test_modules_in_the_current_directory_are_not_run(tmp_path, monkeypatch, name):
    (tmp_path / f"{name}.py").write_text("open('was_run', 'w')\nraise SystemExit('hijacked')\n")
    monkeypatch.chdir(tmp_path)
    assert list(run_pieces(abs, [-1], 1)) == [(-1, 1)]
    assert not (tmp_path / "was_run").exists()


def test_check_does_not_run_a_module_of_the_current_directory(tmp_path, monkeypatch):
    from pipeline.stages import check

    (tmp_path / "json.py").write_text("open('was_run', 'w')\nraise SystemExit('hijacked')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check, "_LIST_DEVICES", 'import json; print(json.dumps({"version": "2", "devices": []}))')
    found = check._tensorflow(check._start_tensorflow(), [])
    assert found[0].state == check.OK
    assert not (tmp_path / "was_run").exists()


def test_a_tensorflow_that_cannot_be_imported_is_told_in_a_line(run_main, tmp_path):
    (tmp_path / "broken" / "tensorflow").mkdir(parents=True)
    (tmp_path / "broken" / "tensorflow" / "__init__.py").write_text("raise ImportError('no such symbol')\n")
    result = run_main(
        "--stage=generate,records,train", "--num_images=40", env=os.environ | {"PYTHONPATH": str(tmp_path / "broken")}
    )
    assert result.returncode == 1
    assert "error: TensorFlow cannot be imported (no such symbol): pip install --force-reinstall" in result.stderr


def test_the_safe_path_ends_with_its_block(monkeypatch):
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    with safe_path():
        assert os.environ["PYTHONSAFEPATH"] == "1"
    assert "PYTHONSAFEPATH" not in os.environ


def test_any_text_can_be_printed(run_main):
    result = run_main(
        "--stage=generate", "--alphabet=äö\N{COMBINING ACUTE ACCENT}", env=os.environ | {"PYTHONIOENCODING": "ascii"}
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("error: --alphabet=\\xe4\\xf6")


def test_standard_error_may_be_closed(tmp_path):
    command = f"cd {tmp_path} && exec {sys.executable} {ROOT / 'main.py'} --stage=generate --num_images=2 2>&-"
    result = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0
    assert "generate: 2 images in workdir/images" in result.stdout
