"""The engine of a cluster, over a cluster that is only made up: what a real one does is in test_ray.py."""

import dataclasses
import importlib.metadata
import os
import pathlib
import pickle
import subprocess
import sys

import pytest

from pipeline.cluster import work
from pipeline.cluster.nodes import Nodes
from pipeline.cluster.ray_cluster import LostWork, Node
from pipeline.cluster.requirements import PACKAGES, Requirements, copy_code, remove_proofs
from pipeline.cluster.training import Request, shared_equally, train_on_nodes
from pipeline.cluster.work import Order, carry_out
from pipeline.config import ForeignConfig
from pipeline.conversion.convert import convert
from pipeline.machine.devices import LostPeers
from pipeline.values import SettingError, check_cluster
from pipeline.workdir import Workdir
from records.errors import DigitwiseError, UnusableImages
from tests.conftest import ROOT
from tests.made_up_cluster import Clock, MadeUpCluster, engine_on
from tests.training_fixtures import make_records


@pytest.fixture
def requirements(tmp_path):
    found = Requirements.of(tmp_path)
    found.proof_path.touch()
    return found


@pytest.fixture(autouse=True)
def checks_again():
    yield
    work._unmet.cache_clear()


def double(number):
    return 2 * number


def fail(number):
    raise DigitwiseError(f"piece {number} is damaged")


def refuse(number):
    raise UnusableImages([(f"{number}.png", f"{number}.png is empty")])


def break_down(number):
    raise ZeroDivisionError("a bug")


def test_every_piece_is_done_once_and_few_wait(requirements):
    cluster = MadeUpCluster(1, 2)
    engine = engine_on(cluster, requirements)
    assert engine.place == " on 2 nodes"
    assert sorted(engine.run_pieces(double, iter(range(100)))) == [(n, 2 * n) for n in range(100)]
    assert cluster.most == 6


def test_workers_limits_the_pieces_at_one_time(requirements):
    cluster = MadeUpCluster(16)
    list(engine_on(cluster, requirements, workers=3).run_pieces(double, range(20)))
    assert cluster.most == 3


def test_a_piece_that_fails_ends_the_run_with_its_line(requirements):
    cluster = MadeUpCluster(1)
    with pytest.raises(DigitwiseError, match=r"^piece 1 is damaged \(on node node-0\)$"):
        list(engine_on(cluster, requirements).run_pieces(fail, range(9)))
    assert [outcome.unmet for outcome in cluster.left] == [("the run has ended",)]


def test_images_that_cannot_be_stored_arrive_as_such(requirements):
    with pytest.raises(UnusableImages) as caught:
        list(engine_on(MadeUpCluster(1), requirements).run_pieces(refuse, [1]))
    assert caught.value.faults == (("1.png", "1.png is empty (on node node-0)"),)


def test_a_mistake_of_ours_shows_where_it_was_made(requirements):
    with pytest.raises(ZeroDivisionError, match="a bug") as caught:
        list(engine_on(MadeUpCluster(1), requirements).run_pieces(break_down, [0]))
    assert "in break_down" in caught.value.__notes__[0]


def test_pieces_that_nobody_wants_are_not_begun(requirements):
    cluster = MadeUpCluster(2)
    results = engine_on(cluster, requirements).run_pieces(double, range(20))
    next(results)
    results.close()
    assert [outcome.unmet for outcome in cluster.left] == [("the run has ended",)] * 3


def test_pieces_of_a_dead_node_are_done_on_another(requirements, capsys):
    cluster = MadeUpCluster(1, 1)
    results = engine_on(cluster, requirements).run_pieces(double, range(50))
    found = [next(results)]
    cluster.lost = {"1"}
    found += results
    assert sorted(found) == [(n, 2 * n) for n in range(50)]
    assert capsys.readouterr().out.count("lost a worker process on node node-1") == 1


