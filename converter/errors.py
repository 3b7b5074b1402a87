"""Everything that can go wrong on the way from a checkpoint to a model file, as one tree of exceptions.

The message of each is a sentence a user can act on: what was wrong, where, and what to do.
"""

from __future__ import annotations


class ConverterError(Exception):
    """Root of all errors that a caller of `converter` can meet."""


class CheckpointError(ConverterError):
    """A checkpoint folder is missing something, is damaged, or holds a network that this project does not know."""


class CalibrationError(ConverterError):
    """The calibration texts cannot be used."""


class QuantisationError(ConverterError):
    """The network cannot be expressed in integers with the ranges that were measured."""


class FormatError(ConverterError):
    """A model file is damaged or was not written by this project."""


class EvaluationError(ConverterError):
    """Two models cannot be compared, or the texts to compare them on cannot be used."""


class TrainingError(ConverterError):
    """Training data, options or packages do not allow the training that was asked for."""
