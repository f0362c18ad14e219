"""From figures to a table, a page and a plot."""

import os

FIGURES = ("rate", "p50_ms", "p99_ms", "p999_ms", "service_cpu_us", "broker_cpu_us", "rss_bytes",
           "private_bytes")
OURS = "user-service"
OUTBOX = "user-service, broker down: outbox"
FASTIFY = "fastify + amqplib, confirms"
DEMO = "as the Node.js demo: no confirms, not persistent"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def find(result, name, connections):
    for row in result.get("rows", []):
        if row["name"].startswith(name) and row["connections"] == connections:
            if name != OURS or row["name"] == OURS:
                return row
    return None


def ceiling(result, connections):
    """The faster of the ways to publish alone."""
    rows = [r for r in result.get("rows", [])
            if r["name"].startswith("publishing alone") and r["connections"] == connections]
    return max(rows, key=lambda row: row["rate"], default=None)


def _cell(row, key, form, factor=1.0):
    return form % (row[key] * factor) if key in row else ""


def table(result):
    """Markdown; ratios are against our service at the same number of connections."""
    lines = ["| | connections | saves/s | of ours | p50 / p99 / p99.9 ms | CPU per save: service, "
             "broker | RSS, of it not from files | system calls per save |", "|---|---|---|---|---|---|---|---|"]
    for connections in sorted({row["connections"] for row in result["rows"]}):
        ours = find(result, OURS, connections)
        rows = [row for row in result["rows"] if row["connections"] == connections]
        for row in sorted(rows, key=lambda r: (r["name"] != OURS, -r["rate"])):
            calls = result["system_calls"].get(row["name"])
            times = "" if "p50_ms" not in row else "%.1f / %.1f / %.1f" % (
                row["p50_ms"], row["p99_ms"], row["p999_ms"])
            lines.append("| %s | %d | %s | %s | %s | %s, %s us | %s | %s |" % (
                row["name"], connections, "{:,.0f}".format(row["rate"]),
                "%.2f" % (row["rate"] / ours["rate"]) if ours else "", times,
                _cell(row, "service_cpu_us", "%.1f"), _cell(row, "broker_cpu_us", "%.1f"),
                _cell(row, "rss_bytes", "%.0f MB", 1e-6) + _cell(row, "private_bytes", ", %.1f MB", 1e-6),
                "%.2f" % calls["per_save"]
                if calls and connections == min(r["connections"] for r in result["rows"]) else ""))
    return "\n".join(lines)


def _ratio(result, key, connections, name):
    ours, other = find(result, OURS, connections), find(result, name, connections)
    return ours[key] / other[key] if ours and other and other[key] else None


def _alone(result, connections):
    ours, other = find(result, OURS, connections), ceiling(result, connections)
    return ours["rate"] / other["rate"] if ours and other else None


def _outbox(result):
    ours, outbox = find(result, OURS, 64), find(result, OUTBOX, 64)
    return outbox["rate"] / ours["rate"] if ours and outbox else None


def _rss(result, part):
    if part == "64":
        row = find(result, OURS, 64)
        return row["rss_bytes"] / 1e6 if row else None
    idle = result.get("scale", {}).get("idle")
    return idle["rss_bytes"] / 1e6 if idle and idle["connections"] == 10000 else None


def _store_on_disk(rows):
    """The first one of ours: its store is on a disk."""
    return next((row for row in rows if row["name"].startswith("session-service")), None)


def _consume(result, prefetch):
    row = _store_on_disk([r for r in result.get("consume", []) if r["prefetch"] == prefetch])
    return row["rate_ratio"] if row else None


def _latency(result):
    row = _store_on_disk(result.get("latency", []))
    return row["p99_ms"] if row else None


def _store(result, name):
    rows = result.get("stores", {}).get("rows", [])
    return next((row["rate_ratio"] for row in rows if row["name"] == name), None)


