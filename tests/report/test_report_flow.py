"""The page shows flow on fixed scales with the curves behind it, and result.json holds the same numbers."""

from __future__ import annotations

from dataclasses import replace

import jsonschema
import numpy as np
import pytest
from analytic_heart import cold_spot, even, heart_of, series_of, study_of

from myoscope import flow_figures, flow_pair
from myoscope.core import (
    VESSELS,
    FlowCurves,
    FlowResult,
    PairResult,
    PolarMap,
    RegionValue,
    SeriesResult,
    Stated,
    StudyResult,
    segment_table,
)
from myoscope.report import result_schema, result_to_dict
from myoscope.report.flow_panel import flow_panel
from myoscope.report.map_panel import maps_of
from myoscope.report.map_scales import MAP_SCALES
from myoscope.report.page import render_page
from myoscope.report.pairing import comparisons
from myoscope.report.summary import summary_of

START_S = np.arange(0, 180, 15.0)
TABLE = np.zeros((256, 3), np.uint8)


def flow_of(wall: PolarMap, level: float) -> FlowResult:
    """A flow of this level whose curves are plain formulas."""
    middle = START_S + 7.5
    blood = 2e5 * middle * np.exp(-middle / 25)
    muscle = level * 2e4 * (1 - np.exp(-middle / 40))
    flow = wall.like(
        np.where(wall.value > 0, level * wall.value / np.nanmax(wall.value), np.nan), "flow", unit="mL/min/g"
    )
    regions = (*VESSELS, "left ventricle")

    def value(name: str) -> RegionValue:
        return RegionValue(name, level, 0.8 * level, 1.25 * level)

    shifts = np.zeros((len(START_S), 3))
    shifts[2] = (0.0, 0.0, 6.0)
    return FlowResult(
        tracer="rubidium",
        model="Lortie one-tissue (Rb-82)",
        flow=flow,
        error=flow.like(0.1 * flow.value, "error"),
        parameters={"k1": flow.like(0.6 * flow.value, "k1", unit="mL/min/mL")},
        segments=tuple(value(s.name) for s in segment_table(17)),
        vessels=tuple(value(v) for v in VESSELS),
        whole=value("left ventricle"),
        curves=FlowCurves(
            START_S,
            np.full(len(START_S), 15.0),
            blood,
            np.full(len(START_S), np.nan),
            regions,
            np.stack([muscle + 0.3 * blood] * 4),
            np.stack([muscle + 0.31 * blood] * 4),
            "Bq/mL",
        ),
        shifts_mm=shifts,
        shift_kind=("empty", *("blood",) * 4, *("tissue",) * 7),
        shift_fit=np.full(len(START_S), 0.9),
        failed={"no uptake": 3},
        settings=("washout fitted cell by cell",),
    )


def with_flow(name: str, state: str, level: float, *, cold: bool) -> SeriesResult:
    image, heart = heart_of(cold_spot(110) if cold else even)
    one = series_of(name, image, heart, state=Stated(state, "code"))
    assert one.heart is not None
    flow = flow_of(one.heart.polar_map, level)
    heart = replace(
        one.heart,
        flow=flow,
        maps={**one.heart.maps, **flow_figures.flow_maps(flow)},
        quantities=(*one.heart.quantities, *flow_figures.flow_quantities(flow, stress=state == "stress")),
    )
    return replace(one, heart=heart)


@pytest.fixture(scope="module")
def study() -> StudyResult:
    members = with_flow("stress", "stress", 2.4, cold=True), with_flow("rest", "rest", 0.8, cold=False)
    flows = [m.heart.flow for m in members if m.heart is not None and m.heart.flow is not None]
    reserve = flow_pair.reserve_of(flows[0], flows[1], rate_pressure=9000.0)
    pair = PairResult(
        "stress",
        "rest",
        flow_figures.reserve_quantities(reserve, "rubidium"),
        flow_figures.reserve_maps(reserve),
        reserve=reserve,
    )
    result = replace(study_of(*members), pairs=(pair,))
    return replace(result, summary=summary_of(result))


