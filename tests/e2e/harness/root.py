# SPDX-License-Identifier: BSD-2-Clause
"""A root file system to install into: the host's own under a layer of its own."""
import os
import subprocess

# What dpkg and its triggers write down for themselves.
DPKGS_OWN = ("/var/lib/dpkg/", "/var/log/dpkg.log", "/var/log/alternatives.log", "/var/cache/", "/etc/ld.so.cache", "/var/lib/systemd/")


class Root:
    """The host's own files, and what is written over them in a place of its own: the host itself stays as it is."""

    def __init__(self, folder):
        self.folder, self.upper, self.path = folder, folder / "upper", folder / "root"
        folder.mkdir(parents=True)
        # overlayfs over overlayfs is not everywhere: a tmpfs takes the upper side.
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
        for path in (self.upper, folder / "work", self.path):
            path.mkdir()
        options = f"lowerdir=/,upperdir={self.upper},workdir={folder / 'work'}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, self.path], check=True)
        for where in ("proc", "sys", "dev"):
            subprocess.run(["mount", "--rbind", f"/{where}", self.path / where], check=True)
        (self.path / "run").mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.path / "run"], check=True)

    def close(self):
        subprocess.run(["umount", "-R", "-l", self.path], check=True)
        subprocess.run(["umount", "-l", self.folder], check=True)

    def argv(self, *argv):
        return ["chroot", str(self.path), *map(str, argv)]

    def written(self):
        """Files that are new or different, dpkg's own aside; {path: is it a deletion}."""
        found = {}
        for where, folders, files in os.walk(self.upper):
            for name in files + [f for f in folders if not os.listdir(os.path.join(where, f))]:
                full = os.path.join(where, name)
                path = full[len(str(self.upper)):]
                gone = not os.path.isdir(full) and not os.path.islink(full) and os.stat(full).st_rdev == 0 and not os.path.isfile(full)
                if not path.startswith(DPKGS_OWN):
                    found[path] = gone
        return found
