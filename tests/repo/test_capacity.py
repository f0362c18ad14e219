"""docs/capacity.md has what tests/bench/capacity_model.py computes from docs/capacity.json, and no figure of anybody's."""

import copy
import json
import sys

import pytest

from tree import ROOT

sys.path.append(str(ROOT / "tests" / "bench"))

import capacity_model  # noqa: E402

FOUND = json.loads((ROOT / "docs" / "capacity.json").read_text())


def test_the_page_is_computed_from_the_figures():
    assert capacity_model.between((ROOT / "docs" / "capacity.md").read_text()) == capacity_model.text(FOUND)


@pytest.mark.parametrize("part", FOUND["parts"])
def test_each_figure_counts(part):
    other = copy.deepcopy(FOUND)
    other["parts"][part] = {name: 100 * value for name, value in other["parts"][part].items()}
    assert capacity_model.needs_table(other) != capacity_model.needs_table(FOUND)


def test_a_need_that_is_known():
    """100 us of a processor for 10,000 users/s are one processor; a machine has 4 to use; copies count."""
    part = {"cpu_us": 100.0, "disk_bytes": 1000.0, "network_bytes": 500.0, "rate": 3000.0}
    found = {"parts": {"user-service": part, "broker": part, capacity_model.EMBEDDED: part, "PostgreSQL": part},
             "stored": {"a message id in the store": 100.0, "a message that waits in the queue": 400.0},
             "queue_rate": 4000.0}
    row = capacity_model.row_of(100000, found)
    assert row["user-services"] == 3 and row["brokers"] == 8 and row["shards"] == 50
    assert row["processors of PostgreSQL"] == 20 and row["session-services with PostgreSQL"] is None
    assert row["one session-service with its own file is enough"] == "no"
    assert row["written by each broker"] == "38 MB/s" and row["message ids of a day, in the store"] == "864 GB"
    small = capacity_model.row_of(1000, found)
    assert capacity_model.row_of(6000, found)["one session-service with its own file is enough"] == "no"
    assert small["user-services"] == 2 and small["brokers"] == 3 and small["shards"] == 1
    assert small["one session-service with its own file is enough"] == "yes"
