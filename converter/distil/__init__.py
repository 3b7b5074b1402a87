"""A small SqueezeBERT out of a BERT-class teacher: `edge-converter distil`.

texts → `targets` (what the teacher makes of them, kept on disk) → `initialise` (the student's weights by least squares
against the teacher's) → `training`.
"""
