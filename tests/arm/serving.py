"""Run inside an emulated board: a real server there, a client, and what it answers, as JSON.

python -m tests.arm.serving
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import edge_runtime
from tests.serve.server import Server

TEXTS = (
    "turn off the kitchen lights",
    "wake me up at seven tomorrow",
    "the treaty was signed after eleven years of war",
)


def main() -> None:
    """Serve the bundled model and ask it, at once, as a batch and as a stream."""
    model = edge_runtime.load("assistant")
    expected = [model.understand(text).to_json() for text in TEXTS]
    with (
        tempfile.TemporaryDirectory(prefix="edge-") as folder,
        Server(Path(folder)) as server,
        edge_runtime.Client(server.url, timeout=60) as client,
    ):
        asked = [client.understand(text, deadline_ms=60_000).to_json() for text in TEXTS]
        requests = [{"op": "understand", "text": text} for text in TEXTS]
        batched = [found.to_json() for found in client.batch(requests, deadline_ms=60_000)]
        with client.stream("tag", window=16, overlap=4) as stream:
            stream.feed(f"{TEXTS[0]} and {TEXTS[1]}")
            final = [entity.to_json() for entity in stream.close()]
        reloaded = client.reload()
        state = client.health()["state"]
        backend = client.info()["backend"]
    print(
        json.dumps(
            {
                "backend": backend,
                "asked": asked == expected,
                "batched": batched == expected,
                "stream": [entity["text"] for entity in final],
                "reloaded": [each["model"] for each in reloaded],
                "state": state,
            }
        )
    )


if __name__ == "__main__":
    main()
