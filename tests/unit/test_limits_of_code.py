"""Limits on the size of files, functions and parameter lists, which CONTRIBUTING.md names."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [
    path
    for folder in ("annotations", "benchmarks", "ser", "tests", "ui")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_PARAMETERS = 350, 60, 8
MAX_WORKER_FILES = 60

Function = ast.FunctionDef | ast.AsyncFunctionDef


def lines_of_code(source: str, function: Function) -> int:
    """Lines without the docstring and blank ones."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    begin = first.end_lineno if documented else function.lineno - 1
    body = source.splitlines()[begin : function.end_lineno]
    head = first.lineno - function.lineno if documented else 0
    return head + sum(bool(line.strip()) for line in body)


def parameters(function: Function) -> list[str]:
    given = function.args
    named = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return named[1:] if named[:1] in (["self"], ["cls"]) else named


def too_large(source: str) -> Iterator[str]:
    """Say what in a file is beyond the limits."""
    if (count := len(source.splitlines())) > MAX_FILE_LINES:
        yield f"{count} lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            if (count := lines_of_code(source, node)) > MAX_FUNCTION_LINES:
                yield f"{node.name}: {count} lines"
            if (count := len(parameters(node))) > MAX_PARAMETERS:
                yield f"{node.name}: {count} parameters"


def test_files_functions_and_parameter_lists_stay_small() -> None:
    found = {str(path.relative_to(ROOT)): [*too_large(path.read_text(encoding="utf-8"))] for path in FILES}
    assert len(found) > 500
    assert {name: faults for name, faults in found.items() if faults} == {}


@pytest.mark.parametrize(
    ("source", "faults"),
    [
        ("x = 1\n" * 350, []),
        ("x = 1\n" * 351, ["351 lines"]),
        ('def f():\n    """A.\n\n    B.\n    """\n' + "\n    x = 1\n" * 59, []),
        ('def f():\n    """A.\n\n    B.\n    """\n' + "\n    x = 1\n" * 60, ["f: 61 lines"]),
        ("class A:\n    def f(self, a, b, c, d, *, e, f, g, h): ...", []),
        ("async def f(a, b, c, d, *, e, f, g, h, i): ...", ["f: 9 parameters"]),
    ],
)
def test_what_is_too_large_is_seen(source: str, faults: list[str]) -> None:
    assert [*too_large(source)] == faults


def test_the_training_process_imports_few_of_our_files() -> None:
    count = (
        "import sys, annotations.learning.runs.worker;"
        "ours = [sys.modules[name].__file__ or '' for name in sys.modules if name.partition('.')[0] in"
        " ('annotations', 'ser', 'ui')];"
        "print(sum(not path.endswith('__init__.py') for path in ours))"
    )
    found = subprocess.run([sys.executable, "-c", count], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 30 < int(found.stdout) <= MAX_WORKER_FILES


def test_docstrings_begin_with_a_verb_or_a_noun_phrase() -> None:
    questions = {"How", "If", "What", "When", "Where", "Whether", "Which", "Who", "Whose", "Why"}
    documented = ast.Module | ast.ClassDef | Function
    found = [
        f"{path.relative_to(ROOT)}: {text.splitlines()[0]}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, documented) and (text := ast.get_docstring(node)) and text.split()[0] in questions
    ]
    assert found == []
