"""The page says everything, shows everything, and brings nothing from outside."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from analytic_heart import cold_spot, even, heart_of, series_of, study_of
from measured_heart import SUMMARY, full_study
from PIL import Image

from myoscope.core import Flag, InvalidValue, OutputError, PairResult, SeriesResult, SourceFile, Stated, StudyResult
from myoscope.report import COLOUR_TABLES, write_html
from myoscope.report.facts import left_out
from myoscope.report.indexed_png import NOT_SEEN
from myoscope.report.page import render_page
from myoscope.report.pairing import comparisons

WARNING = Flag("finders_disagree", "The two finders disagree; check the contours.", evidence={"axis_angle_deg": 12.125})
NOTE = Flag("negative_spacing", "The slices run downwards.", "info", {"spacing_mm": -4.0})
HOSTILE = Flag("odd", "<script>alert('x')</script> & <img src=http://evil.example/x>", "error", {"<b>": "</script>"})


class _Page(HTMLParser):
    """Tags with attributes, and the text outside of style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def stress() -> SeriesResult:
    state = Stated("stress", "description", "word ESTRESSE in SeriesDescription")
    return series_of(
        "stress", *heart_of(cold_spot(110), hot_liver=True, unseen=True), state=state, flags=(WARNING, NOTE)
    )


@pytest.fixture(scope="module")
def rest() -> SeriesResult:
    return series_of("rest", *heart_of(even, seed=4), state=Stated("rest", "code"))


@pytest.fixture(scope="module")
def gated() -> SeriesResult:
    return series_of("gated", *heart_of(cold_spot(280), n_gates=4), state=Stated("stress", "code"))


def _written(result: StudyResult, folder: Path, **options: str) -> tuple[str, _Page]:
    write_html(result, folder / "report.html", **options)
    text = (folder / "report.html").read_text(encoding="utf-8")
    return text, _Page(text)


