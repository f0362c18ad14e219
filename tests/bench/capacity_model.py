"""What a rate of users needs, computed from measured coefficients: the tables of docs/capacity.md. Pure.

docs/capacity.json has the coefficients, as capacity.py has measured them.
"""

import json
import math
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PAGE = os.path.join(ROOT, "docs", "capacity.md")
FIGURES = os.path.join(ROOT, "docs", "capacity.json")
BEGIN, END = "<!-- computed: begin -->", "<!-- computed: end -->"

RATES = (1000, 10000, 100000, 1000000)
# What is assumed, and not measured.
PROCESSORS = 8  # of a machine
BUSY = 0.5  # so much of a processor, or of a queue, may be used
COPIES = 3  # of each queue; each of them is counted like the one that was measured
USER_SERVICES, BROKERS, SESSION_SERVICES = 2, 3, 2  # at least, so that one may be lost
SECONDS_OF_A_DAY = 86400

EMBEDDED, SHARED = "session-service, its own file", "session-service, PostgreSQL"


def machines(cpu_us, rate, least):
    return max(least, math.ceil(rate * cpu_us / 1e6 / (PROCESSORS * BUSY)))


def bytes_text(value):
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if value < 1000 or unit == "PB":
            return "%.*f %s" % (0 if value >= 10 or unit == "B" else 1, value, unit)
        value /= 1000


def row_of(rate, found):
    """What is needed for so many users a second; None where a coefficient was not measured."""
    parts, stored = found["parts"], found["stored"]
    user, broker, embedded, shared = (parts.get(name) for name in ("user-service", "broker", EMBEDDED, SHARED))
    brokers = machines(broker["cpu_us"] * COPIES, rate, BROKERS)
    postgresql = parts.get("PostgreSQL")
    return {
        "user-services": machines(user["cpu_us"], rate, USER_SERVICES),
        "brokers": brokers,
        "shards": max(1, math.ceil(rate / (found["queue_rate"] * BUSY))),
        "one session-service with its own file is enough": "yes" if rate * embedded["cpu_us"] / 1e6 <= BUSY else "no",
        "session-services with PostgreSQL": shared and machines(shared["cpu_us"], rate, SESSION_SERVICES),
        "processors of PostgreSQL": postgresql and math.ceil(rate * postgresql["cpu_us"] / 1e6 / BUSY),
        "written by each broker": bytes_text(rate * broker["disk_bytes"] * COPIES / brokers) + "/s",
        "written by its own file": bytes_text(rate * embedded["disk_bytes"]) + "/s",
        "written by PostgreSQL": postgresql and bytes_text(rate * postgresql["disk_bytes"]) + "/s",
        "network of all user-services": bytes_text(rate * user["network_bytes"]) + "/s",
        "network of all session-services": bytes_text(rate * embedded["network_bytes"]) + "/s",
        "message ids of a day, in the store": bytes_text(rate * SECONDS_OF_A_DAY * stored["a message id in the store"]),
        "waiting in the queue, an hour without a session-service, for each copy":
            bytes_text(rate * 3600 * stored["a message that waits in the queue"]),
    }


def table(lines):
    head, *rows = [[str(cell) for cell in line] for line in lines]
    return "\n".join(["| %s |" % " | ".join(head), "|%s" % ("---|" * len(head)),
                      *("| %s |" % " | ".join(row) for row in rows)])


def number_text(value):
    return "not measured" if value is None else value if isinstance(value, str) else "{:,}".format(value)


def needs_table(found):
    columns = [row_of(rate, found) for rate in RATES]
    return table([["users/s (all computed)", *("{:,}".format(rate) for rate in RATES)],
                  *([name, *(number_text(column[name]) for column in columns)] for name in columns[0])])


def parts_table(found):
    lines = [["for one user (all measured)", "processor", "written to disk", "network", "users/s in this run"]]
    for name, one in found["parts"].items():
        network = one.get("network_bytes")
        lines.append([name, "%.1f us" % one["cpu_us"], "%.0f bytes" % one["disk_bytes"],
                      "" if network is None else "%.0f bytes" % network, "{:,.0f}".format(one["rate"])])
    return table(lines)


def stored_table(found):
    return table([["stored (all measured)", "bytes"], *([name, "%.0f" % value] for name, value in found["stored"].items())])


def machine_text(found):
    machine = found["machine"]
    return ("Measured on %s, %d processors, %s, RabbitMQ %s, with users of %d bytes; medians of %d rounds of %g s over %d connections. "
            "All parts shared the machine with the load; its load average was %.1f before. One queue took %s saves/s without a "
            "consumer." % (machine["processor"], machine["cores"], machine["system"], machine["RabbitMQ"], found["user_bytes"],
                           found["rounds"], found["seconds"], found["connections"], found["load_before"],
                           "{:,.0f}".format(found["queue_rate"])))


def text(found):
    return "\n\n".join([machine_text(found), parts_table(found), stored_table(found), needs_table(found)])


def between(page):
    return page.split(BEGIN, 1)[1].split(END, 1)[0].strip("\n")


def write(found):
    with open(PAGE) as file:
        page = file.read()
    with open(PAGE, "w") as file:
        file.write("%s%s\n%s\n%s%s" % (page.split(BEGIN, 1)[0], BEGIN, text(found), END, page.split(END, 1)[1]))


if __name__ == "__main__":
    with open(sys.argv[1] if len(sys.argv) > 1 else FIGURES) as figures:
        write(json.load(figures))