# (what, form, reached, at least or at most, value)
TARGETS = (
    ("saves/s at 512 connections, of fastify's", "%.2fx",
     lambda r: _ratio(r, "rate", 512, FASTIFY), "at least", 1.35),
    ("saves/s at 64 connections, of fastify's", "%.2fx",
     lambda r: _ratio(r, "rate", 64, FASTIFY), "at least", 1.1),
    ("saves/s at 64 connections, of a service like the Node.js demo's", "%.2fx",
     lambda r: _ratio(r, "rate", 64, DEMO), "at least", 3),
    ("service CPU per save at 64 connections, of fastify's", "%.2fx",
     lambda r: _ratio(r, "service_cpu_us", 64, FASTIFY), "at most", 0.5),
    ("service CPU per save at 512 connections, of fastify's", "%.2fx",
     lambda r: _ratio(r, "service_cpu_us", 512, FASTIFY), "at most", 0.5),
    ("saves/s at 512 connections, of publishing alone (the faster way)", "%.2fx",
     lambda r: _alone(r, 512), "at least", 0.65),
    ("RSS at 64 connections", "%.0f MB", lambda r: _rss(r, "64"), "at most", 12),
    ("RSS with 10,000 idle connections", "%.0f MB", lambda r: _rss(r, "idle"), "at most", 400),
    ("saves/s into the outbox at 64 connections, of those with the broker up", "%.2fx", _outbox,
     "at least", 1.2),
    ("messages/s consumed at prefetch 1000, store on disk, of amqplib's that stores nothing", "%.2fx",
     lambda r: _consume(r, 1000), "at least", 0.5),
    ("the same at prefetch 100", "%.2fx", lambda r: _consume(r, 100), "at least", 1),
    ("messages/s consumed at prefetch 100 into PostgreSQL, of those into SQLite", "%.2fx",
     lambda r: _store(r, "PostgreSQL"), "at least", 0.8),
    ("the same with two session-services on one PostgreSQL", "%.2fx", lambda r: _store(r, "PostgreSQL, shared"),
     "at least", 1.3),
    ("p99 from a save to its line in the log, at 1,000 saves/s", "%.1f ms", _latency, "at most", 5),
)


def targets_table(result):
    lines = ["| target | | reached | |", "|---|---|---|---|"]
    for what, form, reached, sense, value in TARGETS:
        number = reached(result)
        if number is None:
            verdict, text = "not measured in this run", ""
        else:
            text = form % number
            good = number >= value if sense == "at least" else number <= value
            verdict = "reached" if good else "**not reached**"
        lines.append("| %s | %s %s | %s | %s |" % (what, sense, form % value, text, verdict))
    return "\n".join(lines)


def consume_table(result):
    """Ratios are against amqplib's in the same rounds."""
    lines = ["| consumer | prefetch | messages/s | of amqplib's | CPU per message | of amqplib's | RSS |",
             "|---|---|---|---|---|---|---|"]
    for row in sorted(result["consume"], key=lambda r: r["prefetch"]):
        lines.append("| %s | %d | %s | %.2fx | %.1f us | %.2fx | %.0f MB |" % (
            row["name"], row["prefetch"], "{:,.0f}".format(row["rate"]), row["rate_ratio"], row["cpu_us"],
            row["cpu_us_ratio"], row["rss_bytes"] / 1e6))
    return "\n".join(lines)


def stores_table(result):
    """Ratios are against SQLite's in the same rounds."""
    lines = ["| store | session-services | messages/s | of SQLite's: median, lowest, highest | CPU of the services per "
             "message |", "|---|---|---|---|---|"]
    for row in result["stores"]["rows"]:
        lines.append("| %s | %d | %s | %.2fx, %.2fx, %.2fx | %.1f us |" % (
            row["name"], row["services"], "{:,.0f}".format(row["rate"]), row["rate_ratio"], row["ratio_low"],
            row["ratio_high"], row["cpu_us"]))
    return "\n".join(lines)


def stores_text(result):
    stores = result["stores"]
    return ("### SQLite and PostgreSQL\n\n%s messages wait, each of another user; prefetch %d; PostgreSQL %s on the same "
            "machine and disk. %d rounds, interleaved; the load average was %.1f before, and all of this ran at nice %d." % (
                "{:,}".format(stores["messages"]), stores["rows"][0]["prefetch"], stores["version"], stores["rounds"],
                stores["load_before"], stores["nice"]))


def latency_table(result):
    lines = ["| consumer | p50 / p99 to the reply, ms | p50 / p99 / p99.9 to the line, ms |", "|---|---|---|"]
    for row in result["latency"]:
        lines.append("| %s | %.1f / %.1f | %.1f / %.1f / %.1f |" % (
            row["name"], row["reply_p50_ms"], row["reply_p99_ms"], row["p50_ms"], row["p99_ms"],
            row["p999_ms"]))
    return "\n".join(lines)


def texts(result):
    """What was measured, as tables."""
    found = [targets_table(result)]
    if "rows" in result:
        found.append(table(result))
    if "consume" in result:
        found.append(consume_table(result))
    if "stores" in result:
        found.append(stores_table(result))
    if "latency" in result:
        found.append(latency_table(result))
    return found


