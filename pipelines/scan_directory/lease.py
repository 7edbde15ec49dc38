"""The lease of a scan directory: one driver at a time works in it, and a second one is refused."""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.errors import CallerError, WriteError
from pipelines.runtime.progress import Say, quiet
from pipelines.storage import Directory

LEASE_FILE = "lease.json"
RENEW_EVERY_S, STALE_AFTER_S = 15.0, 120.0
"""A driver renews its lease so often; one that has not been renewed for so long is stale."""


@dataclass
class Lease:
    """The lease that this driver holds. `holder`: what it says of the driver; `taken_by`: who has taken it away."""

    output: Directory
    holder: Mapping[str, Any]
    taken_by: Mapping[str, Any] | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raises CallerError if another driver has taken the lease over: then this one must not go on."""
        if self.taken_by:
            raise CallerError(f"--output {self.output.url!r} has been taken over by {_who(self.taken_by)}")

    def renew(self) -> bool:
        """Writes the lease once more, unless another driver has it; returns whether it is still held."""
        there = _read(self.output)
        if there and there.get("id") != self.holder["id"]:
            self.taken_by = there
            return False
        self.output.put(LEASE_FILE, _content(self.holder))
        return True

    def keep(self) -> None:
        """Renews the lease until it ends or is taken away. A storage that fails for a while is no reason to stop."""
        held = True
        while held and not self._ended.wait(RENEW_EVERY_S):
            with suppress(WriteError, OSError):
                held = self.renew()

    def end(self) -> None:
        """Gives the lease up."""
        self._ended.set()
        with suppress(OSError):
            if (_read(self.output) or {}).get("id") == self.holder["id"]:
                self.output.remove(LEASE_FILE)


@contextmanager
def leased(output: Directory, take_over: bool = False, say: Say = quiet) -> Iterator[Lease]:
    """Holds the lease of a scan directory.

    One left by a process of this machine that is gone counts for nothing. Raises CallerError if another driver has it;
    with `take_over` only if that one still renews it: it is waited for until the lease is stale.
    """
    lease = Lease(output, _this_driver())
    _take(lease, take_over, say)
    keeper = threading.Thread(target=lease.keep, daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        lease.end()
        keeper.join(RENEW_EVERY_S)


def _take(lease: Lease, take_over: bool, say: Say) -> None:
    output, deadline, waiting = lease.output, time.monotonic() + STALE_AFTER_S + RENEW_EVERY_S, False
    while not output.create(LEASE_FILE, _content(lease.holder)):
        there = _read(output)
        if there is None:  # given up just now
            continue
        age_s = _age_s(output)
        stale = age_s > STALE_AFTER_S
        if _is_gone(there) or (stale and take_over):
            say(f"--output {output.url!r} was left by {_who(there)}: going on")
            output.put(LEASE_FILE, _content(lease.holder))
            break
        if not take_over or time.monotonic() > deadline:
            otherwise = "it is stale: --take-over goes on in its place" if stale else "wait for it to end"
            raise CallerError(
                f"--output {output.url!r} is being written to by {_who(there)}, last heard of {age_s:.0f} s ago; "
                f"{otherwise}"
            )
        if not waiting:
            say(f"--take-over: waiting until nothing is heard of {_who(there)} for {STALE_AFTER_S:g} s")
            waiting = True
        time.sleep(RENEW_EVERY_S / 5)
    if (_read(output) or {}).get("id") != lease.holder["id"]:
        raise CallerError(f"--output {output.url!r} is being written to by another driver, which began just now")


def _this_driver() -> dict[str, Any]:
    began = datetime.now(UTC).isoformat(timespec="seconds")
    place = {"id": uuid.uuid4().hex, "host": socket.gethostname(), "machine": _machine(), "pid": os.getpid()}
    return {**place, "process_began": _began(os.getpid()), "since": began}


def _machine() -> str:
    """What tells apart machines, and on them boots and containers: the same only where a process id means the same."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _began(pid: int) -> str | None:
    """When a process of this machine began, as the kernel counts it; "" where that is not told; None: it is gone."""
    try:
        os.kill(pid, 0)
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state == "Z" else rest[18]
    except ProcessLookupError:
        return None
    except (OSError, IndexError):
        return ""


def _is_gone(holder: Mapping[str, Any]) -> bool:
    """Whether the driver was a process of this machine that is no more."""
    pid = holder.get("pid")
    if holder.get("machine") != _machine() or not isinstance(pid, int):
        return False
    return _began(pid) != holder.get("process_began")


def _who(holder: Mapping[str, Any]) -> str:
    return f"process {holder.get('pid')} on {holder.get('host')} since {holder.get('since')}"


def _content(holder: Mapping[str, Any]) -> bytes:
    return (json.dumps(holder, indent=2) + "\n").encode()


def _read(output: Directory) -> dict[str, Any] | None:
    """What the lease says, None if there is none; nothing at all if it is being written or is damaged."""
    try:
        found = json.loads(output.read(LEASE_FILE))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _age_s(output: Directory) -> float:
    """Seconds since the lease was renewed, by the storage's own clock; 0 if it tells none."""
    probe = f".lease-check-{uuid.uuid4().hex[:8]}"
    output.put(probe, b"")
    try:
        found = output.entries()
    finally:
        output.remove(probe)
    now, renewed = (found[name].written if name in found else None for name in (probe, LEASE_FILE))
    return 0.0 if now is None or renewed is None else now - renewed
