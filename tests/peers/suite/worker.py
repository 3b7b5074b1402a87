"""One peer in a process and an environment of its own: loads a model, runs what it is asked to, says how long it took.

    PYTHON worker.py RUNTIME FILE THREADS

Imports nothing of ours, but for `edge` the runtime itself. Standard output has a JSON line when the first run is over,
and one for each JSON line on standard input: {"requests": …, "settle": s, "count": s} is answered with the
milliseconds of each counted pass over the requests, by the clock and on the processor; {"requests": …, "vectors": true}
with what was computed. A request is a list of texts that are run together, a text a list of token ids.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Vectors = Any
"""[texts, hidden], or [hidden] of one text"""
Run = Callable[[list[list[int]]], Vectors]
"""of one request"""
Load = Callable[[str, int], Run]
"""of a file, with a number of threads"""

FIRST = 16
"""tokens of the first run"""
FIRST_ID = 1000
"""an ordinary piece in BERT's vocabulary"""
EMBEDDING = "embedding"
LONGEST = 512
"""tokens of all texts that llama.cpp runs together"""
TEXTS = 8
"""that llama.cpp runs together"""
MEBIBYTE = 1 << 20


def edge(backend: str = "auto") -> Load:
    """Our runtime."""
    import tokenizers  # noqa: F401  a request's text would need it

    import edge_runtime
    import edge_runtime.model
    from edge_runtime.backends.selection import import_backend
    from edge_runtime.tuning import settle

    import_backend(settle(backend).selection)

    def load(file: str, threads: int) -> Run:
        model = edge_runtime.load(file, threads=threads, backend=backend)
        return lambda texts: model.run(texts[0])[EMBEDDING]

    return load


def tflite() -> Load:
    """A TFLite file of others in the TFLite runtime that is installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tflite_runtime.interpreter import Interpreter

    def load(file: str, threads: int) -> Run:
        interpreter = Interpreter(file, num_threads=threads)
        # lays tensors out anew only when the length is another
        runner = interpreter.get_signature_runner()
        scale, zero_point = runner.get_output_details()[EMBEDDING]["quantization"]

        def run(texts: list[list[int]]) -> Vectors:
            vector = runner(ids=np.array(texts, np.int32))[EMBEDDING].astype(np.float32)
            return (vector - zero_point) * scale if scale else vector

        return run

    return load


def onnx() -> Load:
    """ONNX Runtime, on the CPU."""
    import onnxruntime

    def load(file: str, threads: int) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        # its threads wait for work by spinning: within a run that is fast, after it it would slow whoever is next
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda texts: session.run(None, {name: np.array(texts, np.int64)})[0]

    return load


def torch() -> Load:
    """PyTorch, with transformers' own classes; the file is a checkpoint's folder."""
    import torch as pytorch
    import transformers

    def load(file: str, threads: int) -> Run:
        pytorch.set_num_threads(threads)
        transformers.utils.logging.disable_progress_bar()
        model = transformers.AutoModel.from_pretrained(file).eval()

        def run(texts: list[list[int]]) -> Vectors:
            with pytorch.inference_mode():
                ids = pytorch.tensor(texts)
                states = model(input_ids=ids, attention_mask=pytorch.ones_like(ids)).last_hidden_state
                return states.mean(dim=1).numpy()

        return run

    return load


def executorch() -> Load:
    """ExecuTorch: one text at a time."""
    import torch as pytorch
    from executorch.extension.pybindings import portable_lib
    from executorch.runtime import Runtime

    def load(file: str, threads: int) -> Run:
        portable_lib._unsafe_reset_threadpool(threads)
        method = Runtime.get().load_program(file).load_method("forward")
        return lambda texts: method.execute([pytorch.tensor(texts)])[0].numpy()

    return load


def llama() -> Load:
    """llama.cpp: it runs texts of several lengths together without padding."""
    import llama_cpp

    def load(file: str, threads: int) -> Run:
        settings = llama_cpp.llama_model_default_params()
        model = llama_cpp.llama_model_load_from_file(file.encode(), settings)
        options = llama_cpp.llama_context_default_params()
        options.n_ctx = options.n_batch = options.n_ubatch = LONGEST
        options.n_seq_max = TEXTS
        options.n_threads = options.n_threads_batch = threads
        options.embeddings = True
        options.pooling_type = llama_cpp.LLAMA_POOLING_TYPE_MEAN
        context = llama_cpp.llama_init_from_model(model, options)
        hidden = llama_cpp.llama_model_n_embd(model)
        batch = llama_cpp.llama_batch_init(LONGEST, 0, TEXTS)

        def run(texts: list[list[int]]) -> Vectors:
            place = 0
            for number, ids in enumerate(texts):
                for position, token in enumerate(ids):
                    batch.token[place], batch.pos[place] = token, position
                    batch.n_seq_id[place], batch.seq_id[place][0], batch.logits[place] = 1, number, 1
                    place += 1
            batch.n_tokens = place
            if llama_cpp.llama_encode(context, batch):
                raise RuntimeError("llama_encode failed")
            found = [llama_cpp.llama_get_embeddings_seq(context, number) for number in range(len(texts))]
            return np.array([vector[:hidden] for vector in found], np.float32)

        return run

    return load


RUNTIMES: dict[str, Callable[[], Load]] = {
    "edge": edge,
    "edge-interpreter": lambda: edge("litert"),
    "tflite": tflite,
    "onnx": onnx,
    "torch": torch,
    "executorch": executorch,
    "llama": llama,
}


def memory() -> dict[str, float]:
    """MiB that this process holds: of its own, and of files, which other processes that map them share (proc(5))."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    held = {name: int(fields[name].split()[0]) * 1024 / MEBIBYTE for name in ("RssAnon", "RssFile", "RssShmem")}
    return {"private_mb": held["RssAnon"], "shared_mb": held["RssFile"] + held["RssShmem"]}


