"""A small Ray cluster on this machine: the same bytes as without one, whatever happens to its nodes.

DIGITWISE_LONG=1 python -m pytest tests/test_ray.py    with each fault by itself, with trainings, and in namespaces

What the engine does in each case is in test_cluster.py, over a cluster that is only made up.
"""

import importlib.metadata
import json
import subprocess
import sys
import time

import pytest
from PIL import Image

from tests.conftest import ROOT, long
from tests.ray_fixtures import digests, left_over, namespaces, ray_cluster
from tests.test_distribution import FEW_STEPS, losses, same_to_5_digits
from tests.training_fixtures import assert_same_bits, final_arrays, make_records
from tests.using_fixtures import draw_images, make_checkpoint

pytestmark = pytest.mark.slow
pytest.importorskip("ray", reason="ray is not installed: pip install -e '.[cluster]'")

SETTINGS = ("--stage=generate,records", "--num_images=2000", "--images_per_shard=200")


@pytest.fixture(scope="module")
def running():
    with ray_cluster(2) as (nodes, start):
        yield nodes, start


@pytest.fixture
def cluster(running):
    """(nodes, start) with two nodes, whatever earlier tests did to them."""
    nodes, start = running
    while len(nodes) < 2:
        start().wait()
    return running


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What a run without a cluster writes."""
    folder = tmp_path_factory.mktemp("local")
    command = [sys.executable, str(ROOT / "main.py"), *SETTINGS, "--workdir=w"]
    assert subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0
    return digests(folder / "w")


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def begun(workdir, folders=1):
    """Whether some images are drawn, and more are to come."""
    return len(list(workdir.glob("images/0*"))) >= folders


@long
def test_the_driver_is_killed_and_then_a_node(run_main, start_main, tmp_path, cluster, expected):
    """And a second driver is refused meanwhile."""
    nodes, _ = cluster
    arguments = (*SETTINGS, "--workdir=w", f"--cluster={nodes[0].address}")
    first = start_main(*arguments)
    wait_for(lambda: begun(tmp_path / "w"), first)
    second = run_main(*arguments)
    assert second.returncode == 1 and f"w is in use by process {first.pid} since" in second.stderr
    first.kill()
    first.wait()
    again = start_main(*arguments)
    wait_for(lambda: begun(tmp_path / "w", 3), again)
    nodes.pop().kill()
    _, errors = again.communicate(timeout=240)
    assert again.returncode == 0, errors
    assert digests(tmp_path / "w") == expected
    assert not left_over(tmp_path / "w")


def test_foreign_records_become_the_same_records(run_main, tmp_path, cluster):
    make_records(tmp_path / "theirs", train=90)
    (tmp_path / "theirs" / "manifest.json").unlink()
    theirs = ("--records=theirs", "--image_shape=16x32", "--image_type=uint8", "--images_per_shard=20")
    for workdir, where in (("here", "local"), ("there", cluster[0][0].address)):
        result = run_main("--stage=records", *theirs, f"--workdir={workdir}", f"--cluster={where}")
        assert result.returncode == 0, result.stderr
    here = digests(tmp_path / "here", ["records"])
    assert len(here) > 7 and digests(tmp_path / "there", ["records"]) == here


@long
def test_many_images_are_read_with_the_same_lines(run_main, tmp_path, cluster):
    make_checkpoint(tmp_path / "trained")
    draw_images(tmp_path / "images", 600)
    (tmp_path / "images" / "300-cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    arguments = ("--stage=predict", "--workdir=trained", "--images=images", "--output_format=jsonl")
    here, there = run_main(*arguments), run_main(*arguments, f"--cluster={cluster[0][0].address}")
    assert here.returncode == there.returncode == 2, there.stderr
    assert len(here.stdout.splitlines()) == 601
    assert there.stdout == here.stdout
    assert "predict: images/300-cut.png: " in there.stderr and "Traceback" not in there.stderr
    assert not left_over(tmp_path / "trained")


@long
def test_the_same_bytes_as_on_one_machine(run_main, tmp_path, cluster, expected):
    result = run_main(*SETTINGS, "--workdir=w", f"--cluster={cluster[0][0].address}")
    assert result.returncode == 0, result.stderr
    assert digests(tmp_path / "w") == expected
    assert not left_over(tmp_path / "w")
    again = run_main(*SETTINGS, "--workdir=w")
    assert again.stdout.count("nothing to do, ") == 2


@long
def test_a_piece_that_fails_ends_the_run_with_its_line(run_main, tmp_path, cluster):
    (tmp_path / "own").mkdir()
    for number in range(40):
        Image.new("L", (20, 8), number).save(tmp_path / "own" / f"{number:02d}.png")
    damaged = tmp_path / "own" / "13.png"
    damaged.write_bytes(damaged.read_bytes()[:-30])
    address = cluster[0][0].address
    result = run_main("--stage=records", "--images=own", "--workdir=w", f"--cluster={address}")
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: own/13.png: image cannot be decoded"), result.stderr
    assert "(on node " in lines[0]
    # Shards that other nodes finished meanwhile may wait there for the next run, but no part of one.
    assert [path.name for path in left_over(tmp_path / "w")] in ([], [".records-unfinished"])


@long
def test_a_node_with_another_pillow_is_refused(run_main, tmp_path, cluster):
    nodes, start = cluster
    fake = tmp_path / "fake" / "pillow-0.9.dist-info"
    fake.mkdir(parents=True)
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: pillow\nVersion: 0.9\n")
    other = start(PYTHONPATH=str(tmp_path / "fake")).wait()
    try:
        result = run_main(*SETTINGS, "--workdir=w", f"--cluster={nodes[0].address}")
    finally:
        other.kill()
        nodes.remove(other)
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert "may not take part, because its results could differ: it has pillow 0.9, this machine " in lines[0]
    assert importlib.metadata.version("pillow") in lines[0]
    assert not list((tmp_path / "w").glob("images/0*"))


@long
@pytest.mark.parametrize("harm", ["kill", "freeze"])
def test_a_lost_node_is_made_up_for(start_main, tmp_path, cluster, expected, harm):
    nodes, start = cluster
    victim = start().wait()
    process = start_main(*SETTINGS, "--workdir=w", f"--cluster={nodes[0].address}")
    wait_for(lambda: begun(tmp_path / "w"), process)
    getattr(victim, harm)()
    try:
        _, errors = process.communicate(timeout=240)
    finally:
        victim.thaw()  # wherever it was, what it was doing has been done
        time.sleep(1)
        victim.kill()
        nodes.remove(victim)
    assert process.returncode == 0, errors
    assert digests(tmp_path / "w") == expected
    assert not left_over(tmp_path / "w")


@long
def test_a_signal_ends_the_run_as_it_does_without_a_cluster(start_main, tmp_path, cluster):
    process = start_main(*SETTINGS, "--workdir=w", f"--cluster={cluster[0][0].address}")
    wait_for(lambda: begun(tmp_path / "w"), process)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in errors, errors
    assert not left_over(tmp_path / "w")


@long
def test_a_training_goes_on_with_the_nodes_that_are_left(start_main, tmp_path, cluster):
    nodes, _ = cluster
    make_records(tmp_path / "w" / "records")
    settings = ("--epochs=40", "--batch_size=8", "--precision=float32", "--augmentation=0", "--checkpoint_seconds=0")
    flags = ("--stage=train", *settings, "--peer_seconds=20", "--workdir=w", f"--cluster={nodes[0].address}")
    process = start_main(*flags)
    wait_for(lambda: list((tmp_path / "w").glob("checkpoints/step-*.json")), process)
    nodes.pop().kill()
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    lines = [line for line in output.splitlines() if line.startswith(("train: on ", "cluster: ", "train: continuing"))]
    assert lines[0].startswith("train: on 2 nodes: ")
    assert lines[1].startswith("cluster: lost node ") and "continues from its last checkpoint" in lines[1]
    assert lines[2].startswith("train: on 1 node instead of 2, so its result will not be the same to the last bit: ")
    assert lines[3].startswith("train: continuing from step ")


@long
def test_a_training_whose_lost_node_comes_back_ends_with_the_same_bits(start_main, tmp_path, cluster):
    nodes, start = cluster
    settings = ("--epochs=30", "--batch_size=8", "--precision=float32", "--augmentation=0", "--checkpoint_seconds=0")
    for name in ("whole", "disturbed"):
        make_records(tmp_path / name / "records")
        flags = ("--stage=train", *settings, "--peer_seconds=120", f"--workdir={name}")
        process = start_main(*flags, f"--cluster={nodes[0].address}")
        if name == "disturbed":
            wait_for(lambda: list((tmp_path / "disturbed").glob("checkpoints/step-*.json")), process)
            nodes.pop().kill()
            start().wait()
        output, errors = process.communicate(timeout=400)
        assert process.returncode == 0, errors
        assert output.count("train: on 2 nodes: ") == (2 if name == "disturbed" else 1), output
    assert_same_bits(final_arrays(tmp_path / "disturbed"), final_arrays(tmp_path / "whole"))


@long
def test_a_training_on_two_nodes_has_the_losses_of_one_process(run_main, tmp_path, cluster):
    settings = [f"--{name}={value}" for name, value in FEW_STEPS.items()]
    settings += ["--precision=float32", "--channels=1", "--augmentation=0"]
    for name, where in (("one", "--strategy=one"), ("two", f"--cluster={cluster[0][0].address}")):
        make_records(tmp_path / name / "records")
        result = run_main("--stage=train", *settings, where, f"--workdir={name}")
        assert result.returncode == 0, result.stderr
        assert ("train: on 2 nodes: " in result.stdout) == (name == "two")
    assert same_to_5_digits(losses(tmp_path / "two"), losses(tmp_path / "one"))


@long
def test_each_fault_in_namespaces(capsys, tmp_path):
    """A node killed, cut off, frozen; the driver killed; the head killed: each time the same bytes and nothing left."""
    from benchmarks import cluster_faults

    try:
        with namespaces(1):
            pass
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this system allows no network namespaces ({error})")
    cluster_faults.main(["--images=5000", f"--folder={tmp_path}"])
    found = json.loads(capsys.readouterr().out)
    for name in cluster_faults.TRIALS:
        assert found[name]["code"] == 0 and found[name]["identical"] and found[name]["left"] == [], found[name]
    assert found["head_killed"]["first_code"] == 1
    assert "the head of the cluster is gone: start it" in found["head_killed"]["first_line"]


def test_a_cluster_that_is_not_there(run_main, tmp_path):
    result = run_main(*SETTINGS, "--workdir=w", "--cluster=127.0.0.1:1")
    assert result.returncode == 1
    assert result.stderr.startswith("error: --cluster=127.0.0.1:1: nothing answers there; start one")
