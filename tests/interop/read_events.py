"""read_events.py LOG_DIR CSV_DIR: TensorBoard reads the event files, and they say what the CSV files say."""

import struct
import sys

try:
    import pandas as pd
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as error:
    print(f"SKIP: {error}")
    sys.exit(77)

logs, csv = sys.argv[1], sys.argv[2]
epochs = pd.read_csv(f"{csv}/epochs.csv")
steps = pd.read_csv(f"{csv}/steps.csv")
layers = pd.read_csv(f"{csv}/layers.csv")
histograms = pd.read_csv(f"{csv}/histograms.csv")
runs = pd.read_csv(f"{csv}/runs.csv")


def single(value):
    """As stored in 32 bits; NaN as text, since it equals nothing."""
    try:
        value = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        value = float("inf") if value > 0 else float("-inf")
    return "nan" if value != value else value


def expect(events, rows, what):
    """rows: (step, value)."""
    got = [(e.step, single(e.value)) for e in events]
    want = [(step, single(value)) for step, value in rows]
    assert len(got) == len(want), (what, len(got), len(want))
    for (step, value), (other_step, other) in zip(got, want):
        near = value == other or (isinstance(value, float) and abs(value - other) <= 1e-6 * abs(other))
        assert step == other_step and near, (what, step, value, other)  # CSV has nine digits


scalars = 0
for _, run in runs.iterrows():
    name = run["run"]
    reader = EventAccumulator(f"{logs}/{name}", size_guidance={"scalars": 0, "histograms": 0, "images": 0})
    reader.Reload()
    tags = reader.Tags()
    own = epochs[epochs["run"] == name]
    for split in own["split"].unique():
        for metric in ("loss", "accuracy", "seconds"):
            rows = own[own["split"] == split][["step", metric]].itertuples(index=False)
            expect(reader.Scalars(f"{metric}/{split}"), list(rows), (name, split, metric))
    for metric in ("loss", "lr", "grad_norm"):
        rows = steps[steps["run"] == name][["step", metric]].itertuples(index=False)
        expect(reader.Scalars(f"step/{metric}"), list(rows), (name, metric))
    own = layers[layers["run"] == name]
    for (metric, layer), rows in own.groupby(["metric", "layer"]):
        tag = f"layer.{metric}/{layer}"
        assert tag in tags["scalars"], tag
        expect(reader.Scalars(tag), list(rows[["step", "value"]].itertuples(index=False)), (name, tag))
    own = histograms[histograms["run"] == name]
    for tag in tags["histograms"]:
        place, block = tag.split("/")
        for event in reader.Histograms(tag):
            bins = own[(own["place"] == place) & (own["block"] == block) & (own["step"] == event.step)]
            histogram = event.histogram_value
            assert list(histogram.bucket) == list(bins["count"]) and len(bins) == 64, (name, tag)
            for value, edge in ((histogram.min, bins["low"].iloc[0]), (histogram.max, bins["high"].iloc[-1])):
                assert abs(value - edge) <= 1e-6 * abs(edge), (name, tag)
            assert histogram.num == bins["count"].sum()
    if run["status"] == "done":
        assert tags["histograms"], name
        (image,) = reader.Images("misclassified")
        png = image.encoded_image_string
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", png[16:24]) == (image.width, image.height)
    scalars += len(tags["scalars"])
print(f"{len(runs)} runs, {scalars} tags")
