"""The README promises only what exists."""

from __future__ import annotations

import dataclasses
import json
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
            _, _, _, file, *arguments = shlex.split(line)
            text = (ROOT / "launch" / file).read_text(encoding="utf-8")
            assert [name for name in arguments if f'"{name.partition(":=")[0]}"' not in text] == []


def test_parameter_table_is_true_of_the_node() -> None:
    from mail_localization.ros.settings import NodeSettings

    section = README[README.index("## The node") : README.index("## The model folder")]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", section, flags=re.MULTILINE)
    fields = {field.name: field for field in dataclasses.fields(NodeSettings)}  # type: ignore[arg-type]
    assert len(rows) > 10
    for name, default, meaning in rows:
        stated = json.dumps(fields[name].default).strip('"')
        assert (default, meaning) == (f"`{stated}`" if stated else "none", fields[name].metadata["doc"]), name


def test_topics_are_those_of_recordings() -> None:
    from mail_localization.data.recording import Topics

    rows = set(re.findall(r"^\| `(/[\w/]+)` \|", README, flags=re.MULTILINE))
    assert rows == {name for name in Topics().to_mapping().values() if isinstance(name, str)}


def test_datasets_are_those_that_import_knows() -> None:
    from mail_localization.data.sources import SOURCES

    section = README[README.index("## Public datasets") : README.index("## When something is wrong")]
    assert set(re.findall(r"^\| `([\w-]+)` \|", section, flags=re.MULTILINE)) == set(SOURCES)
