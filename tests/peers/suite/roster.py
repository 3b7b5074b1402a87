"""The peers: what each runs, where, and what has to be installed for it."""

from __future__ import annotations

from dataclasses import dataclass

SQUEEZEBERT, BERT = "SqueezeBERT", "BERT"
OURS = "ours, LiteRT"
HERE = ""
"""the environment of the extra `bench`"""
TOKENIZER = "tokenizers"


@dataclass(frozen=True)
class Peer:
    name: str
    network: str
    """SqueezeBERT-base or BERT-base: peers of one network have one set of weights"""
    runtime: str
    """as `worker` knows it"""
    file: str
    """under the network's folder (`files`)"""
    environment: str = HERE
    """of `tests.peers.environments`"""
    packages: tuple[str, ...] = ()
    """that pip is asked for where only this peer is wanted"""
    together: int = 1
    """texts of one length that it runs in one request"""
    packs: bool = False
    """runs texts of several lengths in one request, without padding"""
    emulated: str = ""
    """folder of the ARM user land with its runtime"""


LITERT = ("ai-edge-litert", "numpy", TOKENIZER)
ONNX = ("onnxruntime", "numpy", TOKENIZER)
PYTORCH = ("torch", "transformers", "numpy")
TOGETHER = 8

PEERS = (
    Peer(OURS, SQUEEZEBERT, "edge", "ours.tflite", packages=(*LITERT, "click", "pyserial"), emulated="litert"),
    Peer(
        # how boards without LSE atomics (Pi 3, Pi 4, Zero 2 W) load it
        "ours, LiteRT interpreter",
        SQUEEZEBERT,
        "edge-interpreter",
        "ours.tflite",
        packages=(*LITERT, "click", "pyserial"),
    ),
    Peer(
        "ours, tflite-runtime",
        SQUEEZEBERT,
        "edge",
        "ours.tflite",
        environment="tflite",
        packages=("tflite-runtime", "numpy", TOKENIZER, "click", "pyserial"),
        emulated="tflite",
    ),
    Peer("TensorFlow int8, LiteRT", SQUEEZEBERT, "tflite", "int8.tflite", packages=LITERT, emulated="litert"),
    Peer(
        "ONNX Runtime float32",
        SQUEEZEBERT,
        "onnx",
        "float.onnx",
        packages=ONNX,
        together=TOGETHER,
        emulated="onnxruntime",
    ),
    Peer(
        "ONNX Runtime int8, static",
        SQUEEZEBERT,
        "onnx",
        "static.onnx",
        packages=ONNX,
        together=TOGETHER,
        emulated="onnxruntime",
    ),
    Peer(
        "ONNX Runtime int8, dynamic",
        SQUEEZEBERT,
        "onnx",
        "dynamic.onnx",
        packages=ONNX,
        together=TOGETHER,
        emulated="onnxruntime",
    ),
    Peer("PyTorch float32", SQUEEZEBERT, "torch", "checkpoint", packages=PYTORCH, together=TOGETHER),
    Peer(
        "ExecuTorch float32",
        SQUEEZEBERT,
        "executorch",
        "float.pte",
        environment="executorch",
        packages=("executorch", "torch", TOKENIZER),
    ),
    Peer(
        "ExecuTorch int8",
        SQUEEZEBERT,
        "executorch",
        "int8.pte",
        environment="executorch",
        packages=("executorch", "torch", TOKENIZER),
    ),
    Peer("BERT: PyTorch float32", BERT, "torch", "checkpoint", packages=PYTORCH, together=TOGETHER),
    Peer(
        "BERT: ONNX Runtime float32",
        BERT,
        "onnx",
        "fused.onnx",
        packages=ONNX,
        together=TOGETHER,
        emulated="onnxruntime",
    ),
    Peer(
        "BERT: ONNX Runtime int8, dynamic",
        BERT,
        "onnx",
        "fused-dynamic.onnx",
        packages=ONNX,
        together=TOGETHER,
        emulated="onnxruntime",
    ),
    Peer(
        "BERT: llama.cpp Q8_0",
        BERT,
        "llama",
        "model.gguf",
        environment="llama",
        packages=("llama-cpp-python",),
        together=TOGETHER,
        packs=True,
    ),
)
REFERENCE = {SQUEEZEBERT: "PyTorch float32", BERT: "BERT: PyTorch float32"}
"""whose vectors the others of the network are held against"""


def select(names: list[str]) -> list[Peer]:
    """Those named, ours first as every ratio is to it; all if none is."""
    known = {peer.name for peer in PEERS}
    if strangers := set(names) - known:
        raise ValueError(f"no peer {', '.join(sorted(strangers))}; there are: {'; '.join(sorted(known))}")
    return [peer for peer in PEERS if not names or peer.name in {OURS, *names}]
