"""The server's routes, limits and guard, without a process of its own."""

import base64
import io
import json
import random
import struct
import zlib

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("httpx")

from PIL import Image
from starlette.testclient import TestClient

from digitwise import Limits, Reader
from digitwise.metadata import Promise
from digitwise.watch import Reference
from pipeline.serving.app import Served, build_app
from pipeline.serving.columns import column_shares
from pipeline.serving.examples import Examples
from pipeline.serving.guard import Access
from pipeline.serving.limits import MAX_BYTES, MAX_IMAGES, RateLimit
from pipeline.serving.model import ServedModel
from pipeline.serving.refusals import Refused
from records.errors import DigitwiseError
from tests.small_records import make_records
from tests.stripes import HEIGHT, WIDTH, StripesNetwork, pixels, png


def b64(data):
    return {"b64": base64.b64encode(data).decode("ascii")}


@pytest.fixture
def serve():
    """serve(network) gives a client of a server that reads with it."""
    models = []

    def start(network=None, looks=None, rate=0.0, access=None, **parts):
        models.append(ServedModel(Reader(network or StripesNetwork()), looks))
        app = build_app(Served(models[-1], **parts), access or Access("127.0.0.1", 8000), RateLimit(rate))
        return TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)

    yield start
    for model in models:
        model.close()


@pytest.fixture
def client(serve):
    return serve()


def test_an_image_file_is_read(client):
    response = client.post("/read", content=png("407"))
    assert response.status_code == 200
    probabilities = [{"character": character, "probability": 1.0} for character in "407"]
    assert response.json() == {
        "file": "",
        "code": "407",
        "confidence": 1.0,
        "characters": probabilities,
        "accepted": None,
    }


def test_several_images_and_what_is_wrong_with_one(client):
    answer = client.post("/read", json={"images": [b64(png("123")), b64(b"text"), b64(png("999"))]}).json()
    assert [reading["code"] for reading in answer["readings"]] == ["123", None, "999"]
    assert answer["readings"][1]["error"] == "neither PNG, JPEG, BMP, GIF nor WEBP"


def test_a_check_that_fails_is_an_error_of_the_image():
    def fails(code):
        raise DigitwiseError(f"the check 'c.py:f' fails for the code {code!r}")

    with ServedModel(Reader(StripesNetwork(), Limits(function=fails))) as model:
        app = build_app(Served(model), Access("127.0.0.1", 8000), RateLimit(0))
        client = TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)
        assert "the check 'c.py:f' fails for the code '407'" in client.post("/read", content=png("407")).text


def test_what_arrives_together_is_one_batch():
    network = StripesNetwork()
    with ServedModel(Reader(network)) as model:
        app = build_app(Served(model), Access("127.0.0.1", 8000), RateLimit(0))
        with TestClient(app, base_url="http://127.0.0.1:8000") as client:
            answer = client.post("/read", json={"images": [b64(png(f"{n:03}")) for n in range(200)]}).json()
    assert [reading["code"] for reading in answer["readings"]] == [f"{n:03}" for n in range(200)]
    assert sum(network.batches) == 200 and max(network.batches) <= 64 and len(network.batches) < 200


