"""What a training shows while it runs."""

import errno
import io

import numpy as np
import pytest

from pipeline.machine.progress import progress
from pipeline.training.display import Display, Speed, Waiting, Window


@pytest.mark.parametrize("num_steps, advice", [(401, "at step 400, stop it "), (400, "at the end, try more --epochs")])
def test_a_plateau_is_explained_once(num_steps, advice):
    window = Window("alexnet", 10, 0, num_steps)
    lines = []
    for step in range(10, 301, 10):
        window.add(np.full(10, 2.31), np.full(10, 0.1))
        lines.append(window.plateau_line(step))
    assert [step for step, line in zip(range(10, 301, 10), lines, strict=True) if line] == [100]
    assert lines[9].startswith(
        "step 100: the loss is 2.31, no better than guessing among 10 characters, ln(10) = 2.30. This is a plateau: "
        f"alexnet is usually there for 20 to 200 steps, and then learns fast. If it is still there {advice}"
    )
    quick = Window("alexnet", 10, 0, num_steps)
    quick.add(np.append(np.full(50, 9.0), np.full(50, 1.5)), np.full(100, 0.5))
    assert quick.plateau_line(100) is None


def test_a_line_now_and_then_where_nobody_watches():
    stream, now = io.StringIO(), [0.0]
    window, speed = Window("alexnet", 10, 100, 140), Speed(clock=lambda: now[0])
    with Display(100, 140, 64, stream=stream, clock=lambda: now[0]) as display:
        for step, seconds in ((110, 9.0), (120, 0.5), (130, 1.0)):
            with speed.timed(10):
                now[0] += seconds
            display.advance(step)
            window.add(np.full(10, 0.25), np.full(10, 0.5))
            display.show(window, speed)
    # The first call counts for nothing, the second took 0.05 s a step, and the third moves the mean a tenth of the way.
    assert stream.getvalue() == (
        "train: step 130 of 140, loss 0.2500  position_accuracy 0.5000  1,164 images/s, 1 s left\n"
    )
    assert speed.steps_in(0.12) == 2


def test_what_cannot_be_shown_ends_no_work():
    class Full(io.StringIO):
        def write(self, text):
            told.append(text)
            raise OSError(errno.ENOSPC, "No space left on device")

    told, now = [], [0.0]
    window = Window("alexnet", 10, 0, 40)
    window.add(np.ones(10), np.ones(10))
    with Display(0, 40, 8, Full(), clock=lambda: now[0]) as display:
        now[0] = 60.0
        display.show(window, Speed(clock=lambda: now[0]))
    with progress("draw", 5, stream=Full(), clock=lambda: now[0]) as advance:
        now[0] = 120.0
        advance(1)
    assert [text.split(":")[0] for text in told] == ["train", "draw"]


def test_one_step_a_call_as_long_as_the_pace_is_not_known():
    speed = Speed(clock=lambda: 0.0)
    assert speed.steps_in(1e9) == 1
    with speed.timed(1):
        pass
    assert speed.steps_in(1e9) == 1


def test_waiting_is_told_once():
    now = [0.0]
    waiting = Waiting(1.0, clock=lambda: now[0])
    lines = []
    for _ in range(30):
        now[0] += 1.0
        waiting.add(np.full(10, 0.02))
        lines.append(waiting.line())
    said = [(i, line) for i, line in enumerate(lines) if line]
    assert len(said) == 1
    assert said[0][0] == 10
    assert said[0][1].startswith("the network waits for images 20% of the time: image generation is the bottleneck.")
    quick = Waiting(0.0, clock=lambda: now[0])
    for _ in range(30):
        now[0] += 1.0
        quick.add(np.full(10, 0.009))
    assert quick.line() is None and quick.share == pytest.approx(0.09)
