"""Bits that flip, files that are cut, and JSON that somebody edited: in every kind of file that the program writes."""

import json
import pathlib
import shutil

from tests.faults.lab import NotHeld, digest, hold, outcome

_TEST = ("--stage=test", "--max_error=0.9")
_MAPPING = "w/inspect/mapping.json"
# What reads a kind of file: {pattern: (arguments, kind of process)}. Folders in front are removed first, so that the
# stage has something to do.
READERS = (
    ("w/images/*/*.png", ("records",), ("--stage=records",), "plain"),
    ("w/images/labels.csv", ("records",), ("--stage=records",), "plain"),
    ("w/images/settings.json", ("records",), ("--stage=records",), "plain"),
    ("w/images/settings.json", (), ("--stage=generate",), "plain"),
    ("w/records/*.tfrecord-*", (), ("--stage=check", "--full_check"), "plain"),
    ("w/records/*test.tfrecord-*", (), _TEST, "tensorflow"),
    ("w/records/*train.tfrecord-*", ("checkpoints",), ("--stage=train",), "tensorflow"),
    ("w/records/manifest.json", (), ("--stage=records",), "plain"),
    ("w/records/manifest.json", (), _TEST, "tensorflow"),
    ("w/records/*.json", (), _TEST, "tensorflow"),
    ("w/checkpoints/*", (), _TEST, "tensorflow"),
    ("w/checkpoints/step*", (), ("--stage=train",), "tensorflow"),
    ("w/checkpoints/*", (), ("--stage=predict", "--images=w/images/00000"), "tensorflow"),
    ("w/logs/history.jsonl", (), _TEST, "tensorflow"),
    ("w/report/*", (), _TEST, "tensorflow"),
    ("w/seconds.json", (), _TEST, "tensorflow"),
    (_MAPPING, ("records",), ("--stage=records", "--records=strange", f"--mapping={_MAPPING}"), "plain"),
    ("strange", ("records",), ("--stage=records", "--records=strange", "--answers=likely"), "plain"),
)  # fmt: skip
# A changed label is another label, and a changed report is written again: nobody could tell.
_MAY_CHANGE = ("labels.csv", "history.jsonl", "seconds.json", "mapping.json", "settings.json", "report.json")
_VALUES = (None, True, 0, -1, 2.5, 1 << 70, "", "x", "\ud800", [], [1], {}, {"a": 1}, 1e308, "../../x")


def flipped(draw, data):
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 8))):
        if changed:
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut(draw, data):
    return data[: draw.choice((0, draw.randrange(len(data) + 1), max(0, len(data) - draw.randint(1, 12))))]


def overwritten(draw, data):
    """A block of zeros, as a file system leaves them after a power cut."""
    start = draw.randrange(len(data) + 1)
    end = min(len(data), start + draw.choice((16, 512, 4096)))
    return data[:start] + bytes(end - start) + data[end:]


def edited(draw, data):
    """JSON with one value, key or item changed."""
    content = json.loads(data)
    places = []

    def walk(value, path):
        places.append(path)
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in items:
            walk(item, (*path, key))

    walk(content, ())
    path = draw.choice(places)
    if not path:
        return json.dumps(draw.choice(_VALUES)).encode()
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    if draw.random() < 0.3:
        del inner[path[-1]]
    else:
        inner[path[-1]] = draw.choice(_VALUES)
    return json.dumps(content).encode()


def damaged_file(lab, draw):
    """One damaged file, and a command that reads it."""
    pattern, removed, arguments, kind = draw.choice(READERS)
    folder = lab.copy("everything")
    for part in removed:
        shutil.rmtree(folder / "w" / part)
    path = draw.choice(sorted(path for path in folder.glob(pattern) if path.is_file()))
    data = path.read_bytes()
    change = draw.choice((flipped, cut, overwritten, *(edited, edited, edited) * (path.suffix == ".json")))
    changed = change(draw, data)
    path.write_bytes(changed)
    before = _others(folder, path)
    result = lab.call(arguments, folder, kind)
    hold(result, codes=(0, 1, 2, 3))
    if result.code == 1:
        _names(result, path, folder)
        after = _others(folder, path)
        gone = [name for name in before if name not in after and "/." not in name]
        if gone:
            raise NotHeld(f"{result.command}: {gone[0]} is gone")
    elif changed != data:
        _nothing_was_taken_for_whole(lab, result, path, folder)
    if kind == "plain" and result.peak > 512 << 20:
        raise NotHeld(f"{result.command}: {result.peak >> 20} MB of memory")


def _names(result, path, folder):
    said = result.err + result.out
    if path.name not in said and path.parent.name not in said:
        raise NotHeld(f"{result.command}: the error does not name {path.relative_to(folder)}: {result.err[-300:]}")


def _nothing_was_taken_for_whole(lab, result, path, folder):
    """A command that succeeded did what it does without the damage, or said what it found."""
    if path.name in _MAY_CHANGE or path.suffix in (".html", ".png", ".csv") or path.parent.name == "report":
        return
    wanted = outcome(lab.finished("everything"))
    got = outcome(folder)
    name = str(path.relative_to(folder))
    differing = [
        key for key in wanted if got.get(key) != wanted[key] and key != name and not key.startswith("w weights")
    ]
    is_told = "warning" in result.err + result.out or path.name in result.err + result.out
    if differing and not is_told:
        raise NotHeld(f"{result.command}: {name} is damaged; {differing[0]} differs, and nothing was said")
    if ".tfrecord" in name and not is_told:
        raise NotHeld(f"{result.command}: {name} is damaged, and nobody noticed")


def _others(folder, path):
    return {
        str(other.relative_to(folder)): digest(other.read_bytes())
        for other in folder.rglob("*")
        if other.is_file() and other != path
    }


def write_everything(lab, partial):
    """What most of the stages leave, in one folder."""
    shutil.copytree(lab.finished("test"), partial)
    shutil.copy(lab.finished("strange") / "strange", partial / "strange")
    hold(lab.call(("--stage=inspect", "--records=strange"), partial, "plain"), codes=(0,))
    pathlib.Path(partial / "w/.lock").unlink(missing_ok=True)
