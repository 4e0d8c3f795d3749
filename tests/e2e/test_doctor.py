# SPDX-License-Identifier: BSD-2-Clause
"""unproxy doctor, and the warnings of unproxy check: they name what is there, and say nothing of what is not."""
import json
import os
import subprocess

import pytest

from conftest import STAND_IN
from harness import daemon as d
from harness import inline, tools
from harness.apps import Recorder
from harness.inline import InlineDaemon
from harness.netns import HOST4

pytestmark = pytest.mark.skipif(bool(STAND_IN), reason="SKIP: a stand-in has no doctor")

UDP = "protocol ip u32 match ip protocol 17 0xff flowid 1:1".split()


def tc(ns, *words):
    subprocess.run(ns.argv(["tc", *words]), check=True, capture_output=True, timeout=20)


def doctor(ns, *words):
    """exit code, {name: [(level, text)]}"""
    done = subprocess.run(ns.argv([tools.UNPROXY, "doctor", "--json", *words]), capture_output=True, text=True, timeout=30)
    assert done.returncode in (0, 1) and not done.stderr, done
    report, found = json.loads(done.stdout), {}
    for check in report["checks"]:
        found.setdefault(check["name"], []).append((check["level"], check["text"]))
        assert check["level"] in ("OK", "SKIP") or check.get("mend") or check["name"] == "configuration", f"no mend: {check}"
    assert done.returncode == (report["fail"] > 0)
    return done.returncode, found


def check(ns, *words):
    done = subprocess.run(ns.argv([tools.UNPROXY, "check", *words]), capture_output=True, text=True, timeout=30)
    return done.returncode, done.stderr


def levels(found, name):
    return [level for level, _ in found[name]]


def test_the_host_alone(bench):
    code, found = doctor(bench.net.host)
    for name in ("kernel", "btf", "capabilities", "bpffs", "cgroup2", "io_uring", "clocksource", "net.core.somaxconn"):
        assert name in found, found
    assert found["kernel path"][0][0] == "OK", found["kernel path"]
    assert found["configuration"] == [("SKIP", "none given")]
    assert {"interface wire", "interface lo"} <= set(found)
    assert not os.path.exists("/sys/fs/bpf/unproxy-doctor"), "what was tried is taken away"


def test_a_relay(bench):
    text = d.section("unproxy", log_probes="yes") + d.listener("good") + d.listener("far", bind="*:8090", trust="192.0.2.0/24") + d.backend()
    daemon = bench.daemon(text)
    app = Recorder(bench.net.host, d.BACKEND_PORT)
    code, found = doctor(bench.net.host, "-c", daemon.file)
    assert [text for _, text in found["listener good"]] == [f"unproxy (pid {daemon.pid}) listens on [::]:8080", *(
        f"{kind}: the app read to the end and closed" for kind in ("v1", "v2", "LOCAL"))]
    assert found["listener far"][1:] == [("SKIP", "no test connection: trust holds no address of this host")]
    assert found["backend main"] == [("OK", "127.0.0.1:3000 accepts connections")]
    assert code == 0 and [bytes(s) for s in app.seen] == [b""] * 4, "headers are taken off, nothing else was sent"
    records = daemon.records(3, listener="good")
    assert {r["balancer_ip"] for r in records} == {HOST4} and sorted(r["command"] for r in records) == ["LOCAL", "PROXY", "PROXY"]

    app.close()
    code, found = doctor(bench.net.host, "-c", daemon.file)
    assert code == 1 and levels(found, "backend main") == ["FAIL"] and levels(found, "listener good") == ["OK"] + ["FAIL"] * 3
    assert check(bench.net.host, "-c", daemon.file)[1] == f"{daemon.file}:{line_of(daemon, 'server')}: warning: server: 127.0.0.1:3000 does not accept connections: Connection refused\n"


def line_of(daemon, key):
    with open(daemon.file) as f:
        return next(n for n, line in enumerate(f, 1) if line.startswith(key))


