"""The label view: whose turn an image is, what is kept, and what the model says about it."""

import io

import pytest

pytest.importorskip("starlette")
pytest.importorskip("httpx")

from PIL import Image
from starlette.testclient import TestClient

from digitwise import Reader
from pipeline.labelling.store import LabelStore
from pipeline.serving.app import Served, build_app
from pipeline.serving.desk import LabelDesk, Progress
from pipeline.serving.guard import Access
from pipeline.serving.limits import RateLimit
from pipeline.serving.model import ServedModel
from pipeline.serving.refusals import Refused
from pipeline.serving.unlabelled import FolderImages, Ordering
from records.errors import DigitwiseError
from records.images.folder import LabeledFolder
from tests.stripes import StripesNetwork, png


@pytest.fixture
def folder(tmp_path):
    """Six images; the model is sure of a and b, less of c to e, and cannot read f."""
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    images = {"a.png": ("111", 255), "b.png": ("222", 250), "c.png": ("333", 40)}
    images |= {"sub/d.png": ("333", 38), "sub/e.png": ("958", 100), ".hidden/g.png": ("777", 0)}
    for name, (code, sure) in images.items():
        (tmp_path / name).write_bytes(png(code, sure))
    (tmp_path / "f.png").write_bytes(b"not an image")
    (tmp_path / "notes.txt").write_text("no image either")
    return tmp_path


def desk_of(folder, network=None, start=True, **given):
    images = FolderImages(folder)
    order = Ordering(images, network)
    if start:
        order.start()
        order.wait()
    return LabelDesk(images, order, **given)


def take(desk, session, *labels):
    """The names of the images that come, each labelled as it does."""
    names = []
    for label in labels:
        card = desk.next(session)
        names.append(card.name)
        desk.add(session, card.number, label)
    return names


def test_the_least_certain_and_most_different_come_first(folder):
    desk = desk_of(folder, StripesNetwork())
    session = desk.open_session()
    first = desk.next(session)
    assert first.name == "sub/d.png" and first.reading.code == "333"
    assert take(desk, session, "333", "958") == ["sub/d.png", "sub/e.png"], "c.png is much like the first"
    assert sorted(take(desk, session, "1", "2", "3")) == ["a.png", "b.png", "c.png"]
    assert desk.next(session) is None
    assert desk.progress(session) == Progress(images=6, labelled=5, unreadable=1, looked_at=6, skipped=0)


def test_it_works_without_a_model(folder):
    desk = desk_of(folder)
    session = desk.open_session()
    names = take(desk, session, *"12345")
    assert sorted(names) == ["a.png", "b.png", "c.png", "sub/d.png", "sub/e.png"]
    assert dict(LabeledFolder(str(folder)).rows()) == dict(zip(names, "12345")), "what a training reads"


def test_labelling_can_begin_before_the_model_has_read_anything(folder):
    desk = desk_of(folder, StripesNetwork(), start=False)
    session = desk.open_session()
    card = desk.next(session)
    assert (card.name, card.reading.code) == ("a.png", "111")
    assert take(desk, session, *"12345") == ["a.png", "b.png", "c.png", "sub/d.png", "sub/e.png"]
    assert desk.progress(session).unreadable == 1


def test_undo_brings_the_image_back_with_its_label(folder):
    desk = desk_of(folder, StripesNetwork())
    session = desk.open_session()
    first, second = take(desk, session, "12", "34")
    card = desk.undo(session)
    assert (card.name, card.label) == (second, "34")
    assert desk.next(session).name == second, "it stays under the cursor"
    assert (desk.undo(session).name, desk.undo(session)) == (first, None)
    assert LabelStore(folder).labels() == {}


def test_two_sessions_see_different_images(folder):
    now = [0.0]
    desk = desk_of(folder, StripesNetwork(), clock=lambda: now[0])
    one, other = desk.open_session(), desk.open_session()
    held = desk.next(one)
    assert desk.next(one) == held
    assert desk.next(other).name != held.name
    now[0] = 700.0
    assert desk.next(other).name != held.name, "its own comes first"
    desk.skip(other, desk.next(other).number)
    assert desk.next(other).name == held.name, "nobody has looked at it for ten minutes"
    desk.add(other, held.number, "1")
    with pytest.raises(Refused, match="has the label '1' already"):
        desk.add(one, held.number, "2")
    assert desk.next(one).name != held.name


def test_skipped_images_come_again_when_asked_for(folder):
    desk = desk_of(folder)
    session = desk.open_session()
    while card := desk.next(session):
        desk.skip(session, card.number)
    assert desk.progress(session).skipped == 5
    desk.unskip(session)
    assert desk.next(session) is not None


def test_labels_of_another_process_count(folder):
    desk = desk_of(folder)
    session = desk.open_session()
    other = LabelStore(folder)
    for name in ("a.png", "b.png", "c.png", "sub/d.png"):
        other.add(name, "1")
    assert desk.next(session).name == "sub/e.png"
    assert desk.progress(session).labelled == 4


def test_an_image_that_the_table_names_in_another_way_has_its_label(folder):
    (folder / "labels.csv").write_text("file,text\n./a.png,111\n./b.png,222\n././c.png,333\nsub//d.png,333\n")
    desk = desk_of(folder)
    session = desk.open_session()
    assert take(desk, session, "9") == ["sub/e.png"]
    assert desk.next(session) is None and desk.progress(session).labelled == 5
    assert len(list(LabeledFolder(str(folder)).rows())) == 5, "a training reads it"


