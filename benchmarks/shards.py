"""How opening a study grows with the number of its shards: `python -m benchmarks.shards [--shards 100 10000]`.

Studies of one axis are made of random numbers, one text a shard, so that nearly all of the time is that of the shards
themselves: their names, checksums and files. Printed are the times to open one, to ask what it has, to compute its
scores, and to add one shard more. `benchmarks.growth` looks at the texts in them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from fasp_core.cli.output import print_table
from fasp_core.data.articles import load_text
from fasp_core.data.order import sample_order
from fasp_core.data.prompts import load_prompts
from fasp_core.study.manifest import Manifest, StudySettings
from fasp_core.study.shard_tables import ratio_table
from fasp_core.study.study import Study, create_study, open_study

AXIS, SCORER, HEADS = "gender_and_sex", "embedded", 24


def made(shards: int, root: Path) -> Study:
    """A study with about so many shards: of every text its continuation, its toxicity and its log-ratios."""
    prompts, rng, texts = load_prompts(), np.random.default_rng(0), shards // 3
    manifest = Manifest(
        name="s",
        created="2026-01-01T00:00:00+00:00",
        model={"name": "made", "fingerprint": "0" * 16, "n_layers": 6, "heads_per_layer": HEADS // 6},
        prompts={"name": prompts.name, "fingerprint": prompts.fingerprint},
        text={"name": "builtin", "fingerprint": load_text().fingerprint},
        settings=StudySettings(samples_per_shard=1),
        scorers={SCORER: "made"},
        axes=[AXIS],
    )
    windows = pd.DataFrame({"window_id": [0], "article": ["a"], "split": ["valid"], "token_ids": [[1, 2]]})
    study = create_study(root / "s", manifest, prompts, windows)
    order = sample_order(prompts.select(axes=[AXIS], split="valid").frame, seed=0, axis=AXIS, start=0, stop=texts)
    ratios, lengths = rng.normal(0, 0.25, (32, HEADS)).astype(np.float32), [127] * 32
    study.write_table(
        "gradient.text.00000.parquet", ratio_table(range(32), lengths, [-400.0] * 32, ratios, range(HEADS))
    )
    for unit, row in enumerate(order.itertuples()):
        place = pa.array([unit], pa.int32())
        samples = {"unit": place, "prompt_id": [row.prompt_id], "draw": [row.draw], "continuation": [" so"]}
        study.write_table(f"samples.{AXIS}.{unit:05d}.parquet", pa.table({**samples, "token_ids": [[1]]}))
        toxicity = pa.table({"unit": place, "toxicity": [float(rng.random())]})
        study.write_table(f"toxicity.{SCORER}.{AXIS}.{unit:05d}.parquet", toxicity)
        ratios = rng.normal(0, 0.25, (1, HEADS)).astype(np.float32)
        study.write_table(
            f"gradient.{AXIS}.{unit:05d}.parquet", ratio_table([unit], [20], [-60.0], ratios, range(HEADS))
        )
    study.save_manifest()
    return study


def measured(root: Path) -> dict[str, float]:
    """Seconds of each act, on a study that is opened anew."""
    seconds = {}

    def timed(what: str, act) -> None:
        began = time.perf_counter()
        act()
        seconds[what] = time.perf_counter() - began

    found = []
    timed("open it", lambda: found.append(open_study("s", root)))
    study = found[0]
    timed("its axes and metrics", lambda: (study.axes, study.metrics))
    timed("its scores", study.scores)
    with study.writing():
        timed(
            "add a shard",
            lambda: study.write_shard("magnitude.00000.parquet", pa.table({"magnitude_l2": [1.0] * HEADS})),
        )
    return seconds


def main() -> None:
    """Make, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, nargs="+", default=[100, 10_000])
    asked, rows = parser.parse_args(), []
    for shards in asked.shards:
        with tempfile.TemporaryDirectory() as root:
            study = made(shards, Path(root))
            count = len(study.manifest.shards)
            rows += [(f"{count:,}", what, f"{1000 * took:,.0f}") for what, took in measured(Path(root)).items()]
    print_table(("shards", "what", "ms"), rows)


if __name__ == "__main__":
    main()
