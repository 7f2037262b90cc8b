"""A user's program over the public surface has a type everywhere, for mypy and for pyright at their strictest."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "api.py"


def run(*words: str, where: Path) -> str:
    done = subprocess.run([sys.executable, "-m", *words], cwd=where, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_mypy_is_content(tmp_path: Path) -> None:
    # From a folder without a configuration, as another project would run it.
    assert "no issues found in 1 source file" in run(
        "mypy", "--strict", "--cache-dir", str(tmp_path), str(PROGRAM), where=tmp_path
    )


@pytest.mark.docs
def test_pyright_finds_nothing_unknown(tmp_path: Path) -> None:
    (tmp_path / "api.py").write_text(PROGRAM.read_text(encoding="utf-8"))
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"include": ["api.py"], "typeCheckingMode": "strict"}))
    assert "0 errors, 0 warnings" in run("pyright", "--pythonpath", sys.executable, where=tmp_path)
