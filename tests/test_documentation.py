"""The documentation does what it says: its Python runs, its commands exist, its figures follow the program."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from myoscope.cli import app

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/tutorial.md", "docs/how-to/analyse-a-study.md", "docs/how-to/read-the-result.md")
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _code_of(page: str) -> str:
    """All Python of a page, one block after the other, as a reader would type it."""
    return "\n".join(_BLOCK.findall((ROOT / page).read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def after_make_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reader")
    answer = CliRunner().invoke(app, ["demo", "--out", str(folder / "demo")])
    assert answer.exit_code == 0, answer.output
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_python_of_a_page_runs_as_it_stands(
    page: str,
    after_make_demo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = _code_of(page)
    assert "myoscope" in code or "json" in code
    (tmp_path / "demo").symlink_to(after_make_demo / "demo")
    # Two images are enough for a page; the whole study was analysed by the demo.
    dicom = after_make_demo / "demo" / "dicom"
    for study in (tmp_path / "study", tmp_path / "studies" / "first"):
        study.mkdir(parents=True)
        for name in ("stress-supine.dcm", "rest-supine.dcm"):
            (study / name).symlink_to(dicom / name)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, page, "exec"), {"__name__": "__main__"})
    assert "Error" not in capsys.readouterr().out


def test_demo_writes_what_the_tutorial_opens(after_make_demo: Path) -> None:
    page = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    for place in ("demo/dicom", "demo/result/report.html", "demo/result/result.json"):
        assert place in page
        assert (after_make_demo / place).exists()


def test_front_page_lists_the_files_that_are_written(after_make_demo: Path) -> None:
    page = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    result = after_make_demo / "demo" / "result"
    assert {p.name for p in result.iterdir() if p.is_file()} == {"report.html", "result.json"}
    for folder in (p for p in result.iterdir() if p.is_dir()):
        for path in folder.iterdir():
            assert path.name in page


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    named = {
        name for page in pages for name in re.findall(r"(?:\$ |`)make ([a-z-]+)", page.read_text(encoding="utf-8"))
    }
    assert {"demo", "test"} <= named <= targets


@pytest.mark.parametrize("name", ["frames_convention.svg", "polar_map_convention.svg"])
def test_a_figure_of_conventions_is_what_its_command_draws(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="figures are drawn with matplotlib")
    script = tmp_path / "docs" / "make" / "conventions.py"
    script.parent.mkdir(parents=True)
    script.write_bytes((ROOT / "docs/make/conventions.py").read_bytes())
    subprocess.run([sys.executable, script], check=True, timeout=120)
    words = (ROOT / "docs/images" / name, tmp_path / "docs/images" / name)
    ours, drawn = (re.findall(r"<!-- (.*?) -->", path.read_text(encoding="utf-8")) for path in words)
    assert ours == drawn
    assert len(ours) >= 20
