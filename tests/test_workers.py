import concurrent.futures
import os
import pathlib
import signal
import time

import pytest

from pipeline.machine.progress import progress
from pipeline.machine.workers import run_in_order, run_pieces
from records.errors import DigitwiseError

pytestmark = pytest.mark.workers


def double(number):
    return 2 * number


def fail(number):
    raise DigitwiseError(f"piece {number}")


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


def test_every_piece_is_done_once():
    assert sorted(run_pieces(double, range(20), 2)) == [(n, 2 * n) for n in range(20)]


def test_an_error_of_a_piece_comes_through():
    with pytest.raises(DigitwiseError, match="piece 0"):
        list(run_pieces(fail, [0], 1))


def test_where_a_piece_cannot_be_had_the_results_before_it_come_first():
    def pieces():
        yield from range(3)
        raise DigitwiseError("piece 3 is damaged")

    results = []
    with concurrent.futures.ThreadPoolExecutor(1) as executor, pytest.raises(DigitwiseError, match="piece 3 is dam"):
        for result in run_in_order(executor, double, pieces(), 1):
            results.append(result)
    assert results == [0, 2, 4]


def test_a_killed_worker_is_told():
    with pytest.raises(DigitwiseError, match="a worker process was killed .*continue"):
        list(run_pieces(die, range(3), 1))


def test_workers_end_with_their_parent(tmp_path):
    import subprocess
    import sys

    from tests.conftest import ROOT

    script = (
        "import os, sys, time\nfrom tests.test_workers import linger\nfrom pipeline.machine.workers import run_pieces\n"
        "if __name__ == '__main__':\n    list(run_pieces(linger, [sys.argv[1]], 1))\n"
    )
    (tmp_path / "parent.py").write_text(script)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py"), str(tmp_path / "pid")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    child = int(wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    process.kill()
    process.wait()
    wait_for(
        lambda: (
            not os.path.exists(f"/proc/{child}") or "Z" in pathlib.Path(f"/proc/{child}/stat").read_text().split()[2]
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0.0, 0.1, 0.4])
def test_ctrl_c_twice_ends_the_run(start_main, tmp_path, pause):
    process = start_main("--stage=generate", "--num_images=30000", "--workers=2", "--workdir=w")
    wait_for(lambda: list((tmp_path / "w" / "images").glob(".partial-0*")))  # a worker is rendering
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
        time.sleep(pause)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: run the same command again to continue" in errors
    assert "Traceback" not in errors


def linger(path):
    with open(path + "~", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + "~", path)
    time.sleep(600)


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen")


class Stream:
    def __init__(self):
        self.text = ""

    def isatty(self):
        return False

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_progress_in_a_file_is_a_line_now_and_then():
    stream, now = Stream(), [0.0]
    with progress("draw", 100, done=20, stream=stream, clock=lambda: now[0]) as advance:
        now[0] = 4
        advance(10)
        assert stream.text == ""
        now[0] = 10
        advance(10)
    assert stream.text == "draw: 40 of 100 images, 2/s, 30 s left\n"


def test_the_beginning_does_not_tell_how_long_the_rest_takes():
    stream, now = Stream(), [0.0]
    with progress("draw", 1_000, stream=stream, clock=lambda: now[0]) as advance:
        for now[0], count in ((10, 19), (20, 1)):
            advance(count)
    assert stream.text.splitlines() == ["draw: 19 of 1,000 images", "draw: 20 of 1,000 images, 1/s, 980 s left"]
