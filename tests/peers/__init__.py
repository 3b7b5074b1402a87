"""SqueezeBERT-base beside its peers: the same weights, the same process, the same thread.

    python -m tests.peers.checkpoint build/base                               the true configuration, random weights
    python -m tests.peers.conversion build/base build/base.tflite             the conversion's time and peak memory
    python -m tests.peers.speed build/base build/base.tflite                  against ONNX Runtime float32
    python -m tests.peers.load build/base.tflite                              a warm load's time and private memory

Each takes --json. Needs the extra `bench`; Linux only, for memory is read from /proc.
"""
