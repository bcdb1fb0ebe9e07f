"""The floors of the house: a room imports only from lower floors, and no module imports itself by a detour."""

from __future__ import annotations

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "fasp_core"
UI = PACKAGE.parent / "ui"
FLOORS = [
    ["limits"],
    ["errors"],
    ["progress", "stats", "access"],
    ["head", "files"],
    ["data", "models", "selection"],
    ["passes", "toxicity", "study", "words"],
    ["cluster"],
    ["scoring", "evaluation", "figures"],
    ["comparison", "export"],
    ["jobs"],
    ["cli"],
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """Modules of this package that a file imports, inside functions and under TYPE_CHECKING too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the room they come from"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES.keys()


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
IMPORTS = {name: imported(path) - {name, "fasp_core"} for name, path in MODULES.items()}


def room_of(module: str) -> str:
    return module.split(".")[1]


def test_every_room_has_a_floor():
    entries = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert entries - {"__init__", "__main__"} == FLOOR_OF.keys()


def test_imports_point_to_lower_floors_only():
    upwards = [
        f"{module} → {target}"
        for module, targets in IMPORTS.items()
        for target in sorted(targets)
        if module not in ("fasp_core", "fasp_core.__main__")
        and room_of(module) != room_of(target)
        and FLOOR_OF[room_of(target)] >= FLOOR_OF[room_of(module)]
    ]
    assert upwards == []


def test_no_module_imports_itself_by_a_detour():
    circles, done = [], set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            circles.append(" → ".join([*path[path.index(module) :], module]))
        elif module not in done:
            for target in sorted(IMPORTS[module]):
                visit(target, [*path, module])
            done.add(module)

    for module in IMPORTS:
        visit(module, [])
    assert circles == []


def test_a_room_s_front_door_imports_nothing():
    """So that selecting and drawing never load torch. `figures` lends its charts to notebooks by one import."""
    for path in PACKAGE.glob("*/__init__.py"):
        if path.parent.name != "figures":
            (docstring,) = ast.parse(path.read_text("utf-8")).body
            assert isinstance(docstring, ast.Expr), path


def test_selecting_and_drawing_need_no_torch_and_nothing_here_needs_streamlit():
    for path in PACKAGE.rglob("*.py"):
        names = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
        }
        assert "streamlit" not in names, path
        if path.parent.name in ("stats", "selection", "figures", "words", "study"):
            assert "torch" not in names, path


def test_every_module_has_a_test_of_its_name_or_is_named_in_the_one_that_covers_it():
    """A test names what it covers by importing it, or in backticks: `name`."""
    tests = {path: path.read_text("utf-8") for path in (PACKAGE.parent / "tests").rglob("*.py")}
    names, root = {path.stem for path in tests}, PACKAGE.parent
    modules = [(path.stem, module) for module, path in MODULES.items()]
    modules += [(path.stem, ".".join(path.relative_to(root).with_suffix("").parts)) for path in UI.rglob("*.py")]

    def is_covered(stem: str, module: str) -> bool:
        package = module.rpartition(".")[0]
        named = re.compile(rf"\b{re.escape(module)}\b|from {re.escape(package)} import [^\n]*\b{stem}\b|`{stem}`")
        return f"test_{stem}" in names or any(map(named.search, tests.values()))

    assert [module for stem, module in modules if not stem.startswith("__") and not is_covered(stem, module)] == []
