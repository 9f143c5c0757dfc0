"""Who may import whom.

Imports only lead downwards, packages of one layer do not import each other, nothing is circular, and TensorFlow is
imported only where something is computed with it.
"""

import ast
import collections
import functools
import graphlib
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# A package may import those of the lines above its own, and itself.
RECORDS_LAYERS = (
    ("errors",),
    ("atomic", "alphabet", "jsonfile", "split", "source"),
    ("digest",),
    ("tfrecord", "images"),
    ("dataset", "foreign"),
    ("probe",),
)
PIPELINE_LAYERS = (
    ("values", "choices"),
    ("use_config", "train_config"),
    ("config", "workdir"),
    ("machine", "differences"),
    ("model", "drawing", "promise", "reading", "labelling"),
    ("training", "report", "conversion", "export", "serving", "cluster"),
    ("stages",),
)
# What else each part may import: (part, of which only these packages).
ELSEWHERE = {
    "main": ("flags", "pipeline.config", "pipeline.machine", "pipeline.stages", "records.errors"),
    "flags": ("pipeline.choices", "pipeline.config", "pipeline.use_config", "pipeline.values"),
    "records": (),
    "alexnet": (),
    "pipeline": ("records", "alexnet", "digitwise"),
    "digitwise": (),  # it is installed without the others
}
# The settings and what they need work with the standard library alone, so that --help is quick.
PURE = {
    "pipeline.values": ("records.alphabet", "records.errors"),
    "pipeline.use_config": (),
    "pipeline.train_config": (),
    "pipeline.choices": (),
    "pipeline.config": (),
}
# Only these may import TensorFlow or Keras when they are imported; all others must not, even indirectly.
WITH_TENSORFLOW = (
    "alexnet",
    "pipeline.export",
    "pipeline.machine.datasets",
    "pipeline.model",
    "pipeline.training",
    "records.dataset.reader",
)
TENSORFLOW = {"tensorflow", "keras"}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def sources():
    paths = [path for name in ELSEWHERE for path in (ROOT / name).rglob("*.py")] + [ROOT / "main.py"]
    return {module_name(path): path for path in sorted(paths)}


SOURCES = sources()


def is_left_out(node):
    """Whether what is in a node does not run when its module is imported."""
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, (ast.FunctionDef, ast.Lambda))


@functools.cache
def imported(name, only_at_import=False):
    """The modules that a module imports; `only_at_import` leaves out those inside functions and for type checkers."""
    found = []

    def visit(node):
        if isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            # A package from which only modules are taken gives nothing of its own.
            found.extend(names if all(name in SOURCES for name in names) else [node.module, *names])
        elif only_at_import and is_left_out(node):
            return
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(SOURCES[name].read_text(encoding="utf-8")))
    return tuple(dict.fromkeys(found))


def ours(names):
    return [name for name in names if name in SOURCES]


def package(name):
    """pipeline.drawing of pipeline.drawing.renderer; main of main."""
    return ".".join(name.split(".")[: 2 if name.split(".")[0] in ("records", "pipeline") else 1])


def layer(name):
    """(part, number of the layer) of a package."""
    part, _, within = name.partition(".")
    layers = {"records": RECORDS_LAYERS, "pipeline": PIPELINE_LAYERS}.get(part, ())
    return part, next((number for number, names in enumerate(layers) if within in names), -1)


def is_allowed(importer, other):
    """Whether one package may import another."""
    (part, number), (other_part, other_number) = layer(importer), layer(other)
    if importer == other:
        return True
    if importer in PURE and part != other_part:
        return other in PURE[importer]
    if part == other_part:
        # The bare package has nothing in it but a docstring.
        return other == other_part or other_number < number
    allowed = ELSEWHERE[part]
    return any(other == name or other.startswith(name + ".") or name.startswith(other + ".") for name in allowed)


@pytest.mark.parametrize("name", SOURCES)
def test_imports_lead_downwards(name):
    importer = package(name)
    assert layer(importer)[1] >= 0 or "." not in importer, f"{importer} is in no layer of tests/test_layers.py"
    others = {package(other) for other in ours(imported(name))}
    broken = {(importer, other) for other in others if not is_allowed(importer, other)}
    assert not broken


@pytest.mark.parametrize("name", SOURCES)
def test_only_flags_and_main_know_absl(name):
    if name != "main" and not name.startswith("flags."):
        assert not [other for other in imported(name) if other.split(".")[0] == "absl"]


def test_no_module_imports_itself_in_a_circle():
    graph = {name: set(ours(imported(name, only_at_import=True))) - {name} for name in SOURCES}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_no_package_imports_itself_in_a_circle():
    graph = collections.defaultdict(set)
    for name in SOURCES:
        for other in ours(imported(name)):
            if package(other) != package(name):
                graph[package(name)].add(package(other))
    list(graphlib.TopologicalSorter(graph).static_order())


def chain_to_tensorflow(name):
    """[module, what it imports, ... tensorflow] where importing the module imports TensorFlow, else []."""
    chains, seen = [[name]], {name}
    for chain in chains:
        for other in imported(chain[-1], only_at_import=True):
            if other.split(".")[0] in TENSORFLOW:
                return [*chain, other]
            if other in SOURCES and other not in seen:
                seen.add(other)
                chains.append([*chain, other])
    return []


@pytest.mark.parametrize("name", SOURCES)
def test_no_tensorflow_where_none_is_needed(name):
    if not any(name == allowed or name.startswith(allowed + ".") for allowed in WITH_TENSORFLOW):
        chain = chain_to_tensorflow(name)
        assert not chain, " -> ".join(chain)


def test_python_agrees_that_there_is_no_tensorflow():
    """The same by importing: what a command loads before its stage begins, and all that worker processes load."""
    names = [
        "main",
        "pipeline.stages.run",
        "pipeline.stages.generate",
        "pipeline.stages.predict",
        "pipeline.stages.check",
        "records.dataset.writer",
    ]
    code = f"import sys, {', '.join(names)}; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
