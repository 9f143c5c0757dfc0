"""Surroundings that nobody expects: locales, closed streams, links, clocks, peers that are gone."""

import os
import signal
import time

from tests.faults.lab import TASKS, NotHeld, hold, kill, outcome, same

_TRIED = ("generate", "records", "records of a folder", "records drawn", "train", "test")
_ENVIRONMENTS = (
    {"LC_ALL": "C", "PYTHONUTF8": "0"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "utf-16"},
    {"LC_ALL": "xx_YY.none"},
    {"KERAS_BACKEND": "jax"},
    {"HOME": "/nonexistent"},
    {"HOME": "/proc"},
    {"TZ": "Mars/Crater"},
    {"PYTHONHASHSEED": "77"},
    {"TERM": "dumb", "COLUMNS": "1"},
    {"TERM": "", "NO_COLOR": "1", "FORCE_COLOR": "1"},
    {"TF_CONFIG": "", "CUDA_VISIBLE_DEVICES": "9"},
    {"PYTHONWARNINGS": "default", "PYTHONDONTWRITEBYTECODE": "1"},
    {"MPLBACKEND": "TkAgg", "MPLCONFIGDIR": "/nonexistent/x"},
    {"OMP_NUM_THREADS": "1"},
    {"PYTHONOPTIMIZE": "2"},
)


def environment(lab, draw):
    """Odd variables, umask, streams, current directory; the bytes are the same."""
    task = TASKS[draw.choice(_TRIED)]
    lab.expected(task.name)
    folder = lab.copy(task.before)
    given = {"environment": dict(draw.choice(_ENVIRONMENTS)), "wrapper": ["bash", "-c", "", "odd"]}
    script = draw.choice(
        (
            "umask 077; ", "umask 000; ", "exec 0<&-; ", "exec 2>&-; ", "exec 1>&-; ", "exec 0<&- 1>&- 2>&-; ",
            "ulimit -n 64; ", "echo 'raise SystemExit(9)' | tee json.py tensorflow.py numpy.py >/dev/null; ",
            "touch -d 1971-01-01 w/* 2>/dev/null; ", "",
        )
    )  # fmt: skip
    if draw.random() < 0.3:
        os.makedirs(folder / "elsewhere/w", exist_ok=True)
        if (folder / "w").exists():
            os.rmdir(folder / "elsewhere/w")
            os.rename(folder / "w", folder / "elsewhere/w")
        os.symlink("elsewhere/w", folder / "w")
    given["wrapper"][2] = script + 'exec "$@"'
    result = lab.run(task.arguments, folder, **given)
    if result.code == 1:
        hold(result)
        raise NotHeld(f"{script} {given['environment']}: {result.err}")
    hold(result, codes=(0,))
    same(lab, task.name, folder)


def clock(lab, draw):
    """The time of day jumps by years in both directions while a command runs."""
    task = TASKS[draw.choice((*_TRIED, "replace images", "replace training"))]
    lab.expected(task.name)
    folder = lab.copy(task.before)
    hold(lab.call(task.arguments, folder, clock=draw.randint(1, 1 << 30)), codes=(0,))
    same(lab, task.name, folder)


def nowhere_to_print(lab, draw):
    """Standard output on a full disk, or a pipe that nobody reads."""
    task = TASKS[draw.choice(_TRIED)]
    lab.expected(task.name)
    folder = lab.copy(task.before)
    script = draw.choice(('exec "$@" > /dev/full', 'exec "$@" > >(exec true)', 'exec "$@" 2> /dev/full'))
    result = lab.run(task.arguments, folder, wrapper=("bash", "-c", script, "odd"))
    hold(result, codes=(0, 1))
    hold(lab.run(task.arguments, folder), codes=(0,))
    same(lab, task.name, folder)


def lost_peer(lab, draw):
    """One of two workers is killed or frozen; the other ends, and both continue to the same weights."""
    wanted = _weights_of_two(lab)
    folder = lab.copy("records")
    processes = _two_workers(lab, folder)
    victim = draw.randrange(2)
    _wait_for_a_save(folder, processes, draw.randint(1, 3))
    if draw.random() < 0.7:
        kill(processes[victim])
    else:
        os.killpg(processes[victim].pid, signal.SIGSTOP)
    result = lab.end(processes[1 - victim], 90)
    kill(processes[victim])
    lab.end(processes[victim])
    hold(result, codes=(0, 1), names=(f"lost worker {victim}", "lost a peer"))
    for result in [lab.end(process) for process in _two_workers(lab, folder)]:
        hold(result, codes=(0,))
    if outcome(folder) != wanted:
        raise NotHeld(f"{folder}: other weights than without the loss")


def _weights_of_two(lab):
    if not hasattr(lab, "of_two"):
        folder = lab.copy("records")
        for result in [lab.end(process) for process in _two_workers(lab, folder)]:
            hold(result, codes=(0,))
        lab.of_two = outcome(folder)
    return lab.of_two


def _two_workers(lab, folder):
    from tests.training_fixtures import cluster_environments

    arguments = ("--stage=train", "--strategy=multi_worker", "--peer_seconds=60")
    return [lab.start(arguments, folder, environment=given) for given in cluster_environments(2)]


def _wait_for_a_save(folder, processes, count):
    end = time.monotonic() + 90
    while time.monotonic() < end and all(process.poll() is None for process in processes):
        if len(list((folder / "w/checkpoints").glob("step-*.json"))) >= count:
            return
        time.sleep(0.01)
