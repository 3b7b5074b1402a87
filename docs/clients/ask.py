#!/usr/bin/env python3
"""Ask a local edge-runtime server what somebody wants, from a Python that does not have edge_runtime:

    python3 ask.py /run/edge-runtime/edge.sock "turn off the kitchen lights" ["another text" …]

Needs Python 3.8 or later and nothing else. Prints each intent and its slots. Status 1: the server cannot be reached, or
refused a text.
"""

import json
import socket
import sys


def ask(path, texts):
    """Send all texts at once; their replies in the texts' order, whatever order they come in."""
    replies = {}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(path)
        lines = connection.makefile("rw", encoding="utf-8", newline="\n")
        for number, text in enumerate(texts):
            lines.write(json.dumps({"id": number, "op": "understand", "text": text}) + "\n")
        lines.flush()
        while len(replies) < len(texts):
            line = lines.readline()
            if not line:
                raise OSError("the server ended the connection")
            reply = json.loads(line)
            if reply.get("id") is None and "error" in reply:
                raise OSError(reply["error"]["message"])  # concerns the whole connection
            replies[reply["id"]] = reply
    return [replies[number] for number in range(len(texts))]


def main(arguments):
    if len(arguments) < 2:
        print("usage: python3 ask.py SOCKET TEXT…", file=sys.stderr)
        return 2
    try:
        replies = ask(arguments[0], arguments[1:])
    except (OSError, ValueError) as error:
        print("error", error, file=sys.stderr)
        return 1
    status = 0
    for reply in replies:
        if "error" in reply:
            print("error {code}: {message}".format(**reply["error"]), file=sys.stderr)
            status = 1
            continue
        result = reply["result"]
        print(result["intent"] or "not recognised")
        for slot in result["slots"]:
            print("  {type}: {text}".format(**slot))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
