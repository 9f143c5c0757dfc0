"""Checkpoints: the exact state of a training, whole or absent whenever the process is killed.

    checkpoints = Checkpoints("workdir/checkpoints")
    checkpoints.save(step, arrays, state)
    checkpoint = checkpoints.latest()
    checkpoint.state, checkpoint.arrays["network/0/conv1/kernel"]

A checkpoint is two files: step-00000500.npz holds arrays, step-00000500.json what they are and the sha256 of both.
The JSON is written last, so what has one is whole. No pickle is written or read.
"""

import dataclasses
import hashlib
import io
import json
import pathlib
import re
import sys
import zipfile

import numpy as np

from records.atomic import atomic_file, remove_partial, write_text
from records.errors import DigitwiseError

FORMAT = "digitwise-checkpoint"
FORMAT_VERSION = 1
_SEED_GENERATOR = re.compile(r"\bseed_generator_\d+/")
_NAME = re.compile(r"step-(\d{8,})\.(json|npz)")


class DamagedCheckpoint(DigitwiseError):
    """A checkpoint is not what it was when it was written."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What was saved at one step: `state` as JSON has it, and arrays by name."""

    step: int
    state: dict
    arrays: dict


class Checkpoints:
    """A folder of checkpoints: the last two, and the best."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    @classmethod
    def given(cls, flag, path):
        """Of the folder that a flag names: of checkpoints, or a workdir that holds them."""
        for folder in (pathlib.Path(path), pathlib.Path(path) / "checkpoints"):
            if cls(folder).steps():
                return cls(folder)
        problem = "it holds no checkpoints" if pathlib.Path(path).is_dir() else "there is no such folder"
        raise DigitwiseError(f"{flag}={path}: {problem}")

    @classmethod
    def to_test(cls, asked, workdir):
        """Those that a test reads with."""
        return cls.given("--checkpoint", asked.checkpoint) if asked.checkpoint else cls(workdir.checkpoints)

    def steps(self):
        """The steps there are checkpoints of, in order."""
        return sorted(step for step, kind in self._files() if kind == "json")

    def written(self) -> dict[int, int]:
        """{step: when its checkpoint was written}: the same again where nothing was trained in between."""
        return {step: self._path(step, "json").stat().st_mtime_ns for step in self.steps()}

    def save(self, step, arrays, state, best_step=None):
        """Writes a checkpoint, then removes all but the last two and the one of `best_step`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        data = _to_npz(arrays)
        content = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "step": step,
            "arrays_sha256": hashlib.sha256(data).hexdigest(),
            "state": state,
        }
        content["sha256"] = _digest(content)
        with atomic_file(self._path(step, "npz")) as file:
            file.write(data)
        write_text(self._path(step, "json"), json.dumps(content, indent=1) + "\n")
        self._keep({*self.steps()[-2:], step, best_step})

    def load(self, step):
        """The Checkpoint of `step`; DamagedCheckpoint where a bit of it has changed."""
        content = self._read_json(step)
        path = self._path(step, "npz")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DamagedCheckpoint(f"{path} cannot be read ({error.strerror})") from None
        if hashlib.sha256(data).hexdigest() != content["arrays_sha256"]:
            raise DamagedCheckpoint(f"{path} is damaged: its sha256 is not the one in {path.stem}.json")
        try:
            return Checkpoint(step, content["state"], _from_npz(data))
        except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            raise DamagedCheckpoint(f"{path} is damaged ({error})") from None

    def latest(self, warn=None):
        """The newest Checkpoint that is whole, or None where there are none; `warn` gets a line for each damaged one."""
        warn = warn or _warn
        steps = self.steps()
        for step in reversed(steps):
            try:
                return self.load(step)
            except DamagedCheckpoint as error:
                warn(f"warning: {error}; falling back to the checkpoint before it")
        if steps:
            raise DigitwiseError(
                f"{self.folder}: none of the checkpoints of steps {', '.join(map(str, steps))} is whole; "
                "train anew with --overwrite"
            )
        return None

    def choose(self, which, warn=None):
        """The Checkpoint that is `best` on validation, the `last`, or that of a step; damaged, it is an error."""
        steps = self._check_any()
        if which == "last":
            return self.load(steps[-1])
        if which == "best":
            return self.load(self._best_step(warn or _warn))
        if not str(which).isdigit() or int(which) not in steps:
            raise DigitwiseError(
                f"{self.folder} holds no checkpoint {which!r}: there are best, last and {', '.join(map(str, steps))}"
            )
        return self.load(int(which))

    def best_settings(self, warn=None):
        """What the best checkpoint was trained with."""
        self._check_any()
        return self._read_json(self._best_step(warn or _warn))["state"]["settings"]

    def clean(self):
        """Removes what a killed process left half done."""
        if not self.folder.is_dir():
            return
        remove_partial(self.folder)
        self._keep(set(self.steps()))

    def clear(self):
        """Removes every checkpoint, and nothing else."""
        if self.folder.is_dir():
            remove_partial(self.folder)
            self._keep(set())

    def _check_any(self):
        steps = self.steps()
        if not steps:
            raise DigitwiseError(f"{self.folder} holds no checkpoint: train first, with --stage=train")
        return steps

    def _best_step(self, warn):
        """As the newest checkpoint that can be read has it."""
        for step in reversed(self.steps()):
            try:
                return (self._read_json(step)["state"].get("best") or {"step": step})["step"]
            except DamagedCheckpoint as error:
                warn(f"warning: {error}; the checkpoint before it tells which is best")
        raise DamagedCheckpoint(f"{self.folder}: no checkpoint there is whole; train anew with --overwrite")

    def _keep(self, steps):
        # The JSON goes first: arrays without it are no checkpoint, while it without arrays would be a damaged one.
        for step, kind in sorted(self._files(), key=lambda file: file[1]):
            if step not in steps:
                self._path(step, kind).unlink(missing_ok=True)

    def _files(self):
        if not self.folder.is_dir():
            return []
        matches = (_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return [(int(match[1]), match[2]) for match in matches if match]

    def _path(self, step, kind):
        return self.folder / f"step-{step:08d}.{kind}"

    def _read_json(self, step):
        path = self._path(step, "json")
        try:
            content = json.loads(path.read_bytes())
        except OSError as error:
            raise DamagedCheckpoint(f"{path} cannot be read ({error.strerror})") from None
        except ValueError as error:
            raise DamagedCheckpoint(f"{path} is damaged ({error})") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise DamagedCheckpoint(f"{path} is no checkpoint of digitwise")
        if content.get("format_version") != FORMAT_VERSION:
            raise DigitwiseError(
                f"{path} has format version {content.get('format_version')}, this program reads {FORMAT_VERSION}"
            )
        if content.pop("sha256", None) != _digest(content) or content["step"] != step:
            raise DamagedCheckpoint(f"{path} is damaged: its content does not match its own sha256")
        return content


def arrays_of(**groups):
    """{name: array} of groups of Keras variables, such as network=network.variables. Order and path make the name."""
    return {
        name: np.asarray(variable.numpy())
        for group, variables in groups.items()
        for name, variable in zip(_names(group, variables), variables)
    }


def assign_arrays(arrays, **groups):
    """Gives variables their arrays; nothing is assigned unless every name, shape and dtype of the groups agrees."""
    pairs = []
    for group, variables in groups.items():
        names = _names(group, variables)
        stored = [name for name in arrays if name.startswith(f"{group}/")]
        if stored != names:
            raise DigitwiseError(
                f"the checkpoint's {group} has other variables than the program's: {_first_difference(stored, names)}"
            )
        pairs += [(name, variable, arrays[name]) for name, variable in zip(names, variables)]
    for name, variable, array in pairs:
        wanted = (tuple(variable.shape), _dtype(variable))
        if (array.shape, array.dtype.name) != wanted:
            raise DigitwiseError(
                f"the checkpoint's {name} is {array.dtype.name} {list(array.shape)}, "
                f"the program's is {wanted[1]} {list(wanted[0])}"
            )
    for _, variable, array in pairs:
        variable.assign(array)


def assign_what_fits(arrays, network):
    """(names taken, names left) of a network's variables: taken is what has the same name and shape among the arrays,
    of whatever network they are."""
    given = {name.split("/", 2)[2]: array for name, array in arrays.items() if name.startswith("network/")}
    taken, left = [], []
    for name, variable in zip(_names("network", network), network):
        name = name.split("/", 2)[2]
        array = given.get(name)
        if array is None or array.shape != tuple(variable.shape) or array.dtype.name != _dtype(variable):
            left.append(name)
            continue
        variable.assign(array)
        taken.append(name)
    return taken, left


def _names(group, variables):
    # Keras numbers seed generators through the whole process, so those of a second network have other names.
    paths = (_SEED_GENERATOR.sub("seed_generator/", variable.path) for variable in variables)
    return [f"{group}/{i}/{path}" for i, path in enumerate(paths)]


def _dtype(variable):
    return np.asarray(variable.numpy()).dtype.name


def _first_difference(stored, names):
    for old, new in zip(stored, names):
        if old != new:
            return f"{old} there, {new} here"
    return f"{len(stored)} of them there, {len(names)} here"


def _to_npz(arrays):
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getbuffer()


def _from_npz(data):
    with np.load(io.BytesIO(data), allow_pickle=False) as content:
        return {name: content[name] for name in content.files}


def _warn(line):
    print(line, file=sys.stderr, flush=True)


def _digest(content):
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()
