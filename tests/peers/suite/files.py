"""Makes each peer's model file from the two checkpoints; what is there is not made again.

BUILD/SqueezeBERT/ and BUILD/BERT/ hold the files, the checkpoint, and for SqueezeBERT our model file (links).
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Container, Iterable
from pathlib import Path

import torch
import transformers
from onnxruntime.transformers import optimizer

import converter.checkpoint
from tests.peers import checkpoint, environments
from tests.peers.accuracy import exchange, methods, onnx_peer
from tests.peers.accuracy.methods import Subject
from tests.peers.suite.roster import BERT, SQUEEZEBERT, Peer
from tests.peers.tracing import INPUT, TRACED_LENGTH, MeanPooled

CHECKPOINT, OURS = "checkpoint", "ours.tflite"
ONNX_OPERATORS = 17
"""the newest set of operators that the optimiser's patterns for BERT are made for"""
TEXTS = 32
"""calibration texts: what a peer's integers cost does not depend on how good they are"""
REPOSITORY = Path(__file__).resolve().parents[3]


class NotMadeError(Exception):
    """A peer's own program failed, with the end of what it said."""


def prepare(squeezebert: Path, model: Path, build: Path, networks: Container[str] = (SQUEEZEBERT, BERT)) -> None:
    """Lay out BUILD for a checkpoint and what was converted from it; a BERT that is wanted has random weights."""
    for network in (SQUEEZEBERT, BERT):
        (build / network).mkdir(parents=True, exist_ok=True)
    _link(build / SQUEEZEBERT / CHECKPOINT, squeezebert)
    _link(build / SQUEEZEBERT / OURS, model)
    if BERT in networks and not (build / BERT / CHECKPOINT / "config.json").exists():
        checkpoint.save_bert(build / BERT / CHECKPOINT, squeezebert / "vocab.txt")


def make(peers: Iterable[Peer], build: Path) -> dict[str, str]:
    """Make what is missing for `peers`; return by peer why its file could not be made."""
    failed = {}
    subjects: dict[str, Subject] = {}
    for peer in peers:
        path = build / peer.network / peer.file
        if path.exists():
            continue
        print(f"making {path.name} of {peer.network}", file=sys.stderr, flush=True)
        if peer.network not in subjects:
            folder = build / peer.network
            network = converter.checkpoint.read(folder / CHECKPOINT)
            subjects[peer.network] = Fewer(folder / CHECKPOINT, network, folder, build)
        try:
            MAKERS[peer.file](subjects[peer.network])
        except (NotMadeError, subprocess.CalledProcessError) as error:
            # a program that makes two files may have made this one before it failed
            if not path.exists():
                failed[peer.name] = str(error)
    return failed


class Fewer(Subject):
    """Calibrated on fewer texts than the accuracy study's subjects."""

    def calibration_ids(self) -> list[list[int]]:
        return super().calibration_ids()[:TEXTS]


def fuse(subject: Subject) -> None:
    """BERT as ONNX Runtime's own optimiser leaves it: attention, normalisation, GELU with its bias: one operator each.

    Its patterns know what PyTorch's older exporter writes of attention written out; of the newer one's graphs it leaves
    attention as it is.
    """
    model = transformers.BertModel.from_pretrained(
        subject.checkpoint, attn_implementation="eager", add_pooling_layer=False
    )
    plain = subject.folder / "traced.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            MeanPooled(model).eval(),
            (torch.ones((2, TRACED_LENGTH), dtype=torch.long),),
            plain,
            input_names=[INPUT],
            dynamic_axes={INPUT: {0: "B", 1: "S"}},
            dynamo=False,
            opset_version=ONNX_OPERATORS,
        )
    encoder = subject.network.encoder
    fused = optimizer.optimize_model(
        str(plain), model_type="bert", num_heads=encoder.attention_heads, hidden_size=encoder.hidden_size, opt_level=0
    )
    statistics = fused.get_fused_operator_statistics()
    if statistics["Attention"] != len(encoder.layers):
        raise NotMadeError(
            f"ONNX Runtime's optimiser fused {statistics['Attention']} of {len(encoder.layers)} attentions"
        )
    fused.save_model_to_file(str(subject.folder / "fused.onnx"))
    plain.unlink()


def fuse_and_quantise(subject: Subject) -> None:
    if not (subject.folder / "fused.onnx").exists():
        fuse(subject)
    onnx_peer.dynamic(subject.folder / "fused.onnx", subject.folder / "fused-dynamic.onnx")


def llama(subject: Subject) -> None:
    exchange.write_network(subject.network, subject.folder)
    (subject.folder / "vocab.txt").write_bytes((subject.checkpoint / "vocab.txt").read_bytes())
    _elsewhere(subject, "llama", "llama_peer.py", [subject.folder])


def executorch(subject: Subject) -> None:
    exchange.write_texts(subject.calibration_ids(), subject.folder / exchange.CALIBRATION)
    _elsewhere(subject, "executorch", "executorch_peer.py", [subject.checkpoint, subject.folder])


MAKERS: dict[str, Callable[[Subject], object]] = {
    "int8.tflite": methods.tensorflow,
    "float.onnx": methods.float32,
    "static.onnx": methods.onnx_static,
    "dynamic.onnx": methods.onnx_dynamic,
    "float.pte": executorch,
    "int8.pte": executorch,
    "fused.onnx": fuse,
    "fused-dynamic.onnx": fuse_and_quantise,
    "model.gguf": llama,
}


def _elsewhere(subject: Subject, environment: str, program: str, arguments: list[Path]) -> None:
    command = [environments.python(subject.build, environment), str(Path(__file__).with_name(program))]
    command += [str(each.resolve()) for each in arguments]
    own = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=own, check=False, capture_output=True, text=True)
    if done.returncode:
        raise NotMadeError(f"{program} ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")


def _link(link: Path, target: Path) -> None:
    if link.is_symlink():
        link.unlink()
    link.symlink_to(target.resolve())


def sizes(peers: Iterable[Peer], build: Path) -> dict[str, int]:
    """Bytes of each peer's file, with the weights of a folder."""
    found = {}
    for peer in peers:
        path = build / peer.network / peer.file
        if path.exists():
            parts = [path / "model.safetensors"] if path.is_dir() else [path, *path.parent.glob(f"{path.name}.data")]
            found[peer.name] = sum(part.stat().st_size for part in parts)
    return found
