#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Side by side: no proxy, the app itself, HAProxy, nginx stream, go-mmproxy, and unproxy on each of its paths.

Runs as root, in a network namespace of its own, on loopback. A contender is started for one load and ended after it,
and the contenders take turns, so that what else the machine does hits all of them.
"""
import argparse
import datetime
import json
import os
import random
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
import contenders  # noqa: E402
import loads  # noqa: E402
import measure  # noqa: E402
import report  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
INSIDE = "UNPROXY_BENCH_INSIDE"
LOG_PAIRS = 3
USUAL = {"rounds": 5, "seconds": 2, "gigabytes": 2}  # what `make bench` runs


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round: does it work at all")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int, help="of one run of a load")
    parser.add_argument("--gigabytes", type=float, help="of one run of a bulk load")
    parser.add_argument("--only", default="", help="loads, a list: " + ",".join(loads.LOADS) + ",log")
    parser.add_argument("--contenders", default="", help="a list, as the tables name them")
    parser.add_argument("--build", default=str(ROOT / "build"))
    parser.add_argument("--unproxy", help="another binary than the build's")
    parser.add_argument("--json", help="where the samples go (default: build/bench/result.json)")
    parser.add_argument("--markdown", help="where the tables go (default: docs/, after a whole run)")
    parser.set_defaults(**USUAL)
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds, args.gigabytes = 1, 1, 0.25
    return args


def enter_namespace():
    """Start again in a network namespace, and with pinned maps, of our own: both go away with us."""
    if os.geteuid() != 0:
        sys.exit("bench: needs root")
    if not os.environ.get(INSIDE):
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["mount", "-t", "bpf", "bpf", "/sys/fs/bpf"], check=True)
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("10000 65535", encoding="ascii")
    chosen = Path("/proc/sys/net/ipv4/tcp_congestion_control")
    for name in ("cubic", "reno"):  # what Debian has, or what is nearest: bbr would pace loopback
        try:
            chosen.write_text(name, encoding="ascii")
            break
        except OSError:
            continue
    return chosen.read_text(encoding="ascii").strip()


def compile_tools(directory):
    for name in ("bench_client", "bench_server"):
        source, program = Path(__file__).parent / f"{name}.c", directory / name
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-o", program, source],
                           check=True)


def make_file(path, size):
    path.parent.mkdir(exist_ok=True)
    with open(path, "wb") as file:
        for _ in range(size // 1000000):
            file.write(random.randbytes(1000000))


def environment(chosen, found):
    cpu = [line.split(":")[1].strip() for line in measure.lines("/proc/cpuinfo") if line.startswith("model name")]
    ours = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True,
                          check=False).stdout.strip()
    versions = [version for version in (contender.version() for contender in found) if version]
    return {"date": datetime.date.today().isoformat(), "cores": os.cpu_count(), "cpu": cpu[0] if cpu else "",
            "kernel": os.uname().release, "congestion_control": chosen, "versions": versions + [f"unproxy {ours}"]}


def run_one(generator, contender, load):
    """A contender that fails has a figure, too: the others are measured all the same."""
    try:
        contender.start()
        return load(generator, contender)
    except (RuntimeError, subprocess.SubprocessError) as error:
        print(f"bench: {contender.name}: {error}", file=sys.stderr, flush=True)
        return {"errors": 1}
    finally:
        contender.stop()


def log_pair(generator, plain, logged):
    """The client log's price: connections/s with and without it, one right after the other."""
    order = [plain, logged] if random.random() < 0.5 else [logged, plain]
    results = {contender.name: run_one(generator, contender, loads.connections) for contender in order}
    with_log, without = results[logged.name], results[plain.name]
    if "per_second" not in with_log or "per_second" not in without:
        return {"errors": 1}
    return {"rate_ratio": with_log["per_second"] / without["per_second"],
            "cost_ratio": with_log["ours_us"] / without["ours_us"],
            "errors": with_log["errors"] + without["errors"]}


