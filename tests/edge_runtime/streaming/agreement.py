"""Whether streams tokenise random texts, cut at random places, as the tokenizers library does the whole.

    python -m tests.edge_runtime.streaming.agreement [--texts N] [--seed N] [--characters]

Texts are spread over the makes of tokenizers in `texts.MAKES`, windows and overlaps of any size, and limits for what is
held back from none to the usual. `--characters` adds every character of Unicode, in the middle of a word with accents.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from itertools import islice

from edge_runtime.streaming import stream as module
from edge_runtime.tokenizer import Tokenizer
from tests.edge_runtime.streaming.texts import MAKES, blocks, content, stream, texts, tokenizer

HELD = (0, 0, 1, 5, 20, module.LONG_CHUNK)
"""characters of a chunk that may be held back: with 0 the library sees single words only"""
GROUP = 64
"""characters tried at a time"""


def agrees(made_for: Tokenizer, text: str, source: random.Random) -> bool:
    """Whether ids, offsets and words of one text are equal, cut in a random way."""
    data = text.encode()
    cuts = [source.randrange(len(data) + 1) for _ in range(source.choice((0, 1, 3, 10, len(data))))]
    window = source.randrange(3, 40)
    overlap = source.randrange(window - 2)
    module.LONG_CHUNK = source.choice(HELD)
    return content(stream(made_for, blocks(data, cuts), window, overlap), overlap) == made_for.pieces(text)


def characters() -> Iterator[str]:
    """Every character that UTF-8 can hold, in groups."""
    every = [chr(number) for number in range(0x110000) if not 0xD800 <= number < 0xE000]
    for start in range(0, len(every), GROUP):
        group = every[start : start + GROUP]
        yield " ".join(f"a{character}b\u0323{character}\u302e\u0301{character}c" for character in group)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--texts", type=int, default=20_000)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--characters", action="store_true")
    given = arguments.parse_args()
    source = random.Random(given.seed)
    usual = module.LONG_CHUNK
    different = 0
    for make in MAKES:
        made_for = tokenizer(make)
        tried = list(islice(texts(source, make), given.texts // len(MAKES)))
        if given.characters:
            tried += characters()
        wrong = [text for text in tried if not agrees(made_for, text, source)]
        different += len(wrong)
        print(f"{make}: {len(tried)} texts, {len(wrong)} different", flush=True)
        for text in wrong[:3]:
            print(f"  {text!a}")
    module.LONG_CHUNK = usual
    print("equal" if not different else f"{different} different")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
