"""Processes that are killed, interrupted, or meet another one in their workdir."""

import os
import pathlib
import re
import signal
import time

from tests.faults.lab import TASKS, NotHeld, hold, kill, outcome, same

_SIGTERM_CAUGHT = 1 << (signal.SIGTERM - 1)
_LIGHT = ("generate", "records", "records of a folder", "records of others", "records drawn", "replace images")
_HEAVY = ("train", "train drawn", "test", "replace training")
_PROMPT = 60  # seconds within which a signal ends a run


def kill_data(lab, draw):
    _killed(lab, draw, draw.choice(_LIGHT))


def kill_training(lab, draw):
    _killed(lab, draw, draw.choice(_HEAVY))


def kill_in_saves_data(lab, draw):
    _killed_in_saves(lab, draw, draw.choice(_LIGHT), most=40)


def kill_in_saves_training(lab, draw):
    _killed_in_saves(lab, draw, draw.choice(_HEAVY), most=60)


def signals_data(lab, draw):
    _signalled(lab, draw, draw.choice(_LIGHT))


def signals_training(lab, draw):
    _signalled(lab, draw, draw.choice(_HEAVY))


def two_runs(lab, draw):
    """Of two in one workdir one works, and the other says so."""
    task = TASKS[draw.choice((*_LIGHT, "train"))]
    lab.expected(task.name)
    folder = lab.copy(task.before)
    first = lab.start(task.arguments, folder)
    time.sleep(draw.choice((0, 0, draw.uniform(0, 1.5))))
    second = lab.start(task.arguments, folder)
    results = [lab.end(process) for process in (first, second)]
    for result in results:
        hold(result, names=("in use by",))
    if all(result.code for result in results):
        raise NotHeld(f"neither run worked: {results[0].command}")
    same(lab, task.name, folder)


def _killed(lab, draw, name):
    task = TASKS[name]
    seconds = lab.seconds(name)
    folder = lab.copy(task.before)
    before = outcome(folder)
    for _ in range(draw.choice((1, 1, 2, 3))):
        process = lab.start(task.arguments, folder)
        time.sleep(draw.uniform(0.2, 1.0) * seconds)
        kill(process)
        lab.end(process)
        _nothing_torn(lab, task, folder, before)
    hold(lab.run(task.arguments, folder), codes=(0,))
    same(lab, name, folder)


def _killed_in_saves(lab, draw, name, most):
    task = TASKS[name]
    lab.expected(name)
    folder = lab.copy(task.before)
    before = outcome(folder)
    for _ in range(draw.choice((1, 2))):
        number = draw.randint(1, most)
        result = lab.run(task.arguments, folder, environment={"FAULT_DIE_AT": str(number)})
        if result.code != -signal.SIGKILL:
            hold(result, codes=(0,))
        _nothing_torn(lab, task, folder, before)
    hold(lab.run(task.arguments, folder), codes=(0,))
    same(lab, name, folder)


def _nothing_torn(lab, task, folder, before):
    """What has its name is what it was, or what it is to become: never something between."""
    wanted = lab.expected(task.name)
    for key, digest in outcome(folder).items():
        is_growing = "settings.json" in key or "weights" in key or "history" in key or "/." in key
        if not is_growing and digest not in (wanted.get(key), before.get(key)):
            raise NotHeld(f"{folder}: {key} is neither the old nor the new one after a kill")
    if "--overwrite" in task.arguments:
        _old_or_new(folder, before, wanted)


def _old_or_new(folder, before, wanted):
    """A folder that is replaced has a manifest or checkpoint as long as nothing has arrived."""
    for part, sign in (("images", "settings.json"), ("records", "manifest.json")):
        place = folder / "w" / part
        aside = (place / ".arriving", place / ".unfinished" / sign, folder / "w/.records-unfinished" / sign)
        whole = any(path.exists() for path in (place / sign, *aside))
        if any(key.startswith(f"w/{part}") for key in before) and not whole:
            raise NotHeld(f"{place}: what is replaced is gone, and its successor is not there")
    if any("weights" in key for key in before) and not list((folder / "w/checkpoints").rglob("step-*.json")):
        raise NotHeld(f"{folder}: no checkpoint is left")


def _signalled(lab, draw, name):
    task = TASKS[name]
    seconds = lab.seconds(name)
    folder = lab.copy(task.before)
    process = lab.start(task.arguments, folder)
    while process.poll() is None and not _catches_sigterm(process.pid):
        time.sleep(0.005)
    time.sleep(draw.uniform(0, 1) * seconds)
    number = draw.choice((signal.SIGTERM, signal.SIGINT, signal.SIGINT))
    for _ in range(draw.choice((1, 1, 2, 5))):
        if process.poll() is None:
            # A terminal tells the whole group, an init system the process.
            (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        time.sleep(draw.choice((0.0, 0.01, 0.1, 0.4)))
    result = lab.end(process, _PROMPT)
    hold(result, codes=(0, 130) if number == signal.SIGINT else (0, 143, -signal.SIGTERM))
    if result.code in (130, 143) and "run the same command again to continue" not in result.err + result.out:
        raise NotHeld(f"{result.command}: an interrupted run does not say how to continue")
    left = list(folder.rglob(".partial-*"))
    if left and result.code == 0:
        raise NotHeld(f"{result.command}: left {left[0]}")
    hold(lab.run(task.arguments, folder), codes=(0,))
    same(lab, name, folder)


def _catches_sigterm(pid):
    """Whether main.py has begun, and is not still being loaded by Python."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
    found = re.search(r"SigCgt:\s*([0-9a-f]+)", status)
    return bool(found and int(found[1], 16) & _SIGTERM_CAUGHT)
