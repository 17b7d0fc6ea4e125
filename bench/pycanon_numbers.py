"""What pycanon measures of a CSV, as JSON: run by a Python of an environment of its own, see `make pycanon`.

PYTHON bench/pycanon_numbers.py FILE --delimiter ';' --qi sex,age --sensitive salary-class [--only k,l,t]
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from typing import Any

import pandas as pd
from pycanon import anonymity


def measured(frame: pd.DataFrame, quasi: list[str], sensitive: list[str], only: list[str]) -> dict[str, Any]:
    numbers: dict[str, Callable[[], float]] = {
        "k": lambda: anonymity.k_anonymity(frame, quasi),
        "l": lambda: anonymity.l_diversity(frame, quasi, sensitive),
        "entropy_l": lambda: anonymity.entropy_l_diversity(frame, quasi, sensitive),
        "t": lambda: anonymity.t_closeness(frame, quasi, sensitive),
    }
    found: dict[str, Any] = {}
    for name, number in numbers.items():
        if name in only:
            begin = time.process_time()
            found[name] = float(number())
            found[f"{name}_cpu_s"] = round(time.process_time() - begin, 3)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--delimiter", default=",")
    parser.add_argument("--qi", required=True)
    parser.add_argument("--sensitive", required=True)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--only", default="k,l,entropy_l,t")
    given = parser.parse_args()
    table = pd.read_csv(given.file, sep=given.delimiter, nrows=given.rows)
    result = measured(table, given.qi.split(","), given.sensitive.split(","), given.only.split(","))
    result["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    print(json.dumps(result))
