"""The export stage: the checkpoint as files that other programs read with, each compared with it on the test split.

workdir/export/      model.onnx, model.tflite, model-dynamic.tflite, saved_model/1, parity.json, model-card.md, .json
"""

import contextlib
import dataclasses
import importlib.util
import json
import logging
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

from pipeline.config import RunConfig
from pipeline.conversion.foreign import Probes
from pipeline.differences import refuse_other_settings
from pipeline.machine.startup import import_tensorflow
from pipeline.model.checkpoints import Checkpoints
from pipeline.model.provenance import Provenance
from pipeline.promise.certification import certification
from pipeline.report.files import previous_summary
from pipeline.report.phrases import interval, one_in, ratio, right_of
from pipeline.report.summary import Summary
from pipeline.stages.inputs import records_to_test
from pipeline.workdir import Workdir, differing_settings
from records.atomic import is_arriving, remove_partial, succeed, successor_of, write_text
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError
from records.jsonfile import read_object

_SETTINGS = "settings.json"
_MODULES = ("tf2onnx", "onnx", "onnxruntime", "ai_edge_litert")
# Everything that this stage writes; a folder with anything else in it is not removed.
_MADE = frozenset(
    "saved_model model.onnx model.tflite model.tflite.json model-dynamic.tflite model-dynamic.tflite.json "
    "parity.json model-card.md model-card.json settings.json".split()
)


def export(config: RunConfig, workdir: Workdir, probes: Probes | None = None) -> bool:
    """Exports, unless that was done with the same settings; the result is whether there was anything to do."""
    check_packages()
    records = records_to_test(config, workdir, probes)
    manifest, split = Manifest.load(records), config.test.split
    checkpoints = Checkpoints.to_test(config.test, workdir)
    step = checkpoints.best_step()
    import_tensorflow()
    from pipeline.export.checkpoint import arrays_sha256, graph_of
    from pipeline.stages.test import check_split

    check_split(manifest, split)
    checkpoint = checkpoints.load(step)
    graph = graph_of(checkpoint, checkpoints.folder)
    _check_fits(graph.metadata, manifest)
    # What the checkpoint was certified for is also asked of its exports.
    max_error = config.use.max_error or (graph.metadata.promise.max_error if graph.metadata.promise else None)
    settings = {
        "checkpoint": arrays_sha256(checkpoints.folder, step),
        "records": manifest.fingerprint,
        "split": split,
        "max_error": max_error,
    }
    if _is_done(workdir.export, settings, config.overwrite):
        return False
    facts = _facts(previous_summary(workdir.report), step, checkpoint.state.provenance)
    aside = successor_of(workdir.export)
    card, missing = _write(graph, manifest, split, max_error, facts, aside)
    write_text(aside / _SETTINGS, json.dumps(settings) + "\n")
    succeed(workdir.export, lambda: _remove_made(workdir.export))
    for line in card_lines(card, workdir.export):
        print(line)
    if all(file.promise is None for file in card.files):
        print(f"export: {not_certified(max_error, missing)}")
    return True


def check_replaceable(config: RunConfig, workdir: Workdir) -> None:
    """Before stages ahead of this one do anything: that an export with other settings is not in its way. What those
    stages decide, such as the checkpoint, is compared later."""
    check_packages()
    try:
        found = read_object(workdir.export / _SETTINGS, {})
    except (FileNotFoundError, NotADirectoryError):
        return
    asked = {"split": config.test.split, "max_error": config.use.max_error}
    given = {name: value for name, value in asked.items() if value is not None}
    differing = differing_settings({name: found.get(name) for name in given}, given)
    if differing and not config.overwrite:
        refuse_other_settings(str(workdir.export), differing)