def test_the_daemon_that_runs(bench, tmp_path):
    """Not yet; well; with what it would complain of itself; no more."""
    text = d.listener() + d.backend()
    daemon = bench.daemon(text, start=False)
    file = tmp_path / "as-it-was.conf"
    file.write_text(open(daemon.file).read())
    Recorder(bench.net.host, d.BACKEND_PORT)

    def asked():
        return {name: rows for name, rows in doctor(bench.net.host, "-c", file)[1].items() if name.startswith("daemon")}
    assert asked() == {"daemon": [("SKIP", f"none runs: there is no {daemon.control}")]}
    daemon.start()
    found = asked()
    assert found["daemon"][0][1].startswith("version ") and f"(pid {daemon.pid})" in found["daemon"][0][1], found
    assert {name for name in found if levels(found, name) == ["OK"]} == set(found) == {"daemon", *(f"daemon {x}" for x in ("relay", "reload", "limits", "log"))}

    daemon.ask("listener", "main", "drain")
    daemon.write(text + "[nonsense]\n")
    daemon.ask("reload", expect=1)
    found = asked()
    assert levels(found, "daemon reload") == ["FAIL"] and "nonsense" in found["daemon reload"][0][1]
    assert found["daemon listener"] == [("WARN", "main was drained")]
    daemon.kill()
    assert asked() == {"daemon": [("WARN", f"none runs: nobody answers at {daemon.control}, which a dead one left")]}


def test_another_file_than_the_daemons(bench, tmp_path):
    """Its listeners are not the daemon's: no test connection, and the mend is one. --control names the daemon to ask."""
    daemon = bench.daemon(d.listener() + d.backend())
    app = Recorder(bench.net.host, d.BACKEND_PORT)
    file = tmp_path / "another.conf"
    file.write_text(d.section("unproxy", control="off") + d.listener("other") + d.backend())
    found = doctor(bench.net.host, "--control", daemon.control, "-c", file)[1]
    assert ("WARN", f"the daemon that runs serves another: {daemon.file}") in found["configuration"]
    assert found["listener other"] == [("WARN", "the daemon that runs has no such listener: no test connection")]
    assert not any(bytes(s) for s in app.seen)
    found = doctor(bench.net.host, f"--control={daemon.control}")[1]
    assert found["configuration"] == [("SKIP", "none given")] and levels(found, "daemon") == ["OK"]


def test_somebody_elses_port(bench):
    text = d.listener() + d.backend()
    daemon = bench.daemon(text, start=False)
    Recorder(bench.net.host, d.BACKEND_PORT)
    server = Recorder(bench.net.host, d.PORT, HOST4)
    code, found = doctor(bench.net.host, "-c", daemon.file)
    assert code == 1 and found["listener main"] == [("FAIL", f"[::]:8080 belongs to {comm()} (pid {os.getpid()})")]
    assert check(bench.net.host, "-c", daemon.file) == (
        0, f"{daemon.file}:{line_of(daemon, 'bind')}: warning: bind: port 8080: {comm()} (pid {os.getpid()}) listens on {HOST4}:8080 already\n")
    assert check(bench.net.host, "--strict", "-c", daemon.file)[0] == 1
    assert check(bench.net.host, "--offline", "--strict", "-c", daemon.file) == (0, "")
    server.close()
    daemon.start()
    assert check(bench.net.host, "-c", daemon.file) == (0, ""), "its own daemon is nobody else"


def test_a_circle(bench, tmp_path):
    """The server is the listener itself, by an address of this host that only the host knows for its own."""
    file = tmp_path / "circle.conf"
    file.write_text(d.listener() + d.backend(server=f"{HOST4}:8080"))
    code, said = check(bench.net.host, "-c", file)
    assert code == 0 and ": warning: server: is [listener main] itself, whose backend this is: connections would go in a circle\n" in said, said
    assert check(bench.net.client, "--strict", "--offline", "-c", file) == (0, "")


def comm():
    with open("/proc/self/comm") as f:
        return f.read().strip()


def test_a_configuration_that_cannot_be_read(bench, tmp_path):
    file = tmp_path / "bad.conf"
    file.write_text("[listener a]\nbind = nowhere\n")
    code, found = doctor(bench.net.host, "-c", file)
    assert code == 1 and found["configuration"][0][0] == "FAIL" and found["configuration"][0][1].startswith(f"{file}:2: bind: ")
    assert "kernel" in found, "the host is looked at all the same"


