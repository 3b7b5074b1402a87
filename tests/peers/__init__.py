"""SqueezeBERT-base beside its peers: the same weights, the same tokens, taking turns.

    python -m tests.peers.checkpoint build/base                               the true configuration, random weights
    python -m tests.peers.conversion build/base build/base.tflite             the conversion's time and peak memory
    python -m tests.peers.suite build/base build/base.tflite                  time, memory and size beside every peer

Each takes --json. Needs the extra `bench`; Linux only, for memory is read from /proc.
"""