def test_how_often_the_readings_were_right(tmp_path):
    for number in range(25):
        (tmp_path / f"{number:02}.png").write_bytes(png(f"{number:03}"))
    store = LabelStore(tmp_path)
    for number in range(25):
        store.add(f"{number:02}.png", f"{number:03}" if number >= 6 else "999")
    desk = desk_of(tmp_path, StripesNetwork())
    assert [(block.labels, block.share) for block in desk.agreement()] == [(10, 0.4), (20, 1.0)]


@pytest.mark.parametrize(
    "text, said",
    [("  ", "is empty"), ("x" * 65, "has 65 characters"), ("a\x07", "cannot be shown"), ("\ud800", "shown")],
)
def test_labels_that_are_refused(folder, text, said):
    desk = desk_of(folder)
    session = desk.open_session()
    with pytest.raises(Refused, match=said):
        desk.add(session, desk.next(session).number, text)
    assert not (folder / "labels.csv").exists()


def test_labels_are_kept_in_the_form_that_a_training_reads(folder):
    desk = desk_of(folder)
    session = desk.open_session()
    name = take(desk, session, " e\u0301 1 ")[0]
    assert LabelStore(folder).labels() == {name: "\xe9 1"}


def test_folders_that_cannot_be_labelled(tmp_path):
    with pytest.raises(DigitwiseError, match="is not a folder"):
        FolderImages(tmp_path / "nowhere")
    with pytest.raises(DigitwiseError, match=r"there is no \.png"):
        FolderImages(tmp_path)


@pytest.fixture
def client(folder):
    images = FolderImages(folder)
    with ServedModel(Reader(StripesNetwork())) as model:
        order = Ordering(images, model.reader.network)
        order.start()
        order.wait()
        app = build_app(Served(model, desk=LabelDesk(images, order)), Access("127.0.0.1", 8000), RateLimit(0))
        yield TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


def test_a_session_over_http(client, folder):
    session = client.post("/labels/session", json={}).json()["session"]
    answer = client.post("/labels/next", json={"session": session}).json()
    card = answer["card"]
    assert (card["name"], card["reading"]["code"], card["label"]) == ("sub/d.png", "333", None)
    image = client.get(f"/labels/image/{card['number']}")
    assert image.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(image.content)).size == (12, 8)
    asked = {"session": session, "number": card["number"], "text": "4071"}
    answer = client.post("/labels/add", json=asked).json()
    assert answer["progress"]["labelled"] == 1 and answer["card"]["number"] != card["number"]
    assert (folder / "labels.csv").read_text() == "file,text\nsub/d.png,4071\n"
    assert client.post("/labels/undo", json={"session": session}).json()["card"]["label"] == "4071"
    answer = client.post("/labels/undo", json={"session": session}).json()
    assert answer["notice"] == "this session has no label to undo" and answer["card"]["name"] == "sub/d.png"
    assert client.get("/about").json()["labels"] == folder.name


@pytest.mark.parametrize(
    "action, content, status, said",
    [
        ("next", {}, 400, "session must be text"),
        ("next", {"session": "gone"}, 404, "this labelling session is over"),
        ("add", {"session": "S", "number": "0", "text": "1"}, 400, "number must be the number of an image"),
        ("add", {"session": "S", "number": True, "text": "1"}, 400, "number must be the number of an image"),
        ("add", {"session": "S", "number": -1, "text": "1"}, 404, "there is no image -1: there are 6"),
        ("add", {"session": "S", "number": 6, "text": "1"}, 404, "there is no image 6"),
        ("add", {"session": "S", "number": 0}, 400, "text must be text"),
        ("add", {"session": "S", "number": 0, "text": "../x\n"}, 200, ""),
        ("skip", {"session": "S", "number": "../../etc/passwd"}, 400, "number must be"),
        ("add", {"session": "S", "number": 0, "text": "x" * 20_000}, 413, "the body has more than 16,384 bytes"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_the_label_view_refuses(client, action, content, status, said):
    session = client.post("/labels/session", json={}).json()["session"]
    content = content | ({"session": session} if content.get("session") == "S" else {})
    response = client.post(f"/labels/{action}", json=content)
    assert response.status_code == status
    assert said in response.json().get("error", "")


@pytest.mark.parametrize("damage", ['file,text\nc.png,"12\n', "file;text\n", "file,text\na.png,\xe9\n"])
def test_a_table_that_cannot_be_read_is_told_to_every_request(client, folder, damage):
    session = client.post("/labels/session", json={}).json()["session"]
    number = client.post("/labels/next", json={"session": session}).json()["card"]["number"]
    asked = {"session": session, "number": number, "text": "1"}
    assert client.post("/labels/add", json=asked).status_code == 200
    table = folder / "labels.csv"
    table.write_bytes(damage.encode("latin-1"))
    for action in ("session", "next", "add", "skip", "unskip", "undo"):
        response = client.post(f"/labels/{action}", json=asked)
        assert response.status_code == 409, action
        assert response.json()["error"].startswith(str(table))
    assert table.read_bytes() == damage.encode("latin-1")
    table.unlink()
    assert client.post("/labels/next", json={"session": session}).status_code == 200


def test_a_folder_with_a_damaged_table_is_not_served(folder):
    (folder / "labels.csv").write_text("file;text\na.png;1\n")
    with pytest.raises(DigitwiseError, match="labels.csv: its first line must be file,text"):
        desk_of(folder)


@pytest.mark.parametrize("path", ["6", "-1", "..%2fnotes.txt", "a.png", "%D9%A1", "9" * 23, "9" * 5000])
def test_images_are_asked_for_by_number_only(client, path):
    assert client.get(f"/labels/image/{path}").status_code == 404


def test_a_label_takes_json_only(client):
    """A form of another page could be sent without asking; JSON cannot."""
    response = client.post("/labels/session", content=b"{}", headers={"content-type": "text/plain"})
    assert response.status_code == 415
