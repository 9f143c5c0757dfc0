"""The server as a process of its own: how it starts and ends, many clients, and kills while labelling."""

import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from pipeline.labelling.store import LabelStore
from records.images.folder import LabeledFolder
from tests.conftest import ROOT
from tests.stripes import png, write_onnx
from tests.using_fixtures import make_checkpoint


@pytest.fixture
def start_server(start_main):
    """start_server(*flags) gives (process, port) once it listens."""

    def start(*arguments):
        process = start_main("--stage=serve", "--port=0", *arguments)
        for line in process.stdout:
            if found := re.search(r"listening on http://127\.0\.0\.1:(\d+)/", line):
                return process, int(found[1])
        pytest.fail(f"it ended: {process.stderr.read()}")

    return start


@pytest.fixture
def model(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    write_onnx(tmp_path / "model.onnx")
    return f"--checkpoint={tmp_path / 'model.onnx'}"


def ask(port, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def post(port, path, **content):
    return ask(port, "POST", path, json.dumps(content), **{"Content-Type": "application/json"})


def test_a_missing_package_is_named(call_main, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "uvicorn" else found(name, *rest)
    )
    result = call_main("--stage=serve")
    assert (result.returncode, result.stderr) == (1, "error: serving needs uvicorn: pip install -e '.[serve]'\n")


def test_there_must_be_something_to_serve(call_main):
    result = call_main("--stage=serve", "--port=0")
    assert result.returncode == 1
    assert re.fullmatch(
        r"error: --workdir=workdir: there is no such file or folder; train one with --stage=train\n", result.stderr
    )


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--checkpoint=nothing.onnx"], "--checkpoint=nothing.onnx: nothing.onnx is not a file"),
        (["--checkpoint=nowhere"], "--checkpoint=nowhere: there is no such file or folder"),
        (["--images=nowhere"], "--images=nowhere is not a folder: serve labels the images of a folder"),
        (["--host=256.0.0.1"], "--host=256.0.0.1: not an address or a name of this machine"),
        (["--token_file=nowhere"], "--token_file=nowhere cannot be read"),
        (["--port=70000"], "--port=70000: expected a number from 0 to 65535"),
    ],
)
def test_flags_that_cannot_be_used(call_main, flags, said):
    result = call_main("--stage=serve", "--port=0", *flags)
    assert result.returncode == 1 and said in result.stderr
    assert result.stderr.count("\n") <= 2


