"""Which devices a run uses, and how their replicas work together.

    cluster = Cluster.from_environment()          # None where TF_CONFIG is not set
    strategy = make_strategy("auto")
    with strategy.scope():
        ...

TensorFlow is imported only where it is used, so that a cluster can be checked before.
"""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Self

from records.errors import DigitwiseError, counted

if TYPE_CHECKING:
    import tensorflow as tf

# For one connection: enough across a network, and a host that is off does not hold up the others for long.
_PROBE_SECONDS = 2.0
_PAUSE_SECONDS = 0.2
_LAST_PORT = 65_535
# As Linux names them. Without them bfloat16 is computed by way of float32 and takes 3 to 5 times as long.
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of one training, as TF_CONFIG names them, and which of them this process is."""

    addresses: tuple[str, ...]
    index: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self | None:
        text = environment.get("TF_CONFIG", "")
        if not text:
            return None
        example = '{"cluster": {"worker": ["host0:port", "host1:port"]}, "task": {"type": "worker", "index": 0}}'
        try:
            content = json.loads(text)
            addresses = tuple(content["cluster"]["worker"])
            kind, index = content["task"]["type"], int(content["task"]["index"])
            for address in addresses:
                _host_and_port(address)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DigitwiseError(f"TF_CONFIG cannot be used ({error!r}): it must look like {example}") from None
        # Keras 3 supports no parameter servers, and TensorFlow's separate chief and evaluator are not needed here.
        if kind != "worker" or not 0 <= index < len(addresses):
            raise DigitwiseError(
                f"TF_CONFIG names the task {kind} {index}: it takes a worker from 0 to {len(addresses) - 1}; "
                "worker 0 is the chief, and there are no other kinds"
            )
        return cls(addresses, index)

    def to_json(self) -> str:
        """What TF_CONFIG holds."""
        return json.dumps({"cluster": {"worker": self.addresses}, "task": {"type": "worker", "index": self.index}})

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    def name(self, index: int) -> str:
        return f"worker {index} ({self.addresses[index]})"

    def silent_peers(self) -> list[str]:
        """The names of the other workers that no connection can be made to now."""
        others = [i for i in range(len(self.addresses)) if i != self.index]
        return [self.name(i) for i in others if not _answers(self.addresses[i], _PROBE_SECONDS)]

    def wait_for_peers(
        self,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Returns when every peer answers; raises after `seconds`, where TensorFlow would wait half an hour in silence.

        While it waits, this worker answers too; afterwards its TensorFlow server does, at the same port.
        """
        began = clock()
        with _answering(self.addresses[self.index]):
            while silent := self.silent_peers():
                if clock() - began >= seconds:
                    raise LostPeers(
                        f"{', '.join(silent)} did not answer {self.name(self.index)} within {seconds:g} s: start all "
                        "workers of TF_CONFIG, or give them more time with --peer_seconds"
                    )
                sleep(_PAUSE_SECONDS)


class LostPeers(DigitwiseError):
    """Other workers of a training have gone; a restart continues."""


def is_chief(strategy: str) -> bool:
    """Whether this process writes what a run leaves behind: all but the later workers of a cluster do."""
    if strategy != "multi_worker":
        return True
    cluster = Cluster.from_environment()
    return cluster is None or cluster.is_chief


def make_strategy(
    strategy: str = "auto", devices: str = "", logical_devices: int = 0, peer_seconds: float = 60
) -> "tf.distribute.Strategy":
    """The tf.distribute.Strategy for `strategy`; `devices` is a count, or names with commas between."""
    import tensorflow as tf

    cluster = Cluster.from_environment() if strategy in ("auto", "multi_worker") else None
    if strategy == "multi_worker":
        return _multi_worker(cluster, logical_devices, peer_seconds)
    if strategy == "auto" and cluster is not None and len(cluster.addresses) > 1:
        raise DigitwiseError(
            f"TF_CONFIG names {len(cluster.addresses)} workers: give --strategy=multi_worker to train on all of them, "
            "or --strategy=one to use this one alone"
        )
    _set_up(logical_devices)
    names = _chosen(devices, _found(tf.config.list_logical_devices()))
    if strategy == "one":
        names = names[:1]
    # A mirrored strategy with one replica would do the same, with more bookkeeping.
    if len(names) == 1 and strategy != "mirrored":
        return tf.distribute.OneDeviceStrategy(names[0])
    return tf.distribute.MirroredStrategy(names, cross_device_ops=_cross_device_ops(names))


def describe(strategy: "tf.distribute.Strategy") -> str:
    """`2 replicas on CPU:0 and CPU:1`, for people."""
    names = sorted({name.split("/device:")[-1] for name in strategy.extended.worker_devices})
    where = " and ".join(names)
    if is_multi_worker(strategy):
        cluster = Cluster.from_environment()
        assert cluster is not None, "a strategy of several workers is made from a cluster"
        where += f" of each of {len(cluster.addresses)} workers"
    count = strategy.num_replicas_in_sync
    return f"{counted(count, 'replica')} on {where}"


