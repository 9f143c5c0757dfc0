"""SIGTERM and Ctrl-C, noted and then acted on between steps, so that a training can save before it ends."""

import contextlib
import dataclasses
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@dataclasses.dataclass
class Interrupts:
    """Which signal asked the training to stop, or 0."""

    asked: int = 0

    def note(self, number: int, _frame: FrameType | None = None) -> None:
        if self.asked and number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a third must not interrupt what the second one made end
            raise KeyboardInterrupt  # a second Ctrl-C does not wait for the save
        self.asked = number

    def exception(self) -> BaseException:
        """What ends the process as the signal would have."""
        return KeyboardInterrupt() if self.asked == signal.SIGINT else SystemExit(128 + signal.SIGTERM)


@contextlib.contextmanager
def noted_interrupts() -> Iterator[Interrupts]:
    """Notes signals as long as the block lasts; Python lets only a main thread do so."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = {number: signal.signal(number, interrupts.note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            # After a Ctrl-C the run ends: another one must not interrupt that.
            ends = number == signal.SIGINT and interrupts.asked == number
            signal.signal(number, signal.SIG_IGN if ends else handler)
