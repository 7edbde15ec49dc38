"""The import graph: no import runs up a floor, no two files import each other.

`python tests/test_import_graph.py [ROOT]` says how any checkout stands.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("ood_core", "pipelines")
FLOORS = (
    ("ood_core",),
    ("pipelines/errors.py", "pipelines/__init__.py"),
    ("pipelines/storage.py", "pipelines/config"),
    ("pipelines/runtime",),
    ("pipelines/inputs",),
    ("pipelines/scan_directory", "pipelines/judges"),
    (
        "pipelines/memory",
        "pipelines/consensus",
        "pipelines/evaluation",
        "pipelines/flags",
        "pipelines/verdicts",
    ),
    ("pipelines/scans",),
    ("pipelines/label_banks",),
    ("pipelines/reports", "pipelines/verify", "pipelines/exports"),
    ("pipelines/demo",),
    ("pipelines/commands", "pipelines/__main__.py"),
)
"""From the lowest up. A file imports from its own floor or below."""

AT_THE_ROOT = {"__init__.py", "__main__.py", "errors.py", "storage.py"}
"""All that lies at the root of `pipelines/`; `__main__.py` is where Python looks for `python -m pipelines`."""


def imports(root: Path) -> dict[str, set[str]]:
    """By file, the files of the packages that it imports, within functions and for type checkers too."""
    files = {path.relative_to(root).as_posix() for package in PACKAGES for path in (root / package).rglob("*.py")}
    return {file: set(_imported(root, file, files)) - {file} for file in sorted(files)}


def _imported(root: Path, file: str, files: set[str]) -> Iterable[str]:
    for node in ast.walk(ast.parse((root / file).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for name in node.names:
                yield from _files_of(f"{node.module}.{name.name}", files) or _files_of(node.module, files)
        elif isinstance(node, ast.Import):
            for name in node.names:
                yield from _files_of(name.name, files)


def _files_of(module: str, files: set[str]) -> list[str]:
    path = module.replace(".", "/")
    return [file for file in (f"{path}.py", f"{path}/__init__.py") if file in files]


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Files that import each other, directly or by way of others: the strongly connected components of the graph."""
    order: list[str] = []
    seen: set[str] = set()
    backwards: dict[str, set[str]] = defaultdict(set)
    for file, imported in graph.items():
        for other in imported:
            backwards[other].add(file)
        _visit(file, graph, seen, order)
    found, assigned = [], set[str]()
    for file in reversed(order):
        together: list[str] = []
        _visit(file, backwards, assigned, together)
        if len(together) > 1:
            found.append(sorted(together))
    return found


def _visit(start: str, graph: Mapping[str, set[str]], seen: set[str], order: list[str]) -> None:
    """Appends the files reachable from a file that were not seen before, those that others need first."""
    if start in seen:
        return
    seen.add(start)
    waiting = [(start, iter(sorted(graph.get(start, ()))))]
    while waiting:
        left = waiting[-1][1]
        following = next((other for other in left if other not in seen), None)
        if following is None:
            order.append(waiting.pop()[0])
        else:
            seen.add(following)
            waiting.append((following, iter(sorted(graph.get(following, ())))))


def floor(file: str) -> int:
    """The number of a file's floor, 0 the lowest. Raises StopIteration for a file that has none."""
    return next(
        number for number, rooms in enumerate(FLOORS) for room in rooms if file == room or file.startswith(f"{room}/")
    )


def floors_needed(graph: Mapping[str, set[str]]) -> int:
    """How many floors the files at the root and the folders of `pipelines/` take if every import must go down.

    Rooms in a circle share a floor.
    """
    rooms: dict[str, set[str]] = defaultdict(set)
    for file, imported in graph.items():
        rooms[_room(file)] |= {_room(other) for other in imported} - {_room(file)}
    together = {room: circle[0] for circle in circles(rooms) for room in circle}
    merged: dict[str, set[str]] = defaultdict(set)
    for room, others in rooms.items():
        name = together.get(room, room)
        merged[name] |= {together.get(other, other) for other in others} - {name}
    heights: dict[str, int] = {}

    def height(room: str) -> int:
        if room not in heights:
            heights[room] = 1 + max((height(other) for other in merged[room]), default=0)
        return heights[room]

    return max(map(height, list(merged)))


def _room(file: str) -> str:
    parts = file.split("/")
    return parts[0] if parts[0] == "ood_core" else "/".join(parts[:2])


def climbs(graph: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """Imports of a file by another on a lower floor."""
    return [
        (file, other) for file, imported in graph.items() for other in sorted(imported) if floor(other) > floor(file)
    ]


def test_every_file_has_a_floor_and_the_root_holds_nothing_else() -> None:
    assert {path.name for path in (REPOSITORY / "pipelines").glob("*.py")} == AT_THE_ROOT
    assert all(floor(file) >= 0 for file in imports(REPOSITORY))


def test_no_import_runs_up_a_floor() -> None:
    assert climbs(imports(REPOSITORY)) == []


def test_no_two_files_import_each_other() -> None:
    assert circles(imports(REPOSITORY)) == []


def test_every_folder_says_what_lives_there() -> None:
    for package in PACKAGES:
        for folder in [REPOSITORY / package, *(REPOSITORY / package).rglob("*/")]:
            if any(folder.glob("*.py")):
                assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder


def test_circles_are_found_whatever_their_length() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a"}}
    assert sorted(circles(graph)) == [["a", "b", "c"], ["d", "e"]]


def main(root: Path) -> None:
    """Writes how many files, rooms at the root, floors and circles a checkout has."""
    graph = imports(root)
    at_root = sorted(path.name for path in (root / "pipelines").glob("*.py"))
    lines = [
        f"{len(graph)} files, {sum(map(len, graph.values()))} imports",
        f"at the root of pipelines/: {len(at_root)} files",
        f"floors: {floors_needed(graph)}",
        f"circles of files: {circles(graph) or 'none'}",
    ]
    if root == REPOSITORY:
        lines.append(f"imports up a floor: {climbs(graph) or 'none'}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else REPOSITORY)
