"""The README promises only what exists."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _shell_lines() -> list[str]:
    """Return the commands of all code blocks and of the running text, comments cut."""
    blocks = re.findall(r"^```bash\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL))
    return [line.split("    #")[0].strip() for line in lines + spans]


def _commands() -> list[str]:
    found = [re.sub(r"^ros2 run mail_localization ", "", line) for line in _shell_lines()]
    return [line for line in found if line.startswith("mail_localization ")]


@pytest.mark.parametrize("line", _commands())
def test_command_is_understood(line: str) -> None:
    from mail_localization.cli import build_parser

    arguments = shlex.split(line)[1:]
    if arguments[-1] == "--help":
        with pytest.raises(SystemExit) as end:
            build_parser().parse_args(arguments)
        assert end.value.code == 0
    else:
        assert build_parser().parse_args(arguments).command == arguments[0]


def test_every_command_is_shown() -> None:
    from mail_localization.cli import COMMANDS

    assert {line.split()[1] for line in _commands()} == set(COMMANDS)


def test_make_targets_exist() -> None:
    named = {
        word for line in _shell_lines() if line.startswith("make ") for word in line.split()[1:] if "=" not in word
    }
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"demo", "test", "lint", "bench", "build"} <= named
    assert named <= set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))


def test_named_files_exist() -> None:
    words = {word for line in _shell_lines() for word in line.split()}
    named = {word for word in words if re.match(r"(config|launch|test|tools|requirements|\.ci)/\S", word)}
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_launch_arguments_exist() -> None:
    for line in _shell_lines():
        if line.startswith("ros2 launch mail_localization "):
            _, _, _, file, *arguments = line.split()
            text = (ROOT / "launch" / file).read_text(encoding="utf-8")
            assert [name for name in arguments if f'"{name.partition(":=")[0]}"' not in text] == []


def test_parameter_table_is_that_of_the_node() -> None:
    """The node's settings are read without importing ROS."""
    tree = ast.parse((ROOT / "mail_localization" / "ros" / "parameters.py").read_text(encoding="utf-8"))
    (settings,) = (n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == "NodeSettings")
    fields = {
        node.target.id: (ast.literal_eval(node.value.args[0]), ast.literal_eval(node.value.args[1]))
        for node in settings.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(node.value, ast.Call)
    }
    section = README[README.index("## The node") : README.index("## The model folder")]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", section, flags=re.MULTILINE)
    assert {name: (default, meaning) for name, default, meaning in rows} == {
        name: (f"`{default}`" if default != "" else "none", meaning) for name, (default, meaning) in fields.items()
    }


def test_topics_are_those_of_recordings() -> None:
    from mail_localization.data.recording import Topics

    rows = set(re.findall(r"^\| `(/[\w/]+)` \|", README, flags=re.MULTILINE))
    assert rows == {name for name in Topics().to_mapping().values() if isinstance(name, str)}


def test_datasets_are_those_that_import_knows() -> None:
    from mail_localization.data.sources import SOURCES

    section = README[README.index("## Public datasets") : README.index("## When something is wrong")]
    assert set(re.findall(r"^\| `([\w-]+)` \|", section, flags=re.MULTILINE)) == set(SOURCES)
