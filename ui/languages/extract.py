"""The texts that people may see, read from the source, so that a text needs nothing but to be written.

Python files are read by `ast`. A value within a text is a hole with a name, such as `{clips}`. Texts within HTML and
scripts are found by `ui.languages.markup`.
"""

import ast
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ui.languages.catalogue import Language, list_languages
from ui.languages.markup import DRAWN, HOLE, INLINE, has_words, hole, holes, script_literals, split
from ui.languages.scope import BUILT_IN, CODE, COMMAND_LINE, GRADIO, KEYS, QUIET, SENTENCES, WORDS
from ui.review.guidelines import MARKDOWN

ROOT = Path(__file__).parents[2]

FORMAT = re.compile(r"\{(\w*)(?::[^{}\s]+)?\}")
REASONS = ("Broken", "plain_hub_errors")
"""Calls whose texts are told like those of errors: why a row is left out, and what the Hub refuses."""

MOST_VARIANTS = 16
"""Texts of one expression with conditions in it."""


def texts(root: Path = ROOT) -> dict[str, str]:
    """Collect {text: the file it stands in} of everything that the page may show."""
    found = dict.fromkeys(WORDS, "stored values") | dict.fromkeys(GRADIO, "gradio")
    sources = {path.relative_to(root): ast.parse(path.read_text(encoding="utf-8")) for path in _python_files(root)}
    drawing = {name for path, tree in sources.items() if path.parts[0] == "ui" for name in _drawing_functions(tree)}
    shared = {name for name in drawing if not name.startswith("_")}
    explaining = {name for tree in sources.values() for name in _raised(tree, ast.Call)}
    for path, tree in sources.items():
        page = path.parts[0] == "ui"
        sentences = page or path.as_posix().startswith(SENTENCES)
        reader = _Reader(shared | set(_drawing_functions(tree)), explaining, page=page, sentences=sentences)
        reader.visit(tree)
        found |= {text: path.as_posix() for text in reader.found if text not in found}
    for path in sorted((root / "ui" / "assets").glob("examples/*.json")):
        meanings = [row["meaning"] for row in json.loads(path.read_text(encoding="utf-8"))]
        found |= dict.fromkeys(meanings, path.relative_to(root).as_posix())
    for path in sorted((root / "ui" / "assets").iterdir()):
        if path.suffix in (".js", ".html", ".css") and path.name != "translate.js":
            where = path.relative_to(root).as_posix()
            found |= {text: where for text in _asset_texts(path) if text not in found}
    return found


def untranslated(language: Language) -> dict[str, list[str]]:
    """Find what is wrong with a language's file: {kind: texts}, empty if nothing is.

    Args:
        language: to compare with the source.
    """
    wanted, given = texts(), language.texts
    problems = {
        "missing": [text for text in wanted if not given.get(text)],
        "stale": [text for text in given if text not in wanted],
        "other holes": [text for text, said in given.items() if holes(text) != holes(said)],
    }
    return {kind: found for kind, found in problems.items() if found}


def _python_files(root: Path) -> Iterator[Path]:
    for package in ("ui", "annotations", "ser"):
        for path in sorted((root / package).rglob("*.py")):
            if not path.relative_to(root).as_posix().startswith(COMMAND_LINE):
                yield path


def _asset_texts(path: Path) -> list[str]:
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        return split(source)
    if path.suffix == ".css":
        return re.findall(r'content: var\(--\w[\w-]*, "([^"]+)"\)', source)
    return [text for literal in script_literals(source) if _is_text(literal, page=True) for text in split(literal)]


def _is_text(text: str, *, page: bool) -> bool:
    """Tell a text for people from a name for programs."""
    if CODE.search(text.strip()):
        return False
    if re.search(r"</?[a-z][^>]*>", text):
        return True
    words = HOLE.sub("", text)
    if not has_words(text) or text.strip() in KEYS:
        return False
    if " " in words.strip() or words != text and " " in text:
        return not re.fullmatch(r"[a-z]+(, [a-z]+)*|[a-z]+-[a-z-]+( [a-z-]+)*", text)
    return page and bool(re.fullmatch(r"[A-Z][a-z]+( ?[…?!:])?", text))


