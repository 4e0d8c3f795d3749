# SPDX-License-Identifier: BSD-2-Clause
"""Tell the demo's story, and check each thing it shows. What it stands on is stage.py."""
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time

from stage import (BALANCER, CLIENT4, HOST, PUBLIC4, PUBLIC6, WS_APP, DemoError, Program, at, build_network,
                   run, start_apps, start_balancer, write_files)

DIRECTORY = "/run/demo"  # on the demo's own tmpfs
MEGABYTES = 128
MAP = "/sys/fs/bpf/unproxy/relay/connections"
COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ
failures = []


def paint(code, text):
    return f"\x1b[{code}m{text}\x1b[0m" if COLOUR else text


def title(number, text):
    print(f"\n{paint('1', f'{number}  {text}')}")


def show(*lines, code="36"):
    for line in lines:
        print("     " + paint(code, line))


def check(good, text):
    """A line that says whether what was promised happened."""
    if not good:
        failures.append(text)
    print(f"   {paint('32', 'ok ') if good else paint('31;1', 'NOT')} {text}", flush=True)


def first_bytes(app, port):
    """What an app gets first when the client asks the balancer's port; (peer, bytes)."""
    before = len(app.got)
    run(*at("client", "curl", "-sS", "-o", "/dev/null", "--max-time", "10", f"http://{PUBLIC4}:{port}/cable"))
    return app.got[before]


def visible(data):
    head = data.split(b"\r\n")
    return "\\r\\n".join(line.decode("latin1") for line in head[: 2 if data.startswith(b"PROXY") else 1]) + "\\r\\n..."


def wait_record(daemon, accept):
    """The next line of the client log (the daemon's standard output) that fits."""
    def fits(line):
        return line.startswith("{") and accept(json.loads(line))
    return json.loads(daemon.wait_line(fits))


def address_of(endpoint):
    """The address of "192.0.2.1:80" or "[2001:db8::1]:443"."""
    return (endpoint or "").rpartition(":")[0].strip("[]")


