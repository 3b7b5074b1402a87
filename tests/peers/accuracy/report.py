"""Turns docs/accuracy/results.json into the tables and plots of docs/accuracy.md.

python -m tests.peers.accuracy.report
"""

from __future__ import annotations

from tests.peers.accuracy import plots, results, tables


def main() -> None:
    found = results.read()
    tables.write(found)
    plots.draw(found)


if __name__ == "__main__":
    main()