def _drawing_functions(tree: ast.Module) -> Iterator[str]:
    """Names of functions that return HTML."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            if any(_is_drawn(node.value) for node in ast.walk(function) if isinstance(node, ast.Return)):
                yield function.name


def _is_drawn(node: ast.expr | None) -> bool:
    literals = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)] if node is not None else []
    return any(isinstance(value, str) and set(re.findall(r"</?([a-z]\w*)", value)) - set(INLINE) for value in literals)


def _raised(tree: ast.AST, kind: type[ast.expr]) -> set[str]:
    """Names of variables, or of functions called, that are the message of an error."""
    calls = [one.exc for one in ast.walk(tree) if isinstance(one, ast.Raise) and isinstance(one.exc, ast.Call)]
    given = [call.args[0] for call in calls if call.args and isinstance(call.args[0], kind)]
    named = [one.func if isinstance(one, ast.Call) else one for one in given]
    return {one.id for one in named if isinstance(one, ast.Name)}


class _Reader(ast.NodeVisitor):
    """Collects the texts of one module."""

    def __init__(self, drawing: set[str], explaining: set[str], *, page: bool, sentences: bool) -> None:
        self.drawing, self.explaining, self.page, self.sentences = drawing, explaining, page, sentences
        self.raised: set[str] = set()
        self.found: dict[str, None] = {}
        self.drawn: set[str] = set()

    def visit(self, node: ast.AST) -> None:
        """Read a text as a whole, then what is within its holes."""
        found = self.variants(node) if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp) else None
        if found is None:
            super().visit(node)
            return
        if self.sentences:
            self._add(found)
        for part in _inner(node):
            self.visit(part)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        kept, sentences = self.drawn, self.sentences
        self.sentences = sentences or node.name in self.explaining
        self.raised = _raised(node, ast.Name)
        for part in ast.walk(node):
            if isinstance(part, ast.Assign | ast.AugAssign) and _is_drawn(part.value):
                targets = part.targets if isinstance(part, ast.Assign) else [part.target]
                self.drawn = self.drawn | {target.id for target in targets if isinstance(target, ast.Name)}
        for statement in node.body:
            self.visit(statement)
        self.drawn, self.sentences = kept, sentences

    def visit_Assign(self, node: ast.Assign) -> None:
        """Read what is raised further down as a sentence."""
        kept = self.sentences
        self.sentences = kept or any(isinstance(one, ast.Name) and one.id in self.raised for one in node.targets)
        self.generic_visit(node)
        self.sentences = kept

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # Docstrings are not shown.
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in (*QUIET, *BUILT_IN):
            return
        if name in ("counted", "_counted") and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
            noun, more = str(node.args[1].value), "more " if node.keywords else ""
            number = "{count}" if name == "counted" else "<strong>{count}</strong>"
            self._add([f"{number} {more}{noun}", f"{number} {more}{noun}s"])
            self.visit(node.args[0])
            return
        kept = self.sentences
        self.sentences = kept or name.endswith("Error") or name in REASONS
        self.generic_visit(node)
        self.sentences = kept

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg not in ("elem_classes", "elem_id", "js", "storage_key"):
            self.visit(node.value)

    def visit_Assert(self, node: ast.Assert) -> None:
        """Skip what only programmers read."""

    def visit_Compare(self, node: ast.Compare) -> None:
        """Skip what is only compared with."""

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.visit(node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def _add(self, found: Iterable[str]) -> None:
        for whole in found:
            if whole.startswith("# "):  # Markdown of several paragraphs.
                whole = MARKDOWN.render(whole)
            if _is_text(whole, page=self.page):
                self.found |= dict.fromkeys(split(whole))

    def variants(self, node: ast.AST) -> list[str] | None:
        """The texts that an expression may be; None if it is none."""
        if isinstance(node, ast.Constant):
            return [FORMAT.sub(_formatted, node.value)] if isinstance(node.value, str) else None
        if isinstance(node, ast.JoinedStr):
            return _product(map(self._part, node.values))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = self.variants(node.left), self.variants(node.right)
            if left is None and right is None:
                return None
            return _product([left or [self._hole(node.left)], right or [self._hole(node.right)]])
        if isinstance(node, ast.IfExp):
            one, other = self.variants(node.body), self.variants(node.orelse)
            return None if one is None or other is None else [*one, *other]
        return None

    def _part(self, node: ast.expr) -> list[str]:
        value = node.value if isinstance(node, ast.FormattedValue) else node
        return [str(value.value)] if isinstance(value, ast.Constant) else self.variants(value) or [self._hole(value)]

    def _hole(self, node: ast.expr) -> str:
        called = node.func if isinstance(node, ast.Call) else None
        name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
        drawn = name in self.drawing or isinstance(node, ast.Name) and node.id in self.drawn or _is_drawn(node)
        return DRAWN if drawn else hole(_name(node))


def _inner(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes within the holes of a text."""
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.JoinedStr | ast.BinOp):
            yield from _inner(part)
        elif isinstance(part, ast.FormattedValue) and not isinstance(part.value, ast.Constant):
            if not _is_choice(part.value):  # Its words are in the text already.
                yield part.value
        elif not isinstance(part, ast.Constant | ast.operator | ast.FormattedValue):
            yield part


def _is_choice(node: ast.expr) -> bool:
    """True for `'' if count == 1 else 's'` and the like."""
    ends = (node.body, node.orelse) if isinstance(node, ast.IfExp) else (None,)
    return all(isinstance(end, ast.Constant) and re.fullmatch("[a-z ]*", str(end.value)) for end in ends)


def _name(node: ast.expr) -> str:
    """A name for the hole that an expression fills."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
        case ast.Call(func=ast.Name(id=name), args=args):
            plain = (
                "escape",
                "str",
                "round",
                "len",
                "int",
                "float",
                "repr",
                "sorted",
                "sum",
                "max",
                "min",
                "abs",
                "type",
            )
            return _name(args[0]) if name in plain and args else name
        case ast.Call(func=ast.Attribute(attr="join"), args=[given]):
            return _name(given)
        case ast.Call(func=ast.Attribute(attr=name, value=value)):
            kept = ("lower", "upper", "strip", "rstrip", "get", "replace", "total_seconds")
            return _name(value) if name in kept else name
        case ast.BoolOp(values=[first, *_]) | ast.IfExp(body=first) | ast.Starred(value=first):
            return _name(first)
        case ast.BinOp(left=left, right=right):
            return _name(right) if isinstance(left, ast.Constant) else _name(left)
        case ast.Subscript(value=value) | ast.UnaryOp(operand=value):
            return _name(value)
        case ast.GeneratorExp(generators=[first, *_]) | ast.ListComp(generators=[first, *_]):
            return _name(first.iter)
    return "value"


def _formatted(found: re.Match[str]) -> str:
    return found[0] if found[0] == "{}" else hole(found[1])


def _product(parts: Iterable[list[str]]) -> list[str]:
    return ["".join(chosen) for chosen in itertools.islice(itertools.product(*parts), MOST_VARIANTS)]


if __name__ == "__main__":
    for one in list_languages():
        print(json.dumps({one.code: untranslated(one)}, ensure_ascii=False, indent=1))
