"""Tries to break the program: kills, signals, full disks, damaged and hostile files, odd surroundings.

    python -m tests.faults --minutes=20 --seed=1
    python -m tests.faults --repeat='kill -9 while training:1-17'       one trial again

A trial holds when every command ends in time, with one line where it could not do what was asked, nothing that was
whole is lost, and the same command then ends in the bytes that an undisturbed run ends in. Prints a table, and what
failed with the command that tries it again; the exit code is 1 where anything failed.
"""

import argparse
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


def try_all(lab, names, seed, seconds):
    """{class: [trials, failures, seconds]}: each class once, then the one that had the least time."""
    tried = {name: [0, 0, 0.0] for name in names}
    failures = []
    began = time.monotonic()
    while time.monotonic() - began < seconds or any(not row[0] for row in tried.values()):
        name = min(tried, key=lambda name: tried[name][2])
        row = tried[name]
        key = f"{seed}-{row[0]}"
        start = time.monotonic() - lab.setup_seconds
        problem = try_once(lab, name, key)
        row[0] += 1
        row[2] += time.monotonic() - lab.setup_seconds - start
        if problem:
            row[1] += 1
            failures.append((name, key, problem))
            print(f"FAILED {name}:{key}\n{problem}\n", file=sys.stderr, flush=True)
    return tried, failures


def table(tried):
    """Lines of Markdown."""
    yield "| class | tried | held | failed |"
    yield "|---|---|---|---|"
    for name, (count, failed, _) in tried.items():
        yield f"| {name} | {count:,} | {count - failed:,} | {failed} |"
    total, failed = (sum(row[place] for row in tried.values()) for place in (0, 1))
    yield f"| together | {total:,} | {total - failed:,} | {failed} |"


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--classes", default="", help="parts of names, with commas between")
    parser.add_argument("--repeat", default="", help="CLASS:KEY of a trial that failed")
    parser.add_argument("--keep", action="store_true", help="leave the folders of trials that failed")
    parser.add_argument("--bases", help="a folder for what trials begin with, to be used again")
    asked = parser.parse_args()
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
        tried, failures = try_all(lab, names, asked.seed, 60 * asked.minutes)
    finally:
        lab.close()
        if not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(
        f"python -m tests.faults --minutes={asked.minutes:g} --seed={asked.seed}, Python {platform.python_version()},"
    )
    print(f"{os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}\n")
    print("\n".join(table(tried)))
    for name, key, _ in failures:
        print(f"failed: python -m tests.faults --repeat='{name}:{key}'")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
