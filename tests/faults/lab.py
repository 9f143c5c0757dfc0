"""Where faults are tried: work folders to copy, commands to run, and what it takes to hold.

lab = Lab(folder)
work = lab.copy("train")                    # of a folder in which these stages have finished
result = lab.call(["--stage=test"], work)   # in a process that runs many commands
hold(result, codes=(0, 1))
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLAGS = (
    "--num_images=300 --image_size=40x20 --code_length=2 --font_sizes=14,16 --epochs=3 --batch_size=16 --workers=1 "
    "--augmentation=0 --precision=float32 --validation_fraction=0.2 --test_fraction=0.2 --images_per_shard=40 "
    "--checkpoint_seconds=0 --validation_steps=5 --workdir=w"
).split()
MOST_SECONDS = 120  # for a command that takes a few, on a machine that has other work too
MOST_MEMORY = 512 << 20
CPU_SECONDS = 10
_TINY = (sys.executable, str(ROOT / "tests/faults/launch.py"))


class NotHeld(Exception):
    """The program did something else than it promises."""


@dataclasses.dataclass(frozen=True)
class Result:
    command: str
    code: int | None  # None where it did not end
    out: str
    err: str
    seconds: float = 0.0
    cpu: float = 0.0
    peak: int = 0  # bytes in memory
    grown: int = 0  # how much that is more than before


@dataclasses.dataclass(frozen=True)
class Task:
    """A command, and the stages that must have finished before it."""

    name: str
    arguments: tuple[str, ...]
    before: str = "nothing"


TASKS = {
    task.name: task
    for task in (
        Task("generate", ("--stage=generate",)),
        Task("records", ("--stage=records",), "generate"),
        Task("records of a folder", ("--stage=records", "--images=w/images", "--workdir=w/second"), "generate"),
        Task("records of others", ("--stage=records", "--records=strange"), "strange"),
        Task("records drawn", ("--stage=records", "--source=synthetic")),
        Task("train", ("--stage=train",), "records"),
        Task("train drawn", ("--stage=train", "--source=synthetic", "--num_images=160"), "records drawn"),
        Task("test", ("--stage=test", "--max_error=0.9"), "train"),
        Task("replace images", ("--stage=generate,records", "--seed=5", "--overwrite"), "records"),
        Task("replace training", ("--stage=train", "--learning_rate=0.01", "--overwrite"), "train"),
    )
}


class Caller:
    """A process that runs commands of main.py one after the other."""

    def __init__(self, kind):
        self._kind = kind
        self._process = None

    def call(self, arguments, cwd, seconds, **faults):
        if self._process is None:
            command = [sys.executable, "-m", "tests.faults.caller", self._kind]
            environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, text=True, start_new_session=True, **pipes
            )
        asked = {"arguments": list(map(str, arguments)), "cwd": str(cwd), **faults}
        command = f"cd {cwd}; main.py {' '.join(map(str, arguments))} {faults or ''}"
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        answer = self._process.stdout.readline() if ready else ""
        if not answer:
            self.close()
            return Result(command, None, "", "it did not end" if not ready else "the process died")
        return Result(command, **json.loads(answer))

    def close(self):
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None


class Lab:
    """Folders and processes of one run of the harness."""

    def __init__(self, folder, bases):
        self.folder = pathlib.Path(folder)
        self._bases = pathlib.Path(bases)
        self._seconds = {}
        self._callers = {kind: Caller(kind) for kind in ("plain", "tensorflow")}
        self._expected = {}
        self._number = 0
        self.setup_seconds = 0.0  # spent on what trials begin with

    def close(self):
        for caller in self._callers.values():
            caller.close()

    def fresh(self):
        """A new folder, in which commands have w as their workdir."""
        self._number += 1
        folder = self.folder / f"trial-{self._number}"
        folder.mkdir(parents=True)
        return folder

    def copy(self, name):
        """A new folder with a copy of what these stages leave."""
        folder = self.fresh()
        if name != "nothing":
            shutil.copytree(self.finished(name), folder, symlinks=True, dirs_exist_ok=True)
        return folder

    def finished(self, name):
        """A folder in which a task has finished; not to be changed."""
        folder = self._bases / f"finished-{name.replace(' ', '-')}"
        if folder.exists():
            return folder
        began, inner = time.monotonic(), self.setup_seconds
        partial = folder.with_name(folder.name + "~")
        shutil.rmtree(partial, ignore_errors=True)
        if name == "everything":
            from tests.faults.damage import write_everything

            write_everything(self, partial)
        elif name == "strange":
            partial.mkdir(parents=True)
            write_strange(partial / "strange")
        else:
            task = TASKS[name]
            if task.before == "nothing":
                partial.mkdir(parents=True)
            else:
                shutil.copytree(self.finished(task.before), partial)
            hold(self.call(task.arguments, partial), codes=(0,))
        partial.rename(folder)
        self.setup_seconds = inner + time.monotonic() - began
        return folder

    def expected(self, name):
        """The outcome of a task that nobody disturbed."""
        if name not in self._expected:
            self._expected[name] = outcome(self.finished(name))
        return self._expected[name]

    def seconds(self, name):
        """How long a task takes as a process of its own."""
        if name not in self._seconds:
            self.expected(name)
            began, inner = time.monotonic(), self.setup_seconds
            folder = self.copy(TASKS[name].before)
            result = self.run(TASKS[name].arguments, folder)
            hold(result, codes=(0,))
            same(self, name, folder)
            self._seconds[name] = result.seconds
            self.setup_seconds = inner + time.monotonic() - began
        return self._seconds[name]

    def call(self, arguments, cwd, kind="tensorflow", seconds=MOST_SECONDS, **faults):
        """One command in a process that has run others before."""
        return self._callers[kind].call([*FLAGS, *arguments], cwd, seconds, **faults)

    def start(self, arguments, cwd, environment=None, wrapper=(), **given):
        """A command in a process, and process group, of its own."""
        streams = {name: tempfile.TemporaryFile() for name in ("stdout", "stderr")}  # noqa: SIM115
        process = subprocess.Popen(
            [*wrapper, *_TINY, *FLAGS, *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(environment or {})},
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            **{**streams, "stdin": subprocess.DEVNULL, **given},
        )
        process.texts = streams
        process.line = f"cd {cwd}; main.py {' '.join(map(str, arguments))}"
        process.began = time.monotonic()
        return process

    def end(self, process, seconds=MOST_SECONDS):
        """The Result of a process that ends by itself, or is killed after so many seconds."""
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            kill(process)
            code = None
        texts = []
        for name in ("stdout", "stderr"):
            process.texts[name].seek(0)
            texts.append(process.texts[name].read().decode("utf-8", "replace"))
            process.texts[name].close()
        return Result(process.line, code, *texts, seconds=time.monotonic() - process.began)

    def run(self, arguments, cwd, seconds=MOST_SECONDS, **given):
        return self.end(self.start(arguments, cwd, **given), seconds)


def kill(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def hold(result, codes=(0, 1), names=(), memory=0, growth=0):
    """Raises NotHeld unless the command ended in time with one of the codes; an error is one line, names one of
    `names`, and took no more than `memory`, or no more than `growth` beside what TensorFlow takes."""

    def fail(what):
        tail = "\n".join((result.out + result.err).splitlines()[-12:])
        raise NotHeld(f"{what}\n  {result.command}\n  code {result.code} after {result.seconds:.1f} s\n{tail}")

    if result.code is None:
        fail("it did not end")
    if "Traceback" in result.err or "Traceback" in result.out:
        fail("a traceback")
    if result.code not in codes:
        fail("another exit code")
    errors = [line for line in result.err.splitlines() if line.startswith("error:")]
    if result.code == 1 and len(errors) != 1 and "check" not in result.command:
        fail("not one line that says why")
    if result.code == 1 and names and not any(name in result.err + result.out for name in names):
        fail(f"the error names none of {', '.join(names)}")
    if memory and result.peak > memory:
        fail(f"{result.peak >> 20} MB of memory")
    if growth and result.grown > growth:
        fail(f"{result.grown >> 20} MB of memory more than before")
    if (memory or growth) and result.cpu > CPU_SECONDS:
        fail(f"{result.cpu:.1f} s of processor time")


def outcome(folder):
    """{what: digest} of all results that must not depend on what happened on the way."""
    found = {}
    for work in (folder / "w", folder / "w/second"):
        for part in ("images", "records"):
            for path in sorted((work / part).rglob("*")):
                if path.is_file():
                    found[str(path.relative_to(folder))] = digest(path.read_bytes())
        for path, part in ((work / "report/predictions.csv", readings), (work / "logs/history.jsonl", without_looks)):
            if path.exists():
                found[str(path.relative_to(folder))] = digest(part(path.read_bytes()))
        states = sorted((work / "checkpoints").glob("step-*.npz"))
        if states:
            found[f"{work.name} weights {states[-1].name}"] = weights(states[-1])
    return found


def weights(path):
    import numpy as np

    try:
        with np.load(path) as arrays:
            return digest(b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays.files)))
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:  # where the trial damaged just this file
        return type(error).__name__


def readings(data):
    """Predictions without confidences, whose last digit is none of the promises."""
    return b"\n".join(b",".join(line.split(b",")[:3]) for line in data.splitlines())


def without_looks(data):
    """The lines of a history without those that depend on where the looks were."""
    return b"\n".join(line for line in data.splitlines() if b'"loss"' not in line)


def same(lab, name, folder):
    """Raises NotHeld where a folder is not what the undisturbed task left."""
    wanted = lab.expected(name)
    got = outcome(folder)
    if got != wanted:
        differing = sorted(key for key in {*got, *wanted} if got.get(key) != wanted.get(key))
        raise NotHeld(f"{folder}: not as without the fault: {', '.join(differing[:5])} ({len(differing)} in all)")
    partial = [str(path) for path in folder.rglob(".partial-*")] + [str(path) for path in folder.rglob(".unfinished")]
    if partial:
        raise NotHeld(f"left behind: {', '.join(partial[:3])}")


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


def write_strange(path):
    """Records of another project: PNG files with their codes."""
    import io

    from PIL import Image

    from records.tfrecord.framing import frame
    from tests.fuzz import _message

    with open(path, "wb") as file:
        for number in range(200):
            picture = io.BytesIO()
            Image.new("L", (40, 20), number).save(picture, "PNG")
            file.write(frame(_message({"image": [picture.getvalue()], "text": [b"%02d" % (number % 100)]})))
