"""The stages, and the parts they are made of."""
