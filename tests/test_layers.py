"""Who may import whom: main -> flags -> pipeline.config; stages -> records, alexnet; nothing the other way round."""

import ast
import subprocess
import sys

import pytest

from tests.conftest import ROOT

OURS = {"main", "flags", "pipeline", "records", "alexnet"}
ALLOWED = {
    "main": {"flags", "pipeline", "records"},
    "flags": {"pipeline.config", "pipeline.values", "flags"},
    "pipeline": {"pipeline", "records", "alexnet"},
    "records": {"records"},
    "alexnet": {"alexnet"},
}
SOURCES = sorted(path for name in OURS - {"main"} for path in (ROOT / name).glob("*.py")) + [ROOT / "main.py"]


def imports(path):
    """The modules that a file imports, at its top and inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@pytest.mark.parametrize("path", SOURCES, ids=module)
def test_imports_go_one_way(path):
    allowed = ALLOWED[module(path).split(".")[0]]
    for name in imports(path):
        if name.split(".")[0] in OURS and name.count(".") <= 1:
            package = name.split(".")[0]
            assert (
                package in allowed
                or name in allowed
                or f"{package}.{name.split('.')[-1]}" in allowed
                or any(a.startswith(name) for a in allowed)
            ), f"{module(path)} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=module)
def test_only_flags_and_main_know_absl(path):
    if module(path) not in ("main", "flags.options"):
        assert not [name for name in imports(path) if name.split(".")[0] == "absl"]


def test_there_are_no_cycles():
    graph = {module(path): {n for n in imports(path) if n.split(".")[0] in OURS} for path in SOURCES}
    done, under_way = set(), []

    def visit(name):
        assert name not in under_way, f"a cycle: {' -> '.join([*under_way, name])}"
        if name in done or name not in graph:
            return
        under_way.append(name)
        for other in graph[name]:
            if other in graph and other != name:
                visit(other)
        under_way.pop()
        done.add(name)

    for name in graph:
        visit(name)


@pytest.mark.parametrize(
    "module_name",
    [
        "flags.options",
        "pipeline.config",
        "pipeline.stages.run",
        "pipeline.drawing.files",
        "pipeline.conversion.convert",
        "pipeline.stages.inspect",
        "pipeline.stages.check",
        "pipeline.stages.verification",
    ],
)
def test_no_tensorflow_where_none_is_needed(module_name):
    code = f"import sys, {module_name}; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
