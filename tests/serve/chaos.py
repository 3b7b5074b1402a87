"""What clients notice when the server is killed, loses a worker, or takes up another model, under load.

    python -m tests.serve.chaos [--kills N] [--worker-kills N] [--reloads N] [--callers N] [--seed N] [--json]

This script plays the service manager: it holds the listening socket, hands it over, and starts the server again when it
was killed. Clients that reconnect lose the requests in flight and nothing else; of a worker's death and of a reload
they notice nothing.
"""

from __future__ import annotations

import os
import random
import select
import shutil
import socket
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.serve import questions
from tests.serve.callers import AHEAD, Callers, Tally
from tests.serve.random_model import convert_tiny
from tests.serve.report import Report, machine, parser
from tests.serve.server import Server, request

TEXTS = 50
BETWEEN = 200
"""answers between two blows, at most"""
GONE_SECONDS = 30.0
"""until a killed server's workers must have ended by themselves"""
BACK_SECONDS = 60.0
"""until a killed worker must have been replaced"""


@dataclass(slots=True)
class Models:
    """Two models of one name, and what each says of the texts."""

    files: list[Path]
    answers: list[dict[str, Any]]

    @classmethod
    def make(cls, folder: Path) -> Models:
        files = [convert_tiny(folder, seed) for seed in (0, 1)]
        answers = []
        for file in files:
            with questions.load(str(file)) as model:
                answers.append({text: questions.answer(model, text) for text in questions.texts(TEXTS)})
        assert all(not questions.same(answers[0][text], answers[1][text]) for text in answers[0])
        return cls(files, answers)


def kill_server(models: Models, callers: int, kills: int, random_: random.Random, report: Report) -> None:
    """Kill and restart the server, again and again."""
    workers_left = 0
    with tempfile.TemporaryDirectory(prefix="edge-") as name, socket.socket(socket.AF_UNIX) as listening:
        folder = Path(name)
        listening.bind(str(folder / "edge.sock"))
        listening.listen(128)
        server = Server(folder, models=[models.files[0]], inherited=[listening])
        server.start()
        with Callers(folder / "edge.sock", callers, questions.texts(TEXTS)) as crowd:
            for _ in range(kills):
                crowd.wait_for(random_.randint(1, BETWEEN))
                workers = server.workers()
                server.kill()
                workers_left += sum(not _ends(pid) for pid in workers)
                server.start()
            crowd.wait_for(BETWEEN)
        status = server.stop()
    tally = crowd.tally
    report.note("kill -9 of the server: answered", len(tally.answered))
    report.note("kill -9 of the server: lost in flight and asked again", tally.lost)
    report.at_most("kill -9 of the server: connections lost", tally.ended, kills * callers)
    report.at_most("kill -9 of the server: requests lost", tally.lost, kills * callers * AHEAD)
    _common(report, "kill -9 of the server", tally, [models.answers[0]])
    report.exactly("kill -9 of the server: workers left behind", workers_left, 0)
    report.exactly("kill -9 of the server: exit status at the end", status, 0)


def kill_workers(models: Models, callers: int, kills: int, random_: random.Random, report: Report) -> None:
    """Kill the worker, again and again."""
    with (
        tempfile.TemporaryDirectory(prefix="edge-") as name,
        Server(Path(name), models=[models.files[0]]) as server,
        Callers(server.unix, callers, questions.texts(TEXTS)) as crowd,
        server.connect() as wire,
    ):
        for _ in range(kills):
            crowd.wait_for(random_.randint(1, BETWEEN))
            server.kill_workers()
            end = time.monotonic() + BACK_SECONDS
            # it may take the server a moment to notice
            crowd.wait_for(callers * AHEAD + 1)
            while request(wire, "health")["state"] != "ready":
                assert time.monotonic() < end, "the worker is not replaced"
    report.note("kill -9 of the worker: answered", len(crowd.tally.answered))
    report.exactly("kill -9 of the worker: connections lost", crowd.tally.ended, 0)
    report.exactly("kill -9 of the worker: requests refused", crowd.tally.put_off, 0)
    _common(report, "kill -9 of the worker", crowd.tally, [models.answers[0]])


def reload(models: Models, callers: int, reloads: int, random_: random.Random, report: Report) -> None:
    """Put another model in the file's place, again and again."""
    periods: list[tuple[float, float, int]] = []
    with tempfile.TemporaryDirectory(prefix="edge-") as name:
        folder = Path(name)
        file = folder / "served.tflite"
        shutil.copy(models.files[0], file)
        with (
            Server(folder, models=[file]) as server,
            Callers(server.unix, callers, questions.texts(TEXTS)) as crowd,
            server.connect() as wire,
        ):
            since = time.monotonic()
            for number in range(1, reloads + 1):
                crowd.wait_for(random_.randint(1, BETWEEN))
                shutil.copy(models.files[number % 2], folder / "next")
                (folder / "next").replace(file)
                periods.append((since, time.monotonic(), (number - 1) % 2))
                (done,) = request(wire, "reload")
                since = time.monotonic()
                assert done["digest"] != done["previous"], done
            crowd.wait_for(BETWEEN)
            periods.append((since, time.monotonic(), reloads % 2))
    tally = crowd.tally
    report.note("reload: answered", len(tally.answered))
    report.exactly("reload: connections lost", tally.ended, 0)
    report.exactly("reload: requests refused", tally.put_off, 0)
    _common(report, "reload", tally, models.answers)
    stale = 0
    for each in tally.answered:
        for start, end, which in periods:
            if start <= each.sent and each.at <= end:
                stale += not questions.same(each.result, models.answers[which][each.text])
    report.exactly("reload: answers of a model that was not there", stale, 0)


def _common(report: Report, what: str, tally: Tally, allowed: list[dict[str, Any]]) -> None:
    wrong = sum(not any(questions.same(each.result, one[each.text]) for one in allowed) for each in tally.answered)
    report.exactly(f"{what}: wrong answers", wrong, 0)
    report.exactly(f"{what}: other errors", len(tally.errors), 0)


def _ends(pid: int) -> bool:
    """Whether a process that is no child of ours ends in time."""
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            return bool(select.select([descriptor], [], [], GONE_SECONDS)[0])
        finally:
            os.close(descriptor)
    return True


def main() -> int:
    options = parser("do harm to a server under load", model=False)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--worker-kills", type=int, default=20)
    options.add_argument("--reloads", type=int, default=20)
    options.add_argument("--callers", type=int, default=8)
    options.add_argument("--seed", type=int, default=1)
    arguments = options.parse_args()
    random_ = random.Random(arguments.seed)
    report = Report(f"{arguments.callers} callers, {AHEAD} requests ahead each, seed {arguments.seed} ({machine()})")
    with tempfile.TemporaryDirectory(prefix="edge-models-") as folder:
        models = Models.make(Path(folder))
        kill_server(models, arguments.callers, arguments.kills, random_, report)
        kill_workers(models, arguments.callers, arguments.worker_kills, random_, report)
        reload(models, arguments.callers, arguments.reloads, random_, report)
    return report.print(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
