"""Killed at any moment, a run leaves nothing torn to be seen, and the next one ends in the same bytes.

DIGITWISE_KILLS=50 DIGITWISE_IMAGES=10000 python -m pytest tests/test_recovery.py    the long form
"""

import hashlib
import os
import random
import signal
import time

import pytest

from records.dataset.shards import is_shard_name
from records.errors import DamagedRecords
from records.images import png
from records.tfrecord.framing import read_records

KILLS = int(os.environ.get("DIGITWISE_KILLS", 4))
IMAGES = int(os.environ.get("DIGITWISE_IMAGES", 600))


def arguments(workdir, workers):
    return (
        "--stage=generate,records",
        f"--num_images={IMAGES}",
        f"--workdir={workdir}",
        f"--workers={workers}",
        "--images_per_shard=60",
    )


def digests(workdir):
    """sha256 of labels.csv, every image and every shard."""
    return {
        str(path.relative_to(workdir)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("images", "records")
        for path in sorted((workdir / folder).rglob("*"))
        if path.is_file() and not path.name.startswith(".") and path.name != "settings.json"
    }


def assert_nothing_torn(workdir):
    """Whatever has a name of its own is whole."""
    for path in workdir.rglob("*"):
        if any(part.startswith(".partial-") for part in path.parts) or not path.is_file():
            continue
        if path.suffix == ".png":
            png.check(path.read_bytes())
        elif path.name == "labels.csv":
            assert path.read_bytes().count(b"\n") == IMAGES + 1
        elif is_shard_name(path.name):
            try:
                assert sum(1 for _ in read_records(path)) > 0
            except DamagedRecords as error:
                pytest.fail(f"a torn shard is visible: {error}")
    assert not (workdir / "records").exists() or (workdir / "records" / "manifest.json").exists()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_kill_at_random_moments(run_main, start_main, tmp_path):
    began = time.monotonic()
    assert run_main(*arguments("one", 1)).returncode == 0
    seconds = time.monotonic() - began
    assert run_main(*arguments("two", 2)).returncode == 0
    expected = digests(tmp_path / "one")
    assert digests(tmp_path / "two") == expected
    assert len(expected) > IMAGES
    random_moment = random.Random(2)
    workdir = tmp_path / "killed"
    kills = finished = 0
    while kills < KILLS:
        process = start_main(*arguments("killed", 2))
        try:
            process.wait(timeout=random_moment.uniform(0.05, 1) * seconds / 3)
        except Exception:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            if workdir.exists():
                assert_nothing_torn(workdir)
            continue
        assert process.returncode == 0, process.stderr.read()
        assert digests(workdir) == expected
        finished += 1
        os.rename(workdir, tmp_path / f"finished-{finished}")
    result = run_main(*arguments("killed", 2))
    assert result.returncode == 0, result.stderr
    assert digests(workdir) == expected


@pytest.mark.slow
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_and_the_next_goes_on(run_main, start_main, tmp_path, number, code):
    assert run_main(*arguments("one", 2)).returncode == 0
    process = start_main(*arguments("two", 2))
    while not list((tmp_path / "two").glob("images/0*")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in stderr, stderr
    assert stderr.count("run the same command again to continue") == 1
    assert not list((tmp_path / "two").rglob(".partial-*"))
    assert run_main(*arguments("two", 2)).returncode == 0
    assert digests(tmp_path / "two") == digests(tmp_path / "one")


def test_a_second_run_on_one_workdir_stops_at_once(run_main, start_main, tmp_path):
    process = start_main("--stage=generate", "--num_images=100000", "--workdir=w")
    while not (tmp_path / "w" / ".lock").exists() or not (tmp_path / "w" / ".lock").read_text():
        time.sleep(0.02)
    result = run_main("--stage=generate", "--num_images=100000", "--workdir=w")
    assert result.returncode == 1
    assert f"w is in use by process {process.pid} since" in result.stderr
    os.killpg(process.pid, signal.SIGKILL)
