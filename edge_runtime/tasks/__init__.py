"""From logits to what was asked for: labels, intents, entities, answers, vectors. Nothing here knows an interpreter."""
