"""`python -m bench.hot_shards`: run the simulation and draw the plots of docs/scale.md.

Needs bench/requirements.txt; takes about a minute. The numbers go to docs/scale/results.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bench.hot_shards.results import SEED, work_out

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "scale"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.hot_shards", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED, help=f"of all chance (default {SEED})")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where results.json and the plots go")
    options = parser.parse_args()
    results = work_out(seed=options.seed)
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "results.json").write_text(json.dumps(_rounded(results), indent=1) + "\n", "utf-8")
    from bench.hot_shards.plots import draw  # matplotlib is needed from here on only

    draw(results, folder=options.folder)


def _rounded(value: object) -> object:
    """Six digits are more than the model deserves, and the same on every machine."""
    match value:
        case float():
            return float(f"{value:.6g}")
        case dict():
            return {key: _rounded(one) for key, one in value.items()}
        case list():
            return [_rounded(one) for one in value]
    return value


if __name__ == "__main__":
    main()
