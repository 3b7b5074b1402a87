"""What can be learnt: one module a task, named as the runtime's methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from converter.train.tasks.answer import Answer
from converter.train.tasks.classify import Classify
from converter.train.tasks.embed import Embed
from converter.train.tasks.tag import Tag
from converter.train.tasks.task import Task
from converter.train.tasks.understand import Understand

__all__ = ["TASKS", "Answer", "Classify", "Embed", "Tag", "Task", "Understand"]

TASKS: Mapping[str, type[Task[Any, Any]]] = {each.name: each for each in (Understand, Classify, Tag, Answer, Embed)}
