# SPDX-License-Identifier: BSD-2-Clause
"""The inline engine under test: its daemon, whose programs outlive it, and what it leaves on interfaces."""
import json
import os
import subprocess

from . import daemon as d
from . import leaks, tcx, tools
from .wait import until

PINS = os.path.join(leaks.PINS, "inline")
HOOK_PINS = os.path.join(leaks.PINS, "hook-inline")
PORT = 8080
HANDLE = "0x7570"
WAYS = ("ingress", "egress")
BOTH = [("ingress", "up_in_eth"), ("egress", "up_out_eth")]  # ours() of an interface with link headers
STATES = ["syn", "header", "open", "refused"]
ENDED = 0x10  # up_flow.marks


def listener(name="main", port=PORT, interfaces="wire, lo", **keys):
    settings = {"engine": "inline", "port": port, "trust": d.TRUST, "interfaces": interfaces, **keys}
    return d.section(f"listener {name}", **{k: v for k, v in settings.items() if v is not None})


class InlineDaemon(d.Daemon):
    """stop() detaches, too, and looks that nothing is left."""
    pinned = False  # the maps stay, and hold what lingers

    def end(self):
        """SIGTERM alone: programs and connections stay."""
        self.process.terminate()
        code = self.exit_code()
        assert code == 0, f"exit code {code}:\n{self.log()}"

    def detach(self, *words):
        return detach(self.ns, *words)

    def stop(self):
        self.end()
        done = self.detach()
        assert done.returncode == 0, done.stderr
        assert_nothing_left(self.ns)

    def all_flows_ended(self, seconds=10):
        """`syn` is no connection yet: nobody has answered."""
        alive = []

        def none_alive():
            alive[:] = [flow for flow in flows() if flow[0] in ("header", "open") and not flow[1]]
            return not alive
        until(none_alive, lambda: f"{len(alive)} flows that never end: {alive[:10]}", seconds)


def detach(ns, *words):
    return subprocess.run(ns.argv([tools.UNPROXY, "detach", *words]), capture_output=True, text=True, timeout=20)


def tc_do(ns, *words):
    subprocess.run(ns.argv(["tc", *words]), check=True, capture_output=True, timeout=20)


def tc(ns, *words):
    done = subprocess.run(ns.argv(["tc", "-j", *words]), capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, f"tc {' '.join(words)}: {done.stderr}"
    return json.loads(done.stdout or "[]")


def devices(ns):
    done = subprocess.run(ns.argv(["ip", "-j", "link"]), capture_output=True, text=True, check=True)
    return [link["ifname"] for link in json.loads(done.stdout)]


def filters(ns, device):
    """{way: [(priority, kind, handle, program)]} of all filters; priority's heads are left out."""
    found = {}
    for way in WAYS:
        rows = tc(ns, "filter", "show", "dev", device, way)
        found[way] = [(r["pref"], r["kind"], r["options"].get("handle"), r["options"].get("prog", {}).get("name"))
                      for r in rows if r.get("options")]
    return found


def program_ids(ns, device):
    return [i for _way, name, i in tcx.programs(ns, device) if name.startswith("up_")] + [r["options"]["prog"]["id"] for way in WAYS for r in tc(ns, "filter", "show", "dev", device, way)
            if r.get("options", {}).get("handle") == HANDLE]


def has_clsact(ns, device):
    return any(q["kind"] == "clsact" for q in tc(ns, "qdisc", "show", "dev", device))


def ours(ns, device):
    """[(way, program)] of ours, of both kinds."""
    return [row[:2] for row in tcx.programs(ns, device) if row[1].startswith("up_")] + [(way, row[3]) for way, rows in filters(ns, device).items() for row in rows if row[2] == HANDLE]


def assert_nothing_left(ns):
    for pins in (PINS, HOOK_PINS):
        assert not os.path.exists(pins), f"pins left: {os.listdir(pins)}"
    for device in devices(ns):
        assert not ours(ns, device), f"programs left on {device}"
        assert not has_clsact(ns, device), f"clsact left on {device}"


def dump(name):
    """A pinned map, its rows formatted by their types."""
    return leaks.bpftool("map", "dump", "pinned", os.path.join(PINS, name)) or []


def flows():
    """[(state, ended)] of the flow table."""
    values = [row.get("formatted", row)["value"] for row in dump("flows")]
    return [(STATES[v["state"]], bool(v["marks"] & ENDED)) for v in values]


def counter(name):
    """A member of struct up_flow_stats, summed over the CPUs."""
    return sum(cpu["value"][name] for row in dump("flow_stats") for cpu in row.get("formatted", row)["values"])
