"""Random models and sets of heads: a model without the heads is the one with them gated, or is refused by name.

    python -m benchmarks.combinations                # 300 combinations
    python -m benchmarks.combinations --count 100 --first 100

Each seed is one combination of architecture, numbers of heads and key/value heads, head size, layers, biases, tied
embeddings and a set of heads. Equal means: logits to 1e-5 of the largest and 20 greedy tokens of a padded batch with
the cache. Prints how many are exact and why others are refused; exit status 1 if one is neither.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from benchmarks.random_models import Shape, opened, random_model, removal_verdict, tiny_config
from fasp_core.errors import InputError
from fasp_core.head import Head, all_heads, heads_text
from fasp_core.models.loading import quiet_loading
from fasp_core.models.self_check import check_model

# Those whose heads can be scored; the last ones are there because removal must refuse them.
ARCHITECTURES = (
    "gpt2",
    "gpt_neo",
    "gptj",
    "gpt_neox",
    "opt",
    "llama",
    "mistral",
    "mixtral",
    "qwen2",
    "qwen3",
    "gemma",
    "gemma2",
    "gemma3_text",
    "phi",
    "phi3",
    "bloom",
    "falcon",
    "cohere",
    "cohere2",
    "stablelm",
    "starcoder2",
    "granite",
    "olmo",
    "olmo2",
    "gpt_bigcode",
    "deepseek_v3",
    "xglm",
)


@dataclass(frozen=True)
class Combination:
    """An architecture, its sizes, and the heads to remove."""

    kind: str
    shape: Shape
    heads: tuple[Head, ...]
    seed: int

    def __str__(self) -> str:
        return f"{self.kind} {self.shape} without {heads_text(self.heads) or 'no head'} (seed {self.seed})"


def drawn(seed: int) -> Combination:
    """The combination of a seed. Head sets are of any size; whole layers and all heads are common among them."""
    draw = random.Random(seed)
    key_heads, group = draw.choice((1, 2, 3, 4)), draw.choice((1, 1, 2, 3, 4))
    shape = Shape(
        layers=draw.choice((1, 2, 3)),
        heads=key_heads * group,
        key_heads=key_heads,
        head_dim=draw.choice((4, 8, 16)),
        biased=draw.choice((None, False, True)),
        tied=draw.choice((None, False, True)),
    )
    every = all_heads(shape.layers, shape.heads)
    if draw.random() < 0.3:
        emptied = draw.sample(range(shape.layers), draw.randint(1, shape.layers))
        heads = {head for head in every if head[0] in emptied}
    else:
        heads = set()
    heads |= set(draw.sample(every, draw.randint(0, len(every))))
    return Combination(draw.choice(ARCHITECTURES), shape, tuple(sorted(heads)), seed)


def verdict(combination: Combination) -> str:
    """`exact`, `invalid: why` (transformers makes no such model), `refused: why`, or `WRONG: how`."""
    try:
        model = random_model(tiny_config(combination.kind, combination.shape), seed=combination.seed)
    except Exception as error:  # sizes that an architecture does not allow, told in many ways
        return f"invalid: {type(error).__name__}"
    try:
        _check(model, combination.shape)
    except InputError as error:
        return f"refused: {error}"
    return removal_verdict(model, combination.heads)


def _check(model: PreTrainedModel, shape: Shape) -> None:
    lm = opened(model)
    if (lm.layout.n_layers, lm.layout.heads_per_layer) != (shape.layers, shape.heads):
        raise AssertionError(f"{lm.layout.n_layers} × {lm.layout.heads_per_layer} heads were found, not {shape}")
    with tempfile.TemporaryDirectory() as root:
        check_model(lm, root)


def main() -> int:
    """Try the combinations, print each that is wrong and a summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    verdicts: Counter[str] = Counter()
    with quiet_loading():
        for seed in range(options.first, options.first + options.count):
            combination = drawn(seed)
            found = verdict(combination)
            verdicts[found if found == "exact" else f"{combination.kind}: {' '.join(found.split())[:150]}"] += 1
            if found.startswith("WRONG"):
                print(f"{combination}: {found}", flush=True)
    for line, count in verdicts.most_common():
        print(f"{count:4d}  {line}")
    wrong = sum(count for line, count in verdicts.items() if "WRONG" in line)
    print(f"{options.count} combinations: {verdicts['exact']} exact, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
