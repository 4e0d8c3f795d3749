# SPDX-License-Identifier: BSD-2-Clause
"""make install puts what it should where it should, and make uninstall takes exactly that away."""
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def make(target, destdir, **variables):
    settings = [f"{name}={value}" for name, value in variables.items()]
    # The flags that `make check` has built with: another set would build anew.
    return subprocess.run(["make", "-s", target, f"DESTDIR={destdir}", "WERROR=1", *settings], cwd=ROOT, check=True, capture_output=True,
                          text=True, env={k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}).stdout


def files(root):
    return sorted(f"/{path.relative_to(root)}" for path in root.rglob("*") if not path.is_dir())


def wanted(prefix):
    docs = [f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")]
    docs += [str(path.relative_to(ROOT)) for path in (ROOT / "examples").rglob("*") if path.is_file()]
    docs += [f"examples/{path.name}" for path in (ROOT / "dist").glob("*.socket")]
    units = [path.name for path in (ROOT / "dist").glob("*.service")]
    return sorted([
        "/etc/logrotate.d/unproxy",
        f"{prefix}/sbin/unproxy",
        f"{prefix}/share/bash-completion/completions/unproxy",
        f"{prefix}/share/man/man5/unproxy.conf.5",
        f"{prefix}/share/man/man8/unproxy.8",
        f"{prefix}/share/zsh/site-functions/_unproxy",
        *(f"{prefix}/lib/systemd/system/{unit}" for unit in units),
        *(f"{prefix}/share/doc/unproxy/{doc}" for doc in ["LICENSE", "README.md", *docs]),
    ])


@pytest.mark.parametrize("prefix", ["/usr/local", "/usr"])
def test_install_and_uninstall(tmp_path, prefix):
    make("install", tmp_path, PREFIX=prefix)
    assert files(tmp_path) == wanted(prefix)
    program = Path(f"{tmp_path}{prefix}/sbin/unproxy")
    assert not program.is_symlink() and os.access(program, os.X_OK)
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    version = (ROOT / "user/base/version.h").read_text().split('"')[1]
    assert said.startswith(f"unproxy {version}\n") and "CO-RE" in said and "libbpf: v" in said
    for unit in Path(f"{tmp_path}{prefix}/lib/systemd/system").glob("*.service"):
        text = unit.read_text()
        assert f"={prefix}/sbin/unproxy run\n" in text and ("/usr/sbin/unproxy" in text) == (prefix == "/usr")

    kept = [tmp_path / "etc/unproxy/unproxy.conf", tmp_path / "var/log/unproxy/clients.log", program.parent / "another"]
    for path in kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    make("uninstall", tmp_path, PREFIX=prefix)
    assert files(tmp_path) == sorted(f"/{path.relative_to(tmp_path)}" for path in kept)
    assert not Path(f"{tmp_path}{prefix}/share/doc/unproxy").exists()


def test_a_changed_logrotate_file_is_kept(tmp_path):
    target = tmp_path / "etc/logrotate.d/unproxy"
    make("install", tmp_path)
    assert target.read_text() == (ROOT / "dist/unproxy.logrotate").read_text()
    target.write_text("mine")
    assert "kept" in make("install", tmp_path) and target.read_text() == "mine"
    assert "kept" in make("uninstall", tmp_path)
    assert files(tmp_path) == ["/etc/logrotate.d/unproxy"]


def test_one_version():
    """The package's changelog is of the version that the program says."""
    version = (ROOT / "user/base/version.h").read_text().split('"')[1]
    assert f"({version})" in (ROOT / "dist/debian/changelog").read_text().splitlines()[0]


def test_package_builds_with_what_setup_installs():
    """debian/control names each library that scripts/setup.sh installs for the build."""
    setup = re.search(r"^build=\((.*?)\)", (ROOT / "scripts/setup.sh").read_text(), re.S | re.M)[1].split()
    control = (ROOT / "dist/debian/control").read_text()
    wanted = re.search(r"^Build-Depends:(.*?)^\S", control, re.S | re.M)[1]
    assert set(setup) - {"build-essential"} == {name.split()[0] for name in wanted.split(",") if name.strip()} - {"debhelper-compat"}
