"""The processes in which contenders run, from the side of peers.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from peer_engines.machine import cores

HERE = Path(__file__).resolve().parent.parent


class Worker:
    """A process that holds contenders; see peer_engines/worker.py."""

    def __init__(self, threads: int) -> None:
        n = str(threads)
        names = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "CLEARPROP")
        environment = os.environ | {f"{name}_NUM_THREADS": n for name in names}
        # Another core than the first, which serves more interrupts.
        environment["PEERS_CORES"] = ",".join(str(core) for core in cores()[-threads:])
        environment["PEERS_THREADS"] = n
        environment["KERAS_BACKEND"] = "jax"
        environment["JAX_PLATFORMS"] = "cpu"
        if threads == 1:
            environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        paths = [str(HERE), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "peer_engines.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; one that ends the process is an error like any other."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            print(json.dumps({"do": do, **arguments}), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            return {"error": "the process of this workload has ended"}
        line = self.process.stdout.readline()
        if not line:
            return {"error": f"the process ended with status {self.process.wait()}"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def close(self) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
            self.process.wait(timeout=20)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


class Stage:
    """All contenders of a workload in one process; one that ends the process gets another to itself."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.shared: Worker | None = None
        self.alone: dict[str, Worker] = {}
        self.entered: dict[str, dict[str, Any]] = {}
        self.opened: dict[str, Any] = {}

    def open(self, workload: str, shorter: int, real: bool) -> dict[str, Any]:
        """Begin a workload with nobody in it."""
        for worker in self.alone.values():
            worker.close()
        self.alone, self.entered = {}, {}
        self.opened = {"workload": workload, "shorter": shorter, "real": real}
        if self.shared is None:
            self.shared = Worker(self.threads)
        return self.shared.ask("open", **self.opened)

    def floor(self) -> dict[str, Any]:
        assert self.shared is not None
        return self.shared.ask("floor")

    def enter(self, name: str, **how: Any) -> dict[str, Any]:
        """Prepare a contender; where that ends the shared process, begin a new one for those before it."""
        assert self.shared is not None
        answer = self.shared.ask("enter", name=name, **how)
        if self.shared.ended:
            answer = self._set_apart(name, how)
        if "error" not in answer:
            self.entered[name] = how
        return answer

    def turn(self, name: str) -> dict[str, Any]:
        """Let a contender train for its epochs; where that ends its process, once more in another."""
        assert self.shared is not None
        answer = self.alone.get(name, self.shared).ask("turn", name=name)
        if name not in self.alone and self.shared.ended:
            again = self._set_apart(name, self.entered[name])
            answer = again if "error" in again else self.alone[name].ask("turn", name=name)
        return answer

    def _set_apart(self, name: str, how: dict[str, Any]) -> dict[str, Any]:
        """Give `name` a process to itself and the others a new one."""
        if self.shared is not None:
            self.shared.close()
        self.shared = self._begin()
        for other, its in self.entered.items():
            if other not in self.alone and other != name:
                self.shared.ask("enter", name=other, **its)
        self.alone[name] = self._begin()
        return self.alone[name].ask("enter", name=name, **how)

    def _begin(self) -> Worker:
        worker = Worker(self.threads)
        worker.ask("open", **self.opened)
        return worker

    def close(self) -> None:
        for worker in (self.shared, *self.alone.values()):
            if worker is not None:
                worker.close()
        self.shared, self.alone = None, {}
