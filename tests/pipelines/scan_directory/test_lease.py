import json
import os
import subprocess
import sys
import threading
from typing import Any

import pytest

from pipelines.errors import CallerError
from pipelines.scan_directory import lease as module
from pipelines.scan_directory.lease import LEASE_FILE, leased
from pipelines.storage import Directory
from tests.conftest import Storage


@pytest.fixture
def output(storage: Storage) -> Directory:
    return Directory(f"{storage.root}/scan", storage.options)


def left_by(output: Directory, **changes: Any) -> None:
    """Leaves the lease of another driver there."""
    holder = module._this_driver() | {"machine": "another", "host": "node-7", "pid": 12} | changes
    output.put(LEASE_FILE, json.dumps(holder).encode())


def test_one_driver_at_a_time_holds_the_lease(output: Directory) -> None:
    with leased(output):
        with (
            pytest.raises(CallerError, match="is being written to by process .* last heard of . s ago; wait"),
            leased(output),
        ):
            pass
        assert output.exists(LEASE_FILE)
    assert not output.exists(LEASE_FILE)
    with leased(output):
        pass


def test_of_drivers_that_begin_at_once_one_does(tmp_path) -> None:
    output, begin, refused = Directory(str(tmp_path)), threading.Barrier(8), threading.Semaphore(0)
    held = list[int]()

    def drive(number: int) -> None:
        begin.wait()
        try:
            with leased(output):
                held.append(number)
                for _ in range(7):
                    assert refused.acquire(timeout=20)
        except CallerError:
            refused.release()

    threads = [threading.Thread(target=drive, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == 1


def test_the_lease_of_a_process_that_is_gone_counts_for_nothing(output: Directory) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    said = list[str]()
    left_by(output, machine=module._machine(), pid=gone.pid, process_began="1")
    with leased(output, say=said.append) as lease:
        assert json.loads(output.read(LEASE_FILE)) == lease.holder
    assert len(said) == 1
    assert f"was left by process {gone.pid} on node-7" in said[0]


def test_a_process_with_the_number_of_one_that_is_gone_is_another(output: Directory) -> None:
    left_by(output, machine=module._machine(), pid=os.getpid(), process_began="1")
    with leased(output):
        pass


def test_a_stale_lease_of_another_machine_is_taken_over_when_asked(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = Directory(str(tmp_path))
    left_by(output)
    os.utime(tmp_path / LEASE_FILE, (1e9, 1e9))
    with pytest.raises(CallerError, match="process 12 on node-7 .* it is stale: --take-over goes on"), leased(output):
        pass
    with leased(output, take_over=True) as lease:
        lease.check()
    left_by(output)
    monkeypatch.setattr(module, "STALE_AFTER_S", 0.3)
    monkeypatch.setattr(module, "RENEW_EVERY_S", 0.5)
    said = list[str]()
    with leased(output, take_over=True, say=said.append):
        pass
    assert said[0].startswith("--take-over: waiting until nothing is heard of process 12 on node-7")
    assert "was left by process 12 on node-7" in said[1]


def test_a_lease_that_is_renewed_is_not_taken_over(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = Directory(str(tmp_path))
    monkeypatch.setattr(module, "STALE_AFTER_S", 0.8)
    monkeypatch.setattr(module, "RENEW_EVERY_S", 0.1)
    with leased(output) as lease:
        with pytest.raises(CallerError, match="wait for it to end"), leased(output, take_over=True):
            pass
        lease.check()


def test_a_driver_whose_lease_was_taken_over_does_not_go_on(output: Directory) -> None:
    with leased(output) as lease:
        assert lease.renew()
        left_by(output)
        assert not lease.renew()
        with pytest.raises(CallerError, match="has been taken over by process 12 on node-7"):
            lease.check()
    assert output.exists(LEASE_FILE), "it is not this driver's"


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"pid": "x"}', b"\xff"])
def test_a_lease_that_says_nothing_is_held_until_it_is_stale(tmp_path, content: bytes) -> None:
    output = Directory(str(tmp_path))
    output.put(LEASE_FILE, content)
    with pytest.raises(CallerError, match="is being written to by"), leased(output):
        pass
    os.utime(tmp_path / LEASE_FILE, (1e9, 1e9))
    with leased(output, take_over=True):
        pass
