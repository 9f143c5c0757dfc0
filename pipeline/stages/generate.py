"""The generate stage: synthetic images as files with a labels.csv, unless the run reads other images."""

from pipeline.config import DrawingConfig, RunConfig
from pipeline.machine.workers import Engine
from pipeline.workdir import Workdir

_NARROW = 0.5  # how wide a character is at least, as a share of the font size; digits of most fonts are wider


def generate(config: RunConfig, workdir: Workdir, _probes: object = None, engine: Engine | None = None) -> bool:
    """Renders the images that are missing; the result is whether there were any."""
    reason = _not_needed(config)
    if reason:
        print(f"generate: nothing to do, {reason}")
        return False
    from pipeline.drawing import files

    if "records" in config.ordered_stages and workdir.records.exists() and not config.overwrite:
        from pipeline.conversion.convert import check_source

        check_source(workdir, files.source_of(config).identity())
    drawing, size, longest = config.generate.drawing, config.code.size, config.code.lengths[1]
    if warning := too_small(drawing, size, longest):
        print(f"generate: warning: {warning}")
    return files.generate(config, workdir, engine)


def too_small(drawing: DrawingConfig, size: tuple[int, int], longest: int) -> str:
    """What of `longest` characters does not fit into images of that (width, height): they are cut off above and below,
    or squeezed together. Empty where all does."""
    width, height = size
    smallest, largest = min(drawing.font_sizes), max(drawing.font_sizes)
    problems = []
    if largest > height:
        problems.append(f"--font_sizes has {largest}, which is higher than the images ({height} pixels)")
    narrowest = int(longest * smallest * _NARROW * (1 - drawing.overlap))
    if narrowest > width:
        problems.append(f"{longest} characters take at least {narrowest} pixels, the images are {width} wide")
    return "; ".join(problems)


def _not_needed(config: RunConfig) -> str:
    """Why the run needs no image files of its own; nothing if it does."""
    if config.foreign.records:
        return f"the images are in {', '.join(config.foreign.records)}"
    if config.records.images:
        return f"the images are in {config.records.images}"
    if config.records.source == "synthetic":
        return "images are rendered directly into records"
    return ""
