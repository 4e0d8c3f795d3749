# SPDX-License-Identifier: BSD-2-Clause
"""From samples to medians, ratios, goals, and the tables of docs/benchmarks.md."""
import statistics

# load, metric, heading, decimals, more is better
COLUMNS = [
    ("requests", "per_second", "requests/s, 50 keep-alive", 0, True),
    ("latency", "p50_us", "p50 us, 1 connection", 1, False),
    ("latency", "p99_us", "p99 us", 0, False),
    ("connections", "per_second", "connections/s, 50 at once", 0, True),
    ("websocket", "per_second", "WebSocket messages/s, 50", 0, True),
    ("download", "s_per_gb", "download s/GB", 2, False),
    ("download", "cpu_s_per_gb", "download CPU-s/GB", 2, False),
    ("upload", "s_per_gb", "upload s/GB", 2, False),
    ("upload", "cpu_s_per_gb", "upload CPU-s/GB", 2, False),
    ("memory", "kib", "KiB per idle connection", 2, False),
    ("memory", "kib_talked", "KiB, after a handshake", 2, False),
]
# What one request, connection or message costs: it says more than a rate when the machine has other work, too.
COSTS = [
    ("requests", "machine_us", "machine us, request", 1, False),
    ("requests", "ours_us", "all three", 1, False),
    ("requests", "own_us", "the proxy", 1, False),
    ("connections", "machine_us", "machine us, connection", 1, False),
    ("connections", "ours_us", "all three", 1, False),
    ("connections", "own_us", "the proxy", 1, False),
    ("websocket", "machine_us", "machine us, message", 1, False),
    ("websocket", "ours_us", "all three", 1, False),
    ("websocket", "own_us", "the proxy", 1, False),
]
PEERS = ("haproxy", "nginx")


def medians(samples):
    """{load: {contender: {metric: median}}} of a list of {load, contender, metrics}."""
    gathered = {}
    for sample in samples:
        for metric, value in sample["metrics"].items():
            per_load = gathered.setdefault(sample["load"], {})
            per_load.setdefault(sample["contender"], {}).setdefault(metric, []).append(value)
    return {load: {name: {metric: statistics.median(values) for metric, values in metrics.items()}
                   for name, metrics in contenders.items()}
            for load, contenders in gathered.items()}


def log_ratio(samples):
    """Median over the pairs of (rate with the client log) / (rate without), and the same for the CPU cost."""
    pairs = [sample["metrics"] for sample in samples if sample["load"] == "log" and "rate_ratio" in sample["metrics"]]
    if not pairs:
        return None
    return (statistics.median(pair["rate_ratio"] for pair in pairs),
            statistics.median(pair["cost_ratio"] for pair in pairs))


def value(table, load, name, metric):
    return table.get(load, {}).get(name, {}).get(metric)


def best_of(table, load, metric, names, more):
    values = [v for v in (value(table, load, name, metric) for name in names) if v is not None]
    return (max if more else min)(values) if values else None


def inline_goals(of, goal):
    """Of the app's own PROXY support: what there is to reach without a proxy."""
    inline, app = "unproxy-inline", "app itself"
    goal("inline: requests/s, of the app itself", of("requests", inline, "per_second"), of("requests", app, "per_second"),
         0.98, True)
    goal("inline: p50 of one connection, of the app itself", of("latency", inline, "p50_us"), of("latency", app, "p50_us"),
         1 / 0.98)
    goal("inline: p99 of one connection, of the app itself", of("latency", inline, "p99_us"), of("latency", app, "p99_us"),
         1 / 0.98)
    goal("inline: connections/s, of the app itself", of("connections", inline, "per_second"),
         of("connections", app, "per_second"), 0.97, True)
    goal("inline: download CPU, of the app itself", of("download", inline, "cpu_s_per_gb"),
         of("download", app, "cpu_s_per_gb"), 1.03)


def goals(table, samples):
    """[(text, figure, limit, reached)]; figures that were not measured are left out."""
    found = []

    def goal(text, above, below, limit, at_least=False):
        if above is None or below is None or below == 0:
            return
        ratio = above / below
        found.append((text, ratio, limit, ratio >= limit if at_least else ratio <= limit))

    def of(load, name, metric):
        return value(table, load, name, metric)

    auto = "unproxy-auto"
    for direction in ("download", "upload"):
        cpu, own_time = of(direction, auto, "cpu_s_per_gb"), of(direction, auto, "s_per_gb")
        goal(f"{direction}: CPU, of HAProxy's", cpu, of(direction, "haproxy", "cpu_s_per_gb"), 0.42)
        goal(f"{direction}: time, of HAProxy's", own_time, of(direction, "haproxy", "s_per_gb"), 0.6)
        goal(f"{direction}: CPU of unproxy-kernel, of our splice's",
             of(direction, "unproxy-kernel", "cpu_s_per_gb"), of(direction, "unproxy-splice", "cpu_s_per_gb"), 0.85)
        goal(f"{direction}: CPU, of no proxy's", cpu, of(direction, "no proxy", "cpu_s_per_gb"), 1.15)
    goal("requests/s, of the better of HAProxy and nginx", of("requests", auto, "per_second"),
         best_of(table, "requests", "per_second", PEERS, True), 1.15, True)
    goal("p50 of one connection, of the better", of("latency", auto, "p50_us"),
         best_of(table, "latency", "p50_us", PEERS, False), 0.8)
    goal("connections/s, of the better", of("connections", auto, "per_second"),
         best_of(table, "connections", "per_second", PEERS, True), 1.2, True)
    inline_goals(of, goal)
    ours = [name for name in table.get("memory", {}) if name.startswith("unproxy-")]
    most = best_of(table, "memory", "kib", ours, True)
    if most is not None:
        found.append(("KiB per idle connection, the worst of our paths", most, 0.5, most <= 0.5))
    ratio = log_ratio(samples)
    if ratio:
        found.append(("connections/s with the client log, of those without", ratio[0], 0.97, ratio[0] >= 0.97))
        found.append(("CPU per connection with the client log, of that without", ratio[1], 1.03, ratio[1] <= 1.03))
    return found


