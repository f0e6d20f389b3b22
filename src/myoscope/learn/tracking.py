"""Where the numbers of a training run go: a CSV file, and MLflow for those who have it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from myoscope.core import MyoscopeError

Log = Callable[[Sequence[Mapping[str, float]]], None]
"""Takes the whole history so far, one row per validation; called after each, and again after a resume."""


def csv_log(path: Path) -> Log:
    """Write the history as a CSV file, whole each time, so that a resumed run leaves no double rows."""

    def write(history: Sequence[Mapping[str, float]]) -> None:
        if not history:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with part.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, fieldnames=list(history[0]), lineterminator="\n")
            table.writeheader()
            table.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in history)
        part.replace(path)

    return write


def mlflow_log(uri: str, *, experiment: str, run: str) -> Log:
    """Send the history to an MLflow server or database; needs ``pip install mlflow-skinny``.

    Raises
    ------
    MyoscopeError
        MLflow is not installed.
    """
    try:
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise MyoscopeError("MLflow is not installed; pip install mlflow-skinny, or leave the tracker out") from error
    client = MlflowClient(tracking_uri=uri)
    known = client.get_experiment_by_name(experiment)
    place = known.experiment_id if known is not None else client.create_experiment(experiment)
    run_id = client.create_run(place, run_name=run).info.run_id
    sent = 0

    def send(history: Sequence[Mapping[str, float]]) -> None:
        nonlocal sent
        for row in history[sent:]:
            for name, value in row.items():
                if name != "step":
                    client.log_metric(run_id, name, value, step=int(row["step"]))
        sent = len(history)

    return send
