"""What an import costs, held by the names of the modules it brings and never by a clock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "numpy",
    "scipy",
    "torch",
    "monai",
    "pydicom",
    "nibabel",
    "onnxruntime",
    "PIL",
    "jinja2",
    "matplotlib",
    "SimpleITK",
    "rich",
)
TRAINING = ("torch", "monai", "lightning", "onnx", "onnxscript", "safetensors", "matplotlib", "SimpleITK")

PACKAGES = (
    *("core", "physics", "evaluate", "learn"),
    *("io", "simulate", "reconstruct", "correct", "heart", "quantify", "explain", "report"),
    *("systems", "analyze", "serve"),
)


def _run(code: str, cwd: Path | None = None, *arguments: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _modules_after(code: str, cwd: Path | None = None) -> set[str]:
    """Top-level packages in memory once ``code`` has run in a fresh interpreter."""
    listing = _run(code + "\nimport sys\nprint('\\nMODULES', *sorted(sys.modules))", cwd)
    names = listing.rsplit("MODULES", 1)[1].split()
    return {name.split(".")[0] for name in names}


@pytest.fixture(scope="module")
def brought_by_typer() -> set[str]:
    return _modules_after("import typer")


def test_the_command_line_imports_nothing_heavy_that_typer_does_not(brought_by_typer: set[str]) -> None:
    brought = _modules_after("import myoscope.cli")
    assert "typer" in brought
    assert not (brought - brought_by_typer) & set(HEAVY)


def test_help_imports_nothing_heavier_than_typers_own_help() -> None:
    show_help = "from typer.testing import CliRunner\nassert CliRunner().invoke({app}, ['--help']).exit_code == 0"
    plain = "import typer\napp = typer.Typer(rich_markup_mode=None)\n@app.command()\ndef verb(): ...\n"
    ours = _modules_after("from myoscope.cli import app\n" + show_help.format(app="app"))
    typers = _modules_after(plain + show_help.format(app="app"))
    assert not (ours - typers) & set(HEAVY)


def test_importing_the_command_line_adds_few_modules_to_typers() -> None:
    count = "import sys\nprint(len(sys.modules))"
    ours, typers = int(_run("import myoscope.cli\n" + count)), int(_run("import typer\n" + count))
    assert ours - typers < 25


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_brings_no_training_library(package: str) -> None:
    brought = _modules_after(f"import myoscope.{package}")
    assert not brought & set(TRAINING)
    assert "onnxruntime" not in brought


def test_importing_every_package_says_nothing() -> None:
    packages = "core, io, simulate, heart, quantify, report, learn, systems, analyze"
    assert _run(f"from myoscope import {packages}") == ""


def test_listing_the_systems_imports_no_torch() -> None:
    code = "from typer.testing import CliRunner\nfrom myoscope.cli import app\n"
    brought = _modules_after(code + "assert CliRunner().invoke(app, ['list', '--json']).exit_code == 0")
    assert not brought & {"torch", "monai", "numpy"}


def test_analysing_a_study_with_both_finders_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "from myoscope.analyze import Settings, analyze\n"
        "from myoscope.core import CardiacFrame, Grid\n"
        "from myoscope.io import write_nm\n"
        "from myoscope.simulate.phantom import lv_phantom\n"
        "frame = CardiacFrame([10.0, -10.0, 0.0], [0.5, -0.8, -0.35])\n"
        "grid = Grid.axis_aligned((56, 56, 48), spacing_mm=4.0)\n"
        "write_nm(lv_phantom(grid, frame=frame, fwhm_mm=8.5).volume, Path('stress.dcm'))\n"
        "result = analyze([Path('stress.dcm')], Path('result'), settings=Settings(finder='network'))\n"
        "assert any(one.heart is not None for one in result.series)\n"
    )
    brought = _modules_after(code, tmp_path)
    assert "onnxruntime" in brought
    assert not brought & {"torch", "monai", "matplotlib"}


def test_no_thread_but_the_first_imports_anything_while_a_heart_is_found(tmp_path: Path) -> None:
    """Two threads that import parts of one package at once can meet it half made: a rare KeyError."""
    code = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from myoscope import heart\n"
        "from myoscope.core import CardiacFrame, Grid, Volume\n"
        "from myoscope.simulate import lv_phantom\n"
        "elsewhere = []\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if threading.current_thread() is not threading.main_thread():\n"
        "            elsewhere.append(name)\n"
        "if sys.argv[1:] == ['make']:\n"
        "    frame = CardiacFrame(np.array([8.0, -10, 4]), np.array([0.5, -0.8, -0.35]))\n"
        "    grid = Grid.axis_aligned((32, 32, 28), spacing_mm=6.5)\n"
        "    volume = lv_phantom(grid, frame=frame, fwhm_mm=11, rng=np.random.default_rng(1)).volume\n"
        "    np.savez('heart.npz', array=volume.array, affine=grid.affine)\n"
        "else:\n"
        "    kept = np.load('heart.npz')\n"
        "    volume = Volume(kept['array'], Grid(kept['array'].shape, kept['affine']), 'counts')\n"
        "    sys.meta_path.insert(0, Watch())\n"
        "    heart.find_left_ventricle(volume, in_training_domain=False)\n"
        "    print(*sorted(set(elsewhere)))\n"
    )
    _run(code, tmp_path, "make")
    # In a process of its own, in which nothing has been imported yet by making the phantom.
    elsewhere = _run(code, tmp_path).split()
    assert [name for name in elsewhere if name.split(".")[0] in ("numpy", "scipy", "onnxruntime", "myoscope")] == []


def test_who_imports_whom_keeps_the_contract() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    if not linter.exists():
        pytest.skip("import-linter is not installed")
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [linter, "--no-cache"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stdout
