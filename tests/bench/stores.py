"""What each kind of store takes: messages a second of one and of two writers, in rounds beside each other.

No broker, and no service: store_take() alone, with the same events. stores.py [ROUNDS [SECONDS]]
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.postgres import MISSING, Postgres  # noqa: E402
from support.services import BUILD  # noqa: E402

BATCHES = (16, 100)
RUNS = (("sqlite", 1), ("postgresql", 1), ("postgresql", 2))
PROGRAM = os.path.join(BUILD, "tests", "bench", "store_rate")


def time_run(server, kind, writers, batch, seconds):
    """Messages a second, and the writers' own CPU microseconds for each."""
    folder = tempfile.mkdtemp(prefix="bench-store-")
    database = server.database() if kind == "postgresql" else None
    try:
        done = subprocess.run([PROGRAM, folder, database.url() if database else kind, str(writers), str(batch),
                               str(seconds)], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        return int(done[0]) / seconds, float(done[1])
    finally:
        shutil.rmtree(folder)
        if database:
            database.drop()


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 3
    if MISSING:
        sys.exit(MISSING)
    server = Postgres()
    try:
        server.start("shared_buffers=256MB", "max_wal_size=4GB")
        print("| batch | store | writers | messages/s | of sqlite's in the same round | CPU of a writer, us/message |")
        print("|---|---|---|---|---|---|")
        for batch in BATCHES:
            found = {run: [] for run in RUNS}
            for _ in range(rounds):
                for run in RUNS:
                    found[run].append(time_run(server, *run, batch, seconds))
            for run in RUNS:
                ratios = [one[0] / base[0] for one, base in zip(found[run], found[RUNS[0]])]
                print("| %d | %s | %d | %s | %.2fx (%.2f to %.2f) | %.1f |" % (
                    batch, *run, "{:,.0f}".format(statistics.median(one[0] for one in found[run])),
                    statistics.median(ratios), min(ratios), max(ratios),
                    statistics.median(one[1] for one in found[run])))
    finally:
        server.close()


if __name__ == "__main__":
    main()
