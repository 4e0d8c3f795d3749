# SPDX-License-Identifier: BSD-2-Clause
"""The inline engine under test: its listeners, its flows, what it leaves behind."""
import json
import os
import subprocess

from . import daemon as d
from . import leaks, tools
from .wait import until

PINS = os.path.join(leaks.PINS, "inline")
STATES = ["syn", "header", "open", "refused"]
ENDED = 0x10  # up_flow.marks


def listener(name="main", port=d.PORT, **keys):
    """A section; interfaces and trust are those of the tests' namespaces."""
    settings = {"engine": "inline", "port": port, "trust": d.TRUST, "interfaces": "wire, lo", **keys}
    return d.section(f"listener {name}", **{k: v for k, v in settings.items() if v is not None})


def tc(ns, *argv):
    return json.loads(subprocess.run(ns.argv(["tc", "-j", *argv]), check=True, capture_output=True, text=True).stdout or "[]")


def devices(ns):
    links = subprocess.run(ns.argv(["ip", "-j", "link"]), check=True, capture_output=True, text=True).stdout
    return [link["ifname"] for link in json.loads(links)]


def filters(ns):
    """(device, direction, program) of every bpf filter of a namespace."""
    found = []
    for device in devices(ns):
        if not [q for q in tc(ns, "qdisc", "show", "dev", device) if q["kind"] == "clsact"]:
            continue
        for way in ("ingress", "egress"):
            rows = tc(ns, "filter", "show", "dev", device, way)
            found += [(device, way, r["options"].get("bpf_name", "")) for r in rows if r.get("kind") == "bpf" and "options" in r]
    return found


def clsacts(ns):
    return [q["dev"] for q in tc(ns, "qdisc", "show") if q["kind"] == "clsact"]


def flows():
    """[(state, ended)] of the flow table."""
    rows = leaks.bpftool("map", "dump", "pinned", os.path.join(PINS, "flows")) or []
    found = []
    for row in rows:
        value = row.get("formatted", row)["value"]
        while "state" not in value:  # in an unnamed union
            value = {**value, **next(v for v in value.values() if isinstance(v, dict) and "state" in v)}
        found.append((STATES[value["state"]], bool(value["marks"] & ENDED)))
    return found


class InlineDaemon(d.Daemon):
    pinned = False  # what it pins is meant to outlive it

    def detach(self):
        """`unproxy detach`: nothing of ours is left."""
        done = subprocess.run(self.ns.argv([tools.UNPROXY, "detach"]), capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"unproxy detach: {done.returncode}\n{done.stdout}{done.stderr}"
        left = [p for p in leaks.pins() if p.startswith(PINS)]
        assert not left, f"pins left after detach: {left}"
        assert not [f for f in filters(self.ns) if f[2].startswith("up_")], f"filters left after detach: {filters(self.ns)}"

    def stop(self, detach=True):
        super().stop()
        if detach:
            self.detach()

    def all_flows_ended(self, seconds=10):
        until(lambda: all(state == "refused" or ended for state, ended in flows()),
              lambda: f"flows that never ended: {[f for f in flows() if not f[1]][:10]}", seconds)