def live_connection(client, port):
    """A connection of the client's port in the pinned map. Between two looks the client makes a round trip."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        client.say("again\n")
        client.wait_line(lambda line: "alive" in line)
        for entry in json.loads(run("bpftool", "-j", "map", "dump", "pinned", MAP)):
            value = entry.get("formatted", entry)["value"]
            if value["client"].endswith(f":{port}") and value["bytes_up"] > 0:
                return value
    raise DemoError("the connection did not appear in the map within 10 s")


def conversation(daemon, url, *ca):
    """Talk; look at the map while the connection lives; end it; (its map entry, its client log line)."""
    client = Program("/usr/bin/python3", "-B", "scripts/demo/client.py", url, *ca, namespace="client")
    told = json.loads(client.wait_line(lambda line: line.startswith("{")))
    check(told.get("talk") and told.get("blob"),
          "the conversation works: text echoed, 1 MiB of binary echoed with the same SHA-256" if "talk" in told
          else f"the conversation works, but: {told.get('refused')}")
    if "talk" not in told:
        raise DemoError("no conversation to look at")
    entry = live_connection(client, told["port"])
    client.end()
    check(any('"closed": 1000' in line for line in client.seen), "closed cleanly on both sides (WebSocket code 1000)")
    record = wait_record(daemon, lambda r: r["client_port"] == told["port"])
    check(record["client_ip"] == told["address"], f"the client log has the client's own address, {told['address']}")
    return entry, record


def download(daemon, port, want):
    """Fetch the large file through the balancer; its client log line."""
    target = f"{DIRECTORY}/fetched"
    spent = run(*at("client", "curl", "-sS", "-o", target, "--max-time", "60", "-w", "%{time_total} %{local_port}",
                    f"http://{PUBLIC4}:{port}/large")).split()
    same = digest(target) == want
    record = wait_record(daemon, lambda r: r["client_port"] == int(spent[1]))
    check(same, f"{MEGABYTES} MiB downloaded in {float(spent[0]):.2f} s with the same SHA-256")
    check(record["client_ip"] == CLIENT4 and record["bytes_down"] > MEGABYTES << 20, f"logged as {CLIENT4}, every byte counted")
    return record


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def without(app):
    title(1, f"Without unproxy: HAProxy (send-proxy) straight to the app on {HOST}")
    peer, data = first_bytes(app, 9001)
    show(visible(data), code="33")
    check(data.startswith(b"PROXY TCP4 " + CLIENT4.encode()), "the app's first bytes are the balancer's PROXY line")
    client = Program("/usr/bin/python3", "-B", "scripts/demo/client.py", f"ws://{PUBLIC4}:9000/cable", namespace="client")
    told = json.loads(client.wait_line(lambda line: line.startswith("{")))
    client.end()
    check("refused" in told, f"the WebSocket app cannot read that: {told.get('refused', 'it could, after all')}")
    check(peer == BALANCER, f"and it takes {peer}, the balancer, for its client")


def version_1(app, daemon, want):
    title(2, "With unproxy in between, the app unchanged (PROXY v1, WebSocket and HTTP)")
    _, data = first_bytes(app, 9002)
    show(visible(data))
    check(data.startswith(b"GET /cable HTTP/1.1\r\n"), "the app's first bytes are the client's own")
    entry, record = conversation(daemon, f"ws://{PUBLIC4}/cable")
    return entry, record, download(daemon, 8000, want)


def version_2(daemon, want):
    title(3, "The same with PROXY v2: a TLS client over IPv6, TLVs from HAProxy")
    _, record = conversation(daemon, f"wss://[{PUBLIC6}]/cable", f"{DIRECTORY}/ca.pem")
    tlv = record.get("tlv", {})
    check(record["version"] == 2 and tlv.get("authority") == "chat.example" and "unique_id" in tlv and "ssl" in tlv,
          "the log has the TLVs: host name asked for, unique id, TLS version")
    return record, download(daemon, 8001, want)


def wrapped(value, width=104):
    """A JSON object on a few lines."""
    lines, line = [], ""
    for part in (json.dumps(value, ensure_ascii=False).replace(", \"", ",\x00\"")).split("\x00"):
        if line and len(line) + len(part) > width:
            lines.append(line)
            line = " "
        line += (" " if line.strip() else "") + part
    return lines + [line]


def what_is_seen(entry, records, daemon):
    title(4, "What an operator sees")
    print("   The client log, one line per connection; here the conversation of 3:")
    show(*wrapped(records["conversation, PROXY v2"]))
    print(f"   bpftool map dump pinned {MAP}, while the conversation of 2 was open:")
    show(*wrapped(entry))
    check(address_of(entry["client"]) == CLIENT4, "the map names the client, in readable fields")
    print("   Which path moved the bytes (to the app, to the client):")
    for name, record in records.items():
        show(f"{name:23} {record['bytes_up']:>11,} {record['path_up']:7} {record['bytes_down']:>11,} {record['path_down']}")
    refused = [line for line in daemon.seen if re.match(r"\w+: kernel_path\.", line) and "kernel_path.on" not in line]
    if refused:
        print("   Not the kernel path on this host; the daemon says why:")
        show(*refused)


def talk(port=9000):
    """A WebSocket conversation with the app's own port at the balancer, left open; (the program, what it said)."""
    client = Program("/usr/bin/python3", "-B", "scripts/demo/client.py", f"ws://{PUBLIC4}:{port}/cable", namespace="client")
    told = json.loads(client.wait_line(lambda line: line.startswith("{")))
    if not (told.get("talk") and told.get("blob")):
        raise DemoError(f"no conversation: {told}")
    return client, told


def app_saw(cable, told):
    """The app's own log has the client's address and port."""
    line = cable.wait_line(lambda text: text == f"client {told['address']}:{told['port']}")
    show(f"the app's log:  {line}")
    check(True, "the app itself logs its real client: accept() returned it")


def still_talks(client):
    client.say("again\n")
    return json.loads(client.wait_line(lambda line: "alive" in line))["alive"]


