"""Clusters as TF_CONFIG names them, and which devices are taken."""

import json
import socket
import threading

import pytest
import tensorflow as tf

from pipeline.machine import devices
from pipeline.machine.devices import Cluster, check_batch_size, make_strategy
from records.errors import DigitwiseError


def environment(addresses, index=0, kind="worker"):
    return {"TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": {"type": kind, "index": index}})}


def free_address():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_cluster_is_read_from_the_environment():
    assert Cluster.from_environment({}) is None
    cluster = Cluster.from_environment(environment(["a:1", "b:2"], 1))
    assert cluster == Cluster(("a:1", "b:2"), 1)
    assert not cluster.is_chief
    assert cluster.name(0) == "worker 0 (a:1)"


@pytest.mark.parametrize(
    "text, message",
    [
        ("nonsense", "TF_CONFIG cannot be used"),
        ('{"cluster": {}}', "TF_CONFIG cannot be used.*it must look like"),
        (environment(["a"])["TF_CONFIG"], "a is not host:port"),
        (environment(["a:99999"])["TF_CONFIG"], "a:99999 has no port from 1 to 65535"),
        (environment(["a:0"])["TF_CONFIG"], "a:0 has no port from 1 to 65535"),
        (environment(["a:1"], 1)["TF_CONFIG"], "names the task worker 1: it takes a worker from 0 to 0"),
        (environment(["a:1"], 0, "ps")["TF_CONFIG"], "names the task ps 0"),
    ],
)
def test_a_wrong_environment_is_refused(text, message):
    with pytest.raises(DigitwiseError, match=message):
        Cluster.from_environment({"TF_CONFIG": text})


def test_a_peer_that_does_not_answer_is_named():
    present, absent, own = free_address(), free_address(), free_address()
    host, port = present.split(":")
    times = iter([0.0, 5.0, 10.0])
    with socket.create_server((host, int(port))):
        with pytest.raises(DigitwiseError, match=rf"^worker 2 \({absent}\) did not answer worker 0 .*within 10 s"):
            Cluster((own, present, absent), 0).wait_for_peers(10, clock=lambda: next(times), sleep=lambda _: None)


def test_peers_that_wait_for_each_other_all_go_on():
    addresses = tuple(free_address() for _ in range(3))
    ready = threading.Barrier(3)

    def wait(index):
        Cluster(addresses, index).wait_for_peers(60)
        # Whoever has seen all others no longer answers; in a cluster TensorFlow's server does, and here this one.
        host, port = addresses[index].split(":")
        with socket.create_server((host, int(port))):
            ready.wait(60)

    threads = [threading.Thread(target=wait, args=(index,), daemon=True) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not ready.broken


def test_auto_on_a_machine_without_gpus_takes_the_cpu(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setattr(devices, "_found", lambda _: (["/device:CPU:0"], ["/device:CPU:0"]))
    strategy = make_strategy("auto")
    assert isinstance(strategy, tf.distribute.OneDeviceStrategy)
    assert devices.describe(strategy) == "1 replica on CPU:0"


def test_auto_does_not_leave_the_other_workers_alone(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", environment(["a:1", "b:2"])["TF_CONFIG"])
    with pytest.raises(DigitwiseError, match="TF_CONFIG names 2 workers: give --strategy=multi_worker"):
        make_strategy("auto")


def test_multi_worker_needs_a_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(DigitwiseError, match="needs the environment variable TF_CONFIG"):
        make_strategy("multi_worker")


GPUS = ["/device:GPU:0", "/device:GPU:1"]


@pytest.mark.parametrize(
    "asked, chosen",
    [
        ("", GPUS),
        ("1", GPUS[:1]),
        ("GPU:1", GPUS[1:]),
        ("gpu:1, /device:CPU:0", ["/device:GPU:1", "/device:CPU:0"]),
    ],
)
def test_devices_by_count_and_by_name(asked, chosen):
    assert devices._chosen(asked, (GPUS, [*GPUS, "/device:CPU:0"])) == chosen


@pytest.mark.parametrize(
    "asked, message",
    [("3", "--devices=3: there are 2 .GPU:0, GPU:1"), ("TPU:0", "there is no TPU:0, only GPU:0, GPU:1")],
)
def test_devices_that_are_not_there(asked, message):
    with pytest.raises(DigitwiseError, match=message):
        devices._chosen(asked, (GPUS, GPUS))


def test_a_batch_must_be_shared_equally():
    class Three:
        num_replicas_in_sync = 3

    check_batch_size(6, Three)
    with pytest.raises(DigitwiseError, match="--batch_size=7 cannot be shared equally by 3 replicas: use 6 or 9"):
        check_batch_size(7, Three)
    with pytest.raises(DigitwiseError, match="by 3 replicas: use 3$"):
        check_batch_size(2, Three)


def test_who_trains_alone_is_the_chief_whatever_tf_config_says(monkeypatch):
    monkeypatch.setattr(devices, "_found", lambda _: (["/device:CPU:0"], ["/device:CPU:0"]))
    for config in (environment(["a:1", "b:2"], 1)["TF_CONFIG"], '{"cluster": {"chief": ["a:1"]}}'):
        monkeypatch.setenv("TF_CONFIG", config)
        assert devices.is_chief("one")
        assert isinstance(make_strategy("one"), tf.distribute.OneDeviceStrategy)
    monkeypatch.setenv("TF_CONFIG", environment(["a:1", "b:2"], 1)["TF_CONFIG"])
    assert not devices.is_chief("multi_worker")
