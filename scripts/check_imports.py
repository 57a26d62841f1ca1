"""Finds circles among the modules of a crate.

In: folders of crates. Out: a line for each circle, with the imports that make it, and exit 1 if there is one.

Below each module its children must be in an order in which each imports only what stands before it; the module's own file is one of
them. What counts are paths that begin with `crate`, `super` or `self`, in `use` and in the code. A name that a `mod.rs` hands on with
`pub use` counts as an import of the module that it comes from. Tests may import what they like.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

Module = tuple[str, ...]
"""The names from the crate's root to a module; empty for the root itself."""

OWN_FILE = "(its own file)"
COMMENTS_AND_TEXTS = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?'(?:\\.[^']*|[^'\\])'""", re.DOTALL
)
TEST_MODULE = re.compile(
    r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?mod (\w+)\s*([;{])"
)
USE = re.compile(r"\b(?P<public>pub(?:\([^)]*\))?\s+)?use\s+(?P<tree>[^;]+);")
PATH = re.compile(r"\b(?:crate|super|self)(?:::\w+)+")


def without_tests(code: str) -> tuple[str, set[str]]:
    """The code without its test modules, and the names of those that are files of their own."""
    files = set()
    while found := TEST_MODULE.search(code):
        if found[2] == ";":
            files.add(found[1])
            end = found.end()
        else:
            depth, end = 1, found.end()
            while depth and end < len(code):
                depth += {"{": 1, "}": -1}.get(code[end], 0)
                end += 1
        code = code[: found.start()] + code[end:]
    return code, files


def leaves(tree: str) -> Iterator[tuple[list[str], str]]:
    """The paths of a `use`, each with the name that it gets."""
    tree = tree.strip()
    if (brace := tree.find("{")) < 0:
        path, _, name = tree.partition(" as ")
        parts = [part.strip() for part in path.split("::")]
        yield parts, name.strip() or parts[-1]
        return
    prefix = [part.strip() for part in tree[:brace].split("::") if part.strip()]
    depth, start = 0, brace + 1
    inside = tree[: tree.rindex("}")] + ","
    for at in range(brace + 1, len(inside)):
        depth += {"{": 1, "}": -1}.get(inside[at], 0)
        if inside[at] == "," and depth == 0:
            if inside[start:at].strip():
                for parts, name in leaves(inside[start:at]):
                    yield prefix + parts, name
            start = at + 1


class Crate:
    """The modules of a crate and what each imports."""

    def __init__(self, source: Path) -> None:
        self.codes: dict[Module, str] = {}
        tests: set[Module] = set()
        for file in sorted(source.rglob("*.rs")):
            module = file.relative_to(source).with_suffix("").parts
            if module == ("main",) or module[:1] == ("bin",):
                continue
            if module[-1] in ("mod", "lib"):
                module = module[:-1]
            code = COMMENTS_AND_TEXTS.sub(" ", file.read_text(encoding="utf-8"))
            self.codes[module], names = without_tests(code)
            tests |= {(*module, name) for name in names}
        for module in tests:
            self.codes.pop(module, None)
        self.handed_on: dict[Module, dict[str, list[str]]] = defaultdict(dict)
        for module, code in self.codes.items():
            for use in USE.finditer(code):
                if use["public"]:
                    self.handed_on[module].update({name: path for path, name in leaves(use["tree"])})

    def resolve(self, module: Module, path: list[str], hops: int = 0) -> Module | None:
        """The module that a path written in `module` leads to; none when it leads out of the crate."""
        first, *rest = path
        if first == "crate":
            at: Module = ()
        elif first == "self":
            at = module
        elif first == "super":
            at = module[:-1]
            while rest[:1] == ["super"]:
                at, rest = at[:-1], rest[1:]
        elif (*module, first) in self.codes:
            at, rest = module, path
        else:
            return None
        while rest:
            child, *tail = rest
            if (*at, child) in self.codes:
                at, rest = (*at, child), tail
                continue
            further = self.handed_on[at].get(child)
            if further and hops < 10:
                return self.resolve(at, further, hops + 1) or at
            break
        return at

    def imports(self) -> Iterator[tuple[Module, Module]]:
        """Pairs of modules of which the first imports the second."""
        for module, code in self.codes.items():
            paths = []
            for use in USE.finditer(code):
                if not use["public"]:
                    paths += [path for path, _ in leaves(use["tree"])]
            paths += [found[0].split("::") for found in PATH.finditer(USE.sub(" ", code))]
            for path in paths:
                target = self.resolve(module, path)
                if target is not None and target != module:
                    yield module, target


def circles(edges: dict[str, set[str]]) -> Iterator[set[str]]:
    """Sets of nodes that reach each other."""
    reach = {}
    for node in edges:
        seen: set[str] = set()
        waiting = [node]
        while waiting:
            for following in edges.get(waiting.pop(), ()):
                if following not in seen:
                    seen.add(following)
                    waiting.append(following)
        reach[node] = seen
    left = {node for node in reach if node in reach[node]}
    while left:
        node = min(left)
        circle = {other for other in reach[node] if node in reach.get(other, ())}
        yield circle
        left -= circle


def findings(folder: Path) -> Iterator[str]:
    """A line for each circle of a crate."""
    levels: dict[Module, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    examples: dict[tuple[Module, str, str], tuple[Module, Module]] = {}
    for importer, imported in Crate(folder / "src").imports():
        common = 0
        while importer[common : common + 1] == imported[common : common + 1] != ():
            common += 1
        level = importer[:common]
        ends = [(module[common:] or (OWN_FILE,))[0] for module in (importer, imported)]
        levels[level][ends[0]].add(ends[1])
        examples.setdefault((level, ends[0], ends[1]), (importer, imported))
    for level, edges in sorted(levels.items()):
        for circle in circles(edges):
            names = ", ".join(sorted(circle))
            yield f"{folder.name}: circle in {'::'.join(('crate', *level))}: {names}"
            for (at, start, end), pair in sorted(examples.items()):
                if at == level and {start, end} <= circle:
                    yield "    {} imports {}".format(*("::".join(("crate", *m)) for m in pair))


def main() -> int:
    """Looks at the crates whose folders are given."""
    lines = [line for folder in sys.argv[1:] for line in findings(Path(folder))]
    print(*lines, sep="\n", end="\n" if lines else "")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
