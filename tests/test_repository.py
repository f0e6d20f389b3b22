"""What must never be in the repository: other people's machines, patients, and bulk."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WEIGHTS = {".onnx", ".safetensors"}
BINARY = {*WEIGHTS, ".png", ".jpg", ".ico", ".npz", ".gz", ".dcm", ".woff2", ".limits", ".zip"}

HOME_FOLDERS = "|".join(("home", "root", "Users", "work", "tmp", "mnt", "scratch"))
MACHINE_PATH = re.compile(rf"(?<![\w.<>~)\]}}:/-])/(?:{HOME_FOLDERS})/[\w.-]+|\b[A-Z]:\\\\?Users\\")
# The root of identifiers that stands for nobody is made from a random number (2.25) or is our own documentation's.
REAL_UID = re.compile(r"\b1\.2\.840\.(?!10008\b)\d+(?:\.\d+){4,}")


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    if listed.returncode != 0:
        pytest.skip("this is not a git checkout, so which files belong to it is unknown")
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def _texts() -> list[tuple[str, str]]:
    return [
        (path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for path in _tracked()
        if path.suffix not in BINARY and path != Path(__file__)
    ]


def _hits(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in _texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_a_folder_of_one_machine() -> None:
    assert _hits(MACHINE_PATH) == []


def test_no_file_is_large_except_weights() -> None:
    large = [p.relative_to(ROOT).as_posix() for p in _tracked() if p.stat().st_size > 1_000_000]
    assert [name for name in large if Path(name).suffix not in WEIGHTS] == []


def test_weights_are_a_few_megabytes_and_carry_a_card() -> None:
    weights = [p for p in _tracked() if p.suffix in WEIGHTS]
    for path in weights:
        assert path.stat().st_size < 10_000_000, path.name
        assert list(path.parent.glob("*.md")), f"{path.name} has no model card beside it"


def test_no_image_or_patient_file_is_tracked() -> None:
    assert [p.name for p in _tracked() if p.suffix in {".dcm", ".ima", ".gz", ".nii", ".hv", ".h33", ".ipynb"}] == []


def test_no_identifier_of_a_real_object_is_tracked() -> None:
    assert _hits(REAL_UID) == []


def test_every_pin_is_exact() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 50
    assert [line for line in pins if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", line)] == []


def test_every_direct_dependency_is_pinned() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    pinned = {
        _normal(line.split("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    assert {_normal(re.split(r"[\[<>=~! ]", name)[0]) for name in wanted} <= pinned


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "base", "misc"])
def test_no_module_has_a_name_that_says_nothing(name: str) -> None:
    assert [p for p in _tracked() if p.stem == name or p.parent.name == name] == []


def test_every_page_of_the_documentation_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = [
        p.relative_to(ROOT / "docs").as_posix()
        for p in _tracked()
        if (ROOT / "docs") in p.parents and p.suffix == ".md"
    ]
    assert pages
    assert [page for page in pages if page not in navigation] == []


def test_nothing_that_is_installed_to_run_is_under_the_gpl() -> None:
    """Its licence would be that of every program that ships with it."""
    from importlib import metadata

    found, left = set[str](), ["myoscope"]
    while left:
        name = _normal(left.pop())
        if name in found:
            continue
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # wanted on other systems or older Pythons only
        found.add(name)
        for wanted in requirements:
            if "extra ==" not in wanted:
                left.append(re.split(r"[\[<>=~!; (]", wanted)[0])
    assert len(found) > 10
    licences = {
        name: " ".join(
            [
                *(metadata.metadata(name).get_all("License-Expression") or []),
                *(c for c in metadata.metadata(name).get_all("Classifier") or [] if c.startswith("License")),
            ]
        )
        for name in found
    }
    gpl = re.compile(r"(?<!L)(?<!Lesser )(?:GPL|General Public License)")
    assert {name: licence for name, licence in licences.items() if gpl.search(licence)} == {}