def inline_daemon():
    daemon = Program(os.environ["UNPROXY"], "run", "-c", f"{DIRECTORY}/inline.conf")
    line = daemon.wait_line(lambda text: "inline.on" in text)
    daemon.wait_line(lambda text: re.match(r"(info: )?ready\b", text))
    return daemon, int(re.search(r"adopted=(\d+)", line).group(1))


def inline(cable):
    title(5, f"The inline engine: no proxy in the path. HAProxy (send-proxy) straight to the app on {HOST}:{WS_APP}, as in 1")
    daemon, _ = inline_daemon()
    first, told = talk()
    check(True, "the same conversation that the app refused in 1 works: text, and 1 MiB of binary with the same SHA-256")
    app_saw(cable, told)
    rows = run("ss", "-tnpH", "state", "established", f"sport = :{WS_APP}").splitlines()
    show("ss:  " + " ".join(rows[0].split()) if rows else "ss: nothing")
    check(len(rows) == 1 and f" {BALANCER}:" in rows[0] and '"node"' in rows[0],
          f"ss: one connection, from the balancer {BALANCER} to node itself; there is no second one")

    daemon.process.kill()
    daemon.process.wait()
    check(still_talks(first), "kill -9 of unproxy in the middle of it: the conversation just goes on")
    second, told = talk()
    check(True, "a new one works, too: the programs in the kernel need no daemon")
    app_saw(cable, told)
    daemon, adopted = inline_daemon()
    check(adopted == 2, f"unproxy, started again, takes over {adopted} live connections")
    for client in (first, second):
        client.end()
    record = wait_record(daemon, lambda r: r["client_port"] == told["port"])
    show(*wrapped(record))
    check(record["client_ip"] == told["address"], "and logs them at their end")
    check(daemon.terminate() == 0, "unproxy ended on SIGTERM with exit code 0")
    detached = run(os.environ["UNPROXY"], "detach").strip()
    show("unproxy detach:  " + detached)
    check("programs" in detached and "nothing" in run(os.environ["UNPROXY"], "detach"),
          "and nothing of it is left on the interfaces")


def story():
    build_network()
    os.makedirs(DIRECTORY)
    write_files(DIRECTORY, MEGABYTES)
    want = digest(f"{DIRECTORY}/files/large")
    cable, app = start_apps(DIRECTORY)
    start_balancer(DIRECTORY)
    print(f"client {CLIENT4} --> HAProxy {PUBLIC4} | {BALANCER} --> unproxy {HOST} --> apps on 127.0.0.1")
    print(paint("2", "three network namespaces; the apps: node `ws` and nginx, neither knows of PROXY"))
    without(app)

    daemon = Program(os.environ["UNPROXY"], "run", "-c", f"{DIRECTORY}/unproxy.conf")
    daemon.wait_line(lambda line: re.match(r"(info: )?ready\b", line))
    records = {}
    entry, records["conversation, PROXY v1"], records["download, PROXY v1"] = version_1(app, daemon, want)
    records["conversation, PROXY v2"], records["download, PROXY v2"] = version_2(daemon, want)
    what_is_seen(entry, records, daemon)
    check(daemon.terminate() == 0, "unproxy ended on SIGTERM with exit code 0")
    inline(cable)


def stopped(*_):
    """This is the first process of its namespace: the kernel ends the rest, networks and mounts with them."""
    os.write(2, b"\ndemo: stopped; everything it made is gone\n")
    os._exit(130)


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stopped)
    started = time.monotonic()
    try:
        story()
    except (DemoError, OSError, LookupError, ValueError, subprocess.SubprocessError) as error:
        check(False, f"{type(error).__name__}: {error}")
    print()
    if failures:
        print(paint("31;1", f"demo: {len(failures)} of what it shows is not as it should be: {failures[0]}"))
    else:
        print(paint("1", f"demo: all as promised, in {time.monotonic() - started:.0f} s."),
              "Everything it made is gone. To run your own: README.md")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
