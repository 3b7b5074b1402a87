"""SqueezeBERT-base in integers beside every peer that installs: the same weights, the same tokens, taking turns.

    python -m tests.peers.suite CHECKPOINT MODEL.tflite [--part PART]… [--peer PEER]… [--json]

CHECKPOINT is the folder that MODEL.tflite was converted from. What the peers need (files, virtual environments, an ARM
user land) is made under `--build` and kept. docs/performance.md has the result. Needs the extra `bench`; Linux only.
"""