def huge_png(width, height):
    """A PNG of so many white pixels, compressed to next to nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes((width // 8 + 1) * height), 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "content, headers, status, said",
    [
        (b"", {}, 400, "the body is empty: send an image file"),
        (b"hello", {}, 422, "neither PNG, JPEG, BMP, GIF nor WEBP"),
        (png("123")[:60], {}, 422, "damaged or cut short"),
        (huge_png(10_000, 10_000), {}, 422, "claims 10000x10000 pixels; more than 16,777,216 are not decoded"),
        (bytes(MAX_BYTES + 1), {}, 413, "the body has more than 8,388,608 bytes"),
        (b"x", {"content-type": "multipart/form-data; boundary=x"}, 415, "forms are not read"),
        (b"{", {"content-type": "application/json"}, 400, "the body is not JSON"),
        (b"[" * 100_000, {"content-type": "application/json"}, 400, "the body is not JSON"),
        (b"[]", {"content-type": "application/json"}, 400, "the body is a list with nothing in it, expected an object"),
        (b"{}", {"content-type": "application/json"}, 400, "images must be a list of images, not missing"),
        (b'{"images": ["/etc/passwd"]}', {"content-type": "application/json"}, 400, "images[0] is text: need"),
        (b'{"images": [{"b64": "*"}]}', {"content-type": "application/json"}, 400, "images[0] is not base64"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(client, content, headers, status, said):
    response = client.post("/read", content=content, headers=headers)
    assert response.status_code == status
    assert said in response.json()["error"]


def test_more_images_than_one_request_may_have(client):
    response = client.post("/read", json={"images": [b64(b"")] * (MAX_IMAGES + 1)})
    assert (response.status_code, response.json()["error"]) == (
        413,
        f"images has {MAX_IMAGES + 1} images; one request may have {MAX_IMAGES}",
    )


def test_paths_and_methods_that_there_are_not(client):
    for method, path, status in [
        ("GET", "/read", 405),
        ("GET", "/etc/passwd", 404),
        ("GET", "/..%2f..%2fetc/passwd", 404),
        ("GET", "/labels/next", 404),
        ("POST", "/health", 405),
    ]:
        response = client.request(method, path)
        assert response.status_code == status and response.json()["error"], path


def test_the_form_of_tensorflow_serving(client):
    rows = {"instances": [b64(png("407")), {"files": b64(png("123", sure=0))}]}
    answer = client.post("/v1/models/digitwise:predict", json=rows)
    assert answer.status_code == 200
    first, second = answer.json()["predictions"]
    assert first == {"text": "407", "confidence": 1.0, "probabilities": [1.0, 1.0, 1.0], "accepted": False}
    assert second["text"] == "123" and second["confidence"] == pytest.approx(0.001)
    columns = {"signature_name": "pixels", "inputs": {"images": [pixels("407")[..., None].tolist()]}}
    answer = client.post("/v1/models/digitwise/versions/1:predict", json=columns)
    assert answer.json()["outputs"]["text"] == ["407"]


def test_its_state_and_signatures(client):
    state = client.get("/v1/models/digitwise").json()["model_version_status"]
    assert state[0]["state"] == "AVAILABLE"
    definitions = client.get("/v1/models/digitwise/metadata").json()["metadata"]["signature_def"]["signature_def"]
    sizes = definitions["pixels"]["inputs"]["images"]["tensor_shape"]["dim"]
    assert [size["size"] for size in sizes] == ["-1", str(HEIGHT), str(WIDTH), "1"]
    assert set(definitions["serving_default"]["outputs"]) == {"text", "confidence", "probabilities", "accepted"}


@pytest.mark.parametrize(
    "name, content, status, said",
    [
        ("other", {"instances": []}, 404, "there is no model 'other'"),
        ("digitwise", {}, 400, "the body has no images: need either instances or inputs"),
        ("digitwise", {"instances": [], "inputs": []}, 400, "the body has instances and inputs"),
        ("digitwise", {"instances": [1]}, 400, "instances[0] is a number: need"),
        ("digitwise", {"signature_name": "x", "instances": [1]}, 400, "must be one of serving_default, pixels"),
        ("digitwise", {"signature_name": "pixels", "instances": [[[1, 2]]]}, 400, "instances[0] is int64 [1, 2]: need"),
        ("digitwise", {"signature_name": "pixels", "instances": [[[1], [2, 3]]]}, 400, "rows of different lengths"),
        ("digitwise", {"signature_name": "pixels", "instances": [[["a"]]]}, 400, "need whole numbers from 0 to 255"),
        ("digitwise", {"instances": [b64(b"text")]}, 400, "image 0: neither PNG"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_predictions_that_are_refused(client, name, content, status, said):
    response = client.post(f"/v1/models/{name}:predict", json=content)
    assert response.status_code == status
    assert said in response.json()["error"]


def test_pages_load_nothing_from_elsewhere(client):
    for path in ("/", "/labels", "/page.css", "/page.js", "/read.js", "/labels.js"):
        response = client.get(path)
        assert response.status_code == 200
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;")
        assert "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        without_namespace = response.text.replace('"http://www.w3.org/2000/svg"', "")
        assert "//" not in without_namespace.replace("// ", ""), path
        assert " style=" not in response.text and "onclick" not in response.text


def test_health_and_metrics(client):
    assert client.get("/health").json() == {"status": "ok"}
    client.post("/read", content=png("123"))
    client.post("/read", content=b"text")
    client.get("/nowhere")
    lines = client.get("/metrics").text.splitlines()
    assert 'digitwise_requests_total{route="/read",status="200"} 1' in lines
    assert 'digitwise_requests_total{route="/read",status="422"} 1' in lines
    assert 'digitwise_requests_total{route="other",status="404"} 1' in lines
    assert 'digitwise_images_total{result="undecided"} 1' in lines
    assert 'digitwise_images_total{result="unreadable"} 1' in lines
    assert "digitwise_request_seconds_count 4" in lines
    assert "digitwise_images_waiting 0" in lines
    assert any(line.startswith("process_resident_memory_bytes ") and float(line.split()[1]) > 1e7 for line in lines)


@pytest.mark.parametrize(
    "host, status",
    [
        ("127.0.0.1:8000", 200),
        ("localhost:8000", 200),
        ("LOCALHOST", 200),
        ("[::1]:8000", 200),
        ("192.168.0.7:8000", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:8000", 421),
        ("", 421),
    ],
)
def test_names_that_are_not_this_machines_are_refused(client, host, status):
    response = client.get("/about", headers={"host": host})
    assert response.status_code == status
    if status == 421:
        assert "use its IP address, or localhost" in response.json()["error"]


def test_pages_of_other_servers_may_not_send_anything(client):
    other = client.post("/read", content=png("123"), headers={"origin": "http://evil.example"})
    assert (other.status_code, other.json()["error"]) == (
        403,
        "the page 'http://evil.example' may not send requests to this server",
    )
    assert client.post("/read", content=png("123"), headers={"origin": "null"}).status_code == 403
    own = client.post("/read", content=png("123"), headers={"origin": "http://127.0.0.1:8000"})
    assert own.status_code == 200


def test_the_token_is_asked_for(serve):
    client = serve(access=Access("0.0.0.0", 8000, "a-long-secret-token"))
    refused = client.post("/read", content=png("123"))
    assert refused.status_code == 401 and "Authorization: Bearer TOKEN" in refused.json()["error"]
    assert client.get("/metrics").status_code == client.get("/").status_code == 401
    assert client.get("/?token=wrong").status_code == 401
    assert client.get("/health").status_code == 200
    right = {"authorization": "Bearer a-long-secret-token"}
    assert client.post("/read", content=png("123"), headers=right).json()["code"] == "123"
    assert client.get("/about", headers={"authorization": "Bearer a-long-secret-tokem"}).status_code == 401


def test_the_token_in_the_address_becomes_a_cookie(serve):
    client = serve(access=Access("0.0.0.0", 8000, "a-long-secret-token"))
    response = client.get("http://127.0.0.1:8000//labels?token=a-long-secret-token", follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (303, "/labels")
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert client.get("/about").status_code == 200


def test_who_asks_too_often_waits(serve):
    now = [0.0]
    rate = RateLimit(2, clock=lambda: now[0])
    for client in ("a", "a", "b"):
        rate.take(client)
    with pytest.raises(Refused, match="more than 2 requests a second came from a"):
        rate.take("a")
    rate.take("b")
    now[0] = 0.5
    rate.take("a")
    with pytest.raises(Refused):
        rate.take("a")
    client = serve(rate=1)
    statuses = [client.get("/health").status_code for _ in range(5)]
    assert statuses[0] == 200 and statuses[-1] == 429
    assert client.get("/health").headers["retry-after"] == "1"


def promise(threshold):
    return Promise(threshold, 0.001, 3000, 0)


def test_accepted_is_what_reaches_the_threshold(serve):
    client = serve(StripesNetwork(promise(0.5)))
    assert client.post("/read", content=png("123")).json()["accepted"] is True
    assert client.post("/read", content=png("123", sure=100)).json()["accepted"] is False
    assert client.get("/about").json()["max_error"] == 0.001


def test_images_of_another_kind_suspend_the_promise(serve):
    reference = Reference.of(np.linspace(0.9, 1, 1000), 0.5)
    client = serve(StripesNetwork(promise(0.5), reference))
    for _ in range(60):
        answer = client.post("/read", content=png("123", sure=215)).json()
    assert answer["accepted"] is False and answer["confidence"] > 0.5
    assert "the promise is suspended after" in answer["promise_suspended"]
    assert "digitwise_promise_suspended 1" in client.get("/metrics").text
    assert client.post("/promise/resume").status_code == 200
    answer = client.post("/read", content=png("123")).json()
    assert answer["accepted"] is True and "promise_suspended" not in answer


def test_the_page_sees_what_the_network_saw_and_where(serve):
    def looks(images):
        assert images.shape == (1, HEIGHT, WIDTH, 1)
        return np.eye(3, dtype=np.float32)[None]

    answer = serve(looks=looks).post("/read?show=1", content=png("407")).json()
    assert answer["looked"] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    seen = Image.open(io.BytesIO(base64.b64decode(answer["picture"].removeprefix("data:image/png;base64,"))))
    np.testing.assert_array_equal(np.asarray(seen), pixels("407"))
    assert serve().post("/read?show=1", content=png("407")).json()["looked"] is None


@pytest.mark.parametrize("content, said", [(b"", "the file is empty"), (b"text", "neither PNG")])
def test_the_page_gets_an_answer_for_what_is_no_image(client, content, said):
    response = client.post("/read?show=1", content=content)
    assert response.status_code == 200
    answer = response.json()
    assert answer["code"] is None and said in answer["error"] and answer["picture"] == ""


def test_examples_come_with_their_labels(serve, tmp_path):
    examples = Examples(make_records(tmp_path / "records"), "test")
    assert len(examples.take(3, seed=1)) == 3
    assert examples.take(3, seed=1) == examples.take(3, seed=1)
    answer = serve(examples=examples).get("/examples").json()
    assert answer["split"] == "test"
    assert all(len(reading["label"]) > 1 and reading["code"] for reading in answer["readings"])


def test_where_ctc_found_its_characters():
    """Against all ways to spread the code over the columns, by hand."""
    rng = np.random.default_rng(3)
    columns = rng.dirichlet(np.ones(3), 5)  # a, b, blank
    expected, total = np.zeros((3, 5)), 0.0
    for ways in np.ndindex(*[3] * 5):
        places, code, before = [], [], 2
        for column, shown in enumerate(ways):
            if shown != 2 and shown != before:
                code.append(shown)
            if shown != 2:
                places.append((len(code) - 1, column))
            before = shown
        if code == [0, 0, 1]:
            probability = np.prod(columns[np.arange(5), ways])
            total += probability
            for place in places:
                expected[place] += probability
    np.testing.assert_allclose(column_shares(np.log(columns), [0, 0, 1]), expected / total, rtol=1e-9)


def malformed(rng):
    """(method, path, body, headers): broken in one of many ways."""
    paths = [
        "/read",
        "/read?show=1",
        "/v1/models/digitwise:predict",
        "/promise/%00",
        "/examples",
        "/%2e%2e/",
        "/labels",
    ]
    bodies = [
        b"",
        rng.randbytes(rng.randrange(2000)),
        png("123")[: rng.randrange(60)],
        png("123")[:20] + rng.randbytes(200),
        b'{"images": ' * rng.randrange(2000),
        json.dumps({"images": [rng.choice([None, 1, "x", {"b64": "?"}, {"b64": 3}, []])]}).encode(),
        json.dumps({"instances": rng.choice([None, [], [[]], {"b64": ""}, [1e999], [{"files": 7}]])}).encode(),
        b'{"signature_name": "pixels", "instances": [[[[1e400]]]]}',
        b'{"signature_name": "\\ud800", "instances": [1]}',
        b"GIF89a" + rng.randbytes(50),
        b"RIFF\xff\xff\xff\xffWEBPVP8 " + rng.randbytes(50),
    ]
    types = ["application/json", "image/png", "multipart/form-data", "application/json; charset=utf-16", ""]
    headers = {"content-type": rng.choice(types)}
    if rng.random() < 0.1:
        headers["host"] = rng.choice(["evil", "[", "::::", "\xff", "127.0.0.1:99999999"])
    if rng.random() < 0.1:
        headers["origin"] = rng.choice(["null", "http://[", "x" * 5000])
    if rng.random() < 0.1:
        headers["cookie"] = rng.choice(["=;;=", "digitwise_8000=\x01", "a=" + "b" * 4000])
    return rng.choice(["POST", "POST", "PUT", "DELETE"]), rng.choice(paths), rng.choice(bodies), headers


def test_malformed_requests_are_all_refused(client):
    rng = random.Random(7)
    for _ in range(200):
        method, path, body, headers = malformed(rng)
        encoded = {name: value.encode("latin-1") for name, value in headers.items()}
        response = client.request(method, path, content=body, headers=encoded)
        answer = response.json()
        assert answer["error"], (response, method, path, body, headers)
        assert 400 <= response.status_code < 500 or (path == "/read?show=1" and answer["code"] is None)
    assert client.post("/read", content=png("123")).json()["code"] == "123"
