import threading

import numpy as np
import pytest

from benchmarks import promise
from digitwise.errors import ReaderError
from digitwise.watch import Alarm, Reference, Watch


def test_a_reference_by_hand():
    reference = Reference.of([1.0] * 150 + [0.5] * 50, threshold=0.9)
    assert reference == Reference(200, 0.9, 150, (0.5, 1.0), (0.0, 0.25), (0.25, 1.0))
    assert reference.distance(np.array([1.0] * 3 + [0.5])) == 0
    assert reference.distance(np.array([1.0] * 4)) == 0.25
    assert reference.distance(np.array([0.7] * 4)) == 0.75


def test_the_share_accepted_tells():
    watch = Watch(Reference.of([0.99] * 990 + [0.5] * 10, threshold=0.9))
    assert watch.add([0.99] * 200) is None
    alarm = watch.add([0.5] * 50)
    assert isinstance(alarm, Alarm)
    assert alarm.images <= 220
    assert watch.alarm is alarm
    assert watch.add([0.99] * 500) is alarm  # it stays ...
    watch.reset()
    assert watch.alarm is None and watch.images == 0  # ... until it is told otherwise


def test_higher_confidences_tell_too():
    rng = np.random.default_rng(0)
    watch = Watch(Reference.of(rng.uniform(0.5, 1, 1000), threshold=0.2))
    alarm = watch.add(rng.uniform(0.95, 1, 50))
    assert alarm is not None and alarm.test == "confidences"
    assert str(alarm).startswith("the promise is suspended after 10 images: the confidences of the last 10 are unlike")


def test_shifted_images_are_told_within_fifty():
    after = promise.images_until_alarm(shift=4.0, runs=10)
    assert max(after) <= 50


def test_images_like_those_of_the_calibration_are_left_alone():
    """At one false alarm in 50,000 images, 40 watches of 2,000 images give 1.6 at most; the tests are cautious."""
    assert promise.false_alarms(runs=40, images=2000) <= 4


def test_a_small_shift_is_told_by_the_long_window():
    after = promise.images_until_alarm(shift=0.8, runs=10)
    assert 50 < np.median(after) <= 500


def test_many_threads_count_every_image():
    watch = Watch(Reference.of([0.9] * 200, threshold=0.5))
    threads = [threading.Thread(target=lambda: [watch.add([0.9]) for _ in range(300)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watch.images == 1200 and watch.alarm is None


@pytest.mark.parametrize(
    "values, message",
    [
        ((49, 0.5, 40, (0.5,), (0.0,), (1.0,)), "49 images; it takes 50 or more"),
        ((200, 0.5, 50, (0.5,), (), (1.0,)), "as many shares as points"),
        ((200, 0.5, 201, (0.5,), (0.0,), (1.0,)), "201 of 200 images cannot"),
        ((10**7 + 1, 0.5, 50, (0.5,), (0.0,), (1.0,)), "10,000,001 images; it takes 10,000,000 or fewer"),
        ((200, 0.5, 50, (float("nan"),), (0.0,), (1.0,)), "no finite numbers"),
        ((200, float("inf"), 50, (0.5,), (0.0,), (1.0,)), "no finite numbers"),
        ((200, 0.5, 50, (0.5, 0.5), (0.0, 0.5), (0.5, 1.0)), "do not rise"),
        ((200, 0.5, 50, (0.5,), (0.0,), (1.5,)), "not between 0 and 1"),
        ((200, 0.5, 50, (0.5,), (float("nan"),), (1.0,)), "not between 0 and 1"),
    ],
)
def test_references_that_cannot_be(values, message):
    with pytest.raises(ReaderError, match=message):
        Reference(*values)
    with pytest.raises(ReaderError, match="3 images"):
        Reference.of([0.1, 0.2, 0.3], 0.2)