def test_the_page_loads_nothing_from_outside(stress: SeriesResult, rest: SeriesResult, tmp_path: Path) -> None:
    text, page = _written(study_of(stress, rest), tmp_path)
    for _, attributes in page.tags:
        for name in ("src", "href", "data", "action", "srcset", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/png;base64,", "#"))
    assert not re.search(r"https?://|@import|url\(", text)
    assert not page.all("link")
    policy = [m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in str(policy[0])
    assert len(text) < 3_000_000


def test_flags_inferences_and_failures_are_all_said(stress: SeriesResult, rest: SeriesResult, tmp_path: Path) -> None:
    reason = "ct: no left ventricle could be located, the brightest place lies at the edge."
    failed = series_of("ct", stress.series.image, None, not_done=(reason,))  # type: ignore[arg-type]
    study = Flag("two_dates", "The series are from two days.", "warning")
    _, page = _written(study_of(stress, rest, failed, flags=(study,), skipped=("x.dcm is empty (0 bytes).",)), tmp_path)
    assert "The two finders disagree; check the contours." in page.text
    assert "axis angle 12.12 deg" in page.text
    assert "The slices run downwards." in page.text
    assert "The series are from two days." in page.text
    assert reason in page.text
    assert "The file is empty (0 bytes)." in page.text
    assert "x.dcm" not in page.text
    assert "state = stress, from word ESTRESSE in SeriesDescription" in page.text
    assert "Not measured: function of stress, rest (the series is not gated)." in page.text
    assert "70 to 110" in page.text
    assert "2 % not seen" in page.text
    assert page.text.index("The two finders disagree") < page.text.index("Short axis")  # before the pictures


def test_a_clean_study_says_that_it_raised_no_warning(rest: SeriesResult, tmp_path: Path) -> None:
    _, page = _written(study_of(rest), tmp_path)
    assert "No quality warning was raised" in page.text
    assert "Everything that was asked for was done." in page.text
    assert "Nothing: every fact shown here was stated in the files." in page.text
    assert "Research use, not a medical device" in page.text


def test_text_from_a_file_cannot_become_markup(rest: SeriesResult, tmp_path: Path) -> None:
    camera = Stated("<b onclick=alert(1)>Camera</b>", "header")
    series = replace(rest.series, camera=camera)
    odd = replace(rest, series=series, flags=(HOSTILE,), not_done=("</style><script>1</script>",))
    _, page = _written(study_of(odd), tmp_path)
    assert "<script>alert('x')</script>" in page.text
    assert len(page.all("script")) == 2
    assert not [a for _, a in page.tags if "onclick" in a]
    assert not [i for i in page.all("img") if "evil" in str(i.get("src"))]


def test_no_identifier_of_the_input_reaches_the_page(rest: SeriesResult, tmp_path: Path) -> None:
    uid_hash = "5e" * 32
    series = replace(
        rest.series, sources=(SourceFile("0123456789abcdef" * 4, 10, uid_hash),), series_uid_sha256=uid_hash
    )
    text, page = _written(study_of(replace(rest, series=series)), tmp_path)
    assert uid_hash not in text
    assert "0123456789ab" in page.text


def test_files_left_out_are_told_without_names_and_alike_ones_together(stress: SeriesResult) -> None:
    result = StudyResult(
        (stress,),
        skipped=("DOE.dcm is CT.", "JOHN.dcm is CT.", "May.dcm is empty."),
        left_out=("The file is CT.", "The file is CT.", "The file is empty."),
    )
    assert left_out(result) == ["2 files alike: The file is CT.", "The file is empty."]


def test_a_left_out_file_without_a_nameless_sentence_is_only_counted(stress: SeriesResult) -> None:
    (said,) = left_out(StudyResult((stress,), skipped=("Can Yilmaz 1950 is empty.",)))
    assert "Can" not in said


def test_stress_stands_above_rest_and_every_view_is_labelled(
    stress: SeriesResult, rest: SeriesResult, tmp_path: Path
) -> None:
    _, page = _written(study_of(rest, stress), tmp_path)  # read in the other order
    pictures = [str(i["alt"]) for i in page.all("img") if i.get("alt")]
    rows = [a for a in pictures if "axis" in a]
    assert [a.split(":")[0] for a in rows] == ["Stress*", "Rest"] * 3
    assert "short axis from apex to base, slices 1 to 10 of 20" in rows[0]
    assert "vertical long axis from septal to lateral, then horizontal long axis from inferior to anterior" in rows[4]
    for word in ("Ant", "Inf", "Sep", "Lat", "Apex", "Base", "LAD", "LCx", "RCA", "endocardium"):
        assert word in page.text


def test_pictures_and_controls_can_be_reached_without_seeing_or_a_mouse(stress: SeriesResult, tmp_path: Path) -> None:
    _, page = _written(study_of(stress), tmp_path)
    assert page.all("html")[0]["lang"] == "en"
    assert all("alt" in i for i in page.all("img"))
    assert all(c.get("tabindex") == "0" and c.get("aria-label") for c in page.all("canvas"))
    assert [o["value"] for o in page.all("option")][: len(COLOUR_TABLES)] == list(COLOUR_TABLES)
    names = [t for t, _ in page.tags]
    assert {"header", "main", "footer", "h1", "h2"} <= set(names)


def test_the_page_opens_in_the_table_that_was_asked_for(rest: SeriesResult, tmp_path: Path) -> None:
    _, page = _written(study_of(rest), tmp_path, colour_table="grey")
    assert [o["value"] for o in page.all("option") if "selected" in o] == ["grey"]
    url = next(str(i["src"]) for i in page.all("img") if "short axis" in str(i.get("alt")))
    palette = np.frombuffer(base64.b64decode(url.split(",")[1])[41 : 41 + 765], np.uint8).reshape(-1, 3)
    assert (palette == palette[:, :1]).all()
    with pytest.raises(InvalidValue, match="colour table"):
        write_html(study_of(rest), tmp_path / "other.html", colour_table="jet")
    assert not (tmp_path / "other.html").exists()


def test_the_colour_table_stands_where_the_page_script_replaces_it(rest: SeriesResult, tmp_path: Path) -> None:
    _, page = _written(study_of(rest), tmp_path)
    pictures = [a for t, a in page.tags if t in ("img", "image")]
    assert len(pictures) >= 3 + 1 + 1 + 4
    for attributes in pictures:
        png = base64.b64decode(str(attributes.get("src") or attributes.get("href")).split(",")[1])
        assert png[37:41] == b"PLTE"
        assert png[33:37] == (768).to_bytes(4, "big")


def test_a_gated_series_shows_end_diastole_end_systole_and_every_gate(gated: SeriesResult, tmp_path: Path) -> None:
    text, page = _written(study_of(gated), tmp_path)
    assert "starting at end-diastole (gate 1 of 4)" in text
    assert "at end-systole (gate 3 of 4)" in text
    assert len([a for t, a in page.tags if t == "div" and a.get("class") == "frame"]) == 4
    assert "EDV" in page.text


def test_a_study_without_a_heart_still_gives_a_page_with_the_reason(rest: SeriesResult, tmp_path: Path) -> None:
    failed = replace(rest, heart=None, not_done=("rest: no heart in view.",))
    _, page = _written(study_of(failed), tmp_path)
    assert "rest: no heart in view." in page.text
    assert "not analysed" in page.text


def test_the_same_result_gives_the_same_page(rest: SeriesResult, tmp_path: Path) -> None:
    first, _ = _written(study_of(rest), tmp_path)
    second, _ = _written(study_of(rest), tmp_path)
    assert first == second


def test_a_page_that_cannot_be_written_leaves_nothing_behind(rest: SeriesResult, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="could not be written"):
        write_html(study_of(rest), tmp_path / "nowhere" / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_stress_and_rest_are_paired_by_what_they_have_in_common(stress: SeriesResult, rest: SeriesResult) -> None:
    def variant(result: SeriesResult, name: str, corrected: str) -> SeriesResult:
        return replace(result, series=replace(result.series, name=name, corrected=Stated(corrected, "header")))

    series = [
        variant(rest, "rest_ac", "yes"),
        variant(stress, "stress_nc", "no"),
        variant(stress, "stress_ac", "yes"),
        variant(rest, "rest_nc", "no"),
        variant(replace(rest, heart=None), "rest_none", "no"),
    ]
    pairs = [[m.series.name for m in c.members] for c in comparisons(series)]
    assert pairs == [["stress_ac", "rest_ac"], ["stress_nc", "rest_nc"]]
    unknown = replace(rest, series=replace(rest.series, state=Stated(None, "missing")))
    assert [len(c.members) for c in comparisons([stress, unknown])] == [1, 1]


def test_a_heart_that_cannot_be_drawn_says_so_and_keeps_its_numbers(rest: SeriesResult, tmp_path: Path) -> None:
    assert rest.heart is not None
    heart = rest.heart
    dark = replace(
        heart,
        short_axis=heart.short_axis.like(np.zeros(heart.short_axis.grid.shape), "emptied"),
        polar_map=heart.polar_map.like(np.zeros((40, 72)), "emptied"),
    )
    _, page = _written(study_of(replace(rest, heart=dark)), tmp_path)
    assert "the slices cannot be shown: the wall holds no positive counts" in page.text
    assert "the polar map holds no positive value and is not shown" in page.text
    assert "Outlined wall volume" in page.text


def test_voxels_without_a_value_are_shown_as_not_seen(rest: SeriesResult, tmp_path: Path) -> None:
    assert rest.heart is not None
    stack = np.array(rest.heart.short_axis.array, float)
    stack[:17] = np.nan
    torn = replace(rest, heart=replace(rest.heart, short_axis=rest.heart.short_axis.like(stack, "torn")))
    _, page = _written(study_of(torn), tmp_path)
    url = next(str(i["src"]) for i in page.all("img") if "slices 11 to 20" in str(i.get("alt")))
    with Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))) as picture:
        levels = np.asarray(picture)
    size = levels.shape[0]
    assert (levels[:, : size // 3] == NOT_SEEN).all()
    assert (levels[:, 2 * size // 3 : size] != NOT_SEEN).all()


@pytest.fixture(scope="module")
def full() -> StudyResult:
    return full_study(cold_spot(110), even)


@pytest.fixture(scope="module")
def full_text(full: StudyResult) -> str:
    return render_page(full)


@pytest.fixture(scope="module")
def full_page(full_text: str) -> _Page:
    return _Page(full_text)


def _maps(page: _Page) -> list[str]:
    return [str(a["aria-label"]) for a in page.all("svg") if "polar map" in str(a.get("aria-label"))]


def test_the_summary_stands_before_everything_else(full_page: _Page) -> None:
    places = [full_page.text.index(sentence) for sentence in SUMMARY]
    assert places == sorted(places)
    assert places[-1] < full_page.text.index("No quality warning was raised") < full_page.text.index("Short axis")


def test_every_map_is_shown_for_stress_and_rest_with_its_unit_and_its_own_bar(full_text: str, full_page: _Page) -> None:
    told = [(m.split(":")[0], m.split("polar map of ")[1].split(",")[0]) for m in _maps(full_page)]
    shown = (
        "perfusion in % of maximum", "blackout in % of normal", "severity in deviations", "motion in mm",
        "thickening in %", "phase in ° after R", "amplitude in % of mean", "motion frozen in % of maximum",
    )  # fmt: skip
    assert sorted(told) == sorted(
        [(state, map_) for state in ("Stress", "Rest") for map_ in shown]
        + [("Stress to rest", "reversibility in % of normal")]
    )
    assert full_text.count('<g class="scale">') == len(told)
    assert "10 and more, violet: outward" in full_page.text


def test_the_numbers_on_a_map_are_its_own_and_scores_on_the_blackout_map(full: StudyResult, full_text: str) -> None:
    figures = {
        (m[1], m[2]): re.findall(r">([^<>]+)</text>", numbers)
        for m in re.finditer(r'<figure class="disc (\w+) map-(\w+)">(.*?)</figure>', full_text, re.S)
        for numbers in re.findall(r'<g class="numbers m17">(.*?)</g>', m[3], re.S)
    }
    stress = full.series[0].heart
    assert stress is not None
    assert stress.segment_scores is not None
    assert figures["stress", "blackout"] == [f"{abs(s):.0f}" for s in stress.segment_scores]
    assert figures["stress", "motion"] == [f"{v:.1f}" for v in stress.maps["motion"].segment_means(17)]
    assert set(figures["stress", "phase"]) <= {"140", "170", "200"}
    assert figures["change", "reversibility"][6] != "0"
    assert set(figures["rest", "severity"]) == {"0"}


def test_what_is_abnormal_is_black_and_everything_else_keeps_its_colour(full: StudyResult, full_text: str) -> None:
    url = re.findall(r'<image class="ix" data-blackout href="data:image/png;base64,([^"]+)"', full_text)[0]
    with Image.open(io.BytesIO(base64.b64decode(url))) as picture:
        levels = np.asarray(picture)
        assert picture.getpalette()[:3] == [0, 0, 0]  # type: ignore[index]
    stress = full.series[0].heart
    assert stress is not None
    lit = levels[(levels != NOT_SEEN) & (levels > 0)]
    lowest = np.nanmin(np.where(stress.maps["blackout"].value > 0, stress.maps["blackout"].value, np.nan))
    assert lit.min() >= 254 * (lowest - 6) / 100  # sharp edge: nothing between black and the faintest normal place
    share = np.mean(levels[levels != NOT_SEEN] == 0)
    cells = stress.polar_map.weights("display")[stress.maps["blackout"].value == 0].sum()
    assert share == pytest.approx(cells, abs=0.02)


def test_what_is_abnormal_is_said_in_words_beside_maps_and_in_tables(
    full: StudyResult, full_text: str, full_page: _Page
) -> None:
    abnormal = sum(q.abnormal is True for s in full.series if s.heart for q in s.heart.quantities)
    abnormal += sum(q.abnormal is True for p in full.pairs for q in p.quantities)
    tables = full_text[full_text.index('<div class="blocks">') :]
    assert tables.count('<span class="verdict abnormal">abnormal</span>') == abnormal
    assert "TPD 12 % (10 to 15) abnormal SSS" in full_page.text
    assert "TPD 12 % (abnormal)" in next(m for m in _maps(full_page) if m.startswith("Stress: polar map of blackout"))
    assert "abnormal from 5 %" in full_page.text


def test_the_limits_are_named_where_the_maps_are_and_in_full_below(full_page: _Page) -> None:
    assert "Abnormal is what lies below normal limits of 40 virtual patients, not people" in full_page.text
    assert "signed by the maintainers" in full_page.text


def test_volume_curve_and_phase_histogram_carry_their_numbers(full: StudyResult, full_page: _Page) -> None:
    labels = [str(a.get("aria-label")) for a in full_page.all("svg")]
    assert len([a for a in labels if "Volume of the cavity over one beat" in a]) == 1
    assert len([a for a in labels if "histogram of phase" in a]) == 2
    assert "850 ms" in full_page.text
    stress = full.series[0].heart
    assert stress is not None
    ejected = stress.quantity("EF")
    assert ejected is not None
    assert f"EF normal {ejected.value:.0f} % 56 to 66" in full_page.text
    assert "SD 30.0° (25.0 to 36.0) abnormal bandwidth 60.0°" in full_page.text


def test_a_comparison_without_maps_of_its_own_stays_in_one_row(
    stress: SeriesResult, rest: SeriesResult, full_text: str, tmp_path: Path
) -> None:
    plain, _ = _written(study_of(stress, rest), tmp_path)
    rich = full_text
    assert plain.count('class="dark maps flat n4 s2"') == 1
    assert 'class="dark function"' not in plain
    assert rich.count('class="dark maps rows n4 s1"') == 1
    assert rich.count('class="dark function"') == 1


def test_series_that_the_analysis_paired_stand_together(stress: SeriesResult, rest: SeriesResult) -> None:
    def named(result: SeriesResult, name: str) -> SeriesResult:
        return replace(result, series=replace(result.series, name=name))

    series = [named(stress, "stress"), named(rest, "rest_1"), named(rest, "rest_2")]
    pairs = [[m.series.name for m in c.members] for c in comparisons(series, [PairResult("stress", "rest_2")])]
    assert pairs == [["stress", "rest_2"], ["rest_1"]]


def test_a_pair_says_its_flags(full: StudyResult, tmp_path: Path) -> None:
    moved = replace(full.pairs[0], flags=(Flag("moved", "Stress and rest could not be laid over each other."),))
    _, page = _written(replace(full, pairs=(moved,)), tmp_path)
    assert "Stress and rest could not be laid over each other. stress and rest" in page.text


def test_series_that_only_served_others_share_a_line(stress: SeriesResult, tmp_path: Path) -> None:
    served = [
        replace(stress, heart=None, flags=(), series=replace(stress.series, name=name), used_for=what)
        for name, what in (("ct", "attenuation map"), ("projections_1", "reconstructed"))
    ]
    _, page = _written(study_of(stress, *served), tmp_path)
    assert "Also read: ct (attenuation map), projections_1 (reconstructed)." in page.text


def test_text_of_an_analysis_cannot_become_markup(full: StudyResult, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    stress = full.series[0]
    assert stress.heart is not None
    assert stress.heart.limits is not None
    odd = replace(
        stress.heart,
        limits=replace(stress.heart.limits, provenance=hostile, signed_by=hostile),
        quantities=tuple(
            replace(q, limit=hostile, interval_of=hostile if q.low is not None else "") for q in stress.heart.quantities
        ),
    )
    result = replace(full, series=(replace(stress, heart=odd), full.series[1]), summary=(hostile,))
    _, page = _written(result, tmp_path)
    assert page.text.count(hostile) > 5
    assert not [a for _, a in page.tags if "onerror" in a]


def test_a_full_study_stays_light(full_text: str, full_page: _Page) -> None:
    assert len(full_text) < 1_600_000
    assert not re.search(r"https?://|@import|url\(", full_text)
    names = {a["id"] for _, a in full_page.tags if a.get("id")}
    assert {str(u["href"])[1:] for u in full_page.all("use")} <= names


def test_series_that_share_a_flag_share_its_line_and_keep_their_evidence(
    stress: SeriesResult, rest: SeriesResult, tmp_path: Path
) -> None:
    other = replace(rest, flags=(Flag(NOTE.code, NOTE.message, "info", {"spacing_mm": -2.0}),))
    _, page = _written(study_of(stress, other), tmp_path)
    assert page.text.count(NOTE.message) == 1
    assert "stress, rest · negative_spacing · stress: spacing -4 mm; rest: spacing -2 mm" in page.text
