"""Rewrite the source of functions, one small change at a time: fourteen kinds, none of them written by hand.

`rewrites_of` makes every change of a kind; `places` lists them without making any.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["KINDS", "Place", "Rewrite", "places", "rewrites_of"]

Variants = Callable[[Any, Sequence[str]], list[ast.AST]]


@dataclass(frozen=True)
class Rewrite:
    """One change to the source: where, what stood there, what stands there now."""

    kind: str
    function: str
    line: int
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.function}, line {self.line}: {self.before} -> {self.after}"


class Place(NamedTuple):
    """Where a change could be made, and what would stand there."""

    kind: str
    tree: ast.Module
    function: str
    line: int
    node: Any
    new: ast.AST

    def rewrite(self) -> Rewrite:
        """Make the change."""
        changed = _Replace(self.node.number, copy.deepcopy(self.new)).visit(copy.deepcopy(self.tree))
        source = ast.unparse(ast.fix_missing_locations(changed))
        return Rewrite(
            self.kind, self.function, self.line, ast.unparse(self.node), ast.unparse(self.new), source
        )


def _binary(*kinds: type[ast.operator]) -> Callable[[ast.AST], bool]:
    return lambda node: isinstance(node, ast.BinOp) and isinstance(node.op, kinds)


def _with_operator(node: ast.BinOp, op: ast.operator) -> ast.AST:
    return ast.BinOp(node.left, op, node.right)


def plus_for_minus(node: ast.AST, names: Sequence[str]) -> list[ast.AST]:
    if not _binary(ast.Add, ast.Sub)(node):
        return []
    return [_with_operator(node, ast.Sub() if isinstance(node.op, ast.Add) else ast.Add())]


def times_for_divided(node: ast.AST, names: Sequence[str]) -> list[ast.AST]:
    if not _binary(ast.Mult, ast.Div)(node):
        return []
    return [_with_operator(node, ast.Div() if isinstance(node.op, ast.Mult) else ast.Mult())]


def factor_dropped(node: ast.AST, names: Sequence[str]) -> list[ast.AST]:
    if _binary(ast.Mult, ast.MatMult)(node):
        return [node.left, node.right]
    return [node.left] if _binary(ast.Div)(node) else []


def term_dropped(node: ast.AST, names: Sequence[str]) -> list[ast.AST]:
    return [node.left, node.right] if _binary(ast.Add, ast.Sub)(node) else []


def operands_exchanged(node: ast.AST, names: Sequence[str]) -> list[ast.AST]:
    if not _binary(ast.Sub, ast.Div, ast.MatMult)(node):
        return []
    return [ast.BinOp(node.right, node.op, node.left)]


def axis_changed(node: ast.AST, names: Sequence[str]) -> list[ast.AST]:
    if not isinstance(node, ast.keyword) or node.arg != "axis":
        return []
    return [
        ast.keyword("axis", ast.Constant(axis))
        for axis in (0, 1, None)
        if repr(axis) != ast.unparse(node.value)
    ]


def index_off_by_one(node: ast.AST, names: Sequence[str]) -> list[ast.AST]:
    if not isinstance(node, ast.Subscript) or isinstance(node.slice, ast.Constant):
        return []
    if isinstance(node.slice, ast.Name) and node.slice.id not in ("layer", "last"):
        return []
    moved = [ast.BinOp(node.slice, op, ast.Constant(1)) for op in (ast.Add(), ast.Sub())]
    return [ast.Subscript(node.value, index, node.ctx) for index in moved]


def transposed(node: ast.AST, names: Sequence[str]) -> list[ast.AST]:
    if isinstance(node, ast.Attribute) and node.attr == "T":
        return [node.value]
    if _binary(ast.MatMult)(node):
        turned = [ast.Attribute(side, "T", ast.Load()) for side in (node.left, node.right)]
        return [ast.BinOp(turned[0], node.op, node.right), ast.BinOp(node.left, node.op, turned[1])]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "ravel":
        func = ast.Attribute(ast.Attribute(node.func.value, "T", ast.Load()), "ravel", ast.Load())
        return [ast.Call(func, [], [])]
    return []


def other_variable(node: ast.AST, names: Sequence[str]) -> list[ast.AST]:
    if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load) or node.id not in names:
        return []
    return [ast.Name(name, ast.Load()) for name in names if name != node.id]


def constant_changed(node: ast.AST, names: Sequence[str]) -> list[ast.AST]:
    if not isinstance(node, ast.Constant) or type(node.value) is not float:
        return []
    return [ast.Constant(node.value + by) for by in (1.0, -1.0, 0.5)]


def comparison_changed(node: ast.AST, names: Sequence[str]) -> list[ast.AST]:
    if not isinstance(node, ast.Compare):
        return []
    operators = (ast.Gt, ast.GtE, ast.Lt, ast.NotEq, ast.Eq)
    others = [op() for op in operators if not isinstance(node.ops[0], op)]
    return [ast.Compare(node.left, [op], node.comparators) for op in others]


def function_changed(node: ast.AST, names: Sequence[str]) -> list[ast.AST]:
    if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name) or node.value.id != "np":
        return []
    others = {"sum": ("mean", "max", "prod"), "exp": ("expm1", "exp2", "cosh")}.get(node.attr, ())
    return [ast.Attribute(node.value, name, ast.Load()) for name in others]


def sign_changed(node: ast.AST, names: Sequence[str]) -> list[ast.AST]:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return [node.operand]
    if isinstance(node, ast.BinOp | ast.Name) and not isinstance(getattr(node, "ctx", None), ast.Store):
        return [ast.UnaryOp(ast.USub(), node)]
    return []


def statement_left_out(node: ast.AST, names: Sequence[str]) -> list[ast.AST]:
    return [ast.Pass()] if isinstance(node, ast.Assign | ast.If) else []


KINDS: dict[str, Variants] = {
    "plus and minus exchanged": plus_for_minus,
    "times and divided exchanged": times_for_divided,
    "a factor dropped": factor_dropped,
    "a term dropped": term_dropped,
    "operands exchanged": operands_exchanged,
    "axis changed": axis_changed,
    "index off by one": index_off_by_one,
    "transposed": transposed,
    "another variable": other_variable,
    "a constant changed": constant_changed,
    "comparison changed": comparison_changed,
    "another function": function_changed,
    "sign changed": sign_changed,
    "a statement left out": statement_left_out,
}


class _Replace(ast.NodeTransformer):
    """Put one node in the place of that with a number."""

    def __init__(self, number: int, new: ast.AST) -> None:
        self.number, self.new = number, new

    def visit(self, node: ast.AST) -> Any:
        if getattr(node, "number", None) == self.number:
            return self.new
        return self.generic_visit(node)


def _local_names(function: ast.FunctionDef) -> list[str]:
    stored = [n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    given = [arg.arg for arg in function.args.args if arg.arg not in ("self", "cls")]
    return list(dict.fromkeys([*given, *stored]))


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield every function of a module and every method of its classes, with its name."""
    for part in tree.body:
        if isinstance(part, ast.FunctionDef):
            yield part.name, part
        elif isinstance(part, ast.ClassDef):
            yield from ((f"{part.name}.{f.name}", f) for f in part.body if isinstance(f, ast.FunctionDef))


