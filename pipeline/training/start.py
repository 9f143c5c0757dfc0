"""Where a training starts: from its last checkpoint, from the weights of another training, or from scratch.

    start = Start.of(config, manifest, synthetic, workdir)
    start.checkpoints, start.logs       # where it writes
    start.succeed(workdir)              # once it has finished

A training that replaces another one grows beside it, in folders called .unfinished, and takes its place when it has
finished: until then the other can be tested and used.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, Self

from pipeline.config import RunConfig
from pipeline.differences import refuse_other_settings
from pipeline.drawing.stream import SyntheticImages
from pipeline.model.checkpoints import Checkpoint, Checkpoints, last_state
from pipeline.training.logs import clear
from pipeline.training.plan import Plan, begins_with
from pipeline.workdir import Workdir
from records.atomic import is_arriving, succeed, successor_of
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError


@dataclasses.dataclass(frozen=True)
class Start:
    """The plan, what it starts from, and where it writes: `found` continues the same training, `initial` gives weights
    only. `replaces` says that another training stays in the workdir until this one has finished."""

    plan: Plan
    found: Checkpoint | None
    initial: Checkpoint | None
    checkpoints: Checkpoints
    logs: pathlib.Path
    replaces: bool = False

    @classmethod
    def of(cls, config: RunConfig, manifest: Manifest, synthetic: SyntheticImages | None, workdir: Workdir) -> Self:
        """Raises where the checkpoints are of a training with other settings, unless those may be replaced."""

        def plan_for(found: Checkpoint | None) -> Plan:
            return Plan.of(config, manifest, synthetic, found.state if found else None)

        standing = Checkpoints(workdir.checkpoints)
        found, plan, differing = _continued(standing, plan_for, config.overwrite)
        if found and not differing:
            return cls(plan, found, None, standing, workdir.logs)
        if not standing.steps():
            return cls(plan, None, _initial(plan, standing), standing, workdir.logs)
        aside = Checkpoints(successor_of(workdir.checkpoints))
        begun, plan, unlike = _continued(aside, plan_for, overwrite=True)
        if begun and not unlike:
            if not config.overwrite:
                raise DigitwiseError(
                    f"{standing.folder} has a training with other settings, and in {aside.folder} one with these has "
                    f"come to step {begun.step:,}: --overwrite continues it, and in the end it replaces the other"
                )
            return cls(plan, begun, None, aside, successor_of(workdir.logs), replaces=True)
        if found and not config.overwrite:
            refuse_other_settings(f"the training in {standing.folder} (step {found.step})", differing)
        plan = plan_for(None)
        return cls(plan, None, _initial(plan, standing), aside, successor_of(workdir.logs), replaces=True)

    @property
    def step(self) -> int:
        return self.found.step if self.found else 0

    def prepare(self) -> None:
        """What only the chief does: removes what was begun and is not continued, or what a killed process left half
        done."""
        if self.replaces:
            print(
                f"train: replaces another training when it has finished; until then it is in {self.checkpoints.folder}"
            )
        if self.replaces and not self.found:
            self.checkpoints.clear()
            clear(self.logs)
        self.checkpoints.clean()

    def succeed(self, workdir: Workdir) -> None:
        """What only the chief does: a training that has finished takes the place of the one that it replaces."""
        if self.replaces:
            _succeed(workdir)


def finish_replacement(workdir: Workdir) -> None:
    """A training that had finished when a process was killed before it took its place."""
    aside = Checkpoints(successor_of(workdir.checkpoints))
    try:
        is_whole = bool(aside.steps()) and last_state(aside).finished is not None
    except DigitwiseError:
        is_whole = False
    if is_whole or is_arriving(workdir.checkpoints):
        _succeed(workdir)


def _succeed(workdir: Workdir) -> None:
    # The logs go first: as long as the checkpoints are not in place, a run that was killed here is known to be one.
    if workdir.logs.is_dir():
        succeed(workdir.logs, lambda: clear(workdir.logs))
    succeed(workdir.checkpoints, Checkpoints(workdir.checkpoints).clear)


def _continued(
    checkpoints: Checkpoints, plan_for: Callable[[Checkpoint | None], Plan], overwrite: bool
) -> tuple[Checkpoint | None, Plan, list[tuple[str, Any, Any]]]:
    """(the newest checkpoint, the plan that would continue it, how that differs from what it was begun with); where
    all are damaged, only --overwrite may start again."""
    try:
        found = checkpoints.latest()
    except DigitwiseError:
        if not overwrite:
            raise
        found = None
    plan = plan_for(found)
    return found, plan, plan.differing(found.state) if found else []


def _initial(plan: Plan, checkpoints: Checkpoints) -> Checkpoint | None:
    """The checkpoint whose weights the training starts with, or None."""
    given = begins_with(plan.asked)
    if given is None:
        return None
    if given.folder.resolve() == checkpoints.folder.resolve():
        raise DigitwiseError(
            f"--initialize_from={plan.asked.initialize_from}: this training would write over them; give it another "
            "--workdir"
        )
    return given.choose("best")
