"""Processes that serve or export, killed while they do."""

import http.client
import importlib.util
import json
import os
import re
import signal
import threading
import time

from PIL import Image

from records.images.folder import LabeledFolder
from tests.faults.lab import NotHeld, hold, kill

_EXPORTED = ("saved_model", "model.onnx", "model.tflite", "parity.json", "model-card.md", "settings.json")


def can_serve():
    return all(importlib.util.find_spec(name) for name in ("starlette", "uvicorn"))


def can_export():
    return all(importlib.util.find_spec(name) for name in ("tf2onnx", "onnx", "onnxruntime", "ai_edge_litert"))


def labelling(lab, draw):
    """Labels that the server has acknowledged survive kill -9, and the next server continues."""
    folder = lab.fresh()
    (folder / "own").mkdir()
    for number in range(60):
        Image.new("L", (40, 20), number).save(folder / "own" / f"{number:02d}.png")
    acknowledged = {}
    for _ in range(draw.choice((1, 2, 3))):
        process = lab.start(("--stage=serve", "--port=0", "--images=own"), folder)
        port = _port(lab, process)
        threading.Timer(draw.uniform(0.02, 0.4), kill, (process,)).start()
        try:
            session = _post(port, "session")["session"]
            card = _post(port, "next", session=session)["card"]
            while card:
                answer = _post(port, "add", session=session, number=card["number"], text=card["name"][:2])
                acknowledged[card["name"]] = card["name"][:2]
                card = answer["card"]
        except (OSError, http.client.HTTPException):
            pass
        kill(process)
        lab.end(process)
    process = lab.start(("--stage=serve", "--port=0", "--images=own"), folder)
    _port(lab, process)
    os.kill(process.pid, signal.SIGTERM)
    hold(lab.end(process), codes=(0, 143))
    found = dict(LabeledFolder(str(folder / "own")).rows()) if acknowledged else {}
    lost = {name for name, text in acknowledged.items() if found.get(name) != text}
    if lost:
        raise NotHeld(f"{folder}: the labels of {', '.join(sorted(lost)[:3])} were acknowledged, and are lost")


def exporting(lab, draw):
    """An export that was killed is made by the next run."""
    folder = lab.copy("test")
    arguments = ("--stage=export",)
    process = lab.start(arguments, folder)
    time.sleep(draw.uniform(2, 40))
    kill(process)
    lab.end(process)
    export = folder / "w/export"
    shown = any(export.glob("model*")) and not (export / "settings.json").exists()
    if shown and not (export / ".arriving").exists():
        raise NotHeld(f"{export}: half an export is visible")
    hold(lab.run(arguments, folder, seconds=300), codes=(0,))
    missing = [name for name in _EXPORTED if not (export / name).exists()]
    if missing or list(export.glob(".*")):
        raise NotHeld(f"{export}: {missing or 'something is left behind'}")


def _port(lab, process):
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        text = os.pread(process.texts["stdout"].fileno(), 10_000, 0).decode()
        if found := re.search(r"listening on http://127\.0\.0\.1:(\d+)/", text):
            return int(found[1])
        time.sleep(0.02)
    kill(process)
    result = lab.end(process)
    raise NotHeld(f"{result.command}: no server: {result.out}{result.err}")


def _post(port, action, **content):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", f"/labels/{action}", json.dumps(content), {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()
