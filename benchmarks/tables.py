"""clearprop's table estimators beside scikit-learn's MLP, boosting and random forest, all at their defaults.

For each data set: fit on the training rows, measure on the test rows, with the seeds 0, 1, …; the mean, and
the processor's seconds. clearprop gets the table as it is. The others get what they can take: boosting the
categories as such, the forest and the MLP one-hot columns; the MLP standardised numbers besides, without
which it does not learn. Missing numbers are filled with the median where an estimator takes none.

    python benchmarks/tables.py [--data adult,california,covertype] [--models clearprop,mlp,boosting,forest]
                                 [--seeds 3] [--folder DIR] [--save FILE] [--json]

Data: adult_train.csv.gz and adult_test.csv.gz (with "?" for missing), california_housing.csv.gz and
covertype_93k.csv.gz in the folder, by default that in CLEARPROP_TEST_DATA; where there is no test file, a
fifth is split off by scikit-learn's train_test_split(random_state=0). With --save the results are written
after every fit, and what the file has already is not measured again and stays as it is. Each figure has its
commit, and the number of its machine in the list `machines`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
import pandas as pd
from peer_engines.machine import describe
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from clearprop.tabular import TabularClassifier, TabularRegressor

SETS = {
    "adult": ("income", "accuracy", 0.853),
    "california": ("MedHouseVal", "RMSE", 0.49),
    "covertype": ("Cover_Type", "accuracy", 0.93),
}
"""Target, measure, and what is to be met."""
FILES = {"california": "california_housing.csv.gz", "covertype": "covertype_93k.csv.gz"}
NAMES = {
    "clearprop": "clearprop tabular",
    "mlp": "scikit-learn MLP",
    "boosting": "HistGradientBoosting",
    "forest": "random forest",
}


def load(name: str, folder: Path) -> tuple[Any, Any, Any, Any]:
    """Return X_train, X_test, y_train, y_test."""
    target = SETS[name][0]
    if name == "adult":
        parts = [
            pd.read_csv(folder / f"adult_{part}.csv.gz", keep_default_na=False, na_values=["?"])
            for part in ("train", "test")
        ]
        y = [part.pop(target).to_numpy() for part in parts]
        return parts[0], parts[1], y[0], y[1]
    frame = pd.read_csv(folder / FILES[name])
    y_all = frame.pop(target).to_numpy()
    return tuple(train_test_split(frame, y_all, random_state=0, test_size=0.2))  # type: ignore[return-value]


def make(model: str, X: Any, measure: str, seed: int) -> Any:
    """Return an estimator at its defaults, with the preparation that it needs."""
    real = measure == "RMSE"
    texts = [name for name in X if not pd.api.types.is_numeric_dtype(X[name])]
    numbers = [name for name in X if name not in texts]
    if model == "clearprop":
        return (TabularRegressor if real else TabularClassifier)(random_state=seed)
    if model == "boosting":
        kind = HistGradientBoostingRegressor if real else HistGradientBoostingClassifier
        return kind(random_state=seed, categorical_features="from_dtype")
    one_hot = (OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts)
    filled = [SimpleImputer(strategy="median")]
    if model == "mlp":
        kind, options = (MLPRegressor if real else MLPClassifier), {}
        filled.append(StandardScaler())
    else:
        kind, options = (RandomForestRegressor if real else RandomForestClassifier), {"n_jobs": 1}
    return make_pipeline(
        make_column_transformer((make_pipeline(*filled), numbers), one_hot),
        kind(random_state=seed, **options),
    )


def measured(
    model: str, data: tuple[Any, Any, Any, Any], measure: str, seed: int, origin: dict[str, Any]
) -> dict[str, Any]:
    """Fit, predict, and return the figure and the processor's seconds, with the `origin` of both."""
    X, X_test, y, y_test = data
    if model == "boosting":
        texts = X.select_dtypes(exclude="number").columns
        together = pd.concat([X, X_test]).astype(dict.fromkeys(texts, "category"))
        X, X_test = together.iloc[: len(X)], together.iloc[len(X) :]
    estimator = make(model, X, measure, seed)
    clocks = time.process_time(), time.perf_counter()
    estimator.fit(X, y)
    fitted = time.process_time() - clocks[0], time.perf_counter() - clocks[1]
    begun = time.process_time()
    predicted = estimator.predict(X_test)
    predicting = time.process_time() - begun
    error = predicted != y_test if measure == "accuracy" else (predicted - y_test) ** 2
    figure = 1 - error.mean() if measure == "accuracy" else np.sqrt(error.mean())
    found = {
        "figure": float(figure),
        "fit_cpu_s": fitted[0],
        "fit_wall_s": fitted[1],
        "predict_cpu_s": predicting,
        **origin,
    }
    if model == "clearprop":
        found |= {"engine": estimator.engine_, "recipe": repr(estimator.recipe_)}
    return found


