"""The documents say what the code does: signatures, commands, help, links and paths.

python tests/test_docs.py      # writes the signatures in docs/architecture.md, and docs/cli.md and docs/api.md, anew
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
import inspect
import re
import shlex
import textwrap
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

import fasp_core
from fasp_core.cli.app import app
from fasp_core.cli.help import cli_markdown
from fasp_core.files.paths import PROJECT
from fasp_core.words.verdicts import describe_verdict
from ui.words import choice_sentence

DOCS = sorted((PROJECT / "docs").glob("*.md"))
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", PROJECT / "CHANGELOG.md", *DOCS]
ARCHITECTURE, CLI, API, TUTORIAL = (
    PROJECT / "docs" / f"{name}.md" for name in ("architecture", "cli", "api", "tutorial")
)
WIDTH = 120
BLOCK = re.compile(r"(?<=<!-- contracts -->\n```python\n).*?(?=```\n)", re.S)
ENTRY = re.compile(r"^[A-Za-z_][\w.]*(?=\()")
ATTRIBUTES = re.compile(r"^([A-Z]\w*): ")
COMMAND = re.compile(r"^(?:\S*/)?(?:python -m fasp_core|fasp) (?=[a-z])(.*)$")


# The contracts: each `# fasp_core.module` is followed by signatures, `Class: .attribute …` lines and indented comments.


def contracts(text: str) -> str:
    return BLOCK.search(text)[0]


def refreshed(block: str) -> str:
    """The block with every signature as the code has it; comments stay, attributes are checked by a test."""
    module, lines, inside = None, [], False
    for line in block.splitlines():
        if line.startswith("# fasp_core."):
            module = importlib.import_module(line.split()[1])
        if found := ENTRY.match(line):
            lines += signature(module, found[0])
            inside = True
        elif not (inside and line.startswith("    ") and not line.lstrip().startswith("#")):
            lines.append(line)
            inside = False
    return "\n".join(lines) + "\n"


def signature(module: object, name: str) -> list[str]:
    """`name(a, *, b=1) -> Result`, over as many lines as it takes."""
    function = resolved(module, name)
    made = inspect.signature(function)
    parameters = [p for p in made.parameters.values() if p.name not in ("self", "cls")]
    text = f"{name}({', '.join(written(parameters))})"
    if not inspect.isclass(function) and made.return_annotation is not made.empty:
        text += f" -> {str(made.return_annotation).strip(chr(39))}"
    return textwrap.wrap(text, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def written(parameters: list[inspect.Parameter]) -> list[str]:
    parts, star = [], False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        star = star or parameter.kind is parameter.VAR_POSITIONAL
        default = "" if parameter.default is parameter.empty else f"={shown(parameter.default)}"
        parts.append(f"{str(parameter).split(':')[0].split('=')[0].strip()}{default}")
    return parts


def shown(default: object) -> str:
    if dataclasses.is_dataclass(default):
        return f"{type(default).__name__}()"
    return "…" if type(default).__repr__ is object.__repr__ else repr(default).replace("'", '"')


def resolved(module: object, name: str) -> object:
    for part in name.split("."):
        module = getattr(module, part)
    return module


def test_every_contract_is_the_code_s():
    block = contracts(ARCHITECTURE.read_text("utf-8"))
    assert block == refreshed(block), "run: PYTHONPATH=. python tests/test_docs.py"


def test_the_contracts_are_read():
    """What the tests above compare is there, and a wrong signature is found."""
    block = contracts(ARCHITECTURE.read_text("utf-8"))
    assert len([line for line in block.splitlines() if ENTRY.match(line)]) > 30
    assert refreshed(block.replace('device="auto"', 'device="cpu"')) == block
    assert refreshed("# fasp_core.errors\nnearest(a,\n    b)\n    # words\n") == (
        "# fasp_core.errors\nnearest(name, allowed) -> str\n    # words\n"
    )


def attribute_lines() -> list[tuple[str, str, str]]:
    module, found = "", []
    for line in contracts(ARCHITECTURE.read_text("utf-8")).splitlines():
        module = line.split()[1] if line.startswith("# fasp_core.") else module
        if match := ATTRIBUTES.match(line):
            found.append((module, match[1], line))
    return found


@pytest.mark.parametrize(("module", "name", "line"), attribute_lines(), ids=lambda value: str(value)[:30])
def test_every_attribute_in_a_contract_exists(module, name, line):
    kind = getattr(importlib.import_module(module), name)
    fields = {field for base in kind.__mro__ for field in getattr(base, "__annotations__", {})}
    ours = [base for base in kind.__mro__ if base.__module__.startswith("fasp_core")]
    for attribute in re.findall(r" \.(\w+)", line):
        # An attribute that `__init__` sets is found in its source.
        assigned = any(f"self.{attribute}" in inspect.getsource(base) for base in ours)
        assert attribute in fields or hasattr(kind, attribute) or assigned, f"{name}.{attribute}"


# Rooms, commands, links and paths.


def test_the_tables_of_rooms_hold_every_room():
    package = PROJECT / "fasp_core"
    rooms = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    rooms -= {"__init__", "__main__"}
    table = ARCHITECTURE.read_text("utf-8").split("## Rooms")[1].split("Where to begin")[0]
    assert set(re.findall(r"`(\w+)/?`", "\n".join(re.findall(r"^\| [1-9] \| ([^|]*)", table, re.M)))) == rooms
    docstring = re.findall(
        r"^    \d  (\S.*?)   ", ast.get_docstring(ast.parse((package / "__init__.py").read_text())), re.M
    )
    assert {room for names in docstring for room in names.split(", ")} == rooms


def commands(path: Path) -> list[str]:
    """The command lines of a document, from its code blocks and its code spans."""
    text = path.read_text("utf-8")
    blocks = re.findall(r"^```(?:sh|bash)\n(.*?)^```", text, re.S | re.M)
    spans = [span for span in re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))]
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [found[1] for line in (*lines, *spans) if (found := COMMAND.match(line)) and "…" not in line]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_parses(path):
    for line in commands(path):
        command, words = get_command(app), shlex.split(line)
        context = command.context_class(command, info_name="fasp")
        while hasattr(command, "commands"):
            assert (words or [""])[0] in command.commands, f"{path.name}: fasp {line}"
            command, words = command.commands[words[0]], words[1:]
            if not words and getattr(command, "invoke_without_command", False):
                break
        if words != ["--help"] and (words or not spans_a_name(line)):
            command.make_context("fasp", words, parent=context)  # raises for whatever it does not understand


def spans_a_name(line: str) -> bool:
    """Whether a command is only named, as in `fasp score`."""
    return len(line.split()) == 1


def test_commands_are_found_and_wrong_ones_refused():
    assert len(commands(PROJECT / "README.md")) >= 8
    command = get_command(app).commands["score"]
    with pytest.raises(Exception, match="No such option"):
        command.make_context("fasp", ["default", "--axis", "x"])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_module_that_is_run_exists(path):
    for module in re.findall(r"python -m ((?:fasp_core|benchmarks)[\w.]*)", path.read_text("utf-8")):
        assert importlib.util.find_spec(module) is not None, module


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_make_target_exists(path):
    targets = re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text("utf-8"), re.M)
    assert len(targets) >= 8
    assert {*re.findall(r"(?:^|`)make ([a-z]+)", path.read_text("utf-8"), re.M)} <= {*targets}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_block_of_python_parses(path):
    text = BLOCK.sub("", path.read_text("utf-8"))
    for block in re.findall(r"^```python\n(.*?)^```", text, re.S | re.M):
        ast.parse(block)


def anchors(path: Path) -> set[str]:
    """What a link can name in a document: its headings, in lower case, without punctuation, with hyphens."""
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.S | re.M)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_and_every_path_of_the_project_exists(path):
    text = path.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http:", "https:")):
            file, _, anchor = target.partition("#")
            assert (path.parent / file).exists(), target
            assert not anchor or anchor in anchors(path.parent / file if file else path), target
    for named in re.findall(r"`((?:fasp_core|ui|pages|tests|docs|benchmarks|static)/[\w./-]*)`", text):
        assert (PROJECT / named).exists(), named


def test_cli_md_is_the_help():
    assert CLI.read_text("utf-8") == cli_markdown(), "run: PYTHONPATH=. python tests/test_docs.py"


# The site: its navigation, the page of the Python API, and what the tutorial says.


def api_markdown() -> str:
    """docs/api.md: an entry for each public name, which `make docs` fills in from the code."""
    names = [f"{getattr(fasp_core, name).__module__}.{name}" for name in fasp_core.__all__]
    return (
        "# Python\n\n`import fasp_core as fasp` gives these names; each module is loaded when its name is first used. "
        "`make docs` fills in\nsignatures and descriptions from the code.\n\n"
        '```python\nimport fasp_core as fasp\n\nscores = fasp.open_study("default").scores()\n'
        'selection = fasp.select_heads(scores, axis="gender_and_sex", gamma=0.3, alpha=0.1)\n```\n\n'
        + "\n".join(f"::: {name}\n" for name in names)
    )


def test_api_md_names_the_public_api():
    assert API.read_text("utf-8") == api_markdown(), "run: PYTHONPATH=. python tests/test_docs.py"


def test_the_code_of_the_api_page_runs():
    names: dict[str, object] = {}
    exec(API.read_text("utf-8").split("```python\n")[1].split("```")[0], names)
    assert len(names["selection"].pruned) == 27


def entries(nav: object) -> list[str]:
    """The files of a navigation, at any depth."""
    if isinstance(nav, str):
        return [nav]
    return [file for part in (nav.values() if isinstance(nav, dict) else nav) for file in entries(part)]


def test_every_document_is_in_the_site_s_navigation_once():
    site = yaml.safe_load((PROJECT / "mkdocs.yml").read_text("utf-8"))
    assert sorted(entries(site["nav"])) == [path.name for path in DOCS]
    assert site["strict"]
    assert site["theme"]["font"] is False  # no font from another server


def test_the_tutorial_says_what_the_pages_say():
    text, quoted = TUTORIAL.read_text("utf-8"), " ".join(TUTORIAL.read_text("utf-8").replace("\n>", " ").split())
    verdict = fasp_core.open_study("default").omnibus("gender_and_sex", metric="likelihood")
    assert describe_verdict(verdict, unit="nats").replace("\u00a0", " ") in quoted
    assert choice_sentence("fasp", 270, 81, 27) in quoted
    code = "".join(path.read_text("utf-8") for folder in ("ui", "pages") for path in (PROJECT / folder).rglob("*.py"))
    for label in re.findall(r"(?<!\*)\*([A-Z][^*\n]+)\*(?!\*)", text):
        axis = label.lower().replace(" ", "_")
        assert f'"{label}"' in code or axis in fasp_core.load_prompts().axes or label == "Not clear yet", label


if __name__ == "__main__":
    text = ARCHITECTURE.read_text("utf-8")
    ARCHITECTURE.write_text(BLOCK.sub(lambda found: refreshed(found[0]), text), "utf-8")
    CLI.write_text(cli_markdown(), "utf-8")
    API.write_text(api_markdown(), "utf-8")
