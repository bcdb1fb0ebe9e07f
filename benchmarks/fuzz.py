"""Damaged and hostile input to everything that reads: `python -m benchmarks.fuzz [--inputs 100000] [--seed 0]`.

Whole files and texts of every format that comes from a user, an address or a folder are damaged at random: bits
flipped, pieces cut out, doubled, moved or replaced by what breaks parsers (NUL bytes, huge numbers, deep nesting,
markup, paths upwards, invalid UTF-8). Each is then read. Good is a result, or a FaspError, which is one short line; all
else is an uncaught error and is printed. Exit status 1 where there was any. GGUF files and checkpoints are not here:
transformers reads them, in milliseconds to seconds each.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from fasp_core.comparison.shares import parse_shares
from fasp_core.comparison.table import read_comparison
from fasp_core.data.articles import load_text
from fasp_core.data.pair_files import load_sentence_pairs
from fasp_core.data.prompts import load_prompts
from fasp_core.errors import FaspError
from fasp_core.evaluation.harness_files import read_task_files
from fasp_core.evaluation.keys import parse_pruned_name
from fasp_core.evaluation.result import Evaluation, Metrics
from fasp_core.evaluation.set_names import read_notes
from fasp_core.evaluation.store import read_evaluation
from fasp_core.export.pruning_config import PruningConfig
from fasp_core.files.paths import PROJECT
from fasp_core.head import parse_heads
from fasp_core.jobs.records import DAMAGED, JobRecord, read_end, read_job, read_process, read_progress
from fasp_core.selection.head_scores import HeadScores
from fasp_core.selection.score_files import read_head_scores
from fasp_core.selection.select_heads import select_heads
from fasp_core.stats.estimate import Estimate
from fasp_core.study.manifest import load_manifest
from fasp_core.study.study import open_study
from ui.address import read_view

BREAKERS = (
    *(b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"NaN", b"-Infinity", b"1e999", b"-1", b"9" * 400, b"1.5"),
    *(
        b"[" * 2_000,
        b"{" * 2_000,
        b'{"a":' * 500,
        b'"',
        b"'",
        b",",
        b";",
        b"\t",
        b"\r\n",
        b"\n\n",
        b":",
        b"null",
        b"{}",
    ),
    *(
        b"../../etc/passwd",
        b"<script>alert(1)</script>",
        b"$x$ **b** [l](http://a.example)",
        b"=1+1",
        b"!!python/object",
    ),
    *("😀\u202e\u2066é".encode(), b"&a=&a", b"%00", b"true", b"[]", b'""', b"0" * 60, b"-0", b"18446744073709551616"),
)


@dataclass(frozen=True)
class Format:
    """Something that is read: the name of its file in a folder, a whole one, and the reader, which gets that folder."""

    file: str
    whole: bytes
    read: Callable[[Path], Any]
    refuses_by: type[Exception] = FaspError


def damaged(whole: bytes, rng: random.Random) -> bytes:
    """One to four damages of a file."""
    data = bytearray(whole)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(data) + 1)
        stop = min(len(data), start + rng.choice((1, 2, 8, 64, 1_024)))
        kind = rng.randrange(6)
        if kind == 0 and start < len(data):
            data[start] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[start:stop]
        elif kind == 2:
            data[start:start] = data[start:stop]
        elif kind == 3:
            data[start : min(stop, start + 3)] = rng.choice(BREAKERS)
        elif kind == 4:
            place = rng.randrange(len(data) + 1)
            data[place:place] = data[start:stop]
        else:
            del data[start:]
    return bytes(data)


def formats(folder: Path) -> dict[str, Format]:
    """Every format by name; `folder` is for what must be written to be read back as bytes."""
    study = open_study("default", PROJECT / "cache")
    scores = study.scores(metric="likelihood")
    config = PruningConfig.from_selection(select_heads(scores, axis="gender_and_sex"), scores)
    comparison = sorted((study.folder / "comparisons").glob("*.parquet"))[0]
    prompts = load_prompts().frame.groupby(["axis", "group", "split"]).head(2)
    columns = ["prompt", "axis", "group", "descriptor", "template", "split"]
    return {
        "scores, CSV": Format("x.csv", scores.frame.to_csv(index=False).encode(), _scores("x.csv")),
        "scores as published": Format("p.csv", _published(), _scores("p.csv")),
        "scores, JSON": Format("x.json", _contributions(), _scores("x.json")),
        "scores, Parquet": Format("x.parquet", _parquet(scores, folder), _scores("x.parquet")),
        "prompts, CSV": Format(
            "q.csv", prompts[columns].to_csv(index=False).encode(), lambda f: load_prompts(f / "q.csv")
        ),
        "prompts, HolisticBias": Format("descriptors.json", _descriptors(folder), load_prompts),
        "prompts, published": Format(
            "social_biases_valid.json", _biases(), lambda f: load_prompts(f / "social_biases_valid.json")
        ),
        "text": Format(
            "t.txt", "\n\n".join(load_text().frame["text"].head(6)).encode(), lambda f: load_text(f / "t.txt")
        ),
        "sentence pairs, CSV": Format("s.csv", _pairs(), lambda f: load_sentence_pairs(f / "s.csv")),
        "sentence pairs, JSON": Format("s.json", _stereoset(), lambda f: load_sentence_pairs(f / "s.json")),
        "harness task": Format("quiz.yaml", _task(), read_task_files),
        "configuration": Format("c.json", config.to_json().encode(), lambda f: PruningConfig.load(f / "c.json")),
        "manifest": Format("manifest.json", (study.folder / "manifest.json").read_bytes(), load_manifest),
        "comparison": Format(
            f"comparisons/{comparison.name}", comparison.read_bytes(), _comparison(study, comparison.stem)
        ),
        "job": Format("job.json", _job(), read_job),
        "job's process": Format("process.json", b'{"pid": 12, "identity": "1.5"}', read_process),
        "job's end": Format("end.json", b'{"status": 0}', read_end),
        "job's progress": Format(
            "progress.json",
            b'[{"stage": "a", "done": 1, "total": 2, "unit": "texts", "elapsed_s": 1.5}]',
            read_progress,
        ),
        "names of sets": Format(
            ".sets/s.json", b'{"0.3-5.1": {"name": "a", "pinned": true}}', lambda f: read_notes(f, "s")
        ),
        "kept evaluation": _text("e", _evaluation(), read_evaluation),
        "address": _text("a", _address(), lambda text: read_view(_query(text))),
        "heads": _text("h", b"0.3-5.1-29.8", parse_heads),
        "shares": _text("g", b"0:0.2:0.02", lambda text: parse_shares(text, "--alphas")),
        "pruned model": _text("n", b"0.3-5.1+least_squares", parse_pruned_name, ValueError),
    }


def _text(name: str, whole: bytes, read: Callable[[str], Any], refuses_by: type[Exception] = FaspError) -> Format:
    """What comes as a text, as a web server or a shell would give it."""
    return Format(name, whole, lambda f: read((f / name).read_bytes().decode("utf-8", "replace")), refuses_by)


def _scores(name: str) -> Callable[[Path], Any]:
    return lambda folder: read_head_scores(folder / name)


def _published() -> bytes:
    rows = [f"religion,{0.4 + h / 999},pythia-70m,{h},1,valid,{30 + h / 7}" for h in range(1, 49)]
    return ("Group,Bias,Model,Head id,Seed,Split,PPL\n" + "\n".join(rows) + "\n").encode()


def _contributions() -> bytes:
    entry = {"cont_to_ppl": [30.5 + h for h in range(48)], "cont_to_religion_bias": [0.5 - h / 99 for h in range(48)]}
    return json.dumps({"pythia-70m": entry}).encode()


def _parquet(scores: HeadScores, folder: Path) -> bytes:
    path = folder / "whole.parquet"
    pq.write_table(scores.to_table(), path)
    return path.read_bytes()


def _descriptors(folder: Path) -> bytes:
    nouns = {"female": [["woman", "women"]], "male": [["man", "men"]], "neutral": [["person", "people"]]}
    templates = {"I like {plural_noun_phrase}.": {}, "I'm {noun_phrase}.": {"must_be_noun": True}}
    (folder / "nouns.json").write_text(json.dumps(nouns), "utf-8")
    (folder / "sentence_templates.json").write_text(json.dumps(templates), "utf-8")
    return json.dumps({"ability": {"auditory": ["Deaf", {"descriptor": "hard-of-hearing", "article": "a"}]}}).encode()


def _biases() -> bytes:
    texts = {group: [f"The {group} person {i} said" for i in range(4)] for group in ("old", "young")}
    return json.dumps({"age": texts}).encode()


def _pairs() -> bytes:
    frame = pd.DataFrame(
        {"sentence_more": [f"She is {i}." for i in range(6)], "sentence_less": "He is.", "axis": "age"}
    )
    return frame.to_csv(index=False).encode()


def _stereoset() -> bytes:
    def sentence(label: str) -> dict[str, Any]:
        return {"sentence": f"A {label} one.", "gold_label": label, "id": label}

    labels = ("stereotype", "anti-stereotype", "unrelated")
    entry = {
        "id": "1",
        "target": "t",
        "bias_type": "race",
        "context": "A BLANK one.",
        "sentences": [*map(sentence, labels)],
    }
    return json.dumps({"data": {"intrasentence": [entry, {**entry, "target": "u"}], "intersentence": []}}).encode()


def _task() -> bytes:
    return b"""task: quiz
