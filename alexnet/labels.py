"""How labels are written as numbers; without TensorFlow, so that everyone may import it."""

PADDING: int = -1  # of label_ids, after the end of a code
