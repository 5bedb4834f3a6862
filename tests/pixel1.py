"""AMC's logs of four MobileNetV1 networks, layer by layer: TFLite on a Pixel 1, three runs each."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from automl.runtime.table_times import TableTimes
from automl.runtime.times_file import read_times

LOGS = Path(__file__).parents[2] / "shared" / "data" / "amc_pixel1_tflite_latency.csv"
CHANNELS = {
    "mobilenet": [3, 32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024],
    "0.75mobilenet": [3, 24, 48, 96, 96, 192, 192, 384, 384, 384, 384, 384, 384, 768, 768],
    "0.5flops": [3, 24, 48, 96, 80, 192, 200, 328, 352, 368, 360, 328, 400, 736, 752],
    "0.5time": [3, 16, 48, 88, 80, 192, 168, 336, 360, 360, 352, 352, 368, 768, 680],
}
"""Published widths of each network, in the order of the table."""


def pixel1_times(folder: Path, names: Sequence[str] = ()) -> TableTimes:
    """The logs, written as a file of `automl profile --times` and read; skips the test where they are absent.

    Args:
        folder: Where to write.
        names: What to call the convolutions, in their order; as TFLite calls them if empty.
    """
    if not LOGS.is_file():
        pytest.skip(f"AMC's logs {LOGS.name} are not on this machine")
    with LOGS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "times.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["network", "run", "layer", "ms"])
        for number, network in enumerate(CHANNELS):
            own = [row for row in rows if row["model"] == network]
            layers = dict.fromkeys(row["layer"] for row in own if "CONV_2D" in row["op"])
            called = dict(zip(layers, names, strict=True)) if names else {}
            for row in own:
                writer.writerow([number, row["run"], called.get(row["layer"], row["layer"]), row["avg_ms"]])
    return read_times(folder / "times.csv", len(CHANNELS))
