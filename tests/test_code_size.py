"""How large the parts of the code may become: what is larger has more than one purpose, or could be said in fewer."""

import ast

import pytest

from tests.conftest import ROOT

MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 60
MOST_METHODS = 12
MOST_PARAMETERS = 7  # without self

PARTS = ("flags", "pipeline", "records", "alexnet", "digitwise", "benchmarks", "pretraining")
FILES = [ROOT / "main.py", *(path for part in PARTS for path in sorted((ROOT / part).rglob("*.py")))]


def functions_of(node):
    return [child for child in ast.iter_child_nodes(node) if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))]


def too_large(path):
    """What in a file is larger than it may be, one line each."""
    text = path.read_text(encoding="utf-8")
    if (count := len(text.splitlines())) > MOST_LINES_OF_A_FILE:
        yield f"{count} lines"
    for node in ast.walk(ast.parse(text)):
        functions = functions_of(node)
        if isinstance(node, ast.ClassDef) and len(functions) > MOST_METHODS:
            yield f"{node.name}: {len(functions)} methods"
        for function in functions:
            given = function.args
            names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            if is_compiled(function):
                continue
            if (count := len([name for name in names if name not in ("self", "cls")])) > MOST_PARAMETERS:
                yield f"{function.name}: {count} parameters"
            if (count := function.end_lineno - function.lineno + 1) > MOST_LINES_OF_A_FUNCTION:
                yield f"{function.name}: {count} lines"
            public = not function.name.startswith("_") or function.name == "__init__"
            if public and isinstance(node, (ast.Module, ast.ClassDef)) and not is_annotated(function):
                yield f"{function.name}: not annotated"


def is_compiled(function):
    """Numba infers their types, and has no objects in which arguments could travel together."""
    return bool({"compiled", "inlined"} & {ast.unparse(decorator) for decorator in function.decorator_list})


def is_annotated(function):
    given = function.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    needed = [argument for argument in arguments if argument and argument.arg not in ("self", "cls")]
    return function.returns is not None and all(argument.annotation for argument in needed)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_part_is_too_large_and_what_is_public_has_types(path):
    assert list(too_large(path)) == []
