"""Texts within HTML and scripts, as the page's script finds them again in the browser (`assets/translate.js`).

Markup of words in a sentence stays in it, as in `Press <kbd>S</kbd>.`; other markup and ` · ` divide texts.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser

INLINE = ("a", "b", "code", "em", "kbd", "strong")
"""Elements that belong to the sentence around them; the script has the same list."""

ATTRIBUTES = ("alt", "aria-label", "aria-valuetext", "placeholder", "title")
"""Attributes that are shown or read out; the script has the same list."""

VOID = ("br", "circle", "hr", "img", "input", "link", "meta", "path", "rect")
"""Elements without an end."""

SEPARATOR = " · "

HOLE = re.compile(r"\{(\w+)\}")

DRAWN = "<x-drawn></x-drawn>"
"""Stands for a value that is HTML itself."""


def hole(name: str) -> str:
    """A hole for a value of that name."""
    return f"{{{name.strip('_').lower() or 'value'}}}"


def holes(text: str) -> list[str]:
    """Names of the holes of a text, sorted.

    >>> holes("Clip {clip} was not saved. {message}")
    ['clip', 'message']
    """
    return sorted(HOLE.findall(text))


def has_words(text: str) -> bool:
    """True if something is left to translate without holes and markup."""
    return bool(re.search(r"[A-Za-z]", re.sub(r"<[^>]*>", "", HOLE.sub("", text))))


def split(source: str) -> list[str]:
    """Divide HTML into one text for each element that holds words and their markup alone, else for each text node.

    >>> split('<p title="Key">Press <kbd>S</kbd>.</p><label>Order <select></select></label> · by {name}{moment}')
    ['Press <kbd>S</kbd>.', 'Order', 'by {name}', 'Key']
    """
    if not re.search(r"</?[a-z][^>]*>", source):
        return _parts(source)
    tree = _Tree()
    tree.feed(source)
    tree.close()
    return [*_texts_of(tree.root), *(text for value in tree.attributes for text in _parts(value))]


def _parts(text: str) -> list[str]:
    tidy = (_numbered(re.sub(r"[ \n\t]+", " ", part).strip(" \n\t·").rstrip(",")) for part in text.split(SEPARATOR))
    return [part for part in tidy if has_words(part)]


def _numbered(text: str) -> str:
    """Give each hole a name of its own, and holes side by side one."""
    counts: Counter[str] = Counter()

    def name(found: re.Match[str]) -> str:
        counts[found[1]] += 1
        return found[0] if counts[found[1]] == 1 else f"{{{found[1]}{counts[found[1]]}}}"

    return HOLE.sub(name, re.sub(r"(\{\w+\})(\{\w+\})+", r"\1", text))


class _Element:
    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.children: list[_Element | str] = []


class _Tree(HTMLParser):
    """The elements of a fragment, which may be the middle of a whole; and the texts of their attributes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = _Element("")
        self.open = [self.root]
        self.attributes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        element = _Element("untranslated" if given.get("translate") == "no" else tag)
        self.attributes += [value for name in ATTRIBUTES if (value := given.get(name))]
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(_Element(tag))

    def handle_endtag(self, tag: str) -> None:
        if len(self.open) > 1:
            self.open.pop()
        else:  # It was opened in another fragment: what came so far is its inside.
            inside = _Element(tag)
            inside.children, self.root.children = self.root.children, [inside]

    def handle_data(self, data: str) -> None:
        children = self.open[-1].children
        if children and isinstance(children[-1], str):
            children[-1] += data
        else:
            children.append(data)


def _texts_of(element: _Element) -> list[str]:
    if element.tag in ("style", "script", "code", "untranslated"):
        return []
    if _is_sentence(element):
        return _parts("".join(map(_marked, element.children)))
    found = []
    for child in element.children:
        found += _parts(child) if isinstance(child, str) else _texts_of(child)
    return found


def _marked(child: _Element | str) -> str:
    return child if isinstance(child, str) else f"<{child.tag}>{''.join(map(str, child.children))}</{child.tag}>"


def _is_sentence(element: _Element) -> bool:
    elements = [child for child in element.children if isinstance(child, _Element)]
    words = any(isinstance(child, str) and has_words(child) for child in element.children)
    plain = all(child.tag in INLINE and all(isinstance(part, str) for part in child.children) for child in elements)
    return words and bool(elements) and plain


def script_literals(source: str) -> Iterator[str]:
    """Strings and templates of a script, the values in them as holes; templates within templates come on their own.

    >>> list(script_literals("say('Clip ' + `${item.clip}: ${on ? 'now' : `in ${time} s`}`); // it's"))
    ['now', 'in {time} s', 'Clip {clip}: {on}']
    """
    last, after = "", 0
    for literal, start, end in _literals(source):
        if start is None:
            yield literal
        elif last and re.fullmatch(r"\s*\+\s*", source[after:start]):
            last, after = last + literal, end
        else:
            yield from [last] if last else []
            last, after = literal, end
    yield from [last] if last else []


def _literals(source: str) -> Iterator[tuple[str, int | None, int]]:
    """(literal, its start, its end) of each; those within a template without a start."""
    place = 0
    while place < len(source):
        letter, start = source[place], place
        if source.startswith("//", place):
            end = source.find("\n", place)
            place = end if end >= 0 else len(source)
        elif source.startswith("/*", place):
            place = source.index("*/", place) + 2
        elif letter in "\"'":
            place = _end(rf"(?:\\.|[^\\{letter}])*", source, place + 1) + 1
            yield _unescaped(source[start + 1 : place - 1]), start, place
        elif letter == "`":
            literal, inner, place = _template(source, place + 1)
            for expression in inner:
                yield from ((text, None, 0) for text in script_literals(expression))
            yield literal, start, place
        elif letter == "/" and re.search(r"([(,=:[!&|?{};>\n]|return)\s*$", source[max(0, place - 20) : place]):
            place = _end(r"(?:\\.|\[(?:\\.|[^\]])*\]|[^/\\\n])+/", source, place + 1)
        else:
            place += 1


def _end(pattern: str, source: str, place: int) -> int:
    found = re.compile(pattern).match(source, place)
    return found.end() if found else place


def _template(source: str, place: int) -> tuple[str, list[str], int]:
    parts: list[str] = []
    inner: list[str] = []
    while source[place] != "`":
        if source.startswith("${", place):
            end, depth = place + 2, 1
            while depth:
                depth += {"{": 1, "}": -1}.get(source[end], 0)
                end += 1
            inner.append(source[place + 2 : end - 1])
            parts.append(DRAWN if re.search("[`'\"]<", inner[-1]) else hole(_value_name(inner[-1])))
            place = end
        else:
            step = 2 if source[place] == "\\" else 1
            parts.append(_unescaped(source[place : place + step]))
            place += step
    return "".join(parts), inner, place + 1


def _value_name(expression: str) -> str:
    """The name of a value: of the last property that is no method, or of the variable."""
    found = re.match(r"[^A-Za-z_]*([A-Za-z_][\w.]*)", expression)
    if found is None:
        return "value"
    names = found[1].split(".")
    return names[-2] if len(names) > 1 and expression[found.end() :].startswith("(") else names[-1]


def _unescaped(text: str) -> str:
    return re.sub(
        r"\\(u[0-9a-fA-F]{4}|.)",
        lambda found: ast.literal_eval(f'"\\{found[1]}"') if found[1][0] in "untr" else found[1],
        text,
    )
