from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from surveys import write_survey

from mail_localization.errors import EXTRAS, MissingDependencyError, importing

ROOT = Path(__file__).parents[1]


def test_missing_library_names_the_pip_line() -> None:
    line = r"a test needs torch: pip install 'mail_localization\[models\]'"
    with pytest.raises(MissingDependencyError, match=line), importing("a test"):
        raise ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")


def test_import_that_fails_for_another_reason_stays_a_bug() -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named 'surely_not_there'"), importing("a test"):
        import surely_not_there  # noqa: F401


def test_extras_are_those_of_setup() -> None:
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert all(f'"{library}>=' in setup and f'"{extra}":' in setup for library, extra in EXTRAS.items())


METHOD_NEEDING = {"dtaidistance": "magicol", "vqf": "pdr"}
"""Library -> the method that needs it, where mail does not."""


# Training needs all but those of the Wi-Fi scanner and of clusters, and those of exporting, without which it warns.
@pytest.mark.parametrize("library", sorted(EXTRAS.keys() - {"distributed", "jeepney", "onnx", "onnxruntime"}))
def test_train_without_a_library_is_one_line(tmp_path: Path, library: str) -> None:
    method = METHOD_NEEDING.get(library, "mail")
    bags = [str(path) for path in write_survey(tmp_path, seconds=15.0)]
    script = (
        f"import sys\nsys.modules[{library!r}] = None\n"
        "from mail_localization.cli import main\n"
        "sys.exit(main(['train', '--method', sys.argv.pop(1), '--out', sys.argv[1], '--bags', *sys.argv[2:]]))\n"
    )
    command = [sys.executable, "-c", script, method, str(tmp_path / "model"), *bags]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert f"needs {library}: pip install 'mail_localization[{EXTRAS[library]}]'" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_radio_without_its_library_names_every_way() -> None:
    script = (
        "import sys\nsys.modules['jeepney'] = None\n"
        "from mail_localization.data.radios import open_radio\nopen_radio('auto', 'no_such_radio0')\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    words = done.stderr.splitlines()[-1]
    assert "RadioError: no Wi-Fi radio can be used: networkmanager: " in words
    assert "needs jeepney: pip install 'mail_localization[wifi]'" in words
    assert "; iw: " in words