def fast_precision() -> str:
    """bfloat16 where all devices in sight calculate with it by themselves, else float32, which is right everywhere."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "bfloat16" if _BFLOAT16_FLAGS & _cpu_flags() else "float32"
    capabilities = (tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) for gpu in gpus)
    # Ampere is the first of NVIDIA's generations with bfloat16; the slowest GPU of a mirrored training sets the pace.
    return "bfloat16" if min(capabilities) >= (8, 0) else "float32"


def is_multi_worker(strategy: "tf.distribute.Strategy") -> bool:
    import tensorflow as tf

    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def gather(strategy: "tf.distribute.Strategy", values: "tf.Tensor") -> "tf.Tensor":
    """What each replica has, one after the other, on every worker."""
    import tensorflow as tf

    if strategy.num_replicas_in_sync == 1:
        return values
    dtype = strategy.experimental_local_results(values)[0].dtype
    if dtype in (tf.bool, tf.uint8):  # workers exchange numbers of 4 bytes and more only
        wide = strategy.run(lambda narrow: tf.cast(narrow, tf.int32), args=(values,))
        return tf.cast(strategy.gather(wide, axis=0), dtype)
    return strategy.gather(values, axis=0)


def check_batch_size(batch_size: int, strategy: "tf.distribute.Strategy") -> None:
    """A global batch is cut into equal parts, so that each example weighs the same."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        above = batch_size + replicas - batch_size % replicas
        allowed = f"{above - replicas} or {above}" if above > replicas else f"{above}"
        raise DigitwiseError(
            f"--batch_size={batch_size} cannot be shared equally by {replicas} replicas: use {allowed}"
        )


@functools.lru_cache(maxsize=1)
def _multi_worker(cluster: Cluster | None, logical_devices: int, peer_seconds: float) -> "tf.distribute.Strategy":
    """One for all stages of a process: its server keeps the port that TF_CONFIG names."""
    import tensorflow as tf

    if cluster is None:
        raise DigitwiseError(
            "--strategy=multi_worker needs the environment variable TF_CONFIG, which names all workers and this one"
        )
    cluster.wait_for_peers(peer_seconds)
    # Before the strategy, which initializes the devices: afterwards they cannot be changed.
    _set_up(logical_devices)
    return tf.distribute.MultiWorkerMirroredStrategy()


def _set_up(logical_devices: int) -> None:
    """Splits the CPU where that is asked for, and lets GPUs take memory as they need it."""
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):  # in use already: then it is set up already
            tf.config.experimental.set_memory_growth(gpu, True)
    if not logical_devices:
        return
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration() for _ in range(logical_devices)]
    try:
        tf.config.set_logical_device_configuration(cpu, parts)
    except RuntimeError:
        if len(tf.config.list_logical_devices("CPU")) != logical_devices:
            raise DigitwiseError(
                f"--logical_devices={logical_devices} cannot be set any more: TensorFlow already uses the CPU here"
            ) from None


def _found(logical_devices: "Sequence[tf.config.LogicalDevice]") -> tuple[list[str], list[str]]:
    """All GPUs, or else all CPUs, by name."""
    by_type = {kind: [d.name for d in logical_devices if d.device_type == kind] for kind in ("GPU", "CPU")}
    return by_type["GPU"] or by_type["CPU"], by_type["GPU"] + by_type["CPU"]


def _chosen(devices: str, found: tuple[list[str], list[str]]) -> list[str]:
    best, every = found
    if not devices:
        return best
    if devices.isdigit():
        if not 1 <= int(devices) <= len(best):
            raise DigitwiseError(f"--devices={devices}: there are {len(best)} ({_short(best)})")
        return best[: int(devices)]
    names = [name.strip().upper().removeprefix("/").removeprefix("DEVICE:") for name in devices.split(",")]
    known = {name.split("device:")[-1].upper(): name for name in every}
    for name in names:
        if name not in known:
            raise DigitwiseError(f"--devices={devices}: there is no {name}, only {_short(every)}")
    return [known[name] for name in names]


def _short(names: Sequence[str]) -> str:
    return ", ".join(name.split("device:")[-1] for name in names)


def _cpu_flags() -> set[str]:
    """What Linux says that the processor can do; nothing on other systems."""
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("flags"):
                return set(line.split())
    except OSError:
        pass
    return set()


def _cross_device_ops(names: Sequence[str]) -> "tf.distribute.CrossDeviceOps | None":
    """NCCL, the default, is for GPUs; replicas on the CPU add up in one place."""
    import tensorflow as tf

    return None if all("GPU" in name for name in names) else tf.distribute.ReductionToOneDevice()


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"{address} is not host:port")
    if not 1 <= int(port) <= _LAST_PORT:
        raise ValueError(f"{address} has no port from 1 to {_LAST_PORT}")
    return host.strip("[]"), int(port)  # [::1]:port


def _answers(address: str, seconds: float) -> bool:
    try:
        with socket.create_connection(_host_and_port(address), timeout=seconds):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def _answering(address: str) -> Iterator[None]:
    """Accepts and closes connections at this worker's own port."""
    _, port = _host_and_port(address)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        # A restarted worker finds closed connections of the run before, which would block the port for a minute.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", port))
        except OSError as error:
            raise DigitwiseError(f"this worker cannot listen at {address}, its place in TF_CONFIG: {error}") from None
        listener.listen(64)
        listener.settimeout(_PAUSE_SECONDS)  # so that the thread sees `ended`
        ended = threading.Event()
        thread = threading.Thread(target=_accept, args=(listener, ended), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _accept(listener: socket.socket, ended: threading.Event) -> None:
    while not ended.is_set():
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            connection.close()