def test_pieces_of_a_silent_node_are_done_on_another_and_count_once(requirements, capsys):
    cluster = MadeUpCluster(1, 1)
    results = engine_on(cluster, requirements).run_pieces(double, range(80))
    found = [next(results) for _ in range(10)]
    cluster.silent = {"1"}
    found += [next(results) for _ in range(60)]
    assert capsys.readouterr().out == "cluster: lost node node-1; its pieces are done elsewhere\n"
    cluster.silent = set()  # it was frozen only, and what it was doing is finished now
    found += results
    assert sorted(found) == [(n, 2 * n) for n in range(80)]


def test_work_waits_for_nodes_that_are_all_silent(requirements, capsys):
    cluster = MadeUpCluster(1)
    engine = engine_on(cluster, requirements)
    cluster.silent, wait = {"0"}, cluster.wait
    waits = []

    def answers_later(tickets, seconds):
        waits.append(seconds)
        if len(waits) == 200:
            cluster.silent = set()
        return wait(tickets, seconds)

    cluster.wait = answers_later
    while engine.nodes.usable:
        engine.nodes.look()
    assert sorted(engine.run_pieces(double, range(9))) == [(n, 2 * n) for n in range(9)]
    assert capsys.readouterr().out.endswith("cluster: node node-0 answers again\n")


def test_a_piece_that_always_kills_its_process_ends_the_run(requirements):
    cluster = MadeUpCluster(1)
    engine = engine_on(cluster, requirements)
    outcome = cluster.outcome

    def dies(ticket):
        if cluster.calls[ticket][1].call:
            raise LostWork("lost")
        return outcome(ticket)

    cluster.outcome = dies
    with pytest.raises(DigitwiseError, match="process of one piece died 4 times, the last time on node node-0"):
        list(engine.run_pieces(double, [1]))


def test_nodes_like_this_machine_may_take_part(requirements, capsys):
    engine_on(MadeUpCluster(1, 1), requirements)
    assert capsys.readouterr().out == ""


def test_a_node_with_another_pillow_is_refused_by_name(requirements):
    versions = tuple((name, "0.9" if name == "pillow" else version) for name, version in requirements.versions)
    other = dataclasses.replace(requirements, versions=versions)
    here = importlib.metadata.version("pillow")
    refusal = f"^node node-0 may not take part.*it has pillow {here}, this machine 0.9"
    with pytest.raises(DigitwiseError, match=refusal):
        engine_on(MadeUpCluster(1), other)


def test_a_node_that_joins_late_is_checked_too(requirements, capsys):
    cluster, clock = MadeUpCluster(1), Clock()
    nodes = Nodes(cluster, requirements, clock)
    nodes.check()
    cluster.all.append(Node("9", "late", "10.0.0.9", 4))
    requirements.proof_path.unlink()
    work._unmet.cache_clear()
    nodes._states[cluster.all[0]].is_refused = True  # the first one is no longer asked
    clock.now += 5
    nodes.look()
    assert "cluster: node late may not take part" in capsys.readouterr().out
    assert cluster.all[1] not in nodes.usable


def test_a_node_that_does_not_answer_is_left_out(requirements, capsys):
    cluster = MadeUpCluster(1, 1)
    cluster.silent = {"1"}
    assert engine_on(cluster, requirements).place == " on 1 node"
    assert capsys.readouterr().out == "cluster: node node-1 does not answer; the work begins without it\n"


def test_a_cluster_without_cpus_is_refused(requirements):
    with pytest.raises(DigitwiseError, match="none of the 2 nodes of the cluster has a CPU to offer"):
        engine_on(MadeUpCluster(0, 0), requirements)


def test_what_a_node_may_lack(requirements, tmp_path):
    font = tmp_path / "a.ttf"
    font.write_bytes(b"a")
    asked = Requirements.of(tmp_path, inputs=[str(tmp_path)], fonts=[str(font)], packages=["tensorflow"])
    assert "tensorflow" in dict(asked.versions)
    assert asked.unmet() == [f"it does not see {tmp_path}, which must be on a file system that all nodes share"]
    asked.proof_path.touch()
    assert asked.unmet() == []
    font.write_bytes(b"b")
    assert asked.unmet() == [f"its font {font} is another"]
    font.unlink()
    assert asked.unmet() == [f"it does not have the font {font}"]
    other = dataclasses.replace(asked, fonts=(), inputs=(str(tmp_path / "no"),), code="another")
    assert other.unmet() == [f"it does not see {tmp_path / 'no'}", "its code of digitwise is another"]
    remove_proofs(tmp_path)
    assert not asked.proof_path.exists() and not requirements.proof_path.exists()