def machine_text(result):
    machine = result["machine"]
    versions = ", ".join("%s %s" % (name, machine[name]) for name in (
        "RabbitMQ", "Erlang", "librabbitmq", "libmicrohttpd", "Node.js", "wrk"))
    return ("Measured on %s, %d cores, %d GiB, Linux %s, %s; %s; %s; %s. Broker, service and load "
            "share the machine, whose load average was %.1f before. %d rounds of %g s for each case, interleaved; %d-byte users; "
            "medians. Only ratios of one run mean anything." % (
                machine["processor"], machine["cores"], machine["memory_gib"], machine["kernel"],
                machine["system"], versions, machine["Go"], machine["compiler"], result["load_before"],
                result["rounds"],
                result["seconds"], result["user_bytes"]))


def scale_text(result):
    scale = result.get("scale")
    if not scale:
        return ""
    lines = ["", "### More of it", "",
             "| connections | user bytes | saves/s | refused (503) | p50 / p99 / p99.9 ms | service CPU | RSS |",
             "|---|---|---|---|---|---|---|"]
    for row in scale["connections"] + scale["user_bytes"]:
        refused = 100 * row["refused"] / max(1, row["replies"])
        lines.append("| %d | %d | %s | %.0f%% | %.1f / %.1f / %.1f | %.1f us | %.0f MB |" % (
            row["connections"], row["user_bytes"], "{:,.0f}".format(row["rate"]), refused,
            row["p50_ms"], row["p99_ms"], row["p999_ms"], row["service_cpu_us"], row["rss_bytes"] / 1e6))
    idle = scale["idle"]
    lines += ["", "With %d idle connections: %.0f MB, and one busy client still saved %d users in "
              "a second." % (idle["connections"], idle["rss_bytes"] / 1e6, idle["accepted"])]
    waiting = scale["waiting"]
    lines += ["", "With %s messages waiting, each of another user, the %s, takes %s in a second at prefetch %d: "
              "%.1f us of CPU for each, %.0f MB." % (
                  "{:,}".format(waiting["messages"]), waiting["name"], "{:,.0f}".format(waiting["rate"]),
                  waiting["prefetch"], waiting["cpu_us"], waiting["rss_bytes"] / 1e6)]
    if "memory" in scale:
        samples = [bytes_ / 1e6 for _, bytes_ in scale["memory"]["samples"]]
        tenth = max(1, len(samples) // 10)
        lines += ["", "Resident memory in %.0f s of full load at %d connections: %.1f MB after the "
                  "first tenth, %.1f MB at the end, %.1f MB at most." % (
                      scale["memory"]["samples"][-1][0], scale["memory"]["connections"],
                      samples[tenth - 1], samples[-1], max(samples))]
    return "\n".join(lines)


def plot(result, path):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "bench"  # the same figures make the same file
    import matplotlib.pyplot as plt
    counts = sorted({row["connections"] for row in result["rows"]})
    figure, axes = plt.subplots(1, len(counts), figsize=(6 * len(counts), 3.6), squeeze=False)
    for axis, connections in zip(axes[0], counts):
        rows = sorted((r for r in result["rows"] if r["connections"] == connections),
                      key=lambda row: row["rate"])
        spread = [[r["rate"] - r["rate_low"] for r in rows], [r["rate_high"] - r["rate"] for r in rows]]
        axis.barh([r["name"] for r in rows], [r["rate"] for r in rows], xerr=spread,
                  color=["#c44e52" if r["name"].startswith(OURS) else "#8c8c8c" for r in rows])
        axis.set_title("saves/s at %d connections: median, lowest, highest" % connections, fontsize=9)
        axis.tick_params(labelsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def write_page(result, path):
    """Replaces what is between the marks; what a person wrote around them stays."""
    with open(path) as file:
        text = file.read()
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    picture = os.path.splitext(path)[0] + ".svg"
    plot(result, picture)
    consumed = result["consume"][0]["messages"]
    body = "\n\n".join([
        machine_text(result), targets_table(result), table(result),
        "![saves per second](%s)" % os.path.basename(picture),
        "### Consuming\n\n%s messages wait in a quorum queue, each of another user; a line for each to a file. amqplib's "
        "consumer acks each." % "{:,}".format(consumed), consume_table(result),
        stores_text(result), stores_table(result),
        "### From a save to its line\n\n%s saves/s in an open loop over 64 connections for %g s, through the "
        "user-service and a consumer; the time counts from the moment at which a save was due." % (
            "{:,}".format(result["latency"][0]["rate"]), result["latency"][0]["seconds"]),
        latency_table(result)])
    with open(path, "w") as file:
        file.write("%s%s\n%s\n%s\n\n%s%s" % (before, BEGIN, body, scale_text(result), END, after))
