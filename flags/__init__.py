"""The command line: the only code, beside main.py, that knows absl. Recipes are the *.flags files in this folder."""
