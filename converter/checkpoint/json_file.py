"""A checkpoint's JSON files, with errors that name file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from converter.errors import CheckpointError


def read_json(path: Path) -> Any:
    """What the JSON file `path` holds.

    Raises:
        CheckpointError: the file cannot be read or is not UTF-8 JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path} is not valid JSON: line {error.lineno}: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not valid JSON: not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise CheckpointError(f"{path} is not valid JSON: nested too deeply") from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object that `path` holds.

    Raises:
        CheckpointError: as `read_json`, or the file holds something other than an object.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a JSON {type(content).__name__} where an object was expected")
    return content
