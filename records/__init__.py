"""The data layer: labelled images in, TFRecord shards and their manifest out, and back."""