def origin_here(machines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the commit, and the number of this machine with its versions and date in `machines`."""
    here = describe()
    commit, _ = here.pop("commit"), here.pop("load_before")
    if here not in machines:
        machines.append(here)
    return {"commit": commit, "machine": machines.index(here)}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all that is asked for and not there yet."""
    results: dict[str, Any] = {"benchmark": "benchmarks/tables.py", "machines": [], "sets": {}}
    if options.save is not None and options.save.exists():
        results |= json.loads(options.save.read_text())
    origin = origin_here(results["machines"])
    for name in options.data:
        data = load(name, options.folder)
        own = results["sets"].setdefault(name, {"measure": SETS[name][1], "rows": len(data[0]), "models": {}})
        for model in options.models:
            seeds = own["models"].setdefault(model, {})
            for seed in range(options.seeds):
                if str(seed) in seeds:
                    continue
                seeds[str(seed)] = measured(model, data, SETS[name][1], seed, origin)
                print(
                    f"{name} {model} seed {seed}: {seeds[str(seed)]['figure']:.4f}",
                    file=sys.stderr,
                    flush=True,
                )
                if options.save is not None:
                    options.save.write_text(json.dumps(results, indent=1) + "\n")
    return results


def mixed(results: dict[str, Any]) -> list[str]:
    """Return a line for each mean over figures of several commits or machines, which the line names."""
    lines = []
    for name, own in results["sets"].items():
        for model, seeds in own["models"].items():
            origins = {(one["commit"], one["machine"]): None for one in seeds.values()}
            if len(origins) > 1:
                named = ", ".join(f"{commit} on machine {machine}" for commit, machine in origins)
                lines.append(f"The mean of {NAMES[model]} on {name} mixes {named}.")
    return lines


def table(results: dict[str, Any]) -> str:
    """Return the results as a table in Markdown; the best of each data set is bold, a mixed mean is told."""
    lines = ["| data | measure | " + " | ".join(NAMES.values()) + " |", "|---|---|" + "---|" * len(NAMES)]
    for name, own in results["sets"].items():
        means = {
            model: float(np.mean([one["figure"] for one in seeds.values()]))
            for model, seeds in own["models"].items()
            if seeds
        }
        best = (max if own["measure"] == "accuracy" else min)(means.values())
        cells = []
        for model in NAMES:
            seeds = own["models"].get(model)
            if not seeds:
                cells.append("not measured")
                continue
            text = f"{means[model]:.4f}"
            text = f"**{text}**" if means[model] == best else text
            spent = np.mean([one["fit_cpu_s"] for one in seeds.values()])
            cells.append(f"{text}, {spent:.1f} s, {len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}")
        lines.append(f"| {name} | {own['measure']} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, *(["", *told] if (told := mixed(results)) else [])])


def met(results: dict[str, Any]) -> dict[str, bool]:
    """Return for each data set whether clearprop meets what is asked of it."""
    found = {}
    for name, own in results["sets"].items():
        seeds = own["models"].get("clearprop") or {}
        figures = [one["figure"] for one in seeds.values()]
        wanted = SETS[name][2]
        mean = float(np.mean(figures)) if figures else np.nan
        found[name] = bool(mean >= wanted if own["measure"] == "accuracy" else mean <= wanted)
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=lambda text: text.split(","), default=list(SETS))
    parser.add_argument("--models", type=lambda text: text.split(","), default=list(NAMES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(os.environ.get("CLEARPROP_TEST_DATA", ".")))
    parser.add_argument("--save", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = run(options)
    print(json.dumps({**results, "met": met(results)}, indent=1) if options.json else table(results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
