"""PyTorch: eager, with its fused optimisers, and with the whole step compiled."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional as F

from peer_engines.workloads import BETA1, BETA2, EPSILON, Data, Workload, orders

LOG1, LOG2 = math.log(BETA1), math.log(BETA2)


def cost_of(w: Workload, parameters: list[Any], x: Any, y: Any) -> Any:
    """Return the mean cost of a batch. y: labels for softmax, rows of targets for the quadratic cost."""
    a = x
    for W, b in parameters[:-1]:
        z = F.linear(a, W, b)
        a = torch.sigmoid(z) if w.hidden == "sigmoid" else torch.relu(z)
    z = F.linear(a, *parameters[-1])
    if w.output == "softmax":
        return F.cross_entropy(z, y)
    error = torch.sigmoid(z) - y
    return 0.5 * (error * error).sum() / len(x)


class TorchEager:
    """Operation by operation with autograd and torch.optim."""

    slow_forms = True
    """Some forms may be many times slower than others, such as two threads where others want the cores."""
    fused = False

    @classmethod
    def forms(cls, w: Workload, threads: int) -> dict[str, dict[str, Any]]:
        """Where rows are gathered, and whether all threads are used: small networks are faster with one."""
        found: dict[str, dict[str, Any]] = {}
        for whole in (True, False):
            for use in sorted({1, threads}):
                told = f", {use} of {threads} threads" if threads > 1 else ""
                found[("rows of the epoch at once" if whole else "rows of each batch") + told] = {
                    "whole": whole,
                    "use": use,
                }
        return found

    def __init__(self, w: Workload, data: Data, threads: int, whole: bool, use: int) -> None:
        self.w, self.data, self.whole, self.use = w, data, whole, use
        self.X = torch.from_numpy(data.X)
        self.Y = torch.from_numpy(data.labels if w.output == "softmax" else data.Y)
        self.orders = orders(w)
        self.cost = torch.zeros(())
        self.parameters = [
            (torch.from_numpy(W.copy()).requires_grad_(), torch.from_numpy(b.copy()).requires_grad_())
            for W, b in data.start
        ]
        self.reset()

    def reset(self) -> None:
        torch.set_num_threads(self.use)  # it holds for the whole process, so each turn sets its own
        with torch.no_grad():
            for pair, start in zip(self.parameters, self.data.start, strict=True):
                for p, s in zip(pair, start, strict=True):
                    p.copy_(torch.from_numpy(s))
        self._new_optimizer()

    def _new_optimizer(self) -> None:
        flat = [p for pair in self.parameters for p in pair]
        options: dict[str, Any] = {"fused": True} if self.fused else {}
        kind = torch.optim.SGD if self.w.optimizer == "sgd" else torch.optim.Adam
        self.optimizer = kind(flat, lr=self.w.eta, **options)

    def epochs(self, k: int) -> None:
        for _ in range(k):
            self.in_order(next(self.orders))

    def in_order(self, order: Any) -> None:
        index = torch.from_numpy(order)
        if self.whole:
            xs = self.X.index_select(0, index).split(self.w.batch)
            ys = self.Y.index_select(0, index).split(self.w.batch)
            for x, y in zip(xs, ys, strict=True):
                self.step(x, y)
            return
        for part in index.split(self.w.batch):
            self.step(self.X.index_select(0, part), self.Y.index_select(0, part))

    def step(self, x: Any, y: Any) -> None:
        cost = cost_of(self.w, self.parameters, x, y)
        cost.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.cost += cost.detach()

    def weights(self) -> list[tuple[Any, Any]]:
        return [(W.detach().numpy(), b.detach().numpy()) for W, b in self.parameters]


class TorchFused(TorchEager):
    """The same with `fused=True`: one kernel updates all parameters."""

    fused = True


class TorchCompiled(TorchEager):
    """Forward, backward and update as one function under torch.compile; parameters updated in place."""

    @classmethod
    def forms(cls, w: Workload, threads: int) -> dict[str, dict[str, Any]]:
        """Those with the rows of the epoch gathered at once: each is compiled for a minute."""
        return {title: form for title, form in super().forms(w, threads).items() if form["whole"]}

    def _new_optimizer(self) -> None:
        for pair in self.parameters:
            for p in pair:
                p.requires_grad_(False)
        zeros = [[torch.zeros_like(p) for p in pair] for pair in self.parameters]
        self.m, self.v = zeros, [[torch.zeros_like(p) for p in pair] for pair in self.parameters]
        self.t = torch.zeros(())
        if not hasattr(self, "_step"):
            self._step = torch.compile(self._whole_step, fullgraph=True, dynamic=False)

    def step(self, x: Any, y: Any) -> None:
        self._step(self.parameters, self.m, self.v, self.t, self.cost, x, y)

    def _whole_step(self, parameters: Any, m: Any, v: Any, t: Any, total: Any, x: Any, y: Any) -> None:
        def cost_at(ps: Any) -> Any:
            return cost_of(self.w, ps, x, y)

        gradients, cost = torch.func.grad_and_value(cost_at)(parameters)
        total += cost
        t += 1
        # 1 - beta^t without cancellation: in float32 the plain form is wrong in the fifth digit at t = 1.
        rate, correction = -self.w.eta / torch.expm1(t * LOG1), -1 / torch.expm1(t * LOG2)
        for ps, gs, ms, vs in zip(parameters, gradients, m, v, strict=True):
            for p, g, m_, v_ in zip(ps, gs, ms, vs, strict=True):
                if self.w.optimizer == "sgd":
                    p -= self.w.eta * g
                    continue
                m_ += (1 - BETA1) * (g - m_)
                v_ += (1 - BETA2) * (g * g - v_)
                p -= rate * m_ / (torch.sqrt(v_ * correction) + EPSILON)
