"""Tries to break the program: kills, signals, full disks, damaged and hostile files, odd surroundings.

    python -m tests.faults --minutes=20 --seed=1
    python -m tests.faults --repeat='kill -9 while training:1-17'       one trial again

A trial holds when every command ends in time, with one line where it could not do what was asked, nothing that was
whole is lost, and the same command then ends in the bytes that an undisturbed run ends in. Prints a table, and what
failed with the command that tries it again; the exit code is 1 where anything failed.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import random
import shutil
import sys
import tempfile
import time
import traceback

from tests.faults.classes import CLASSES
from tests.faults.lab import Lab, NotHeld


def try_once(lab, name, key):
    """What went wrong in one trial, None where it held."""
    try:
        CLASSES[name](lab, random.Random(f"{name} {key}"))
    except NotHeld as error:
        return str(error)
    except Exception:
        return traceback.format_exc()
    for folder in lab.folder.glob("trial-*"):
        shutil.rmtree(folder, ignore_errors=True)
    return None


@dataclasses.dataclass
class Row:
    """Trials of one class; `first` is the number of the next one, after those of earlier runs."""

    tried: int = 0
    failed: int = 0
    first: int = 0
    seconds: float = 0.0


def try_all(lab, rows, seed, seconds):
    """[(class, key, what went wrong)]: each class once, then the one that had the least time."""
    failures = []
    began = time.monotonic()
    while time.monotonic() - began < seconds or any(not row.tried for row in rows.values()):
        name = min(rows, key=lambda name: (rows[name].tried > 0, rows[name].seconds))
        row = rows[name]
        key = f"{seed}-{row.first + row.tried}"
        start = time.monotonic() - lab.setup_seconds
        problem = try_once(lab, name, key)
        row.tried += 1
        row.seconds += time.monotonic() - lab.setup_seconds - start
        if problem:
            row.failed += 1
            failures.append((name, key, problem))
            print(f"FAILED {name}:{key}\n{problem}\n", file=sys.stderr, flush=True)
    return failures


def table(counts):
    """Lines of Markdown for {class: (tried, failed)}."""
    yield "| class | tried | held | failed |"
    yield "|---|---|---|---|"
    for name, (tried, failed) in counts.items():
        yield f"| {name} | {tried:,} | {tried - failed:,} | {failed} |"
    tried, failed = (sum(count[place] for count in counts.values()) for place in (0, 1))
    yield f"| together | {tried:,} | {tried - failed:,} | {failed} |"


def added_up(path, seed, rows):
    """{class: (tried, failed)} of all runs that were written to `path`, this one among them."""
    stored = json.loads(path.read_text()) if path and path.exists() else {}
    for name, row in rows.items():
        before = stored.setdefault(name, {}).get(str(seed), [0, 0])
        stored[name][str(seed)] = [before[0] + row.tried, before[1] + row.failed]
    if path:
        path.write_text(json.dumps(stored, indent=1) + "\n")
    return {name: tuple(map(sum, zip(*stored[name].values()))) for name in CLASSES if name in stored}


def first_trials(path, seed, names):
    """{class: Row} that begins after the trials of earlier runs with this seed."""
    stored = json.loads(path.read_text()) if path and path.exists() else {}
    return {name: Row(first=stored.get(name, {}).get(str(seed), [0])[0]) for name in names}


def parsed():
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--classes", default="", help="parts of names, with commas between")
    parser.add_argument("--repeat", default="", help="CLASS:KEY of a trial that failed")
    parser.add_argument("--keep", action="store_true", help="leave the folders of trials that failed")
    parser.add_argument("--bases", help="a folder for what trials begin with, to be used again")
    parser.add_argument("--results", type=pathlib.Path, help="a file to which the counts of several runs add up")
    return parser.parse_args()


def main():
    asked = parsed()
    parts = asked.classes.split(",")
    names = [name for name in CLASSES if any(part in name for part in parts)]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="digitwise-faults-"))
    lab = Lab(folder, asked.bases or folder)
    try:
        if asked.repeat:
            name, _, key = asked.repeat.rpartition(":")
            problem = try_once(lab, name, key)
            print(problem or "held")
            return bool(problem)
        rows = first_trials(asked.results, asked.seed, names)
        failures = try_all(lab, rows, asked.seed, 60 * asked.minutes)
    finally:
        lab.close()
        if not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}\n")
    print("\n".join(table(added_up(asked.results, asked.seed, rows))))
    for name, key, _ in failures:
        print(f"failed: python -m tests.faults --repeat='{name}:{key}'")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
