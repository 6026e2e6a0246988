"""Two processes want one file on a shared journal, while PostgreSQL or a process fails.

Whatever fails, the server gets each byte from one process at a time, and each file once. The holder
stops within 15 s of the last sign of its database session, and PostgreSQL lets go later than that
unless it is told that the session has ended.
"""

import time

import pytest

from cluster.conftest import ROW
from support.constants import MIB

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

# Seconds after which the holder has stopped: the partition rule's, and those of a cancellation.
STOP_SECONDS = 15 + 5 + 2
FROZEN_SECONDS = 60.0
# PostgreSQL lets go after 40 s to 45 s without packets, and the other process waits for 20 s more.
LOST_SECONDS = 90.0


def kill(cluster, holder, other):
    holder.kill()


def terminate_backend(cluster, holder, other):
    locks = cluster.database.lock_backends()
    assert len(locks) == 2, locks
    # The holder's session is older than the other process's.
    (pid,) = [pid for pid in cluster.database.backends() if pid in locks][:1]
    cluster.database.server.terminate(pid)


def restart_fast(cluster, holder, other):
    cluster.database.server.restart("fast")


def restart_immediate(cluster, holder, other):
    cluster.database.server.restart("immediate")


def restart_slowly(cluster, holder, other):
    cluster.database.server.stop("immediate")
    time.sleep(20)
    cluster.database.server.start()


def freeze(cluster, holder, other):
    holder.stop()
    time.sleep(FROZEN_SECONDS)
    holder.resume()


def freeze_and_cut(side, how, seconds=FROZEN_SECONDS):
    def freeze_and_cut(cluster, holder, other):
        holder.stop()
        holder.proxy.cut(side, how)
        time.sleep(seconds)
        holder.resume()
        holder.proxy.heal()

    return freeze_and_cut


def cut(side, how, seconds):
    def cut(cluster, holder, other):
        holder.proxy.cut(side, how)
        time.sleep(seconds)
        holder.proxy.heal()

    return cut


def cut_and_drop(cluster, holder, other):
    """The network fails, and its last router tells PostgreSQL after a while."""
    holder.proxy.cut("both", "silent")
    time.sleep(40)
    holder.proxy.cut("server", "reset")
    time.sleep(20)
    holder.proxy.heal()


FAULTS = {
    "SIGKILL": kill,
    "pg_terminate_backend": terminate_backend,
    "restart, fast": restart_fast,
    "restart, immediate": restart_immediate,
    "down for 20 s": restart_slowly,
    "cut 90 s, both, lost": cut("both", "lost", LOST_SECONDS),
    "network lost 40 s, then reset at the server": cut_and_drop,
    **{
        f"cut {seconds} s, {side}, {how}": cut(side, how, seconds)
        for seconds in (10, 30, 60)
        for side in ("client", "server", "both")
        for how in ("silent", "close", "lost")
    },
}
# The frozen process leaves a PATCH open that no other process can end.
FREEZES = {
    "SIGSTOP 60 s": freeze,
    "SIGSTOP 90 s, cut, both, lost": freeze_and_cut("both", "lost", LOST_SECONDS),
    "SIGSTOP 60 s, cut, both, reset": freeze_and_cut("both", "reset"),
    "SIGSTOP 60 s, cut, server, close": freeze_and_cut("server", "close"),
}


def format_seconds(moment, began):
    return "-" if moment is None else f"{moment - began:.1f} s"


def run(cluster, name, fault, record_property):
    """Apply a fault in the middle of a chunk; check the files, and report the counts."""
    holder, other = cluster.start_two()
    began = time.monotonic()
    fault(cluster, holder, other)
    statuses = [it.finish() for it in cluster.processes]
    transfers = [it for it in cluster.observer.transfers if cluster.is_of(it, cluster.files[0])]
    stopped = next((it for it in transfers if it in cluster.observer.cut()), None)
    taken = next((it for it in transfers if stopped and it.began > stopped.began), None)
    row = [
        name,
        ", ".join(map(str, statuses)),
        format_seconds(stopped and stopped.ended, began),
        format_seconds(taken and taken.began, began),
        len(cluster.observer.cut()),
        f"{cluster.count_repeated() / MIB:.1f} MiB",
        f"{len(cluster.observer.overlaps())}, {len(cluster.observer.second_writers())} with bytes",
        f"{cluster.count_ready()} of {len(cluster.files)}",
    ]
    record_property(ROW, row)
    cluster.check()
    assert cluster.observer.second_writers() == []
    assert len(cluster.observer.cut()) <= len(cluster.processes)
    return statuses


@pytest.mark.parametrize("name", FAULTS)
def test_fault_leaves_one_writer_and_one_asset(cluster, name, record_property):
    statuses = run(cluster, name, FAULTS[name], record_property)
    assert statuses[1] == 0
    assert cluster.sandbox.violations == []
    assert cluster.observer.overlaps() == []


@pytest.mark.parametrize("name", FREEZES)
def test_frozen_process_sends_nothing_after_it_was_replaced(cluster, name, record_property):
    statuses = run(cluster, name, FREEZES[name], record_property)
    assert statuses[1] == 0