def test_flow_is_shown_on_one_scale_at_rest_and_under_stress(study: StudyResult) -> None:
    (group,) = comparisons(study.series, study.pairs)
    maps = maps_of(group, study.pairs[0], TABLE, key="map0")
    panel = flow_panel(group, study.pairs[0], maps.grounds, TABLE)
    assert panel is not None
    discs = [cell.disc for row in panel.maps.rows for cell in row if cell.disc is not None]
    assert [d.name for d in discs] == ["flow", "uptake", "flow_error"] * 2
    assert (MAP_SCALES["flow"].low, MAP_SCALES["flow"].high) == (0, 4)
    assert [cell.disc.name for cell in panel.maps.last if cell.disc] == ["reserve", "capacity"]
    assert "Lortie" in panel.note
    assert "6 cells" in panel.note


def test_every_territory_has_its_measured_points_and_fit_and_blood_is_in_thousands(study: StudyResult) -> None:
    (group,) = comparisons(study.series, study.pairs)
    maps = maps_of(group, study.pairs[0], TABLE, key="map0")
    panel = flow_panel(group, study.pairs[0], maps.grounds, TABLE)
    assert panel is not None
    blood, *regions, motion = panel.charts
    assert blood.title == "Blood, kBq/mL"
    assert [c.title.split(",")[0] for c in regions] == [*VESSELS, "left ventricle"]
    for chart in regions:
        assert [line.state for line in chart.lines] == ["stress", "rest"]
        assert all(len(line.points) == len(START_S) for line in chart.lines)
        assert [fact.text for fact in chart.facts] == ["2.40 mL/min/g", "0.80 mL/min/g"]
    assert "6.0 mm" in motion.facts[0].text


def test_the_page_and_the_summary_tell_reserve_with_its_limit(study: StudyResult) -> None:
    page = render_page(study)
    for words in ("Blood flow", "flow reserve", "flow capacity", "Displacement of the heart", "guideline level"):
        assert words.lower() in page.lower(), words
    assert any(sentence.startswith("Flow reserve of the wall (stress, rest): 3.00") for sentence in study.summary)


def test_a_study_with_flow_follows_the_schema(study: StudyResult) -> None:
    content = result_to_dict(study)
    jsonschema.validate(content, result_schema())
    stress = content["series"][0]["heart"]["flow"]
    assert stress["whole_mL_min_g"]["value"] == pytest.approx(2.4)
    assert len(stress["segments_mL_min_g"]) == 17
    assert stress["curves"]["right_blood"] == [None] * len(START_S)
    reserve = content["pairs"][0]["reserve"]
    assert reserve["whole"]["value"] == pytest.approx(3.0)
    assert reserve["corrected_for_work_at_rest"]["value"] == pytest.approx(2.7)
    assert sum(reserve["capacity"]["percent_of_wall"].values()) == pytest.approx(100, abs=1e-3)


def test_a_study_without_flow_shows_none() -> None:
    one = series_of("image", *heart_of(even))
    (group,) = comparisons((one,))
    assert flow_panel(group, None, maps_of(group, None, TABLE, key="m").grounds, TABLE) is None


def test_the_reserve_of_a_segment_is_the_ratio_of_its_flows_wherever_it_stands(study: StudyResult) -> None:
    """The mean of the cells' ratios is another number, and larger."""
    (pair,) = study.pairs
    assert pair.reserve is not None
    stored = result_to_dict(study)["pairs"][0]["maps"]
    told = [one.value for one in pair.reserve.segments]
    assert stored["reserve"]["segments_17"] == pytest.approx(told, rel=1e-5)
    assert stored["reserve"]["vessels"] == pytest.approx([one.value for one in pair.reserve.vessels], rel=1e-5)
    classes = [value for value in stored["capacity"]["segments_17"] if value is not None]
    assert classes
    assert all(value == round(value) for value in classes)
