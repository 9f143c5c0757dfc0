"""Where a training starts: from its last checkpoint, from the weights of another training, or from scratch."""

import dataclasses
from typing import Self

from pipeline.config import RunConfig
from pipeline.drawing.stream import SyntheticImages
from pipeline.model.checkpoints import Checkpoint, Checkpoints
from pipeline.training.logs import clear
from pipeline.training.plan import Plan
from pipeline.workdir import Workdir, refuse_other_settings
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError


@dataclasses.dataclass(frozen=True)
class Start:
    """The plan, and what it starts from: `found` continues the same training, `initial` gives weights only."""

    plan: Plan
    found: Checkpoint | None
    initial: Checkpoint | None

    @classmethod
    def of(
        cls, config: RunConfig, manifest: Manifest, synthetic: SyntheticImages | None, checkpoints: Checkpoints
    ) -> Self:
        """Raises where the checkpoints are of a training with other settings, unless those may be replaced."""
        found = _standing(checkpoints, config.overwrite)
        plan = Plan.of(config, manifest, synthetic, found.state if found else None)
        differing = plan.differing(found.state) if found else []
        if found and differing:
            if not config.overwrite:
                refuse_other_settings(f"the training in {checkpoints.folder} (step {found.step})", differing)
            found, plan = None, Plan.of(config, manifest, synthetic, None)
        return cls(plan, found, None if found else _initial(plan, checkpoints))

    @property
    def step(self) -> int:
        return self.found.step if self.found else 0

    def prepare(self, checkpoints: Checkpoints, workdir: Workdir, overwrite: bool) -> None:
        """What only the chief does: removes what is to be replaced, or what a killed process left half done."""
        if overwrite and not self.found:
            checkpoints.clear()
            clear(workdir.logs)
        checkpoints.clean()


def _standing(checkpoints: Checkpoints, overwrite: bool) -> Checkpoint | None:
    """The newest checkpoint, or None; where all are damaged, only --overwrite may start again."""
    try:
        return checkpoints.latest()
    except DigitwiseError:
        if not overwrite:
            raise
        return None


def _initial(plan: Plan, checkpoints: Checkpoints) -> Checkpoint | None:
    """The checkpoint whose weights the training starts with, or None."""
    if not plan.asked.initialize_from:
        return None
    given = Checkpoints.given("--initialize_from", plan.asked.initialize_from)
    if given.folder.resolve() == checkpoints.folder.resolve():
        raise DigitwiseError(
            f"--initialize_from={plan.asked.initialize_from}: this training would write over them; give it another "
            "--workdir"
        )
    return given.choose("best")
