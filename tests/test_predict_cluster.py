"""--stage=predict --cluster: what is on stdout is that of a run without a cluster, over one that is only made up."""

import contextlib
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image as Picture

from digitwise.metadata import Promise
from digitwise.watch import Reference
from pipeline.cluster import work
from pipeline.cluster.requirements import Requirements
from pipeline.stages import predict, readings
from pipeline.stages.images import Image
from tests.made_up_cluster import MadeUpCluster, engine_on
from tests.test_predict import Told, brightness
from tests.using_fixtures import draw_images, make_checkpoint

PROMISE = Promise(threshold=0.5, max_error=0.01, codes=400, wrong=0)
REFERENCE = Reference.of(np.linspace(0.7, 1, 400), PROMISE.threshold)


@pytest.fixture(scope="module")
def trained(shared_folder):
    return shared_folder("stripes-checkpoint", make_checkpoint)


@pytest.fixture
def clusters(monkeypatch):
    """The clusters that runs with --cluster=auto used, with what they asked of nodes. They answer in reverse order."""
    opened = []

    @contextlib.contextmanager
    def opened_engine(config, folder, inputs, packages):
        requirements = Requirements.of(folder, inputs, packages=packages)
        requirements.proof_path.touch()
        opened.append((MadeUpCluster(2, 1), requirements))
        yield engine_on(opened[-1][0], requirements)
        requirements.withdraw()

    monkeypatch.setattr(readings, "opened_reading_engine", opened_engine)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")  # as a node sets it, but not for other tests
    readings._reader.cache_clear()
    yield opened
    work._unmet.cache_clear()
    readings._reader.cache_clear()


@pytest.mark.parametrize("output_format", ["table", "jsonl", "csv"])
def test_the_same_lines_in_the_same_order(call_main, trained, tmp_path, clusters, output_format):
    # Tests that run at the same time leave their proofs in the shared folder for a while.
    trained = shutil.copytree(trained, tmp_path / "trained", ignore=shutil.ignore_patterns(".cluster-*"))
    draw_images(tmp_path / "images", 700)
    (tmp_path / "images" / "300-cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    arguments = ("--stage=predict", f"--checkpoint={trained}", "--images=images", f"--output_format={output_format}")
    here = call_main(*arguments, "--allow=abc")
    there = call_main(*arguments, "--allow=abc", "--cluster=auto")
    assert here.returncode == there.returncode == predict.UNREAD
    assert here.stdout == there.stdout and len(here.stdout.splitlines()) >= 701
    assert "predict: images/300-cut.png: " in there.stderr
    [(cluster, requirements)] = clusters
    assert cluster.count >= 3  # pieces of 256 images
    assert {"tensorflow", "keras"} <= dict(requirements.versions).keys()
    assert requirements.inputs == (str(tmp_path / "images"),)
    assert not list(trained.glob(".cluster-*"))


def test_records_are_read_too(call_main, trained, tmp_path, clusters):
    arguments = ("--stage=predict", f"--checkpoint={trained}", f"--records={trained / 'records'}")
    assert call_main(*arguments, "--cluster=auto").stdout == call_main(*arguments).stdout


def test_the_watch_sees_all_images_in_their_order(call_main, monkeypatch, tmp_path, clusters):
    monkeypatch.setattr(predict, "open_network", lambda *_: Told(PROMISE, REFERENCE))
    monkeypatch.setattr(readings, "open_network", lambda *_: Told(PROMISE, REFERENCE))
    usual = np.random.default_rng(0).integers(70, 101, 320).tolist()
    brightness(tmp_path / "a", *usual, *[55] * 330)
    arguments = ("--stage=predict", "--images=a", "--output_format=jsonl", f"--workdir={tmp_path}")
    here, there = call_main(*arguments), call_main(*arguments, "--cluster=auto")
    assert here.returncode == there.returncode == predict.SUSPENDED
    assert here.stdout == there.stdout
    assert [line.count('"accepted": true') for line in there.stdout.splitlines()] == [1] * 320 + [0] * 330
    assert "predict: warning: the promise is suspended after" in there.stderr


def test_another_network_on_a_node_ends_the_run(call_main, monkeypatch, tmp_path, clusters):
    monkeypatch.setattr(predict, "open_network", lambda *_: Told(PROMISE))
    monkeypatch.setattr(readings, "open_network", lambda *_: Told())
    brightness(tmp_path / "a", 90)
    result = call_main("--stage=predict", "--images=a", f"--workdir={tmp_path}", "--cluster=auto")
    assert result.returncode == 1
    unwatched, line = result.stderr.splitlines()
    assert unwatched.startswith("predict: warning: fewer than 50 images certified the threshold")
    assert line.startswith("error: its network is another than the one that the command began with: start it again")
    assert line.endswith("(on node node-0)")


def test_networks_of_other_weights_are_told_apart():
    class Surer(Told):
        def run(self, images):
            return super().run(images + 1)

    assert not readings.Known.of(Told()).differs(readings.Known.of(Told()))
    assert readings.Known.of(Told()).differs(readings.Known.of(Surer()))


def test_images_of_a_list_need_the_folder_that_all_are_in(tmp_path):
    from pipeline.stages.images import _folders

    (tmp_path / "a" / "b").mkdir(parents=True)
    paths = [str(tmp_path / "a" / name) for name in ("1.png", "b/2.png", "gone/3.png")]
    assert _folders(paths) == (str(tmp_path / "a"),)
    assert _folders([]) == () and _folders(["/there/is/none.png"]) == ()


def test_pieces_hold_full_batches_in_order():
    images = [Image(str(number), lambda: Picture.new("L", (1, 1))) for number in range(600)]
    pieces = list(readings._pieces(iter(images), 256))
    assert [piece.number for piece in pieces] == [0, 1, 2]
    assert [len(piece.images) for piece in pieces] == [256, 256, 88]
    late = [(piece, ()) for piece in reversed(pieces)]
    assert [piece.number for piece, _ in readings._in_order(late)] == [0, 1, 2]


def test_a_network_in_a_folder_that_cannot_be_written_to(monkeypatch, tmp_path):
    from pipeline.config import RunConfig
    from pipeline.stages.engines import opened_reading_engine
    from records.errors import DigitwiseError

    def refuse(self, *_):
        raise OSError(30, "Read-only file system", str(self))

    monkeypatch.setattr(pathlib.Path, "touch", refuse)
    with (
        pytest.raises(DigitwiseError, match=f"^--cluster=auto: {tmp_path} cannot be written to; a cluster needs that"),
        opened_reading_engine(RunConfig(cluster="auto"), tmp_path, (), ()),
    ):
        pass
