"""The service against other servers that do its job: very many tasks over one frozen network.

LeNet-300-100, K = 10 random masks of density 0.5 and again a partition of 256, fp16 coefficients;
raw float32 both ways where a server can, one row a request. Every server is on one core, the load
on another, and one is asked at a time: the service, the echo and mosec in turns, where the median
of each turn's ratio is claimed; each of the others once, while nothing else runs. Each peer
composes what it is asked for and keeps 64 composed tasks; the service may keep as many bytes.
`--install` makes the peers' environments; one that cannot be made, does not start or answers
wrongly is reported, and the rest goes on.
"""

import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.peers.environments import install
from benchmarks.peers.measuring import Effort, Measured, measure
from benchmarks.peers.report import claims_of, table
from benchmarks.peers.roster import ECHO, PEERS, RIVALS, SERVICE, Peer
from benchmarks.peers.running import on_loopback_alone
from benchmarks.peers.written import write_tasks
from masked_network.mask_bank import BankKind
from training.studies.claims import claims_json

BANKS: dict[str, tuple[BankKind, int]] = {
    "10 random masks": ("random", 10),
    "partition of 256": ("partition", 256),
}

TURNS = 4


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer tasks and turns.")] = False,
    seconds: Annotated[
        float, typer.Option(min=0.5, help="Of one load, after a warm-up of a fifth.")
    ] = 1.0,
    tasks: Annotated[
        int | None, typer.Option(min=1000, help="100,000, or 20,000 in the quick form.")
    ] = None,
    connections: Annotated[int, typer.Option(min=1, help="Each with one request.")] = 48,
    peer: Annotated[
        list[str] | None, typer.Option(help="This one alone, by name; may be given again.")
    ] = None,
    making: Annotated[
        bool, typer.Option("--install", help="Make the peers' environments, and end.")
    ] = False,
) -> None:
    """Measure, print, and exit 1 where a claim does not hold."""
    chosen = _chosen(peer)
    if making:
        failed = install(chosen)
        for name, why in failed.items():
            print(f"{name}: {why}")
        raise typer.Exit(1 if failed else 0)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise typer.BadParameter("expected two cores, one for servers and one for the load")
    alone = on_loopback_alone("benchmarks.against_peers")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    effort = Effort(
        seconds=seconds,
        warm_up=seconds / 5,
        connections=connections,
        server_core=cores[0],
        load_core=cores[1],
    )
    tasks = tasks or (20_000 if quick else 100_000)
    beside = [one for one in chosen if one in RIVALS]
    alone_each = [one for one in chosen if one not in RIVALS]
    claims = []
    for bank, (kind, size) in BANKS.items():
        with tempfile.TemporaryDirectory(prefix="impress-peers-") as name:
            folder = Path(name)
            written = write_tasks(folder, kind, size, tasks, min(tasks, 10_000))
            _say(f"{bank}: {tasks:,} tasks written")
            found = measure((SERVICE, *beside), written, effort, 2 if quick else TURNS, folder)
            _say(f"{bank}: {_names(found)} measured in turns")
            for one in alone_each:
                if one.listens_everywhere and not alone:
                    why = "it listens on every interface, and none can be had of loopback alone"
                    found.append(Measured(one, why_not=why))
                else:
                    found += measure((one,), written, effort, 1, folder)
                _say(f"{bank}: {one.name} {found[-1].why_not or 'measured'}")
        ours, *others = found
        print(
            f"\n{bank}, LeNet-300-100, {connections} connections\n"
            f"{table(list(written.workloads), ours, others)}"
        )
        print(_of_the_load(found))
        claims += claims_of(bank, ours, others)
    print(claims_json(claims).decode(), end="")
    raise typer.Exit(0 if all(claim.holds for claim in claims) else 1)


def _chosen(names: list[str] | None) -> list[Peer]:
    by_name = {one.name: one for one in PEERS}
    if unknown := set(names or ()) - by_name.keys():
        raise typer.BadParameter(f"no peer {min(unknown)!r}; there are: {', '.join(by_name)}")
    return [by_name[name] for name in names] if names else list(PEERS)


def _names(found: list[Measured]) -> str:
    return ", ".join(one.peer.name for one in found if one.why_not is None)


def _of_the_load(found: list[Measured]) -> str:
    busiest = max(found, key=lambda one: one.load_busy)
    echo = next((one for one in found if one.peer is ECHO and one.rates), None)
    ceiling = "" if echo is None else f"{echo.load_ceiling:,.0f} a second on the echo if it did; "
    return (
        f"the load never waited for its own core: {ceiling}at most {busiest.load_busy:.0%} of it "
        f"was taken, by {busiest.peer.name}"
    )


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    typer.run(main)
