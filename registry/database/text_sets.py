"""Comparing a column with many texts: they are one parameter, however many they are.

A condition for each would be a deeper expression than SQLite reads (1000), more parameters than
PostgreSQL takes (32767), and another statement to compile for every number of them.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ARRAY, JSON, Boolean, Text, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

_Texts = ARRAY(Text()).with_variant(JSON(), "sqlite")


class _InSet(FunctionElement[bool]):
    type = Boolean()
    inherit_cache = True


class _LikeSet(FunctionElement[bool]):
    type = Boolean()
    inherit_cache = True


class _FirstPart(FunctionElement[str]):
    type = Text()
    inherit_cache = True


def is_one_of(column: ColumnElement[Any], texts: Collection[str]) -> ColumnElement[bool]:
    """Return whether a column is one of some texts."""
    return _InSet(column, _parameter(texts))


def is_like_one_of(column: ColumnElement[Any], patterns: Collection[str]) -> ColumnElement[bool]:
    r"""Return whether a column is as one of some patterns of ``LIKE`` says; ``\`` escapes."""
    return _LikeSet(column, _parameter(patterns))


def first_part(path: ColumnElement[Any]) -> ColumnElement[str]:
    """Return what a path has before its slash."""
    return _FirstPart(path)


def _parameter(texts: Collection[str]) -> ColumnElement[Any]:
    return bindparam(None, sorted(texts), type_=_Texts, unique=True)


def _operands(element: FunctionElement[Any], compiler: SQLCompiler, **options: Any) -> list[str]:
    return [compiler.process(clause, **options) for clause in element.clauses]


@compiles(_InSet, "postgresql")
def _in_array(element: _InSet, compiler: SQLCompiler, **options: Any) -> str:
    column, texts = _operands(element, compiler, **options)
    return f"{column} = ANY ({texts})"


@compiles(_InSet, "sqlite")
def _in_json(element: _InSet, compiler: SQLCompiler, **options: Any) -> str:
    column, texts = _operands(element, compiler, **options)
    return f"{column} IN (SELECT value FROM json_each({texts}))"  # noqa: S608 (both are compiled)


@compiles(_LikeSet, "postgresql")
def _like_array(element: _LikeSet, compiler: SQLCompiler, **options: Any) -> str:
    column, patterns = _operands(element, compiler, **options)
    return f"{column} LIKE ANY ({patterns})"


@compiles(_LikeSet, "sqlite")
def _like_json(element: _LikeSet, compiler: SQLCompiler, **options: Any) -> str:
    column, patterns = _operands(element, compiler, **options)
    found = f"SELECT 1 FROM json_each({patterns}) AS pattern"  # noqa: S608 (both are compiled)
    return f"EXISTS ({found} WHERE {column} LIKE pattern.value ESCAPE '\\')"


@compiles(_FirstPart, "postgresql")
def _first_of_split(element: _FirstPart, compiler: SQLCompiler, **options: Any) -> str:
    (path,) = _operands(element, compiler, **options)
    return f"split_part({path}, '/', 1)"


@compiles(_FirstPart, "sqlite")
def _first_of_text(element: _FirstPart, compiler: SQLCompiler, **options: Any) -> str:
    (path,) = _operands(element, compiler, **options)
    return f"substr({path}, 1, instr({path}, '/') - 1)"
