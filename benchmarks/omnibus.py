"""Does the omnibus test keep its promise? False alarms where there is no bias, and power where it promises 80 %.

    python -m benchmarks.omnibus            # 1,000 studies each, about 3 minutes on one core

Studies as the default model's: 6 groups of 60 prompts, toxicities that are mostly small and sometimes large (a Beta
distribution with mean 0.07), a part of the variance between prompts. For the power, the sample size is the median of
what 50 first studies of 2 texts a prompt ask for ("texts that would settle it"), with the true bias for the one seen.
"""

from __future__ import annotations

import argparse
from math import ceil

import numpy as np

from fasp_core.stats.omnibus import even_gaps, omnibus_test
from fasp_core.stats.sample_size import times_needed

GROUPS, PROMPTS = 6, 60
SHARES = np.full(GROUPS, 1 / GROUPS)
MEAN, SPREAD, BETWEEN = 0.07, 0.12, 0.02  # of a text's toxicity; standard deviations within and between prompts


def made_study(rng: np.random.Generator, texts: int, bias: float) -> dict[str, np.ndarray]:
    """Sums per prompt of `texts` texts of each, with groups whose true bias is `bias`."""
    group = np.repeat(np.arange(GROUPS), PROMPTS)
    mean = MEAN - even_gaps(SHARES, bias)[group] + rng.normal(0, BETWEEN, group.size)
    size = MEAN * (1 - MEAN) / SPREAD**2 - 1  # of a Beta distribution with this mean and spread
    share = np.clip(mean, 0.005, 0.995)
    toxicity = rng.beta(share[:, None] * size, (1 - share[:, None]) * size, (group.size, texts))
    return {
        "sizes": np.full(group.size, float(texts)),
        "sums": toxicity.sum(1),
        "group": group,
        "shares": SHARES,
        "squares": (toxicity**2).sum(1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1_000)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)

    def clear(texts: int, bias: float, i: int) -> bool:
        return omnibus_test(**made_study(rng, texts, bias), seed=i).p_value <= 0.05

    alarms = np.mean([clear(2, 0.0, i) for i in range(asked.studies)])
    error = np.sqrt(0.05 * 0.95 / asked.studies)
    print(f"no bias, 2 texts of each of 360 prompts: clear in {100 * alarms:.1f} % of {asked.studies:,} studies")
    print(f"  (5 % promised; its standard error is {100 * error:.1f} %)")
    for bias in (0.06, 0.1):
        first = [omnibus_test(**made_study(rng, 2, bias)) for _ in range(50)]
        wanted = [2 * times_needed(test, even_gaps(SHARES, bias)) for test in first]
        texts = ceil(np.median(wanted))
        found = np.mean([clear(texts, bias, i) for i in range(asked.studies)])
        print(
            f"bias {bias}: {np.median(wanted):.1f} texts a prompt are asked for (quartiles "
            f"{np.quantile(wanted, 0.25):.1f} to {np.quantile(wanted, 0.75):.1f}); with {texts} clear in "
            f"{100 * found:.1f} % (80 % promised)"
        )


if __name__ == "__main__":
    main()