def number(figure, decimals):
    return "" if figure is None else f"{figure:,.{decimals}f}".replace(",", " ")


def rows_of(heading, rows):
    return ["| " + " | ".join(heading) + " |", "|---" * len(heading) + "|"] + [
        "| " + " | ".join(row) + " |" for row in rows] + [""]


def absolute(table, names, columns):
    columns = [column for column in columns if column[0] in table]
    if not columns:
        return []
    rows = [[name] + [number(value(table, load, name, metric), decimals)
                      for load, metric, _heading, decimals, _more in columns] for name in names]
    return rows_of([""] + [column[2] for column in columns], rows)


def ratios(table, names, columns, base):
    """Everything divided by base's figure."""
    columns = [column for column in columns if value(table, column[0], base, column[1])]
    rows = []
    for name in names:
        row = [name]
        for load, metric, *_rest in columns:
            figure = value(table, load, name, metric)
            row.append("" if figure is None else f"{figure / value(table, load, base, metric):.2f}")
        rows.append(row)
    return rows_of([""] + [column[2] for column in columns], rows)


def errors(samples):
    counts = {}
    for sample in samples:
        failed = sample["metrics"].get("errors", 0)
        if failed:
            key = (sample["contender"], sample["load"])
            counts[key] = counts.get(key, 0) + failed
    return [f"{name}, {load}: {int(count)} failed" for (name, load), count in sorted(counts.items())]


def tables(result):
    """The Markdown between the head and the foot of docs/benchmarks.md; also what the terminal shows."""
    samples = result["samples"]
    table, names = medians(samples), result["contenders"]
    text = ["## Medians", ""] + absolute(table, names, COLUMNS)
    if "haproxy" in names and table.keys() - {"log"}:
        text += ["## Ratios to HAProxy", ""] + ratios(table, names, COLUMNS, "haproxy")
    costs = absolute(table, names, COSTS)
    if costs:
        text += ["## CPU of one operation", "", "Of the whole machine (kernel threads, and what else ran); of proxy, backend "
                 "and client together; of the proxy alone.", ""] + costs
    found = goals(table, samples)
    if found:
        rows = [[what, f"{figure:.2f}", f"{limit:.2f}", "yes" if reached else "**no**"]
                for what, figure, limit, reached in found]
        text += ["## Goals", ""] + rows_of(["`unproxy-auto`, if not said otherwise", "measured", "goal", "reached"], rows)
    failed = errors(samples)
    text += ["Failed operations: " + ("; ".join(failed) if failed else "none") + "."]
    return "\n".join(text) + "\n"


def document(result):
    facts = result["environment"]
    head = f"""# Benchmarks

<!-- Printed by `make bench`: change tests/bench/, not this file. -->

**Ratios travel, absolute figures do not.** Everything below is from one run on one machine, the contenders alternating:
{facts["date"]}, {facts["cores"]} cores ({facts["cpu"]}), kernel {facts["kernel"]}, congestion control {facts["congestion_control"]},
{", ".join(facts["versions"])}. Medians of {result["rounds"]} rounds, {result["seconds"]} s each after a warm-up;
{facts["background"]:.0%} of the machine was busy with something else (median, before each load).

```sh
{result["command"]}
```

Client, proxy and backend share the machine, over loopback in a network namespace of the bench's own, so a proxy gains from what it
leaves to the others, and no proxy can come near "no proxy". The client speaks PROXY v1 first on each connection: `wrk` through
[proxy_preload.so](proxy-preload.md), the others by themselves. Backends: nginx (42 bytes, or a file of {result["file_bytes"] / 1e6:.0f} MB
by sendfile), a sink, a WebSocket echo. CPU is that of the whole machine, kernel threads, client and backend included.

- *no proxy*: the client talks to the backend, without a header. *app itself*: nginx with `listen ... proxy_protocol`.
- *haproxy*: `mode tcp`, `accept-proxy`, `option splice-auto`, two threads. *nginx*: `stream`, two workers, `reuseport`.
- *go-mmproxy*: transparent, two listeners, with the rule and the route it needs.
- *unproxy-copy*: `kernel_path = off`, `splice = no`. *unproxy-splice*: `kernel_path = off`. *unproxy-auto*: the default,
  `kernel_path = auto`. *unproxy-kernel*: that with `splice = no`. *unproxy-always*: `kernel_path = always`.
  All of them with io_uring for small messages (`io_uring = yes`, the default). Client log off, but where it is measured.

"""
    return head + tables(result)
