"""Text that arrives in pieces: bytes → tokens → windows → results, in memory that does not grow with the text.

How a text is cut without changing its tokens is explained in docs/streaming.md.
"""
