import numpy as np
import pytest

from myoscope.core import Explanation, Grid, InvalidValue


def explanation(**changes: object) -> Explanation:
    values: dict[str, object] = {
        "attribution": np.linspace(-1, 1, 12).reshape(3, 4),
        "input_shape": (3, 4),
        "method": "integrated gradients, 50 steps",
        "target": "obstructive CAD",
        "baseline": "mean of the normals",
        "completeness_gap": 0.002,
    }
    return Explanation(**{**values, **changes})  # type: ignore[arg-type]


def test_an_explanation_has_the_shape_of_its_input_and_says_how_it_adds_up() -> None:
    made = explanation()
    assert made.attribution.shape == made.input_shape
    assert made.total == pytest.approx(0)
    assert repr(explanation(attribution=np.full((3, 4), 0.5))) == (
        "Explanation(obstructive CAD by integrated gradients, 50 steps, input 3 x 4, sum 6, gap 0.002)"
    )
    assert "not additive" in repr(explanation(completeness_gap=None, baseline=""))


def test_single_precision_attributions_are_added_up_in_double() -> None:
    many = explanation(attribution=np.full((1000, 1000), 0.1, np.float32), input_shape=(1000, 1000))
    assert many.total == pytest.approx(1e6 * float(np.float32(0.1)), rel=1e-9)


def test_an_explanation_of_an_image_keeps_its_place() -> None:
    grid = Grid.axis_aligned((2, 3, 4), spacing_mm=4)
    made = explanation(attribution=np.zeros((8, 2, 3, 4)), input_shape=(8, 2, 3, 4), grid=grid)
    assert made.grid == grid


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_shape": (4, 3)}, "does not explain an input"),
        ({"attribution": np.ones((3, 4), int)}, "real numbers"),
        ({"attribution": np.full((3, 4), np.nan)}, "explains nothing"),
        ({"grid": Grid.axis_aligned((2, 3, 4), spacing_mm=4)}, "does not lie on a grid"),
        ({"method": ""}, "states its method"),
        ({"completeness_gap": float("nan")}, "a number, or None"),
        ({"baseline": ""}, "against a baseline"),
    ],
)
def test_an_explanation_that_explains_nothing_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        explanation(**change)


def test_an_explanation_cannot_be_changed() -> None:
    mine = np.zeros((3, 4))
    made = explanation(attribution=mine)
    mine[0] = 5
    assert made.total == 0
    with pytest.raises(ValueError, match="read-only"):
        made.attribution[0] = 1