def test_the_code_that_nodes_run_is_all_of_it(tmp_path):
    copy_code(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(PACKAGES)
    assert (tmp_path / "pipeline" / "cluster" / "work.py").exists()
    assert not list(tmp_path.rglob("__pycache__"))


def test_an_order_without_a_call_only_checks(requirements):
    outcome = carry_out(Order(requirements))
    assert outcome.unmet == () and outcome.error is None and outcome.result == b""


def test_nodes_that_come_and_go_are_told(requirements, capsys):
    cluster, clock = MadeUpCluster(1, 1), Clock()
    nodes = Nodes(cluster, requirements, clock)
    nodes.check()
    gone = cluster.all.pop()
    assert nodes.look() == []  # too early to look
    clock.now += 5
    assert nodes.look() == [gone]
    cluster.all.append(gone)
    clock.now += 5
    assert nodes.look() == []
    assert capsys.readouterr().out == (
        "cluster: lost node node-1; its pieces are done elsewhere\ncluster: node node-1 joined\n"
    )
    assert nodes.usable == cluster.all


def test_a_head_that_is_gone_ends_the_run(requirements):
    cluster, clock = MadeUpCluster(1), Clock()
    nodes = Nodes(cluster, requirements, clock)
    nodes.check()
    cluster.is_reachable = False
    began = clock.now
    with pytest.raises(DigitwiseError, match="the head of the cluster is gone: start it, then run the same command"):
        for _ in range(10):
            clock.now += 5
            nodes.look()
    assert 20 <= clock.now - began < 25


@pytest.mark.parametrize("value", ["local", "auto", "ray://head:10001", "10.0.0.1:6379", "[::1]:6379"])
def test_clusters_that_can_be_named(value):
    check_cluster("--cluster", value)


@pytest.mark.parametrize("value", ["", "ray", "ray://head", "spark://head:7077", "a b:1"])
def test_clusters_that_cannot_be_named(value):
    with pytest.raises(SettingError, match="^--cluster=.*: expected local, auto, ray://HOST:PORT or HOST:PORT$"):
        check_cluster("--cluster", value)


def test_without_ray_the_remedy_is_told(call_main, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    result = call_main("--stage=generate", "--num_images=5", "--workdir=w", "--cluster=auto")
    assert result.returncode == 1
    assert result.stderr == "error: --cluster needs the package ray: pip install -e '.[cluster]'\n"


def node(number, gpus=0):
    return Node(str(number), f"node-{number}", f"10.0.0.{number}", 1, gpus)


@pytest.mark.parametrize(
    "nodes, batch_size, count",
    [
        ([node(0), node(1), node(2)], 6, 3),
        ([node(0), node(1), node(2)], 64, 2),
        ([node(0), node(1)], 7, 1),
        ([node(0, 2), node(1, 2)], 8, 2),
        ([node(0, 2), node(1, 2)], 6, 1),
        ([node(0, 2), node(1, 1)], 6, 1),  # replicas would have unequal shares
        ([], 8, 0),
    ],
)
def test_nodes_that_share_a_batch_equally(nodes, batch_size, count):
    assert shared_equally(nodes, batch_size) == nodes[:count]


ENDS = {}  # what workers do, by the number of the attempt
WORKERS = []  # (addresses, index) of each that ran


def train_here(place):
    WORKERS.append((len(place.addresses), place.index))
    attempt = sum(index == 0 for _, index in WORKERS)
    if attempt in ENDS:
        raise ENDS[attempt]


@pytest.fixture
def train(requirements):
    ENDS.clear()
    WORKERS.clear()

    def run(*cpus, progress=lambda: len(WORKERS)):
        engine = engine_on(MadeUpCluster(*cpus), requirements)
        train_on_nodes(engine, Request(train_here, 8, 0.0, progress))

    return run


def test_a_training_has_a_worker_on_each_node(train, capsys):
    train(1, 1)
    assert sorted(WORKERS) == [(2, 0), (2, 1)]
    assert capsys.readouterr().out == "train: on 2 nodes: node-0, node-1\n"


def test_a_lost_worker_leads_to_another_attempt(train, capsys):
    ENDS[1] = LostPeers("worker 0 lost worker 1")
    train(1)
    assert len(WORKERS) == 2
    assert "worker 0 lost worker 1; the training continues from its last checkpoint" in capsys.readouterr().out


def test_attempts_without_a_new_checkpoint_come_to_an_end(train):
    ENDS.update(dict.fromkeys(range(1, 9), LostPeers("worker 0 lost worker 1")))
    with pytest.raises(DigitwiseError, match="^3 attempts ended without a new checkpoint, the last one so: worker 0"):
        train(1, progress=lambda: 0)
    assert len(WORKERS) == 3


def test_a_worker_of_an_attempt_that_is_over_ends(tmp_path):
    """As one that was frozen while the others began another attempt."""
    code = (
        "import sys, time\nfrom pipeline.cluster.training import _Marked\n"
        "_Marked(lambda place: time.sleep(60), sys.argv[1])(None)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "no")]
    assert subprocess.run(command, cwd=ROOT, timeout=50, check=False).returncode == 1


def test_an_error_that_no_attempt_cures_ends_the_training(train):
    ENDS[1] = DigitwiseError("the loss is not finite")
    with pytest.raises(DigitwiseError, match=r"^the loss is not finite \(on node node-0\)$"):
        train(1)
    assert len(WORKERS) == 1


SBATCH = """#!/bin/sh
for argument in "$@"; do
    case $argument in
        --array=0-*) last=${argument#--array=0-} ;;
        --wrap=*) command=${argument#--wrap=} ;;
    esac
done
for number in $(seq 0 $last); do SLURM_ARRAY_TASK_ID=$number sh -c "$command" || exit 1; done
"""


def test_the_engine_of_the_guide_runs_shards_in_a_queue(tmp_path, workdir, make_config, monkeypatch):
    """The example of docs/cluster.md, with an sbatch that runs its jobs one after the other."""
    guide = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    code = guide.split("<!-- batch queue -->\n```python\n")[1].split("```")[0]
    names = {"pathlib": pathlib, "pickle": pickle, "subprocess": subprocess, "sys": sys}
    exec(code, names)
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(SBATCH)
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sbatch.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "jobs").mkdir()
    config = make_config(40, source="synthetic", images_per_shard=20)
    convert(config, workdir, engine=names["QueueEngine"](tmp_path / "jobs"))
    here = Workdir(tmp_path / "here")
    here.create()
    convert(config, here)
    for path in here.records.iterdir():
        assert path.read_bytes() == (workdir.records / path.name).read_bytes()


def test_foreign_records_become_the_same_records_on_nodes(tmp_path, workdir, make_config, requirements):
    """Each node reads single records, so it finds them by their place in a file."""
    make_records(tmp_path / "theirs", train=90)
    (tmp_path / "theirs" / "manifest.json").unlink()
    config = make_config(images_per_shard=20)
    theirs = ForeignConfig(records=(str(tmp_path / "theirs"),), image_shape=(16, 32), image_type="uint8")
    config = dataclasses.replace(config, foreign=theirs)
    here = Workdir(tmp_path / "here")
    here.create()
    convert(config, here)
    cluster = MadeUpCluster(1, 2)
    convert(config, workdir, engine=engine_on(cluster, requirements))
    shards = sorted(path.name for path in here.records.iterdir())
    assert len(shards) > 7 and cluster.count > 7
    assert shards == sorted(path.name for path in workdir.records.iterdir())
    for name in shards:
        assert (here.records / name).read_bytes() == (workdir.records / name).read_bytes()
