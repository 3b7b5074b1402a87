#!/bin/sh
# What sizes of the assistant cost and reach: nano, tiny and small, and the bundled one beside them.
#
#     converter/recipes/sizes.sh DATA MINILM NOVELS OUT
#
# DATA, MINILM  as for assistant.sh
# NOVELS        the file novels.txt that assistant.sh wrote
# OUT           folder to write; the models are OUT/NAME.tflite, their figures OUT/sizes.json
#
# Each starts from MiniLM's word embeddings alone and learns the joint label sets from their labels: students that were
# distilled first, on 4.5 million tokens, had lower scores at these sizes (docs/models.md).
# THREADS (1) and PRECISION (--bfloat16; empty for float32) may be set.
set -eu
[ $# -eq 4 ] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
data=$1 minilm=$2 novels=$3 out=$4
here=$(dirname "$0")
mkdir -p "$out"

# NAME HIDDEN LAYERS HEADS RATE
size() {
    [ -f "$out/$1/validation.jsonl" ] || edge-converter train "$data/intents/hwu64/train" "$data/intents/snips/train" \
        --validation 0.08 --validation-data "$data/intents/snips/valid" --rename "$here/assistant_labels.json" \
        --out-of-scope "$data/intents/clinc150/train" --out-of-scope-labels "$here/assistant_out_of_scope.txt" \
        --out-of-scope "$novels" --gibberish 1000 --vocabulary "$data/vocab/bert_base_uncased_vocab.txt" \
        --init-embeddings "$minilm" --hidden "$2" --layers "$3" --heads "$4" --positions 128 --vocabulary-size 6000 \
        --epochs 9 --rate "$5" --threads "${THREADS:-1}" ${PRECISION---bfloat16} -o "$out/$1"
}

size nano 128 2 4 2e-3
size tiny 192 4 6 1.5e-3
size small 256 6 8 1e-3

head -n 797 "$out/nano/validation.jsonl" > "$out/hwu64.jsonl"
for name in nano tiny small; do
    file=$out/$name.tflite
    edge-converter convert "$out/$name" -o "$file" --calibration "$out/$name/calibration.txt" >&2
    edge-converter shorten "$file" -o "$file" --single-texts >&2
    python -m tests.arm.count "$file" --length 16 --json > "$out/$name.count.json"
    python -m converter.recipes.size "$name" "$file" "$out/$name.count.json" "$out/hwu64.jsonl" "$data/intents/snips/valid"
done > "$out/sizes.jsonl"
python -m tests.arm.count assistant --length 16 --json > "$out/base.count.json"
python -m converter.recipes.size base "$here/../../edge_runtime/models/assistant.tflite" "$out/base.count.json" \
    "$out/hwu64.jsonl" "$data/intents/snips/valid" >> "$out/sizes.jsonl"
# a list, an object a line
sed -e '1s/^/[\n /' -e '2,$s/^/ /' -e '$!s/$/,/' -e '$s/$/\n]/' "$out/sizes.jsonl" > "$out/sizes.json"
