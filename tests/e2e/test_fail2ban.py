# SPDX-License-Identifier: BSD-2-Clause
"""The real fail2ban, with examples/fail2ban: HAProxy in front, an app that logs who fails, and the ban of one client
that leaves the others behind the same balancer alone."""
import json
import os
import shutil
import subprocess
import threading
import time

import pytest

from conftest import BARE, STAND_IN
from harness import daemon as d
from harness import headers, tools
from harness import inline as i
from harness.apps import ask, read_all
from harness.netns import CLIENT4, EXTRA4, HOST4
from harness.wait import until

pytestmark = pytest.mark.skipif(bool(BARE or STAND_IN), reason="SKIP: only unproxy denies")
EXAMPLES = os.path.join(tools.ROOT, "examples/fail2ban")
BALANCER_PORT = 9000
HAPROXY = f"""
global
  stats timeout 30s
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen front
  bind {CLIENT4}:{BALANCER_PORT}
  server host {HOST4}:{d.PORT} send-proxy-v2
"""
FILTER = r"""[Definition]
failregex = ^\s*login failed from <ADDR>$
"""


class Door:
    """An unmodified server: asks for a password, and logs the address that accept() gave it."""

    def __init__(self, ns, address, port, log):
        self.seen, self.log = [], log
        self.listener = ns.listen(address, port)
        self.listener.settimeout(None)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                s, peer = self.listener.accept()
            except OSError:
                return
            self.seen.append(peer[0])
            threading.Thread(target=self.answer, args=(s, peer[0]), daemon=True).start()

    def answer(self, s, client):
        with s:
            try:
                word = s.recv(100)
            except ConnectionError:
                return
            if word != b"secret":
                with open(self.log, "a") as f:
                    f.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} login failed from {client}\n")
            s.sendall(b"welcome" if word == b"secret" else b"no")

    def close(self):
        self.listener.close()


class Fail2ban:
    def __init__(self, directory, daemon, jails):
        self.directory, self.log = directory, directory / "fail2ban.log"
        directory.mkdir()
        for folder in ("action.d", "filter.d"):
            shutil.copytree(os.path.join(EXAMPLES, folder), directory / folder)
        (directory / "filter.d/door.conf").write_text(FILTER)
        (directory / "fail2ban.conf").write_text("[Definition]\nloglevel = INFO\nlogtarget = STDOUT\nsyslogsocket = auto\n"
                                                 f"socket = {directory}/sock\npidfile = {directory}/pid\n"
                                                 "dbfile = None\ndbpurgeage = 1d\nallowipv6 = auto\n")
        action = f'unproxy[unproxy="{tools.UNPROXY}", control="{daemon.control}", kill="--kill"]'
        (directory / "jail.conf").write_text("[DEFAULT]\nenabled = true\nusedns = no\nbackend = polling\nignoreself = false\n"
                                             f"action = {action}\n{jails}")
        self.process = subprocess.Popen(["fail2ban-server", "-xf", "-c", str(directory), "-s", f"{directory}/sock",
                                         "-p", f"{directory}/pid", "start"],
                                        stdout=open(self.log, "w"), stderr=subprocess.STDOUT)
        until(lambda: self.client("ping").returncode == 0, self.said, 20)

    def client(self, *words):
        return subprocess.run(["fail2ban-client", "-c", str(self.directory), "-s", f"{self.directory}/sock", *words],
                              capture_output=True, text=True, timeout=30, check=False)

    def said(self):
        return self.log.read_text()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)


@pytest.fixture
def fail2ban(tmp_path):
    if not shutil.which("fail2ban-server") or not shutil.which("haproxy"):
        pytest.skip("SKIP: no fail2ban or no haproxy on this machine")
    started = []

    def start(*args):
        started.append(Fail2ban(tmp_path / "fail2ban", *args))
        return started[0]
    yield start
    for server in started:
        server.stop()


