"""Files that somebody made to mislead, or to fill the memory."""

import contextlib
import csv
import hashlib
import io
import json
import struct
import zlib

import numpy as np
from PIL import Image

from tests import fuzz
from tests.faults.damage import cut, edited, flipped, overwritten
from tests.faults.lab import MOST_MEMORY, NotHeld, hold

_GROUPS = fuzz.corpus()
_TEXTS = ("", "12", "=1+1", "a\x00b", "x" * 100_000, "\x1b[31m", "../../etc/passwd", "é", "\ud800", '"', "a,b", "1\n2")


def records(lab, draw):
    folder = lab.fresh()
    (folder / "strange").write_bytes(fuzz.hostile_file(_GROUPS, draw.randrange(1 << 40)))
    for stage in ("inspect", "records"):
        result = lab.call((f"--stage={stage}", "--records=strange", "--answers=likely"), folder, "plain")
        hold(result, names=("strange", "--", "w/"), memory=MOST_MEMORY)


def images(lab, draw):
    """A folder of good images and a hostile one."""
    folder = lab.fresh()
    (folder / "own").mkdir()
    for number in range(12):
        Image.new("L", (40, 20), number).save(folder / "own" / f"{number:02d}_good.png")
    name = "99_bad" + draw.choice((".png", ".jpg", ".gif", ".bmp", ".webp"))
    (folder / "own" / name).write_bytes(hostile_image(draw))
    result = lab.call(("--stage=records", "--images=own", "--image_size=40x20", "--resize"), folder, "plain")
    hold(result, names=("99_bad",), memory=MOST_MEMORY)


def hostile_image(draw):
    kind = draw.choice(("PNG", "JPEG", "GIF", "BMP", "WEBP"))
    mode = draw.choice(("L", "RGB", "RGBA", "1", "P", "I;16", "LA", "CMYK"))
    size = draw.choice(((40, 20), (1, 1), (4096, 1), (1, 4000), (300, 300)))
    file = io.BytesIO()
    try:
        Image.new(mode, size).save(file, kind)
    except (OSError, KeyError, ValueError):
        file = io.BytesIO()
        Image.new("RGB", size).save(file, kind)
    data = file.getvalue()
    change = draw.choice((flipped, cut, overwritten, _bomb, _claim, lambda _, data: data))
    return change(draw, data)


def _chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _bomb(draw, _):
    """A PNG file of a few kilobytes with far more in it, where pixels or where text is expected."""
    width, height = draw.choice(((4096, 4096), (8000, 8000), (40, 20), (1 << 30, 1)))
    header = _chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, draw.choice((1, 8, 16)), draw.choice((0, 2, 6)), 0, 0, 0)
    )
    packed = zlib.compress(bytes(1 << draw.choice((10, 20, 27))), 9)
    text = _chunk(b"zTXt", b"x\0\0" + packed) * draw.choice((0, 1, 20)) + _chunk(b"iCCP", b"x\0\0" + packed)
    return b"\x89PNG\r\n\x1a\n" + header + text + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _claim(draw, data):
    """Other numbers where sizes are."""
    place = draw.randrange(min(len(data), 64))
    return (
        data[:place]
        + struct.pack(draw.choice(("<I", ">I")), draw.choice((0, 1 << 16, (1 << 31) - 1, (1 << 32) - 1)))
        + data[place + 4 :]
    )


def labels(lab, draw):
    folder = lab.fresh()
    (folder / "own").mkdir()
    for number in range(8):
        Image.new("L", (40, 20), number).save(folder / "own" / f"{number}.png")
    rows = [["file", "text"], *([f"{number}.png", f"{number:02d}"] for number in range(8))]
    for _ in range(draw.randint(1, 3)):
        rows[draw.randrange(len(rows))][draw.randrange(2)] = draw.choice(_TEXTS)
    if draw.random() < 0.3:
        draw.choice(rows).append("more")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    data = text.getvalue().encode("utf-8", "surrogatepass")
    if draw.random() < 0.4:
        data = draw.choice((flipped, cut, overwritten))(draw, data)
    (folder / "own" / "labels.csv").write_bytes(data)
    result = lab.call(("--stage=records", "--images=own"), folder, "plain")
    hold(result, names=("labels.csv", "own", "--"), memory=MOST_MEMORY)
    _no_control_characters(result)


def mappings(lab, draw):
    folder = lab.copy("everything")
    path = folder / "w/inspect/mapping.json"
    data = path.read_bytes()
    for _ in range(draw.randint(1, 3)):
        data = edited(draw, data)
    path.write_bytes(data)
    result = lab.call(("--stage=records", "--records=strange", f"--mapping={path}", "--overwrite"), folder, "plain")
    hold(result, names=("mapping.json", "strange"), memory=MOST_MEMORY)


def checkpoints(lab, draw):
    """A checkpoint of a stranger, whose digests are right."""
    folder = lab.copy("train")
    place = folder / "w/checkpoints"
    for path in sorted(place.glob("step-*.json")):
        content = json.loads(path.read_bytes())
        arrays = path.with_suffix(".npz")
        if draw.random() < 0.5:
            for _ in range(draw.randint(1, 2)):
                content = json.loads(edited(draw, json.dumps(content).encode()))
        else:
            arrays.write_bytes(_hostile_arrays(draw, arrays.read_bytes()))
        if isinstance(content, dict):
            content.pop("sha256", None)
            if "arrays_sha256" in content and draw.random() < 0.95:
                content["arrays_sha256"] = hashlib.sha256(arrays.read_bytes()).hexdigest()
            content["sha256"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        path.write_text(json.dumps(content))
    stage = draw.choice(("test", "train", "predict"))
    more = ("--images=w/images/00000",) if stage == "predict" else ()
    result = lab.call((f"--stage={stage}", *more), folder, "tensorflow")
    hold(result, names=("checkpoint", "different settings", "w/records"), growth=MOST_MEMORY)


def _hostile_arrays(draw, data):
    arrays = dict(np.load(io.BytesIO(data)))
    names = sorted(arrays)
    name = draw.choice(names)
    file, save = io.BytesIO(), np.savez
    change = draw.randrange(10)
    if change == 0:
        arrays = {}
    elif change == 1:
        del arrays[name]
    elif change == 2:
        arrays["network/999/extra"] = np.zeros(draw.choice((1, 1 << 22)))
    elif change == 3:
        arrays[name] = np.full_like(arrays[name], np.nan) if arrays[name].dtype.kind == "f" else arrays[name] + 1
    elif change == 4:
        arrays[name] = arrays[name].astype(draw.choice(("f8", "i4", "S3", "U2", "c8", "?")))
    elif change == 5:
        arrays[name] = np.zeros(draw.choice(((0,), (1,) * 20, (3, 3), (1 << 22,))), arrays[name].dtype)
    elif change == 6:
        save, arrays["bomb"] = np.savez_compressed, np.zeros(1 << 27, np.uint8)
    elif change == 7:
        arrays[draw.choice(_TEXTS)[:9] + "/x"] = arrays.pop(name)
    elif change == 8:
        return draw.choice((flipped, cut, overwritten))(draw, data)
    else:
        arrays = {name: arrays[name] for name in reversed(list(arrays))}
    with contextlib.suppress(UnicodeEncodeError):
        save(file, **arrays)
    return file.getvalue()


def _no_control_characters(result):
    text = result.out + result.err
    if "\x1b[3" in text or "\x00" in text or len(text) > 20_000:
        raise NotHeld(f"{result.command}: text of a stranger reaches the terminal as it is")