class Bench:
    def __init__(self, args, generator, found, wanted):
        self.args, self.generator, self.found, self.wanted = args, generator, found, wanted
        self.samples, self.busy = [], []

    def note(self, number, load, name, metrics):
        shown = " ".join(f"{key}={value:.4g}" for key, value in metrics.items() if key not in ("count", "messages"))
        print(f"round {number + 1}/{self.args.rounds} {load:12} {name:16} {shown}", flush=True)
        self.samples.append({"round": number, "load": load, "contender": name, "metrics": metrics})

    def round(self, number):
        for load in self.wanted:
            turn = number % len(self.found)
            for contender in self.found[turn:] + self.found[:turn]:
                if load not in loads.LOADS or contender.loads and load not in contender.loads:
                    continue
                self.busy.append(measure.background())
                metrics = run_one(self.generator, contender, loads.LOADS[load])
                if metrics:
                    self.note(number, load, contender.name, metrics)

    def log_round(self, number, directory, binary):
        plain = contenders.Unproxy(directory, binary, "auto")
        logged = contenders.Unproxy(directory, binary, "auto", client_log=True)
        for _ in range(LOG_PAIRS):
            self.note(number, "log", logged.name, log_pair(self.generator, plain, logged))


def choose(args, directory, binary):
    found = contenders.all_contenders(directory, binary)
    names = [name for name in args.contenders.split(",") if name] or [contender.name for contender in found]
    wanted = [load for load in args.only.split(",") if load] or [*loads.LOADS, "log"]
    unknown = set(names) - {contender.name for contender in found} | set(wanted) - {*loads.LOADS, "log"}
    if unknown:
        sys.exit("bench: unknown: " + ", ".join(sorted(unknown)))
    return [contender for contender in found if contender.name in names], wanted


def write_result(args, bench, facts, whole):
    facts["background"] = statistics.median(bench.busy or [0])
    usual = whole and all(getattr(args, name) == value for name, value in USUAL.items())
    result = {"command": "make bench" if usual else shlex.join(["tests/bench/bench.py", *sys.argv[1:]]),
              "rounds": args.rounds, "seconds": args.seconds, "file_bytes": bench.generator.file_bytes,
              "environment": facts, "contenders": [contender.name for contender in bench.found],
              "medians": report.medians(bench.samples), "samples": bench.samples}
    target = Path(args.json or f"{args.build}/bench/result.json")
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    markdown = args.markdown or (ROOT / "docs/benchmarks.md" if whole else None)
    if markdown:
        Path(markdown).write_text(report.document(result), encoding="utf-8")
    print("\n" + report.tables(result))
    print(f"samples: {target}" + (f"; tables: {markdown}" if markdown else ""))
    if facts["background"] > 0.05:
        print(f"bench: {facts['background']:.0%} of the machine was busy with something else: figures are uncertain")


def main():
    args = arguments()
    chosen = enter_namespace()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    tools = Path(args.build) / "bench"
    tools.mkdir(parents=True, exist_ok=True)
    compile_tools(tools)
    with tempfile.TemporaryDirectory(prefix="unproxy-bench-") as directory:
        os.chmod(directory, 0o755)
        file_bytes = 50000000 if args.quick else 250000000
        make_file(Path(directory) / "www/file", file_bytes)
        found, wanted = choose(args, directory, args.unproxy or f"{args.build}/unproxy")
        backends = [contenders.Web(directory), contenders.Plain(directory, tools)]
        generator = loads.Generator(f"{args.build}/tools", tools, backends, args.seconds, args.gigabytes, file_bytes)
        bench = Bench(args, generator, found, wanted)
        try:
            for backend in backends:
                backend.start()
            for number in range(args.rounds):
                bench.round(number)
                if "log" in wanted and not args.contenders:
                    bench.log_round(number, directory, args.unproxy or f"{args.build}/unproxy")
        finally:
            for backend in backends:
                backend.stop()
        whole = not (args.quick or args.only or args.contenders) and args.rounds >= 5
        write_result(args, bench, environment(chosen, found), whole)


if __name__ == "__main__":
    main()