dataset_path: json
dataset_kwargs: {data_files: {test: nouns.json}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{q}}"
doc_to_target: gold
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
"""


def _job() -> bytes:
    return JobRecord(key="score s", title="t", command=["score", "s"], created=1.5).model_dump_json().encode()


def _evaluation() -> bytes:
    nothing = Metrics(Estimate(20.0, 0.5, 8))
    return Evaluation(((0, 3),), "test", nothing, nothing, nothing, 0, 8, 1.0).to_json().encode()


def _address() -> bytes:
    return (
        b"study=default&axis=religion&gamma=0.3&alpha=0.1&heads=0.3-5.1&weights=a:1-b:2&seed=3&metric=toxicity&head=2.1"
    )


def _query(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split("&") if "=" in part)


def _comparison(study: Any, name: str) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        study.folder = folder
        table = read_comparison(study, name)
        return table.axis, table.metric, table.rows

    return read


def fuzz(
    inputs: int, seed: int, folder: Path, known: dict[str, Format] | None = None
) -> tuple[dict[str, Counter[str]], list[str]]:
    """What became of each format's inputs, and every uncaught error, one line each.

    Raises ValueError for a whole file that is not read: its damages would test little.
    """
    rng, told, problems = random.Random(seed), {}, []
    known = formats(folder) if known is None else known
    shares = np.full(len(known), inputs // len(known)) + (np.arange(len(known)) < inputs % len(known))
    for (name, one), count in zip(known.items(), shares.tolist(), strict=True):
        told[name] = Counter()
        (folder / one.file).parent.mkdir(exist_ok=True)
        for number, data in enumerate(_inputs(one.whole, count, rng)):
            (folder / one.file).write_bytes(data)
            try:
                found = one.read(folder)
            except one.refuses_by as error:
                told[name]["refused"] += 1
                if number == 0:
                    raise ValueError(f"{name}: the whole file is refused") from error
            except Exception as error:
                told[name]["uncaught"] += 1
                problems.append(f"{name} {number}: {type(error).__name__}: {error}"[:300])
            else:
                told[name]["read"] += 1
                if number == 0 and (found is None or found is DAMAGED or found in ((), {})):
                    raise ValueError(f"{name}: the whole file is not read")
        (folder / one.file).write_bytes(one.whole)
    return told, problems


def _inputs(whole: bytes, count: int, rng: random.Random) -> Iterator[bytes]:
    yield whole
    for _ in range(count - 1):
        yield damaged(whole, rng)


def main(arguments: list[str] | None = None) -> int:
    """Fuzz all formats; exit status 1 where anything was not read or refused in one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000, help="of all formats together")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        told, problems = fuzz(given.inputs, given.seed, Path(folder))
    table = Table("format", "inputs", "read", "refused in one line", "uncaught")
    for name, counts in told.items():
        table.add_row(
            name, *(f"{n:,}" for n in (counts.total(), counts["read"], counts["refused"], counts["uncaught"]))
        )
    Console(width=100).print(table)
    total = sum(counts.total() for counts in told.values())
    print(f"{total:,} inputs, seed {given.seed}, {time.monotonic() - started:.0f} s: {len(problems)} problems")
    print("\n".join(problems[:50]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
