"""The captcha package's renderer as compiled code, bit for bit what Pillow makes of each step. It needs numba."""