def take(run: Run, requests: list[list[list[int]]], settle: float, count: float) -> dict[str, list[float]]:
    """Milliseconds of each counted pass over the requests: by the clock, and of all threads on the processor.

    Args:
        run: what is measured.
        requests: of a pass.
        settle: seconds of passes that are not counted and come first; with 0 there is none.
        count: seconds of those that are; one at least.
    """
    until = time.perf_counter() + settle
    while time.perf_counter() < until:
        _pass(run, requests)
    found: dict[str, list[float]] = {"ms": [], "cpu_ms": []}
    until = time.perf_counter() + count
    while not found["ms"] or time.perf_counter() < until:
        ms, cpu_ms = _pass(run, requests)
        found["ms"].append(ms)
        found["cpu_ms"].append(cpu_ms)
    return found


def _pass(run: Run, requests: list[list[list[int]]]) -> tuple[float, float]:
    began, cpu = time.perf_counter(), time.process_time()
    for texts in requests:
        run(texts)
    ended, cpu_ended = time.perf_counter(), time.process_time()
    return (ended - began) * 1000, (cpu_ended - cpu) * 1000


def answer(run: Run, asked: dict[str, Any]) -> dict[str, Any]:
    if asked.get("vectors"):
        return {"vectors": [np.asarray(run(texts), np.float64).reshape(len(texts), -1) for texts in asked["requests"]]}
    return take(run, asked["requests"], asked["settle"], asked["count"])


def main() -> None:
    # libraries print what they like to standard output: what is read from here is kept apart from it
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    runtime, file, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    # on the processor: how long a file takes to come from a disk is the disk's
    began = time.process_time()
    load = RUNTIMES[runtime]()
    imported, before = time.process_time(), memory()
    run = load(file, threads)
    loaded = time.process_time()
    run([list(range(FIRST_ID, FIRST_ID + FIRST))])
    ran = time.process_time()
    steps = {"import": imported - began, "load": loaded - imported, "first_run": ran - loaded, "first_answer": ran}
    held = memory()
    added = {"added_mb": held["private_mb"] - before["private_mb"]}
    print(json.dumps({f"{name}_ms": value * 1000 for name, value in steps.items()} | held | added), file=replies)
    for line in sys.stdin:
        print(json.dumps(answer(run, json.loads(line)), default=lambda array: array.tolist()), file=replies)


if __name__ == "__main__":
    main()