def test_inline(bench):
    """Not attached; no app; all well; somebody's filter behind and in front."""
    host = bench.net.host
    daemon = bench.daemon(d.section("unproxy") + inline.listener(), cls=InlineDaemon, start=False)
    code, found = doctor(host, "-c", daemon.file)
    assert code == 1 and found["listener main"] == [("SKIP", "not attached: no test connection"), ("FAIL", "no app listens on port 8080")]

    app = Recorder(host, inline.PORT, "0.0.0.0")
    daemon.start()
    code, found = doctor(host, "-c", daemon.file)
    assert code == 0 and found["listener main"] == [
        ("OK", "attached to 2 interfaces"), ("OK", f"{comm()} (pid {os.getpid()}) listens on port 8080"),
        *(("OK", f"{kind}: the app read to the end and closed") for kind in ("v1", "v2", "LOCAL"))]
    assert found["interface wire"] == [("OK", "2 programs of ours")]
    assert found["address hook"][0][0] == "OK" and found["address hook"][0][1].endswith(" programs of ours, none of others")
    assert all(bytes(s) == b"" for s in app.seen)

    # Filters of others: behind ours, and, where ours are filters, too (tcx = no), before them.
    tc(host, "qdisc", "add", "dev", "wire", "clsact")
    tc(host, "filter", "add", "dev", "wire", "ingress", "pref", "1", *UDP)
    assert doctor(host, "-c", daemon.file)[1]["interface wire"] == [("OK", "2 programs of ours, behind them: u32 (tc ingress priority 1)")]
    daemon.end()
    inline.detach(host)
    daemon = bench.daemon(d.section("unproxy", tcx="no") + inline.listener(), cls=InlineDaemon)
    assert doctor(host, "-c", daemon.file)[1]["interface wire"] == [("WARN", "others' programs stand first: u32 (tc ingress priority 1)")]
    tc(host, "filter", "del", "dev", "wire", "ingress", "pref", "1")
    assert levels(doctor(host, "-c", daemon.file)[1], "interface wire") == ["OK"]
    daemon.end()
    inline.detach(host)
    tc(host, "qdisc", "del", "dev", "wire", "clsact")


NOBODY = ["setpriv", "--reuid=nobody", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]


def test_without_privilege(bench):
    """It says what it cannot see, and fails only where that is needed."""
    done = subprocess.run(bench.net.host.argv([*NOBODY, tools.UNPROXY, "doctor"]), capture_output=True, text=True, timeout=30)
    assert "WARN capabilities: this process lacks CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON  -> " in done.stdout, done
    assert "SKIP kernel path: not tried" in done.stdout and "SKIP sockmaps: cannot be seen" in done.stdout
    assert done.returncode == 0 and done.stdout.splitlines()[-1].endswith(" 0 FAIL, " + done.stdout.splitlines()[-1].rsplit(", ", 1)[1])


def test_without_privilege_of_a_daemon_that_runs_well(bench):
    """Who listens, and what is attached, is not seen: not that somebody else does, or that nothing is."""
    bench.daemon(d.listener() + d.backend())
    Recorder(bench.net.host, d.BACKEND_PORT)

    def lines(*flags):
        words = [*NOBODY, tools.UNPROXY, "doctor", *flags]
        done = subprocess.run(bench.net.host.argv(words), capture_output=True, text=True, timeout=30)
        assert " configuration: --" not in done.stdout, done
        return [line for line in done.stdout.splitlines() if "listener main: " in line]

    assert lines("--listen", f"*:{d.PORT}", "--trust", "any", "--backend", f"127.0.0.1:{d.BACKEND_PORT}") == [
        f"SKIP listener main: who listens on [::]:{d.PORT} cannot be seen  -> run doctor as root"]
    assert lines("--engine", "inline", "--listen", f":{d.BACKEND_PORT}", "--trust", "any") == [
        "SKIP listener main: whether it is attached cannot be seen: Operation not permitted  -> run doctor as root",
        f"OK   listener main: an app that cannot be seen listens on port {d.BACKEND_PORT}"]