def check_packages() -> None:
    missing = [name for name in _MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise DigitwiseError(f"--stage=export needs {', '.join(missing)}: install with pip install -e '.[export]'")


def _write(
    graph: Any, manifest: Manifest, split: str, max_error: float | None, facts: list[tuple[str, str]], folder: Any
) -> tuple[Any, int]:
    """(the card, how many codes were missing where the least could be certified)."""
    from pipeline.export.card import Fact
    from pipeline.export.export import Certified, Certify
    from pipeline.export.export import export as write_files
    from pipeline.stages.certify import Halves, batches, check_can_certify, temperature_of

    missing = [0]
    certify: Certify | None = None
    if max_error is not None:
        check_can_certify(split)
        # A checkpoint that the test stage certified has its temperature already.
        if graph.metadata.promise is None and graph.metadata.temperature == 1.0:
            temperature = temperature_of(graph, manifest)
            graph = graph.with_metadata(dataclasses.replace(graph.metadata, temperature=temperature))

        def certify(network: Any) -> Certified:
            halves = Halves.read(network, manifest, split)
            found = certification(halves.choosing, halves.calibration, max_error)
            missing.append(found.certificate.missing)
            return Certified(found.promise, found.reference)

    images = [image for batch, _ in batches(manifest, split, graph.metadata.shape) for image in batch]
    named = tuple(Fact(name, value) for name, value in facts)
    with _without_notes():
        return write_files(graph, folder, images, facts=named, certify=certify), max(missing)


@contextlib.contextmanager
def _without_notes() -> Iterator[None]:
    """The converters tell of every step that they take."""
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def card_lines(card: Any, folder: pathlib.Path) -> list[str]:
    """For a terminal."""
    count = card.files[0].difference.num_images
    lines = [f"export: {folder}, compared with the checkpoint on {count:,} images"]
    for file in card.files:
        promise = f", threshold {file.promise.threshold:.6g}" if file.promise else ""
        lines.append(
            f"  {file.path:<22}{file.bytes / 1e6:6.2f} MB  {file.speed.milliseconds_of_one:6.2f} ms for one image  "
            f"{file.speed.images_per_second:7,.0f} images/s  {len(file.difference.changed_readings)} readings and "
            f"{len(file.difference.changed_decisions)} decisions differ{promise}"
        )
    lines += [f"export: warning: {path} was left out: {reason}" for path, reason in card.left_out]
    return lines


def not_certified(max_error: float | None, missing: int) -> str:
    """Why no file has a threshold: none was asked for, or codes are missing."""
    if max_error is None:
        return "no threshold is certified; --max_error=0.01 asks for one"
    needed = f"{missing:,} more codes are needed, if none of them is read wrong"
    return f"--max_error={max_error:g} is not certified: {needed}"


def _facts(summary: Summary | None, step: int, provenance: Provenance) -> list[tuple[str, str]]:
    """What the report says of this checkpoint; without a report of it only its step."""
    facts = [("checkpoint", f"step {step:,}")]
    if summary is None or summary.checkpoint.step != step:
        return facts
    whole, claim = summary.figures.whole, summary.claim
    part = "the half that certified no threshold of the" if summary.promise else "the"
    failed = [statement.name for statement in claim.statements if not statement.holds]
    drawn = " and others, drawn during the training" if provenance.synthetic else ""
    unseen = "" if failed else ", whose codes the network was not trained on"
    return [
        *facts,
        ("network", f"{summary.model.network}, readout {summary.model.readout}"),
        ("trained on", f"{provenance.records.train:,} images{drawn}"),
        ("whole-code accuracy", f"{ratio(whole.value)} ({right_of(whole)}; 95 % interval {interval(whole)})"),
        ("chance", one_in(summary.figures.chance.sequence)),
        ("tested on", f"{part} {summary.records.split} split{unseen}"),
        ("checks", f"not passed: {', '.join(failed)}" if failed else f"all {len(claim.statements)} passed"),
    ]


def _check_fits(metadata: Any, manifest: Manifest) -> None:
    shape = metadata.shape
    # What is fitted may have any size.
    sizes_differ = not shape.fitted and (shape.height, shape.width) != (manifest.height, manifest.width)
    if metadata.alphabet != manifest.alphabet or sizes_differ:
        raise DigitwiseError(
            f"the checkpoint does not fit {manifest.folder}: it reads {metadata.alphabet!r} in images of "
            f"{shape.width}x{shape.height}, the records have {manifest.alphabet!r} in "
            f"{manifest.width}x{manifest.height}"
        )


def _is_done(folder: pathlib.Path, settings: dict[str, Any], overwrite: bool) -> bool:
    """Whether this export is there. Stops where another is, unless it may be replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_partial(folder)
    if is_arriving(folder) or (successor_of(folder) / _SETTINGS).exists():
        succeed(folder, lambda: _remove_made(folder))  # whole when an earlier run was killed
    shutil.rmtree(successor_of(folder), ignore_errors=True)
    strangers = sorted(path.name for path in folder.iterdir() if path.name not in _MADE)
    if strangers:
        raise DigitwiseError(f"{folder} holds {', '.join(strangers[:3])}, which was not made here: move it away")
    if (folder / _SETTINGS).exists():
        differing = differing_settings(read_object(folder / _SETTINGS, {}), settings)
        if not differing:
            print(f"export: the export of this checkpoint is in {folder}")
            return True
        if not overwrite:
            refuse_other_settings(str(folder), differing)
    return False


def _remove_made(folder: pathlib.Path) -> None:
    for name in (_SETTINGS, *_MADE):  # the settings first: without them nothing is taken for whole
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
