"""Training of small SqueezeBERTs: intent and slots together, or one label a text.

The only part of the project that needs PyTorch and transformers (extra `train`); both are imported inside functions, so
that `edge-converter --help` stays quick.
"""

from __future__ import annotations
