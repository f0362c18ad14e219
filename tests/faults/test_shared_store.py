"""Two session-services on one PostgreSQL, some of them and it killed: shared_store.py in short."""

import os
import random

import pytest

import shared_store
from support.postgres import MISSING
from support.services import BUILD

MESSAGES, KILLS = 3000, 5
SEED = int(os.environ.get("SHARED_STORE_SEED", random.randrange(1 << 30)))


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_kills_around_a_shared_store():
    given = ["--build", BUILD, "--services", "2", "--messages", str(MESSAGES), "--kills", str(KILLS), "--seed", str(SEED)]
    assert shared_store.main(given) == 0, "again: tests/faults/shared_store.py " + " ".join(given)
