"""The store in PostgreSQL beside the embedded one, without a broker: tests/unit/test_store_postgres.c with a server."""

import os
import subprocess

import pytest

from support.services import BUILD

PROGRAM = os.path.join(BUILD, "tests", "test_store_postgres")


@pytest.mark.xdist_group("postgres")
@pytest.mark.skipif(not os.path.exists(PROGRAM), reason="this build has no libpq, or no unit tests")
@pytest.mark.parametrize("more", [{}, {"TEST_POSTGRES_PARTITIONS": "day"}], ids=["whole", "partitions"])
def test_it_does_what_the_embedded_one_does(database, more):
    done = subprocess.run([PROGRAM], env=dict(os.environ, TEST_POSTGRES_URL=database.url(), **more), check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    assert done.returncode == 0 and "SKIPPED" not in done.stdout, done.stdout
    assert database.one("SELECT relkind FROM pg_class WHERE oid = 'inbox'::regclass") == ("p" if more else "r")
