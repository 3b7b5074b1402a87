"""How much accuracy each way to integers costs: the same weights, the same sentences, float32 beside them.

    python -m tests.peers.accuracy BUILD --minilm FOLDER       all of it, hours; what BUILD already holds is not redone

docs/accuracy.md has the result and the commands of the single steps. Needs the extra `bench`; TensorFlow and
ai-edge-quantizer get virtual environments of their own under BUILD.
"""
