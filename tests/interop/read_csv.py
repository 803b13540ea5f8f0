"""read_csv.py CSV_DIR RUNS EPOCHS: pandas reads all CSV files of a study, with numbers where numbers belong."""

import sys

try:
    import pandas as pd
except ImportError as error:
    print(f"SKIP: {error}")
    sys.exit(77)

directory, runs, epochs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
tables = {name: pd.read_csv(f"{directory}/{name}.csv") for name in ("epochs", "steps", "layers", "histograms", "runs")}

columns = {
    "epochs": "run norm seed epoch step split loss accuracy seconds",
    "steps": "run norm seed epoch step loss lr grad_norm",
    "layers": "run norm seed epoch step layer block metric value",
    "histograms": "run norm seed epoch step block place bin low high count",
}
for name, expected in columns.items():
    assert list(tables[name].columns) == expected.split(), (name, list(tables[name].columns))
for name, kinds in {
    "epochs": {"seed": "i", "epoch": "i", "step": "i", "loss": "f", "accuracy": "f", "seconds": "f"},
    "steps": {"seed": "i", "epoch": "i", "step": "i", "loss": "f", "lr": "f", "grad_norm": "f"},
    "layers": {"seed": "i", "epoch": "i", "step": "i", "value": "f"},
    "histograms": {"seed": "i", "step": "i", "bin": "i", "low": "f", "high": "f", "count": "i"},
    "runs": {"seed": "i", "parameters": "i", "epochs": "i", "batch_size": "i", "lr": "f"},
}.items():
    for column, kind in kinds.items():
        assert tables[name][column].dtype.kind == kind, (name, column, tables[name][column].dtype)

summary, by_epoch, steps, layers = (tables[name] for name in ("runs", "epochs", "steps", "layers"))
assert len(summary) == runs and summary["run"].is_unique
done = summary[summary["status"] == "done"]
for _, run in done.iterrows():
    own = by_epoch[by_epoch["run"] == run["run"]]
    assert len(own) == 2 * epochs, (run["run"], len(own))
    last = own[(own["split"] == "test") & (own["epoch"] == epochs)].iloc[0]
    assert last["accuracy"] == run["final_test_accuracy"] and last["loss"] == run["final_test_loss"]
    assert len(steps[steps["run"] == run["run"]]) == run["steps"] == last["step"]
    assert not own.isna().any().any() and own["accuracy"].between(0, 1).all()
for name in ("epochs", "steps", "layers", "histograms"):  # all of it joins
    joined = tables[name].merge(summary, on="run", suffixes=("", "_run"))
    assert len(joined) == len(tables[name]) and (joined["norm"] == joined["norm_run"]).all(), name
assert {"grad_norm", "weight_norm", "update_ratio"} <= set(layers["metric"]), set(layers["metric"])

# What was seen of a block comes together, whatever part of it was looked at.
assert {"c1", "c11"} <= set(layers["block"]) and "c1.norm" in set(layers["layer"])
histograms = tables["histograms"]
assert set(histograms["block"]) <= set(layers["block"]) and set(histograms["place"]) == {"before", "after"}
for key, bins in histograms.groupby(["run", "step", "block", "place"]):
    assert list(bins["bin"]) == list(range(64)) and (bins["count"] >= 0).all(), key
    assert (bins["low"].values[1:] == bins["high"].values[:-1]).all() and bins["high"].is_monotonic_increasing, key

# A diverged run ends in nan or inf, which pandas takes for numbers.
diverged = summary[summary["status"] == "diverged"]
assert len(diverged) == 1
tail = steps[steps["run"] == diverged.iloc[0]["run"]].iloc[-1]
finite = [pd.notna(tail[c]) and abs(tail[c]) != float("inf") for c in ("loss", "grad_norm")]
assert not all(finite), tail
print(f"{len(by_epoch)} + {len(steps)} + {len(layers)} + {len(histograms)} + {len(summary)} rows")
