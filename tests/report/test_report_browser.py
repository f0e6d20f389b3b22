"""The page in a real browser: printed pages, colour tables, cine and the turning surface."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from analytic_heart import cold_spot, even, heart_of, series_of, study_of
from measured_heart import full_study

from myoscope.core import Flag, Stated, StudyResult
from myoscope.report import write_html

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine (Debian package chromium)"),
]

STRESS, REST = Stated("stress", "code"), Stated("rest", "code")


def _single() -> StudyResult:
    return study_of(series_of("image_1", *heart_of(cold_spot(250))))


def _pair() -> StudyResult:
    return study_of(
        series_of("stress", *heart_of(cold_spot(110)), state=STRESS), series_of("rest", *heart_of(even), state=REST)
    )


def _gated_pair() -> StudyResult:
    return study_of(
        series_of("stress", *heart_of(cold_spot(110), n_gates=8), state=STRESS),
        series_of("rest", *heart_of(even, n_gates=8), state=REST),
    )


def _pair_with_many_flags() -> StudyResult:
    said = "Something about the image deserves attention because the numbers say so; look at the contours."
    flags = tuple(Flag(f"flag_{n}", f"{n}: {said}", "warning", {"size_mm": n}) for n in range(9))
    stress = series_of("stress", *heart_of(cold_spot(110)), state=STRESS, flags=flags)
    rest = series_of("rest", *heart_of(even), state=Stated("rest", "description", "word REPOUSO in ImageID"))
    return study_of(stress, rest, skipped=("x.dcm is empty (0 bytes).",))


def _full() -> StudyResult:
    return full_study(cold_spot(110), even)


def _full_still() -> StudyResult:
    return full_study(cold_spot(110), even, n_gates=1)


def _browse(page: Path, folder: Path, *arguments: str) -> str:
    quiet = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--virtual-time-budget=3000", "--window-size=1280,2200", f"--user-data-dir={folder / 'profile'}"),
    )
    done = subprocess.run(
        [str(BROWSER), *quiet, *arguments, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


@pytest.mark.parametrize(
    ("study", "n_pages"),
    [(_single, 2), (_pair, 2), (_gated_pair, 2), (_pair_with_many_flags, 2), (_full_still, 4), (_full, 5)],
)
def test_a_study_prints_to_few_pages(study: Callable[[], StudyResult], n_pages: int, tmp_path: Path) -> None:
    write_html(study(), tmp_path / "report.html")
    pdf = tmp_path / "report.pdf"
    _browse(tmp_path / "report.html", tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={pdf}")
    pages = re.findall(rb"/Type\s*/Page\b(?!s)", pdf.read_bytes())
    assert len(pages) <= n_pages


def _after(script: str, result: StudyResult, folder: Path) -> str:
    """The page's document once a script at its end has run."""
    write_html(result, folder / "report.html")
    text = (folder / "report.html").read_text(encoding="utf-8")
    changed = folder / "changed.html"
    changed.write_text(text.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    return _browse(changed, folder, "--dump-dom")


def test_the_table_that_a_reader_chooses_colours_the_pictures_as_if_it_had_been_the_first(tmp_path: Path) -> None:
    choose = 'const t = document.getElementById("table"); t.value = "hot"; t.dispatchEvent(new Event("change"));'
    shown = _after(choose, _single(), tmp_path)
    write_html(_single(), tmp_path / "hot.html", colour_table="hot")
    expected = (tmp_path / "hot.html").read_text(encoding="utf-8")
    urls = [re.findall(r'(?:src|href)="(data:image/png[^"]+)"', text) for text in (shown, expected)]
    assert len(urls[1]) > 8
    assert urls[0] == urls[1]


@pytest.mark.parametrize("table", ["grey_inverse", "hot"])
def test_every_map_of_a_full_study_takes_or_keeps_its_colours(table: str, tmp_path: Path) -> None:
    """Counts follow the reader's table, what is abnormal stays black, and other maps stay as they are."""
    choose = f'const t = document.getElementById("table"); t.value = "{table}"; t.dispatchEvent(new Event("change"));'
    shown = _after(choose, _full(), tmp_path)
    write_html(_full(), tmp_path / "chosen.html", colour_table=table)
    expected = (tmp_path / "chosen.html").read_text(encoding="utf-8")
    urls = [re.findall(r'(?:src|href)="(data:image/png[^"]+)"', text) for text in (shown, expected)]
    assert len(urls[1]) > 40
    assert urls[0] == urls[1]


def test_nothing_is_wider_than_the_screen(tmp_path: Path) -> None:
    measure = """
      const past = (e) => e.getBoundingClientRect().right > innerWidth + 1;
      const wide = [...document.querySelectorAll("main *")].filter(past);
      document.title = `${wide.length} of ${document.querySelectorAll("main *").length > 500}`;
    """
    title = re.findall(r"<title>(.*?)</title>", _after(measure, _full(), tmp_path))[0]
    assert title == "0 of true"


def test_the_surface_is_drawn_and_the_cine_moves(tmp_path: Path) -> None:
    script = """
      const pixels = (c) => c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
      const canvas = document.querySelector("canvas");
      const before = pixels(canvas).reduce((s, v) => s + v, 0);
      canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
      document.querySelector(".play").click();
      setTimeout(() => {
        const after = pixels(canvas).reduce((s, v) => s + v, 0);
        document.title = `drawn ${before > 0} turned ${before !== after} ${document.querySelector(".gate").value}`;
      }, 1500);
    """
    title = re.findall(r"<title>(.*?)</title>", _after(script, _gated_pair(), tmp_path))[0]
    assert re.fullmatch(r"drawn true turned true gate \d of 8", title)
