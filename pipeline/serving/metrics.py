"""Counts for /metrics, in Prometheus' text format.

metrics = Metrics()
metrics.request("/read", 200, seconds=0.004)
metrics.text(Gauge("digitwise_waiting_images", "Images that wait for the network.", 3))
"""

import collections
import dataclasses
import threading

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds


@dataclasses.dataclass(frozen=True)
class Gauge:
    name: str
    help: str
    value: float


class Metrics:
    """Thread safe. Routes are the server's own, so that no client can make the text longer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: collections.Counter[tuple[str, int]] = collections.Counter()
        self._images: collections.Counter[str] = collections.Counter()
        self._within: collections.Counter[float] = collections.Counter()
        self._seconds = 0.0

    def request(self, route: str, status: int, seconds: float) -> None:
        with self._lock:
            self._requests[route, status] += 1
            self._seconds += seconds
            for bucket in BUCKETS:
                self._within[bucket] += seconds <= bucket  # buckets are cumulative in Prometheus' format

    def image(self, result: str) -> None:
        """`result` is accepted, refused, undecided (a model without a threshold) or unreadable."""
        with self._lock:
            self._images[result] += 1

    def text(self, *gauges: Gauge) -> str:
        with self._lock:
            count = self._requests.total()
            lines = _head("digitwise_requests_total", "counter", "Requests by route and status.")
            for (route, status), number in sorted(self._requests.items()):
                lines.append(f'digitwise_requests_total{{route="{route}",status="{status}"}} {number}')
            lines += _head("digitwise_images_total", "counter", "Images read, by result.")
            lines += [f'digitwise_images_total{{result="{name}"}} {n}' for name, n in sorted(self._images.items())]
            lines += _head("digitwise_request_seconds", "histogram", "How long requests took.")
            lines += [f'digitwise_request_seconds_bucket{{le="{b:g}"}} {self._within[b]}' for b in BUCKETS]
            lines.append(f'digitwise_request_seconds_bucket{{le="+Inf"}} {count}')
            lines += [f"digitwise_request_seconds_sum {self._seconds:.6f}", f"digitwise_request_seconds_count {count}"]
        for gauge in gauges:
            lines += [*_head(gauge.name, "gauge", gauge.help), f"{gauge.name} {gauge.value:g}"]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