# One object for all trees that are ever parsed.
_SHARED = (ast.operator, ast.unaryop, ast.cmpop, ast.boolop, ast.expr_context)


def places(kind: str, source: str) -> Iterator[Place]:
    """Yield every place where a kind applies, in the order of the source."""
    tree = ast.parse(source)
    for number, node in enumerate(ast.walk(tree)):
        if not isinstance(node, _SHARED):
            node.number = number  # type: ignore[attr-defined]
    for name, function in _functions(tree):
        names = _local_names(function)
        for node in [found for statement in function.body for found in _below(statement)]:
            line = getattr(node, "lineno", function.lineno)
            for new in KINDS[kind](node, names):
                yield Place(kind, tree, name, line, node, new)


def _below(statement: ast.AST) -> Iterator[ast.AST]:
    """Yield a statement and all within it, widest first; no annotation, and nothing of an error's message."""
    if isinstance(statement, ast.Raise):
        return
    waiting = [statement]
    while waiting:
        node = waiting.pop(0)
        yield node
        for name, child in ast.iter_fields(node):
            if name not in ("annotation", "returns"):  # which are never evaluated
                inner = child if isinstance(child, list) else [child]
                waiting += [
                    one for one in inner if isinstance(one, ast.AST) and not isinstance(one, ast.Raise)
                ]


def rewrites_of(kind: str, source: str) -> Iterator[Rewrite]:
    """Yield every change of a kind, in the order of the source; a * a gives its factor once."""
    seen: set[str] = set()
    for place in places(kind, source):
        made = place.rewrite()
        if made.source not in seen:
            seen.add(made.source)
            yield made
