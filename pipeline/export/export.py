"""Exports a model to one folder: its files, parity.json, and the model card.

card = export(graph, folder, images, formats=("onnx", "litert"), facts=facts, certify=certify)

A file that changes more readings than its format may fails the export; a smaller one is left out, and named. Each file
is certified by itself, as a smaller one keeps the readings but not the confidences.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence

from digitwise.errors import ModelError
from digitwise.images import Pixels
from digitwise.metadata import Promise
from digitwise.reader import Network
from digitwise.watch import Reference
from pipeline.export.card import ExportedFile, Fact, ModelCard
from pipeline.export.formats import FORMATS, Format
from pipeline.export.graph import ReadingGraph
from pipeline.export.networks import METADATA_ENDING, GraphNetwork
from pipeline.export.parity import Answers, answers, difference, speed
from records.atomic import atomic_directory, write_text
from records.errors import DigitwiseError

PARITY, CARD, CARD_JSON = "parity.json", "model-card.md", "model-card.json"
_PACKAGES = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert", "numpy")


@dataclasses.dataclass(frozen=True)
class Certified:
    """What certifying a file gave: a promise if it could be made, and what the watch compares with."""

    promise: Promise | None
    reference: Reference | None


class TooDifferent(DigitwiseError):
    """A file does not read as the checkpoint does."""


Certify = Callable[[Network], Certified]


def export(
    graph: ReadingGraph,
    folder: pathlib.Path,
    images: Sequence[Pixels],
    formats: Sequence[str] = tuple(FORMATS),
    name: str = "digitwise",
    facts: tuple[Fact, ...] = (),
    certify: Certify | None = None,
) -> ModelCard:
    """`images` are those that every file has to read as the graph does, as the network takes them."""
    if not images:
        raise DigitwiseError("an export is compared with the checkpoint on images, and there are none")
    # With a threshold of the checkpoint's own, so that decisions can be compared too.
    expected = answers(GraphNetwork(_certified(graph, GraphNetwork(graph), certify)), images)
    with atomic_directory(folder) as partial:
        files, left_out = [], []
        for format_name in formats:
            try:
                files.append(_export_file(graph, partial, format_name, images, expected, certify))
            except TooDifferent as error:
                if not FORMATS[format_name].is_optional:
                    raise DigitwiseError(f"{error}: nothing was exported") from None
                left_out.append((FORMATS[format_name].path, str(error)))
                _remove(partial, FORMATS[format_name].path)
        card = ModelCard(name, graph.metadata, facts, tuple(files), _versions(), tuple(left_out))
        write_text(partial / PARITY, json.dumps([dataclasses.asdict(file) for file in files], indent=2) + "\n")
        write_text(partial / CARD_JSON, card.to_json())
        write_text(partial / CARD, card.to_markdown())
    return card


def _export_file(
    graph: ReadingGraph,
    folder: pathlib.Path,
    name: str,
    images: Sequence[Pixels],
    expected: Answers,
    certify: Certify | None,
) -> ExportedFile:
    kind = FORMATS[name]
    path = folder / kind.path
    path.parent.mkdir(parents=True, exist_ok=True)
    kind.write(graph, path)
    if certify is not None:
        graph = _certified(graph, _opened(kind, name, path), certify)
        kind.write_metadata(graph, path)
    # Opened once more: the file with its final metadata is what is compared and measured.
    network = _opened(kind, name, path)
    found = difference(expected, answers(network, images))
    if found.changed_share > kind.allowed_changes:
        raise TooDifferent(_too_different(name, kind, found.changed_readings, found.num_images))
    return ExportedFile(
        format=name,
        path=kind.path,
        note=kind.note,
        bytes=sum(file.stat().st_size for file in _files(path)),
        sha256=_sha256(path),
        difference=found,
        speed=speed(network, images),
        allowed_changes=kind.allowed_changes,
        promise=graph.metadata.promise,
        is_watched=graph.metadata.reference is not None,
    )


def _opened(kind: Format, name: str, path: pathlib.Path) -> Network:
    try:
        return kind.open(path)
    except ModelError as error:
        raise DigitwiseError(f"the exported {name} cannot be read with: {error}") from None


def _certified(graph: ReadingGraph, network: Network, certify: Certify | None) -> ReadingGraph:
    if certify is None:
        return graph
    certified = certify(network)
    return graph.with_metadata(
        dataclasses.replace(graph.metadata, promise=certified.promise, reference=certified.reference)
    )


def _too_different(name: str, kind: Format, changed: Sequence[int], num_images: int) -> str:
    allowed = int(kind.allowed_changes * num_images)
    return (
        f"the exported {name} reads {len(changed)} of {num_images} images differently from the checkpoint, such as "
        f"image {changed[0]}; {allowed} may differ"
    )


def _remove(folder: pathlib.Path, path: str) -> None:
    for file in (folder / path, folder / (path + METADATA_ENDING)):
        file.unlink(missing_ok=True)


def _files(path: pathlib.Path) -> Iterator[pathlib.Path]:
    yield from [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def _sha256(path: pathlib.Path) -> str:
    digest = hashlib.sha256()
    for file in _files(path):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _versions() -> tuple[Fact, ...]:
    found = []
    for package in _PACKAGES:
        try:
            found.append(Fact(package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return tuple(found)
