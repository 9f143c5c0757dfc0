"""When something happens between the steps of a training: pure arithmetic.

schedule = Schedule(num_steps=1500, validation_every=75)         # growth=0.1: each time a tenth of the steps so far
schedule.steps_to_event(step=20)        # 10, to the next look
schedule.validation_due(step=75)        # True
"""

import dataclasses

LOOK_STEPS: int = 10  # how many steps' losses are kept on the devices before somebody looks at them
MOST_VALIDATED: int = 1_000  # images that a validation reads
MOST_CALIBRATED: int = 640  # images that the statistics for it are taken from
_DENSE_ROWS = 100


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Looks, validations and rows of the history by step. Saves go by the clock, so they are not here."""

    num_steps: int
    validation_every: int
    look_every: int = LOOK_STEPS
    growth: float = 0.0  # validations lie at least this share of the steps before them apart

    def steps_to_event(self, step: int) -> int:
        """How many steps there are before the next look, which comes with each validation too."""
        to_look = self.look_every - step % self.look_every
        return min(self.num_steps - step, self._validation_after(step) - step, to_look)

    def validation_due(self, step: int) -> bool:
        return step == self.num_steps or (step > 0 and self._validation_after(step - 1) == step)

    def look_due(self, step: int) -> bool:
        return step % self.look_every == 0 or self.validation_due(step)

    def _validation_after(self, step: int) -> int:
        """The step of the next validation, whether or not there are that many."""
        if not self.growth:
            return step - step % self.validation_every + self.validation_every
        validation = self.validation_every
        while validation <= step:
            validation += max(1, round(self.growth * validation / self.validation_every)) * self.validation_every
        return validation

    def history_due(self, step: int) -> bool:
        """Whether the history gets a row: for each look at first, then for fewer, so that a long training has hundreds
        of rows and a short one no fewer than it has looks."""
        every = self.look_every
        while step > every * _DENSE_ROWS:
            every *= 2
        return step % every == 0
