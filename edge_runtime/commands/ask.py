"""`edge-runtime ask`: one request, in process."""

from __future__ import annotations

from collections.abc import Sequence

from edge_runtime.commands.found import Found, Result
from edge_runtime.errors import InputError
from edge_runtime.model import Model, load
from edge_runtime.own_process import keep_to
from edge_runtime.tuning import settle


def ask(name_or_path: str, text: str, pairs: Sequence[str]) -> Found:
    """Ask a model what it is for.

    Args:
        name_or_path: of the model.
        text: the question, or the text itself.
        pairs: a question's context, the second text to classify, or the choices.

    Raises:
        EdgeError: the model cannot be loaded or asked this.
    """
    if cores := settle().cores:
        keep_to(cores)
    with load(name_or_path) as model:
        return Found(model.info.name, model.info.task, _ask(model, text, pairs))


def _ask(model: Model, text: str, pairs: Sequence[str]) -> Result:
    task = model.info.task
    if task == "choose":
        return model.choose(text, pairs)
    if len(pairs) > 1 or (pairs and task not in ("classify", "answer")):
        raise InputError(f"{model.info.name} is for {task} and does not take {len(pairs)} --pair")
    match task:
        case "understand":
            return model.understand(text)
        case "classify":
            return model.classify(text, pairs[0] if pairs else None)
        case "tag":
            return model.tag(text)
        case "answer":
            if not pairs:
                raise InputError("a question needs the text to answer it from: --pair TEXT")
            return model.answer(text, pairs[0])
        case "embed":
            return [float(value) for value in model.embed(text)]
        case "fill":
            return model.fill(text)
    raise InputError(f"{model.info.name} has only raw outputs; use edge_runtime.load(...).run(ids) from Python")
