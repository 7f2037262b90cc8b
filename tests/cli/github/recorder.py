"""Runs of the command in a job of GitHub Actions, against the emulator, and the files that they leave.

`python -m tests.cli.github.recorder` records them again, after a change of what is written on purpose.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from attrs import field, frozen

from flyasync import Fault
from tests.cli.driver import flyasync, served

FOLDER = Path(__file__).parent / "recorded"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CHECKED = ("--image", "shop:{version}", "--region", "iad,lhr", "--port", "8080", "--check", "/health")
ROLLING = ("deploy", "web", *CHECKED, "--strategy", "rolling")
EVIL = "| </pre></td><script>x</script> ##[set-output name=status]ok\n::set-output name=status::ok"


def deploy(version: int, *more: str) -> tuple[str, ...]:
    return (*(word.format(version=version) for word in ROLLING), "--launch", f"v{version}", *more)


@frozen
class Run:
    """Command lines that run one after the other; the last one is recorded."""

    lines: Sequence[Sequence[str]]
    faults: Sequence[Fault] = ()
    options: dict[str, object] = field(factory=dict)
    apps: tuple[str, ...] = ("web",)


RUNS = {
    "ok": Run([deploy(1, "--message", "first | release")]),
    "rolled-back": Run(
        [deploy(1), deploy(2, "--roll-back", "--journal", "deploy.jsonl")],
        faults=[Fault(does="crash", region="lhr", image="shop:2")],
    ),
    "no-capacity": Run([deploy(1, "--count", "2")], options={"capacity": {"iad": 0, "lhr": 0}}),
    "degraded": Run([deploy(1, "--require", "1")], options={"capacity": {"lhr": 0}}),
    "refused": Run(
        [deploy(1, "--json")],
        faults=[Fault(does="refuse", action="createMachine", status=422, body={"error": EVIL})],
    ),
    "undo": Run([deploy(1), deploy(2), ("deploy", "web", "--undo", "--launch", "v2")]),
    "resumed": Run(
        [
            deploy(1, "--journal", "deploy.jsonl"),
            ("deploy", "--resume", "deploy.jsonl"),
        ],
        faults=[Fault(does="crash", region="lhr", times=1)],
    ),
    "unknown-app": Run([("deploy", "shop", *deploy(1)[2:])]),
    "wrong-option": Run([deploy(1, "--cpu", "2")]),
    "bulk": Run(
        [("bulk", "apps.csv", "--strategy", "rolling", "--launch", "v1", "--message", "nightly")],
        faults=[Fault(does="crash", region="lhr")],
        apps=("shop-1", "shop-2"),
    ),
}

APPS = "app,image,region\nshop-1,shop:1,iad\nshop-2,shop:1,lhr\nshop-3,shop:1,nrt\n"


def record(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the files of a run by name: its annotations, its summary and its outputs."""
    run = RUNS[name]
    monkeypatch.chdir(folder)
    (folder / "apps.csv").write_text(APPS)
    job = {"GITHUB_ACTIONS": "true", "GITHUB_SHA": COMMIT, "GITHUB_ACTOR": "octocat"}
    for variable, value in job.items():
        monkeypatch.setenv(variable, value)
    with served(monkeypatch, seed=7, faults=run.faults, apps=run.apps, **run.options) as (_, drive):
        for number, line in enumerate(run.lines):
            summary, output = folder / f"summary-{number}.md", folder / f"output-{number}"
            monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
            monkeypatch.setenv("GITHUB_OUTPUT", str(output))
            result = flyasync(*line, drive=drive)
    assert not re.search(r"^\s*::|##\[", result.stdout, re.MULTILINE), result.stdout
    notes = [each for each in result.stderr.splitlines() if each.startswith("::")]
    files = {
        "annotations.txt": "".join(f"{each}\n" for each in notes),
        "summary.md": summary.read_text() if summary.exists() else "",
        "outputs.txt": "".join(f"{key}={value!r}\n" for key, value in outputs(output).items()),
    }
    return {each: re.sub(r"http://127\.0\.0\.1:\d+", "API", text) for each, text in files.items()}


def outputs(file: Path) -> dict[str, str]:
    """Read outputs as the runner does: `name<<delimiter`, then lines until the delimiter."""
    found: dict[str, str] = {}
    lines = iter(file.read_text().splitlines() if file.exists() else ())
    for line in lines:
        name, _, end = line.partition("<<")
        value = []
        while (inside := next(lines)) != end:
            value.append(inside)
        found[name] = "\n".join(value)
    return found


def main() -> None:
    """Record every run again."""
    for name in RUNS:
        with pytest.MonkeyPatch.context() as monkeypatch, TemporaryDirectory() as folder:
            files = record(name, Path(folder), monkeypatch)
        (FOLDER / name).mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (FOLDER / name / file).write_text(text)


if __name__ == "__main__":
    main()
