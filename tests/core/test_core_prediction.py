import pytest

from myoscope.core import PROBABILITY, InvalidValue, Prediction


def probability(**changes: object) -> Prediction:
    values: dict[str, object] = {
        "name": "obstructive CAD",
        "unit": PROBABILITY,
        "model_card": "otaki2022-1",
        "value": 0.31,
        "low": 0.2,
        "high": 0.44,
    }
    return Prediction(**{**values, **changes})  # type: ignore[arg-type]


def test_a_prediction_reads_with_its_interval() -> None:
    assert str(probability()) == "obstructive CAD: 0.31 (95% interval 0.2 to 0.44)"
    assert str(Prediction(name="flow", unit="mL/min/g", model_card="m", value=2.1)) == "flow: 2.1 mL/min/g"
    assert repr(probability()).endswith("probability; model otaki2022-1)")


def test_a_model_that_abstains_says_why_and_gives_no_number() -> None:
    silent = probability(value=None, low=None, high=None, abstained="the camera is not one it was trained on")
    assert str(silent) == "obstructive CAD: abstained, the camera is not one it was trained on"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": None}, "the reason why the model abstained"),
        ({"abstained": "no heart"}, "the reason why the model abstained"),
        ({"value": None, "abstained": "no heart"}, "gives no interval"),
        ({"low": None}, "both ends"),
        ({"value": 0.1}, "outside its own interval"),
        ({"low": 0.5}, "outside its own interval"),
        ({"value": 1.2, "high": 1.3}, "between 0 and 1"),
        ({"low": -0.1}, "between 0 and 1"),
        ({"value": float("nan")}, "NaN or infinity"),
        ({"high": float("inf")}, "NaN or infinity"),
        ({"interval_level": 95}, "level such as 0.95"),
        ({"model_card": ""}, "card of the model"),
        ({"unit": ""}, "its unit"),
    ],
)
def test_a_prediction_that_cannot_be_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        probability(**change)


def test_a_prediction_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        probability().value = 0.9  # type: ignore[misc]