@pytest.fixture
def balancer(bench, tmp_path):
    file = tmp_path / "haproxy.cfg"
    file.write_text(HAPROXY)
    process = bench.net.client.popen(["haproxy", "-db", "-f", str(file)], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def listening():
        try:
            bench.net.client.connect(CLIENT4, BALANCER_PORT).close()
            return True
        except OSError:
            return False
    until(listening, "haproxy listens")
    yield
    process.terminate()
    process.wait(10)


@pytest.mark.parametrize("engine", ["relay", "inline"])
def test_a_ban_by_the_true_address(bench, balancer, fail2ban, tmp_path, engine):
    bad, good = EXTRA4[:2]
    inline = engine == "inline"
    log = tmp_path / "door.log"
    log.touch()
    door = Door(bench.net.host, "0.0.0.0", d.PORT if inline else d.BACKEND_PORT, log)
    daemon = bench.daemon(i.listener() if inline else d.listener() + d.backend(), cls=i.InlineDaemon if inline else d.Daemon)
    server = fail2ban(daemon, f"[door]\nfilter = door\nlogpath = {log}\nmaxretry = 3\nfindtime = 60\nbantime = 600\n")

    def knock(source, word):
        """Through the balancer: what the app answers, "" if nothing."""
        answer, _ = ask(bench.net.client, CLIENT4, BALANCER_PORT, word, source)
        return answer.decode()

    def denied():
        return [json.loads(line)["cidr"] for line in daemon.ask("deny", "list", "--json").splitlines()]

    try:
        assert knock(good, b"secret") == knock(bad, b"secret") == "welcome"
        opened = bench.net.client.connect(CLIENT4, BALANCER_PORT, bad)  # and says nothing: the app waits
        until(lambda: f'"client_ip":"{bad}"' in daemon.ask("conns", "--json"), "it is open")
        assert [knock(bad, b"guess") for _ in range(3)] == ["no"] * 3
        until(lambda: denied() == [bad], server.said)
        assert read_all(opened)[0] == b"", "what it had open is over"
        seen = door.seen.count(bad)
        assert knock(bad, b"secret") == "" and door.seen.count(bad) == seen, "refused before the app saw it"
        assert knock(good, b"secret") == "welcome", "others behind the same balancer go on"
        records = daemon.records(1, reason="denied")
        assert {(r["client_ip"], r["balancer_ip"]) for r in records} == {(bad, CLIENT4)}
        item = json.loads(daemon.ask("deny", "list", "--json", bad))
        left = time.mktime(time.strptime(item["until"], "%Y-%m-%dT%H:%M:%SZ")) - time.mktime(time.gmtime())
        assert item["hits"] >= 1 and 600 < left <= 660

        assert server.client("set", "door", "unbanip", bad).stdout == "1\n"
        until(lambda: not denied(), server.said)
        assert knock(bad, b"secret") == "welcome"

        assert server.client("set", "door", "banip", "2001:db8::7").stdout == "1\n"
        until(lambda: denied() == ["2001:db8::7"], server.said)
        daemon.ask("deny", "del", "2001:db8::7")  # by hand: fail2ban may find it gone
        server.stop()
        assert "ERROR" not in server.said(), server.said()
        assert {bad, good} <= set(door.seen) <= {bad, good, CLIENT4}, "true addresses; HAProxy tries long for the first one, too"
    finally:
        door.close()


def test_filter_of_the_client_log(bench, fail2ban, tmp_path):
    """examples/fail2ban/filter.d reads the client log as it is, and counts neither health checks nor lies in TLVs."""
    daemon = bench.daemon(d.section("unproxy", log_probes="yes") + d.listener() + d.backend())
    lie = headers.tlv(2, b'x","client_ip":"192.0.2.66","client_port":')
    s = bench.server(4, tx="data:10", rx="rest", count=5)
    for header in (headers.v1("198.51.100.7"), headers.v2("2001:db8::7", server="2001:db8::8"), headers.v2("198.51.100.8", tlvs=lie)):
        ask(bench.net.client, HOST4, d.PORT, header + b"x")
    ask(bench.net.client, HOST4, d.PORT, headers.LOCAL)
    daemon.records(3, event="end")
    daemon.records(1, event="probe")
    s.quit()
    done = subprocess.run(["fail2ban-regex", "-o", "<ip>", daemon.client_log, f"{EXAMPLES}/filter.d/unproxy-connections.conf"],
                          capture_output=True, text=True, timeout=30, check=True)
    assert sorted(done.stdout.split()) == ["198.51.100.7", "198.51.100.8", "2001:db8::7"], done