def test_a_damaged_table_of_labels_is_told_at_start(call_main, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.png").write_bytes(png("123"))
    (tmp_path / "photos" / "labels.csv").write_text('file,text\n1.png,"12\n')
    result = call_main("--stage=serve", "--port=0", "--images=photos")
    said = "error: photos/labels.csv, line 2: it is not a table (unexpected end of data)\n"
    assert (result.returncode, result.stderr) == (1, said)


def test_a_port_that_is_taken(call_main):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = call_main("--stage=serve", f"--port={taken.getsockname()[1]}")
    assert result.returncode == 1
    assert "Address already in use; choose another, or --port=0 for any" in result.stderr


def test_a_promise_that_cannot_be_kept(call_main, model):
    result = call_main("--stage=serve", "--port=0", model, "--max_error=0.01")
    assert result.returncode == 1 and "this network cannot promise that" in result.stderr


def test_short_tokens_are_refused(call_main, tmp_path):
    (tmp_path / "token").write_text("secret\n")
    result = call_main("--stage=serve", "--port=0", "--token_file=token")
    assert "its first line must be a token of at least 16 ASCII characters" in result.stderr


@pytest.mark.slow
def test_an_exported_file_needs_no_tensorflow(model, tmp_path):
    """In a process where TensorFlow cannot be imported."""
    code = "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None\nimport main; main.run()"
    command = [sys.executable, "-c", code, "--stage=serve", "--port=0", model]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        port = int(re.search(r":(\d+)/", process.stdout.readline())[1])
        assert ask(port, "POST", "/read", png("407"))[1]["code"] == "407"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_a_checkpoint_is_served_with_its_test_split(start_server, shared_folder):
    # With attention, which shows where the network looked.
    trained = shared_folder("stripes-alexnet", lambda folder: make_checkpoint(folder, network="alexnet"))
    process, port = start_server(f"--workdir={trained}", "--allow=ab")
    status, answer = ask(port, "GET", "/examples")
    assert status == 200 and answer["split"] == "test" and len(answer["readings"]) == 6
    for reading in answer["readings"]:
        assert set(reading["code"]) <= set("ab")
        assert reading["code"] == reading["label"] or set(reading["label"]) - set("ab")
        assert all(sum(shares) == pytest.approx(1, abs=0.02) for shares in reading["looked"])
    assert not list(trained.glob(".lock")), "a training may write to the workdir meanwhile"


@pytest.mark.slow
def test_beyond_this_machine_a_token_is_needed(start_main, model):
    process = start_main("--stage=serve", "--port=0", "--host=0.0.0.0", model)
    found = re.search(r"127\.0\.0\.1:(\d+)/\?token=(\S+) and on", process.stdout.readline())
    port, token = int(found[1]), found[2]
    assert ask(port, "POST", "/read", png("407"))[0] == 401
    assert ask(port, "POST", "/read", png("407"), Authorization=f"Bearer {token}")[1]["code"] == "407"
    assert ask(port, "GET", "/health")[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_what_has_begun_is_answered_before_it_ends(start_server, model, kind):
    process, port = start_server(model)
    body = png("407")
    connections = []
    for _ in range(5):
        connection = socket.create_connection(("127.0.0.1", port))
        head = f"POST /read HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body[:50])
        connections.append(connection)
    while ask(port, "GET", "/health")[0] != 200:
        pass
    assert ask(port, "POST", "/read", body)[0] == 200  # by now the five are being read
    process.send_signal(kind)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:  # until nobody new is let in
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            break
        except ConnectionResetError:
            continue  # the door closed while this one stood in it
    for connection in connections:
        connection.sendall(body[50:])
        answer = b""
        while chunk := connection.recv(1 << 16):
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 200") and b'"code":"407"' in answer
    assert process.wait(60) == 0
    assert process.stdout.read() == "serve: ended\n"
    assert process.stderr.read() == ""


@pytest.mark.slow
def test_many_clients_at_once(start_server, model):
    process, port = start_server(model, "--max_rate=0")
    ends = time.monotonic() + 5
    wrong, counts = [], []

    def client(number):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        rng, count = random.Random(number), 0
        while time.monotonic() < ends:
            code = f"{rng.randrange(1000):03}"
            connection.request("POST", "/read", png(code))
            response = connection.getresponse()
            answer = json.loads(response.read())
            if response.status != 200 or answer["code"] != code:
                wrong.append((response.status, answer))
            count += 1
        counts.append(count)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and len(counts) == 32 and min(counts) > 0
    assert ask(port, "GET", "/health") == (200, {"status": "ok"})
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0 and process.stderr.read() == ""


def broken_requests(rng, count):
    """Bytes that are no request, or one that cannot be answered."""
    good = b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"
    for _ in range(count):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 6)):
            kind, place = rng.randrange(3), rng.randrange(len(data))
            if kind == 0:
                data[place] = rng.randrange(256)
            elif kind == 1:
                del data[place : place + rng.randrange(20)]
            else:
                data[place:place] = rng.randbytes(rng.randrange(20))
        yield bytes(data)


@pytest.mark.slow
def test_broken_requests_are_refused_and_the_server_lives_on(start_server, model):
    process, port = start_server(model)
    rng = random.Random(3)
    statuses = []
    for data in broken_requests(rng, 300):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while chunk := connection.recv(1 << 16):
                    answer += chunk
            except ConnectionResetError:
                pass
        # A request that ends too early gets no answer: there is nobody left to hear it.
        if answer:
            statuses.append(int(answer.split()[1]))
    assert len(statuses) > 150
    assert all(400 <= status < 500 for status in statuses), sorted(set(statuses))
    assert ask(port, "POST", "/read", png("407"))[1]["code"] == "407"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert process.stderr.read().replace("WARNING:  Invalid HTTP request received.\n", "") == ""


@pytest.mark.slow
def test_a_kill_while_labelling_loses_no_label(start_server, tmp_path):
    """Each time at another moment; what the server had answered is there, and at most one label more."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(400):
        (folder / f"{number:03}.png").write_bytes(png(f"{number:03}"))
    rng = random.Random(5)
    saved = {}
    for _ in range(6):
        process, port = start_server(f"--images={folder}")
        session = post(port, "/labels/session")[1]["session"]
        card = post(port, "/labels/next", session=session)[1]["card"]
        threading.Timer(rng.uniform(0.02, 0.3), process.kill).start()
        sent = None
        try:
            while True:
                sent = card["name"]
                answer = post(port, "/labels/add", session=session, number=card["number"], text=sent[:3])
                saved[sent], sent = sent[:3], None
                card = answer[1]["card"]
        except (OSError, http.client.HTTPException):
            pass
        process.wait()
        LabelStore(folder)  # as the next server does: it repairs what the kill left
        found = dict(LabeledFolder(str(folder)).rows()) if saved else {}
        assert saved.items() <= found.items()
        assert set(found) - set(saved) <= {sent}
        saved = found
    assert len(saved) > 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_before_the_server_listens_to_signals_ends_it(number):
    import uvicorn

    from pipeline.serving.run import ending_on_signals

    server = uvicorn.Server(uvicorn.Config(None))
    before = signal.getsignal(number)
    with ending_on_signals(server):
        signal.raise_signal(number)
        assert server.should_exit
    assert signal.getsignal(number) is before
